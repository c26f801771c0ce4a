"""Where the time of a round went, as the main thread of its session spent it. Pure.

Each moment counts once. What goes first where two things happen at a moment:
- person: somebody was asked and had not answered
- api: a byte was owed: from a prompt or the last result to the first byte, and stalls
- thinking, writing: a block of that kind streamed; a call's arguments are writing
- tools: a call ran, or a subagent worked for the round
What is left, such as a client's own work between two requests, is other. Of a message that nobody
streamed the time up to a block counts as that block's: its first byte is not known.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Literal

from msgspec import Struct

Use = Literal["person", "api", "thinking", "writing", "tools"]

USES: tuple[Use, ...] = ("person", "api", "thinking", "writing", "tools")
"""The first goes before the others."""

Stretch = tuple[float, float, Use]
"""From when until when, and with what."""


class Spent(Struct):
    """Seconds by use."""

    thinking: float = 0.0
    writing: float = 0.0
    tools: float = 0.0
    person: float = 0.0
    api: float = 0.0
    other: float = 0.0

    @property
    def total(self) -> float:
        return self.thinking + self.writing + self.tools + self.person + self.api + self.other

    def add(self, more: "Spent") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, round(getattr(self, name) + getattr(more, name), 6))


def spent(stretches: Iterable[Stretch], start: float, end: float) -> Spent:
    """What the stretches of a round come to, within its bounds."""
    found = [0.0] * len(USES)
    waiting: list[tuple[int, float]] = []
    at = start
    for since, until, use in sorted(stretches):
        if until <= start or since >= end or until <= since:
            continue
        if since > at:
            at = _until(found, waiting, at, since)
        heappush(waiting, (_RANK[use], min(until, end)))
    _until(found, waiting, at, end)
    uses = {use: round(seconds, 6) for use, seconds in zip(USES, found, strict=True)}
    return Spent(**uses, other=round(max(0.0, end - start - sum(found)), 6))


_RANK = {use: rank for rank, use in enumerate(USES)}


def _until(found: list[float], waiting: list[tuple[int, float]], at: float, until: float) -> float:
    """Counts the time up to a moment for what goes first in it."""
    while at < until and waiting:
        rank, end = waiting[0]
        if end <= at:
            heappop(waiting)
        else:
            upto = end if end < until else until
            found[rank] += upto - at
            at = upto
    return max(at, until)
