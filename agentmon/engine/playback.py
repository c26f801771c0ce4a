"""Replay and demo: the same engine over a recording, on a virtual clock, in a store of its own."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from errno import EINVAL
from pathlib import Path

from agentmon.core.health import Limits
from agentmon.engine.core import Engine
from agentmon.engine.live import Live
from agentmon.sources.clock import VirtualClock
from agentmon.sources.procs import Seen, Wanted
from agentmon.sources.recording import Recording, span_of

TURN_SECONDS = 0.03
"""How often the recording is asked for lines that are due."""

LOOP_SECONDS = 3.0
"""Pause at the end of a looped recording."""


class NothingToPlay(OSError):
    """The recording has no line with a time; the message says which."""


def clock_over(paths: Sequence[str], *, speed: float = 1.0) -> VirtualClock:
    """A clock from the first to the last moment of recordings.

    Raises OSError for a file that can't be read, NothingToPlay for one without times.
    """
    spans = [(path, span_of(path)) for path in paths]
    for path, span in spans:
        if span is None:
            raise NothingToPlay(EINVAL, "no line with a time in it: this is no log to replay", path)
    times = [span for _, span in spans if span is not None]
    return VirtualClock(min(a for a, _ in times), max(b for _, b in times), speed=speed)


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
    ) -> None:
        self.clock = clock_over(paths, speed=speed)
        self._folder = Path(tempfile.mkdtemp(prefix="agentmon-"))
        super().__init__(self._folder / "1", paths, limits)
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
        for path in self._paths:
            engine.add_input(Recording(path, self.clock))

    async def _wait(self, engine: Engine, seconds: float) -> None:
        await asyncio.sleep(min(seconds, TURN_SECONDS))

    def _note_lag(self, engine: Engine) -> None:
        """A recording is never behind."""

    async def _look(self, wanted: Wanted, now: float) -> Seen:
        """Whether a process lived then is what the record knows, never today's process table."""
        return Seen()


def read_until(engine: Engine, paths: Sequence[str], clock: VirtualClock, moment: float) -> None:
    """Folds recordings up to a moment, without a runner. Raises OSError."""
    clock.stand_at(moment)
    for path in paths:
        engine.add_input(Recording(path, clock))
    while engine.pump(1000) or not engine.is_whole:
        continue
