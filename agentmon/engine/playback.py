"""Replay and demo: the same engine over a recording, on a virtual clock, in a store of its own."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentmon.core.health import Limits
from agentmon.engine.core import Engine
from agentmon.engine.feed import Status
from agentmon.engine.live import Live
from agentmon.sources.clock import VirtualClock
from agentmon.sources.procs import Seen, Wanted
from agentmon.sources.reels import open_reels
from agentmon.sources.tapes import Tapes

TURN_SECONDS = 0.03
"""How often the recording is asked for lines that are due."""

LOOP_SECONDS = 3.0
"""Pause at the end of a looped recording."""


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


class Playback(Live):
    """A `Feed` over recordings. Its store is temporary: the user's is never touched."""

    def __init__(
        self,
        paths: Sequence[str],
        limits: Limits,
        *,
        title: str = "replay",
        speed: float = 1.0,
        loops: bool = False,
        forced: str | None = None,
        stdin: int = 0,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="agentmon-"))
        self._spool = self._folder / TAPES
        try:
            self.clock = clock_over(paths, self._spool, speed=speed, forced=forced, stdin=stdin)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        super().__init__(self._folder / "1", paths, limits, forced=forced)
        self._tapes: Tapes | None = None
        self.title = title
        self.transport = self
        self._loops = loops
        self._runs = 1
        self._restarting = asyncio.Lock()
        self._looping: asyncio.Task[None] | None = None
        self._stopped = False

    # -- the tape deck

    @property
    def playing(self) -> bool:
        return self.clock.playing and not self.clock.ended

    @property
    def speed(self) -> float:
        return self.clock.speed

    @property
    def position(self) -> float:
        return self.clock.position

    @property
    def ended(self) -> bool:
        return self.clock.ended

    def toggle(self) -> None:
        self.clock.toggle()

    def faster(self) -> None:
        self.clock.faster()

    def slower(self) -> None:
        self.clock.slower()

    async def restart(self) -> None:
        """From the beginning, with an empty store. Does nothing after `stop`."""
        async with self._restarting:
            if self._stopped:
                return
            await super().stop()
            shutil.rmtree(self.data_dir, ignore_errors=True)
            self._runs += 1
            self.data_dir = self._folder / str(self._runs)
            self.forget()
            self.clock.rewind()
            if not self.clock.playing:
                self.clock.toggle()
            await super().start()
            self.revision += 1

    # -- the runner

    def now(self) -> float:
        return self.clock.now()

    async def start(self) -> None:
        self.clock.rewind()
        await super().start()
        if self._loops:
            # beside the tasks of a run, since it ends one run and begins the next
            self._looping = asyncio.create_task(self._guard(self._loop()), name="agentmon-loop")

    async def stop(self) -> None:
        self._stopped = True
        try:
            # a restart under way is waited for: cancelled, its thread would go on opening a store
            async with self._restarting:
                looping, self._looping = self._looping, None
                if looping is not None:
                    looping.cancel()
                    await asyncio.gather(looping, return_exceptions=True)
                await super().stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _loop(self) -> None:
        while not self._stopped:
            left = (self.clock.end - self.clock.now()) / self.clock.speed
            await asyncio.sleep(max(0.2, min(1.0, left)))
            if self.clock.ended:
                await asyncio.sleep(LOOP_SECONDS)
                await self.restart()

    def _add_inputs(self, engine: Engine) -> None:
        self._tapes = Tapes(self._paths, self.clock, spool=self._spool, format=self._format)
        engine.add_input(self._tapes)

    def status(self) -> Status:
        status = super().status()
        status.note = (self._tapes.note if self._tapes is not None else None) or status.note
        return status

    async def _wait(self, engine: Engine, seconds: float) -> None:
        await asyncio.sleep(min(seconds, TURN_SECONDS))

    def _note_lag(self, engine: Engine) -> None:
        """A recording is never behind."""

    async def _look(self, wanted: Wanted, now: float) -> Seen:
        """Whether a process lived then is what the record knows, never today's process table."""
        return Seen()


def read_until(
    engine: Engine,
    paths: Sequence[str],
    clock: VirtualClock,
    moment: float,
    *,
    forced: str | None = None,
) -> None:
    """Folds recordings up to a moment, without a runner, and leaves the clock there; up to the
    clock's end they are read whole. Raises what `Tapes` does."""
    tapes = Tapes(paths, clock, spool=engine.data_dir / TAPES, format=forced)
    is_all = moment >= clock.end
    engine.add_input(tapes)
    while True:
        clock.stand_at(clock.end if is_all else moment)
        while engine.pump(1000) or not engine.is_whole:
            continue
        if not is_all or tapes.ended:
            return
