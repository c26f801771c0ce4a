"""The Tools tab: tabs, figures, orders, windows, calls in pages, the way to a call and back."""

from pathlib import Path

import pytest

from agentmon.config import Settings, Ui
from agentmon.ui import tabs
from agentmon.ui.screens import tools as screens
from agentmon.ui.screens.tools import ToolsPage
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill
from tests.ui_talk import Size, in_sizes

API = "a0000000-0000-4000-8000-000000000001"


def add_calls(store: UiStore) -> None:
    """Runs of Read over three days, one of them failed, and a fast Glob."""
    for n in range(30):
        flow = f"msg_read_{n:02}"
        called = NOW - 40 - n * 9_000
        store.message(API, "r-api-1", flow, called - 5, end_time=called)
        store.block(
            API,
            flow,
            0,
            "tool_use",
            '{"file_path":"x"}',
            tool_use_id=f"toolu_read_{n}",
            tool_name="Read",
            complete_time=called,
            result_time=called + 0.02 * 2 ** (n % 12),
            result_is_error=int(n == 3),
            input_preview=f'{{"file_path":"file-{n:02}"}}',
        )
    store.message(API, "r-api-2", "msg_glob", NOW - 90)
    store.block(
        API,
        "msg_glob",
        0,
        "tool_use",
        "{}",
        tool_use_id="toolu_glob",
        tool_name="Glob",
        complete_time=NOW - 88,
        result_time=NOW - 87.95,
        result_is_error=0,
    )


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    add_calls(store)
    return StoreFeed(store)


def tools_of(screen: Shown) -> ToolsPage:
    page = screen.page
    assert isinstance(page, ToolsPage)
    return page


def names(page: ToolsPage) -> list[str]:
    return [row.split()[0] for row in shown_rows(page)]


def shown_rows(page: ToolsPage) -> list[str]:
    """The rows below title and heading."""
    rows = [page.tools.render_line(y).text for y in range(2, page.tools.size.height)]
    return [row for row in rows if row.strip()]


async def test_tabs_stand_in_the_footer_and_keys_go_round(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24)) as screen:
        footer = screen.main.footer.render_line(0).text
        assert " Live │ Tools " in footer
        await screen.press("greater_than_sign")
        page = tools_of(screen)
        assert page.footer.tab is tabs.TOOLS
        assert " Live │ Tools " in page.footer.render_line(0).text
        for tab in tabs.TABS[2:]:
            await screen.press("greater_than_sign")
            assert screen.page is not None
            assert screen.page.footer.tab is tab
        await screen.press("greater_than_sign")
        assert screen.page is None
        await screen.press("T", "less_than_sign")
        assert screen.page is None
        await screen.press("W", "less_than_sign")
        assert screen.page is not None
        assert screen.page.footer.tab is tabs.TABS[-2]
        await screen.press("T")
        assert screen.page is not None
        await screen.press("1")
        assert screen.page is None
        assert screen.main.desk.panel == "sessions"


def test_tabs_are_declared_with_commands() -> None:
    assert tabs.beside(tabs.LIVE, len(tabs.TABS)) is tabs.LIVE
    assert [tab.title for tab in tabs.TABS][:2] == ["Live", "Tools"]


async def test_figures_of_the_last_day(feed: StoreFeed) -> None:
    async with shown(feed, (120, 30)) as screen:
        await screen.press("T")
        page = tools_of(screen)
        assert names(page) == ["Bash", "Read", "Edit", "Glob"]
        rows = screen.rows(page.tools)
        assert "by errors · last 24h" in rows[0]
        bash = rows[2].split()
        assert bash[:5] == ["Bash", "2", "1", "1", "100%"]
        glob = next(row for row in rows if row.startswith("Glob"))
        assert glob.split()[:7] == ["Glob", "1", "0", "0", "0%", "50ms", "50ms"]
        assert glob.rstrip().endswith("█")
        read = next(row for row in rows if row.startswith("Read")).split()
        assert read[1] == "10"


