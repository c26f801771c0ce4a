"""Rounds with what happened in them, and rounds that have no stop."""

import sqlite3
from collections.abc import Iterator

from msgspec import Struct

from agentmon.store.rows import NoticeRow, VerdictRow


class RoundLine(Struct, frozen=True):
    """A round as `dump` has it, and what else is known of its end."""

    sid: str
    round_id: str
    round_number: int
    user_prompt: str | None
    prompts: int
    start_time: float | None
    end_time: float | None
    is_complete: bool
    is_aborted: bool
    is_closed: bool
    aborted_at: float | None
    orphaned_at: float | None

    @property
    def duration(self) -> float | None:
        """Seconds from its first prompt to its end."""
        if self.start_time is None or self.end_time is None:
            return None
        return max(0.0, self.end_time - self.start_time)


class RoundWork(Struct, frozen=True):
    """What the messages of a round, subagents' among them, add up to.

    `pending` are calls whose result has not come, `errors` failed calls and broken messages.
    """

    messages: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    subagents: int
    broken_messages: int
    last_time: float | None
    blocks: int
    tool_calls: int
    failed_calls: int
    pending: int

    @property
    def errors(self) -> int:
        return self.failed_calls + self.broken_messages


_FIELDS = """
r.sid, r.round_id, r.user_prompt, r.prompts, r.start_time,
COALESCE(r.end_time, CASE WHEN r.abort_ends THEN r.aborted_at END), r.is_complete, r.is_aborted,
r.is_closed, r.aborted_at, r.orphaned_at
"""

_ROUNDS = f"""
SELECT {_FIELDS}, :pid IS NULL
  OR EXISTS (SELECT 1 FROM prompts p
             WHERE p.sid = r.sid AND p.round_id = r.round_id AND p.pid = :pid)
  OR EXISTS (SELECT 1 FROM messages m
             WHERE m.sid = r.sid AND m.round_id = r.round_id AND m.pid = :pid)
FROM rounds r WHERE r.sid = :sid AND r.prompts > 0
ORDER BY r.start_time DESC, r.round_id DESC
"""
_COUNT = "SELECT COUNT(*) FROM rounds WHERE sid = ? AND prompts > 0"


def rounds_of(conn: sqlite3.Connection, sid: str, *, pid: int | None = None) -> Iterator[RoundLine]:
    """The rounds of a session, newest first, as they are asked for; of one process with `pid`."""
    (number,) = conn.execute(_COUNT, (sid,)).fetchone()
    for row in conn.execute(_ROUNDS, {"sid": sid, "pid": pid}):
        if row[-1]:
            yield _line(row, number)
        number -= 1


_ROUND = f"SELECT {_FIELDS} FROM rounds r WHERE r.sid = ? AND r.round_id = ? AND r.prompts > 0"
_NUMBER = """
SELECT COUNT(*) FROM rounds
WHERE sid = ? AND prompts > 0 AND (start_time, round_id) <= (?, ?)
"""


def round_line(conn: sqlite3.Connection, sid: str, round_id: str) -> RoundLine | None:
    """One round."""
    row = conn.execute(_ROUND, (sid, round_id)).fetchone()
    if row is None:
        return None
    (number,) = conn.execute(_NUMBER, (sid, row[4], round_id)).fetchone()
    return _line(row, number)


def _line(row: tuple[object, ...], number: int) -> RoundLine:
    sid, round_id, prompt, prompts, start, end, complete, aborted, closed, given_up, lost = row[:11]
    flags = bool(complete), bool(aborted), bool(closed)
    values = (sid, round_id, number, prompt, prompts, start, end, *flags, given_up, lost)
    return RoundLine(*values)  # type: ignore[arg-type]


_MESSAGES = """
SELECT COUNT(*), SUM(input_tokens), SUM(output_tokens), SUM(cache_read_tokens),
       SUM(cache_write_tokens), COUNT(DISTINCT agent_id), COUNT(error), MAX(last_time)
FROM messages WHERE sid = ? AND round_id = ?
"""
_BLOCKS = """
SELECT COUNT(*), COUNT(b.tool_use_id), COALESCE(SUM(b.result_is_error = 1), 0),
       COALESCE(SUM(b.block_type = 'tool_use' AND b.complete_time IS NOT NULL
                    AND b.result_time IS NULL AND b.no_result_at IS NULL), 0)
FROM messages m JOIN content_blocks b USING (flow_id) WHERE m.sid = ? AND m.round_id = ?
"""


def work_of(conn: sqlite3.Connection, sid: str, round_id: str) -> RoundWork:
    """What happened in a round, in numbers."""
    said = conn.execute(_MESSAGES, (sid, round_id)).fetchone()
    did = conn.execute(_BLOCKS, (sid, round_id)).fetchone()
    return RoundWork(*said, *did)


# -- without a stop


