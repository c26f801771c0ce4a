"""Pages: full screens over the board, their keys, their reads, the way there and back."""

import sqlite3
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual._styles_cache import StylesCache
from textual.message_pump import MessagePump
from textual.timer import Timer

from agentmon.store import read
from agentmon.ui.parts import Line, Part
from agentmon.ui.screens.overlays import EvidenceScreen, HelpScreen
from agentmon.ui.screens.page import TICK, Page
from agentmon.ui.sites import Site
from agentmon.ui.widgets.lines import KeyedPane, LinePane
from tests.ui_app import shown
from tests.ui_store import FakeTransport, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"


class SidPane(KeyedPane):
    NAME = "Sids"

    def draw(self, index: int, width: int) -> Line:
        return (Part(str(self.keys[index])),)


class SidPage(Page[list[Hashable]]):
    """The session ids; Enter leads to the newest round of one."""

    PANEL = "round"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # pyright: ignore[reportArgumentType]
        self.pane_of_sids = SidPane(id="sids")

    def panes(self) -> Sequence[LinePane]:
        return (self.pane_of_sids,)

    def question(self) -> Callable[[sqlite3.Connection], list[Hashable]]:
        return lambda conn: [row.sid for row in read.sessions(conn)]

    def show(self, found: list[Hashable]) -> None:
        self.pane_of_sids.set_keys(found)

    def again(self) -> "SidPage":
        page = SidPage(self.below)
        page.pane_of_sids.cursor = self.pane_of_sids.cursor
        return page

    def do_open(self) -> None:
        self.dismiss(Site("sid", str(self.pane_of_sids.cursor), "", 0.0, "r-api-1"))


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


async def test_a_page_reads_and_follows_and_escape_leads_back(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("3")
        before = screen.main.here()
        screen.main.open_page(SidPage(screen.main))
        await screen.settle()
        assert API in screen.text()
        feed.store.session("ffff", "/home/dev/src/late", last_time=feed.time)
        feed.revision += 1
        await screen.settle()
        assert "ffff" in screen.text()
        await screen.press("escape")
        assert screen.page is None
        assert screen.main.here() == before


async def test_a_place_on_a_page_leads_there_and_back_again(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("2")
        page = SidPage(screen.main)
        screen.main.open_page(page)
        await screen.settle()
        page.pane_of_sids.choose(API)
        await screen.press("enter")
        assert screen.page is None
        assert screen.main.selected == (API, "")
        assert screen.main.desk.panel == "rounds"
        await screen.press("escape")
        assert isinstance(screen.page, SidPage)
        assert screen.page.pane_of_sids.cursor == API
        await screen.press("escape")
        assert screen.main.desk.panel == "pending"


async def test_keys_of_the_board_leave_the_page_and_those_of_the_program_do_not(
    feed: StoreFeed,
) -> None:
    async with shown(feed) as screen:
        screen.main.open_page(SidPage(screen.main))
        await screen.settle()
        await screen.press("z", "slash", "tab")  # nothing of the board below
        assert screen.page is not None
        assert not screen.main.desk.is_zoomed
        await screen.press("space")
        assert screen.main.is_paused
        assert "paused" in screen.text()
        feed.store.session("ffff", "/home/dev/src/late", last_time=feed.time)
        feed.revision += 1
        screen.page.tick()
        assert "ffff" not in screen.text()
        await screen.press("space", "question_mark")
        assert isinstance(screen.app.screen, HelpScreen)
        await screen.press("escape", "i")
        assert isinstance(screen.app.screen, EvidenceScreen)
        await screen.press("escape", "t")
        assert "Times of day" in screen.text()  # said where the person looks
        await screen.press("s")
        assert screen.page is None
        assert "stall 1 of" in screen.text()


async def test_a_failed_read_is_said_until_one_succeeds(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        page = SidPage(screen.main)
        screen.main.open_page(page)
        await screen.settle()
        feed.failure = OSError("the disk is away")
        feed.revision += 1
        await screen.settle()
        assert "The store cannot be shown: the disk is away" in screen.text()
        feed.failure = None
        feed.revision += 1
        await screen.settle()
        page.tick()
        assert "cannot be shown" not in screen.text()


@pytest.mark.deep
async def test_a_recording_goes_on_under_a_page(feed: StoreFeed) -> None:
    deck = FakeTransport()
    feed.transport = deck
    async with shown(feed) as screen:
        screen.main.open_page(SidPage(screen.main))
        await screen.settle()
        assert "playing" in screen.text()
        await screen.press("space", "plus")
        assert not deck.playing
        assert deck.speed == 2.0
        assert screen.page is not None


@pytest.mark.deep
async def test_a_page_too_small_says_so(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        screen.main.open_page(SidPage(screen.main))
        await screen.settle()
        await screen.pilot.resize_terminal(30, 8)
        await screen.settle()
        assert "agentmon needs" in screen.text()
        assert API not in screen.text()


@pytest.mark.deep
async def test_a_page_has_each_of_its_clocks_once(
    feed: StoreFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual runs the handlers of all classes of a page, so none of them calls that of another."""
    begun: list[float] = []
    set_interval = MessagePump.set_interval

    def noted(page: MessagePump, interval: float, *args: Any, **more: Any) -> Timer:
        if more.get("name") != "screen_update":
            begun.append(interval)
        return set_interval(page, interval, *args, **more)

    monkeypatch.setattr(Page, "set_interval", noted)
    async with shown(feed) as screen:
        for key in "TMDW":
            begun.clear()
            await screen.press(key)
            assert screen.page is not None
            assert sorted(interval for interval in begun if interval >= TICK) == [TICK, 1.0]
            await screen.press("escape")
            assert screen.page is None


async def test_pages_that_are_left_keep_nothing_of_what_they_painted(feed: StoreFeed) -> None:
    """Textual knows each widget that was painted, with its lines, for as long as it remembers its
    colours."""
    known = StylesCache.get_inner_outer
    async with shown(feed) as screen:
        sizes, most = list[int](), 0
        for _ in range(4):
            await screen.press("M")
            most = known.cache_info().currsize
            await screen.press("escape")
            sizes.append(known.cache_info().currsize)
        assert max(sizes) < most
        assert max(sizes) <= min(sizes) + 2
