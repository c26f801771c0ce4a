"""Everything that is counted of one session: its messages, blocks, calls, rounds. Reads that
session only."""

import sqlite3
from collections.abc import Iterator
from itertools import starmap

from msgspec import Struct


class MessageFact(Struct, gc=False):
    """A message as far as it is counted; flags as the store has them, 0 or 1."""

    agent_id: str | None
    model: str | None
    is_complete: int
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    start_time: float | None
    end_time: float | None
    last_time: float | None

    @property
    def over(self) -> float | None:
        """When its tokens are counted: at its end, else its last byte, else its start."""
        times = (self.end_time, self.last_time, self.start_time)
        return next((time for time in times if time is not None), None)

    @property
    def tokens(self) -> int:
        """Input, cache writes and output, as far as they are known."""
        return sum(n or 0 for n in (self.input_tokens, self.cache_write_tokens, self.output_tokens))


class BlockFact(Struct, gc=False):
    """A block as far as it is counted; flags as the store has them, 0 or 1."""

    flow_id: str
    index: int
    agent_id: str | None
    block_type: str | None
    tool_use_id: str | None
    tool_name: str | None
    delta_count: int
    total_bytes: int
    stored_bytes: int
    uses_told: int
    start_time: float | None
    last_time: float | None
    complete_time: float | None
    result_time: float | None
    is_error: int | None
    no_result_at: float | None

    @property
    def is_pending(self) -> bool:
        """A finished call whose result has not come, nor evidence that it returned unseen."""
        waits = self.result_time is None and self.no_result_at is None
        return self.block_type == "tool_use" and self.complete_time is not None and waits

    @property
    def duration(self) -> float | None:
        """Of a call: seconds from its completion to its result."""
        if self.complete_time is None or self.result_time is None:
            return None
        return max(0.0, self.result_time - self.complete_time)


class RoundFact(Struct, gc=False):
    """A round as far as it is counted."""

    start_time: float
    end_time: float | None
    is_complete: int
    is_aborted: int


_MESSAGES = """
SELECT agent_id, model, is_complete, error, input_tokens, output_tokens, cache_read_tokens,
       cache_write_tokens, start_time, end_time, last_time
FROM messages WHERE sid = ? ORDER BY start_time
"""
_BLOCKS = """
SELECT b.flow_id, b.block_index, m.agent_id, b.block_type, b.tool_use_id, b.tool_name,
       b.delta_count, b.total_bytes, b.stored_bytes, b.uses_told, b.start_time, b.last_time,
       b.complete_time, b.result_time, b.result_is_error, b.no_result_at
FROM messages m JOIN content_blocks b USING (flow_id) WHERE m.sid = ?
"""
_ROUNDS = """
SELECT start_time, COALESCE(end_time, CASE WHEN abort_ends THEN aborted_at END), is_complete,
       is_aborted
FROM rounds WHERE sid = ? AND prompts > 0 ORDER BY start_time
"""
_PROMPTS = "SELECT time FROM prompts WHERE sid = ? ORDER BY time"
_VERDICTS = "SELECT verdict, COUNT(*) FROM verdicts WHERE sid = ? GROUP BY verdict ORDER BY verdict"


def message_facts(conn: sqlite3.Connection, sid: str) -> Iterator[MessageFact]:
    """The messages of a session, oldest first."""
    return starmap(MessageFact, conn.execute(_MESSAGES, (sid,)))


def block_facts(conn: sqlite3.Connection, sid: str) -> Iterator[BlockFact]:
    """The blocks of a session, message by message."""
    return starmap(BlockFact, conn.execute(_BLOCKS, (sid,)))


def round_facts(conn: sqlite3.Connection, sid: str) -> Iterator[RoundFact]:
    """The rounds of a session, oldest first."""
    return starmap(RoundFact, conn.execute(_ROUNDS, (sid,)))


def prompt_times(conn: sqlite3.Connection, sid: str) -> list[float]:
    """When the prompts of a session were written, oldest first."""
    return [time for (time,) in conn.execute(_PROMPTS, (sid,))]


def verdict_counts(conn: sqlite3.Connection, sid: str) -> dict[str, int]:
    """How often a session was judged to be what, subagents too."""
    return dict(conn.execute(_VERDICTS, (sid,)).fetchall())
