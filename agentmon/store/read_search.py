"""What can be found: whose text it is, and the text itself. A part of the read side.

A new kind of text (messages between agents, say) is one more entry of `LOOK`, one more number in
`search_queue` and one more statement of `search_index.SCANS`.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from agentmon.store.deltas import block_path, read_bytes
from agentmon.store.search_queue import BLOCKS, PROMPTS, RESULTS

Place = tuple[int, str, int]
"""(kind of row, owner, number), as in `search_queue`."""


class Found(Struct):
    """One text: whose it is and where. Times are epoch seconds; `bytes` is its whole length."""

    place: Place
    kind: str
    """prompt, text, thinking, input, result; `other` for blocks of any other type."""
    sid: str
    time: float
    product: str
    agent_id: str
    agent_kind: str | None
    cwd: str | None
    round_id: str | None
    flow_id: str | None
    index: int | None
    tool_use_id: str | None
    tool_name: str | None
    is_error: bool | None
    bytes: int
    file: str | None = None
    """Where the text lies, below the data folder; None: `text` has it."""
    text: str | None = None


def look(conn: sqlite3.Connection, place: Place) -> Found | None:
    """What is at a place now; None where nothing is, or nothing that is whole."""
    return LOOK[place[0]](conn, place)


def text_of(data_dir: Path, found: Found, most: int) -> str:
    """The text, at most so many bytes of it; arguments of calls without their JSON."""
    if found.file is None:
        data = (found.text or "").encode("utf-8", "replace")[:most]
    else:
        data = read_bytes(data_dir, found.file, 0, min(found.bytes, most))
    text = data.decode("utf-8", "ignore")
    return plain(text) if found.kind == "input" else text


BLOCK = """
SELECT b.block_type, b.sid, b.complete_time, COALESCE(s.agent, ''), COALESCE(m.agent_id, ''),
       a.kind, s.cwd, m.round_id, b.flow_id, b.block_index, b.tool_use_id, b.tool_name,
       b.result_is_error, b.stored_bytes, NULL,
       CASE WHEN b.uses_told THEN (
         SELECT t.text FROM told_blocks t
         WHERE t.flow_id = b.flow_id AND t.block_index = b.block_index) END
FROM content_blocks b JOIN messages m USING (flow_id)
LEFT JOIN sessions s ON s.sid = b.sid
LEFT JOIN agents a ON a.sid = b.sid AND a.agent_id = m.agent_id
WHERE b.flow_id = ? AND b.block_index = ? AND b.complete_time IS NOT NULL AND b.total_bytes > 0"""

RESULT = """
SELECT 'result', r.sid, r.result_time, COALESCE(s.agent, ''), COALESCE(m.agent_id, ''),
       a.kind, s.cwd, m.round_id, b.flow_id, b.block_index, r.tool_use_id, b.tool_name,
       r.is_error, r.content_size, r.file, COALESCE(r.content, '')
FROM tool_results r
LEFT JOIN content_blocks b ON b.tool_use_id = r.tool_use_id
LEFT JOIN messages m ON m.flow_id = b.flow_id
LEFT JOIN sessions s ON s.sid = r.sid
LEFT JOIN agents a ON a.sid = r.sid AND a.agent_id = m.agent_id
WHERE r.tool_use_id = ? AND r.content_size > 0 LIMIT 1"""

PROMPT = """
SELECT 'prompt', p.sid, p.time, COALESCE(s.agent, ''), '', NULL, s.cwd, p.round_id,
       NULL, NULL, NULL, NULL, NULL, 0, NULL, p.text
FROM prompts p LEFT JOIN sessions s USING (sid)
WHERE p.sid = ? AND p.ordinal = ? AND p.text <> ''"""

_WORDS = {"text": "text", "thinking": "thinking"}


def _block(conn: sqlite3.Connection, place: Place) -> Found | None:
    found = _found(conn, BLOCK, place, place[1:])
    if found is not None:
        kind = found.kind or ""
        found.kind = "input" if kind.endswith("tool_use") else _WORDS.get(kind, "other")
        if found.text is None:
            found.file = block_path(found.sid, place[1], place[2])
    return found


def _result(conn: sqlite3.Connection, place: Place) -> Found | None:
    return _found(conn, RESULT, place, place[1:2])


def _prompt(conn: sqlite3.Connection, place: Place) -> Found | None:
    return _found(conn, PROMPT, place, place[1:])


def _found(
    conn: sqlite3.Connection, sql: str, place: Place, args: tuple[object, ...]
) -> Found | None:
    row = conn.execute(sql, args).fetchone()
    if row is None:
        return None
    found = Found(place, *row)
    if found.is_error is not None:
        found.is_error = bool(found.is_error)
    if found.text is not None and found.file is None:
        found.bytes = len(found.text.encode("utf-8", "replace"))
    return found


LOOK: dict[int, Callable[[sqlite3.Connection, Place], Found | None]] = {
    PROMPTS: _prompt,
    BLOCKS: _block,
    RESULTS: _result,
}


ROUND_NUMBER = """
SELECT COUNT(*) FROM rounds
WHERE sid = ? AND prompts > 0 AND start_time <= (
  SELECT start_time FROM rounds WHERE sid = ? AND round_id = ? AND prompts > 0)"""


def round_number(conn: sqlite3.Connection, sid: str, round_id: str | None) -> int | None:
    """The number of a round in its session; None for a message of no round."""
    (number,) = conn.execute(ROUND_NUMBER, (sid, sid, round_id)).fetchone()
    return number or None


def plain(text: str) -> str:
    """Arguments as a person reads them: names and values, escapes undone; as they are where they
    are no JSON."""
    try:
        value: object = msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return text
    lines: list[str] = []
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            inner = cast("dict[str, Any]", value)
            waiting += [(str(key), inner[key]) for key in reversed(inner)]
        elif isinstance(value, list):
            waiting += [(name, item) for item in reversed(cast("list[Any]", value))]
        else:
            word = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            lines.append(f"{name}: {word}" if name else word)
    return "\n".join(lines)
