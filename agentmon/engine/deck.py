"""The tape deck: what a person does to a replay, in their words."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentmon.core.landmarks import Landmark
from agentmon.engine.feed import Mark
from agentmon.engine.moments import Moment, NoMoment, parse
from agentmon.report.naming import Unclear, the_round
from agentmon.store.find_moments import find_moment, next_block_end
from agentmon.store.read_round import start_of_round

if TYPE_CHECKING:
    from agentmon.engine.playback import Playback

IDLE_SECONDS = 5.0
"""Time without any event from which on it passes in a moment, where a person wants that."""

IDLE_PLAYS = 1.0
"""Seconds for which such a time plays, at speed 1."""


class Deck:
    """A `Transport` over a playback."""

    def __init__(self, player: Playback) -> None:
        self._player = player
        self._clock = player.clock
        self.collapses_idle = False
        self.loop: tuple[float, float] | None = None
        self.marks: list[Mark] = []
        self._idle: float | None = None

    # -- how it stands

    @property
    def playing(self) -> bool:
        return self._player.playing

    @property
    def speed(self) -> float:
        return self._clock.speed

    @property
    def position(self) -> float:
        return self._clock.position

    @property
    def ended(self) -> bool:
        return self._clock.ended

    @property
    def start(self) -> float:
        return self._clock.start

    @property
    def end(self) -> float:
        return self._clock.end

    @property
    def number(self) -> int:
        return self._player.tapes.number

    @property
    def total(self) -> int:
        return max(self.number, self._player.timeline.total)

    @property
    def indexed(self) -> float | None:
        return self._player.timeline.share

    @property
    def idle(self) -> float | None:
        return self._idle if self._clock.rushes_to is not None else None

    @property
    def landmarks(self) -> Sequence[Landmark]:
        return self._player.timeline.landmarks

    # -- playing

    def toggle(self) -> None:
        if self._clock.playing:
            self._player.pause()
        else:
            self._player.play()

    def faster(self) -> None:
        self._clock.faster()

    def slower(self) -> None:
        self._clock.slower()

    def mind_idle(self, next_time: float | None) -> None:
        """Lets a long time without events pass faster, or no longer."""
        clock = self._clock
        if not self.collapses_idle:
            if clock.rushes_to is not None:
                clock.calm()
            return
        if next_time is None or not clock.playing or clock.rushes_to is not None:
            return
        gap = next_time - clock.now()
        if gap > IDLE_SECONDS:
            self._idle = gap
            clock.rush(next_time, IDLE_PLAYS)

    # -- going

    async def restart(self) -> None:
        await self._player.restart()

    async def seek(self, moment: float) -> None:
        await self.go_to(Moment(time=moment))

    async def seek_number(self, number: int) -> None:
        await self.go_to(Moment(number=number))

    async def step(self, events: int) -> None:
        """Steps that come faster than they are taken add up."""
        self._player.pause()
        await self.seek_number(self._player.aimed_number + events)

    async def step_block(self, direction: int) -> None:
        self._player.pause()
        now = self._clock.now()
        found = await self._player.ask_all(lambda conn, _: next_block_end(conn, now, direction))
        if found is not None:
            await self.seek(found)
        elif direction < 0 or self.indexed is None:
            await self.seek(self.end if direction > 0 else self.start)

    async def go(self, text: str) -> str | None:
        try:
            moment = parse(text, start=self.start, end=self.end, now=self._clock.now())
        except NoMoment as problem:
            return str(problem)
        return await self.go_to(moment)

    async def go_to(self, moment: Moment, *, play: bool | None = None) -> str | None:
        """To a moment, or to the beginning of a round; a sentence where there is no such round."""
        name = moment.round
        if name is not None:
            try:
                start = await self._player.ask_all(
                    lambda conn, _: start_of_round(conn, *the_round(conn, name))
                )
            except Unclear as problem:
                return str(problem)
            moment = Moment(time=start)
        await self._player.go_to(self._within(moment), play=play)
        return None

    def _within(self, moment: Moment) -> Moment:
        if moment.number is not None:
            return Moment(number=max(0, moment.number))
        time = self.start if moment.time is None else moment.time
        return Moment(time=min(self.end, max(self.start, time)))

    async def jump(self, kind: str, direction: int) -> str | None:
        now = self._clock.now()
        times = sorted({one.time for one in self.landmarks if kind in ("", one.kind)})
        if direction > 0:
            at = bisect.bisect_right(times, now)
        else:
            at = bisect.bisect_left(times, now) - 1
        if not 0 <= at < len(times):
            where = "after" if direction > 0 else "before"
            return f"no {kind or 'landmark'} {where} this moment"
        await self.seek(times[at])
        return None

    async def find(self, text: str, direction: int) -> str | None:
        now = self._clock.now()
        if not text:
            return "give a text to find"
        found = await self._player.ask_all(
            lambda conn, data_dir: find_moment(conn, data_dir, text, now, direction)
        )
        if found is None:
            where = "after" if direction > 0 else "before"
            so_far = "" if self.indexed is None else ", as far as is indexed"
            return f"{text!r} is nowhere {where} this moment{so_far}"
        await self.seek(found)
        return None

    def mark(self, note: str) -> None:
        bisect.insort(
            self.marks, Mark(self._clock.now(), self.number, note), key=lambda mark: mark.time
        )
