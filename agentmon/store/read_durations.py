"""Durations of all calls of a tool, by counting along an index: exact, and no call is read.

With 300,000 calls, fetching and sorting them takes half a second, this a fifth of it.
"""

import sqlite3
from itertools import pairwise

from agentmon.core.spread import BOUNDS, Spread, quantile_of

_CALLS = "block_type = 'tool_use' AND complete_time IS NOT NULL AND tool_name IS ?"
_COUNT = f"SELECT COUNT(*) FROM content_blocks WHERE {_CALLS}"
_PENDING = """
SELECT COUNT(*) FROM content_blocks INDEXED BY blocks_pending
WHERE block_type = 'tool_use' AND complete_time IS NOT NULL AND result_time IS NULL
  AND no_result_at IS NULL AND tool_name IS ?
"""

DURATION = "MAX(result_time - complete_time, 0)"
_RETURNED = f"""
FROM content_blocks WHERE {_CALLS} AND result_time IS NOT NULL
  AND COALESCE(result_is_error, 0) = ? AND {DURATION} >= ? AND {DURATION} < ?
"""
BUCKET = f"SELECT COUNT(*), TOTAL({DURATION}) {_RETURNED}"
NTH = f"SELECT {DURATION} {_RETURNED} ORDER BY {DURATION} LIMIT 1 OFFSET ?"

_EDGES = (0.0, *BOUNDS, float("inf"))


def counts(conn: sqlite3.Connection, tool_name: str | None) -> tuple[int, int]:
    """How many calls there were of a tool, and how many are pending."""
    (calls,) = conn.execute(_COUNT, (tool_name,)).fetchone()
    (pending,) = conn.execute(_PENDING, (tool_name,)).fetchone()
    return calls, pending


class Durations:
    """Of the calls of a tool that failed, or of those that did not."""

    def __init__(self, conn: sqlite3.Connection, tool_name: str | None, *, is_error: bool) -> None:
        self._conn = conn
        self._args = tool_name, is_error
        found = [
            conn.execute(BUCKET, (*self._args, low, high)).fetchone()
            for low, high in pairwise(_EDGES)
        ]
        self.buckets = tuple(int(count) for count, _ in found)
        self.count = sum(self.buckets)
        self._total = sum(total for _, total in found)

    def spread(self) -> Spread:
        """Mean, median and p95."""
        if not self.count:
            return Spread()
        middle, high = (quantile_of(self._nth, self.count, share) for share in (0.5, 0.95))
        return Spread(self.count, self._total / self.count, middle, high)

    def _nth(self, place: int) -> float:
        """The duration at a place in rising order: only its bucket is walked through."""
        for (low, high), count in zip(pairwise(_EDGES), self.buckets, strict=True):
            if place < count:
                args = (*self._args, low, high, place)
                return float(self._conn.execute(NTH, args).fetchone()[0])
            place -= count
        raise IndexError(place)
