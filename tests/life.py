"""A run as it happened: its events in the order in which they came in, and what each agent was at
at any moment of it, judged from the fold alone."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agentmon.core.events import Event, Malformed
from agentmon.core.fold import Fold
from agentmon.core.health import Facts, Limits, PendingCall, ProcessFact, Verdict, judge
from agentmon.core.model import Session, Thread
from agentmon.core.state import State

Key = tuple[str, str]
"""(sid, agent_id)."""

Arrival = tuple[float, Sequence[Event | Malformed]]
"""When a line came in, and its events."""


class Shown(NamedTuple):
    """What a thread was at, and what was thought of it."""

    phase: str
    detail: str | None
    verdict: Verdict

    @property
    def word(self) -> str:
        return self.verdict.word


class Life:
    """Folds a run up to any moment. Moments must not go back."""

    def __init__(self, arrivals: Iterable[Arrival], limits: Limits | None = None) -> None:
        self.arrivals = sorted(arrivals, key=lambda arrival: arrival[0])
        self.limits = limits or Limits()
        self.state = State()
        self.fold = Fold(self.state)
        self._next = 0
        self.gone: dict[int, ProcessFact] = {}
        """Processes that the process table misses."""

    @property
    def start(self) -> float:
        return self.arrivals[0][0]

    @property
    def end(self) -> float:
        return self.arrivals[-1][0]

    def at(self, now: float) -> dict[Key, Shown]:
        """What every thread is at."""
        while self._next < len(self.arrivals) and self.arrivals[self._next][0] <= now:
            self.fold.line(self.arrivals[self._next][1])
            self._next += 1
        self.state.take_changes()  # as a commit does
        return {
            (session.sid, thread.agent_id): self._shown(session, thread, now)
            for session in self.state.sessions.values()
            for thread in session.threads.values()
        }

    def every(self, seconds: float) -> Iterator[tuple[float, dict[Key, Shown]]]:
        now = self.start
        while now < self.end + seconds:
            yield now, self.at(now)
            now += seconds

    def phases(self, seconds: float = 0.05) -> dict[Key, list[str]]:
        """The phases that each thread went through, as a screen would have shown them."""
        found: dict[Key, list[str]] = {}
        for _, shown in self.every(seconds):
            for key, thread in shown.items():
                seen = found.setdefault(key, [])
                if not seen or seen[-1] != thread.phase:
                    seen.append(thread.phase)
        return found

    def _shown(self, session: Session, thread: Thread, now: float) -> Shown:
        return Shown(
            thread.phase,
            thread.phase_detail,
            judge(facts_of(session, thread, self.gone.get(session.pid or -1)), now, self.limits),
        )


def facts_of(session: Session, thread: Thread, process: ProcessFact | None = None) -> Facts:
    """What the board would know of a thread, without a past."""
    calls = [call for call in session.calls.values() if call.agent_id == thread.agent_id]
    rounds = [found for found in session.rounds.values() if found.prompts > 0]
    newest = max(rounds, key=lambda found: found.start_time or 0.0, default=None)
    is_open = newest is not None and newest.end_time is None and not newest.is_closed
    return Facts(
        phase=thread.phase,
        phase_since=thread.phase_since,
        last_byte=thread.last_byte or None,
        round_open=is_open and newest is not None and newest.aborted_at is None,
        pending=[
            PendingCall(c.tool_use_id, c.tool_name, c.called_at, heard_at=_heard(session, c))
            for c in calls
        ],
        process=process if thread.phase != "ended" else None,
        last_told=thread.last_told or None,
        phase_kind=thread.phase_kind,
        due_at=thread.due_at,
        product=session.agent,
    )


def _heard(session: Session, call: object) -> float | None:
    lasts = [
        max(thread.last_byte, thread.last_told)
        for thread in session.threads.values()
        if thread.parent_tool_use_id == getattr(call, "tool_use_id", None)
    ]
    return max(lasts, default=None)
