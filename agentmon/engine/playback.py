"""Replay and demo: the same engine over recordings, on a virtual clock, in a store of its own."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from agentmon.core.health import Limits
from agentmon.engine import reeling
from agentmon.engine.core import Engine
from agentmon.engine.deck import Deck
from agentmon.engine.feed import Status
from agentmon.engine.live import SLICE_LINES, Live
from agentmon.engine.moments import Moment, parse_at
from agentmon.engine.reeling import Checkpoint, Landmarks, Order
from agentmon.engine.timeline import Timeline, delete, sweep
from agentmon.sources.clock import VirtualClock
from agentmon.sources.procs import Seen, Wanted
from agentmon.sources.reader import READ, Chunk
from agentmon.sources.reels import open_reels
from agentmon.sources.tapes import Tapes
from agentmon.store import db, history
from agentmon.store.deltas import DeltaFiles, FilesAbove
from agentmon.store.page_journal import touched_pages

T = TypeVar("T")

TURN_SECONDS = 0.03
"""How often the recordings are asked for lines that are due."""

FAR_LINES = 4_000
"""Lines from which on a checkpoint is gone to, rather than read up to."""

LOOP_SECONDS = 3.0
"""Pause at the end of a looped recording."""

MEASURE_SECONDS = 1.0

AT_EASE = "PRAGMA synchronous = OFF"


TAPES = "tapes"
"""Where copies lie of what can't be read twice, in the folder of the replay."""


def clock_over(
    paths: Sequence[str],
    spool: Path | None = None,
    *,
    speed: float = 1.0,
    forced: str | None = None,
    stdin: int = 0,
) -> VirtualClock:
    """A clock from the first to the last moment of recordings; `spool` is that of `Tapes`.

    Raises OSError for what can't be read, NothingToPlay for recordings without times.
    """
    with tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        found = open_reels(paths, spool or Path(folder), forced=forced, stdin=stdin)
    return VirtualClock(found.start, found.end, speed=speed)


class Lent:
    """Recordings for an engine, which closes what it is given; they outlive many engines."""

    path = ""

    def __init__(self, tapes: Tapes) -> None:
        self._tapes = tapes

    def read(self, max_bytes: int = READ) -> Chunk | None:
        return self._tapes.read(max_bytes)

    def close(self) -> None:
        """They stay open."""


