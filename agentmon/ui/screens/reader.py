"""When a page reads: one read at a time, of what it asks for now."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

Found = TypeVar("Found")
T = TypeVar("T")

EVERY = 0.2
"""Least seconds between two reads that only new revisions call for."""

SHARE = 0.1
"""Most of the time that reading may take; what is dear comes less often."""


class Source(Protocol):
    """Where reads run, and what says that they would find something new: a feed, or beside it."""

    @property
    def revision(self) -> int: ...

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T: ...


class Reader(Generic[Found]):
    """Compares revisions and runs the one read; errors become a sentence.

    `question()` gives the function to run in the thread of the store, `show` takes its answer,
    `fail` the sentence, or "" once reading works again.
    """

    def __init__(
        self,
        feed: Source,
        question: Callable[[], Callable[[sqlite3.Connection], Found]],
        show: Callable[[Found], None],
        fail: Callable[[str], None],
    ) -> None:
        self.feed = feed
        self.is_held = False
        """Whether new revisions wait (the screen is paused)."""
        self._question, self._show, self._fail = question, show, fail
        self._revision = -1
        self._time = 0.0
        self._pause = EVERY
        self._is_asked = True
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether everything asked for is shown; tests wait for it."""
        is_free = self._task is None or self._task.done()
        return is_free and not self._is_asked and self._revision == self.feed.revision

    def ask(self) -> None:
        """Something else is looked at: read it now rather than at the next tick."""
        self._is_asked = True
        self.tick()

    def tick(self) -> None:
        """Starts a read where something changed; never two at once."""
        if self._task is not None and not self._task.done():
            return
        is_new = self.feed.revision != self._revision and not self.is_held
        if self._is_asked or (is_new and time.monotonic() - self._time >= self._pause):
            self._task = asyncio.create_task(self._read())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _read(self) -> None:
        ask = self._question()
        self._is_asked = False
        self._revision, self._time = self.feed.revision, time.monotonic()

        def timed(conn: sqlite3.Connection) -> tuple[Found, float]:
            began = time.perf_counter()
            return ask(conn), time.perf_counter() - began

        try:
            found, took = await self.feed.query(timed)
            self._pause = max(EVERY, took / SHARE)
            self._show(found)
        except Exception as error:
            # The page outlives whatever a read ran into; the next revision tries again.
            self._fail(f"The store cannot be shown: {error}")
        else:
            self._fail("")
