"""Silences in which the API owed the next byte, told from a run that is over.

The same rules as `core.health` has for an agent that is watched: what the API owes begins with a
prompt, a subagent's start, the last result of a message's calls, a retry, or the last byte of what
is being written, and ends with the next sign of its thread. A stall is a silence beyond the limit
that held then. Pings leave no time in a store: where only they came it is silent here, and the
evidence counts them (`lines_between`).
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from agentmon.core.health import HOLD, RETRY_PAUSE, Limits, Span, after
from agentmon.core.kinds import STREAMING
from agentmon.core.phases import ASKS_ON, phase_of
from agentmon.report.words import span
from agentmon.store import history
from agentmon.store.read_landmarks import Part, Said, delta_times, last_moment, lines_between


class Owed(Struct, frozen=True, gc=False):
    """What the API owes: since when, in which phase, and where."""

    since: float
    phase: str
    flow_id: str | None = None
    round_id: str | None = None
    not_before: float | None = None
    """When an announced retry is due."""


class Stall(Struct, frozen=True):
    """A silence beyond its limit. `end` None: it holds. Evidence is named as in `core.health`."""

    start: float
    end: float | None
    owed: Owed
    evidence: dict[str, object]


class Silences:
    """Of one thread of a session; fed with its signs in the order of time."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        key: tuple[str, str],
        limits: Limits,
        unseen: Sequence[Span],
        tell: Callable[[Stall], None],
    ) -> None:
        """`key` is (sid, agent_id); each stall is told once it is over."""
        self._conn = conn
        self._key = key
        self._limits = limits
        self._unseen = (*unseen, *limits.unseen)
        self._tell = tell
        self._until = float("-inf")
        """The last moment of what was taken in."""
        self.owed: Owed | None = None

    def begins(self, owed: Owed) -> None:
        """A prompt, the start of a subagent, a retry. What came while something else was awaited
        or ran changes nothing."""
        if owed.since < self._until:
            return
        self.ends(owed.since)
        self.owed, self._until = owed, owed.since

    def ends(self, time: float, *, is_shown: bool = True) -> None:
        """A sign of the thread: a message, a stop, somebody gave the turn up."""
        owed = self.owed
        if owed is None or time < owed.since:
            return
        self.owed = None
        self._weigh(owed, time, is_shown=is_shown)

    def message(self, said: Said, parts: Sequence[Part]) -> None:
        """A message with all its blocks, and what its calls returned."""
        is_shown = bool(said.kinds & STREAMING)
        if said.start is None:
            return
        self.ends(said.start, is_shown=is_shown)
        last = until = last_moment(said, parts)
        if last - said.start >= self._limits.stalled_after:
            self._within(said, parts, last, is_shown=is_shown)
        for part in parts:
            back = part.result_time if part.result_time is not None else part.lost_at
            if back is not None and back > until and part.is_call:
                until = back
        self._until = until
        self.owed = self._after(said, parts, last)

    def _after(self, said: Said, parts: Sequence[Part], last: float) -> Owed | None:
        flow_id, round_id = said.flow_id, said.round_id
        if not said.is_complete and said.kinds & STREAMING:  # who only tells may not tell the end
            if said.error is not None:
                return Owed(last, "retrying", flow_id, round_id, last + RETRY_PAUSE)
            newest = max(parts, key=lambda part: part.start or 0.0, default=None)
            phase = "writing" if newest is None else phase_of(newest.block_type)
            return Owed(last, phase, flow_id, round_id)
        results = [part.result_time for part in parts if part.is_call]
        times = [time for time in results if time is not None]
        if times:
            is_back = len(times) == len(results)
            return Owed(max(times), "prompting", flow_id, round_id) if is_back else None
        if said.stop_reason in ASKS_ON:
            return Owed(last, "prompting", flow_id, round_id)
        return None

    def _within(self, said: Said, parts: Sequence[Part], last: float, *, is_shown: bool) -> None:
        """The pauses between the bytes of a message."""
        points = [(said.start or last, "writing"), (last, "writing")]
        for part in parts:
            phase = phase_of(part.block_type)
            known = (part.start, part.last, part.end)
            points += [(time, phase) for time in known if time is not None]
            begun = part.start if part.start is not None else said.start
            if part.deltas > 1 and (part.last or 0.0) - (begun or 0.0) >= self._shortest(is_shown):
                times = delta_times(self._conn, part.flow_id, part.index)
                points += [(time, phase) for time in times]
        points = sorted(point for point in points if point[0] <= last)
        for (since, phase), (until, _) in pairwise(points):
            owed = Owed(since, phase, said.flow_id, said.round_id)
            self._weigh(owed, until, is_shown=is_shown)

    def _shortest(self, is_shown: bool) -> float:
        limits = self._limits
        return limits.stalled_after if is_shown else max(limits.stalled_after, limits.silent_after)

    def _weigh(self, owed: Owed, end: float, *, is_shown: bool) -> None:
        limits, setting = self._limits, self._shortest(is_shown)
        due = max(owed.since, owed.not_before or 0.0)
        if end - due < setting:
            return
        is_first = owed.phase in ("prompting", "retrying")
        usual_of = history.first_byte_yardstick if is_first else history.gap_yardstick
        usual = usual_of(self._conn, *self._key, owed.since)
        limit = limits.stall_limit(usual) if is_shown else setting
        passed = after(due, limit, self._unseen)
        if end - passed < HOLD:
            return
        evidence: dict[str, object] = {
            "phase": owed.phase,
            "shown_by": "stream" if is_shown else "told",
            "last_byte": owed.since,
            "next_byte": end,
            "lines_between": self._lines_between(owed, end),
            "due_at": owed.not_before,
            "threshold": limit,
            "setting": setting,
            "usual": usual.p99 if usual is not None else None,
            "usual_count": usual.count if usual is not None else 0,
            "passed_at": passed,
        }
        self._tell(Stall(owed.since, end, owed, evidence))

    def _lines_between(self, owed: Owed, end: float) -> int | None:
        if owed.flow_id is None:
            return None
        return lines_between(self._conn, owed.flow_id, owed.since, end)


def stall_text(phase: str, since: float, end: float | None) -> str:
    """How long it was silent, and in what."""
    lasting = "" if end is None else f" for {span(end - since)}"
    return f"silent{lasting} while {phase}"
