"""A connection for an event loop, in a thread of its own. Apart from `db`, since a command that has
no loop need not wait for asyncio to be imported."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiosqlite

T = TypeVar("T")

_hop: Callable[..., Awaitable[Any]] = vars(aiosqlite.Connection)["_execute"]
"""What every method of aiosqlite is made of: a function run in the connection's thread. There is
no public way to run a whole transaction in one hop (omnilib/aiosqlite 97)."""


class AsyncStore(aiosqlite.Connection):
    """A connection in a thread of its own that takes whole functions: one hop a batch or screen.

    aiosqlite's own calls hop once a statement, and its thread keeps the process alive: close it.
    """

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Runs fn(connection) in the connection's thread. Raises what fn raises."""
        return await _hop(self, lambda: fn(self._conn))

    async def close(self) -> None:
        """Ends the connection and its thread, also where the closing is cancelled."""
        try:
            await super().close()
        finally:
            await self.ended()

    async def ended(self) -> None:
        """Waits for the end of the thread, however often who waits is cancelled. An opening that
        fails and a closing that is cancelled leave it behind: it would answer an event loop that
        has closed meanwhile."""
        pause, was_cancelled = 0.0, False
        while self._thread.is_alive():
            try:
                await asyncio.sleep(pause)
            except asyncio.CancelledError:
                was_cancelled = True
            pause = 0.001
        if was_cancelled:
            raise asyncio.CancelledError


async def open_async(connector: Callable[[], sqlite3.Connection]) -> AsyncStore:
    """Opens a connection in its thread; `await close()` it in a finally. Raises what it raises."""
    store = AsyncStore(connector, iter_chunk_size=64)
    try:
        await store
    except BaseException:
        await store.ended()
        raise
    return store
