"""The tape deck: what a person does to a replay, in their words."""

from __future__ import annotations

import bisect
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentmon.engine.feed import Landmark, Mark
from agentmon.engine.moments import NoMoment, parse
from agentmon.report.naming import Unclear, the_round
from agentmon.store.find_moments import find_moment

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
        return self.number

    @property
    def indexed(self) -> float | None:
        return None

    @property
    def idle(self) -> float | None:
        return self._idle if self._clock.rushes_to is not None else None

    @property
    def landmarks(self) -> Sequence[Landmark]:
        return ()

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
        await self._player.seek(min(self.end, max(self.start, moment)))

    async def seek_number(self, number: int) -> None:
        await self._player.seek_number(max(0, number))

    async def step(self, events: int) -> None:
        """Steps that come faster than they are taken add up."""
        self._player.pause()
        await self._player.seek_number(max(0, self._player.aimed_number + events))

    async def step_block(self, direction: int) -> None:
        self._player.pause()
        now = self._clock.now()
        sql = (
            "SELECT MIN(complete_time) FROM content_blocks WHERE complete_time > ?"
            if direction > 0
            else "SELECT MAX(complete_time) FROM content_blocks WHERE complete_time < ?"
        )
        (found,) = await self._player.ask_all(lambda conn, _: conn.execute(sql, (now,)).fetchone())
        if found is not None:
            await self.seek(found)
        else:
            await self.seek(self.end if direction > 0 else self.start)

    async def go(self, text: str) -> str | None:
        try:
            moment = parse(text, start=self.start, end=self.end, now=self._clock.now())
            if moment.round is not None:
                name = moment.round
                await self.seek(await self._player.ask_all(lambda conn, _: _start_of(conn, name)))
            elif moment.number is not None:
                await self.seek_number(moment.number)
            elif moment.time is not None:
                await self.seek(moment.time)
        except (NoMoment, Unclear) as problem:
            return str(problem)
        return None

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
            return f"{text!r} is nowhere {where} this moment"
        await self.seek(found)
        return None

    def mark(self, note: str) -> None:
        bisect.insort(
            self.marks, Mark(self._clock.now(), self.number, note), key=lambda mark: mark.time
        )


def _start_of(conn: sqlite3.Connection, name: str) -> float:
    """When a round began. Raises Unclear."""
    sid, round_id = the_round(conn, name)
    sql = "SELECT start_time FROM rounds WHERE sid = ? AND round_id = ?"
    (start,) = conn.execute(sql, (sid, round_id)).fetchone()
    if start is None:
        raise Unclear(f"nobody knows when round {round_id} began")
    return float(start)
