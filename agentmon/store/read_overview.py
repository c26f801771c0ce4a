"""What happened since some time, over all sessions: the numbers of `dashboard`.

What is read grows with what happened since then, not with the store: sessions active since then
are found by their last event, and their rows by session and time; calls by tool and time.
"""

import sqlite3
from collections.abc import Iterator

from msgspec import Struct


class SessionSum(Struct, frozen=True):
    """The messages of a session that began since then."""

    sid: str
    messages: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    errors: int


class RoundSums(Struct, frozen=True):
    """The rounds that began since then; durations in seconds, of those with an end."""

    begun: int
    complete: int
    aborted: int
    mean_duration: float | None
    max_duration: float | None


class SlowRound(Struct, frozen=True):
    sid: str
    round_id: str
    user_prompt: str | None
    start_time: float
    duration: float


class ToolSum(Struct, frozen=True):
    """Calls made since then that returned; an error is a result that says so."""

    tool_name: str | None
    calls: int
    errors: int
    mean_duration: float | None
    max_duration: float | None


class SlowCall(Struct, frozen=True):
    tool_use_id: str | None
    tool_name: str | None
    sid: str
    result_time: float
    duration: float
    input_preview: str | None


_SUMS = """
SELECT s.sid, COUNT(*), COALESCE(SUM(m.input_tokens), 0), COALESCE(SUM(m.output_tokens), 0),
       COALESCE(SUM(m.cache_read_tokens), 0), COALESCE(SUM(m.cache_write_tokens), 0),
       COUNT(m.error)
FROM sessions s CROSS JOIN messages m ON m.sid = s.sid AND m.start_time >= ?1
WHERE s.last_time >= ?1 GROUP BY +s.sid
"""


def session_sums(conn: sqlite3.Connection, since: float) -> list[SessionSum]:
    """What each session did since then."""
    return [SessionSum(*row) for row in conn.execute(_SUMS, (since,))]


_SINCE = """
FROM sessions s CROSS JOIN rounds r ON r.sid = s.sid AND r.prompts > 0 AND r.start_time >= ?1
WHERE s.last_time >= ?1
"""
_ROUNDS = f"""
SELECT COUNT(*), COALESCE(SUM(r.is_complete), 0), COALESCE(SUM(r.is_aborted), 0),
       AVG(MAX(0, r.end_time - r.start_time)), MAX(MAX(0, r.end_time - r.start_time))
{_SINCE}
"""
_SLOW = f"""
SELECT r.sid, r.round_id, r.user_prompt, r.start_time, r.end_time - r.start_time AS took
{_SINCE} AND r.end_time IS NOT NULL ORDER BY took DESC LIMIT ?2
"""


def round_sums(conn: sqlite3.Connection, since: float) -> RoundSums:
    """All rounds that began since then."""
    return RoundSums(*conn.execute(_ROUNDS, (since,)).fetchone())


def slow_rounds(conn: sqlite3.Connection, since: float, limit: int) -> list[SlowRound]:
    """The rounds that took longest, among those that began since then."""
    return [SlowRound(*row) for row in conn.execute(_SLOW, (since, limit))]


_CALLS = "block_type = 'tool_use' AND complete_time IS NOT NULL"
"""As the index `blocks_of_tool` has them."""

_NEXT_NAME = f"SELECT MIN(tool_name) FROM content_blocks WHERE {_CALLS}"


def tool_names(conn: sqlite3.Connection) -> Iterator[str]:
    """The tools that were ever called, by name; a seek in the index for each."""
    (name,) = conn.execute(_NEXT_NAME).fetchone()
    while name is not None:
        yield name
        (name,) = conn.execute(f"{_NEXT_NAME} AND tool_name > ?", (name,)).fetchone()


_TOOL = f"""
SELECT ?1, COUNT(*), COALESCE(SUM(result_is_error), 0), AVG(MAX(0, result_time - complete_time)),
       MAX(MAX(0, result_time - complete_time))
FROM content_blocks
WHERE tool_name IS ?1 AND {_CALLS} AND complete_time >= ?2 AND result_time IS NOT NULL
"""
_SLOW_CALLS = f"""
SELECT tool_use_id, tool_name, sid, result_time, result_time - complete_time AS took, input_preview
FROM content_blocks WHERE rowid IN (
  SELECT rowid FROM content_blocks
  WHERE tool_name IS ?1 AND {_CALLS} AND complete_time >= ?2 AND result_time IS NOT NULL
  ORDER BY result_time - complete_time DESC LIMIT ?3)
"""


def tool_sums(conn: sqlite3.Connection, since: float) -> list[ToolSum]:
    """Each tool with calls made since then that returned."""
    names: list[str | None] = [*tool_names(conn), None]
    found = [ToolSum(*conn.execute(_TOOL, (name, since)).fetchone()) for name in names]
    return [row for row in found if row.calls]


def slow_calls(
    conn: sqlite3.Connection, since: float, limit: int, tools: list[str | None]
) -> list[SlowCall]:
    """The calls of these tools that ran longest, among those made since then."""
    found = [
        SlowCall(*row)
        for name in tools
        for row in conn.execute(_SLOW_CALLS, (name, since, limit)).fetchall()
    ]
    return sorted(found, key=lambda call: -call.duration)[:limit]
