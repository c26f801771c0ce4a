"""What the agents of a session did within a span of time: messages, calls, waits. A part of `read`.

Spans are half open: from `since` on, before `until`.
"""

import sqlite3
from collections.abc import Iterator
from itertools import starmap

from msgspec import Struct

SLACK = 86_400.0
"""Seconds before a span in which what reaches into it may have begun."""


class ActiveSession(Struct, gc=False):
    """A session that was active; `end_time` None: it has not ended."""

    sid: str
    first_time: float | None
    last_time: float | None
    end_time: float | None


class Said(Struct, gc=False):
    """A message; `end` is its last sign. Tokens are input, cache writes and output."""

    agent_id: str
    start: float
    end: float
    tokens: int


class Called(Struct, gc=False):
    """A finished call; `end` is its result, or when it is known that it returned unseen."""

    agent_id: str
    tool_name: str | None
    start: float
    end: float | None


class Asked(Struct, gc=False):
    """A hook that told that a person was asked, and about which tool."""

    agent_id: str
    time: float
    tool_name: str | None


_SESSIONS = """
SELECT sid, first_time, last_time, CASE WHEN resumed_at > ended_at THEN NULL ELSE ended_at END
FROM sessions WHERE last_time >= ? AND COALESCE(first_time, last_time) < ? ORDER BY last_time DESC
"""
_MESSAGES = """
SELECT COALESCE(agent_id, ''), start_time,
       MAX(start_time, COALESCE(end_time, last_time, start_time)),
       COALESCE(input_tokens, 0) + COALESCE(cache_write_tokens, 0) + COALESCE(output_tokens, 0)
FROM messages WHERE sid = ? AND start_time >= ? AND start_time < ? AND agent_id IS NOT 'side'
ORDER BY start_time
"""
_CALLS = """
SELECT COALESCE(m.agent_id, ''), b.tool_name, b.complete_time,
       MAX(b.complete_time, COALESCE(b.result_time, b.no_result_at))
FROM messages m JOIN content_blocks b USING (flow_id)
WHERE m.sid = ? AND m.start_time >= ? AND m.start_time < ? AND m.agent_id IS NOT 'side'
  AND b.block_type = 'tool_use' AND b.complete_time < ?
ORDER BY b.complete_time
"""
_PROMPTS = "SELECT time FROM prompts WHERE sid = ? AND time >= ? AND time < ? ORDER BY time"
_ASKED = """
SELECT COALESCE(agent_id, ''), time,
       CASE WHEN json_valid(data) THEN json_extract(data, '$.tool_name') END
FROM notices WHERE sid = ?1 AND time >= ?2 AND time < ?3 AND (name = 'permission_request'
  OR (name = 'notification' AND json_valid(data) AND json_extract(data, '$.notification_type')
      IN ('permission_prompt', 'agent_needs_input', 'elicitation_dialog')))
ORDER BY time
"""
_STALLS = """
SELECT agent_id, since, until FROM verdicts
WHERE sid = ? AND verdict = 'stalled' AND since < ? AND COALESCE(until, ?) > ? ORDER BY since
"""


def active_sessions(conn: sqlite3.Connection, since: float, until: float) -> list[ActiveSession]:
    """Sessions that were there in a span."""
    return list(starmap(ActiveSession, conn.execute(_SESSIONS, (since, until))))


def said(conn: sqlite3.Connection, sid: str, since: float, until: float) -> Iterator[Said]:
    """Messages that began in a span, or so shortly before that they may reach into it."""
    return starmap(Said, conn.execute(_MESSAGES, (sid, since - SLACK, until)))


def called(conn: sqlite3.Connection, sid: str, since: float, until: float) -> Iterator[Called]:
    """Calls of such messages."""
    return starmap(Called, conn.execute(_CALLS, (sid, since - SLACK, until, until)))


def prompted(conn: sqlite3.Connection, sid: str, since: float, until: float) -> list[float]:
    """When a session was prompted, likewise."""
    return [time for (time,) in conn.execute(_PROMPTS, (sid, since - SLACK, until))]


def asked(conn: sqlite3.Connection, sid: str, since: float, until: float) -> Iterator[Asked]:
    """When a person was asked, likewise."""
    for agent_id, time, tool in conn.execute(_ASKED, (sid, since - SLACK, until)):
        yield Asked(agent_id, time, tool if isinstance(tool, str) else None)


def stalls(
    conn: sqlite3.Connection, sid: str, since: float, until: float
) -> list[tuple[str, float, float | None]]:
    """(agent, since, until) of stalls that were judged in a span; None: one that holds."""
    return conn.execute(_STALLS, (sid, until, until, since)).fetchall()
