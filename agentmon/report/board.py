"""The board: which agents there are, what each does, which tools are pending.

One snapshot, the same for the screen, `--once` and `--json`. Verdicts are judged against a "now"
that the caller gives (wall clock live, virtual clock in replay), so timers tick without a query.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from agentmon.core.health import (
    BYTE_DUE,
    WORKING,
    Facts,
    Limits,
    PendingCall,
    ProcessFact,
    Span,
    Verdict,
    Word,
    judge,
    told,
)
from agentmon.core.names import session_name
from agentmon.core.yardsticks import Yardstick, command_prefix
from agentmon.store import history, read
from agentmon.store.history import History
from agentmon.store.verdicts import PID


class Thread(Struct):
    """A line of the board: a session's main agent, or a subagent below it."""

    row: read.AgentRow
    session: read.SessionRow
    pending: list[read.PendingRow]
    process: ProcessFact | None = None
    held: Verdict | None = None
    """The verdict that was stored last and holds."""
    gap: Yardstick | None = None
    first_byte: Yardstick | None = None
    calls: dict[str, Yardstick | None] = {}
    """What is usual for its pending calls, by tool_use_id."""
    heard: dict[str, float] = {}
    """When the subagents that its calls run were last heard of, by tool_use_id."""
    testimony: list[read.Testimony] = []
    """What each kind of source said last; of agents that work or wait."""
    open_blocks: list[dict[str, object]] = []
    proc_start: int | None = None
    """Start ticks of its process, where a registry told them."""
    has_found_pid: bool = False
    """Its pid is not from its own files but from the process table."""
    unseen: tuple[Span, ...] = ()
    """When nobody watched."""

    @property
    def is_main(self) -> bool:
        return self.row.agent_id == ""

    @property
    def name(self) -> str:
        """The human name: the folder it works in; a subagent's task, or its id."""
        if not self.is_main:
            return self.row.title or self.row.agent_id
        return session_name(self.session.sid, self.session.cwd)

    @property
    def last(self) -> float | None:
        """Its last sign of life, from whatever source."""
        known = [at for at in (self.row.last_byte, self.row.last_told) if at is not None]
        return max(known, default=None)

    def facts(self) -> Facts:
        row, byte = self.row, self.row.last_byte
        if byte is None and row.last_told is None:
            byte = self.session.last_time
        return Facts(
            phase=row.phase,
            phase_since=row.phase_since,
            last_byte=byte,
            round_open=self.session.round_open,
            pending=[self._call(call) for call in self.pending],
            process=self.process,
            last_told=row.last_told,
            phase_kind=row.phase_kind,
            due_at=row.due_at,
            product=self.session.agent,
            gap=self.gap,
            first_byte=self.first_byte,
            unseen=self.unseen,
        )

    def _call(self, call: read.PendingRow) -> PendingCall:
        key = call.tool_use_id
        return PendingCall(
            key,
            call.tool_name,
            call.called_at,
            command_prefix(call.tool_name, call.input_preview),
            self.heard.get(key),
            self.calls.get(key),
        )

    def verdict(self, now: float, limits: Limits) -> Verdict:
        """The verdict to tell; with the evidence that was stored, as long as it is the same."""
        verdict = told(self.facts(), now, limits, self.held)
        if self.held is not None and verdict.is_same(self.held):
            return Verdict(verdict.word, verdict.since, {**self.held.evidence, **verdict.evidence})
        return verdict

    def suspicion(self, now: float, limits: Limits) -> Verdict:
        """The same, a verdict that begins just now not held back."""
        return judge(self.facts(), now, limits, self.held)


class Board(Struct):
    """A snapshot of everything the first look needs, newest session first."""

    threads: list[Thread]
    pending: list[read.PendingRow]
    verdicts: dict[tuple[str, str], read.VerdictRow] = {}
    """What was judged last, by (sid, agent_id)."""

    def thread(self, sid: str, agent_id: str = "") -> Thread | None:
        for thread in self.threads:
            if thread.row.sid == sid and thread.row.agent_id == agent_id:
                return thread
        return None


_GONE = ("orphaned", "dead")
_HISTORY = History()


def load(
    conn: sqlite3.Connection, *, since: float = 0.0, limit: int = 200, also: Sequence[str] = ()
) -> Board:
    """The board of sessions active since then, and of others that are named; subagents that are
    over are left out."""
    sessions = read.sessions(conn, since=since, limit=limit)
    there = {session.sid for session in sessions}
    others = [read.session(conn, sid) for sid in also if sid not in there]
    sessions += [session for session in others if session is not None]
    return of_sessions(conn, sessions, read.pending(conn))


