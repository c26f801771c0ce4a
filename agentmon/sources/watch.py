"""When to look: wakes the engine as soon as something may have been written.

A hint only: what is new is decided by reading (`follow`), never by what a notification says. Two
threads feed the loop: one waits in watchfiles over the folders (`notify`; a file is never watched
by its own path, it may be replaced), the other looks with stat (`looking`), because notifications
get lost, and often where none come.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from agentmon.sources.looking import FAST, SLOW, Looker
from agentmon.sources.notify import Plan, Wake

__all__ = ["Wake", "Watch"]

_NONE: Mapping[str, float] = {}


class Watch:
    """Wakes one asyncio task when files grow, appear or are replaced, or a pipe has something.

    Use as `async with`, or `start` and `stop`; `update` says what to look at, any time. After
    `stop` no thread, task or reader is left.
    """

    def __init__(self, slow: float = SLOW) -> None:
        """`slow`: longest pause between two looks where nothing notifies, in seconds."""
        self._slow = slow
        self._event = asyncio.Event()
        self._looker_ended = asyncio.Event()
        self._wake = Wake()
        self.plan = Plan()
        """What is looked at."""
        self._given: tuple[object, ...] = (None, None, None, None, None)
        self._looker: Looker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipes: dict[int, str] = {}
        self._armed: set[int] = set()
        self._unwatchable: set[int] = set()
        self._stopped = False

    @property
    def note(self) -> str | None:
        """One sentence where notification failed and polling took its place."""
        return self._looker.note if self._looker is not None else None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._looker = Looker(self._tell_from_thread, self._end_from_thread, self._slow)
        self._looker.set_plan(self.plan)
        self._looker.start()

    async def stop(self) -> None:
        """End both threads, which takes about 20 ms, and every `wait`."""
        self._stopped = True
        self._event.set()
        self.set_pipes({})
        looker, self._looker = self._looker, None
        if looker is not None:
            looker.stop()
            await self._looker_ended.wait()
            looker.join()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def update(
        self,
        files: Iterable[str] = (),
        folders: Iterable[str] = (),
        awaited: Iterable[str] = (),
        *,
        resting: Mapping[str, float] = _NONE,
        ignored: Iterable[str] = (),
    ) -> None:
        """Look at these from now on; what is no absolute path ("-") is left out.

        Followed files; folders that new ones may appear in (not those below them:
        `Expanded.places`); paths that do not exist yet (`Expanded.missing`); files that were read
        to their end at some time (epoch seconds) and are not expected to grow; paths whose changes
        mean nothing. Told the same objects again, it does nothing.
        """
        given = (files, folders, awaited, resting, ignored)
        if all(new is old for new, old in zip(given, self._given, strict=True)):
            return
        self._given = given
        plan = Plan(
            frozenset(filter(os.path.isabs, files)),
            tuple(folders),
            tuple(filter(os.path.isabs, awaited)),
            resting,
            frozenset(ignored),
        )
        if plan != self.plan:
            self.plan = plan
            if self._looker is not None:
                self._looker.set_plan(plan)

    def set_pipes(self, pipes: Mapping[str, int]) -> None:
        """Wait for these descriptors, too, by path."""
        for fd in self._armed - set(pipes.values()):
            self._disarm(fd)
        self._pipes = {fd: path for path, fd in pipes.items() if fd >= 0}
        self._unwatchable &= self._pipes.keys()

    async def wait(self, seconds: float | None = None) -> Wake:
        """Return as soon as there is a reason, or after so many seconds without one.

        All reasons since the last call are gathered in the one returned.
        """
        self._arm()
        pause = seconds
        if self._unwatchable:
            pause = FAST if seconds is None else min(FAST, seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._event.wait()
        if not self._stopped:
            self._event.clear()
        wake, self._wake = self._wake, Wake()
        always = frozenset(self._pipes[fd] for fd in self._unwatchable)
        return wake | Wake(always) if always else wake

    async def wakes(self, seconds: float | None = None) -> AsyncIterator[Wake]:
        """Every wake until `stop`; an empty one after so many seconds without."""
        while not self._stopped:
            yield await self.wait(seconds)

    def _arm(self) -> None:
        """A pipe is told once per wait: one that is not read at once must not spin the loop."""
        if self._loop is None or self._stopped:
            return
        for fd in self._pipes.keys() - self._armed - self._unwatchable:
            try:
                self._loop.add_reader(fd, self._pipe_ready, fd)
            except (OSError, NotImplementedError):  # epoll takes no regular file
                self._unwatchable.add(fd)
            else:
                self._armed.add(fd)

    def _disarm(self, fd: int) -> None:
        self._armed.discard(fd)
        if self._loop is not None:
            self._loop.remove_reader(fd)

    def _pipe_ready(self, fd: int) -> None:
        self._disarm(fd)
        self._tell(Wake(frozenset([self._pipes[fd]])))

    def _tell(self, wake: Wake) -> None:
        self._wake |= wake
        self._event.set()

    def _tell_from_thread(self, wake: Wake) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._tell, wake)

    def _end_from_thread(self) -> None:
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._looker_ended.set)
