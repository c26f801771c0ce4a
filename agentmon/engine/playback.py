"""Replay and demo: the same engine over recordings, on a virtual clock, in a store of its own."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentmon.core.health import Limits
from agentmon.engine import reeling
from agentmon.engine.core import Engine
from agentmon.engine.deck import Deck
from agentmon.engine.feed import Status
from agentmon.engine.moments import Moment, parse_at
from agentmon.engine.moving import Moving
from agentmon.engine.reeling import Order
from agentmon.sources.clock import VirtualClock
from agentmon.sources.procs import Seen, Wanted
from agentmon.sources.reels import open_reels
from agentmon.sources.tapes import Tapes
from agentmon.store import history

INDEX_AFTER = 0.5
"""Seconds until a recording is indexed, where nobody wants to go anywhere before."""

LOOP_SECONDS = 3.0
"""Pause at the end of a looped recording."""

MEASURE_SECONDS = 1.0

TAPES = "tapes"
"""Where copies lie of what can't be read twice, in the folder of the replay."""


def clock_over(
    paths: Sequence[str], spool: Path | None = None, *, forced: str | None = None
) -> VirtualClock:
    """A clock from the first to the last moment of recordings; `spool` is that of `Tapes`.

    Raises OSError for what can't be read, NothingToPlay for recordings without times.
    """
    with tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        found = open_reels(paths, spool or Path(folder), forced=forced)
    return VirtualClock(found.start, found.end)


class Playback(Moving):
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
        folder = Path(tempfile.mkdtemp(prefix="agentmon-"))
        spool = folder / TAPES
        try:
            reels = open_reels(paths, spool, forced=forced, stdin=stdin)
            clock = VirtualClock(reels.start, reels.end, speed=speed)
            begins = None if at is None else parse_at(at, start=clock.start, end=clock.end)
            tapes = Tapes(paths, clock, spool=spool, reels=reels)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        index = str(folder / "index")
        order = Order([*paths], index, str(spool), forced, limits, reeling.LINES)
        super().__init__(folder, limits, clock, tapes, order)
        history.keep_by_content(folder)
        self.title = title
        self.deck = Deck(self)
        self.transport = self.deck
        self._loops = loops
        self._begins = begins
        self._minding: asyncio.Task[None] | None = None

    # -- the runner

    async def restart(self) -> None:
        """From the beginning, with an empty store."""
        await self.go_to(Moment(number=0), play=True)

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
        await asyncio.sleep(0)  # what was begun just now begins, so that it can be ended
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

    async def _mind(self) -> None:
        """Goes to where it begins, and begins again at the end of what is looped."""
        with contextlib.suppress(TimeoutError):
            # the first board does not wait for what can wait
            async with asyncio.timeout(0.0 if self._begins is not None else INDEX_AFTER):
                await self._wish.wait()
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

    def status(self) -> Status:
        status = super().status()
        status.note = self.tapes.note or status.note
        status.problem = status.problem or self.timeline.problem
        return status

    def _mind_gap(self) -> None:
        self.deck.mind_idle(self.tapes.next_time())

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
