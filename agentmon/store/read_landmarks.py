"""Everything of a session that may be a landmark of its run, in the order of time.

Read along indexes, a message at a time: a session of 100,000 calls needs no more memory than one.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from msgspec import Struct

from agentmon.store.codec import decode_tail, decode_times

MILLI = 0.0005
"""Half of what times of deltas are kept to."""


class Said(Struct, gc=False):
    """A message in time."""

    flow_id: str
    agent_id: str
    round_id: str | None
    start: float | None
    last: float | None
    """Its last byte."""
    end: float | None
    stop_reason: str | None
    is_complete: bool
    error: str | None
    kinds: int


class Part(Struct, gc=False):
    """A content block of a message in time, and what came back where it is a call."""

    sid: str
    flow_id: str
    index: int
    block_type: str | None
    tool_use_id: str | None
    tool_name: str | None
    start: float | None
    last: float | None
    """Its last delta."""
    end: float | None
    result_time: float | None
    is_error: bool
    lost_at: float | None
    """Evidence that its result came unseen."""
    bytes: int
    deltas: int
    preview: str | None
    result_size: int | None
    result: str | None
    """The checksum of its result, or the result where it has none."""
    said: str | None
    """How the result of a failed call begins."""
    is_call: bool
    """Its arguments are complete, and the client runs it."""

    @property
    def is_pending(self) -> bool:
        return self.is_call and self.result_time is None and self.lost_at is None


def last_moment(said: Said, parts: Sequence[Part]) -> float:
    """The last moment of a message that its own blocks tell; where it broke off with an error, that
    of the error. What tells of it afterwards adds nothing."""
    found = said.start or 0.0
    own = said.last if said.error is not None else None
    for time in (said.end, own):
        if time is not None and time > found:
            found = time
    is_over = said.is_complete or said.error is not None
    for part in parts:
        # a block that was cut is complete from the moment at which something showed that
        for time in (part.start, part.last, part.end if is_over else None):
            if time is not None and time > found:
                found = time
    return found


_SAID = len(Said.__struct_fields__)

_MESSAGES = """
SELECT m.flow_id, COALESCE(m.agent_id, ''), m.round_id, m.start_time, m.last_time, m.end_time,
       m.stop_reason, m.is_complete, m.error, m.kinds,
       m.sid, b.flow_id, b.block_index, b.block_type, b.tool_use_id, b.tool_name, b.start_time,
       b.last_time, b.complete_time, b.result_time, b.result_is_error, b.no_result_at,
       b.total_bytes, b.delta_count, b.input_preview, t.content_size, COALESCE(t.sha256, t.content),
       CASE WHEN b.result_is_error = 1 THEN SUBSTR(t.content, 1, 500) END,
       b.block_type = 'tool_use' AND b.complete_time IS NOT NULL
FROM messages m
LEFT JOIN content_blocks b ON b.flow_id = m.flow_id
LEFT JOIN tool_results t ON t.tool_use_id = b.tool_use_id
WHERE m.sid = ? ORDER BY m.start_time
"""


def messages_in_time(conn: sqlite3.Connection, sid: str) -> Iterator[tuple[Said, list[Part]]]:
    """The messages of a session by start, subagents' among them, with their blocks."""
    rows = conn.execute(_MESSAGES, (sid,))
    for _, group in groupby(rows, key=itemgetter(0)):
        found = list(group)
        yield _said(found[0]), [_part(row) for row in found if row[_SAID + 1] is not None]


def _said(row: tuple[Any, ...]) -> Said:
    said = Said(*row[:_SAID])
    said.is_complete = bool(said.is_complete)
    return said


def _part(row: tuple[Any, ...]) -> Part:
    part = Part(*row[_SAID:])
    part.is_error = bool(part.is_error)
    return part


_DELTAS = "SELECT data FROM delta_log WHERE flow_id = ? AND block_index = ? ORDER BY chunk"


def delta_times(conn: sqlite3.Connection, flow_id: str, index: int) -> list[float]:
    """When the deltas of a block came, in arrival order."""
    times: list[float] = []
    for (data,) in conn.execute(_DELTAS, (flow_id, index)):
        times += decode_times(data)[0]
    return times


