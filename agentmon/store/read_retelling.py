"""What a retelling reads: a session's rows with all that the fold needs to make them again.

A part of `read`. Long lists come one row at a time, in the order of their times.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from agentmon.core.events import Kind
from agentmon.core.notices import BACKGROUND


class SessionTale(Struct, frozen=True):
    """A session; times are epoch seconds, None where nothing of that sort was said."""

    sid: str
    agent: str
    pid: int | None
    cwd: str | None
    version: str | None
    first_time: float | None
    last_time: float | None
    ended_at: float | None
    end_reason: str | None
    resumed_at: float | None
    closed_at: float | None
    kinds: int


class PromptTale(Struct, frozen=True):
    time: float
    pid: int | None
    message_uuid: str | None
    text: str
    is_queued: bool
    round_id: str
    kinds: int


class RoundTale(Struct, frozen=True):
    """How a round ended. `abort_ends`: giving it up was its end."""

    round_id: str
    end_time: float | None
    aborted_at: float | None
    abort_ends: bool


class MessageTale(Struct, frozen=True):
    flow_id: str
    request_id: str | None
    round_id: str | None
    agent_id: str | None
    pid: int | None
    role: str | None
    model: str | None
    stop_reason: str | None
    start_time: float | None
    end_time: float | None
    last_time: float | None
    is_started: bool
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    kinds: int
    is_done: bool
    is_spliced: bool
    """Another message took its request over, or it another's."""


class Told(Struct, frozen=True):
    """A block as it was told when it was over; `text` None: the streamed one is the text."""

    item_id: str | None
    time: float
    is_exact: bool
    kind: Kind
    text: str | None
    is_cut: bool


class BlockTale(Struct, frozen=True):
    flow_id: str
    index: int
    sid: str
    block_type: str | None
    tool_use_id: str | None
    tool_name: str | None
    delta_count: int
    total_bytes: int
    stored_bytes: int
    is_cut: bool
    start_text: str
    has_start: bool
    """The start text is part of the stored one."""
    is_started: bool
    start_time: float | None
    stop_time: float | None
    complete_time: float | None
    uses_told: bool
    told: Told | None


class ResultTale(Struct, frozen=True):
    """A tool result; `content` is whole where `file` is None."""

    tool_use_id: str
    is_error: bool | None
    content: str
    file: str | None
    size: int
    time: float
    rank: int


class NoticeTale(Struct, frozen=True):
    """`data` is the payload as JSON."""

    time: float
    name: str
    flow_id: str
    agent_id: str | None
    data: str


class AgentTale(Struct, frozen=True):
    agent_id: str
    parent_tool_use_id: str | None
    kind: str | None
    description: str | None
    status: str | None
    phase_since: float | None
    last_time: float | None
    """Its last sign of life."""
    first_time: float | None
    """The start of its first message."""


_SESSION = """
SELECT sid, agent, pid, cwd, version, first_time, last_time, ended_at, end_reason, resumed_at,
       closed_at, kinds
FROM sessions
"""
_PROMPTS = """
SELECT time, pid, message_uuid, text, is_queued, round_id, kinds FROM prompts
WHERE sid = ? ORDER BY time, ordinal
"""
_ROUNDS = """
SELECT round_id, end_time, aborted_at, abort_ends FROM rounds
WHERE sid = ? AND (end_time IS NOT NULL OR aborted_at IS NOT NULL)
"""
_MESSAGES = """
SELECT flow_id, request_id, round_id, agent_id, pid, role, model, stop_reason, start_time, end_time,
       last_time, is_started, error, input_tokens, output_tokens, cache_read_tokens,
       cache_write_tokens, kinds, is_done,
       EXISTS (SELECT 1 FROM messages o WHERE o.request_id = m.request_id
               AND o.flow_id <> m.flow_id)
FROM messages m WHERE sid = ? ORDER BY start_time, seq
"""
_BLOCKS = """
SELECT b.flow_id, b.block_index, b.sid, b.block_type, b.tool_use_id, b.tool_name, b.delta_count,
       b.total_bytes, b.stored_bytes, b.is_cut, COALESCE(b.start_text, ''), b.has_start,
       b.is_started, b.start_time, b.stop_time, b.complete_time, b.uses_told,
       t.item_id, t.time, t.is_exact, t.kind, t.text, t.is_cut
FROM content_blocks b LEFT JOIN told_blocks t USING (flow_id, block_index)
WHERE b.flow_id = ? ORDER BY b.block_index
"""
_DELTAS = "SELECT data FROM delta_log WHERE flow_id = ? AND block_index = ? ORDER BY chunk"
_RESULTS = """
SELECT tool_use_id, is_error, COALESCE(content, ''), file, content_size, result_time, rank
FROM tool_results WHERE sid = ? ORDER BY result_time
"""
_NOTICES = """
SELECT time, name, COALESCE(flow_id, ''), agent_id, data FROM notices
WHERE sid = ? ORDER BY time, notice_id
"""
_AGENTS = """
SELECT agent_id, parent_tool_use_id, kind, description, status, phase_since,
       NULLIF(MAX(COALESCE(last_byte, 0), COALESCE(last_told, 0)), 0),
       (SELECT MIN(start_time) FROM messages m WHERE m.sid = a.sid AND m.agent_id = a.agent_id)
FROM agents a WHERE sid = ? AND agent_id <> ''
"""

