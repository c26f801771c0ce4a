"""One tool call: what was called, where, for how long, what came back."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from agentmon.core.text import one_line
from agentmon.report.dump import milliseconds
from agentmon.report.naming import Unclear
from agentmon.report.words import UNKNOWN, brief, moment, size, timer
from agentmon.store import read
from agentmon.store.content import Contents
from agentmon.store.read_calls import CallRow, call, call_ids

PREVIEW = 500
"""Characters of a result that a summary shows."""


class ToolCall(Struct, frozen=True):
    """A call and its result; one of them may not be known (a result whose call was never seen)."""

    tool_use_id: str
    call: CallRow | None
    result: read.ResultRow | None


def find(conn: sqlite3.Connection, name: str) -> ToolCall:
    """The call of an id, or of the start of one. Raises Unclear."""
    found = _get(conn, name)
    if found is None and len(name) >= 4:
        ids = call_ids(conn, name)
        if len(ids) > 1:
            raise Unclear(f"more than one tool call answers to {name!r}: {', '.join(ids)}")
        found = _get(conn, ids[0]) if ids else None
    if found is None:
        raise Unclear(f"no tool call answers to {name!r}")
    return found


def _get(conn: sqlite3.Connection, tool_use_id: str) -> ToolCall | None:
    row, result = call(conn, tool_use_id), read.result(conn, tool_use_id)
    return ToolCall(tool_use_id, row, result) if row is not None or result is not None else None


def input_of(conn: sqlite3.Connection, data_dir: Path, found: ToolCall) -> Iterable[bytes]:
    """The exact input, JSON as the agent wrote it. Raises Unclear where it is not known."""
    block = read.block(conn, found.call.flow_id, found.call.index) if found.call else None
    if block is None:
        raise Unclear(f"the call of {found.tool_use_id} was never seen, only its result")
    return Contents(conn, data_dir).block(block)


def result_of(conn: sqlite3.Connection, data_dir: Path, found: ToolCall) -> Iterable[bytes]:
    """The exact result. Raises Unclear where there is none."""
    if found.result is None:
        why = {
            "calling": "is still being written",
            "unseen": "returned, but no source has its result",
            "server": "was run by the API itself, its result is a block of the message",
        }
        state = found.call.state if found.call is not None else ""
        raise Unclear(f"{found.tool_use_id} {why.get(state, 'is pending: no result has come')}")
    return Contents(conn, data_dir).result(found.result)


def is_whole(found: ToolCall, name: str) -> bool:
    """Whether the text of its "input" or "result" was kept as a whole."""
    if name == "input":
        return found.call is None or not found.call.is_cut
    result = found.result
    if result is None or result.file is not None:
        return True
    return len(result.content.encode("utf-8", "replace")) >= result.content_size


def as_json(found: ToolCall, now: float) -> dict[str, object]:
    """The summary as plain values; `age` is for how long a pending call has been waiting."""
    row, result = found.call, found.result
    is_error = result.is_error if result is not None else row.is_error if row is not None else None
    preview = result.content[:PREVIEW] if result is not None else None
    called = row.called_at if row is not None else None
    came = result.result_time if result is not None else row.result_time if row else None
    took = milliseconds(called, came)
    state = row.state if row is not None else "returned"
    return {
        "tool_use_id": found.tool_use_id,
        "tool_name": row.tool_name if row is not None else None,
        "sid": row.sid if row is not None else result.sid if result is not None else None,
        "agent_id": row.agent_id if row is not None else None,
        "round_id": row.round_id if row is not None else None,
        "round_start": row.round_start if row is not None else None,
        "user_prompt": row.user_prompt if row is not None else None,
        "flow_id": row.flow_id if row is not None else None,
        "index": row.index if row is not None else None,
        "model": row.model if row is not None else None,
        "message_start": row.message_start if row is not None else None,
        "state": state,
        "start_time": row.start_time if row is not None else None,
        "called_at": called,
        "result_time": came,
        "execution_duration_ms": None if took is None else max(0, took),
        "age": max(0.0, now - called) if state == "pending" and called is not None else None,
        "is_error": is_error,
        "error": preview if is_error else None,
        "input_bytes": row.input_bytes if row is not None else None,
        "input_preview": row.input_preview if row is not None else None,
        "result_bytes": result.content_size if result is not None else None,
        "result_sha256": result.sha256 if result is not None else None,
        "result_preview": preview,
    }


def as_text(found: ToolCall, now: float, width: int) -> list[str]:
    """The summary in lines."""
    row, result = found.call, found.result
    lines: list[tuple[str, str]] = [("call", found.tool_use_id)]
    if row is not None:
        state = row.state
        if state == "pending" and row.called_at is not None:
            state = f"pending for {timer(now - row.called_at)}"
        elif state == "returned":
            state = f"returned after {brief(row.duration)}{', with an error' * bool(row.is_error)}"
        agent = f", subagent {row.agent_id}" if row.agent_id else ""
        lines += [
            ("tool", row.tool_name or UNKNOWN),
            ("state", state),
            ("session", row.sid + agent),
            ("round", f"{row.round_id or UNKNOWN}  {row.user_prompt or ''}"),
            ("message", f"{row.flow_id} block {row.index}, {row.model or UNKNOWN}"),
            ("begun", moment(row.start_time)),
            ("called", moment(row.called_at)),
            ("input", f"{size(row.input_bytes)}  {row.input_preview or ''}"),
        ]
    else:
        lines.append(("state", "its call was never seen"))
    if result is not None:
        word = "error" if result.is_error else "result"
        lines.append(("returned", moment(result.result_time)))
        lines.append((word, f"{size(result.content_size)}  {result.content[:PREVIEW]}"))
    return [f"{name:<9} {one_line(value, max(20, width - 10))}" for name, value in lines]
