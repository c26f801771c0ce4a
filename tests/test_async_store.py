"""A connection in a thread: however it ends, its thread has ended before the event loop does."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import pytest

from agentmon.store.async_store import open_async


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


async def ends_cancelled(work: "asyncio.Task[object]", entered: threading.Event) -> None:
    """Cancels a task while its function runs in the thread, which goes on for a while."""
    await asyncio.to_thread(entered.wait)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


class Slow:
    """A function that is entered, and goes on until it may return."""

    def __init__(self) -> None:
        self.entered, self.may_end = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> sqlite3.Connection:
        self.entered.set()
        self.may_end.wait()
        return memory()


@pytest.fixture
def threads() -> Callable[[], set[threading.Thread]]:
    before = {*threading.enumerate()}
    return lambda: {one for one in {*threading.enumerate()} - before if "_connection" in one.name}


async def test_an_opening_that_fails(threads: Callable[[], set[threading.Thread]]) -> None:
    def fail() -> sqlite3.Connection:
        raise sqlite3.OperationalError("no")

    with pytest.raises(sqlite3.OperationalError):
        await open_async(fail)
    assert threads() == set()


async def test_an_opening_that_is_cancelled(threads: Callable[[], set[threading.Thread]]) -> None:
    slow = Slow()
    opening = asyncio.ensure_future(open_async(slow))
    asyncio.get_running_loop().call_later(0.05, slow.may_end.set)
    await ends_cancelled(opening, slow.entered)
    assert slow.may_end.is_set()
    assert threads() == set()


async def test_a_closing_that_is_cancelled(threads: Callable[[], set[threading.Thread]]) -> None:
    slow = Slow()
    store = await open_async(memory)
    running = asyncio.ensure_future(store.run(slow))
    await asyncio.to_thread(slow.entered.wait)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.05, slow.may_end.set)
    await ends_cancelled(closing, slow.entered)
    assert threads() == set()
    await running
