"""Every SELECT, as typed rows. Synchronous: a caller on an event loop hops once (`AsyncStore.run`).

Paging is by key, never by OFFSET; each query is served by an index of `schema.sql`.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from agentmon.store.deltas import path_now
from agentmon.store.read_sums import errors, round_sum
from agentmon.store.read_told import facts, facts_of, prompts, testimony, told, told_text
from agentmon.store.rows import (
    AgentRow,
    BlockRow,
    ErrorRow,
    Fact,
    MessageRow,
    NoticeRow,
    PendingRow,
    PromptRow,
    ResultRow,
    RoundRow,
    RoundSum,
    SessionRow,
    SourceRow,
    Testimony,
    ToldRow,
    VerdictRow,
)

__all__ = [
    "AgentRow",
    "BlockRow",
    "ErrorRow",
    "Fact",
    "MessageRow",
    "NoticeRow",
    "PendingRow",
    "PromptRow",
    "ResultRow",
    "RoundRow",
    "RoundSum",
    "SessionRow",
    "SourceRow",
    "Testimony",
    "ToldRow",
    "VerdictRow",
    "errors",
    "facts",
    "facts_of",
    "prompts",
    "round_sum",
    "testimony",
    "told",
    "told_text",
]


Rows = list[tuple[Any, ...]]


def _all(conn: sqlite3.Connection, sql: str, args: tuple[object, ...] = ()) -> Rows:
    return conn.execute(sql, args).fetchall()


_SESSION = """
SELECT s.sid, s.agent, s.pid, s.cwd, s.version, s.model, s.first_time, s.last_time,
       CASE WHEN s.resumed_at > s.ended_at THEN NULL ELSE s.ended_at END,
       CASE WHEN s.resumed_at > s.ended_at THEN NULL ELSE s.end_reason END,
       s.input_tokens, s.output_tokens, s.cache_read_tokens, s.cache_write_tokens,
       s.context_tokens,
       (SELECT COUNT(*) FROM rounds c WHERE c.sid = s.sid AND c.prompts > 0),
       r.round_id, r.start_time, r.end_time,
       r.round_id IS NOT NULL AND r.end_time IS NULL AND r.is_closed = 0, s.host, s.kinds
FROM sessions s
LEFT JOIN rounds r ON r.sid = s.sid AND r.round_id = (
  SELECT n.round_id FROM rounds n WHERE n.sid = s.sid AND n.prompts > 0
  ORDER BY n.start_time DESC LIMIT 1)
"""


def sessions(conn: sqlite3.Connection, *, since: float = 0.0, limit: int = 200) -> list[SessionRow]:
    """Sessions active since then, newest activity first."""
    sql = _SESSION + " WHERE s.last_time >= ? ORDER BY s.last_time DESC LIMIT ?"
    return [_session(row) for row in _all(conn, sql, (since, limit))]


def each_session(conn: sqlite3.Connection, *, since: float = 0.0) -> Iterator[SessionRow]:
    """The same without a limit, as they are asked for."""
    sql = _SESSION + " WHERE s.last_time >= ? ORDER BY s.last_time DESC"
    yield from map(_session, conn.execute(sql, (since,)))


def session(conn: sqlite3.Connection, sid: str) -> SessionRow | None:
    rows = _all(conn, _SESSION + " WHERE s.sid = ?", (sid,))
    return _session(rows[0]) if rows else None


def _session(row: tuple[Any, ...]) -> SessionRow:
    values = list(row)
    values[-3] = bool(values[-3])
    return SessionRow(*values)


def agents(conn: sqlite3.Connection, sid: str) -> list[AgentRow]:
    """The threads of a session, the main one first, then as they began."""
    sql = """
    SELECT a.sid, a.agent_id, a.phase, a.phase_since, a.phase_detail, a.last_byte, a.last_start,
           a.flow_id, a.parent_tool_use_id,
           (SELECT b.input_preview FROM content_blocks b
            WHERE b.tool_use_id = a.parent_tool_use_id LIMIT 1),
           a.kind, a.description, a.status, 0, 0, 0, 0,
           (SELECT COALESCE(m.agent_id, '')
            FROM content_blocks b JOIN messages m USING (flow_id)
            WHERE b.tool_use_id = a.parent_tool_use_id LIMIT 1),
           a.last_told, a.phase_kind, a.due_at
    FROM agents a WHERE a.sid = ? ORDER BY a.agent_id <> '', a.last_start, a.agent_id"""
    found = [AgentRow(*row) for row in _all(conn, sql, (sid,))]
    if len(found) > 1:
        _add_tokens(conn, sid, found)
    return found


_AGENT_TOKENS = """
SELECT agent_id, TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cache_read_tokens),
       TOTAL(cache_write_tokens)
