"""The Round view: opened from the board, its rows, its time axis, live growth, the way back."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from textual.pilot import Pilot

from agentmon.assets import asset
from agentmon.cli import main as command_line
from agentmon.config import Settings, Ui
from agentmon.store import db
from agentmon.store.deltas import block_path, read_bytes
from agentmon.ui.app import AgentmonApp
from agentmon.ui.screens.round import RoundPage
from tests.deep import only_deep
from tests.near import near
from tests.ui_app import Shown, hurried, shown
from tests.ui_store import NOW, FakeTransport, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
DOCS = "d0000000-0000-4000-8000-000000000004"
INFRA = "93a0bb58-43a7-4920-a45b-a8e1f2fdf094"


class Recorded(UiStore):
    """The demo's recording as the writer left it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conn = sqlite3.connect(db.database(folder), check_same_thread=False)
        self.texts = {}


class RecordedFeed(StoreFeed):
    def read_text(self, sid: str, flow_id: str, index: int, start: int, end: int) -> bytes:
        return read_bytes(self.store.folder, block_path(sid, flow_id, index), start, end)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("demo")
    args = ["ingest", str(asset("demo.jsonl")), "--data-dir", str(where)]
    assert CliRunner().invoke(command_line, args).exit_code == 0
    return where


@pytest.fixture
def demo(recording: Path) -> RecordedFeed:
    feed = RecordedFeed(Recorded(recording))
    feed.time = feed.store.conn.execute("SELECT MAX(last_time) FROM sessions").fetchone()[0]
    return feed


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


async def open_infra(screen: Shown) -> RoundPage:
    """The round with a subagent."""
    sql = "SELECT round_id FROM rounds WHERE sid = ? AND prompts > 0 ORDER BY start_time LIMIT 1"
    (row,) = await screen.main.feed.query(lambda conn: conn.execute(sql, (INFRA,)).fetchall())
    page = RoundPage(screen.main, INFRA, str(row[0]))
    screen.main.open_page(page)
    await screen.settle()
    return page


def page_of(screen: Shown) -> RoundPage:
    page = screen.page
    assert isinstance(page, RoundPage)
    return page