_IDLE = """
SELECT phase_since, phase_detail FROM agents WHERE sid = ? AND agent_id = '' AND phase = 'idle'
"""

_COUNTED = """
SELECT b.complete_time, b.delta_count FROM messages m JOIN content_blocks b USING (flow_id)
WHERE m.sid = ? AND b.complete_time IS NOT NULL AND b.delta_count > 0
"""

STATEMENTS = (
    _IDLE,
    _COUNTED,
    _PROMPTS,
    _ROUNDS,
    _MESSAGES,
    _BLOCKS,
    _DELTAS,
    _RESULTS,
    _NOTICES,
    _AGENTS,
)
"""Every SELECT with a key here, so that a test can hold each to an index."""


def sessions(
    conn: sqlite3.Connection, *, sid: str | None = None, since: float | None = None
) -> list[SessionTale]:
    """The session of that name, else those heard of since then (epoch seconds), else all; by
    their first time."""
    where, args = ("WHERE sid = ?", (sid,)) if sid is not None else ("", ())
    if sid is None and since is not None:
        where, args = "WHERE last_time >= ?", (since,)
    rows = conn.execute(f"{_SESSION} {where} ORDER BY first_time, sid", args)
    return [SessionTale(*row) for row in rows]


def hosts(conn: sqlite3.Connection) -> list[str]:
    """The machines that sessions ran on, as far as they are others."""
    sql = "SELECT DISTINCT host FROM sessions WHERE host IS NOT NULL"
    return [host for (host,) in conn.execute(sql)]


def prompts(conn: sqlite3.Connection, sid: str) -> Iterator[PromptTale]:
    for time, pid, uuid, text, queued, round_id, kinds in conn.execute(_PROMPTS, (sid,)):
        yield PromptTale(time, pid, uuid, text, bool(queued), round_id, kinds)


def rounds(conn: sqlite3.Connection, sid: str) -> list[RoundTale]:
    """The rounds that ended or were given up."""
    rows = conn.execute(_ROUNDS, (sid,))
    return [RoundTale(name, end, aborted, bool(ends)) for name, end, aborted, ends in rows]


def messages(conn: sqlite3.Connection, sid: str) -> Iterator[MessageTale]:
    for row in conn.execute(_MESSAGES, (sid,)):
        yield _typed(row, MessageTale, _MESSAGE_FLAGS)


def blocks(conn: sqlite3.Connection, flow_id: str) -> list[BlockTale]:
    """The blocks of a message, by index."""
    found: list[BlockTale] = []
    for row in conn.execute(_BLOCKS, (flow_id,)):
        told = None if row[18] is None else _typed(row[17:], Told, _TOLD_FLAGS)
        found.append(_typed((*row[:17], told), BlockTale, _BLOCK_FLAGS))
    return found


S = TypeVar("S", bound=Struct)


def _typed(row: tuple[Any, ...], kind: type[S], flags: Sequence[int]) -> S:
    """A row whose columns at `flags` are true or false."""
    values = list(row)
    for at in flags:
        values[at] = bool(values[at])
    return kind(*values)


def _flags(kind: type[Struct]) -> list[int]:
    fields = msgspec.structs.fields(kind)
    return [at for at, field in enumerate(fields) if field.type is bool]


_MESSAGE_FLAGS, _BLOCK_FLAGS, _TOLD_FLAGS = _flags(MessageTale), _flags(BlockTale), _flags(Told)


def time_of_newest(conn: sqlite3.Connection, sids: Sequence[str], deltas: int) -> float:
    """From when on the blocks of some sessions have so many deltas in all, by when they were
    complete; 0 where they have fewer."""
    found = [row for sid in sids for row in conn.execute(_COUNTED, (sid,))]
    for time, count in sorted(found, reverse=True):
        deltas -= count
        if deltas < 0:
            return float(time)
    return 0.0


def delta_chunks(conn: sqlite3.Connection, flow_id: str, index: int) -> list[bytes]:
    """The delta log of a block (see `codec`)."""
    return [data for (data,) in conn.execute(_DELTAS, (flow_id, index))]


def results(conn: sqlite3.Connection, sid: str) -> Iterator[ResultTale]:
    for call, error, content, file, size, time, rank in conn.execute(_RESULTS, (sid,)):
        is_error = None if error is None else bool(error)
        yield ResultTale(call, is_error, content, file, size, time, rank)


def background(conn: sqlite3.Connection, sid: str) -> tuple[float, int]:
    """(since when, how many) tasks that go on after the last stop; no time where none do."""
    for since, detail in conn.execute(_IDLE, (sid,)):
        count, _, words = str(detail or "").partition(" ")
        if words == BACKGROUND and count.isdecimal() and since is not None:
            return float(since), min(int(count[:4]), 99)
    return 0.0, 0


def notices(conn: sqlite3.Connection, sid: str) -> Iterator[NoticeTale]:
    for row in conn.execute(_NOTICES, (sid,)):
        yield NoticeTale(*row)


def agents(conn: sqlite3.Connection, sid: str) -> list[AgentTale]:
    """The subagents of a session."""
    return [AgentTale(*row) for row in conn.execute(_AGENTS, (sid,))]
