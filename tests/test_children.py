"""Who is cancelled while a child works for it leaves nothing behind, at the loop's end neither."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Generator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentmon.engine.backlog import read_in_child
from agentmon.engine.past import past_of
from agentmon.store import db
from tests.deep import each_nth
from tests.differential import ingest
from tests.live_feed import DEMO_LINES, begun_demo, nothing_left
from tests.ui_store import StoreFeed, UiStore

Work = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return begun_demo(tmp_path / "log.jsonl")


def leave(work: Work, after: float, steps: int) -> None:
    """As Textual leaves a worker: cancelled, and not waited for; a few steps later the end of the
    loop cancels it again, and all it waits for."""

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(after)
        task.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)

    with nothing_left():
        asyncio.run(main())


# seconds, and steps of the loop: what both meet is another place each time
MOMENTS = [(at * 3 / 100, 1 + at % 7) for at in range(60)]


@pytest.fixture
def held(log: Path, tmp_path: Path) -> Generator[StoreFeed]:
    """The log in a store."""
    ingest(tmp_path / "store", [log])
    with closing(sqlite3.connect(db.database(tmp_path / "store"), check_same_thread=False)) as conn:
        store = SimpleNamespace(folder=tmp_path / "store", conn=conn)
        yield StoreFeed(cast("UiStore", store))


@pytest.mark.parametrize(("after", "steps"), each_nth(MOMENTS, 30, 4))
def test_the_past_is_left_on_the_way(
    held: StoreFeed, temporary: Path, after: float, steps: int
) -> None:
    async def go() -> None:
        past = await past_of(held, 3600.0)
        await past.stop()

    leave(go, after, steps)
    assert [*temporary.iterdir()] == []


def test_a_past_that_nobody_wants_any_more_is_not_read(held: StoreFeed, temporary: Path) -> None:
    async def go() -> None:
        past = await past_of(held, 3600.0)
        starting = asyncio.create_task(past.start())
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        assert past.tapes.number < DEMO_LINES / 2

    asyncio.run(go())
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize(("after", "steps"), each_nth(MOMENTS[:30], 30, 4))
def test_a_backlog_is_left_on_the_way(log: Path, tmp_path: Path, after: float, steps: int) -> None:
    async def read() -> None:
        await read_in_child(tmp_path / "store", [str(log)], lambda _share: None)

    leave(read, after, steps)
