"""Runners over real files for tests: started, stopped, and checked to leave nothing behind."""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from agentmon.assets import asset
from agentmon.core.health import Limits
from agentmon.engine.live import Live
from agentmon.sources.procs import Processes
from agentmon.store import read

L = TypeVar("L", bound=Live)

LIMITS = Limits()

DEMO_LINES = 900

LOOKS = 6000
"""How often is looked for something that must come, every 20 ms."""


def feed(data_dir: Path, *paths: Path, **more: Any) -> Live:
    more.setdefault("processes", Processes(lambda _pid: True, lambda _pid: 0.0))
    return Live(data_dir, [str(path) for path in paths], LIMITS, poll=0.02, **more)


@asynccontextmanager
async def running(found: L) -> AsyncGenerator[L]:
    """Started, and stopped whatever happens; nothing of it may stay."""
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
    left = [thread for thread in set(threading.enumerate()) - threads if is_ours(thread)]
    for thread in left:
        await asyncio.to_thread(thread.join, 5.0)
    assert [thread for thread in left if thread.is_alive()] == []
    assert asyncio.all_tasks() - tasks == set()
    assert found.status().problem is None


@contextmanager
def nothing_left() -> Generator[None]:
    """No thread and no process stays of what is done within."""
    us = psutil.Process()
    children, threads = set(us.children()), set(threading.enumerate())
    yield
    gc.collect()  # what is still open says so
    assert [one.cmdline() for one in set(us.children()) - children] == []
    assert [one for one in set(threading.enumerate()) - threads if is_ours(one)] == []


def begun_demo(path: Path) -> Path:
    """A log with most of the demo in it: five sessions."""
    lines = asset("demo.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:DEMO_LINES]))
    return path


def is_ours(thread: threading.Thread) -> bool:
    """Not the loop's own pool, which `asyncio.to_thread` leaves to the loop."""
    return not thread.name.startswith("asyncio_")


async def until(condition: Callable[[], object]) -> None:
    """Looks again and again, for minutes if need be: only what never comes fails."""
    for _ in range(LOOKS):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


async def lines(found: Live) -> int:
    return (await found.query(read.counts))["lines"]


async def until_lines(found: Live, count: int) -> None:
    for _ in range(LOOKS):
        if await lines(found) >= count:
            break
        await asyncio.sleep(0.02)
    assert await lines(found) == count