_FLOW_DELTAS = "SELECT data FROM delta_log WHERE flow_id = ? ORDER BY block_index, chunk"


def lines_between(conn: sqlite3.Connection, flow_id: str, since: float, until: float) -> int | None:
    """How many lines of a stream came between the deltas of two moments, by their counters: pings,
    which leave no other trace. None where these are not the moments of two deltas of one stream."""
    first: set[tuple[str, int]] = set()
    last: set[tuple[str, int]] = set()
    for (data,) in conn.execute(_FLOW_DELTAS, (flow_id,)):
        for entry in decode_tail(data, flow_id):
            if abs(entry.time - since) < MILLI:
                first.add((entry.flow, entry.count))
            elif abs(entry.time - until) < MILLI:
                last.add((entry.flow, entry.count))
    if not first or not last:
        return None
    (flow, before), (other, after) = max(first), min(last)
    return max(0, after - before - 1) if flow == other and before >= 0 else None


class Asked(Struct, frozen=True):
    """A prompt in time."""

    time: float
    round_id: str
    text: str
    is_queued: bool


_PROMPTS = "SELECT time, round_id, text, is_queued FROM prompts WHERE sid = ? ORDER BY time"


def prompts_in_time(conn: sqlite3.Connection, sid: str) -> list[Asked]:
    """The prompts of a session, oldest first."""
    rows = conn.execute(_PROMPTS, (sid,))
    return [Asked(at, round_id, text, bool(queued)) for at, round_id, text, queued in rows]


_ENDS = """
SELECT end_time, round_id FROM rounds
WHERE sid = ? AND prompts > 0 AND end_time IS NOT NULL ORDER BY end_time
"""


def ends_of_rounds(conn: sqlite3.Connection, sid: str) -> list[tuple[float, str]]:
    """When the rounds of a session stopped."""
    return conn.execute(_ENDS, (sid,)).fetchall()


_BEGUN = """
SELECT a.agent_id, a.parent_tool_use_id, b.complete_time
FROM agents a LEFT JOIN content_blocks b ON b.tool_use_id = a.parent_tool_use_id
WHERE a.sid = ? AND a.parent_tool_use_id IS NOT NULL
"""


def subagents_begun(conn: sqlite3.Connection, sid: str) -> list[tuple[str, str, float | None]]:
    """Subagents, the call that started each, and when that was complete."""
    return conn.execute(_BEGUN, (sid,)).fetchall()


class Mail(Struct, frozen=True):
    """A message between agents."""

    time: float
    sender: str
    receivers: str
    """JSON array of names."""
    subject: str
    sid: str | None
    agent_id: str | None
    round_id: str | None
    tool_use_id: str | None
    read_by: str | None
    """JSON array of the sessions that read it."""


_MAIL = """
SELECT m.sent_at, m.sender, m.receivers, m.subject, m.session_id, m.thread_agent, m.round_id,
       m.tool_use_id,
       (SELECT json_group_array(d.session_id) FROM agent_deliveries d
        WHERE d.seq = m.seq AND d.session_id IS NOT NULL)
FROM agent_messages m WHERE m.sent_at >= ? AND m.sent_at <= ? ORDER BY m.sent_at, m.seq
"""


def mail_between(conn: sqlite3.Connection, start: float, end: float) -> list[Mail]:
    """Messages between agents that were sent in a span of time, oldest first."""
    return [Mail(*row) for row in conn.execute(_MAIL, (start, end))]


def kinds_of_session(conn: sqlite3.Connection, sid: str) -> int:
    """Which kinds of sources spoke of a session, a bit mask (`core.kinds`)."""
    found = conn.execute("SELECT kinds FROM sessions WHERE sid = ?", (sid,)).fetchone()
    return int(found[0]) if found else 0


_NAMES = "SELECT name FROM agent_names WHERE session_id = ?"


def names_of_session(conn: sqlite3.Connection, sid: str) -> set[str]:
    """What a session is called where agents talk."""
    return {name for (name,) in conn.execute(_NAMES, (sid,))}


STATEMENTS = (_MESSAGES, _DELTAS, _FLOW_DELTAS, _PROMPTS, _ENDS, _BEGUN, _MAIL)
"""Every SELECT here, so that a test can hold each to an index."""
