"""Search on the screen: keys in, hits out, the way to a hit and back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from agentmon.config import Search, Settings
from agentmon.report.board import load
from agentmon.store import search_index
from agentmon.store.deltas import block_path
from agentmon.ui.app import AgentmonApp
from agentmon.ui.screens.searching import SearchPage
from tests.deep import only_deep
from tests.ui_app import Shown, hurried, shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
OLD = "0ld00000-0000-4000-8000-000000000009"


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return searchable(store)


def searchable(store: UiStore) -> StoreFeed:
    """The same with its texts in files, prompts, and an index."""
    store.insert("schema_version", version=3, applied_at=1.0)
    for number, (sid, round_id, text, at) in enumerate(
        store.conn.execute("SELECT sid, round_id, user_prompt, start_time FROM rounds").fetchall()
    ):
        store.insert(
            "prompts", sid=sid, ordinal=number, time=at, text=text, round_id=round_id, kinds=1
        )
    for (flow_id, index), data in store.texts.items():
        (sid,) = store.conn.execute(
            "SELECT sid FROM messages WHERE flow_id = ?", (flow_id,)
        ).fetchone()
        path = store.folder / block_path(sid, flow_id, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert search_index.catch_up(store.folder, Search(), 60.0) == 0
    return StoreFeed(store)


async def typed(screen: Shown, text: str) -> SearchPage:
    await screen.press("F", *("space" if char == " " else char for char in text))
    assert isinstance(screen.page, SearchPage)
    return screen.page


async def test_hits_come_while_one_types_and_enter_goes_there_and_escape_back(
    feed: StoreFeed,
) -> None:
    async with shown(feed, (80, 24)) as screen:
        await screen.press("2")
        page = await typed(screen, "desc")
        text = screen.text()
        assert "thinking" in text
        assert "so the descriptor points at the old inode" in text
        assert "api-server" in text
        await screen.press("enter")
        assert screen.page is None
        assert screen.main.selected == (API, "")
        assert screen.main.pin == ("block", "msg_api_2", "0")
        assert "the descriptor points at the old inode" in screen.text()
        await screen.press("escape")
        assert isinstance(screen.page, SearchPage)
        assert screen.page.line.value == "desc"
        assert screen.page.hits.cursor == page.hits.cursor
        await screen.press("escape")
        assert screen.page is None
        assert screen.main.desk.panel == "pending"


async def test_filters_and_arrows(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24)) as screen:
        page = await typed(screen, "kind:prompt")
        assert page.hits.count == 6
        first = page.hits.cursor
        await screen.press("down", "down", "up")
        assert page.hits.cursor == page.hits.keys[1] != first
        await screen.press("enter")
        assert screen.main.pin is not None
        assert screen.main.pin[0] == "round"
        await screen.press("escape", "tab", "slash", "q")
        assert isinstance(screen.page, SearchPage)
        assert screen.page.line.value == "kind:promptq"
        assert "there is no kind promptq" in screen.text()


async def test_a_result_leads_to_its_call(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await typed(screen, "assert kind:result")
        assert "error" in screen.text()
        await screen.press("enter")
        assert screen.main.pin == ("block", "msg_api_1", "0")
        assert "assert 0 == 3" in screen.text()


@pytest.mark.deep
async def test_a_session_too_old_for_the_board_is_shown(tmp_path: Path) -> None:
    store = UiStore(tmp_path / "store")
    store.session(OLD, "/home/dev/src/attic", last_time=NOW - 1e6, ended_at=NOW - 1e6)
    store.thread(OLD, "ended", NOW - 1e6)
    store.round(OLD, "r-old", "where is the cellar key", NOW - 1e6, end_time=NOW - 1e6)
    for number in range(220):
        sid = f"{number:08x}-0000-4000-8000-000000000000"
        store.session(sid, f"/src/p{number}", last_time=NOW - number)
        store.thread(sid, "idle", NOW - number)
    feed = searchable(store)
    assert load(store.conn).thread(OLD) is None
    async with shown(feed, (80, 24)) as screen:
        await typed(screen, "cellar")
        await screen.press("enter")
        assert screen.main.selected == (OLD, "")
        assert "cellar key" in screen.text()
        feed.revision += 1
        await screen.settle()
        assert screen.main.selected == (OLD, "")
        assert "attic" in screen.text()


async def test_what_there_is_to_say_without_hits(feed: StoreFeed) -> None:
    async with shown(feed, (60, 20)) as screen:
        await typed(screen, "")
        assert "Type to search" in screen.text()
        page = await typed(screen, "nowhere")
        assert "Nothing was found." in screen.text()
        await screen.press("enter")
        assert screen.page is page


async def test_without_an_index_it_says_so(tmp_path: Path) -> None:
    store = UiStore(tmp_path / "store")
    fill(store)
    store.insert("schema_version", version=3, applied_at=1.0)
    async with shown(StoreFeed(store)) as screen:
        await typed(screen, "word")
        assert "There is no index yet" in screen.text()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    with hurried():
        yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", [(80, 24), *only_deep(((160, 50),))], ids=["80x24", "160x50"])
@pytest.mark.usefixtures("zone")
def test_search_screen(
    feed: StoreFeed, size: tuple[int, int], snap_compare: Callable[..., bool]
) -> None:
    app = AgentmonApp(feed, settings=Settings(), title_note="demo")

    async def look(pilot: Pilot[None]) -> None:
        screen = Shown(app, pilot)
        await screen.settle()
        await screen.press("F", *"the", "space", *"!ba")
        await screen.press("down")
        assert screen.page is not None
        screen.page.second()

    assert snap_compare(app, terminal_size=size, run_before=look)
