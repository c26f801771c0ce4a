"""From bytes to phases, pending calls and verdicts: whatever comes, in whatever order."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentmon.core.events import Delta, Event, Malformed
from agentmon.core.health import Facts, Limits, PendingCall, ProcessFact, judge
from agentmon.engine.ingest import Ingestion
from agentmon.sources import payloads
from agentmon.sources.sse_lines import Decoder
from tests.differential import Row, assert_same, dumped, ingest
from tests.feeds import Scene, answering, asking, call_block, changes, sid_of, snapshot, write
from tests.generate import permute, scenario, scenarios
from tests.wire import SID, START, TEXT, Payload, Talk, encoded, message, tool_result

# -- the decoder takes any bytes

SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 5, 1.0, 0.5, -0.0, 1e400, 2**31, 2**53, 2**63, 2**64, 10**30])
    | st.sampled_from(["", "0", "-7", "2" * 30, SID, SID.upper(), "unknown", "m1", "\ud83d", "\0"])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
STAMPS = st.sampled_from(
    [
        *("2025-11-21T13:00:00.123Z", "2025-11-21T13:00:00Z", "2025-11-21T13:00:00.123+07:00"),
        *("2025-11-21T13:00:00.123456Z", "2025-11-21T24:00:00.000Z", "0001-01-01T00:00:00.000Z"),
        *("9999-12-31T23:59:59.999Z", "2025-11-21 13:00:00", "2025-11-21", "yesterday", ""),
    ]
)
KINDS = st.sampled_from(
    [
        *sorted(name.removeprefix("claude.") for name in payloads.BUILDERS),
        *("content_block_delta", "content_block_start", "message_start", "brand_new", ""),
    ]
)
DELTAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "other"])},
    optional=dict.fromkeys(("text", "thinking", "partial_json"), VALUES),
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "index": VALUES,
        "delta": DELTAS | VALUES,
        "content_block": VALUES | st.just(call_block("t1")) | st.just(TEXT),
        "message": VALUES | st.just(message("m1", output_tokens=1)),
        "usage": st.dictionaries(
            st.sampled_from(["input_tokens", "output_tokens"]), SCALARS, max_size=2
        ),
        "content": VALUES,
        "request_id": VALUES,
        "tool_use_id": VALUES,
        "prompt": VALUES,
        "message_uuid": VALUES,
        "background_tasks": VALUES,
        "operation": VALUES,
        "source": VALUES,
        "reason": VALUES,
    },
)


@st.composite
def rows(draw: st.DrawFn, kinds: st.SearchStrategy[str] = KINDS) -> bytes:
    """A line that looks like the wire's, with odd values in any place."""
    kind = draw(kinds)
    payload: Payload = {"type": kind, **draw(PAYLOADS)}
    inner: Payload = {"timestamp": draw(STAMPS | VALUES), "payload": payload}
    prefix = draw(st.sampled_from(["data: ", "data: ", "data:", "", "event: ", "tada: "]))
    row: Payload = {"event": f"claude.{kind}", "line": prefix + encoded(inner)}
    row |= draw(
        st.fixed_dictionaries(
            {"sid": st.just(SID) | VALUES, "flow_id": st.just("m1") | VALUES},
            optional={
                "metadata": st.just('{"ver":"1","pid":7,"cwd":"/w"}') | st.just("{}") | VALUES,
                "t": STAMPS | VALUES,
                "round": VALUES,
                "data_count": SCALARS,
                "pid": SCALARS,
                "cwd": SCALARS,
                "line": VALUES,
            },
        )
    )
    return json.dumps(row, separators=(",", ":"), ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )


