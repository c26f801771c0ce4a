"""Whatever clients send and servers answer: the recorder never raises, and pieces do not matter."""

import json
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmon.capture.asked import read
from agentmon.capture.envelope import envelope
from agentmon.capture.sse import SseReader
from tests.captured import process
from tests.deep import examples
from tests.heard import SID, Tap, reply, result, stream, user
from tests.oracle import dump_of

Row = dict[str, Any]

texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["", "\ud800", "\u2028\u0085\x0b", "\x00\x1b[31m", "data: ", "\n\n", "[DONE]", "é日"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "type role content text choices tool_calls function name arguments tool_use_id is_error message"
    " id delta stop_reason index messages metadata user_id session_id tools system input call_id"
    " output response request_id error usage"
)
KINDS = (
    "message_start content_block_delta message_delta message_stop error message response.created"
    " response.completed tool_result text user assistant function_call_output base64"
)
kinds = st.sampled_from(KINDS.split())
objects = st.recursive(
    values | kinds,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5)
    ),
    max_leaves=12,
)
"""JSON that looks like what is looked for, with something else in some places."""


def cuts(data: bytes, at: Sequence[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(one % (len(data) + 1) for one in at)})
    return [data[start:end] for start, end in pairwise(marks)]


pieces = st.lists(st.integers(0, 10_000), max_size=12)
line_ends = st.sampled_from(["\n", "\r", "\r\n"])


@given(st.lists(st.tuples(texts, st.lists(texts, max_size=3))), line_ends, pieces, st.booleans())
def test_pieces_of_a_stream_do_not_matter(
    events: list[tuple[str, list[str]]], end: str, at: list[int], has_bom: bool
) -> None:
    expected: list[tuple[str, bytes]] = []
    text = "\ufeff" if has_bom else ""
    for name, data in events:
        name = " ".join(name.replace("\ud800", "").splitlines())
        data = [one.replace("\ud800", "").replace("\r", "").replace("\n", "") for one in data]
        name = name.replace("\r", "").replace("\n", "")
        text += f": a comment{end}event: {name}{end}" + "".join(f"data: {one}{end}" for one in data)
        text += end
        if data:
            expected.append((name, "\n".join(data).encode()))
    reader = SseReader()
    found = [one for piece in cuts(text.encode(), at) for one in reader.feed(piece)]
    assert found == expected
    assert reader.passed_over == 0


@given(st.integers(1, 60), st.integers(1, 30), pieces)
def test_event_that_is_too_long_is_passed_over(size: int, limit: int, at: list[int]) -> None:
    long, short = b"data: " + b"x" * size + b"\n\n", b"event: e\ndata: y\n\n"
    reader = SseReader(limit + 20)
    found = [one for piece in cuts(long + short, at) for one in reader.feed(piece)]
    assert found[-1] == ("e", b"y")
    assert len(found) + reader.passed_over == 2
    held = SseReader(limit)
    for _ in range(100):
        assert held.feed(b"data: " + b"x" * limit) == []
        assert sum(map(len, held._held)) <= 2 * limit + 6  # pyright: ignore[reportPrivateUsage]


@settings(max_examples=examples(20, 50), deadline=None)
@given(pieces)
def test_pieces_of_an_answer_do_not_matter(at: list[int]) -> None:
    data = b"".join(
        f"event: {row['type']}\ndata: {json.dumps(row, ensure_ascii=False)}\n\n".encode()
        for row in stream(text="é日\u2028\u0085")
    )
    with tempfile.TemporaryDirectory() as folder:
        tap = Tap(Path(folder))
        exchange = tap.claude([user("one")])
        exchange.response(200, [("content-type", "text/event-stream"), ("request-id", "r")])
        for piece in cuts(data, at):
            exchange.feed(piece)
        exchange.end("complete")
        answer = [line.payload for line in tap.said()[2:-1]]
    assert answer == [{**row, "request_id": "r"} for row in stream(text="é日\u2028\u0085")]


