"""Output of `claude -p --output-format stream-json`: any at all, and that of real clients."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.core.events import Malformed, Other, Told, ToolResults, TurnStop, Unknown
from agentmon.sources.sse_lines import Decoder
from agentmon.sources.stream_json import FORMAT
from tests.stream_tools import (
    SHARED,
    Whole,
    context,
    decode,
    decode_in_parts,
    json_values,
    lines,
    of,
    streamed,
    told,
    words,
)

SID = "5b1d2c3e-0000-4000-8000-000000000001"
CAPTURES = sorted(SHARED.glob("captures/claude-*/*.stream.jsonl"))
SAMPLES = [*sorted(SHARED.glob("samples/stream_json/*")), *SHARED.glob("samples/examples/E_*")]

Row = dict[str, Any]


def test_bad_lines() -> None:
    data = b'warning: no such file\n{"type":"result","session_id":"sess-1"}\n[1]\n\n'
    assert [e.reason for e in of(decode(FORMAT, data), Malformed)] == [
        "not JSON",
        "sid is not a UUID",
        "not a JSON object",
    ]
    glued = b'{"type":"tool_progress","session_id":"%s"}' % SID.encode()
    assert [type(event) for event in decode(FORMAT, 2 * glued)] == [Other, Other]


_JSON = json_values()
_FIELDS = words(
    "message event session_id uuid parent_tool_use_id agent_id timestamp request tasks patch "
    "task_id status state compact_metadata error rate_limit_info modelUsage tool_use_id usage "
    "errors origin subtype"
)
_TYPES = st.sampled_from(
    ["stream_event", "assistant", "user", "result", "control_request", "system", "x"]
)
_SUBTYPES = words(
    "init status api_retry compact_boundary task_started task_updated background_tasks_changed "
    "session_state_changed informational hook_started"
)


@given(_TYPES, _SUBTYPES, st.dictionaries(_FIELDS, _JSON), _JSON, st.booleans())
def test_any_record_is_read(kind: str, subtype: str, fields: Row, part: object, deep: bool) -> None:
    record: Row = {"type": kind, "subtype": subtype, "session_id": SID, **fields}
    if deep:
        record["message"] = {"id": "m", "content": [part, {"type": part, "text": part}]}
        record["event"] = {"type": "content_block_start", "index": part, "content_block": part}
    data = json.dumps(record).encode()
    assert decode_in_parts(FORMAT, data) == decode(FORMAT, data)


@given(st.binary())
def test_any_bytes_are_read(data: bytes) -> None:
    decode(FORMAT, data)
    FORMAT.open(context(data)).decode(b'{"type":"result"}')


# -- recordings of real clients, where they are


@pytest.mark.skipif(not SAMPLES, reason="no recordings beside the project")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_are_read(path: Path) -> None:
    events = decode(FORMAT, path.read_bytes())
    assert events
    if path.suffix == ".jsonl":
        known = [event for event in events if not isinstance(event, Malformed)]
        bad = [e for e in of(events, Malformed) if e.reason != "sid is not a UUID"]
        names = {event.name for event in of(known, Unknown)}
        assert not bad
        assert not names or "unknown" in path.name or names <= {"user", "keep_alive", None}


@pytest.mark.skipif(not CAPTURES, reason="no recordings beside the project")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_run_is_told_as_on_the_wire(path: Path) -> None:
    wire = _wire(path.parent / "sse_lines.jsonl")
    events = decode(FORMAT, path.read_bytes())
    assert not of(events, Unknown, Malformed)
    is_killed = not of(events, TurnStop)
    for name, message in streamed(events).items():
        theirs = wire[name]
        assert (message.types, message.calls) == (theirs.types, theirs.calls)
        assert (message.usage, message.stop_reason) == (theirs.usage, theirs.stop_reason)
        for index, text in message.texts.items():
            assert theirs.texts[index] == text or (
                is_killed and theirs.texts[index].startswith(text)
            )
    agents = {e.message_id for e in of(events, Told) if e.meta.agent_id is not None}
    for name, message in told(events).items():
        theirs = wire[name]
        for index, text in message.texts.items():
            if message.types[index] == "tool_use":
                [place] = [at for at, call in theirs.calls.items() if call == message.calls[index]]
                assert json.loads(text) == json.loads(theirs.texts[place])
                assert place == index or name in agents
            else:
                assert text == theirs.texts[index]
    results = Counter(r.tool_use_id for e in of(events, ToolResults) for r in e.results)
    assert set(results.values()) <= {1}


def _wire(path: Path) -> dict[str, Whole]:
    one = Decoder()
    return streamed(
        e for line, offset in lines(path.read_bytes()) for e in one.decode(line, offset)
    )
