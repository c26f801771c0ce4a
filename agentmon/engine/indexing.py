"""Keeps the index of search up to date while agentmon runs: in small steps, when nothing is due."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from agentmon.config import Search
from agentmon.store import db, search_db, search_queue
from agentmon.store.async_store import AsyncStore, open_async
from agentmon.store.search_index import Indexer

EVERY = 0.5
"""Seconds between two looks for something new."""

AGAIN = 10.0
"""Seconds after which an index that could not be used is tried again."""

SHARE = 0.2
"""Most of one core that indexing takes."""

TRIM = 1_000
"""Rows of the queue that are dropped at once."""


class Indexed(Protocol):
    """What is indexed: a feed."""

    revision: int

    @property
    def data_dir(self) -> Path: ...
    @property
    def is_busy(self) -> bool: ...


class Indexing:
    """`write` takes what has to be changed in the store itself."""

    def __init__(
        self,
        feed: Indexed,
        limits: Search,
        write: Callable[[Callable[[sqlite3.Connection], None]], Awaitable[None]],
    ) -> None:
        self._feed = feed
        self._limits = limits
        self._write = write
        self._trimmed = 0

    async def run(self) -> None:
        """Until it is cancelled. The index is only a help: what is wrong with it stops nothing."""
        data_dir = self._feed.data_dir
        while True:
            if self._feed.is_busy or not db.database(data_dir).exists():
                await asyncio.sleep(EVERY)
                continue
            with contextlib.suppress(sqlite3.Error, OSError, db.StoreError):
                await self._run(data_dir)
            await asyncio.sleep(AGAIN)

    async def _run(self, data_dir: Path) -> None:
        indexers: list[Indexer] = []

        def connect() -> sqlite3.Connection:
            conn = search_db.open_writing(data_dir, busy=0.5)
            try:
                indexers.append(Indexer(data_dir, db.open_reading(data_dir), conn, self._limits))
            except BaseException:
                conn.close()
                raise
            return conn

        opening = asyncio.ensure_future(open_async(connect))
        try:
            store = await asyncio.shield(opening)
            await self._follow(store, indexers[0])
        finally:
            # also where it was cancelled while it opened: its thread must end
            store = await opening
            await store.run(lambda _: indexers[0].close())
            await store.close()

    async def _follow(self, store: AsyncStore, indexer: Indexer) -> None:
        seen = -1
        while True:
            if self._feed.is_busy or seen == self._feed.revision:
                await self._trim(store, indexer)
                await asyncio.sleep(EVERY)
                continue
            revision = self._feed.revision
            began = time.perf_counter()
            count = await store.run(lambda _: indexer.step())
            spent = time.perf_counter() - began
            if not count:
                seen = revision
            await self._trim(store, indexer)
            await asyncio.sleep(max(spent / SHARE, 0.01) if count else EVERY)

    async def _trim(self, store: AsyncStore, indexer: Indexer) -> None:
        if indexer.read_to == self._trimmed:
            return
        read_to = await store.run(lambda _: indexer.read_by_all())
        if read_to < self._trimmed:
            self._trimmed = 0
        if read_to - self._trimmed >= TRIM:
            self._trimmed = read_to

            def trim(conn: sqlite3.Connection) -> None:
                with db.transaction(conn):
                    search_queue.trim(conn, read_to)

            await self._write(trim)
