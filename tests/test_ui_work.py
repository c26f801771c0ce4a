"""The Work tab: shares and the warning, times, files and commits, windows, the way to a round."""

from pathlib import Path

import pytest

from agentmon.collab import analytics
from agentmon.collab.worklog import WorkEvent, WorkFile
from agentmon.config import Balance, Settings, Ui
from agentmon.ui.screens.work import METRICS, WorkPage
from agentmon.ui.widgets.strips import LineWidget
from agentmon.ui.widgets.work import MEASURES, bar, strip, what_of
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill
from tests.ui_talk import (
    API,
    Size,
    add_work,
    empty,
    in_sizes,
    is_plain,
    make_writable,
    work,
)


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    make_writable(store)
    add_work(store)
    return StoreFeed(store)


def page_of(screen: Shown) -> WorkPage:
    page = screen.page
    assert isinstance(page, WorkPage)
    return page


def rows(pane: LineWidget, head: int = 1) -> list[str]:
    lines = [pane.render_line(y).text.rstrip() for y in range(head, pane.size.height)]
    return [line for line in lines if line]


async def test_shares_with_the_warning_and_what_was_done(feed: StoreFeed) -> None:
    told = analytics.check_balance(feed.store.conn, NOW - 86_400, NOW)
    assert told.warning is not None
    async with shown(feed, (120, 40)) as screen:
        await screen.press("W")
        page = page_of(screen)
        found = rows(page.balance, 2)
        assert found[0].startswith("api-server")
        assert f"{told.shares[0].share:.0f}%" in screen.text()
        assert f"▲ {told.warning}"[:100] in screen.text()
        events = rows(page.events)
        assert len(events) == 15
        assert events[0].startswith("✕ tests")
        assert "npm test, 2 failed" in events[0]
        assert events[1].startswith("◉ commit   api-server")
        assert "4f2a9c1d Keep an alias" in events[1]
        assert "…/src/api/file_1.py" in events[3]
        assert events[3].split()[-3:] == ["+11", "-1", "13m"]


@pytest.mark.deep
async def test_little_work_is_not_warned_of(feed: StoreFeed) -> None:
    settings = Settings(balance=Balance(least=100))
    async with shown(feed, (120, 40), settings) as screen:
        await screen.press("W")
        assert not page_of(screen).warning.display
        assert rows(page_of(screen).balance, 2)[0].startswith("api-server")


@pytest.mark.deep
async def test_of_who_only_logged_work_no_busy_time_is_known(feed: StoreFeed) -> None:
    work(feed.store, "cron", "note", 10, "backup")
    async with shown(feed, (120, 40)) as screen:
        await screen.press("W")
        found = {row.split()[0]: row.split() for row in rows(page_of(screen).balance, 2)}
        assert "—" in found["cron"]
        assert "—" not in found["api-server"]


async def test_the_largest_share_comes_first_by_each_measure(feed: StoreFeed) -> None:
    async with shown(feed, (120, 40)) as screen:
        await screen.press("W")
        page = page_of(screen)
        assert "by all measures" in screen.text()
        await screen.press("O")
        assert "by events" in screen.text()
        line = next(row for row in rows(page.balance, 2) if row.startswith("api-server"))
        assert "87%" in line  # 13 of 15
        await screen.press("O")
        line = next(row for row in rows(page.balance, 2) if row.startswith("api-server"))
        assert "100%" in line
        await screen.press("O", "O", "O", "O")
        assert "by tokens" in screen.text()


async def test_windows_and_kinds_take_turns(feed: StoreFeed) -> None:
    async with shown(feed, (120, 40)) as screen:
        await screen.press("W", "w")
        page = page_of(screen)
        assert "last 7 days" in screen.text()
        assert len(rows(page.events)) == 16
        assert any("staging" in row for row in rows(page.events))
        await screen.press("u")
        assert len(rows(page.events)) == 13
        await screen.press("u")
        assert [row[0] for row in rows(page.events)] == ["◉"]
        await screen.press("u", "u", "w")
        assert "No such work in this time" in screen.text()


