"""Phase and verdict: what an agent does, and whether that is all right, with the evidence.

Pure: everything comes as an argument, also "now". A verdict never changes what was recorded
(design: a dead process is a verdict beside the round, not an end of it).

Evidence, by name (times are epoch seconds, the rest seconds):
- stalled: phase, phase_since, told_by (kind of source), shown_by ("stream" shows every byte,
  "told" only what is over), last_byte, last_told, due_at, threshold, setting, usual, usual_count,
  passed_at (when the threshold was passed)
- overdue: tool_use_id, tool_name, command, called_at, heard_at (of the subagent it runs),
  threshold, setting, usual, usual_count, passed_at
- orphaned, dead: pid, process (the reason), gone_since, alive_at (last look that saw it),
  last_byte, round_open
The engine adds to each: said ({kind: {time, said}}, what each source said last), open_blocks,
pending, process_info ({pid, name, status, started, cpu_percent}), children and left_running
(lists of {pid, command, status, started, cpu_percent}), version, sampled_at.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct, field

from agentmon.core.yardsticks import Yardstick

Phase = Literal[
    "prompting",
    "thinking",
    "writing",
    "calling",
    "tool",
    "permission",
    "retrying",
    "compacting",
    "idle",
    "ended",
]
Word = Literal["ok", "stalled", "overdue", "orphaned", "dead"]

BYTE_DUE: frozenset[str] = frozenset({"prompting", "thinking", "writing", "calling", "retrying"})
"""Phases in which the API owes the next byte; silence there is a stall."""

WORKING: frozenset[str] = BYTE_DUE | {"tool", "compacting"}
"""Phases in which nobody waits for a person."""

GAP_FACTOR = 2.0
"""A silence is a stall from this many times the usual longest gap on."""

TOOL_FACTOR = 1.5
"""A call is overdue from this many times the usual longest run of such a call on."""

HOLD = 1.0
"""Seconds for which a silence or a lateness must hold before it is told: two looks."""

RETRY_PAUSE = 40.0
"""Seconds for which a client may pause before it asks again and has not said so: 32 and a quarter,
the longest pause of Claude Code."""

_SLACK = 2.0
"""Seconds that the clock of a stream may be behind that of other sources."""

_FIRST_BYTE = frozenset({"prompting", "retrying"})
_KNOW_OF_ASKING = frozenset({"registry", "hook", "stream"})


Span: TypeAlias = tuple[float, float]
"""From when until when."""


class Limits(Struct, frozen=True):
    """Settings of the verdicts, in seconds."""

    stalled_after: float = 30.0
    overdue_after: float = 600.0
    overdue_per_tool: Mapping[str, float] = field(default_factory=dict[str, float])
    silent_after: float = 330.0
    """For agents that no stream shows: a client gives a silent answer up after 300 s itself."""
    unseen: tuple[Span, ...] = ()
    """Times in which this machine slept, or agentmon was stopped, as far as this process knows:
    the silence of agents in them means nothing."""

    def overdue_limit(self, tool_name: str | None, usual: Yardstick | None = None) -> float:
        """A setting for the tool, else what is usual, but never below the general setting."""
        own = self.overdue_per_tool.get(tool_name or "")
        if own is not None:
            return own
        return max(self.overdue_after, usual.p99 * TOOL_FACTOR if usual is not None else 0.0)

    def stall_limit(self, usual: Yardstick | None = None) -> float:
        """For agents that a stream shows."""
        learned = usual.p99 * GAP_FACTOR if usual is not None else 0.0
        return max(self.stalled_after, min(learned, self.silent_after))


class PendingCall(Struct, frozen=True):
    """A tool call whose result has not come."""

    tool_use_id: str
    tool_name: str | None
    called_at: float
    command: str = ""
    """What it runs, in a word or two."""
    heard_at: float | None = None
    """The last sign of life of the subagent that it runs."""
    usual: Yardstick | None = None


class ProcessFact(Struct, frozen=True):
    """What the process table said: `gone_since` once two looks in a row missed the pid."""

    pid: int
    gone_since: float
    reason: str
    """"no such process", or "pid belongs to a process started later"."""
    alive_at: float | None = None
    """The last look that saw it; None: it was gone before the first."""


class Facts(Struct, frozen=True):
    """What is known of one thread of a session at some time."""

    phase: str
    phase_since: float | None
    last_byte: float | None
    """The last byte of a source that streams."""
    round_open: bool
    pending: Sequence[PendingCall] = ()
    process: ProcessFact | None = None
    last_told: float | None = None
    """The last sign of life from a source that tells things when they are over."""
    phase_kind: str = "wire"
    due_at: float | None = None
    product: str = "claude"
    gap: Yardstick | None = None
    """Between two bytes of this agent."""
    first_byte: Yardstick | None = None
    """From a request to the first byte of its answer."""
    unseen: tuple[Span, ...] = ()
    """As in `Limits`, from the store."""

    @property
    def last(self) -> float | None:
        """The last sign of life from anywhere."""
        known = [time for time in (self.last_byte, self.last_told) if time is not None]
        return max(known, default=None)


class Verdict(Struct, frozen=True):
    """A judgement with what it rests on. `since` is when the judged state began."""

    word: Word
    since: float
    evidence: dict[str, object]

    def is_same(self, other: "Verdict | None") -> bool:
        return other is not None and (self.word, self.since) == (other.word, other.since)


def judge(facts: Facts, now: float, limits: Limits, held: Verdict | None = None) -> Verdict:
    """The one verdict that matters most: a gone process, a stall, an overdue tool, else ok.

    `held`: the verdict that held until now. It goes on while its state does, though a yardstick
    may have moved, so nothing flaps at a threshold.
    """
    return (
        _gone(facts)
        or _stalled(facts, now, limits, held)
        or _overdue(facts, now, limits, held)
        or _ok(facts, now, limits)
    )


def settled(verdict: Verdict, held: Verdict | None, now: float) -> bool:
    """Whether a verdict may be told: it held already, or for some seconds."""
    passed = verdict.evidence.get("passed_at")
    return not isinstance(passed, float) or verdict.is_same(held) or now - passed >= HOLD


def told(facts: Facts, now: float, limits: Limits, held: Verdict | None) -> Verdict:
    """The verdict to tell: one that begins just now is not told yet."""
    verdict = judge(facts, now, limits, held)
    return verdict if settled(verdict, held, now) else _ok(facts, now, limits)


def after(start: float, seconds: float, unseen: Iterable[Span]) -> float:
    """The moment so many seconds after a start, those apart that nobody saw."""
    moment, counted = start + seconds, start
    for began, ended in sorted(unseen):
        if counted < ended and began < moment:
            moment += ended - max(began, counted)
            counted = ended
    return moment


def _ok(facts: Facts, now: float, limits: Limits) -> Verdict:
    """`phase` of its evidence is what to tell of the phase: see `_may_be_over`."""
    since = facts.phase_since or facts.last or now
    limit = max(limits.stalled_after, limits.silent_after)
    is_over = _may_be_over(facts) and facts.last is not None and now - facts.last >= limit
    return Verdict("ok", since, {"phase": "idle" if is_over else facts.phase})


def _may_be_over(facts: Facts) -> bool:
    """An old transcript does not say whether a text was the end of its turn."""
    began, byte = facts.phase_since or 0.0, facts.last_byte
    is_told = byte is None or byte < began - _SLACK
    return facts.phase == "writing" and facts.phase_kind == "transcript" and is_told


def _gone(facts: Facts) -> Verdict | None:
    process = facts.process
    if process is None or (facts.last or 0.0) > process.gone_since:
        return None
    evidence: dict[str, object] = {
        "pid": process.pid,
        "process": process.reason,
        "gone_since": process.gone_since,
        "alive_at": process.alive_at,
        "last_byte": facts.last,
        "round_open": facts.round_open,
        "phase": facts.phase,
    }
    since = process.gone_since
    if process.alive_at is None and facts.last is not None:
        since = facts.last  # nobody saw it die: it said nothing from then on
    return Verdict("orphaned" if _has_open_work(facts) else "dead", since, evidence)


def _has_open_work(facts: Facts) -> bool:
    """A wire log of Codex has no end of a turn (design.md 7): there an idle agent has none."""
    if facts.pending or facts.phase not in ("idle", "ended"):
        return True
    return facts.round_open and facts.product != "codex"


def _stalled(facts: Facts, now: float, limits: Limits, held: Verdict | None) -> Verdict | None:
    if facts.phase not in BYTE_DUE:
        return None
    began, byte = facts.phase_since or 0.0, facts.last_byte
    shows = byte is not None and byte >= began - _SLACK
    usual = facts.first_byte if facts.phase in _FIRST_BYTE else facts.gap
    if shows:
        since, limit = byte, limits.stall_limit(usual)
    else:
        since, limit = facts.last, max(limits.stalled_after, limits.silent_after)
        if facts.pending or _may_be_over(facts):
            return None
    if since is None:
        return None
    due = facts.due_at
    if facts.phase == "retrying" and due is None:
        due = began + RETRY_PAUSE
    limit = _held_limit(held, "stalled", since, limit)
    passed = after(max(since, began, due or 0.0), limit, (*facts.unseen, *limits.unseen))
    if now < passed:
        return None
    evidence: dict[str, object] = {
        "phase": facts.phase,
        "phase_since": facts.phase_since,
        "told_by": facts.phase_kind,
        "shown_by": "stream" if shows else "told",
        "last_byte": byte,
        "last_told": facts.last_told,
        "due_at": facts.due_at,
        "threshold": limit,
        "setting": limits.stalled_after if shows else limits.silent_after,
        "usual": usual.p99 if usual is not None else None,
        "usual_count": usual.count if usual is not None else 0,
        "passed_at": passed,
    }
    return Verdict("stalled", since, evidence)


def _overdue(facts: Facts, now: float, limits: Limits, held: Verdict | None) -> Verdict | None:
    if facts.phase == "permission":
        return None
    # those who know of asking a person tell when the tool could run at last
    asked = facts.phase == "tool" and facts.phase_kind in _KNOW_OF_ASKING
    ran = facts.phase_since if asked else None
    late: list[tuple[float, float, PendingCall]] = []
    for call in facts.pending:
        limit = limits.overdue_limit(call.tool_name, call.usual)
        limit = _held_limit(held, "overdue", call.called_at, limit)
        runs_from = max(call.called_at, call.heard_at or 0.0, ran or 0.0)
        passed = after(runs_from, limit, (*facts.unseen, *limits.unseen))
        if now >= passed:
            late.append((passed, limit, call))
    if not late:
        return None
    passed, limit, worst = min(late, key=lambda found: found[2].called_at)
    usual = worst.usual
    evidence: dict[str, object] = {
        "tool_use_id": worst.tool_use_id,
        "tool_name": worst.tool_name,
        "command": worst.command,
        "called_at": worst.called_at,
        "heard_at": worst.heard_at,
        "threshold": limit,
        "setting": limits.overdue_limit(worst.tool_name),
        "usual": usual.p99 if usual is not None else None,
        "usual_count": usual.count if usual is not None else 0,
        "passed_at": passed,
    }
    return Verdict("overdue", worst.called_at, evidence)


def _held_limit(held: Verdict | None, word: Word, since: float, limit: float) -> float:
    """The limit that a verdict began with, where that is less."""
    if held is None or (held.word, held.since) != (word, since):
        return limit
    began_with = held.evidence.get("threshold")
    return min(limit, float(began_with)) if isinstance(began_with, int | float) else limit
