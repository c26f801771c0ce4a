"""The board as text and as plain values: `--once`, `--json`, and the words of the screen.

One table says how a state looks (glyph, word, theme colour), one set of functions how a number
looks; the screen uses the same. A value that is not known is "—", never 0.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from agentmon.core.health import WORKING, Limits, Verdict, after
from agentmon.core.text import one_line, wrap
from agentmon.report import family, seeing
from agentmon.report.board import Board, Thread
from agentmon.report.family import Key
from agentmon.report.known import (
    NOTHING_KNOWN,
    Known,
    context_fill,
    context_tokens,
    name_of,
    tokens_of,
)
from agentmon.report.table import Cell, Column, Painter, in_ascii, table
from agentmon.report.words import UNKNOWN as UNKNOWN
from agentmon.report.words import age as age
from agentmon.report.words import percent as percent
from agentmon.report.words import size as size
from agentmon.report.words import timer as timer
from agentmon.report.words import tokens as tokens
from agentmon.store.read import PendingRow, SessionRow


class Look(Struct, frozen=True):
    """How a state is drawn; `role` names a theme variable without its "$"."""

    glyph: str
    ascii: str
    role: str
    bold: bool = False
    dim: bool = False


_WORK = Look("●", "*", "success")

LOOKS: Mapping[str, Look] = {
    "prompting": _WORK,
    "thinking": _WORK,
    "writing": _WORK,
    "calling": _WORK,
    "tool": Look("⚙", "%", "accent"),
    "permission": Look("◆", "?", "warning", bold=True),
    "retrying": Look("↻", "~", "warning"),
    "compacting": Look("↻", "~", "warning"),
    "idle": Look("○", "o", "text-muted"),
    "ended": Look("·", ".", "text-disabled"),
    "stalled": Look("✕", "x", "error"),
    "overdue": Look("▲", "^", "error"),
    "orphaned": Look("†", "+", "error", dim=True),
    "dead": Look("†", "+", "error", dim=True),
    "complete": Look("✓", "v", "success"),
    "failed": Look("✕", "x", "error"),
    "unknown": Look("?", "?", "text-muted"),
}
"""Phases and verdicts, and for messages, blocks and results "complete" and "failed"."""

BYTES_FLOW = 2.0
"""Seconds after a byte for which a working agent counts as "bytes come" (its glyph may pulse)."""


class State(Struct, frozen=True):
    """What to show for a thread: always glyph, word and colour together."""

    glyph: str
    word: str
    color_role: str
    detail: str = ""
    bold: bool = False
    dim: bool = False
    is_flowing: bool = False

    @property
    def label(self) -> str:
        """The word with its detail: "stalled 41s", "tool Bash 2:14", "writing"."""
        return f"{self.word} {self.detail}" if self.detail else self.word


def look(name: str) -> Look:
    """The look of a phase, verdict or outcome; one that is not known has its own."""
    return LOOKS.get(name, LOOKS["unknown"])


def state(thread: Thread, now: float, limits: Limits, *, ascii: bool = False) -> State:
    """What a thread does, or what is wrong with it where that matters more."""
    verdict = thread.verdict(now, limits)
    word = _word(thread, verdict)
    drawn = look(word)
    last = thread.row.last_byte  # what is told when it is over does not flow
    return State(
        glyph=drawn.ascii if ascii else drawn.glyph,
        word=one_line(word, 12),
        color_role=drawn.role,
        detail=_detail(thread, word, verdict, now),
        bold=drawn.bold,
        dim=drawn.dim,
        is_flowing=drawn is _WORK and last is not None and now - last < BYTES_FLOW,
    )


def _word(thread: Thread, verdict: Verdict) -> str:
    """The verdict, unless the phase says more: an orderly end, or a wait for a person."""
    phase = thread.row.phase
    if verdict.word == "ok":
        return str(verdict.evidence.get("phase", phase))
    if (phase, verdict.word) in _PHASE_SAYS_MORE:
        return phase
    return verdict.word


_PHASE_SAYS_MORE = {("ended", "dead"), ("permission", "overdue")}


def _detail(thread: Thread, word: str, verdict: Verdict, now: float) -> str:
    if word == "stalled":
        return age(now - verdict.since)
    if word in ("tool", "overdue") and thread.pending:
        called = min(thread.pending, key=lambda call: call.called_at)
        more = f" +{len(thread.pending) - 1}" if len(thread.pending) > 1 else ""
        return f"{_tool(called.tool_name)} {timer(now - called.called_at)}{more}"
    if word == thread.row.phase:
        return one_line(thread.row.phase_detail or _first_tool(thread), 20)
    return ""


def _first_tool(thread: Thread) -> str:
    """What a person is asked about, where no event has said it."""
    asked = thread.pending if thread.row.phase == "permission" else ()
    return next((call.tool_name for call in asked if call.tool_name), "")


def _tool(name: str | None) -> str:
    return one_line(name, 16) if name else UNKNOWN


def heard(thread: Thread) -> float | None:
    """The last sign of life of an agent."""
    return thread.last if thread.last is not None else thread.session.last_time


def overdue_limit(call: PendingRow, thread: Thread | None, limits: Limits) -> float:
    """Seconds from which on a call is overdue, by what is usual for such calls."""
    usual = thread.calls.get(call.tool_use_id) if thread is not None else None
    return limits.overdue_limit(call.tool_name, usual)


def call_word(call: PendingRow, thread: Thread | None, now: float, limits: Limits) -> str:
    """What a pending call is: "permission", "overdue", or plainly "tool". A call that runs a
    subagent is as late as that one is silent."""
    if thread is None:
        return "tool"
    if thread.row.phase == "permission":
        return "permission"
    since = max(call.called_at, thread.heard.get(call.tool_use_id, 0.0))
    late = after(since, overdue_limit(call, thread, limits), (*thread.unseen, *limits.unseen))
    return "overdue" if now >= late else "tool"


class Counts(Struct, frozen=True):
    """The board in numbers. Subagents count as agents."""

    agents: int
    working: int
    needs_you: int
    stalled: int
    overdue: int
    gone: int
    pending: int


def counts(board: Board, now: float, limits: Limits) -> Counts:
    """How many agents are in which kind of state, by the same words as the board."""
    words = [_word(thread, thread.verdict(now, limits)) for thread in board.threads]
    return counted(words, len(board.pending))


def counted(words: Sequence[str], pending: int) -> Counts:
    """The same of the words of all agents."""
    return Counts(
        agents=len(words),
        working=sum(word in WORKING for word in words),
        needs_you=words.count("permission"),
        stalled=words.count("stalled"),
        overdue=words.count("overdue"),
        gone=words.count("orphaned") + words.count("dead"),
        pending=pending,
    )


def summary(found: Counts) -> str:
    """The counts in words; what is zero is left out, but for the agents."""
    parts = [f"{found.agents} agent{'' if found.agents == 1 else 's'}"]
    named = (
        (found.working, "working"),
        (found.needs_you, "needs you" if found.needs_you == 1 else "need you"),
        (found.stalled, "stalled"),
        (found.overdue, "overdue"),
        (found.gone, "gone"),
        (found.pending, f"tool{'' if found.pending == 1 else 's'} pending"),
    )
    return " · ".join(parts + [f"{number} {word}" for number, word in named if number])


_AGENTS = (
    Column("", 1, 1, 0),
    Column("agent", 8, 24, 0),
    Column("state", 14, 24, 0),
    Column("round", 5, 6, 1, right=True),
    Column("last", 4, 4, 1, right=True),
    Column("tokens", 6, 6, 2, right=True),
    Column("ctx", 4, 4, 3, right=True),
    Column("product", 7, 8, 6),
    Column("via", 10, 10, 7),
    Column("model", 8, 24, 5),
    Column("cwd", 12, 60, 4),
)
_HOST = Column("host", 5, 16, 3)
"""Behind the agent, where there are sessions of other machines."""
_PENDING = (
    Column("", 1, 1, 0),
    Column("tool", 6, 16, 0),
    Column("agent", 8, 24, 1),
    Column("for", 7, 8, 0, right=True),
    Column("arguments", 12, 80, 2),
)


def board_text(
    board: Board,
    now: float,
    limits: Limits,
    *,
    width: int,
    ascii: bool = False,
    color: bool = False,
    looked_for: Sequence[str] = (),
    known: Mapping[Key, Known] | None = None,
) -> str:
    """The board for a terminal or a pipe, lines of at most `width` cells (28 at least).

    `color` adds SGR colours; nothing depends on them. An empty board says what was looked for
    and what to do. `known` is what sources told besides (`report.known.load`).
    """
    width = max(width, 28)
    if not board.threads:
        from agentmon.report.places import empty_state  # psutil and more, for a board that is empty

        lines = empty_state(looked_for, width)
        return "\n".join(in_ascii(line) if ascii else line for line in lines)
    paint = Painter(ascii=ascii, color=color)
    facts = known or {}
    members = family.lines(board.threads)
    agents = [
        _agent_cells(member, facts.get(member.key, NOTHING_KNOWN), now, limits, ascii=ascii)
        for member in members
    ]
    columns = _AGENTS
    if any(thread.session.host for thread in board.threads):
        columns = (*_AGENTS[:2], _HOST, *_AGENTS[2:])
        for member, cells_ in zip(members, agents, strict=True):
            cells_.insert(2, Cell(member.thread.session.host or "here", "text-muted"))
    head = wrap(summary(counts(board, now, limits)), width)
    lines = [*(paint(Cell(line)) for line in head), "", *table(columns, agents, width, paint)]
    if board.pending:
        calls = [_call_cells(board, call, now, limits, ascii=ascii) for call in board.pending]
        lines += ["", "Pending tools", *table(_PENDING, calls, width, paint)]
    return "\n".join(lines)


def _agent_cells(
    member: family.Member, known: Known, now: float, limits: Limits, *, ascii: bool
) -> list[Cell]:
    thread = member.thread
    session, shown = thread.session, state(thread, now, limits, ascii=ascii)
    main = thread.is_main
    last = heard(thread)
    lead = f"{'  ' * (member.depth - 1)}└ " if member.depth else ""
    return [
        Cell(shown.glyph, shown.color_role, shown.bold, shown.dim),
        Cell(lead + name_of(thread), bold=shown.bold),
        Cell(shown.label, shown.color_role, shown.bold, shown.dim),
        Cell(_round(session) if main else ""),
        Cell(age(None if last is None else now - last)),
        Cell(tokens(tokens_of(thread))),
        Cell(percent(context_fill(thread, known))),
        Cell(session.agent),
        Cell(seeing.word(session.kinds) if main else ""),
        Cell(session.model or UNKNOWN),
        Cell((session.cwd or UNKNOWN) if main else ""),
    ]


def _round(session: SessionRow) -> str:
    return f"#{session.round_count}" if session.round_count else UNKNOWN


def _call_cells(
    board: Board, call: PendingRow, now: float, limits: Limits, *, ascii: bool
) -> list[Cell]:
    thread = board.thread(call.sid, call.agent_id or "")
    waited = now - call.called_at
    word = call_word(call, thread, now, limits)
    drawn = look(word)
    return [
        Cell(drawn.ascii if ascii else drawn.glyph, drawn.role, drawn.bold),
        Cell(call.tool_name or UNKNOWN),
        Cell(name_of(thread) if thread else call.sid[:8]),
        Cell(timer(waited), drawn.role if word == "overdue" else ""),
        Cell(call.input_preview or ""),
    ]


def board_json(
    board: Board, now: float, limits: Limits, *, known: Mapping[Key, Known] | None = None
) -> dict[str, object]:
    """The board as plain values, times in epoch seconds. Agent text is as it was written: JSON
    escapes its controls."""
    found = counts(board, now, limits)
    facts = known or {}
    return {
        "time": now,
        "counts": asdict(found),
        "agents": [
            agent_json(thread, facts.get(family.key_of(thread), NOTHING_KNOWN), now, limits)
            for thread in board.threads
        ],
        "pending": [call_json(board, call, now, limits) for call in board.pending],
    }


def agent_json(thread: Thread, known: Known, now: float, limits: Limits) -> dict[str, object]:
    """One agent of it."""
    session, row = thread.session, thread.row
    verdict = thread.verdict(now, limits)
    spent = session if thread.is_main else row
    return {
        "sid": session.sid,
        "agent_id": row.agent_id or None,
        "parent_agent_id": row.parent_agent_id or None,
        "parent_tool_use_id": row.parent_tool_use_id,
        "name": name_of(thread),
        "agent": session.agent,
        "state": _word(thread, verdict),
        "phase": row.phase,
        "phase_since": row.phase_since,
        "phase_detail": row.phase_detail,
        "verdict": verdict.word,
        "verdict_since": verdict.since,
        "evidence": verdict.evidence,
        "pid": session.pid,
        "host": session.host,
        "told_by": seeing.told_by(session.kinds),
        "cwd": session.cwd,
        "version": session.version,
        "model": session.model,
        "round_id": session.round_id,
        "round_number": session.round_count or None,
        "round_open": session.round_open,
        "last_byte": row.last_byte,
        "start_time": session.first_time,
        "end_time": session.end_time,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cache_read_tokens": spent.cache_read_tokens,
        "cache_write_tokens": spent.cache_write_tokens,
        "context_tokens": context_tokens(thread, known),
        "context_fill": context_fill(thread, known),
        "facts": dict(known),
        "pending": len(thread.pending),
    }


def call_json(board: Board, call: PendingRow, now: float, limits: Limits) -> dict[str, object]:
    """One pending call of it."""
    waited = max(now - call.called_at, 0.0)
    thread = board.thread(call.sid, call.agent_id or "")
    return {
        "sid": call.sid,
        "agent_id": call.agent_id,
        "round_id": call.round_id,
        "flow_id": call.flow_id,
        "index": call.index,
        "tool_use_id": call.tool_use_id,
        "tool_name": call.tool_name,
        "called_at": call.called_at,
        "seconds": waited,
        "is_overdue": call_word(call, thread, now, limits) == "overdue",
        "input_preview": call.input_preview,
    }
