"""The oracle against real recordings, whose text is put together here a second way.

No counters, no groups, no duplicates: the recording proxy writes each stream in order, under its
own message id, so what was said can be read straight off.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.deep import each_nth
from tests.oracle import dump_of

SHARED = Path(__file__).parents[1].parent / "shared"
LOGS = [
    *sorted(SHARED.glob("captures/claude-*/sse_lines.jsonl")),
    *sorted(SHARED.glob("samples/sse_lines/claude__*.jsonl")),
]
EXAMPLES = SHARED / "samples/examples/A_sse_claude.jsonl"

needs_shared = pytest.mark.skipif(not LOGS, reason="the recordings are not here")
each_log = pytest.mark.parametrize(
    "log", each_nth(LOGS, 3, first=1), ids=lambda log: log.parent.name + "/" + log.name
)

Row = dict[str, Any]


def said(log: Path) -> Iterator[tuple[str, Row]]:
    """(flow id, payload) of every line with data."""
    for line in log.read_bytes().split(b"\n"):
        row: Row = json.loads(line) if line else {"line": ""}
        if row["line"].startswith("data: "):
            yield row["flow_id"], json.loads(row["line"][6:])["payload"]


@cache
def dump(log: Path) -> list[Row]:
    return dump_of([log])


def of(log: Path, kind: str) -> list[Row]:
    return [row for row in dump(log) if row["kind"] == kind]


@needs_shared
@each_log
def test_texts_are_what_the_wire_said(log: Path) -> None:
    pieces: dict[tuple[str, int], list[str]] = {}
    for flow, payload in said(log):
        if payload["type"] == "content_block_start":
            pieces[flow, payload["index"]] = []
        elif payload["type"] == "content_block_delta":
            delta = payload["delta"]
            text = delta.get("text", delta.get("thinking", delta.get("partial_json")))
            if text is not None:
                pieces[flow, payload["index"]].append(text)
    expected = {
        key: (len(texts), hashlib.sha256("".join(texts).encode()).hexdigest())
        for key, texts in pieces.items()
    }
    found = {
        (row["flow_id"], row["index"]): (row["delta_count"], row["sha256"])
        for row in of(log, "block")
    }
    assert found == expected
    assert found


@needs_shared
@each_log
def test_tokens_are_those_of_the_last_message_delta(log: Path) -> None:
    usage: dict[str, Row] = {}
    for flow, payload in said(log):
        if payload["type"] == "message_start":
            usage[flow] = dict(payload["message"]["usage"])
        elif payload["type"] == "message_delta":
            usage[flow].update(payload["usage"])
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens")
    expected = {flow: [said[name] for name in names] for flow, said in usage.items()}
    names = ("input_tokens", "output_tokens", "cache_read_tokens")
    found = {row["flow_id"]: [row[name] for name in names] for row in of(log, "message")}
    assert found == expected
    assert found


@needs_shared
@each_log
def test_results_are_joined_to_their_calls(log: Path) -> None:
    calls: dict[str, tuple[str, int]] = {}
    results: dict[str, tuple[str, int] | None] = {}
    for flow, payload in said(log):
        if payload["type"] == "content_block_start" and "id" in payload["content_block"]:
            calls[payload["content_block"]["id"]] = flow, payload["index"]
        if payload["type"] == "tool_result":
            for part in payload.get("message", {"content": [payload]})["content"]:
                results[part["tool_use_id"]] = calls.get(part["tool_use_id"])
    rows = of(log, "tool_result")
    found = {row["tool_use_id"]: (row["flow_id"], row["index"]) for row in rows}
    assert found == {key: call or (None, None) for key, call in results.items()}
    timed = [row for row in rows if row["flow_id"] is not None]
    assert all(row["execution_duration_ms"] >= 0 for row in timed)


@needs_shared
def test_recorded_rounds() -> None:
    """Two prompts answered, one interrupted, one typed while another ran, a `/clear` between."""
    rows = of(SHARED / "captures/claude-tui/sse_lines.jsonl", "round")
    found = [(r["round_number"], r["user_prompt"][:9], r["is_complete"]) for r in rows]
    first = [(1, "e2e:full@", True), (2, "e2e:slow@", False)]
    second = [(1, "e2e:hello", True), (2, "e2e:slow@", True), (3, "e2e:hello", True)]
    assert found == [*first, *second]
    assert [row["is_aborted"] for row in rows] == [False, True, False, False, False]


@needs_shared
def test_the_examples() -> None:
    rows = dump_of([EXAMPLES])
    kinds = [row["kind"] for row in rows]
    assert kinds == ["session", "round", "message", *["block"] * 3, "tool_result", "counts"]
    session, turn, message, thinking, text, call, result, counts = rows
    assert (session["pid"], session["end_reason"]) == (81551, "prompt_input_exit")
    assert (turn["user_prompt"], turn["duration_ms"]) == ("fix the test", 555)
    assert [message[n] for n in ("stop_reason", "output_tokens")] == ["tool_use", 87]
    assert [b["total_bytes"] for b in (thinking, text, call)] == [17, 6, 16]
    assert (result["index"], result["is_error"], result["content_size"]) == (2, True, 8)
    assert result["execution_duration_ms"] == 37
    # Its message_stop stands twice; three more, of other times and forms, are its own lines.
    names = ("lines", "events", "duplicates", "unknown_events")
    assert [counts[name] for name in names] == [22, 21, 1, 1]
