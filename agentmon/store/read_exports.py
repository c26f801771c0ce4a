"""Which sessions and rounds have changed, without reading what is in them: for exports."""

import sqlite3
from collections.abc import Iterator

from msgspec import Struct


class Touched(Struct, frozen=True):
    """A session and a mark that changes whenever something is added to it."""

    sid: str
    last_time: float
    mark: str


_TOUCHED = """
SELECT sid, last_time, first_time, ended_at, resumed_at, closed_at, prompt_count, input_tokens,
       output_tokens, cache_read_tokens, context_tokens, kinds
FROM sessions WHERE last_time >= ? ORDER BY last_time DESC
"""


def touched(conn: sqlite3.Connection, since: float = 0.0) -> Iterator[Touched]:
    """Sessions active since then, newest first, as they are asked for."""
    for sid, last, *rest in conn.execute(_TOUCHED, (since,)):
        yield Touched(sid, last, repr((last, *rest)))


class RoundMark(Struct, frozen=True):
    """A round: whether it is over, its last sign of life, and a mark of what it holds."""

    round_id: str
    is_over: bool
    last_time: float
    mark: str


_MARKS = """
SELECT r.round_id,
       r.end_time IS NOT NULL OR r.is_closed OR r.aborted_at IS NOT NULL
         OR r.orphaned_at IS NOT NULL,
       MAX(COALESCE(r.start_time, 0), COALESCE(r.end_time, 0), COALESCE(MAX(m.last_time), 0)),
       COUNT(m.flow_id), TOTAL(m.output_tokens), COUNT(m.stop_reason), MAX(m.end_time),
       TOTAL((SELECT COUNT(b.result_time) + COUNT(b.complete_time) + COUNT(b.no_result_at)
              FROM content_blocks b WHERE b.flow_id = m.flow_id)),
       r.end_time, r.aborted_at, r.orphaned_at, r.prompts
FROM rounds r LEFT JOIN messages m ON m.sid = r.sid AND m.round_id = r.round_id
WHERE r.sid = ? AND r.prompts > 0
GROUP BY r.round_id ORDER BY r.start_time, r.round_id
"""


def round_marks(conn: sqlite3.Connection, sid: str) -> list[RoundMark]:
    """The rounds of a session, oldest first."""
    return [
        RoundMark(round_id, bool(is_over), last, repr((last, *rest)))
        for round_id, is_over, last, *rest in conn.execute(_MARKS, (sid,))
    ]