async def test_enter_shows_the_work_of_an_agent_then_its_round(feed: StoreFeed) -> None:
    async with shown(feed, (60, 20)) as screen:
        await screen.press("W", "g", "enter")
        page = page_of(screen)
        assert page.agent == "api-server"
        assert page.focused is page.events
        assert all("web" not in row for row in rows(page.events))
        await screen.press("j", "enter")
        assert screen.page is None
        assert screen.main.selected == (API, "")
        assert screen.main.pin == ("round", "r-api-1")
        await screen.press("escape")
        page = page_of(screen)
        assert page.agent == "api-server"
        assert page.focused is page.events
        assert page.events.cursor_index == 1
        await screen.press("escape")
        assert page.agent is None
        assert page.focused is page.balance
        await screen.press("tab")
        assert page.times.display
        assert not page.events.display
        await screen.press("tab", "g", "enter")
        assert "Nobody knows in which round" in screen.text()


@pytest.mark.deep
async def test_a_key_that_is_faster_than_the_read_means_what_is_chosen(feed: StoreFeed) -> None:
    async with shown(feed, (120, 40)) as screen:
        await screen.press("W", "tab", "tab")
        page = page_of(screen)
        page.events.move("down")
        await page.action_do("open")
        await screen.settle()
        assert screen.page is None
        assert screen.main.pin == ("round", "r-api-2")


async def test_times_of_each_agent(feed: StoreFeed) -> None:
    store = feed.store
    told = {row.agent: row for row in analytics.utilisation(store.conn, NOW - 3_600, NOW)}
    async with shown(feed, (120, 40)) as screen:
        await screen.press("W", "w", "w", "tab")
        page = page_of(screen)
        assert "busy" in rows(page.times, 0)[0]
        shown_agents = {row.split()[0] for row in rows(page.times, 2)}
        assert shown_agents <= {name.split()[0] for name in told}
        assert shown_agents
        assert any("█" in row for row in rows(page.times, 2))


def test_a_strip_has_what_was_longest_in_each_part() -> None:
    spans = [(0.0, 30.0, "busy"), (30.0, 36.0, "blocked"), (36.0, 60.0, "idle")]
    assert strip(spans, 0, 60, 6) == ["busy", "busy", "busy", "blocked", "idle", "idle"]
    assert strip(spans, -60, 60, 4) == ["", "", "busy", "idle"]
    assert strip([(50.0, 500.0, "busy")], 0, 60, 3) == ["", "", "busy"]
    assert strip([(5.0, 5.0, "busy")], 0, 60, 2) == ["", ""]
    assert strip(spans, 60, 60, 4) == []
    assert strip(spans, 0, 60, 0) == []


def test_bars() -> None:
    assert bar(0, 4, ascii=False) == "░░░░"
    assert bar(1, 4, ascii=False) == "█░░░"
    assert bar(50, 4, ascii=True) == "##.."
    assert bar(250, 4, ascii=True) == "####"


def test_words_of_an_event() -> None:
    files = [WorkFile("/a/b/c/d/e.py"), WorkFile("/f")]
    assert what_of(WorkEvent(kind="file_modified", files=files)) == "…/c/d/e.py and 1 more"
    assert what_of(WorkEvent(kind="test_run", summary="pytest", is_success=False)) == (
        "pytest, failed"
    )
    odd = {"passed": True, "failed": "9" * 9_000}
    assert what_of(WorkEvent(kind="test_run", summary="pytest", metadata=odd)) == "pytest"
    assert what_of(WorkEvent(kind="git_commit")) == "—"


def test_every_measure_has_a_daily_metric() -> None:
    assert set(METRICS) == set(MEASURES)


@pytest.mark.deep
async def test_what_others_log_comes_by_itself(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24)) as screen:
        await screen.press("W")
        page = page_of(screen)
        work(feed.store, "docs", "file_created", 5, "a page")
        page.second()
        await screen.settle()
        assert "docs" in rows(page.events)[0]
        assert "\x1b" not in screen.text()


@pytest.mark.deep
async def test_empty_states_say_how_to_fill_them(tmp_path: Path) -> None:
    async with empty(tmp_path, "W", "agentmon work --add") as screen:
        await screen.press("enter", "O", "w", "u", "tab", "enter", "j")
        assert screen.page is not None
    async with empty(tmp_path, "W", "of the recording", is_replay=True):
        pass


@in_sizes
async def test_every_size_and_ascii(feed: StoreFeed, sizes: list[Size]) -> None:
    async with shown(feed, sizes[-1], Settings(ui=Ui(ascii=True))) as screen:
        await screen.press("W")
        async for size in screen.at(*sizes):
            warning = "\n".join(rows(page_of(screen).warning, 0))
            assert "more than 70%" in warning
            assert "less than the fair" in warning
            for _ in range(3):
                assert is_plain(screen, size)
                await screen.press("tab")
