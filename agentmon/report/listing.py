"""Lists: sessions, pending calls, stalled agents, rounds, prompts without a stop.

Each as plain values for JSON (times in epoch seconds, durations in seconds, but for those that
`dump` has in milliseconds) and as cells of a table. Rows come as they are asked for.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import asdict, replace

from agentmon.core.health import BYTE_DUE, Limits, Verdict
from agentmon.core.names import gist
from agentmon.report import known, render
from agentmon.report.board import Board, Thread, of_sessions
from agentmon.report.dump import milliseconds
from agentmon.report.liveness import Liveness, liveness
from agentmon.report.table import Cell, Column
from agentmon.report.words import UNKNOWN, age, brief, moment, tokens
from agentmon.sources.procs import Processes
from agentmon.store import read
from agentmon.store.read_rounds import RoundLine, RoundWork, Unended, unended

Record = dict[str, object]
Cells = Sequence[Cell]

PAGE = 50
"""Sessions that are read at once."""


CALLS = 25
"""Pending calls whose sessions are read at once."""


def boards(conn: sqlite3.Connection, sessions: Iterable[read.SessionRow]) -> Iterator[Board]:
    """The sessions with their agents and pending calls, some at a time."""
    coming = iter(sessions)
    while page := list(islice(coming, PAGE)):
        calls = [call for session in page for call in read.pending(conn, sid=session.sid)]
        yield of_sessions(conn, page, calls)


# -- sessions

Listed = tuple[Board, Thread, Liveness]

SESSIONS = (
    Column("session", 8, 8),
    Column("name", 14, 24),
    Column("agent", 6, 8, keep=3),
    Column("process", 8, 8),
    Column("state", 10, 22),
    Column("rounds", 6, 6, keep=2, right=True),
    Column("tokens", 6, 6, keep=1, right=True),
    Column("last", 4, 4, right=True),
)


def sessions(conn: sqlite3.Connection, now: float, *, since: float = 0.0) -> Iterator[Listed]:
    """Sessions active since then, newest activity first, with what is known of their processes."""
    processes = Processes()
    for board in boards(conn, read.each_session(conn, since=since)):
        for thread in board.threads:
            if thread.is_main:
                yield board, thread, liveness(thread, now, processes)


def session_json(conn: sqlite3.Connection, listed: Listed, now: float, limits: Limits) -> Record:
    """A session as on the board, its rounds and subagents counted, and its liveness."""
    _, thread, found = listed
    facts = known.load(conn, Board([thread], []))
    record = render.agent_json(
        thread, facts.get((thread.row.sid, ""), known.NOTHING_KNOWN), now, limits
    )
    del record["agent_id"], record["parent_agent_id"], record["parent_tool_use_id"]
    record["rounds"] = thread.session.round_count
    record["last_time"] = thread.session.last_time
    return {**record, "liveness": found.word, "liveness_reason": found.reason}


def session_cells(listed: Listed, now: float, limits: Limits, *, ascii: bool) -> Cells:
    _, thread, found = listed
    session = thread.session
    state = render.state(thread, now, limits, ascii=ascii)
    role = "error" if found.word in ("dead", "orphaned") else ""
    last = None if session.last_time is None else max(0.0, now - session.last_time)
    return (
        Cell(session.sid[:8]),
        Cell(known.name_of(thread), bold=True),
        Cell(session.agent),
        Cell(found.word, role),
        Cell(f"{state.glyph} {state.label}", state.color_role),
        Cell(str(session.round_count)),
        Cell(tokens(known.tokens_of(thread))),
        Cell(age(last)),
    )


# -- pending calls

PENDING = (
    Column("call", 8, 32, keep=2),
    Column("session", 6, 20),
    Column("tool", 4, 16),
    Column("for", 4, 8, right=True),
    Column("state", 4, 12),
    Column("input", 6, 200, keep=1),
)

Waiting = tuple[Board, read.PendingRow]


def pending(
    conn: sqlite3.Connection, *, sid: str | None = None, tool: str | None = None
) -> Iterator[Waiting]:
    """Pending calls of all sessions or of one, oldest call first, with their boards."""
    found = read.pending(conn, sid=sid, limit=-1)
    calls = iter([call for call in found if tool is None or call.tool_name == tool])
    while page := list(islice(calls, CALLS)):
        sids = dict.fromkeys(call.sid for call in page)
        sessions = [row for sid in sids if (row := read.session(conn, sid)) is not None]
        board = of_sessions(conn, sessions, page)
        yield from ((board, call) for call in page)


def pending_json(waiting: Waiting, now: float, limits: Limits) -> Record:
    """A pending call as on the board; `state`: running, overdue, permission (a person is asked)
    or orphaned (its process is gone)."""
    board, call = waiting
    return {
        **render.call_json(board, call, now, limits),
        "state": _call_state(waiting, now, limits),
    }


def _call_state(waiting: Waiting, now: float, limits: Limits) -> str:
    board, call = waiting
    thread = board.thread(call.sid, call.agent_id or "")
    if thread is not None and thread.verdict(now, limits).word in ("orphaned", "dead"):
        return "orphaned"
    word = render.call_word(call, thread, now, limits)
    return word if word in ("overdue", "permission") else "running"


def pending_cells(waiting: Waiting, now: float, limits: Limits) -> Cells:
    board, call = waiting
    main = board.thread(call.sid)
    state = _call_state(waiting, now, limits)
    role = render.look("tool" if state == "running" else state).role
    return (
        Cell(call.tool_use_id),
        Cell(known.name_of(main) if main is not None else call.sid[:8]),
        Cell(call.tool_name or "tool", bold=True),
        Cell(render.timer(max(0.0, now - call.called_at))),
        Cell(state, role),
        Cell(gist(call.input_preview)),
    )


# -- stalled agents

STALLED = (
    Column("session", 8, 8),
    Column("agent", 6, 32),
    Column("phase", 6, 12),
    Column("silent", 6, 8, right=True),
    Column("limit", 5, 8, keep=1, right=True),
    Column("process", 4, 30, keep=2),
)

Silent = tuple[Thread, Verdict]


def stalled(
    conn: sqlite3.Connection,
    now: float,
    limits: Limits,
    *,
    since: float,
    threshold: float | None = None,
) -> Iterator[Silent]:
    """Agents active since then that owe a byte and are silent for too long.

    Judged as on the board: by the setting and by what is usual for the agent. With a `threshold`
    (seconds) that alone counts, for every kind of source.
    """
    if threshold is not None:
        limits = replace(limits, stalled_after=threshold, silent_after=threshold)
    for board in boards(conn, read.each_session(conn, since=since)):
        for thread in board.threads:
            if thread.row.phase not in BYTE_DUE:
                continue
            if threshold is not None:
                thread.gap = thread.first_byte = thread.held = None
            verdict = thread.verdict(now, limits)
            if verdict.word == "stalled":
                yield thread, verdict


def stalled_json(silent: Silent, now: float) -> Record:
    thread, verdict = silent
    row = thread.row
    return {
        "sid": row.sid,
        "agent_id": row.agent_id or None,
        "name": known.name_of(thread),
        "agent": thread.session.agent,
        "phase": row.phase,
        "phase_since": row.phase_since,
        "silent_since": verdict.since,
        "silence": now - verdict.since,
        "threshold": verdict.evidence.get("threshold"),
        "pid": thread.session.pid,
        "flow_id": row.flow_id,
        "evidence": verdict.evidence,
    }


def stalled_cells(silent: Silent, now: float) -> Cells:
    thread, verdict = silent
    limit = verdict.evidence.get("threshold")
    pid = thread.session.pid
    return (
        Cell(thread.row.sid[:8]),
        Cell(known.name_of(thread), bold=True),
        Cell(thread.row.phase),
        Cell(render.timer(now - verdict.since), "error"),
        Cell(brief(limit if isinstance(limit, int | float) else None)),
        Cell(UNKNOWN if pid is None else f"pid {pid}"),
    )


# -- rounds

ROUNDS = (
    Column("#", 2, 6, right=True),
    Column("round", 12, 24, keep=3),
    Column("begun", 19, 19, keep=4),
    Column("took", 5, 8, right=True),
    Column("end", 4, 8),
    Column("calls", 5, 5, keep=2, right=True),
    Column("errors", 6, 6, keep=1, right=True),
    Column("tokens", 6, 6, keep=2, right=True),
    Column("prompt", 6, 200),
)


def round_json(row: RoundLine, work: RoundWork) -> Record:
    """A round as in `dump`, with what its messages add up to."""
    return {
        "round_id": row.round_id,
        "sid": row.sid,
        "round_number": row.round_number,
        "user_prompt": row.user_prompt,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "duration_ms": milliseconds(row.start_time, row.end_time),
        "is_complete": row.is_complete,
        "is_aborted": row.is_aborted,
        "orphaned_at": row.orphaned_at,
        "prompts": row.prompts,
        **asdict(work),
        "errors": work.errors,
    }


def round_cells(row: RoundLine, work: RoundWork) -> Cells:
    spent = (work.input_tokens or 0) + (work.cache_write_tokens or 0) + (work.output_tokens or 0)
    end, role = end_word(row)
    return (
        Cell(str(row.round_number), dim=True),
        Cell(row.round_id),
        Cell(moment(row.start_time)),
        Cell(brief(row.duration)),
        Cell(end, role),
        Cell(str(work.tool_calls)),
        Cell(str(work.errors), "error" if work.errors else ""),
        Cell(tokens(spent or None)),
        Cell(row.user_prompt or ""),
    )


def end_word(row: RoundLine) -> tuple[str, str]:
    """How a round stands, and its colour."""
    if row.is_complete:
        return "stop", "success"
    if row.is_aborted:
        return "aborted", "warning"
    return ("orphaned", "error") if row.orphaned_at is not None else ("open", "accent")


# -- prompts without a stop

UNBALANCED = (
    Column("session", 8, 8),
    Column("round", 8, 24, keep=1),
    Column("age", 4, 5, right=True),
    Column("why", 7, 12),
    Column("phase", 5, 10, keep=2),
    Column("prompt", 6, 200),
)


Unbalanced = tuple[Unended, str]
"""A round, and why it has no stop."""


def unbalanced(
    conn: sqlite3.Connection, now: float, *, sid: str | None = None, since: float = 0.0
) -> Iterator[Unbalanced]:
    """Prompts without a stop, newest first. What seems to run is looked up in the process table."""
    processes = Processes()
    for row in unended(conn, sid=sid, since=since):
        why = row.why
        session = read.session(conn, row.sid) if why == "running" else None
        if session is not None:
            main = of_sessions(conn, [session], []).thread(row.sid)
            if main is not None and liveness(main, now, processes).word in ("orphaned", "dead"):
                why = "orphaned"
        yield row, why


def unbalanced_json(found: Unbalanced, now: float) -> Record:
    """A prompt without a stop; `why` as `Unended.why` tells them apart."""
    row, why = found
    return {
        "sid": row.sid,
        "round_id": row.round_id,
        "agent": row.agent,
        "cwd": row.cwd,
        "user_prompt": row.user_prompt,
        "start_time": row.start_time,
        "age": max(0.0, now - row.start_time),
        "why": why,
        "aborted_at": row.aborted_at,
        "orphaned_at": row.orphaned_at,
        "next_round_start": row.next_start,
        "phase": row.phase,
        "verdict": row.verdict,
    }


def unbalanced_cells(found: Unbalanced, now: float) -> Cells:
    row, why = found
    roles = {"running": "accent", "orphaned": "error", "aborted": "warning"}
    return (
        Cell(row.sid[:8]),
        Cell(row.round_id),
        Cell(age(max(0.0, now - row.start_time))),
        Cell(why.replace("_", " "), roles.get(why, "")),
        Cell(row.phase or UNKNOWN),
        Cell(row.user_prompt or ""),
    )