async def test_windows_take_turns_and_order_stays_while_rows_change(feed: StoreFeed) -> None:
    async with shown(feed, (120, 30)) as screen:
        await screen.press("T", "w")
        page = tools_of(screen)
        assert "all" in screen.rows(page.tools)[0]
        assert next(r for r in screen.rows(page.tools) if r.startswith("Read")).split()[1] == "30"
        await screen.press("w")
        assert next(r for r in screen.rows(page.tools) if r.startswith("Read")).split()[1] == "1"
        await screen.press("w", "O")
        assert names(page) == ["Read", "Bash", "Edit", "Glob"]
        await screen.press("G")
        for n in range(40):
            store = feed.store
            store.message(API, "r-api-2", f"m{n}", NOW - 9)
            store.block(API, f"m{n}", 0, "tool_use", "", tool_name="Glob", complete_time=NOW - 8)
        feed.revision += 1
        await screen.settle()
        assert names(page) == ["Read", "Bash", "Edit", "Glob"]
        assert page.tools.cursor == ("tool", "Glob")
        await screen.press("O", "O", "O", "O")
        assert names(page) == ["Glob", "Read", "Bash", "Edit"]
        assert page.tools.cursor == ("tool", "Glob")


async def test_calls_lead_to_their_place_and_escape_leads_back(feed: StoreFeed) -> None:
    async with shown(feed, (120, 40)) as screen:
        await screen.press("T", "j", "enter")
        page = tools_of(screen)
        rows = screen.rows(page.calls)
        assert "Calls of Read" in rows[0]
        assert "10 · last 24h" in rows[0]
        assert "file-00" in rows[1]
        assert "api-server" in rows[1]
        assert "✕" in rows[4]
        assert "error" in rows[4]
        await screen.press("j", "j", "j", "enter")
        assert screen.page is None
        assert screen.main.desk.panel == "rounds"
        assert screen.main.selected == (API, "")
        block = screen.main.stream.source.block
        assert block is not None
        assert (block.flow_id, block.index) == ("msg_read_03", 0)
        await screen.press("escape")
        page = tools_of(screen)
        assert page.is_open
        assert page.calls.cursor_index == 3
        await screen.press("escape")
        assert not page.is_open
        assert page.tools.cursor == ("tool", "Read")
        await screen.press("escape")
        assert screen.page is None


async def test_calls_come_in_pages(feed: StoreFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens, "PAGE", 8)
    async with shown(feed, (80, 14)) as screen:
        await screen.press("T", "w", "j", "enter")
        page = tools_of(screen)
        assert page.calls.tool_name == "Read"
        for _ in range(40):
            await screen.press("j")
        assert page.calls.is_whole
        inputs = [row.input_preview for row in page.calls.rows]
        assert inputs == [f'{{"file_path":"file-{n:02}"}}' for n in range(30)]
        assert page.calls.cursor_index == 29
        feed.store.message(API, "r-api-1", "msg_new", NOW - 2)
        feed.store.block(API, "msg_new", 0, "tool_use", "", tool_name="Read", complete_time=NOW - 1)
        feed.revision += 1
        await screen.settle()
        assert page.calls.count == 31
        assert page.calls.cursor_index == 30
        assert page.calls.rows[0].is_pending


@pytest.mark.deep
async def test_nothing_called_says_what_to_do(tmp_path: Path) -> None:
    feed = StoreFeed(UiStore(tmp_path / "empty"))
    async with shown(feed, (80, 24)) as screen:
        await screen.press("T")
        assert "No tool was called in this time" in screen.text()
        await screen.press("enter", "O", "w")
        assert screen.page is not None


@in_sizes
async def test_every_size_and_ascii(feed: StoreFeed, sizes: list[Size]) -> None:
    async with shown(feed, sizes[-1], Settings(ui=Ui(ascii=True))) as screen:
        await screen.press("T")
        page = tools_of(screen)
        async for size in screen.at(*sizes):
            for row in screen.rows(page.tools):
                assert row.isascii()
                assert len(row) <= size[0]
            assert "#" in screen.rows(page.tools)[3]
        await screen.press("j", "enter")
        async for _ in screen.at(*sizes):
            assert all(row.isascii() for row in screen.rows(page.calls))
