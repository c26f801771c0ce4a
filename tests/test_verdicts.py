"""Verdicts by the table: stalled, overdue, orphaned, dead, and what each rests on."""

from pathlib import Path
from typing import Any

import pytest

from agentmon.core.health import Facts, Limits, PendingCall, ProcessFact, judge
from tests.feeds import Scene, answering, asking, sid_of
from tests.wire import START, Talk

# -- verdicts

LIMITS = Limits(stalled_after=30.0, overdue_after=600.0, overdue_per_tool={"Agent": 3600.0})
GONE = ProcessFact(7, 1000.0, "no such process")


def facts(phase: str = "writing", last: float | None = 1000.0, **more: Any) -> Facts:
    return Facts(phase, 900.0, last, more.pop("round_open", True), **more)


def call(name: str | None, at: float) -> PendingCall:
    return PendingCall(f"toolu_{name}_{at:g}", name, at)


@pytest.mark.parametrize(
    ("given_facts", "now", "word", "since"),
    [
        pytest.param(facts(), 1029.9, "ok", 900.0, id="just before a stall"),
        pytest.param(facts(), 1030.0, "stalled", 1000.0, id="a stall"),
        pytest.param(facts("prompting"), 1030.0, "stalled", 1000.0, id="no first byte"),
        pytest.param(facts("thinking"), 1030.0, "stalled", 1000.0, id="thinking stalls"),
        pytest.param(facts("calling"), 1030.0, "stalled", 1000.0, id="arguments stall"),
        pytest.param(facts("retrying"), 1030.0, "stalled", 1000.0, id="a retry stalls"),
        *(
            pytest.param(facts(phase), 9999.0, "ok", 900.0, id=f"{phase} owes no byte")
            for phase in ("tool", "permission", "compacting", "idle", "ended")
        ),
        pytest.param(facts(last=None), 9999.0, "ok", 900.0, id="never heard of"),
        pytest.param(
            facts("tool", pending=[call("Bash", 1000.0)]), 1599.9, "ok", 900.0, id="in time"
        ),
        pytest.param(
            facts("tool", pending=[call("Bash", 1000.0)]), 1600.0, "overdue", 1000.0, id="overdue"
        ),
        pytest.param(
            facts("tool", pending=[call("Agent", 1000.0)]), 4599.0, "ok", 900.0, id="own limit"
        ),
        pytest.param(
            facts("tool", pending=[call("Agent", 1000.0)]),
            4600.0,
            "overdue",
            1000.0,
            id="past its own limit",
        ),
        pytest.param(
            facts("tool", pending=[call("Agent", 900.0), call(None, 1000.0), call("Bash", 950.0)]),
            1700.0,
            "overdue",
            950.0,
            id="the oldest of those overdue",
        ),
        pytest.param(facts(process=GONE), 1001.0, "orphaned", 1000.0, id="orphaned"),
        pytest.param(
            facts("idle", round_open=False, process=GONE), 1001.0, "dead", 1000.0, id="dead"
        ),
        pytest.param(
            facts("idle", round_open=False, pending=[call("Bash", 1.0)], process=GONE),
            1001.0,
            "orphaned",
            1000.0,
            id="gone with an open call",
        ),
        pytest.param(
            facts(last=1000.1, process=GONE), 1001.0, "ok", 900.0, id="heard since it was gone"
        ),
        pytest.param(facts(process=GONE), 2000.0, "orphaned", 1000.0, id="gone before stalled"),
    ],
)
def test_verdicts(given_facts: Facts, now: float, word: str, since: float) -> None:
    verdict = judge(given_facts, now, LIMITS)
    assert (verdict.word, verdict.since) == (word, since)


@pytest.mark.parametrize(
    ("given_facts", "expected"),
    [
        (facts(), {"phase": "writing", "last_byte": 1000.0, "threshold": 30.0}),
        (
            facts("tool", pending=[call("Bash", 1000.0)]),
            {"tool_use_id": "toolu_Bash_1000", "tool_name": "Bash", "threshold": 600.0},
        ),
        (facts(process=GONE), {"pid": 7, "process": "no such process", "round_open": True}),
    ],
    ids=["stalled", "overdue", "orphaned"],
)
def test_a_verdict_says_what_it_rests_on(given_facts: Facts, expected: dict[str, object]) -> None:
    evidence = judge(given_facts, 5000.0, LIMITS).evidence
    assert {name: evidence[name] for name in expected} == expected


def test_other_limits_are_other_verdicts() -> None:
    assert judge(facts(), 1010.0, Limits(stalled_after=10.0)).word == "stalled"
    overdue = facts("tool", pending=[call("Bash", 1000.0)])
    assert judge(overdue, 1010.0, Limits(overdue_after=10.0)).word == "overdue"
    assert judge(overdue, 1010.0, Limits(overdue_per_tool={"Bash": 5.0})).word == "overdue"


def test_a_board_of_several_sessions_judges_each_for_itself(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        one, two = Talk(sid_of(1)), Talk(sid_of(2))
        scene.say(*asking(one), *asking(two, n=2), *answering(two, n=2))
        now = (START + 700_000) / 1000
        words = {t.row.sid: t.verdict(now, LIMITS).word for t in scene.board().threads}
    assert words == {sid_of(1): "overdue", sid_of(2): "ok"}