FROM messages WHERE sid = ? AND agent_id IS NOT NULL GROUP BY agent_id
"""


def _add_tokens(conn: sqlite3.Connection, sid: str, agents: list[AgentRow]) -> None:
    """What the messages of each subagent add up to."""
    sums = {row[0]: row[1:] for row in _all(conn, _AGENT_TOKENS, (sid,))}
    for agent in agents:
        if agent.agent_id in sums:
            tokens = [int(value) for value in sums[agent.agent_id]]
            agent.input_tokens, agent.output_tokens = tokens[:2]
            agent.cache_read_tokens, agent.cache_write_tokens = tokens[2:]


_ROUND = """
SELECT sid, round_id, user_prompt, start_time, end_time, is_complete, is_aborted, orphaned_at
FROM rounds WHERE sid = ? AND prompts > 0
"""

_ROUNDS_UNTIL = "SELECT COUNT(*) FROM rounds WHERE sid = ? AND prompts > 0"


def rounds(conn: sqlite3.Connection, sid: str, *, limit: int = 500) -> list[RoundRow]:
    """The rounds of a session, newest first."""
    sql = _ROUND + " ORDER BY start_time DESC, round_id DESC LIMIT ?"
    (count,) = _all(conn, _ROUNDS_UNTIL, (sid,))[0]
    return [_round(row, count - at) for at, row in enumerate(_all(conn, sql, (sid, limit)))]


def round_(conn: sqlite3.Connection, sid: str, round_id: str) -> RoundRow | None:
    rows = _all(conn, _ROUND + " AND round_id = ?", (sid, round_id))
    return _round(rows[0], _number(conn, sid, round_id, rows[0][3])) if rows else None


def numbered_round(conn: sqlite3.Connection, sid: str, number: int) -> RoundRow | None:
    """The round with this `round_number`."""
    sql = _ROUND + " ORDER BY start_time, round_id LIMIT 1 OFFSET ?"
    rows = _all(conn, sql, (sid, number - 1)) if number > 0 else []
    return _round(rows[0], number) if rows else None


def _number(conn: sqlite3.Connection, sid: str, round_id: str, start: float | None) -> int:
    """How many rounds of a session began until this one; those without a start come first."""
    if start is None:
        sql, args = " AND start_time IS NULL AND round_id <= ?", (sid, round_id)
    else:
        sql = " AND (start_time IS NULL OR (start_time, round_id) <= (?, ?))"
        args = (sid, start, round_id)
    return int(_all(conn, _ROUNDS_UNTIL + sql, args)[0][0])


def _round(row: tuple[Any, ...], number: int) -> RoundRow:
    sid, round_id, prompt, start, end, complete, aborted, orphaned = row
    return RoundRow(
        sid, round_id, number, prompt, start, end, bool(complete), bool(aborted), orphaned
    )


_MESSAGE = """
SELECT m.flow_id, m.request_id, m.sid,
       CASE WHEN r.prompts > 0 THEN m.round_id END,
       m.agent_id, m.role, m.model, m.stop_reason, m.start_time, m.end_time, m.last_time,
       m.is_complete,
       m.is_broken OR (NOT m.is_complete AND
         (r.is_closed OR r.orphaned_at IS NOT NULL OR
          (m.agent_id IS NULL AND r.end_time >= m.last_time))),
       m.error, m.input_tokens, m.output_tokens,
       m.cache_read_tokens, m.cache_write_tokens,
       (SELECT COUNT(*) FROM content_blocks b WHERE b.flow_id = m.flow_id), m.kinds
