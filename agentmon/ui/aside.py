"""Reads that take long, beside the board's: in a thread and over a connection of their own."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from agentmon.engine.feed import Feed
from agentmon.store import db

T = TypeVar("T")


class Aside:
    """The revisions of a feed, and reads of its store that the board never waits for."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @property
    def revision(self) -> int:
        return self._feed.revision

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Runs reads on a connection that is opened for them."""
        return await asyncio.to_thread(self._run, fn)

    def _run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        with closing(db.open_reading(self._feed.data_dir)) as conn:
            return fn(conn)
