"""The oracle against expectations written by hand from the contract, one rule a case."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.oracle import dump_of
from tests.wire import SID, START, TEXT, Talk, message, tool_result

Row = Mapping[str, Any]


def at(ms: int) -> float:
    return (START + ms) / 1000


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def dump(*lines: bytes) -> Sequence[Row]:
    return dump_of([b"".join(line + b"\n" for line in lines)])


def of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def counts(rows: Sequence[Row], *names: str) -> list[int]:
    return [of(rows, "counts")[0][name] for name in names]


def test_a_whole_message() -> None:
    pen = Talk()
    rows = dump(
        pen.line("session_start", 0, {"source": "new"}, round_id="w"),
        pen.prompt(10, f"hi\nYour agent Id is: {SID}", "u1", round_id="a"),
        pen.start(1, 20, round_id="a"),
        pen.begin(1, 30, {"type": "thinking", "thinking": "", "signature": ""}),
        pen.stream(
            "content_block_delta",
            1,
            40,
            {"index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        ),
        pen.end(1, 50),
        pen.begin(1, 60, {"type": "text", "text": "He"}, 1),
        pen.text(1, 70, "llo", 1),
        pen.text(1, 80, "", 1),
        pen.reason(1, 90, "end_turn", output_tokens=9, cache_read_input_tokens=7),
        pen.stop(1, 100),
        pen.line("stop", 110, {"agent_id": SID}, round_id="a"),
        pen.line("turn_end", 120, {}, round_id="a"),
        pen.line("session_end", 130, {"reason": "other"}, round_id="a"),
    )
    assert rows == [
        {
            "kind": "session",
            "sid": SID,
            "agent": "claude",
            "pid": 81551,
            "cwd": "/home/u/p",
            "version": "claude-code-2.0.42",
            "start_time": at(0),
            "end_time": at(130),
            "end_reason": "other",
        },
        {
            "kind": "round",
            "round_id": "a",
            "sid": SID,
            "round_number": 1,
            "user_prompt": "hi",
            "start_time": at(10),
            "end_time": at(120),
            "duration_ms": 110,
            "is_complete": True,
            "is_aborted": False,
        },
        {
            "kind": "message",
            "flow_id": "m1",
            "request_id": "r1",
            "sid": SID,
            "round_id": "a",
            "agent_id": None,
            "role": "assistant",
            "model": "claude-x",
            "stop_reason": "end_turn",
            "start_time": at(20),
            "end_time": at(100),
            "is_complete": True,
            "input_tokens": 4,
            "output_tokens": 9,
            "cache_read_tokens": 7,
            "cache_write_tokens": None,
        },
        {
            "kind": "block",
            "flow_id": "m1",
            "index": 0,
            "block_type": "thinking",
            "tool_use_id": None,
            "tool_name": None,
            "delta_count": 0,
            "total_bytes": 0,
            "sha256": sha(""),
            "is_complete": True,
            "start_time": at(30),
            "complete_time": at(50),
        },
        {
            "kind": "block",
            "flow_id": "m1",
            "index": 1,
            "block_type": "text",
            "tool_use_id": None,
            "tool_name": None,
            "delta_count": 2,
            "total_bytes": 5,
            "sha256": sha("Hello"),
            "is_complete": True,
            "start_time": at(60),
            "complete_time": at(100),
        },
        {
            "kind": "counts",
            "lines": 14,
            "events": 14,
            "bad_lines": 0,
            "torn": 0,
            "duplicates": 0,
            "reattributed": 0,
            "unknown_events": 0,
        },
    ]


def texts(rows: Sequence[Row]) -> list[tuple[str, int, str]]:
    return [(row["flow_id"], row["index"], row["sha256"]) for row in of(rows, "block")]


def test_equal_rows_are_one_whatever_their_local_time() -> None:
    line = Talk().prompt(0, "a")
    rows = dump(line, line, line.replace(b"T20:00", b"T21:00"))
    assert counts(rows, "lines", "events", "duplicates") == [1, 1, 2]


def test_a_message_starts_once_and_a_prompt_is_asked_once() -> None:
    pen = Talk()
    rows = dump(
        pen.prompt(0, "a", "u1"),
        pen.prompt(400, "a", "u1"),
        pen.start(1, 500),
        pen.begin(1, 510, TEXT),
        pen.text(1, 520, "x"),
        pen.start(1, 530),
        pen.text(1, 540, "y"),
    )
    assert counts(rows, "lines", "events", "duplicates") == [5, 5, 2]
    assert [row["user_prompt"] for row in of(rows, "round")] == ["a"]
    assert [row["start_time"] for row in of(rows, "message")] == [at(500)]
    assert texts(rows) == [("m1", 0, sha("xy"))]


def test_streams_are_told_apart_by_their_request() -> None:
    pen = Talk()
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.text(1, 2, "one "),
        pen.start(2, 3),
        pen.text(1, 4, "more", flow="m2"),
        pen.begin(2, 5, TEXT),
        pen.text(2, 6, "two"),
        pen.stream("ping", 1, 7, {}, flow="m2"),
        pen.stop(2, 8),
    )
    assert texts(rows) == [("m1", 0, sha("one more")), ("m2", 0, sha("two"))]
    assert counts(rows, "reattributed") == [1]
    assert [row["is_complete"] for row in of(rows, "message")] == [False, True]


def test_a_stream_without_start_is_a_message_with_nulls() -> None:
    pen = Talk()
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.begin(2, 2, TEXT, flow="m2"),
        pen.text(2, 3, "two", flow="m1"),
        pen.text(1, 4, "one"),
        pen.reason(2, 5, "end_turn", output_tokens=3),
    )
    assert texts(rows) == [("m1", 0, sha("one")), ("m2", 0, sha("two"))]
    names = ("role", "model", "start_time", "output_tokens", "input_tokens", "is_complete")
    assert [of(rows, "message")[1][name] for name in names] == [None, None, at(2), 3, None, True]


def test_a_second_message_on_one_request_takes_what_follows() -> None:
    pen = Talk()
    spliced = {"message": message("m9")}
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.text(1, 2, "a"),
        pen.stream("message_start", 1, 3, spliced, flow="m9"),
        pen.begin(1, 4, TEXT, flow="m9"),
        pen.text(1, 5, "b", flow="m9"),
        pen.stream("message_stop", 1, 6, {}, flow="m9"),
    )
    assert texts(rows) == [("m1", 0, sha("a")), ("m9", 0, sha("b"))]
    assert [row["is_complete"] for row in of(rows, "message")] == [False, True]


def test_deltas_are_put_in_the_order_of_their_counter() -> None:
    pen = Talk()
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.text(1, 5, "c", count=4),
        pen.text(1, 3, "a", count=2),
        pen.text(1, 4, "b", count=3),
    )
    assert texts(rows) == [("m1", 0, sha("abc"))]


def test_a_counter_that_starts_again_opens_a_group() -> None:
    pen = Talk()
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.text(1, 3, "a", count=2),
        pen.text(1, 4, "b", count=3),
        pen.text(1, 6, "d", count=2),
        pen.text(1, 5, "c", count=1),
    )
    assert texts(rows) == [("m1", 0, sha("abcd"))]
    pen = Talk()
    rows = dump(  # by flow as written: the groups by their first times
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.text(1, 9, "b", count=1, flow="m2"),
        pen.text(1, 3, "a", count=7),
    )
    assert texts(rows) == [("m1", 0, sha("ab"))]


@pytest.mark.parametrize(
    ("deltas", "given", "text", "count"),
    [
        (["", '{"a":', "1}"], {}, '{"a":1}', 3),
        (["", '{"a"'], {"b": 2}, '{"a"', 2),
        ([], {"b": 2, "a": "é"}, '{"b":2,"a":"é"}', 0),
        ([""], {}, "", 1),
        ([], {}, "", 0),
    ],
)
def test_the_text_of_a_call_is_its_input(
    deltas: list[str], given: Row, text: str, count: int
) -> None:
    pen = Talk()
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": given}
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, call),
        *[pen.json(1, 2 + n, delta) for n, delta in enumerate(deltas)],
    )
    names = ("tool_use_id", "tool_name", "sha256", "delta_count", "total_bytes", "is_complete")
    expected = ["t1", "Bash", sha(text), count, len(text.encode()), False]
    assert [of(rows, "block")[0][name] for name in names] == expected


def test_blocks_end_by_stop_by_the_next_start_or_with_the_message() -> None:
    pen = Talk()
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.begin(1, 2, TEXT, 1),
        pen.end(1, 3, 1),
        pen.begin(1, 4, {"type": "redacted_thinking", "data": "ZW5j"}, 3),
        pen.reason(1, 5, "end_turn"),
    )
    assert [row["complete_time"] for row in of(rows, "block")] == [at(2), at(3), None]
    assert [row["end_time"] for row in of(rows, "message")] == [None]
    assert [row["is_complete"] for row in of(rows, "message")] == [True]
    assert [row["total_bytes"] for row in of(rows, "block")] == [0, 0, 0]


def test_compaction_has_text_and_citations_have_none() -> None:
    pen = Talk()
    citation = {"type": "citations_delta", "citation": {"type": "char_location"}}
    summary = {"type": "compaction_delta", "content": "Sum"}
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, {"type": "compaction", "content": None}),
        pen.stream("content_block_delta", 1, 2, {"index": 0, "delta": summary}),
        pen.begin(1, 3, TEXT, 1),
        pen.stream("content_block_delta", 1, 4, {"index": 1, "delta": citation}),
    )
    assert [(b["delta_count"], b["total_bytes"]) for b in of(rows, "block")] == [(1, 3), (0, 0)]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_lone_surrogates_are_replaced_delta_by_delta(ascii_only: bool) -> None:
    pen = Talk()
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.text(1, 2, "a\ud83d", ascii_only=ascii_only),
        pen.text(1, 3, "\ude00b", ascii_only=ascii_only),
        pen.text(1, 4, "\ud83d\ude00", ascii_only=ascii_only),
    )
    assert texts(rows) == [("m1", 0, sha("a\ufffd\ufffdb\U0001f600"))]


def test_a_message_that_came_whole() -> None:
    pen = Talk()
    body = {
        "id": "m5",
        "role": "assistant",
        "model": "claude-x",
        "content": [TEXT, {"type": "tool_use", "id": "t1", "name": "Read", "input": {"p": 1}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    rows = dump(
        pen.line("message", 3, {"message": body, "request_id": "r5"}, flow="m5"),
        pen.line("tool_result", 9, {"tool_use_id": "t1", "content": "ok"}),
    )
    (found,) = of(rows, "message")
    assert (found["start_time"], found["end_time"], found["is_complete"]) == (at(3), at(3), True)
    assert [(b["delta_count"], b["complete_time"]) for b in of(rows, "block")] == [(0, at(3))] * 2
    assert of(rows, "block")[1]["sha256"] == sha('{"p":1}')
    assert of(rows, "tool_result")[0]["execution_duration_ms"] == 6


def test_an_error_leaves_its_message_incomplete_and_makes_none() -> None:
    pen = Talk()
    failure = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 1, TEXT),
        pen.stream("error", 1, 2, failure),
        pen.line("error", 3, failure, flow="msg_in_1"),
    )
    assert [(row["flow_id"], row["is_complete"]) for row in of(rows, "message")] == [("m1", False)]
    assert [row["is_complete"] for row in of(rows, "block")] == [False]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("é\n", "é\n"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "text", "text": "a"}, {"type": "é", "n": [1]}], 'a\n{"type":"é","n":[1]}'),
        ("x\ud83d", "x\ufffd"),
    ],
)
def test_the_text_of_a_result(content: object, text: str) -> None:
    pen = Talk()
    (row,) = of(dump(pen.line("tool_result", 1, tool_result("t1", content))), "tool_result")
    assert row == {
        "kind": "tool_result",
        "tool_use_id": "t1",
        "flow_id": None,
        "index": None,
        "is_error": False,
        "content_size": len(text.encode()),
        "sha256": sha(text),
        "result_time": at(1),
        "execution_duration_ms": None,
    }


def test_results_are_joined_once_to_their_calls() -> None:
    pen = Talk()
    call: Row = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
    rows = dump(
        pen.start(1, 0),
        pen.begin(1, 10, call),
        pen.line("tool_result", 15, {"tool_use_id": "t1", "content": "", "is_error": True}),
        pen.end(1, 20),
        pen.line("tool_result", 30, tool_result("t1", "second")),
    )
    (row,) = of(rows, "tool_result")
    assert [row[n] for n in ("flow_id", "index", "is_error", "content_size")] == ["m1", 0, True, 0]
    assert row["execution_duration_ms"] == 0
    assert counts(rows, "lines", "events", "duplicates") == [5, 5, 1]
