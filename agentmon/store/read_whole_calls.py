"""Tool calls with all that is known of them, for what is derived from calls. A part of `read`.

Where two blocks claim a `tool_use_id`, the first is the call (as in `read_calls`).
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from agentmon.core.names import session_name, subagent_name
from agentmon.store.deltas import block_path, read_bytes
from agentmon.store.search_queue import BLOCKS, RESULTS

MOST_BLOCKS = 2_000
"""Rows of `content_blocks` that are gone through at once."""


class WholeCall(Struct):
    """A finished tool_use block with its message, session and result; times are epoch seconds."""

    tool_use_id: str
    name: str
    flow_id: str
    index: int
    sid: str
    agent_id: str | None
    round_id: str | None
    called_at: float
    result_time: float | None
    is_error: bool | None
    no_result_at: float | None
    input_bytes: int
    told: str | None
    """The text of its arguments, where it is not in a delta file."""
    cwd: str | None
    product: str
    kind: str | None
    description: str | None
    started_by: str | None
    has_result: bool
    content: str | None
    file: str | None
    result_bytes: int

    @property
    def caller(self) -> str:
        """What the board calls the agent. Not cleaned."""
        if self.agent_id:
            return subagent_name(self.agent_id, self.kind, self.description, self.started_by)
        return session_name(self.sid, self.cwd)


_WHOLE = """
SELECT b.tool_use_id, COALESCE(b.tool_name, ''), b.flow_id, b.block_index, b.sid,
       NULLIF(m.agent_id, ''), r.round_id, b.complete_time, b.result_time, b.result_is_error,
       b.no_result_at, b.stored_bytes,
       CASE WHEN b.uses_told THEN (
         SELECT COALESCE(t.text, '') FROM told_blocks t
         WHERE t.flow_id = b.flow_id AND t.block_index = b.block_index) END,
       s.cwd, COALESCE(s.agent, ''), a.kind, a.description,
       (SELECT p.input_preview FROM content_blocks p
        WHERE p.tool_use_id = a.parent_tool_use_id LIMIT 1),
       res.tool_use_id IS NOT NULL, res.content, res.file, COALESCE(res.content_size, 0)
FROM content_blocks b JOIN messages m USING (flow_id)
LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id AND r.prompts > 0
LEFT JOIN sessions s ON s.sid = b.sid
LEFT JOIN agents a ON a.sid = b.sid AND a.agent_id = m.agent_id AND m.agent_id <> ''
LEFT JOIN tool_results res ON res.tool_use_id = b.tool_use_id
WHERE b.tool_use_id = ? AND b.block_type = 'tool_use' AND b.complete_time IS NOT NULL
ORDER BY m.start_time, b.flow_id, b.block_index LIMIT 1"""


def whole_call(conn: sqlite3.Connection, tool_use_id: str) -> WholeCall | None:
    """The call of an id, as far as it is there; None for one that still streams, or is gone."""
    row = conn.execute(_WHOLE, (tool_use_id,)).fetchone()
    if row is None:
        return None
    found = WholeCall(*row)
    found.is_error = None if found.is_error is None else bool(found.is_error)
    found.has_result = bool(found.has_result)
    return found


def input_of(data_dir: Path, call: WholeCall, most: int) -> bytes:
    """The text of its arguments, at most so many bytes. Raises OSError."""
    if call.told is not None:
        return call.told.encode("utf-8", "replace")[:most]
    path = block_path(call.sid, call.flow_id, call.index)
    return read_bytes(data_dir, path, 0, min(call.input_bytes, most))


def result_of(data_dir: Path, call: WholeCall, most: int) -> str | None:
    """What came back, at most so many bytes; None where nobody told. Raises OSError."""
    if not call.has_result:
        return None
    if call.file is None:
        data = (call.content or "").encode("utf-8", "replace")[:most]
    else:
        data = read_bytes(data_dir, call.file, 0, min(call.result_bytes, most))
    return data.decode("utf-8", "ignore")


_QUEUED = f"""
WITH page AS MATERIALIZED
  (SELECT seq, kind, owner, number FROM search_queue WHERE seq > ? ORDER BY seq LIMIT ?)
SELECT b.tool_use_id, b.tool_name, q.seq FROM page q
JOIN content_blocks b ON b.flow_id = q.owner AND b.block_index = q.number
WHERE q.kind = {BLOCKS} AND b.block_type = 'tool_use' AND b.tool_use_id IS NOT NULL
UNION ALL
SELECT b.tool_use_id, b.tool_name, q.seq FROM page q
JOIN content_blocks b ON b.tool_use_id = q.owner
WHERE q.kind = {RESULTS} AND b.block_type = 'tool_use'
UNION ALL
SELECT NULL, NULL, MAX(seq) FROM page
ORDER BY 3"""

Named = list[tuple[str, str]]
"""(tool_use_id, name of the tool), each call once."""


def queued_calls(conn: sqlite3.Connection, after: int, limit: int) -> tuple[Named, int]:
    """The calls that the next rows of the queue speak of, and the number of the last row."""
    rows = conn.execute(_QUEUED, (after, limit)).fetchall()
    last = max((seq for _, _, seq in rows if seq is not None), default=after)
    return _once(row[:2] for row in rows if row[0] is not None), last


def scanned_calls(conn: sqlite3.Connection, after: int, limit: int) -> tuple[Named, int | None]:
    """The same of the next rows of `content_blocks`; None: there is none."""
    sql = (
        "SELECT MAX(at) FROM (SELECT rowid AS at FROM content_blocks WHERE rowid > ?"
        " ORDER BY rowid LIMIT ?)"
    )
    (last,) = conn.execute(sql, (after, limit)).fetchone()
    if last is None:
        return [], None
    sql = """
    SELECT tool_use_id, tool_name FROM content_blocks
    WHERE rowid > ? AND rowid <= ? AND block_type = 'tool_use' AND tool_use_id IS NOT NULL
    ORDER BY rowid"""
    return _once(conn.execute(sql, (after, last))), last


def _once(rows: Iterable[tuple[str, str | None]]) -> Named:
    return list({tool_use_id: (tool_use_id, name or "") for tool_use_id, name in rows}.values())


def queue_ends(conn: sqlite3.Connection) -> tuple[int, int]:
    """The first and the last number in the queue; zeros for an empty one."""
    sql = "SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM search_queue"
    first, last = conn.execute(sql).fetchone()
    return first, last


class NoticeRow(Struct):
    """Something else that was said of a session; `data` is JSON."""

    notice_id: int
    sid: str
    time: float
    name: str
    agent_id: str | None
    data: str
    cwd: str | None
    product: str


def notices_after(conn: sqlite3.Connection, after: int, limit: int) -> list[NoticeRow]:
    """What was said after a notice, in the order in which it was written."""
    sql = """
    SELECT n.notice_id, n.sid, n.time, n.name, n.agent_id, n.data, s.cwd, COALESCE(s.agent, '')
    FROM notices n LEFT JOIN sessions s USING (sid)
    WHERE n.notice_id > ? ORDER BY n.notice_id LIMIT ?"""
    return [NoticeRow(*row) for row in conn.execute(sql, (after, limit))]
