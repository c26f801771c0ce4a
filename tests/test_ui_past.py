"""The past of a live screen: `<` plays what the store holds, reading goes on, G leads back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentmon.assets import asset
from agentmon.config import Settings
from agentmon.engine.live import Live
from agentmon.ui.app import AgentmonApp
from agentmon.ui.screens.main import MainScreen
from agentmon.ui.screens.past import PastScreen
from tests.deep import each_nth
from tests.live_feed import DEMO_LINES, LOOKS, begun_demo, feed, lines, nothing_left, until
from tests.ui_app import Shown


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return begun_demo(tmp_path / "log.jsonl")


@asynccontextmanager
async def live_screen(live: Live, size: tuple[int, int] = (100, 30)) -> AsyncGenerator[Shown, None]:
    app = AgentmonApp(live, settings=Settings())
    async with app.run_test(size=size) as pilot:
        await until(lambda: live.committed >= 0 and live.status().backlog is None)
        yield Shown(app, pilot)


async def into_the_past(screen: Shown) -> PastScreen:
    await screen.press("less_than_sign")
    await until(lambda: isinstance(screen.app.screen, PastScreen))
    past = screen.app.screen
    assert isinstance(past, PastScreen)
    await until(lambda: past.board.threads)
    return past


def of(screen: MainScreen) -> list[str]:
    found = [screen.sessions.thread(key) for key in screen.sessions.keys]
    return [thread.name for thread in found if thread is not None]


def left(folder: Path) -> list[Path]:
    return [*folder.glob("agentmon-*")]


def said(screen: MainScreen) -> str:
    message = screen.footer.message
    return "" if message is None else message.text


def bar(past: PastScreen) -> str:
    past.transport_bar.sync()
    return past.transport_bar.render_line(0).text


async def test_there_and_back_while_reading_goes_on(
    tmp_path: Path, temporary: Path, log: Path
) -> None:
    live = feed(tmp_path / "store", log)
    async with live_screen(live) as screen:
        await until(lambda: len(of(screen.main)) == 5)
        before = await lines(live)
        await screen.press("1", "j", "j")
        chosen = screen.main.selected
        past = await into_the_past(screen)
        await until(lambda: past.selected == chosen)
        deck = past.feed.transport
        assert deck is not None
        await until(lambda: sorted(of(past)) == sorted(of(screen.main)))
        await until(lambda: deck.position > 0.5)
        assert "live +0" in bar(past)
        if deck.playing:
            await screen.press("space")
        here = past.feed.now()
        assert here <= deck.end

        rest = (
            asset("demo.jsonl").read_bytes().splitlines(keepends=True)[DEMO_LINES : DEMO_LINES + 50]
        )
        with log.open("ab") as file:
            file.writelines(rest)
        for _ in range(LOOKS):
            if await lines(live) > before:
                break
            await asyncio.sleep(0.02)
        await until(lambda: past.view.news == 50)
        assert "live +50" in bar(past)

        await screen.press("less_than_sign")
        await until(lambda: past.feed.now() < here - 5 and not past.view.moving)
        number = deck.number
        await screen.press("left")
        await until(lambda: deck.number == number - 1 and not past.view.moving)
        await screen.press("G")
        await until(lambda: screen.app.screen is screen.main)
        await until(lambda: not left(temporary))
        assert await lines(live) == before + 50
        assert not screen.main.footer.is_replay
    assert left(temporary) == []


@pytest.mark.deep
async def test_end_leads_back_and_the_way_is_open_again(
    tmp_path: Path, temporary: Path, log: Path
) -> None:
    live = feed(tmp_path / "store", log)
    async with live_screen(live, (60, 20)) as screen:
        await until(lambda: len(of(screen.main)) == 5)
        past = await into_the_past(screen)
        assert "live +0" in bar(past)
        await screen.press("end")
        await until(lambda: screen.app.screen is screen.main)
        await into_the_past(screen)
    assert left(temporary) == []  # also when agentmon is left from there


@pytest.mark.parametrize("tenths", each_nth(range(24), 12, 6))
async def test_left_on_the_way_into_the_past(
    tmp_path: Path, temporary: Path, log: Path, tenths: int
) -> None:
    """Retelling and indexing are children, and a store is opened: none of it may stay."""
    with nothing_left():
        async with live_screen(feed(tmp_path / "store", log)) as screen:
            await until(lambda: len(of(screen.main)) == 5)
            await screen.main.actions.do("rewind")
            await asyncio.sleep(tenths / 10)
    assert left(temporary) == []


async def test_an_empty_store_has_no_past(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "log.jsonl").touch()
    live = feed(tmp_path / "store", tmp_path / "log.jsonl")
    app = AgentmonApp(live, settings=Settings())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Shown(app, pilot)
        await until(lambda: live.engine is not None)
        await screen.press("less_than_sign")
        await until(lambda: "No way back: nothing was heard yet" in said(app.main))
        assert app.screen is app.main
    assert left(temporary) == []