FROM messages m LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id
"""


def messages(
    conn: sqlite3.Connection,
    sid: str,
    round_id: str,
    *,
    agent_id: str | None = None,
    limit: int = 1000,
) -> list[MessageRow]:
    """The messages of a round, oldest first; of one thread where `agent_id` says ("" the main)."""
    return list(each_message(conn, sid, round_id, agent_id=agent_id, limit=limit))


def each_message(
    conn: sqlite3.Connection,
    sid: str,
    round_id: str,
    *,
    agent_id: str | None = None,
    limit: int = -1,
) -> Iterator[MessageRow]:
    """The same as they are asked for, all of them."""
    where, args = _of_agent(agent_id)
    sql = f"""{_MESSAGE} WHERE m.sid = ? AND m.round_id = ? {where}
    ORDER BY m.start_time, m.flow_id LIMIT ?"""
    yield from map(_message, conn.execute(sql, (sid, round_id, *args, limit)))


def _of_agent(agent_id: str | None) -> tuple[str, tuple[object, ...]]:
    if agent_id is None:
        return "", ()
    return ("AND m.agent_id IS NULL", ()) if not agent_id else ("AND m.agent_id = ?", (agent_id,))


LOOK_BACK = 5_000
"""Of so many of its newest messages it is looked up whether the round that they name is one."""


def roundless_messages(
    conn: sqlite3.Connection, sid: str, *, agent_id: str | None = None, limit: int = 200
) -> list[MessageRow]:
    """Warm-up and side traffic: messages of no round, newest first.

    Those that name a round which got no prompt are found among the newest `LOOK_BACK` only.
    """
    where, args = _of_agent(agent_id)
    sql = f"""{_MESSAGE} WHERE m.flow_id IN (
      SELECT flow_id FROM (SELECT flow_id FROM messages m WHERE sid = ? AND round_id IS NULL {where}
                           ORDER BY start_time DESC LIMIT ?)
      UNION
      SELECT n.flow_id FROM (SELECT flow_id, sid, round_id, agent_id FROM messages
                             WHERE sid = ? ORDER BY start_time DESC LIMIT ?) n
      WHERE n.round_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM rounds o WHERE o.sid = n.sid AND o.round_id = n.round_id AND o.prompts > 0))
    {where} ORDER BY m.start_time DESC, m.flow_id LIMIT ?"""
    found = _all(conn, sql, (sid, *args, limit, sid, LOOK_BACK, *args, limit))
    return [_message(row) for row in found]


def agent_messages(
    conn: sqlite3.Connection, sid: str, agent_id: str, *, limit: int = 1000
) -> list[MessageRow]:
    """The messages of a subagent in all rounds, oldest first."""
    sql = _MESSAGE + " WHERE m.sid = ? AND m.agent_id = ? ORDER BY m.start_time, m.flow_id LIMIT ?"
    return [_message(row) for row in _all(conn, sql, (sid, agent_id, limit))]


def message(conn: sqlite3.Connection, flow_id: str) -> MessageRow | None:
    rows = _all(conn, _MESSAGE + " WHERE m.flow_id = ?", (flow_id,))
    return _message(rows[0]) if rows else None


def _message(row: tuple[Any, ...]) -> MessageRow:
    values = list(row)
    values[11] = bool(values[11])
    values[12] = bool(values[12])
    return MessageRow(*values)


_BLOCK = """
SELECT flow_id, block_index, sid, block_type, tool_use_id, tool_name, delta_count, total_bytes,
       stored_bytes, is_cut, revision, start_time, complete_time, last_time, is_complete,
       result_time, result_is_error, no_result_at, input_preview, uses_told
FROM content_blocks
"""


def blocks(conn: sqlite3.Connection, flow_id: str) -> list[BlockRow]:
    """The content blocks of a message, by index."""
    sql = _BLOCK + " WHERE flow_id = ? ORDER BY block_index"
    return [_block(row) for row in _all(conn, sql, (flow_id,))]


def round_blocks(conn: sqlite3.Connection, sid: str, round_id: str) -> list[BlockRow]:
    """The content blocks of a round's messages, by message and index."""
    sql = f"""{_BLOCK} WHERE flow_id IN
    (SELECT flow_id FROM messages WHERE sid = ? AND round_id = ?) ORDER BY flow_id, block_index"""
    return [_block(row) for row in _all(conn, sql, (sid, round_id))]


def block(conn: sqlite3.Connection, flow_id: str, index: int) -> BlockRow | None:
    rows = _all(conn, _BLOCK + " WHERE flow_id = ? AND block_index = ?", (flow_id, index))
    return _block(rows[0]) if rows else None


def latest_block(conn: sqlite3.Connection, flow_id: str) -> BlockRow | None:
    """The last block of a message: what an agent works on now."""
    sql = _BLOCK + " WHERE flow_id = ? ORDER BY block_index DESC LIMIT 1"
    rows = _all(conn, sql, (flow_id,))
    return _block(rows[0]) if rows else None


def block_of_call(conn: sqlite3.Connection, tool_use_id: str) -> BlockRow | None:
    rows = _all(conn, _BLOCK + " WHERE tool_use_id = ? LIMIT 1", (tool_use_id,))
    return _block(rows[0]) if rows else None


def _block(row: tuple[Any, ...]) -> BlockRow:
    values = list(row)
    values[9] = bool(values[9])
    values[14] = bool(values[14])
    if values[16] is not None:
        values[16] = bool(values[16])
    values[19] = bool(values[19])
    return BlockRow(*values)


_PENDING = """
SELECT sid, agent_id, round_id, flow_id, block_index, tool_use_id, tool_name, called_at,
       input_preview
FROM pending_tool_calls
"""


