"""Verdicts by the table: stalled, overdue, orphaned, dead, and what each rests on."""

from pathlib import Path
from typing import Any

import pytest

from agentmon.core.health import (
    HOLD,
    RETRY_PAUSE,
    Facts,
    Limits,
    PendingCall,
    ProcessFact,
    Verdict,
    after,
    judge,
    settled,
    told,
)
from agentmon.core.yardsticks import Yardstick
from tests.feeds import Scene, answering, asking, sid_of
from tests.wire import START, Talk

LIMITS = Limits(stalled_after=30.0, overdue_after=600.0, overdue_per_tool={"Agent": 3600.0})
GONE = ProcessFact(7, 1000.0, "no such process")
SEEN_DYING = ProcessFact(7, 1005.0, "no such process", 1004.0)


def facts(phase: str = "writing", last: float | None = 1000.0, **more: Any) -> Facts:
    """Of a thread that a stream shows."""
    return Facts(phase, more.pop("since", 900.0), last, more.pop("round_open", True), **more)


def told_facts(phase: str = "prompting", last: float = 1000.0, **more: Any) -> Facts:
    """Of a thread that only a transcript tells of."""
    kind = more.pop("phase_kind", "transcript")
    since = more.pop("since", 1000.0)
    return facts(phase, None, since=since, last_told=last, phase_kind=kind, **more)


def call(name: str | None, at: float, **more: Any) -> PendingCall:
    return PendingCall(f"toolu_{name}_{at:g}", name, at, **more)


@pytest.mark.parametrize(
    ("given_facts", "now", "word", "since"),
    [
        pytest.param(facts(), 1029.9, "ok", 900.0, id="just before a stall"),
        pytest.param(facts(), 1030.0, "stalled", 1000.0, id="a stall"),
        pytest.param(facts("prompting"), 1030.0, "stalled", 1000.0, id="no first byte"),
        pytest.param(facts("thinking"), 1030.0, "stalled", 1000.0, id="thinking stalls"),
        pytest.param(facts("calling"), 1030.0, "stalled", 1000.0, id="arguments stall"),
        pytest.param(
            facts("calling", pending=[call("Bash", 990.0)]),
            1030.0,
            "stalled",
            1000.0,
            id="though an earlier call runs",
        ),
        *(
            pytest.param(facts(phase), 9999.0, "ok", 900.0, id=f"{phase} owes no byte")
            for phase in ("tool", "permission", "compacting", "idle", "ended")
        ),
        pytest.param(facts(last=None), 9999.0, "ok", 900.0, id="never heard of"),
        pytest.param(
            facts("prompting", 990.0, since=1000.0),
            1029.9,
            "ok",
            1000.0,
            id="the phase began after the last byte",
        ),
    ],
)
def test_silence_of_a_stream(given_facts: Facts, now: float, word: str, since: float) -> None:
    verdict = judge(given_facts, now, LIMITS)
    assert (verdict.word, verdict.since) == (word, since)


@pytest.mark.parametrize(
    ("given_facts", "now", "word"),
    [
        pytest.param(facts(gap=Yardstick(14.0, 99)), 1030.0, "stalled", id="the setting is more"),
        pytest.param(facts(gap=Yardstick(20.0, 99)), 1039.9, "ok", id="its own pauses"),
        pytest.param(facts(gap=Yardstick(20.0, 99)), 1040.0, "stalled", id="past its own pauses"),
        pytest.param(facts(gap=Yardstick(900.0, 99)), 1329.9, "ok", id="no longer than a client"),
        pytest.param(facts(gap=Yardstick(900.0, 99)), 1330.0, "stalled", id="gives up itself"),
        pytest.param(
            facts("prompting", first_byte=Yardstick(50.0, 9)), 1099.9, "ok", id="a slow first byte"
        ),
        pytest.param(
            facts("writing", first_byte=Yardstick(50.0, 9)), 1030.0, "stalled", id="is no pause"
        ),
        pytest.param(
            facts("prompting", gap=Yardstick(50.0, 99)), 1030.0, "stalled", id="nor the reverse"
        ),
    ],
)
def test_the_agents_own_history_is_the_yardstick(given_facts: Facts, now: float, word: str) -> None:
    assert judge(given_facts, now, LIMITS).word == word


