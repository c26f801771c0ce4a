"""Going anywhere in recordings: a store as of the nearest checkpoint, and reading on from there."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import TypeVar

from agentmon.core.health import Limits
from agentmon.engine.core import Engine
from agentmon.engine.live import SLICE_LINES, Live
from agentmon.engine.moments import Moment
from agentmon.engine.reeling import Checkpoint, Landmarks, Order
from agentmon.engine.timeline import Timeline, delete, sweep
from agentmon.logfile import log
from agentmon.sources.clock import VirtualClock
from agentmon.sources.reader import READ, Chunk
from agentmon.sources.tapes import Tapes
from agentmon.store import db
from agentmon.store.deltas import DeltaFiles, FilesAbove
from agentmon.store.page_journal import touched_pages

T = TypeVar("T")

TURN_SECONDS = 0.03
"""How often the recordings are asked for lines that are due."""

FAR_LINES = 4_000
"""Lines from which on a checkpoint is gone to, rather than read up to."""

AT_EASE = "PRAGMA synchronous = OFF"


class Lent:
    """Recordings for an engine, which closes what it is given; they outlive many engines."""

    path = ""

    def __init__(self, tapes: Tapes) -> None:
        self._tapes = tapes

    def read(self, max_bytes: int = READ) -> Chunk | None:
        return self._tapes.read(max_bytes)

    def close(self) -> None:
        """They stay open."""


class Moving(Live):
    """A feed over recordings whose store can be as of any moment of them. It lies in a folder that
    is the caller's, as the index does."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        clock: VirtualClock,
        tapes: Tapes,
        order: Order,
    ) -> None:
        super().__init__(folder / "1", order.paths, limits, forced=order.format)
        self.clock = clock
        self.tapes = tapes
        self.timeline = Timeline(Path(order.folder), order, self._indexed)
        self._folder = folder
        self._is_lent = False
        """Whether the store is one that the timeline has put there."""
        self._runs = 1
        self._moving = asyncio.Lock()
        self._newest: Moment | None = None
        """What was asked for last: of several, only that is gone to."""
        self._order: Moment | None = None
        """What the task that reads is to carry out now."""
        self._arrived = asyncio.Event()
        self._wake = asyncio.Event()
        self._wish = asyncio.Event()
        """Somebody wants to go somewhere: the index is needed soon."""
        self._waste: set[asyncio.Task[None]] = set()
        self._stopped = False

    # -- going somewhere

    async def go_to(self, aim: Moment, *, play: bool | None = None) -> None:
        """The state as of a moment: every line up to it, none after it. `play`: whether it plays
        on from there; None: as before. Does nothing after `stop`, or where a newer wish waits."""
        self._newest = aim
        self._wish.set()
        async with self._moving:
            if self._stopped or self._newest is not aim:
                return
            plays = self.playing if play is None else play
            self.clock.pause()
            try:
                await self._reach(aim)
            finally:
                if plays:
                    self.play()
            self.revision += 1

    @property
    def aimed_number(self) -> int:
        """The line that is in last, or is about to be."""
        waiting = self._newest
        is_moving = self._moving.locked() and waiting is not None
        if is_moving and waiting is not None and waiting.number is not None:
            return waiting.number
        return self.tapes.number

    @property
    def playing(self) -> bool:
        return self.clock.playing and not self.clock.ended

    def play(self) -> None:
        """Goes on from where it stands."""
        self.tapes.limit = None
        self.clock.play()
        self._wake.set()

    def pause(self) -> None:
        self.clock.pause()

    async def _reach(self, aim: Moment) -> None:
        self._arrived.clear()
        found = self.timeline.before(time=aim.time, number=aim.number)
        is_far = found is not None and found.number > self.tapes.number + FAR_LINES
        if self._is_ahead(aim) and not is_far:
            self.tapes.limit = aim.number  # what reads now does not know of the order yet
            self._order = aim
            self._wake.set()
        else:
            await self._leave()
            await self._place(found)
            self._order = aim  # not before: what read until now would carry it out
            await Live.start(self)
        await self._arrival()

    async def _place(self, found: Checkpoint | None) -> None:
        """Puts the store of a checkpoint in place; from the beginning where there is none, or no
        room for it."""
        self.tapes.cue(None)
        if found is None:
            return
        try:
            await asyncio.to_thread(self.timeline.put, found, self.data_dir)
        except OSError as problem:
            log.warning("a checkpoint could not be put in place: %s", problem)
            self.timeline.forget(None)
            shutil.rmtree(self.data_dir, ignore_errors=True)
            return
        self._is_lent = True
        self.tapes.cue(found.cue)

    def _is_ahead(self, aim: Moment) -> bool:
        """Whether reading on leads there: no line after it is in."""
        if aim.number is not None:
            return 0 < self.tapes.number <= aim.number
        return self.tapes.number > 0 and max(self.tapes.at.latest) <= (aim.time or 0.0)

    async def _arrival(self) -> None:
        """Until the task that reads has carried out what was asked, or has failed."""
        arrived = asyncio.create_task(self._arrived.wait())
        await asyncio.wait({arrived, self._tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        await asyncio.gather(arrived, return_exceptions=True)
        self._order = None

    async def _leave(self) -> None:
        """Closes the store. One that the timeline has put there goes on as another, since most of
        it stays the same; any other goes."""
        await Live.stop(self)
        before = self.data_dir
        self._runs += 1
        self.data_dir = self._folder / str(self._runs)
        self.forget()
        if self._is_lent:
            before.rename(self.data_dir)
            self._discard(sweep(self.data_dir))
        elif before.exists():
            gone = before.with_name(f"gone-{before.name}")
            before.rename(gone)
            self._discard([gone])
        self._is_lent = False

    async def _open_store(self) -> None:
        """Nothing of it is needed after a crash: the disk is not waited for."""
        await super()._open_store()
        if self._store is not None and self._writer is not None:
            self._store.conn.execute(AT_EASE)
            await self._writer.run(lambda conn: conn.execute(AT_EASE))

    async def _close(self) -> None:
        if self._is_lent:
            self.timeline.forget(touched_pages(db.database(self.data_dir)))
        await super()._close()

    def _discard(self, folders: Sequence[Path]) -> None:
        """Twenty thousand files take a while to go: nobody waits for them."""
        task = asyncio.create_task(asyncio.to_thread(delete, folders))
        self._waste.add(task)
        task.add_done_callback(self._waste.discard)

    def _delta_files(self) -> DeltaFiles:
        return FilesAbove(self.data_dir)

    def _indexed(self, word: Checkpoint | Landmarks) -> None:
        """There is more to know. What took another shape at a checkpoint is still shown as it
        was."""
        if isinstance(word, Checkpoint) and self._is_lent and word.kept:
            self.timeline.lend([word], self.data_dir)

    # -- what is known of all of it

    async def ask_all(self, fn: Callable[[sqlite3.Connection, Path], T]) -> T:
        """Asks the store that knows most: `fn(connection, data_dir)`. While the index is not ahead
        of what is shown, that is waited for."""
        self._wish.set()
        timeline = self.timeline
        while timeline.total <= self.tapes.number and not timeline.done.is_set():
            await timeline.news.wait()
        if timeline.checkpoints and timeline.total >= self.tapes.number:
            return await timeline.ask(fn)
        data_dir = self.data_dir
        return await self.query(lambda conn: fn(conn, data_dir))

    # -- reading

    async def _finish(self) -> None:
        """What is folded and not committed is read again, or never: nothing is lost. Only what is
        being written has to be over."""
        if self._writer is not None:
            await self._writer.run(lambda _: None)

    async def _work(self) -> None:
        if self._store is None:
            return
        engine = self._open_engine(self._store)
        if self._order is not None:
            await self._carry_out(engine, self._order)
        await self._follow(engine)

    def _add_inputs(self, engine: Engine) -> None:
        engine.add_input(Lent(self.tapes))

    async def _wait(self, engine: Engine, seconds: float) -> None:
        if self._order is not None:
            await self._carry_out(engine, self._order)
            return
        self._mind_gap()
        try:
            async with asyncio.timeout(min(seconds, TURN_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _carry_out(self, engine: Engine, aim: Moment) -> None:
        """Reads on to a moment and commits that. The lines lead the clock there: what is shown on
        the way is as of some moment, too."""
        tapes, clock = self.tapes, self.clock
        tapes.limit = aim.number
        clock.stand_at(self._reached)
        clock.be_led(True, inf if aim.time is None else aim.time)
        try:
            while True:
                more = engine.pump(SLICE_LINES)
                # who wants to be elsewhere by now does not wait for it
                is_over = not more or self._stopped or self._newest is not aim
                if engine.waits_for_huge:
                    await self._prepare_huge(engine)
                elif engine.is_whole and (engine.is_due or is_over):
                    if engine.has_changes:
                        await self._commit(engine)
                    if not more and aim.time is not None:
                        clock.stand_at(aim.time)
                    if is_over:
                        break
                await asyncio.sleep(0)
        finally:
            clock.be_led(False)
        self._order = None
        self._arrived.set()

    @property
    def _reached(self) -> float:
        """The time of the last line that was read."""
        return max(self.tapes.at.latest, default=self.clock.start)

    def _mind_gap(self) -> None:
        """Nothing is due just now."""