requests = objects | st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(objects, max_size=4),
        "input": st.lists(objects, max_size=4),
        "metadata": objects,
        "tools": objects,
    },
)
bodies = st.binary(max_size=60) | requests.map(lambda value: json.dumps(value).encode())
paths = st.sampled_from(["/v1/messages?beta=true", "/v1/responses", "/v1/chat/completions", "//"])
HEADERS = (
    "User-Agent X-Claude-Code-Session-Id x-claude-code-agent-id session-id x-codex-turn-metadata"
    " x-openai-subagent content-encoding content-type request-id"
)
header_names = st.sampled_from(HEADERS.split())
header_values = texts | st.sampled_from(
    ["claude-cli/2", "codex-tui/1", SID, "gzip", "text/event-stream", '{"session_id":1}']
)
headers = st.lists(st.tuples(header_names, header_values), max_size=4)
wire_bytes = st.binary(max_size=60) | objects.map(
    lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"
)
outcomes = st.sampled_from(["complete", "client_gone", "upstream_gone"])


@settings(max_examples=examples(24, 60), deadline=None)
@given(paths, headers, bodies, headers, st.sampled_from([200, 429]), st.lists(wire_bytes), outcomes)
@example("/v1/messages", [], b"[" * 20_000, [("content-type", "text/event-stream")], 200,
         [b"data: " + b'{"type":' * 10_000 + b"\n\n"], "complete")  # fmt: skip
@example("/v1/responses", [], b'{"input":[{"type":[]}]}', [], 200, [], "complete")
def test_nothing_raises_and_every_line_is_one(
    path: str,
    asked: list[tuple[str, str]],
    body: bytes,
    answered: list[tuple[str, str]],
    status: int,
    data: list[bytes],
    outcome: Any,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tap = Tap(Path(folder))
        exchange = tap.recorder.begin("POST", path, asked, body, process(1, "/\udcff"))
        exchange.response(status, answered)
        for piece in data:
            exchange.feed(piece)
        exchange.end(outcome)
        exchange.feed(b"late")
        exchange.end("complete")
        tap.recorder.tick(lambda pid: False)
        tap.recorder.close()
        assert tap.recorder.faults == 0
        for line in tap.said():
            assert [*line.row][:: len(line.row) - 1] == ["event", "sid"]
            assert line.raw.decode("utf-8")


conversations = st.lists(
    st.sampled_from(["typed", "typed", "again", "tools", "mixed", "interrupt", "retry"]), max_size=8
)


@settings(max_examples=examples(20, 50), deadline=None)
@given(conversations)
def test_every_prompt_and_result_once(steps: list[str]) -> None:
    """A conversation grows by steps; each is sent with all that was before, perhaps again."""
    said, prompts, results = [user("0")], ["0"], list[str]()
    with tempfile.TemporaryDirectory() as folder:
        tap = Tap(Path(folder))
        tap.claude(said)
        for number, step in enumerate(steps, 1):
            if step in ("typed", "again"):
                said += [reply(), user("same" if step == "again" else str(number))]
                prompts.append("same" if step == "again" else str(number))
            elif step in ("tools", "mixed"):
                results += [f"a{number}", f"b{number}"]
                more = [str(number)] if step == "mixed" else []
                prompts += more
                said += [reply(), user(result(f"a{number}"), result(f"b{number}"), *more)]
            elif step == "interrupt":
                said[-1] = user(
                    *said[-1]["content"], "[Request interrupted by user]", f"no {number}"
                )
                prompts.append(f"no {number}")
            tap.claude(said)
        lines = tap.said()
        log = Path(tap.log.path)
        rounds = [row for row in dump_of([log]) if row["kind"] == "round"]
    told = [line.payload["prompt"] for line in lines if line.kind == "user_prompt"]
    assert told == prompts
    assert [line.payload["tool_use_id"] for line in lines if line.kind == "tool_result"] == results
    assert len(rounds) <= len(prompts)


@given(st.dictionaries(texts, values, max_size=4), st.floats(), texts, texts)
def test_line_says_what_it_was_given(
    more: dict[str, Any], time: float, flow: str, round_id: str
) -> None:
    payload = {**more, "type": "x"}
    where = {"flow_id": flow, "round": round_id, "sid": SID}
    line = envelope("claude.x", payload, time=time, count=3, metadata="{}", **where)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    row = json.loads(line)
    assert (row["flow_id"], row["round"], row["data_count"]) == (flow, round_id, 3)
    inner = json.loads(row["line"].removeprefix("data: "))
    assert repr(inner["payload"]) == repr(json.loads(json.dumps(payload)))
    assert read(line) is not None