@pytest.mark.parametrize(
    ("given_facts", "now", "word"),
    [
        pytest.param(told_facts(), 1329.9, "ok", id="a transcript is silent while it streams"),
        pytest.param(told_facts(), 1330.0, "stalled", id="but no longer than a client waits"),
        pytest.param(told_facts("thinking"), 1330.0, "stalled", id="thinking"),
        pytest.param(told_facts(pending=[call("Bash", 900.0)]), 1330.0, "ok", id="a call runs"),
        pytest.param(told_facts("writing"), 9999.0, "ok", id="perhaps its last text"),
        pytest.param(
            told_facts("writing", phase_kind="rollout"), 1330.0, "stalled", id="not in a rollout"
        ),
        pytest.param(
            facts("prompting", 400.0, since=1000.0, last_told=1001.0, phase_kind="transcript"),
            1031.0,
            "ok",
            id="a wire that is recorded no more shows no silence",
        ),
        pytest.param(
            facts("prompting", 400.0, since=1000.0, last_told=1001.0, phase_kind="transcript"),
            1331.0,
            "stalled",
            id="until the client itself gives up",
        ),
        pytest.param(
            facts("writing", 1000.0, last_told=1029.0), 1030.0, "stalled", id="chatter is no byte"
        ),
    ],
)
def test_who_can_show_silence(given_facts: Facts, now: float, word: str) -> None:
    assert judge(given_facts, now, LIMITS).word == word


def retrying(**more: Any) -> Facts:
    return facts("retrying", since=1000.0, **more)


@pytest.mark.parametrize(
    ("given_facts", "stalls_at"),
    [
        (retrying(), 1000.0 + RETRY_PAUSE + 30.0),
        (retrying(due_at=1002.0), 1032.0),
        (retrying(due_at=1300.0), 1330.0),
        (told_facts("retrying", due_at=1300.0), 1630.0),
    ],
    ids=["nobody said when", "soon", "in minutes", "told by a transcript"],
)
def test_a_retry_is_due_after_its_delay(given_facts: Facts, stalls_at: float) -> None:
    words = [judge(given_facts, stalls_at + by, LIMITS).word for by in (-0.1, 0.0)]
    assert words == ["ok", "stalled"]


@pytest.mark.parametrize(
    ("pending", "now", "word", "since"),
    [
        pytest.param([call("Bash", 1000.0)], 1599.9, "ok", 900.0, id="in time"),
        pytest.param([call("Bash", 1000.0)], 1600.0, "overdue", 1000.0, id="overdue"),
        pytest.param([call("Agent", 1000.0)], 4599.0, "ok", 900.0, id="own setting"),
        pytest.param([call("Agent", 1000.0)], 4600.0, "overdue", 1000.0, id="past its setting"),
        pytest.param(
            [call("Agent", 900.0), call(None, 1000.0), call("Bash", 950.0)],
            1700.0,
            "overdue",
            950.0,
            id="the oldest of those overdue",
        ),
        pytest.param(
            [call("Bash", 1000.0, usual=Yardstick(500.0, 9))], 1749.9, "ok", 900.0, id="usual"
        ),
        pytest.param(
            [call("Bash", 1000.0, usual=Yardstick(500.0, 9))],
            1750.0,
            "overdue",
            1000.0,
            id="longer than usual",
        ),
        pytest.param(
            [call("Bash", 1000.0, usual=Yardstick(5.0, 99))],
            1599.0,
            "ok",
            900.0,
            id="the setting is the floor",
        ),
        pytest.param(
            [call("Agent", 1000.0, usual=Yardstick(9000.0, 99))],
            4600.0,
            "overdue",
            1000.0,
            id="a setting for the tool wins",
        ),
        pytest.param(
            [call("Task", 1000.0, heard_at=1500.0)], 2099.9, "ok", 900.0, id="its subagent works"
        ),
        pytest.param(
            [call("Task", 1000.0, heard_at=1500.0)],
            2100.0,
            "overdue",
            1000.0,
            id="its subagent is silent too",
        ),
    ],
)
def test_tools(pending: list[PendingCall], now: float, word: str, since: float) -> None:
    verdict = judge(facts("tool", pending=pending), now, LIMITS)
    assert (verdict.word, verdict.since) == (word, since)