async def test_it_opens_from_every_panel_and_escape_leads_back(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("s")
        for panel in "1234":
            await screen.press(panel)
            before = screen.main.here()
            await screen.press("v")
            page = page_of(screen)
            call = screen.main.pending.chosen
            if panel == "2":
                assert call is not None
                assert page.round_id == call.round_id
                assert page.chart.cursor == ("block", call.flow_id, str(call.index))
            else:
                assert (page.sid, page.round_id) == (API, "r-api-2")
                assert "fix the failing test" in screen.text()
            await screen.press("escape")
            assert screen.page is None
            assert screen.main.here() == before


async def test_v_closes_it_too_and_says_where_there_is_no_round(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("v", "v")
        assert screen.page is None
        feed.store.session("f0", "/home/dev/src/new", last_time=NOW)
        feed.store.thread("f0", "idle", NOW)
        feed.revision += 1
        await screen.settle()
        screen.main.sessions.choose(("f0", ""))
        await screen.settle()
        await screen.press("v")
        assert screen.page is None
        assert "This is in no round" in screen.text()


async def test_rows_nest_and_tell_of_the_chosen_one(demo: RecordedFeed) -> None:
    async with shown(demo, (100, 30)) as screen:
        page = await open_infra(screen)
        lines = screen.rows(page.chart)
        assert "infra #1" in lines[0]
        assert "done 2m13s" in lines[0]
        assert "most 3" in lines[1]
        assert "tok/s" in lines[1]
        assert "char/s" in lines[2]
        assert "30s" in lines[3]
        names = [line[1:30].rstrip() for line in lines[4:]]
        agent = next(at for at, name in enumerate(names) if "└ agent" in name)
        assert names[agent - 1].startswith("Agent")
        assert names[agent + 1].startswith("    text")
        while page.chart.chosen is None or page.chart.chosen.name != "Grep":
            await screen.press("down")
        text = screen.text()
        assert " in   {" in text
        assert " out  " in text
        sql = "SELECT content FROM tool_results WHERE tool_use_id = ?"
        block = page.chart.chosen.block
        assert block is not None
        (content,) = demo.store.conn.execute(sql, (block.tool_use_id,)).fetchone()
        assert content[:12] in text


async def test_enter_leads_to_the_block_and_escape_back_to_the_row(demo: RecordedFeed) -> None:
    async with shown(demo) as screen:
        page = await open_infra(screen)
        await screen.press(*"jjjj", "right_square_bracket")
        window = page.chart.window
        row = page.chart.chosen
        assert row is not None
        assert row.block is not None
        await screen.press("enter")
        assert screen.page is None
        assert screen.main.rounds.cursor == row.key
        assert screen.main.desk.panel == "rounds"
        await screen.press("escape")
        assert page_of(screen).chart.cursor == row.key
        assert page_of(screen).chart.window == window
        await screen.press("y")
        assert f"Copied {row.block.tool_use_id or row.block.flow_id}" in screen.text()


async def test_what_runs_grows_and_the_cursor_stays(feed: StoreFeed) -> None:
    async with shown(feed, (100, 24)) as screen:
        await screen.press("s", "v")
        page = page_of(screen)
        open_row = ("block", "msg_api_3", "0")
        assert page.chart.cursor == open_row  # a round that runs is looked at where it is
        assert "running 2m14s" in screen.text()
        assert "1m00s+" in screen.rows(page.chart)[5]
        await screen.press("k")
        feed.time += 30
        screen.main.second()
        while "running 2m44s" not in screen.text():  # what is dear to draw waits a little
            page.second()
            await screen.settle()
        assert "1m30s+" in screen.rows(page.chart)[5]
        feed.store.block(
            API, "msg_api_3", 1, "tool_use", "{}", tool_name="Grep", start_time=NOW + 5
        )
        feed.revision += 1
        await screen.settle()
        assert "Grep" in screen.text()
        assert page.chart.cursor == ("block", "msg_api_2", "0")
        assert page.chart.count == 3


async def test_the_time_axis_zooms_and_scrolls_within_the_round(demo: RecordedFeed) -> None:
    async with shown(demo, (100, 30)) as screen:
        page = await open_infra(screen)
        chart = page.chart
        whole = chart.window
        axis = screen.rows(chart)[3]
        await screen.press("l", "left_square_bracket")
        assert chart.window == whole  # there is no more than all of it
        await screen.press("right_square_bracket", "right_square_bracket")
        part = chart.window
        assert part.end - part.start == near((whole.end - whole.start) / 4)
        assert screen.rows(chart)[3] != axis
        await screen.press(*["l"] * 20)
        assert chart.window.end == near(whole.end)
        await screen.press(*["left"] * 20)
        assert chart.window.start == near(whole.start)
        await screen.press("G")
        row = chart.chosen
        assert row is not None
        assert row.start is not None
        assert chart.window.start <= row.start <= chart.window.end  # it is in sight
        await screen.press(*["left_square_bracket"] * 3)
        assert chart.window == whole


@pytest.mark.parametrize(
    ("ascii_only", "sizes"),
    [
        (True, [(60, 20), (160, 50)]),
        *only_deep(
            (True, [(80, 24), (44, 12)]), (False, [(60, 20), (80, 24), (160, 50), (44, 12)])
        ),
    ],
)
async def test_every_size(
    demo: RecordedFeed, ascii_only: bool, sizes: list[tuple[int, int]]
) -> None:
    settings = Settings(ui=Ui(ascii=ascii_only))
    async with shown(demo, sizes[0], settings) as screen:
        page = await open_infra(screen)
        async for size in screen.at(*sizes):
            lines = screen.rows(page.chart)
            assert "Agent" in "\n".join(lines)
            assert all(len(line) <= size[0] for line in lines)
            assert "Agent" in screen.text()
            assert screen.text().isascii() or not ascii_only
            assert page.footer.render_line(0).text.strip().startswith("q quit")


async def test_an_empty_round_and_one_that_is_gone_say_so(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        screen.main.open_page(RoundPage(screen.main, API, "r-api-1"))
        await screen.settle()
        assert "1 error" in screen.text()
        assert "out  FAILED tests/test_tail.py" in screen.text()
        feed.store.conn.execute("DELETE FROM rounds WHERE round_id = 'r-api-1'")
        feed.store.conn.commit()
        feed.revision += 1
        await screen.settle()
        assert "This round is not in the store" in screen.text()
        await screen.press("enter", "y", "right_square_bracket", "l")
        assert screen.page is not None
        await screen.press("escape")
        screen.main.open_page(
            RoundPage(screen.main, "d0000000-0000-4000-8000-000000000004", "r-docs-1")
        )
        await screen.settle()
        assert "Nothing was written in this round yet." in screen.text()


@pytest.mark.deep
async def test_a_recording_plays_on(demo: RecordedFeed) -> None:
    deck = FakeTransport()
    demo.transport = deck
    async with shown(demo) as screen:
        await open_infra(screen)
        await screen.press("space", "plus")
        assert (deck.playing, deck.speed) == (False, 2.0)
        assert "paused" in screen.text()
        assert screen.page is not None


# Pictures


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with hurried():
        yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", [(160, 50), *only_deep(((80, 24),))], ids=["160x50", "80x24"])
@pytest.mark.usefixtures("zone")
def test_round_view(
    demo: RecordedFeed, size: tuple[int, int], snap_compare: Callable[..., bool]
) -> None:
    app = AgentmonApp(demo, settings=Settings(), title_note="demo")

    async def look(pilot: Pilot[None]) -> None:
        screen = Shown(app, pilot)
        await open_infra(screen)
        await screen.press(*["j"] * 5)

    assert snap_compare(app, terminal_size=size, run_before=look)
