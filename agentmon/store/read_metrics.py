"""What `serve-metrics` counts: the tools of a session, and agentmon's own last measurements."""

import sqlite3

from msgspec import Struct


class ToolSum(Struct, frozen=True):
    """The calls of one tool in one session; durations in seconds, of calls with a result."""

    tool: str
    calls: int
    errors: int
    pending: int
    timed: int
    seconds: float


_TOOLS = """
SELECT COALESCE(b.tool_name, ''), COUNT(*), TOTAL(b.result_is_error = 1),
       TOTAL(b.block_type = 'tool_use' AND b.complete_time IS NOT NULL
             AND b.result_time IS NULL AND b.no_result_at IS NULL),
       COUNT(b.result_time - b.complete_time), TOTAL(MAX(0, b.result_time - b.complete_time))
FROM messages m CROSS JOIN content_blocks b USING (flow_id)
WHERE m.sid = ? AND b.tool_use_id IS NOT NULL
GROUP BY 1 ORDER BY MIN(b.rowid)
"""


def tool_sums(conn: sqlite3.Connection, sid: str) -> list[ToolSum]:
    """The tools of a session, in the order of their first calls."""
    return [
        ToolSum(tool, calls, int(errors), int(pending), timed, seconds)
        for tool, calls, errors, pending, timed, seconds in conn.execute(_TOOLS, (sid,))
    ]


_LATEST = """
SELECT metric_name, metric_value FROM system_metrics
WHERE timestamp = (SELECT MAX(timestamp) FROM system_metrics)
"""


def own_measurements(conn: sqlite3.Connection) -> dict[str, float]:
    """What a running agentmon measured of itself last, by name."""
    return dict(conn.execute(_LATEST).fetchall())
