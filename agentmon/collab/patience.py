"""Writing the store beside many others that write it: one goes on trying where it is busy."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from agentmon.store.async_store import AsyncStore

T = TypeVar("T")

LONGEST = 120.0
_PAUSE = 0.05
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


async def patient(store: AsyncStore, fn: Callable[[sqlite3.Connection], T]) -> T:
    """Runs fn(connection), which must be one transaction, again while others hold the store (each
    attempt waits five seconds by itself). Raises what fn raises, after two minutes this too.
    """
    until = time.monotonic() + LONGEST
    while True:
        try:
            return await store.run(fn)
        except sqlite3.OperationalError as problem:
            code = (problem.sqlite_errorcode or 0) & 0xFF
            if code not in _BUSY or time.monotonic() > until:
                raise
        await asyncio.sleep(_PAUSE)
