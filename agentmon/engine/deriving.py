"""Derives messages, work and decisions from calls while agentmon runs: in small steps, when nothing
is due, and only where this process writes the store."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from agentmon.collab.calls_seen import Rule
from agentmon.collab.deriving import Deriver
from agentmon.store import db
from agentmon.store.async_store import AsyncStore, open_async

EVERY = 0.5
"""Seconds between two looks for something new."""

AGAIN = 10.0
"""Seconds after which a store that could not be written is tried again."""

SHARE = 0.2
"""Most of one core that deriving takes."""


class Derived(Protocol):
    """What is derived from: a feed."""

    revision: int

    @property
    def data_dir(self) -> Path: ...
    @property
    def is_busy(self) -> bool: ...
    @property
    def is_writing(self) -> bool: ...


class Deriving:
    """Its connection and its thread are its own: a step waits for batches, batches for a step."""

    def __init__(self, feed: Derived, rules: Sequence[Rule]) -> None:
        self._feed = feed
        self._rules = rules

    async def run(self) -> None:
        """Until it is cancelled. What can't be derived now is derived later."""
        while True:
            data_dir = self._feed.data_dir
            if not self._is_due or not db.database(data_dir).exists():
                await asyncio.sleep(EVERY)
                continue
            with contextlib.suppress(sqlite3.Error, OSError, db.StoreError):
                await self._run(data_dir)
            await asyncio.sleep(AGAIN)

    @property
    def _is_due(self) -> bool:
        return self._feed.is_writing and not self._feed.is_busy

    async def _run(self, data_dir: Path) -> None:
        opening = asyncio.ensure_future(open_async(lambda: db.create(data_dir)))
        try:
            store = await asyncio.shield(opening)
            deriver = await store.run(lambda conn: Deriver(data_dir, conn, self._rules))
            await self._follow(store, deriver, data_dir)
        finally:
            # also where it was cancelled while it opened: its thread must end
            await (await opening).close()

    async def _follow(self, store: AsyncStore, deriver: Deriver, data_dir: Path) -> None:
        """Until the feed has another store (a recording that begins again)."""
        seen = -1
        while self._feed.data_dir == data_dir:
            if not self._is_due or seen == self._feed.revision:
                await asyncio.sleep(EVERY)
                continue
            revision = self._feed.revision
            began = time.perf_counter()
            count = await store.run(lambda _: deriver.step())
            spent = time.perf_counter() - began
            if count:
                self._feed.revision += 1  # the screens have something new to show
            else:
                seen = revision
            await asyncio.sleep(max(spent / SHARE, 0.01) if count else EVERY)
