"""Sums and errors over messages: a part of `read`."""

import sqlite3
from typing import Any

from agentmon.store.rows import ErrorRow, RoundSum

Rows = list[tuple[Any, ...]]


def _all(conn: sqlite3.Connection, sql: str, args: tuple[object, ...] = ()) -> Rows:
    return conn.execute(sql, args).fetchall()


_ROUND_SUM = """
SELECT COUNT(*), SUM(COALESCE(input_tokens, 0) + COALESCE(cache_write_tokens, 0)),
       SUM(output_tokens), SUM(error IS NOT NULL), MAX(last_time)
FROM messages WHERE sid = ? AND round_id = ?
"""

_FAILED_CALLS = """
SELECT COUNT(*) FROM messages m JOIN content_blocks b USING (flow_id)
WHERE m.sid = ? AND m.round_id = ? AND b.result_is_error = 1
"""


def round_sum(conn: sqlite3.Connection, sid: str, round_id: str) -> RoundSum:
    """Messages, tokens and errors of one round."""
    count, tokens_in, tokens_out, errors, last = conn.execute(
        _ROUND_SUM, (sid, round_id)
    ).fetchone()
    (failed,) = conn.execute(_FAILED_CALLS, (sid, round_id)).fetchone()
    return RoundSum(count, tokens_in, tokens_out, (errors or 0) + failed, last)


_BROKEN_MESSAGES = """
SELECT sid, COALESCE(agent_id, ''), COALESCE(last_time, start_time, 0) AS at, round_id, flow_id,
       NULL, error
FROM messages WHERE error IS NOT NULL ORDER BY at DESC LIMIT ?
"""

_FAILED = """
SELECT m.sid, COALESCE(m.agent_id, ''), b.result_time, m.round_id, b.flow_id, b.block_index,
       COALESCE(b.tool_name, 'tool') || ' failed'
FROM content_blocks b JOIN messages m USING (flow_id)
WHERE b.result_is_error = 1 ORDER BY b.result_time DESC LIMIT ?
"""


def errors(conn: sqlite3.Connection, *, limit: int = 200) -> list[ErrorRow]:
    """Broken messages and failed tool calls of all agents, newest first."""
    found = [ErrorRow(*row) for row in _all(conn, _BROKEN_MESSAGES, (limit,))]
    found += [ErrorRow(*row) for row in _all(conn, _FAILED, (limit,))]
    return sorted(found, key=lambda row: -row.time)[:limit]
