"""Clocks: the wall's, and a virtual one that can pause, run faster, and begin again."""

import time
from collections.abc import Callable
from math import inf

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, inf)
"""Virtual seconds per second; infinity plays as fast as it can be read."""


class VirtualClock:
    """The time inside a recording. Stands still at `end` seconds; starts at `start` (epoch)."""

    def __init__(
        self,
        start: float,
        end: float,
        *,
        speed: float = 1.0,
        ticker: Callable[[], float] = time.monotonic,
    ) -> None:
        self.start = start
        self.end = max(start, end)
        self.speed = speed
        self.playing = True
        self._ticker = ticker
        self._base = start
        self._mark = ticker()

    def now(self) -> float:
        if not self.playing or self.speed == inf:
            return self._base
        passed = (self._ticker() - self._mark) * self.speed
        return min(self.end, self._base + passed)

    @property
    def horizon(self) -> float:
        """Up to when lines are due: at full speed all of them."""
        return inf if self.playing and self.speed == inf else self.now()

    def reach(self, moment: float) -> None:
        """At full speed the lines carry the clock along."""
        if self.speed == inf and self.playing:
            self._base = min(self.end, max(self._base, moment))

    @property
    def position(self) -> float:
        """Played part, 0 to 1."""
        length = self.end - self.start
        return 1.0 if length <= 0 else (self.now() - self.start) / length

    @property
    def ended(self) -> bool:
        return self.now() >= self.end

    def _settle(self) -> None:
        self._base = self.now()
        self._mark = self._ticker()

    def toggle(self) -> None:
        self._settle()
        self.playing = not self.playing

    def set_speed(self, speed: float) -> None:
        self._settle()
        self.speed = speed

    def faster(self) -> None:
        self.set_speed(next((speed for speed in SPEEDS if speed > self.speed), inf))

    def slower(self) -> None:
        lower = [speed for speed in SPEEDS if speed < self.speed]
        self.set_speed(lower[-1] if lower else SPEEDS[0])

    def stand_at(self, moment: float) -> None:
        """Stops at a moment."""
        self._base = min(self.end, max(self.start, moment))
        self.playing = False

    def rewind(self) -> None:
        self._base = self.start
        self._mark = self._ticker()
