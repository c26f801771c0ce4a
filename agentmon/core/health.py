"""Phase and verdict: what an agent does, and whether that is all right, with the evidence.

Pure: everything comes as an argument, also "now". A verdict never changes what was recorded
(design: a dead process is a verdict beside the round, not an end of it).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

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


class Limits(Struct, frozen=True):
    """Settings of the verdicts, in seconds."""

    stalled_after: float = 30.0
    overdue_after: float = 600.0
    overdue_per_tool: Mapping[str, float] = field(default_factory=dict[str, float])

    def overdue_limit(self, tool_name: str | None) -> float:
        return self.overdue_per_tool.get(tool_name or "", self.overdue_after)


class PendingCall(Struct, frozen=True):
    """A tool call whose result has not come."""

    tool_use_id: str
    tool_name: str | None
    called_at: float


class ProcessFact(Struct, frozen=True):
    """What the process table said: `gone_since` once two looks in a row missed the pid."""

    pid: int
    gone_since: float
    reason: str
    """"no such process", or "pid belongs to a process started later"."""


class Facts(Struct, frozen=True):
    """What is known of one thread of a session at some time."""

    phase: str
    phase_since: float | None
    last_byte: float | None
    round_open: bool
    pending: Sequence[PendingCall] = ()
    process: ProcessFact | None = None


class Verdict(Struct, frozen=True):
    """A judgement with what it rests on. `since` is when the judged state began."""

    word: Word
    since: float
    evidence: dict[str, object]


def judge(facts: Facts, now: float, limits: Limits) -> Verdict:
    """The one verdict that matters most: a gone process, a stall, an overdue tool, else ok."""
    process = facts.process
    if process is not None and (facts.last_byte or 0.0) <= process.gone_since:
        evidence: dict[str, object] = {
            "pid": process.pid,
            "process": process.reason,
            "gone_since": process.gone_since,
            "last_byte": facts.last_byte,
            "round_open": facts.round_open,
        }
        open_work = facts.round_open or bool(facts.pending)
        return Verdict("orphaned" if open_work else "dead", process.gone_since, evidence)
    last = facts.last_byte
    if facts.phase in BYTE_DUE and last is not None and now - last >= limits.stalled_after:
        return Verdict(
            "stalled",
            last,
            {
                "phase": facts.phase,
                "phase_since": facts.phase_since,
                "last_byte": last,
                "threshold": limits.stalled_after,
            },
        )
    overdue = [
        call
        for call in facts.pending
        if now - call.called_at >= limits.overdue_limit(call.tool_name)
    ]
    if overdue:
        worst = min(overdue, key=lambda call: call.called_at)
        return Verdict(
            "overdue",
            worst.called_at,
            {
                "tool_use_id": worst.tool_use_id,
                "tool_name": worst.tool_name,
                "called_at": worst.called_at,
                "threshold": limits.overdue_limit(worst.tool_name),
            },
        )
    return Verdict("ok", facts.phase_since or last or now, {"phase": facts.phase})
