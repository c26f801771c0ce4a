"""Captures of a model API's event stream."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.core.events import (
    BlockStop,
    Delta,
    Event,
    Malformed,
    MessageStart,
    MessageStop,
    Ping,
    StreamError,
    Told,
    Unknown,
)
from agentmon.engine.ingest import Ingestion
from agentmon.sources.raw_sse import FORMAT
from agentmon.store import read
from tests.deep import each_nth
from tests.stream_tools import (
    DATA,
    NOW,
    SHARED,
    context,
    decode,
    decode_in_parts,
    json_values,
    key,
    lines,
    of,
    streamed,
    told,
    words,
)

ANTHROPIC = (DATA / "anthropic.sse").read_bytes()
OPENAI = (DATA / "openai.sse").read_bytes()
SAMPLES = [
    *SHARED.glob("samples/examples/F_*"),
    *sorted(SHARED.glob("samples/anthropic_sse/*")),
    *sorted(SHARED.glob("samples/openai_sse/*.txt")),
]

Row = dict[str, Any]


def chunk(kind: str, **fields: object) -> bytes:
    return json.dumps({"type": kind, **fields}).encode() + b"\n"


def data_of(stream: bytes) -> bytes:
    """Only the JSON of each event, one per line."""
    rows = [line[6:] for line, _ in lines(stream) if line.startswith(b"data: {")]
    return b"".join(row + b"\n" for row in rows)


def shape(events: list[Any]) -> list[tuple[object, ...]]:
    """Events without what depends on how they were framed."""
    return [(type(event), *key(event), event.time) for event in events]


def test_an_anthropic_stream() -> None:
    events = decode(FORMAT, ANTHROPIC)
    assert not of(events, Malformed, Unknown)
    first, second = streamed(events).items()
    assert first[0] == "msg_a"
    assert first[1].texts == {0: "Hm, so.", 1: "Grüße\n"}
    assert first[1].types == {0: "thinking", 1: "text"}
    assert (first[1].stop_reason, first[1].usage["output_tokens"]) == ("end_turn", 42)
    assert second[0] == "msg_b"
    assert second[1].texts == {0: '{"command":'}
    assert second[1].calls == {0: "toolu_b"}
    assert len(of(events, BlockStop)) == 2
    assert len(of(events, MessageStop)) == 1
    [error] = of(events, StreamError)
    assert (error.error_type, error.request_id) == ("overloaded_error", "sse:msg_b")


def test_events_are_of_one_session_at_the_time_of_their_receipt() -> None:
    events = [event for event in decode(FORMAT, ANTHROPIC) if isinstance(event, Event)]
    [(sid, meta)] = {(event.sid, event.meta) for event in events}
    assert len(sid) == 36
    assert (meta.agent, meta.kind, meta.pid) == ("anthropic", "sse", None)
    assert {event.time for event in events} == {NOW}
    assert {event.round for event in events} == {None}
    assert {event.request_id for event in of(events, Delta)} == {"sse:msg_a", "sse:msg_b"}
    assert decode(FORMAT, OPENAI)[0] != events[0]


def test_an_openai_stream() -> None:
    events = decode(FORMAT, OPENAI)
    assert not of(events, Malformed, Unknown)
    [(name, message)] = streamed(events).items()
    assert name == "resp_1"
    assert message.texts == {0: "Hi there", 1: '{"cmd":"ls"}'}
    assert message.types == {0: "text", 1: "tool_use"}
    assert message.calls == {0: None, 1: "call_1"}
    end = of(events, Told)[-1]
    assert end.is_done
    assert end.usage == {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 4}
    assert told(events)["resp_1"].texts == message.texts
    assert {event.meta.agent for event in of(events, Delta)} == {"openai"}


@pytest.mark.parametrize("stream", [ANTHROPIC, OPENAI])
def test_framing_says_nothing(stream: bytes) -> None:
    """The names of events, comments, blank lines, CRLF, what HTTP wrote before."""
    plain = shape(decode(FORMAT, data_of(stream)))
    assert shape(decode(FORMAT, stream)) == plain
    assert shape(decode(FORMAT, stream.replace(b"\n", b"\r\n"))) == plain
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    assert shape(decode(FORMAT, b"\xef\xbb\xbf" + head + stream)) == plain
    named = stream.replace(b"data: ", b"id: 7\nretry: 10\ndata:")
    assert shape(decode(FORMAT, named)) == plain


def test_data_over_several_lines() -> None:
    row = {"type": "message_start", "message": {"id": "msg_x", "model": "m"}}
    pretty = json.dumps(row, indent=1).replace("\n", "\ndata: ")
    for parts in (False, True):
        read = decode_in_parts if parts else decode
        events = read(FORMAT, f"data: {pretty}\n\n".encode() + ANTHROPIC)
        assert [event.message_id for event in of(events, MessageStart)][:2] == ["msg_x", "msg_a"]
        assert not of(events, Malformed)


def test_data_that_breaks_off_is_bad_and_the_next_is_read() -> None:
    torn = b'data: {"type":"message_start","mess\n'
    for between in (b"\n", b""):
        events = decode(FORMAT, torn + between + ANTHROPIC)
        [bad] = of(events, Malformed)
        assert (bad.reason, bad.offset) == ("not JSON", 0)
        assert shape(events[1:]) == shape(decode(FORMAT, ANTHROPIC))


def test_endless_data_is_not_held() -> None:
    decoder = FORMAT.open(context())
    found: list[object] = []
    for _ in range(40):
        found += decoder.decode(b"data: {" + b"x" * 50_000)
    assert len(of(found, Malformed)) == 1
    assert len(decoder.save()) < 2 << 20


@pytest.mark.parametrize("stream", [ANTHROPIC, OPENAI])
def test_a_restart_after_each_line_changes_nothing(stream: bytes) -> None:
    assert decode_in_parts(FORMAT, stream) == decode(FORMAT, stream)


@pytest.mark.parametrize("stream", [ANTHROPIC, OPENAI])
def test_a_copy_says_the_same(stream: bytes) -> None:
    """Twice in one file: every line of the second time is known."""
    once, twice = decode(FORMAT, stream), decode(FORMAT, stream + stream)
    late = {key(event) for event in twice} - {key(event) for event in once}
    assert late <= {key(event) for event in of(twice, Ping)}


def test_two_starts_of_one_message_and_a_spliced_one() -> None:
    start = {"id": "msg_1", "role": "assistant"}
    delta = {"type": "text_delta", "text": "a"}
    block = {"type": "text", "text": ""}
    stream = (
        2 * chunk("message_start", message=start)
        + chunk("content_block_start", index=0, content_block=block)
        + chunk("content_block_delta", index=0, delta=delta)
        + chunk("message_start", message={**start, "id": "msg_2"})
        + chunk("content_block_start", index=0, content_block=block)
        + 2 * chunk("content_block_delta", index=0, delta=delta)
    )
    events = decode(FORMAT, stream)
    assert {name: whole.texts for name, whole in streamed(events).items()} == {
        "msg_1": {0: "a"},
        "msg_2": {0: "aa"},
    }
    repeated = [found for found, times in Counter(map(key, events)).items() if times > 1]
    assert repeated == [key(events[0])]


def test_a_capture_that_begins_in_the_middle() -> None:
    delta = {"type": "text_delta", "text": "late"}
    [event] = decode(FORMAT, chunk("content_block_delta", index=0, delta=delta))
    assert isinstance(event, Delta)
    assert (event.request_id, event.flow) == (None, "")
    [event] = decode(FORMAT, chunk("response.output_text.delta", output_index=0, delta="late"))
    assert isinstance(event, Delta)
    assert (event.text, event.meta.agent) == ("late", "openai")


def test_a_proxy_that_gives_every_event_another_id() -> None:
    stream = OPENAI
    for at in range(stream.count(b'"resp_1"')):
        stream = stream.replace(b'"resp_1"', b'"rotated_%d"' % at, 1)
    assert b'"rotated_1"' in stream
    events = decode(FORMAT, stream)
    assert {*streamed(events), *told(events)} == {"rotated_0"}


def test_what_is_not_known_is_kept_whole() -> None:
    chat = b'data: {"object":"chat.completion.chunk","choices":[]}\n\ndata: [DONE]\n'
    [event] = decode(FORMAT, chat)
    assert isinstance(event, Unknown)
    [event] = decode(FORMAT, chunk("content_block_delta", index="x"))
    assert isinstance(event, Unknown)
    assert event.name == "content_block_delta"


_TYPES = words(
    "message_start content_block_start content_block_delta content_block_stop message_delta "
    "message_stop ping error response.created response.output_item.added x "
    "response.output_item.done response.output_text.delta response.completed response.failed"
)
_FIELDS = words(
    "message index content_block delta usage error response item item_id output_index "
    "sequence_number code"
)
_EVENTS = st.tuples(_TYPES, st.dictionaries(_FIELDS, json_values()))


@given(st.lists(_EVENTS, max_size=4))
def test_any_event_is_read(rows: list[tuple[str, Row]]) -> None:
    stream = b"".join(chunk(kind, **fields) for kind, fields in rows)
    assert decode_in_parts(FORMAT, stream) == decode(FORMAT, stream)


@given(st.binary())
def test_any_bytes_are_read(data: bytes) -> None:
    decode(FORMAT, data)
    decode(FORMAT, b"data: " + data.replace(b"\n", b"\ndata: "))
    FORMAT.open(context(data)).decode(chunk("ping"))


@pytest.mark.skipif(not SAMPLES, reason="no recordings beside the project")
@pytest.mark.parametrize("path", each_nth(SAMPLES, 3), ids=lambda path: path.name)
def test_samples_are_read(path: Path) -> None:
    stream = path.read_bytes()
    events = decode(FORMAT, stream)
    assert bool(of(events, Malformed)) == any(map(_is_broken, stream.split(b"\n")))
    assert decode_in_parts(FORMAT, stream) == events
    assert {*told(events)} <= {*streamed(events)}


def _is_broken(line: bytes) -> bool:
    body = line.removeprefix(b"data: ").strip()
    try:
        return body.startswith(b"{") and not json.loads(body)
    except ValueError:
        return True


def test_a_capture_has_no_pending_calls(tmp_path: Path) -> None:
    """What the client answers is never in it: a call of it is not waited for."""
    log = tmp_path / "capture.sse"
    call: dict[str, object] = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {}}
    said: list[dict[str, object]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {}}},
        {"type": "content_block_start", "index": 0, "content_block": call},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}},
        {"type": "message_stop"},
    ]
    log.write_text("".join(f"data: {json.dumps(one)}\n\n" for one in said))
    with Ingestion(tmp_path / "store") as run:
        run.read_all([str(log)])
        (session,) = read.sessions(run.conn)
        assert read.pending(run.conn) == []
        assert [agent.phase for agent in read.agents(run.conn, session.sid)] == ["idle"]