@st.composite
def delta_rows(draw: st.DrawFn) -> bytes:
    """A delta's line in which a few things are odd, which the short way may or may not take."""
    payload: Payload = {"type": "content_block_delta", "index": draw(st.just(0) | SCALARS)}
    payload["delta"] = draw(DELTAS)
    payload["request_id"] = draw(st.just("r1") | SCALARS)
    inner = {"timestamp": draw(STAMPS), "payload": payload}
    row: Payload = {
        "event": "claude.content_block_delta",
        "line": draw(st.sampled_from(["data: ", "data:", "event:"])) + encoded(inner),
        "metadata": draw(st.sampled_from(['{"pid":7}', '{"agent":"a1"}', "{}", "[]", ""])),
        "flow_id": draw(st.just("m1") | SCALARS),
        "data_count": draw(st.just(3) | SCALARS),
        "sid": SID,
    }
    row |= draw(st.fixed_dictionaries({}, optional=dict.fromkeys(("round", "pid", "cwd"), SCALARS)))
    return encoded(row).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A row with bytes replaced, cut out, or put in."""
    line = draw(rows())
    for _ in range(draw(st.integers(1, 3))):
        at, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:at] + draw(st.binary(max_size=4)) + line[min(end, at + 5) :]
    return line


ANY_LINE = (st.binary() | rows() | damaged()).map(lambda line: line.replace(b"\n", b" "))
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(ANY_LINE)
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"line":"data: ' + b"[" * 100_000 + b'"}')
@example(b"\xff" * 100)
@example(b'{"event":"claude.ping","sid":1e999}')
@many
def test_any_bytes_become_values(line: bytes) -> None:
    found = Decoder().decode(line)
    assert all(isinstance(event, Event | Malformed) for event in found)
    assert bool(found) or not line.strip(b" \t\r\n\x00\xef\xbb\xbf")
    Decoder().delta(line)


def delta_line(**changed: object) -> bytes:
    payload: Payload = {"type": "content_block_delta", "index": 0, "request_id": "r1"}
    payload["delta"] = {"type": "text_delta", "text": "x"}
    inner = {"timestamp": "2025-11-21T13:00:00.000Z", "payload": payload}
    line = changed.pop("prefix", "data: ")
    row: Payload = {"event": "claude.content_block_delta", "line": f"{line}{encoded(inner)}"}
    row |= {"metadata": '{"pid":7}', "flow_id": "m1", "data_count": 3, "sid": SID, **changed}
    return encoded(row).encode()


def both_ways(line: bytes) -> tuple[Delta | None, list[Event | Malformed]]:
    short = warm_decoder().delta(line)
    return short, Decoder().decode(line)


def warm_decoder() -> Decoder:
    """One that has seen this session already, and so may take its short ways."""
    decoder = Decoder()
    decoder.decode(delta_line())
    decoder.delta(delta_line())
    return decoder


@given(delta_rows() | rows(st.just("content_block_delta")))
@example(delta_line())
@example(delta_line(prefix="tada: "))
@example(delta_line(pid="9", cwd="/top"))
@example(delta_line(metadata="{}", pid="9"))
@example(delta_line(round=""))
@example(delta_line(data_count=2**70))
@many
def test_the_short_way_and_the_long_one_say_the_same(line: bytes) -> None:
    short, long = both_ways(line)
    assert short is None or long == [short]


@given(rows() | damaged())
@example(delta_line(prefix="tada: "))
@example(delta_line(metadata="{}", pid="9"))
@many
def test_what_came_before_does_not_change_what_a_line_says(line: bytes) -> None:
    assert warm_decoder().decode(line) == Decoder().decode(line)


def test_the_short_way_is_taken() -> None:
    """Else the property above would hold for a `delta` that always gives up."""
    short, long = both_ways(delta_line())
    assert short is not None
    assert (short.text, short.index, short.count, short.time) == ("x", 0, 3, START / 1000)
    assert long == [short]


@given(lines=st.lists(ANY_LINE, max_size=5))
@example(lines=[delta_line(data_count=2**70)])
@example(lines=[delta_line(data_count=-(2**63))])
@some
def test_any_lines_can_be_stored(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    ingest(folder / "data", [write(folder / "log.jsonl", lines)])
    found = dumped(folder / "data")
    ingest(folder / "data", [folder / "log.jsonl"])
    assert_same(dumped(folder / "data"), found)


@pytest.mark.parametrize("form", ["current", "old", "two-line"])
def test_the_short_way_changes_no_dump(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(form)
    lines = scenario(
        rng, form=form, sessions=3, scrambled=0.3, misattributed=0.4, duplicates=0.2, cut=0.1
    )
    log = write(tmp_path / "log.jsonl", lines)
    ingest(tmp_path / "short", [log])
    monkeypatch.setattr("agentmon.engine.core.DELTA_PREFIX", b"no short way")
    ingest(tmp_path / "long", [log])
    assert changes(snapshot(tmp_path / "short"), snapshot(tmp_path / "long")) == []
    ingest(tmp_path / "short", [write(tmp_path / "copy.jsonl", lines)])
    assert dumped(tmp_path / "short")[:-1] == dumped(tmp_path / "long")[:-1]


# -- any order of arrival


@given(lines=scenarios(), seed=st.integers(0, 2**32 - 1))
@some
def test_any_order_that_keeps_the_streams_gives_the_same_dump(
    lines: list[bytes], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    ingest(folder / "one", [write(folder / "one.jsonl", lines)])
    ingest(folder / "two", [write(folder / "two.jsonl", permute(lines, random.Random(seed)))])
    assert_same(dumped(folder / "two"), dumped(folder / "one"))


# -- phases and pending calls, in one run or with a restart after every line

SUB = "a1"


@pytest.fixture(params=[False, True], ids=["one run", "restarts"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Scene(tmp_path, restarts=request.param) as found:
        yield found


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_the_phases_of_a_round(scene: Scene, talk: Talk) -> None:
    seen: list[str] = []
    for line in [*asking(talk), *answering(talk)]:
        scene.say(line)
        phase = scene.agent(SID).phase
        if seen[-1:] != [phase]:
            seen.append(phase)
    assert seen == ["prompting", "writing", "calling", "tool", "prompting", "writing", "idle"]


def test_thinking_is_a_phase(scene: Scene, talk: Talk) -> None:
    scene.say(talk.prompt(0, "?"), talk.start(1, 10))
    scene.say(talk.begin(1, 20, {"type": "thinking", "thinking": "", "signature": ""}))
    assert scene.agent(SID).phase == "thinking"


def test_a_phase_keeps_its_beginning(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk)[:3])
    since = scene.agent(SID).phase_since
    scene.say(*asking(talk)[3:5])
    assert (scene.agent(SID).phase_since, scene.agent(SID).phase) == (since, "writing")


def test_pending_from_completion_to_result(scene: Scene, talk: Talk) -> None:
    pending: list[int] = []
    for line in [*asking(talk), *answering(talk)]:
        scene.say(line)
        pending.append(len(scene.pending()))
    completed, returned = 9, 12
    assert pending == [int(completed <= at < returned) for at in range(len(pending))]


def test_a_result_that_comes_first_leaves_nothing_pending(scene: Scene, talk: Talk) -> None:
    scene.say(answering(talk)[0], *asking(talk))
    assert scene.pending() == []


def test_a_later_message_of_the_thread_is_evidence_of_a_result(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk))
    assert scene.pending() == ["toolu_1"]
    scene.say(talk.start(2, 900))
    assert scene.pending() == []
    assert block_row(scene, "m1", 1)["no_result_at"] == (START + 900) / 1000


def test_the_end_of_the_round_is_evidence_of_a_result(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk), talk.line("stop", 900, {"agent_id": SID}, round_id="round-1"))
    assert scene.pending() == []
    assert block_row(scene, "m1", 1)["no_result_at"] == (START + 900) / 1000
    assert scene.agent(SID).phase == "idle"


def test_a_subagents_message_is_no_evidence(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk, name="Agent"))
    scene.say(talk.start(2, 900, agent=SUB), talk.begin(2, 910, TEXT, agent=SUB))
    assert scene.pending() == ["toolu_1"]
    assert (scene.agent(SID).phase, scene.agent(SID, SUB).phase) == ("tool", "writing")
    assert scene.agent(SID, SUB).parent_tool_use_id == "toolu_1"


def test_parallel_calls_are_pending_each_for_itself(scene: Scene, talk: Talk) -> None:
    lines = asking(talk)
    second = [talk.begin(1, 181, call_block("toolu_b", "Read"), index=2), talk.end(1, 182, index=2)]
    scene.say(*lines[:10], *second, *lines[10:])
    assert scene.pending() == ["toolu_1", "toolu_b"]
    scene.say(talk.line("tool_result", 900, tool_result("toolu_1", "x")))
    assert (scene.pending(), scene.agent(SID).phase) == (["toolu_b"], "tool")
    scene.say(talk.line("tool_result", 901, tool_result("toolu_b", "x")))
    assert (scene.pending(), scene.agent(SID).phase) == ([], "prompting")


def test_waiting_for_a_person_and_back(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk))
    scene.say(talk.line("permission_request", 400, {"tool_name": "Bash"}))
    assert scene.agent(SID).phase == "permission"
    scene.say(talk.line("post_tool_use", 800, {"tool_name": "Bash"}))
    assert (scene.agent(SID).phase, scene.pending()) == ("tool", ["toolu_1"])
    scene.say(*answering(talk)[:1])
    assert (scene.agent(SID).phase, scene.pending()) == ("prompting", [])


def test_a_result_ends_the_wait_for_a_person(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk), talk.line("permission_request", 400, {"tool_name": "Bash"}))
    scene.say(*answering(talk)[:1])
    assert scene.agent(SID).phase == "prompting"


def test_an_error_is_retried(scene: Scene, talk: Talk) -> None:
    error = {"error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r1"}
    scene.say(*asking(talk)[:4], talk.line("error", 300, error, flow="m1"))
    row = scene.agent(SID)
    assert (row.phase, row.phase_detail) == ("retrying", "overloaded_error")
    scene.say(talk.start(2, 900), talk.begin(2, 910, TEXT))
    assert scene.agent(SID).phase == "writing"


def test_an_ended_session_and_its_resume(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk), talk.line("session_end", 500, {"reason": "other"}))
    assert (scene.agent(SID).phase, scene.pending()) == ("ended", [])
    scene.say(talk.line("session_start", 900, {"source": "resume"}))
    assert scene.agent(SID).phase == "idle"


def test_a_late_line_does_not_turn_a_phase_back(scene: Scene, talk: Talk) -> None:
    lines = asking(talk)
    scene.say(*lines[:3], *lines[6:], lines[5], lines[4])
    assert scene.agent(SID).phase == "tool"


def block_row(scene: Scene, flow_id: str, index: int) -> dict[str, Any]:
    from agentmon.store import db, read

    conn = db.open_reading(scene.data_dir)
    try:
        row = read.block(conn, flow_id, index)
    finally:
        conn.close()
    assert row is not None
    return {name: getattr(row, name) for name in row.__struct_fields__}


# -- events that become known later


def reprocessed(folder: Path, lines: list[bytes], name: str) -> list[Row]:
    """The dump after ingesting with an event unknown, then known, then `--reprocess`."""
    log = write(folder / f"{name}.jsonl", lines)
    data = folder / f"later-{name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(payloads.BUILDERS, f"claude.{name}")
        if name == "content_block_delta":
            patch.setattr("agentmon.engine.core.DELTA_PREFIX", b"no short way")
        ingest(data, [log])
        unknown = dumped(data)[-1]["unknown_events"]
    assert unknown > 0
    with Ingestion(data) as run:
        assert run.reprocess() == unknown
        assert run.reprocess() == 0
    return dumped(data)


EVENTS = (
    *("content_block_delta", "message_start", "content_block_start", "content_block_stop"),
    *("message_delta", "message_stop", "ping", "error", "message", "tool_result", "user_prompt"),
    *("session_start", "session_end", "stop", "turn_end", "permission_request"),
)


@pytest.mark.parametrize("name", EVENTS)
def test_reprocessed_events_count_as_if_always_known(name: str, tmp_path: Path) -> None:
    talk = Talk()
    error = {"error": {"type": "overloaded_error"}, "request_id": "r1001"}
    said = [
        talk.line("session_start", 0, {"source": "startup"}),
        *asking(talk, 10),
        talk.line("permission_request", 300, {"tool_name": "Bash"}),
        *answering(talk)[:-4],
        talk.line("ping", 1125, {"request_id": "r1001"}, flow="m1001"),
        talk.line("error", 1126, error, flow="m1001"),
        *answering(talk)[-4:],
        talk.line("turn_end", 1300, {}, round_id="round-1"),
        talk.line("message", 1400, {"message": {**message("mw"), "content": "whole"}}),
        talk.line("session_end", 2000, {"reason": "other"}),
    ]
    known = write(tmp_path / "known.jsonl", said)
    ingest(tmp_path / "known", [known])
    assert_same(reprocessed(tmp_path, said, name), dumped(tmp_path / "known"))


def test_reprocessing_defective_logs(tmp_path: Path) -> None:
    lines = scenario(random.Random(4), sessions=2, rounds=3, misattributed=0.4, lag=0.5)
    ingest(tmp_path / "known", [write(tmp_path / "known.jsonl", lines)])
    for name in ("tool_result", "user_prompt", "message_stop"):
        assert_same(reprocessed(tmp_path, lines, name), dumped(tmp_path / "known"))


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
