"""The loop that judges: once a second, over what was committed and what the process table shows."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from agentmon.core.health import Limits
from agentmon.engine.judging import Judge
from agentmon.report import board
from agentmon.sources.procs import Seen, Wanted
from agentmon.store import verdicts

T = TypeVar("T")

JUDGE_SECONDS = 1.0
"""Between two judgements: a death takes two looks."""

BOARD_SECONDS = 10.0
"""Longest time for which a board is judged again without being read again."""

JUDGED = 86_400.0
"""Seconds back from which sessions are judged."""

METRIC_SECONDS = 10.0


class Overseen(Protocol):
    """What is judged: a feed."""

    revision: int
    limits: Limits

    @property
    def is_writing(self) -> bool: ...
    def now(self) -> float: ...
    def measure(self) -> dict[str, float]: ...
    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T: ...


class Oversight:
    """`look` asks the process table, `write` takes what has to be stored."""

    def __init__(
        self,
        feed: Overseen,
        judge: Judge,
        look: Callable[[Wanted, float], Awaitable[Seen]],
        write: Callable[[Callable[[sqlite3.Connection], None]], Awaitable[None]],
    ) -> None:
        self._feed = feed
        self._judge = judge
        self._look = look
        self._write = write
        self._noted = 0
        """How many of the times in which nobody watched are stored."""
        self._board: tuple[int, float, board.Board] | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        last_metrics = 0.0
        while True:
            await asyncio.sleep(JUDGE_SECONDS)
            now = self._feed.now()
            metrics = self._feed.measure()
            if not self._feed.is_writing:
                continue
            await self._judge_now(now)
            if now - last_metrics >= METRIC_SECONDS:
                last_metrics = now
                await self._write_metrics(now, metrics)

    async def _write_metrics(self, now: float, metrics: dict[str, float]) -> None:
        with contextlib.suppress(OSError, sqlite3.Error):
            await self._write(lambda conn: verdicts.write_metrics(conn, now, metrics))

    async def _judge_now(self, now: float) -> None:
        await self._note_unseen()
        found = await self._committed(now)
        seen = await self._look(self._judge.pids(found), now)
        changes = self._judge.judge(found, seen, now)
        if changes:
            with contextlib.suppress(OSError, sqlite3.Error):
                await self._write(lambda conn: verdicts.write(conn, changes))
            self._feed.revision += 1

    async def _note_unseen(self) -> None:
        """Stores when nobody watched, for other processes and the next start."""
        unseen = self._feed.limits.unseen
        fresh = unseen[self._noted :]
        if fresh:
            with contextlib.suppress(OSError, sqlite3.Error):
                await self._write(lambda conn: verdicts.write_unseen(conn, fresh))
                self._noted = len(unseen)
                self._feed.revision += 1

    async def _committed(self, now: float) -> board.Board:
        """The board as it was committed last: while nothing is said it need not be read again."""
        known = self._board
        if known is None or known[0] != self._feed.revision or now - known[1] >= BOARD_SECONDS:
            found = await self._feed.query(lambda conn: board.load(conn, since=now - JUDGED))
            known = self._board = (self._feed.revision, now, found)
        return known[2]