class Playback(Live):
    """A `Feed` over recordings that can be at any moment of them. Its store is temporary: the
    user's is never touched.

    The state as of a moment is that of a store with the lines up to it, and nothing else: verdicts
    are not stored, but judged whenever they are shown.
    """

    def __init__(
        self,
        paths: Sequence[str],
        limits: Limits,
        *,
        title: str = "replay",
        speed: float = 1.0,
        loops: bool = False,
        at: str | None = None,
        forced: str | None = None,
        stdin: int = 0,
    ) -> None:
        """Raises OSError, NothingToPlay, and NoMoment where `at` is none."""
        self._folder = Path(tempfile.mkdtemp(prefix="agentmon-"))
        spool = self._folder / TAPES
        try:
            self.clock = clock = clock_over(paths, spool, speed=speed, forced=forced, stdin=stdin)
            self._begins = None if at is None else parse_at(at, start=clock.start, end=clock.end)
            self.tapes = Tapes(paths, clock, spool=spool, format=forced)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        super().__init__(self._folder / "1", paths, limits, forced=forced)
        history.keep_by_content(self._folder)
        self.title = title
        index = self._folder / "index"
        order = Order([*paths], str(index), str(spool), forced, limits, reeling.LINES)
        self.timeline = Timeline(index, order, self._indexed)
        self._is_lent = False
        """Whether the store is one that the timeline has put there."""
        self.deck = Deck(self)
        self.transport = self.deck
        self._loops = loops
        self._runs = 1
        self._moving = asyncio.Lock()
        self._newest: Moment | None = None
        """What was asked for last: of several, only that is gone to."""
        self._order: Moment | None = None
        """What the task that reads is to carry out now."""
        self._arrived = asyncio.Event()
        self._wake = asyncio.Event()
        self._waste: set[asyncio.Task[None]] = set()
        self._minding: asyncio.Task[None] | None = None
        self._stopped = False

    # -- going somewhere

    async def go_to(self, aim: Moment, *, play: bool | None = None) -> None:
        """The state as of a moment: every line up to it, none after it. `play`: whether it plays
        on from there; None: as before. Does nothing after `stop`, or where a newer wish waits."""
        self._newest = aim
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

    async def restart(self) -> None:
        """From the beginning, with an empty store."""
        await self.go_to(Moment(number=0), play=True)

    async def _reach(self, aim: Moment) -> None:
        self._arrived.clear()
        self._order = aim
        found = self.timeline.before(time=aim.time, number=aim.number)
        is_far = found is not None and found.number > self.tapes.number + FAR_LINES
        if self._is_ahead(aim) and not is_far:
            self.tapes.limit = aim.number  # what reads now does not know of the order yet
            self._wake.set()
        else:
            await self._leave()
            if found is None:
                self.tapes.cue(None)
            else:
                self.tapes.cue(found.cue)
                await asyncio.to_thread(self.timeline.put, found, self.data_dir)
                self._is_lent = True
            await super().start()
        await self._arrival()

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
        await super().stop()
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
        """Asks the store that knows most: `fn(connection, data_dir)`."""
        if self.timeline.total >= self.tapes.number > 0:
            return await self.timeline.ask(fn)
        data_dir = self.data_dir
        return await self.query(lambda conn: fn(conn, data_dir))

    # -- the runner

    def now(self) -> float:
        return self.clock.now()

    async def start(self) -> None:
        self.clock.rewind()
        if self._begins is not None:
            self.clock.pause()
        await super().start()
        # beside the tasks of a run, since it ends one run and begins the next
        self._minding = asyncio.create_task(self._guard(self._mind()), name="agentmon-deck")

    async def stop(self) -> None:
        self._stopped = True
        try:
            # a move under way is waited for: cancelled, its thread would go on opening a store
            async with self._moving:
                minding, self._minding = self._minding, None
                if minding is not None:
                    minding.cancel()
                    await asyncio.gather(minding, return_exceptions=True)
                await self.timeline.stop()
                await super().stop()
            await asyncio.gather(*self._waste)
        finally:
            self.tapes.close()
            history.forget_below(self._folder)
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _finish(self) -> None:
        """What is folded and not committed is read again, or never: nothing is lost. Only what is
        being written has to be over."""
        if self._writer is not None:
            await self._writer.run(lambda _: None)

    async def _mind(self) -> None:
        """Goes to where it begins, and begins again at the end of what is looped."""
        await self.timeline.start()
        if self._begins is not None:
            self.problem = await self.deck.go_to(self._begins, play=True)
        while not self._stopped:
            loop = self.deck.loop
            end = self.clock.end if loop is None else loop[1]
            left = (end - self.clock.now()) / self.clock.speed
            await asyncio.sleep(max(0.02, min(0.2, left)))
            loop = self.deck.loop
            if loop is not None and self.clock.playing and self.clock.now() >= loop[1]:
                await self.go_to(Moment(time=loop[0]), play=True)
            elif self._loops and self.clock.ended:
                await asyncio.sleep(LOOP_SECONDS)
                await self.restart()

    async def _work(self) -> None:
        if self._store is None:
            return
        engine = self._open_engine(self._store)
        if self._order is not None:
            await self._carry_out(engine, self._order)
        await self._follow(engine)

    def _add_inputs(self, engine: Engine) -> None:
        engine.add_input(Lent(self.tapes))

    def status(self) -> Status:
        status = super().status()
        status.note = self.tapes.note or status.note
        return status

    async def _wait(self, engine: Engine, seconds: float) -> None:
        if self._order is not None:
            await self._carry_out(engine, self._order)
            return
        self.deck.mind_idle(self.tapes.next_time())
        try:
            async with asyncio.timeout(min(seconds, TURN_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _carry_out(self, engine: Engine, aim: Moment) -> None:
        """Reads on to a moment and commits that. By number, the lines lead the clock there."""
        tapes, clock = self.tapes, self.clock
        tapes.limit = aim.number
        clock.stand_at(self._reached if aim.time is None else aim.time)
        clock.be_led(aim.number is not None)
        try:
            while True:
                more = engine.pump(SLICE_LINES)
                if engine.waits_for_huge:
                    await self._prepare_huge(engine)
                elif engine.is_whole and (engine.is_due or not more):
                    if engine.has_changes:
                        await self._commit(engine)
                    if not more:
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

    def _note_lag(self, engine: Engine) -> None:
        """A recording is never behind."""

    async def _look(self, wanted: Wanted, now: float) -> Seen:
        """Whether a process lived then is what the record knows, never today's process table."""
        return Seen()

    async def _keep_judging(self) -> None:
        """Nothing is judged in advance; how agentmon itself does is measured all the same."""
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            self.measure()


def read_until(
    engine: Engine,
    paths: Sequence[str],
    clock: VirtualClock,
    moment: float | Moment,
    *,
    spool: Path | None = None,
    forced: str | None = None,
) -> None:
    """Folds recordings up to a moment, a time or the number of a line, without a runner; the clock
    stands there then. Up to the clock's end they are read whole. Raises what `Tapes` does."""
    tapes = Tapes(paths, clock, spool=spool or engine.data_dir / TAPES, format=forced)
    engine.add_input(tapes)
    if not isinstance(moment, Moment):
        moment = Moment(time=moment)
    tapes.limit = moment.number
    time = moment.time
    is_all = tapes.limit is None and (time is None or time >= clock.end)
    while True:
        clock.stand_at(clock.end if time is None or is_all else time)
        if tapes.limit is not None:
            clock.rewind()
            clock.be_led(True)
        while engine.pump(1000) or not engine.is_whole:
            continue
        clock.be_led(False)
        if not is_all or tapes.ended:
            return