def test_a_tool_that_a_person_was_asked_about_began_later() -> None:
    waits = facts("permission", pending=[call("Bash", 1000.0)])
    assert judge(waits, 9999.0, LIMITS).word == "ok"
    for kind in ("registry", "hook"):
        runs = facts("tool", since=2000.0, pending=[call("Bash", 1000.0)], phase_kind=kind)
        words = [judge(runs, now, LIMITS).word for now in (2599.9, 2600.0)]
        assert words == ["ok", "overdue"]


@pytest.mark.parametrize(
    ("given_facts", "now", "word", "since"),
    [
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
            facts("tool", round_open=False, process=GONE), 1001.0, "orphaned", 1000.0, id="at work"
        ),
        pytest.param(
            facts("idle", product="codex", process=GONE),
            1001.0,
            "dead",
            1000.0,
            id="a wire log of codex has no end of a turn",
        ),
        pytest.param(
            facts(last=1000.1, process=GONE), 1001.0, "ok", 900.0, id="heard since it was gone"
        ),
        pytest.param(
            facts(last_told=1000.1, process=GONE), 1001.0, "ok", 900.0, id="told of since then"
        ),
        pytest.param(facts(process=GONE), 2000.0, "orphaned", 1000.0, id="gone before stalled"),
        pytest.param(
            facts(process=SEEN_DYING), 2000.0, "orphaned", 1005.0, id="it was seen to be gone"
        ),
        pytest.param(
            facts(last=400.0, process=GONE), 2000.0, "orphaned", 400.0, id="nobody saw it die"
        ),
    ],
)
def test_gone_processes(given_facts: Facts, now: float, word: str, since: float) -> None:
    verdict = judge(given_facts, now, LIMITS)
    assert (verdict.word, verdict.since) == (word, since)


@pytest.mark.parametrize(
    ("given_facts", "expected"),
    [
        (
            facts(gap=Yardstick(1.9, 3114)),
            {
                "phase": "writing",
                "shown_by": "stream",
                "last_byte": 1000.0,
                "threshold": 30.0,
                "usual": 1.9,
                "usual_count": 3114,
                "passed_at": 1030.0,
            },
        ),
        (told_facts(), {"shown_by": "told", "told_by": "transcript", "setting": 330.0}),
        (
            facts("tool", pending=[call("Bash", 1000.0, command="pytest")]),
            {
                "tool_use_id": "toolu_Bash_1000",
                "tool_name": "Bash",
                "command": "pytest",
                "threshold": 600.0,
            },
        ),
        (facts(process=GONE), {"pid": 7, "process": "no such process", "round_open": True}),
    ],
    ids=["stalled", "told of", "overdue", "orphaned"],
)
def test_a_verdict_says_what_it_rests_on(given_facts: Facts, expected: dict[str, object]) -> None:
    evidence = judge(given_facts, 5000.0, LIMITS).evidence
    assert {name: evidence[name] for name in expected} == expected


def test_other_limits_are_other_verdicts() -> None:
    assert judge(facts(), 1010.0, Limits(stalled_after=10.0)).word == "stalled"
    assert judge(told_facts(), 1060.0, Limits(silent_after=60.0)).word == "stalled"
    overdue = facts("tool", pending=[call("Bash", 1000.0)])
    assert judge(overdue, 1010.0, Limits(overdue_after=10.0)).word == "overdue"
    assert judge(overdue, 1010.0, Limits(overdue_per_tool={"Bash": 5.0})).word == "overdue"


# -- while nobody watched

NIGHT = (1010.0, 30_000.0)


@pytest.mark.parametrize(
    ("unseen", "moment"),
    [
        ((), 130.0),
        (((10.0, 20.0),), 130.0),
        (((140.0, 150.0),), 130.0),
        (((110.0, 150.0),), 170.0),
        (((90.0, 150.0),), 180.0),
        (((165.0, 170.0), (110.0, 150.0)), 175.0),
        (((110.0, 150.0), (110.0, 150.0), (120.0, 151.0)), 171.0),
    ],
    ids=["none", "before", "later", "within", "around", "two", "told twice"],
)
def test_time_that_nobody_saw_does_not_count(
    unseen: tuple[tuple[float, float], ...], moment: float
) -> None:
    assert after(100.0, 30.0, unseen) == moment


