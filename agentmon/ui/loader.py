"""When to load: one read at a time, of what changed and of what is looked at."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial

from agentmon.engine.feed import Feed
from agentmon.ui import loading
from agentmon.ui.tree import SumCache

BOARD_EVERY = 0.2
"""Least seconds between two loads of board and tree; the stream loads at every tick."""

BOARD_SHARE = 0.1
"""Most of the time that loading them may take; a board that is dear comes less often."""


BOARD_EVERY_AT_FIRST = 0.05

EAGER = 3.0
"""Seconds after the start in which that does not count: everybody waits for the first board, and
all of agentmon begins at once."""


class Loader:
    """Compares revisions and runs the one load; errors become a sentence.

    `wanted(with_board)` says what is looked at, `show` takes the snapshot, `fail` the sentence, or
    "" once reading works again.
    """

    def __init__(
        self,
        feed: Feed,
        wanted: Callable[[bool], loading.Wanted],
        show: Callable[[loading.Snapshot], Awaitable[None]],
        fail: Callable[[str], None],
    ) -> None:
        self.feed = feed
        self.is_held = False
        """Whether new revisions wait (the screen is paused)."""
        self._wanted, self._show, self._fail = wanted, show, fail
        self._sums = SumCache()
        self._revision = -1
        self._board_revision = -1
        self._board_time = 0.0
        self._board_pause = BOARD_EVERY
        self._began = time.monotonic()
        self._is_asked = True
        self._task: asyncio.Task[None] | None = None

    @property
    def is_first(self) -> bool:
        """Whether the board was never shown yet."""
        return self._board_revision < 0

    @property
    def is_idle(self) -> bool:
        """Whether everything asked for is shown; tests wait for it."""
        is_free = self._task is None or self._task.done()
        return is_free and not self._is_asked and self._board_revision == self.feed.revision

    def ask(self) -> None:
        """Something else is looked at: load it now rather than at the next tick."""
        self._is_asked = True
        self.tick()

    def tick(self) -> None:
        """Starts a load where something changed; never two at once."""
        if self._task is not None and not self._task.done():
            return
        newest = self.feed.revision
        changed = newest != self._revision or self._is_board_due(newest)
        if self._is_asked or (changed and not self.is_held):
            self._task = asyncio.create_task(self._load(newest))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _is_board_due(self, newest: int) -> bool:
        """The board lags behind the stream on purpose, and catches up."""
        waited = time.monotonic() - self._board_time
        return self._board_revision != newest and waited >= self._board_pause

    async def _load(self, newest: int) -> None:
        with_board = self._board_revision < 0 or (not self.is_held and self._is_board_due(newest))
        wanted = self._wanted(with_board or self._is_asked)
        wanted.with_board = with_board
        self._is_asked = False
        self._revision = newest
        if with_board:
            self._board_revision, self._board_time = newest, time.monotonic()
        try:
            snapshot, took = await self.feed.query(partial(self._read, wanted=wanted))
            if with_board and time.monotonic() - self._began > EAGER:
                self._board_pause = max(BOARD_EVERY, took / BOARD_SHARE)
            elif with_board:
                self._board_pause = BOARD_EVERY_AT_FIRST
            await self._show(snapshot)
        except Exception as error:
            # The screen outlives whatever a read ran into; the next revision tries again.
            self._fail(f"The store cannot be shown: {error}")
        else:
            self._fail("")

    def _read(
        self, conn: sqlite3.Connection, wanted: loading.Wanted
    ) -> tuple[loading.Snapshot, float]:
        """The snapshot, and the seconds that reading it took."""
        began = time.perf_counter()
        found = loading.load(conn, wanted=wanted, sums=self._sums, data_dir=self.feed.data_dir)
        return found, time.perf_counter() - began
