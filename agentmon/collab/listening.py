"""Whose turn it is to listen for an agent of a store."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from agentmon.store.file_lock import FileLock

STANDBY = 0.5
"""Seconds until a second listener of the same agent asks again whether the first is gone."""


def _ignore(_: bool) -> None:
    pass


@contextlib.asynccontextmanager
async def listening_turn(
    data_dir: Path,
    agent: str,
    is_over: Callable[[], bool],
    on_standby: Callable[[bool], None] = _ignore,
) -> AsyncGenerator[None, None]:
    """One listener of an agent takes at a time, so that nothing is handed on twice; another one
    stands by (`on_standby` hears of it) until it ends, or `is_over`."""
    name = hashlib.sha256(agent.encode()).hexdigest()[:32]
    lock = FileLock(data_dir / "listening" / f"{name}.lock")
    try:
        while not (is_over() or lock.acquire()):
            on_standby(True)
            await asyncio.sleep(STANDBY)
        on_standby(False)
        yield
    finally:
        lock.release()
