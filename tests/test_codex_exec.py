"""Output of `codex exec --json`."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Malformed,
    Other,
    Retry,
    StreamError,
    Told,
    ToolResults,
    TurnStop,
    Unknown,
)
from agentmon.sources.codex_exec import FORMAT
from agentmon.sources.decoding import Decoded
from tests.deep import examples
from tests.stream_tools import (
    NOW,
    SHARED,
    Whole,
    decode,
    decode_in_parts,
    json_values,
    key,
    of,
    told,
    words,
)

RUN = (Path(__file__).parent / "data" / "codex" / "exec.stream.jsonl").read_bytes()
SID = "01a1fa00-1000-7000-8000-00000000000a"
CAPTURES = sorted(SHARED.glob("captures/codex-*/x.stream.jsonl"))
SAMPLES = sorted(SHARED.glob("samples/codex_exec/*"))

Row = dict[str, Any]
START: Row = {"type": "thread.started", "thread_id": SID}


def read(*rows: Row) -> list[Decoded]:
    return decode(FORMAT, b"\n".join(json.dumps(row).encode() for row in (START, *rows)))


def item(kind: str, number: int = 0, state: str = "completed", **fields: object) -> Row:
    return {"type": f"item.{state}", "item": {"id": f"item_{number}", "type": kind, **fields}}


def message(text: str) -> Row:
    return item("agent_message", 9, text=text)


def messages(events: list[Decoded]) -> list[list[str]]:
    """The types of the blocks of each message."""
    return [[*whole.types.values()] for whole in told(events).values()]


def test_a_run() -> None:
    events = decode(FORMAT, RUN)
    assert messages(events) == [
        ["thinking", "text", "tool_use", "tool_use"],
        ["tool_use"],
        ["text", "tool_use"],
        ["tool_use"],
        ["text"],
        ["text"],
    ]
    assert {(one.sid, one.time, one.round) for one in of(events, Event)} == {(SID, NOW, None)}
    assert {(one.meta.agent, one.meta.kind) for one in of(events, Event)} == {("codex", "stream")}
    wholes = [*told(events).values()]
    assert wholes[0].texts[1] == "I look at giá and the plan."
    assert wholes[3].texts[0] == '{"q":"giá"}'
    results = [result for one in of(events, ToolResults) for result in one.results]
    assert [(result.text, result.is_error) for result in results] == [
        ("", True),
        ("a;1\nb;2\n", False),
        ("", False),
        ("", False),
        ("timed out", True),
    ]
    calls = {call for whole in wholes for call in whole.calls.values() if call}
    assert calls == {result.tool_use_id for result in results}
    agents = [(one.parent_tool_use_id, one.status) for one in of(events, AgentSaid)]
    assert agents == [(wholes[1].calls[0], None), (None, "completed")]
    assert of(events, Facts)[0].values["todo"] == [
        {"text": "read", "status": "completed"},
        {"text": "mend", "status": "pending"},
    ]
    (retry,) = of(events, Retry)
    assert (retry.attempt, retry.max_attempts) == (1, 5)
    assert len(of(events, TurnStop)) == 3
    assert not of(events, Unknown, Malformed)


def test_tokens_are_sums_and_each_turn_gets_its_own() -> None:
    wholes: list[Whole] = [*told(decode(FORMAT, RUN)).values()]
    assert [whole.usage.get("input_tokens") for whole in wholes] == [
        *[None] * 4,
        6800,
        1700,
    ]
    anew = {"type": "turn.completed", "usage": {"input_tokens": 7, "output_tokens": 1}}
    more = {"type": "turn.completed", "usage": {"input_tokens": 9, "output_tokens": 4}}
    again = read(message("a"), more, message("b"), anew, START, message("c"), more)
    assert [w.usage for w in told(again).values()] == [
        {"input_tokens": 9, "output_tokens": 4},
        {"input_tokens": 7, "output_tokens": 1},
        {"input_tokens": 2, "output_tokens": 3},
    ]


def test_failures() -> None:
    failed = {"type": "turn.failed", "error": {"message": "gone"}}
    last, stop = read(message("half"), failed)[-2:]
    assert isinstance(last, Told)
    assert (last.error, last.is_done) == ("gone", False)
    assert isinstance(stop, TurnStop)
    assert of(read(failed), StreamError)[0].message == "gone"
    assert of(read({"type": "error", "message": "no"}), StreamError)[0].message == "no"


def test_items_of_another_run_with_the_same_numbers_are_others() -> None:
    command = item("command_execution", command="ls", aggregated_output="x", exit_code=0)
    events = read(command, START, command)
    results = [result.tool_use_id for one in of(events, ToolResults) for result in one.results]
    assert len(set(results)) == 2
    begun = item("command_execution", state="started", command="ls")
    twice = read(begun, command, command)
    assert len(of(twice, ToolResults)) == 1
    assert isinstance(twice[-1], Other)


def test_what_it_does_not_know() -> None:
    unknown = of(read(item("brand_new"), {"type": "brand.new"}), Unknown)
    assert [one.name for one in unknown] == ["item.completed", "brand.new"]
    nobody = {**START, "thread_id": "t1"}
    assert [type(one) for one in read(nobody, message("x"))[1:]] == [Malformed, Malformed]


@pytest.mark.parametrize("path", [*CAPTURES, *SAMPLES], ids=lambda path: path.parts[-2])
def test_recordings_are_read(path: Path) -> None:
    data = path.read_bytes()
    events = decode(FORMAT, data)
    assert events
    assert decode_in_parts(FORMAT, data) == events
    if path in CAPTURES:
        assert not of(events, Unknown, Malformed)


def test_a_restart_anywhere_changes_nothing() -> None:
    events = decode(FORMAT, RUN)
    assert decode_in_parts(FORMAT, RUN) == events
    assert [*map(key, of(decode(FORMAT, RUN), Event))] == [*map(key, of(events, Event))]
    assert FORMAT.knows([json.loads(line) for line in RUN.splitlines()])


ROWS = [json.loads(line) for line in RUN.splitlines()]
KEYS = words(
    "type id text items usage status error result agents_states receiver_thread_ids arguments"
    " changes command exit_code aggregated_output server tool prompt"
)


@settings(max_examples=examples(10, 60))
@given(st.lists(st.tuples(st.sampled_from(ROWS), st.dictionaries(KEYS, json_values()))))
def test_any_records_are_read(picked: list[tuple[Row, Row]]) -> None:
    rows = [{**row, "item": {**row.get("item", {}), **more}} for row, more in picked]
    rows += [{**row, **more} for row, more in picked]
    log = b"\n".join(json.dumps(row).encode() for row in (START, *rows))
    assert decode_in_parts(FORMAT, log) == decode(FORMAT, log)


@given(st.binary(max_size=80))
def test_any_bytes_are_read(data: bytes) -> None:
    decode(FORMAT, json.dumps(START).encode() + b"\n" + data)