def pending(
    conn: sqlite3.Connection, *, sid: str | None = None, limit: int = 500
) -> list[PendingRow]:
    """Pending tool calls, of one session or of all, oldest call first."""
    where, args = (" WHERE sid = ?", (sid,)) if sid else ("", ())
    sql = _PENDING + where + " ORDER BY called_at, tool_use_id LIMIT ?"
    return [PendingRow(*row) for row in _all(conn, sql, (*args, limit))]


def result(conn: sqlite3.Connection, tool_use_id: str) -> ResultRow | None:
    sql = """
    SELECT tool_use_id, sid, is_error, content_size, sha256, COALESCE(content, ''), file,
           result_time, rank
    FROM tool_results WHERE tool_use_id = ?"""
    for row in _all(conn, sql, (tool_use_id,)):
        values = list(row)
        if values[2] is not None:
            values[2] = bool(values[2])
        return ResultRow(*values)
    return None


def notices(
    conn: sqlite3.Connection, sid: str, *, name: str | None = None, limit: int = 200
) -> list[NoticeRow]:
    """What else was said about a session, newest first."""
    where, args = ("AND name = ?", (name,)) if name else ("", ())
    sql = f"""
    SELECT notice_id, sid, time, name, flow_id, agent_id, data FROM notices
    WHERE sid = ? {where} ORDER BY time DESC, notice_id DESC LIMIT ?"""
    return [NoticeRow(*row) for row in _all(conn, sql, (sid, *args, limit))]


def open_verdicts(
    conn: sqlite3.Connection, *, sids: Sequence[str] | None = None, limit: int = 1000
) -> list[VerdictRow]:
    """Verdicts that held when they were last judged; all there are of these sessions."""
    where, args = "", (limit,)
    if sids is not None:
        where, args = "AND sid IN (SELECT value FROM json_each(?))", (json.dumps(list(sids)), -1)
    sql = f"""
    SELECT sid, agent_id, tool_use_id, verdict, since, until, evidence FROM verdicts
    WHERE until IS NULL {where} ORDER BY since DESC LIMIT ?"""
    return [VerdictRow(*row) for row in _all(conn, sql, args)]


def verdicts(conn: sqlite3.Connection, sid: str, *, limit: int = 50) -> list[VerdictRow]:
    """The verdicts of a session, newest first, with their evidence."""
    sql = """
    SELECT sid, agent_id, tool_use_id, verdict, since, until, evidence FROM verdicts
    WHERE sid = ? ORDER BY since DESC LIMIT ?"""
    return [VerdictRow(*row) for row in _all(conn, sql, (sid, limit))]


def unseen(conn: sqlite3.Connection) -> tuple[tuple[float, float], ...]:
    """Times in which this machine slept or agentmon was stopped, oldest first."""
    rows = _all(conn, "SELECT began, ended FROM unseen ORDER BY began")
    return tuple((began, ended) for began, ended in rows)


def sources(conn: sqlite3.Connection) -> list[SourceRow]:
    sql = """
    SELECT source_id, path, kind, position, generation, tail_bytes, last_read, format
    FROM sources ORDER BY source_id"""
    return [SourceRow(*row) for row in _all(conn, sql)]


COUNTS = (
    "lines",
    "events",
    "bad_lines",
    "torn",
    "duplicates",
    "reattributed",
    "unknown_events",
)
"""The counts of `dump`, in order."""


def counts(conn: sqlite3.Connection) -> dict[str, int]:
    """What the store holds, duplicates apart."""
    stored = dict(conn.execute("SELECT name, value FROM counts").fetchall())
    (torn,) = conn.execute("SELECT COUNT(*) FROM sources WHERE tail_bytes > 0").fetchone()
    (unknown,) = conn.execute("SELECT COUNT(*) FROM raw_events WHERE processed = 0").fetchone()
    found = {**stored, "torn": torn, "unknown_events": unknown}
    return {name: int(found.get(name, 0)) for name in COUNTS}


def table_sizes(conn: sqlite3.Connection) -> dict[str, int]:
    """Rows of the main tables, for `doctor` and summaries."""
    names = ("sessions", "rounds", "messages", "content_blocks", "tool_results", "raw_events")
    return {name: int(conn.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]) for name in names}


def pending_file_ops(conn: sqlite3.Connection) -> dict[str, str]:
    """Target → source of committed file operations not carried out yet (after a crash)."""
    sql = "SELECT target, source FROM file_ops WHERE source IS NOT NULL ORDER BY op_id"
    return {path_now(target): source for target, source in conn.execute(sql)}


def iterate(
    conn: sqlite3.Connection, sql: str, args: tuple[object, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """Rows of a long read, one at a time."""
    yield from conn.execute(sql, args)
