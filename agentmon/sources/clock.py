"""Clocks: the wall's, and a virtual one that can pause, run faster, hurry, and go anywhere."""

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
        self._is_led = False
        self._led_until = inf
        self._rush: tuple[float, float] | None = None

    def now(self) -> float:
        if not self.playing or self.speed == inf:
            return self._base
        passed = (self._ticker() - self._mark) * self.speed
        if self._rush is not None:
            until, factor = self._rush
            needed = (until - self._base) / factor
            passed = passed * factor if passed < needed else passed - needed + until - self._base
        return min(self.end, self._base + passed)

    @property
    def horizon(self) -> float:
        """Up to when lines are due: at full speed all of them."""
        if self._is_led:
            return self._led_until
        return inf if self.playing and self.speed == inf else self.now()

    def reach(self, moment: float) -> None:
        """At full speed, and where they lead, the lines carry the clock along."""
        if self._is_led or (self.speed == inf and self.playing):
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
        if self._rush is not None and self._base >= self._rush[0]:
            self._rush = None

    def play(self) -> None:
        self._settle()
        self.playing = True

    def pause(self) -> None:
        self._settle()
        self.playing = False

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
        self.playing = self._is_led = False
        self._rush = None

    def be_led(self, is_led: bool, until: float = inf) -> None:
        """Whether a clock that stands still goes along with the lines that are read, which are due
        up to a time."""
        self._settle()
        self._is_led, self._led_until = is_led, until

    def rush(self, until: float, seconds: float) -> None:
        """The time up to a moment passes in so many seconds (at speed 1), then as usual."""
        self._settle()
        length = until - self._base
        self._rush = (until, length / seconds) if length > seconds > 0 else None

    def calm(self) -> None:
        """Time passes as usual again."""
        self._settle()
        self._rush = None

    @property
    def rushes_to(self) -> float | None:
        """The end of what passes faster now; None: nothing does."""
        if self._rush is None or self.now() >= self._rush[0]:
            return None
        return self._rush[0]

    def rewind(self) -> None:
        self._base = self.start
        self._mark = self._ticker()
        self._rush = None