class Unended(Struct, frozen=True):
    """A round whose prompt has no stop, and what tells why."""

    sid: str
    round_id: str
    user_prompt: str | None
    start_time: float
    is_closed: bool
    aborted_at: float | None
    orphaned_at: float | None
    cwd: str | None
    agent: str
    ended_at: float | None
    closed_at: float | None
    next_start: float | None
    phase: str | None
    verdict: str | None

    @property
    def why(self) -> str:
        """
        - aborted: somebody gave it up
        - session_end, resume, next_prompt: what came after it, so it is over
        - orphaned: its process is gone
        - end_not_told: its agent is idle or went on, in a log that has no ends of turns
        - running: none of these; its end may still come
        """
        if self.aborted_at is not None:
            return "aborted"
        if self.is_closed:
            return self._closed_by()
        if self.orphaned_at is not None or self.verdict in ("orphaned", "dead"):
            return "orphaned"
        went_on = self.next_start is not None or self.phase in ("idle", "ended")
        return "end_not_told" if went_on else "running"

    def _closed_by(self) -> str:
        after = float("inf") if self.next_start is None else self.next_start
        if self.closed_at is not None and self.start_time <= self.closed_at <= after:
            return "session_end" if self.ended_at == self.closed_at else "resume"
        return "next_prompt" if self.next_start is not None else "session_end"


_UNENDED = """
SELECT r.sid, r.round_id, r.user_prompt, r.start_time, r.is_closed, r.aborted_at, r.orphaned_at,
       s.cwd, s.agent, s.ended_at, s.closed_at,
       (SELECT MIN(n.start_time) FROM rounds n
        WHERE n.sid = r.sid AND n.prompts > 0 AND n.start_time > r.start_time),
       (SELECT a.phase FROM agents a WHERE a.sid = r.sid AND a.agent_id = ''),
       (SELECT v.verdict FROM verdicts v
        WHERE v.sid = r.sid AND v.agent_id = '' AND v.until IS NULL LIMIT 1)
FROM rounds r JOIN sessions s USING (sid)
WHERE r.prompts > 0 AND r.end_time IS NULL
"""


def unended(
    conn: sqlite3.Connection, *, sid: str | None = None, since: float = 0.0
) -> Iterator[Unended]:
    """Rounds without a stop that began since then, newest first, as they are asked for."""
    where, args = ("AND r.sid = ?", (sid,)) if sid is not None else ("", ())
    sql = f"{_UNENDED} {where} AND r.start_time >= ? ORDER BY r.start_time DESC"
    for row in conn.execute(sql, (*args, since)):
        values = list(row)
        values[4] = bool(values[4])
        yield Unended(*values)


# -- what a round has beside its messages

_NEXT_START = """
SELECT MIN(start_time) FROM rounds WHERE sid = ? AND prompts > 0 AND start_time > ?
"""


def next_start(conn: sqlite3.Connection, sid: str, start: float) -> float | None:
    """When the next round of a session began."""
    (found,) = conn.execute(_NEXT_START, (sid, start)).fetchone()
    return found


_AGENTS = """
SELECT DISTINCT agent_id FROM messages
WHERE sid = ? AND round_id = ? AND agent_id IS NOT NULL
"""
_CALL_IN_ROUND = """
SELECT 1 FROM content_blocks b JOIN messages m USING (flow_id)
WHERE b.tool_use_id = ? AND m.sid = ? AND m.round_id = ? LIMIT 1
"""


def agents_in(conn: sqlite3.Connection, sid: str, round_id: str) -> list[str]:
    """The subagents that have messages in a round."""
    return [agent_id for (agent_id,) in conn.execute(_AGENTS, (sid, round_id))]


def is_call_in(conn: sqlite3.Connection, tool_use_id: str, sid: str, round_id: str) -> bool:
    """Whether a call was made in a round."""
    return conn.execute(_CALL_IN_ROUND, (tool_use_id, sid, round_id)).fetchone() is not None


_NOTICES = """
SELECT notice_id, sid, time, name, flow_id, agent_id, data FROM notices
WHERE sid = ? AND time >= ? AND time < ? ORDER BY time, notice_id
"""
_VERDICTS = """
SELECT sid, agent_id, tool_use_id, verdict, since, until, evidence FROM verdicts
WHERE sid = ? AND since >= ? AND since < ? ORDER BY since, verdict_id
"""


def notices_between(
    conn: sqlite3.Connection, sid: str, start: float, end: float
) -> Iterator[NoticeRow]:
    """What else was said in a span of time, oldest first."""
    for row in conn.execute(_NOTICES, (sid, start, end)):
        yield NoticeRow(*row)


def verdicts_between(
    conn: sqlite3.Connection, sid: str, start: float, end: float
) -> Iterator[VerdictRow]:
    """Verdicts that began in a span of time, oldest first."""
    for row in conn.execute(_VERDICTS, (sid, start, end)):
        yield VerdictRow(*row)