def of_sessions(
    conn: sqlite3.Connection,
    sessions: Sequence[read.SessionRow],
    pending: Sequence[read.PendingRow],
) -> Board:
    """The board of these sessions, with these pending calls."""
    named = [session.sid for session in sessions]
    held = {(row.sid, row.agent_id): row for row in read.open_verdicts(conn, sids=named)}
    gone = {row.sid: _process(row) for row in held.values() if row.verdict in _GONE}
    by_thread: dict[tuple[str, str], list[read.PendingRow]] = {}
    for call in pending:
        by_thread.setdefault((call.sid, call.agent_id or ""), []).append(call)
    threads: list[Thread] = []
    unseen = read.unseen(conn)
    known = read.facts_of(conn, named, (PROC_START, PID))
    for session in sessions:
        for row in read.agents(conn, session.sid):
            calls = by_thread.get((row.sid, row.agent_id), [])
            over = row.phase in ("idle", "ended") and not calls
            if row.agent_id and over:
                continue
            verdict = held.get((row.sid, row.agent_id))
            thread = Thread(row, session, calls, gone.get(row.sid), _verdict(verdict))
            _add_process(thread, known)
            thread.unseen = unseen
            threads.append(thread)
    _add_past(conn, threads)
    _add_heard(threads)
    shown = {(thread.row.sid, thread.row.agent_id): thread.row.phase for thread in threads}
    sids = {sid for sid, _ in shown}
    calls = [call for call in pending if call.sid in sids]
    # what waits for a person comes first: a small pane may have no room for the rest
    calls.sort(key=lambda call: shown.get((call.sid, call.agent_id or "")) != "permission")
    return Board(threads, calls, held)


PROC_START = "proc_start"
"""A registry's fact about the process of a session (capture.md 4)."""

_Known = Mapping[tuple[str, str, str], read.Fact]


def _evidence(row: read.VerdictRow) -> dict[str, object]:
    try:
        return msgspec.json.decode(row.evidence, type=dict[str, object])
    except msgspec.DecodeError:
        return {}


def _verdict(row: read.VerdictRow | None) -> Verdict | None:
    if row is None:
        return None
    return Verdict(msgspec.convert(row.verdict, Word), row.since, _evidence(row))


def _process(row: read.VerdictRow) -> ProcessFact:
    evidence = _evidence(row)

    def number(name: str) -> float | None:
        value = evidence.get(name)
        return float(value) if isinstance(value, int | float) else None

    return ProcessFact(
        int(number("pid") or 0),
        number("gone_since") or row.since,
        str(evidence.get("process") or "no such process"),
        number("alive_at"),
    )


def _add_process(thread: Thread, known: _Known) -> None:
    """What else is known of the process: start ticks, and a pid that only the table knew."""
    sid = thread.row.sid
    ticks, pid = known.get((sid, "", PROC_START)), known.get((sid, "", PID))
    if ticks is not None and str(ticks.value).isdigit():
        thread.proc_start = int(str(ticks.value))
    if pid is not None and isinstance(pid.value, int) and not isinstance(pid.value, bool):
        if thread.session.pid is None:
            thread.session.pid = pid.value
        thread.has_found_pid = thread.session.pid == pid.value


def _add_past(conn: sqlite3.Connection, threads: Iterable[Thread]) -> None:
    """What is usual for agents at work, and what their sources said last."""
    said: dict[str, list[read.Testimony]] = {}
    for thread in threads:
        row = thread.row
        if row.phase in BYTE_DUE:
            thread.gap = _HISTORY.gap(conn, row.sid, row.agent_id)
            thread.first_byte = _HISTORY.first_byte(conn, row.sid, row.agent_id)
            if row.flow_id is not None:
                thread.open_blocks = history.open_blocks(conn, row.flow_id)
        thread.calls = {
            call.tool_use_id: _HISTORY.tool(
                conn, call.tool_name, command_prefix(call.tool_name, call.input_preview)
            )
            for call in thread.pending
        }
        if row.phase in WORKING or row.phase == "permission" or thread.held is not None:
            if row.sid not in said:
                said[row.sid] = read.testimony(conn, row.sid)
            thread.testimony = [t for t in said[row.sid] if t.agent_id == row.agent_id]


def _add_heard(threads: Iterable[Thread]) -> None:
    """A call that runs a subagent is heard through it."""
    lasts = {
        (thread.row.sid, thread.row.parent_tool_use_id): thread.last
        for thread in threads
        if thread.row.parent_tool_use_id is not None and thread.last is not None
    }
    for thread in threads:
        for call in thread.pending:
            last = lasts.get((call.sid, call.tool_use_id))
            if last is not None:
                thread.heard[call.tool_use_id] = last