def test_a_machine_that_slept_is_no_stall() -> None:
    asleep = Limits(stalled_after=30.0, unseen=(NIGHT,))
    assert judge(facts(), 30_010.0, LIMITS).word == "stalled"
    assert judge(facts(), 30_010.0, asleep).word == "ok"
    assert judge(facts(unseen=(NIGHT,)), 30_010.0, LIMITS).word == "ok"
    assert judge(facts(unseen=(NIGHT,)), 30_020.0, asleep).word == "stalled"
    late = facts("tool", pending=[call("Bash", 1000.0)], unseen=(NIGHT,))
    assert judge(late, 30_580.0, LIMITS).word == "ok"
    assert judge(late, 30_590.0, LIMITS).word == "overdue"


def test_a_stall_goes_on_after_a_sleep() -> None:
    before = judge(facts(last=900.0), 1005.0, LIMITS)
    after_it = judge(facts(last=900.0, unseen=(NIGHT,)), 30_001.0, LIMITS, before)
    assert before.word == "stalled"
    assert after_it.is_same(before)


# -- nothing flaps


def test_a_verdict_is_told_once_it_held_a_moment() -> None:
    words = [told(facts(), 1030.0 + by, LIMITS, None).word for by in (0.0, HOLD - 0.1, HOLD)]
    assert words == ["ok", "ok", "stalled"]
    held = judge(facts(), 1030.0, LIMITS)
    assert told(facts(), 1030.0, LIMITS, held).word == "stalled"
    assert settled(judge(facts(process=GONE), 1000.0, LIMITS), None, 1000.0)


def test_a_byte_ends_it_at_once() -> None:
    held = judge(facts(), 1040.0, LIMITS)
    assert told(facts(last=1040.0), 1040.0, LIMITS, held).word == "ok"
    assert told(facts(last=1040.0), 1070.0, LIMITS, held).word == "ok"
    assert told(facts(last=1040.0), 1070.0 + HOLD, LIMITS, held).word == "stalled"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (facts(gap=Yardstick(1.0, 99)), facts(gap=Yardstick(100.0, 99))),
        (
            facts("tool", pending=[call("Bash", 400.0, usual=Yardstick(1.0, 99))]),
            facts("tool", pending=[call("Bash", 400.0, usual=Yardstick(9000.0, 99))]),
        ),
    ],
    ids=["stalled", "overdue"],
)
def test_a_moved_yardstick_does_not_end_it(before: Facts, after: Facts) -> None:
    held = judge(before, 1035.0, LIMITS)
    assert held.word != "ok"
    assert judge(after, 1036.0, LIMITS).word == "ok"
    assert judge(after, 1036.0, LIMITS, held).is_same(held)
    other = Verdict(held.word, held.since - 1, held.evidence)
    assert judge(after, 1036.0, LIMITS, other).word == "ok"


def test_a_board_of_several_sessions_judges_each_for_itself(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        one, two = Talk(sid_of(1)), Talk(sid_of(2))
        scene.say(*asking(one), *asking(two, n=2), *answering(two, n=2))
        now = (START + 700_000) / 1000
        words = {t.row.sid: t.verdict(now, LIMITS).word for t in scene.board().threads}
    assert words == {sid_of(1): "overdue", sid_of(2): "ok"}


def test_an_old_transcript_that_ends_in_a_text_is_at_rest_by_now() -> None:
    """It does not say whether the text was the end of a turn: no stall, and no work for a year."""
    silent = told_facts("writing")
    before = judge(silent, 999.0 + LIMITS.silent_after, LIMITS)
    assert before.evidence["phase"] == "writing"
    for later in (1000.0 + LIMITS.silent_after, 1e7):
        verdict = judge(silent, later, LIMITS)
        assert (verdict.word, verdict.evidence["phase"]) == ("ok", "idle")
    assert judge(facts(), 1e7, LIMITS).word == "stalled"
