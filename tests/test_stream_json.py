"""Output of `claude -p --output-format stream-json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentmon.core.events import (
    AgentSaid,
    BlockStop,
    Event,
    Facts,
    MessageStop,
    Notice,
    Other,
    Prompt,
    Retry,
    SessionEnd,
    SessionStart,
    Told,
    ToolResults,
    TurnAborted,
    TurnStop,
    Unknown,
)
from agentmon.sources.decoding import Context, Decoded
from agentmon.sources.stream_json import FORMAT
from tests.stream_tools import (
    DATA,
    NOW,
    context,
    decode,
    decode_in_parts,
    key,
    lines,
    of,
    streamed,
    told,
)

SID = "5b1d2c3e-0000-4000-8000-000000000001"
PARTIAL = (DATA / "partial.stream.jsonl").read_bytes()
WHOLE = (DATA / "whole.stream.jsonl").read_bytes()

Row = dict[str, Any]


def row(kind: str, **fields: object) -> bytes:
    return json.dumps({"type": kind, "session_id": SID, **fields}).encode()


def one(kind: str, **fields: object) -> list[Decoded]:
    return decode(FORMAT, row(kind, **fields))


def system(subtype: str, **fields: object) -> list[Decoded]:
    return one("system", subtype=subtype, **fields)


def facts(events: list[Decoded]) -> dict[str, object]:
    return {name: value for event in of(events, Facts) for name, value in event.values.items()}


def stamp(seconds: float) -> float:
    return 1_772_445_600.0 + seconds


# -- with partial messages


def test_blocks_are_streamed_and_told_alike() -> None:
    events = decode(FORMAT, PARTIAL)
    live, whole = streamed(events), told(events)
    assert [*live] == ["msg_01", "msg_02", "msg_03", "msg_04"]
    for name in ("msg_01", "msg_03", "msg_04"):
        assert live[name].types == whole[name].types
        assert live[name].calls == whole[name].calls
        for index, text in live[name].texts.items():
            is_call = live[name].types[index] == "tool_use"
            told_text = whole[name].texts[index]
            assert (json.loads(told_text) == json.loads(text)) if is_call else told_text == text
    assert live["msg_01"].texts[1] == "I run it – “twice”."
    assert live["msg_01"].usage["output_tokens"] == 87
    assert live["msg_01"].stop_reason == "tool_use"


def test_usage_of_a_told_block_is_not_final() -> None:
    events = decode(FORMAT, PARTIAL)
    first = of(events, Told)[0]
    counts = {"input_tokens": 12, "cache_read_tokens": 900, "cache_write_tokens": 7}
    assert first.usage == counts
    assert first.request_id == "req_msg_01"


def test_stops_of_a_stream_that_broke_are_made_up() -> None:
    events = decode(FORMAT, PARTIAL)
    assert "msg_02" in streamed(events)
    assert "msg_02" not in {event.flow for event in of(events, BlockStop, MessageStop)}
    assert "stream cut off" in {event.said for event in of(events, Other)}
    assert len(of(events, BlockStop)) == 6
    [retry] = of(events, Retry)
    assert (retry.error_type, retry.message) == ("overloaded", "HTTP 529")
    assert round(retry.delay or 0, 5) == 0.54605
    assert (retry.attempt, retry.max_attempts) == (1, 10)


def test_a_message_counts_its_events_and_a_line_has_one_key() -> None:
    per_line = [[key(e) for e in decode_line] for decode_line in _by_line(PARTIAL)]
    assert all(len(set(keys)) == 1 for keys in per_line)
    keys = [keys[0] for keys in per_line]
    assert len(set(keys)) == len(keys)
    counts = [key[3] for key in keys if key[2] == "msg_01"]
    assert counts == [*range(len(counts))]


def test_a_second_reading_makes_the_same_keys() -> None:
    events = decode(FORMAT, PARTIAL)
    again = decode(FORMAT, PARTIAL + PARTIAL)
    assert {key(event) for event in again} == {key(event) for event in events}
    assert told(again)["msg_01"] == told(events)["msg_01"]


def _by_line(data: bytes) -> list[list[Any]]:
    one = FORMAT.open(context())
    found = [one.decode(line, offset) for line, offset in lines(data)]
    return [events for events in found if events]


@pytest.mark.parametrize("data", [PARTIAL, WHOLE])
def test_a_restart_after_each_line_changes_nothing(data: bytes) -> None:
    assert decode_in_parts(FORMAT, data) == decode(FORMAT, data)


def test_the_saved_state_stays_small() -> None:
    one = FORMAT.open(context())
    for number in range(300):
        message = {"id": f"msg_{number}", "content": [{"type": "text", "text": "x" * 1000}]}
        fields = {"message": message, "uuid": f"u{number}", "agent_id": f"a{number}"}
        one.decode(row("assistant", parent_tool_use_id=f"t{number}", **fields))
    assert len(one.save()) < 20_000


def test_times_are_those_of_the_records_else_of_their_receipt() -> None:
    events = [event for event in decode(FORMAT, PARTIAL) if isinstance(event, Event)]
    times = [event.time for event in events]
    assert times[0] == NOW
    texts = {event.blocks[0].text: event.time for event in of(events, Told) if event.blocks}
    assert texts["Look at the test."] == stamp(1.0)
    # what has no time goes by the clock of an old recording once that is known
    assert of(events, MessageStop)[0].time == stamp(2.0)
    assert times[-1] == stamp(11.0)


def test_a_live_stream_goes_by_its_receipt() -> None:
    now = [stamp(0.1)]
    one = FORMAT.open(context(receipt=lambda: now[0]))
    message = {"role": "user", "content": "go"}
    one.decode(row("user", message=message, timestamp="2026-03-02T10:00:00.000Z"))
    now[0] += 20.0
    [event] = one.decode(row("tool_progress", tool_name="Bash"))
    assert isinstance(event, Other)
    assert abs((event.time or 0) - stamp(20.0)) < 0.001
    assert event.said == "tool_progress Bash"


def test_a_recording_is_read_by_its_own_clock_from_its_first_record(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_bytes(PARTIAL)
    one = FORMAT.open(Context(str(path), lambda: NOW))
    events = [e for line, offset in lines(PARTIAL) for e in one.decode(line, offset)]
    times = [event.time or 0 for event in events if isinstance(event, Event)]
    assert (times[0], times[-1]) == (stamp(0.5), stamp(11.0))
    assert times == sorted(times)


def test_a_recording_that_goes_on_live() -> None:
    now = [NOW]
    one = FORMAT.open(context(receipt=lambda: now[0]))
    for line, offset in lines(PARTIAL):
        one.decode(line, offset)
    now[0] += 1000.0
    [event] = one.decode(row("keep_alive"))
    assert isinstance(event, Other)
    assert event.time == now[0]


# -- subagents


def test_a_subagent_is_told_apart() -> None:
    events = decode(FORMAT, PARTIAL)
    said = of(events, AgentSaid)
    assert {event.agent_id for event in said} == {"a93ccab"}
    assert {event.parent_tool_use_id for event in said} == {"toolu_2", None}
    assert [event.status for event in said if event.status] == ["running", *["completed"] * 2]
    assert {event.kind for event in said} == {"Explore", None}
    theirs = {e.message_id for e in of(events, Told) if e.meta.agent_id == "a93ccab"}
    assert theirs == {"msg_s1", "msg_s2"}
    results = {e.results[0].tool_use_id: e.meta.agent_id for e in of(events, ToolResults)}
    assert results == {"toolu_1": None, "toolu_3": "a93ccab", "toolu_2": None}
    done = [event.message_id for event in of(events, Told) if event.is_done]
    assert done == ["msg_s1", "msg_s2"]


def test_a_call_of_a_subagent_names_its_block_itself() -> None:
    """Some builds leave the text blocks of subagents out."""
    [first] = [
        e for e in of(decode(FORMAT, PARTIAL), Told) if e.message_id == "msg_s1" and e.blocks
    ]
    [block] = first.blocks
    assert (block.index, block.tool_use_id) == (None, "toolu_3")


def test_a_subagent_without_an_id_goes_by_its_call() -> None:
    message = {"id": "m", "content": [{"type": "text", "text": "x"}]}
    events = one("assistant", message=message, parent_tool_use_id="toolu_5")
    assert isinstance(events[0], Told)
    assert events[0].meta.agent_id == "toolu_5"
    [said] = of(events, AgentSaid)
    assert (said.agent_id, said.parent_tool_use_id) == ("toolu_5", "toolu_5")


def test_interleaved_streams_do_not_mix() -> None:
    def event(parent: str | None, **event: object) -> bytes:
        return row("stream_event", event=event, parent_tool_use_id=parent, uuid=str(event))

    def start(name: str) -> Row:
        return {"type": "message_start", "message": {"id": name}}

    def text(piece: str) -> Row:
        delta = {"type": "text_delta", "text": piece}
        return {"type": "content_block_delta", "index": 0, "delta": delta}

    data = b"\n".join(
        [
            event(None, **start("msg_m")),
            event("toolu_1", **start("msg_s")),
            event(None, **text("main")),
            event("toolu_1", **text("sub")),
            event(None, **text(" too")),
        ]
    )
    whole = streamed(decode(FORMAT, data))
    assert {name: message.texts[0] for name, message in whole.items()} == {
        "msg_m": "main too",
        "msg_s": "sub",
    }


# -- without partial messages


def test_blocks_are_counted_where_nothing_streams() -> None:
    events = decode(FORMAT, WHOLE)
    places = [(e.message_id, e.blocks[0].index) for e in of(events, Told) if e.blocks]
    assert places[:4] == [("msg_11", 0), ("msg_11", 1), ("msg_11", 2), ("msg_12", 0)]
    done = [(e.message_id, e.stop_reason) for e in of(events, Told) if e.is_done and not e.blocks]
    assert done == [("msg_11", None), ("msg_12", "end_turn")]


def test_a_message_that_broke_off_is_never_done() -> None:
    message = {"id": "m1", "content": [{"type": "text", "text": "Half"}]}
    cut = "Your response above was cut off mid-stream. Resume directly."
    user = {"role": "user", "content": [{"type": "text", "text": cut}]}
    data = [
        row("assistant", message=message, parent_tool_use_id=None),
        row("user", message=user, parent_tool_use_id=None, isSynthetic=True),
        row("assistant", message={**message, "id": "m2"}, parent_tool_use_id=None),
        row("result", subtype="success", stop_reason="end_turn"),
    ]
    events = decode(FORMAT, b"\n".join(data))
    assert [event.message_id for event in of(events, Told) if event.is_done] == ["m2"]
    assert not of(events, Prompt)


def test_an_error_that_became_a_message() -> None:
    events = decode(FORMAT, WHOLE)
    [error] = [event for event in of(events, Told) if event.error]
    assert (error.error, error.usage, error.model) == ("API Error: 429 rate limit", {}, None)
    assert error.is_done
    [notice] = of(events, Notice)
    assert (notice.name, notice.text) == ("stop_failure", "API Error: 429 rate limit")


def test_an_interrupted_turn_is_aborted_once() -> None:
    events = decode(FORMAT, WHOLE)
    [aborted] = of(events, TurnAborted)
    assert aborted.reason == "interrupted"
    assert len(of(events, TurnStop)) == 2
    [only] = of(
        one("result", subtype="error_during_execution", terminal_reason="aborted_tools"),
        TurnAborted,
    )
    assert only.reason == "aborted_tools"


# -- sessions, turns, facts


def test_the_session_its_prompt_and_its_end() -> None:
    events = decode(FORMAT, PARTIAL)
    [start], [end], [prompt] = of(events, SessionStart), of(events, SessionEnd), of(events, Prompt)
    assert (start.sid, start.source, start.meta.version) == (SID, "new", "2.1.330")
    assert (start.meta.cwd, start.meta.pid, start.meta.kind) == ("/home/u/p", None, "stream")
    assert (prompt.text, prompt.round) == ("fix the test, naïve one", None)
    assert prompt.message_uuid == "c0000000-0000-4000-8000-000000000003"
    assert end.reason == "clear"
    [stop] = of(events, TurnStop)
    assert (stop.name, stop.background) == ("turn_end", ["a93ccab"])


def test_a_session_begins_once_and_another_after_a_reset() -> None:
    second = "5b1d2c3e-0000-4000-8000-000000000002"
    init = row("system", subtype="init").replace(SID.encode(), second.encode())
    events = decode(FORMAT, PARTIAL + b"\n".join([init, init]))
    assert [(e.sid, e.source) for e in of(events, SessionStart)] == [
        (SID, "new"),
        (second, "clear"),
    ]


def test_facts() -> None:
    assert facts(decode(FORMAT, PARTIAL)) == {
        "model": "claude-opus-4-6",
        "permission_mode": "default",
        "compactions": 1,
        "context_tokens": 9000,
        "todo": [{"text": "a", "status": "pending"}],
        "rate_limit": {"status": "allowed_warning", "utilization": 0.91},
        "cost_usd": 0.0123,
        "context_window": 1_000_000,
    }


@pytest.mark.parametrize(
    ("state", "kind"), [("idle", "idle"), ("running", "busy"), ("requires_action", "waiting")]
)
def test_states(state: str, kind: str) -> None:
    [notice] = of(system("session_state_changed", state=state), Notice)
    assert (notice.name, notice.kind) == ("status", kind)


def test_compaction() -> None:
    [begun] = of(system("status", status="compacting"), Notice)
    assert begun.name == "pre_compact"
    metadata = {"trigger": "auto", "pre_tokens": 1}
    [boundary] = of(system("compact_boundary", compact_metadata=metadata), Notice)
    assert (boundary.name, boundary.kind) == ("compact_boundary", "auto")
    [failed] = of(system("status", status=None, compact_error="too long"), Notice)
    assert (failed.name, failed.text) == ("post_compact", "too long")


def test_permission_is_asked_for_in_the_newest_session() -> None:
    ask: Row = {
        "subtype": "can_use_tool",
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "input": {},
    }
    data = row("system", subtype="init") + b"\n"
    data += json.dumps({"type": "control_request", "request_id": "r", "request": ask}).encode()
    [notice] = of(decode(FORMAT, data), Notice)
    assert (notice.sid, notice.name, notice.tool_use_id) == (SID, "permission_request", "toolu_1")
    assert notice.text == "Bash"


def test_control_records_before_any_session_are_kept() -> None:
    [event] = decode(FORMAT, b'{"type":"keep_alive"}')
    assert isinstance(event, Unknown)
    assert event.sid == ""


@pytest.mark.parametrize(
    ("content", "more"),
    [
        ("<task-notification>x</task-notification>", {}),
        ("<command-name>/clear</command-name>", {}),
        ("made up", {"isSynthetic": True}),
        ("made up", {"origin": {"kind": "task-notification"}}),
        ([{"type": "image"}], {"isSynthetic": True}),
    ],
)
def test_what_nobody_typed_is_no_prompt(content: object, more: Row) -> None:
    events = one("user", message={"role": "user", "content": content}, **more)
    assert [type(event) for event in events] == [Other]


def test_what_is_not_known_is_kept_whole() -> None:
    [event] = one("weird", foo=1)
    assert isinstance(event, Unknown)
    assert (event.name, json.loads(event.raw)["foo"]) == ("weird", 1)
    [event] = system("brand_new")
    assert isinstance(event, Unknown)
    assert event.name == "system/brand_new"
