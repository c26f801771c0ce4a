"""When to call a person: what is new between two looks at the board. Pure, "now" is an argument.

Four things are worth a bell: an agent begins to wait for a person, falls silent or runs past its
time, dies in the middle of its work, or finishes its turn. What was so before the first look, or
comes in while old recordings are still being read, is no news.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal["permission", "stall", "death", "finish"]

SETTLING = 10.0
"""Seconds a session must be on the board before its silence or its death counts as news, unless it
was heard since the first look: the process table needs two misses before it tells of the dead."""

_SILENT = ("stalled", "overdue")
_GONE = ("orphaned", "dead")
_RESTING = ("idle", "ended")

Key = tuple[str, str]
"""(sid, agent id)."""


class AttentionSettings(Struct, frozen=True):
    """What rings and what does not."""

    bell: bool = True
    """Ring the terminal's bell."""
    title: bool = True
    """Write into the terminal's title how many agents need a person."""
    on_permission: bool = True
    on_stall: bool = True
    on_death: bool = True
    on_finish: bool = True
    cooldown: float = 30.0
    """Seconds before the same kind of news of one session rings again."""

    def wants(self, kind: Kind) -> bool:
        match kind:
            case "permission":
                return self.on_permission
            case "stall":
                return self.on_stall
            case "death":
                return self.on_death
            case "finish":
                return self.on_finish


class Sighting(Struct, frozen=True):
    """One line of the board, as far as it can be news."""

    sid: str
    agent_id: str
    name: str
    state: str
    """The word on the board: a phase, or a verdict where that matters more."""
    label: str
    """The word with its detail."""
    phase: str
    phase_since: float | None
    heard: float | None
    """Its last byte."""
    round_id: str | None = None
    round_end: float | None = None

    @property
    def key(self) -> Key:
        return self.sid, self.agent_id

    @property
    def is_finished(self) -> bool:
        """Its turn is over, and nothing of it goes on in the background."""
        is_main = not self.agent_id
        return is_main and self.round_end is not None and self.phase in _RESTING


class Alert(Struct, frozen=True):
    """Something new that a person may want to know at once."""

    kind: Kind
    sid: str
    agent_id: str
    name: str
    label: str

    @property
    def look(self) -> str:
        """The state whose sign stands for it."""
        match self.kind:
            case "permission":
                return "permission"
            case "stall":
                return "stalled"
            case "death":
                return "orphaned"
            case "finish":
                return "complete"


class _Known(Struct):
    """A line that was seen before: since when it counts as watched, and how it looked last."""

    since: float
    last: Sighting


class Attention:
    """Compares each look at the board with the one before."""

    def __init__(self, settings: AttentionSettings | None = None) -> None:
        self.settings = settings or AttentionSettings()
        self._started: float | None = None
        self._known: dict[Key, _Known] = {}
        self._rung: dict[tuple[str, Kind], float] = {}

    def look(
        self, sightings: Iterable[Sighting], now: float, *, is_loading: bool = False
    ) -> list[Alert]:
        """The news since the last look; the first one makes none. While old recordings are being
        read (`is_loading`) only what was heard since then can be news."""
        seen = {sighting.key: sighting for sighting in sightings}
        if self._started is None:
            self._started = now
            self._known = {key: _Known(now, sighting) for key, sighting in seen.items()}
            return []
        alerts: list[Alert] = []
        known: dict[Key, _Known] = {}
        for key, sighting in seen.items():
            before = self._known.get(key)
            kind = self._news(before, sighting, now, is_loading=is_loading)
            if kind is not None and self._may_ring(sighting.sid, kind, now):
                label = "finished" if kind == "finish" else sighting.label
                alerts.append(Alert(kind, *key, sighting.name, label))
            since = now if before is None or is_loading else before.since
            known[key] = _Known(since, sighting)
        self._known = known
        return alerts

    def _news(
        self, before: _Known | None, now_seen: Sighting, now: float, *, is_loading: bool
    ) -> Kind | None:
        last = before.last if before is not None else None
        watched = before is not None and not is_loading and now - before.since >= SETTLING
        state = now_seen.state
        if state == "permission":
            asked = last.phase_since if last is not None and last.state == "permission" else None
            is_new = asked is None or asked != now_seen.phase_since
            return "permission" if is_new and self._is_fresh(now_seen.phase_since) else None
        is_worth = watched or self._is_fresh(now_seen.heard)
        was = last.state if last is not None else ""
        if state in _SILENT:
            return "stall" if was not in _SILENT and is_worth else None
        if state in _GONE:
            # with nothing open nothing was lost: who leaves by an orderly way looks the same
            return "death" if state == "orphaned" and was not in _GONE and is_worth else None
        if now_seen.is_finished and self._is_fresh(now_seen.round_end):
            same = last is not None and last.is_finished and last.round_id == now_seen.round_id
            return None if same else "finish"
        return None

    def _is_fresh(self, time: float | None) -> bool:
        """Whether something happened since the first look."""
        return time is not None and self._started is not None and time >= self._started

    def _may_ring(self, sid: str, kind: Kind, now: float) -> bool:
        if not self.settings.wants(kind):
            return False
        rung = self._rung.get((sid, kind))
        if rung is not None and 0 <= now - rung < self.settings.cooldown:
            return False
        self._rung[sid, kind] = now
        return True


def title_words(needs_you: int, stalled: int) -> str:
    """What the title of the terminal says: "2 need you · agentmon"."""
    words: list[str] = []
    if needs_you:
        words.append(f"{needs_you} need{'s' if needs_you == 1 else ''} you")
    if stalled:
        words.append(f"{stalled} stalled")
    return " · ".join([*words, "agentmon"])


def most_urgent(alerts: Sequence[Alert]) -> Alert | None:
    """The one to name where there is room for one."""
    order: tuple[Kind, ...] = ("permission", "death", "stall", "finish")
    return min(alerts, key=lambda alert: order.index(alert.kind), default=None)
