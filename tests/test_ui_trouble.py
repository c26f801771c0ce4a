"""Trouble on the screen: jumps to it, evidence, and the screen's own failures and ends."""

from pathlib import Path

import pytest

from agentmon.config import Settings, Ui
from agentmon.ui.screens.overlays import EvidenceScreen, HelpScreen
from tests.ui_app import shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
WEB = "b0000000-0000-4000-8000-000000000002"


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    return UiStore(tmp_path / "store")


@pytest.fixture
def feed(store: UiStore) -> StoreFeed:
    fill(store)
    return StoreFeed(store)


async def test_error_jump_opens_its_round(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("e")
        assert screen.main.selected == (API, "")
        assert screen.main.rounds.cursor == ("block", "msg_api_1", "0")
        assert screen.main.focused is screen.main.rounds
        text = screen.text()
        assert "error 1 of 1 · Bash failed" in text
        assert "pytest -x tests/test_tail.py" in "\n".join(screen.rows(screen.main.stream))


async def test_stall_and_permission_jumps_go_round(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("s")
        assert screen.main.selected == (API, "")
        await screen.press("s")
        assert screen.main.selected is not None
        assert screen.main.selected[0].startswith("e0")
        await screen.press("s")
        assert screen.main.selected == (API, "")
        await screen.press("S")
        assert screen.main.selected[0].startswith("e0")
        await screen.press("p")
        assert screen.main.selected == (WEB, "")
        assert "permission 1 of 1 · web: permission Edit" in screen.text()


async def test_jump_without_trouble_says_so(store: UiStore) -> None:
    store.session("s1", "/w/calm")
    store.thread("s1", "idle", NOW - 5)
    async with shown(StoreFeed(store)) as screen:
        for key, words in (("e", "No error"), ("s", "No stalled"), ("p", "No agent that waits")):
            await screen.press(key)
            assert words in screen.text()


@pytest.mark.deep
async def test_overlays_open_and_close(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("question_mark")
        assert isinstance(screen.app.screen, HelpScreen)
        assert "Order sessions by" in screen.text()
        await screen.press("j", "G", "escape")
        assert screen.app.screen is screen.main
        await screen.press("G", "k", "i")
        assert isinstance(screen.app.screen, EvidenceScreen)
        text = screen.text()
        assert "stalled after 30 s" in text
        assert "41 s ago" in text
        assert "pid 4242" in text
        await screen.press("i")
        assert screen.app.screen is screen.main


@pytest.mark.deep
async def test_evidence_shows_what_was_recorded(feed: StoreFeed) -> None:
    async with shown(feed, (80, 60)) as screen:
        await screen.press("G", "i")
        text = screen.text()
        assert "no such process" in text
        assert "recorded" in text


async def test_copy_takes_id_or_text(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("G", "k", "y")
        assert screen.app.clipboard == API
        await screen.press("e", "y")
        assert screen.app.clipboard == "toolu_api_1"
        await screen.press("4", "y")
        assert "pytest -x tests/test_tail.py" in screen.app.clipboard


async def test_empty_board_says_what_to_do(store: UiStore) -> None:
    feed = StoreFeed(store)
    feed.told.looked_for = ["/logs/sse_lines.jsonl: not there"]
    async with shown(feed) as screen:
        text = screen.text()
        for words in ("No agents seen yet", "/logs/sse_lines.jsonl: not there", "--demo", "PATH"):
            assert words in text
        await screen.press("j", "enter", "e", "s", "p", "i", "y", "o", "l", "h", "4", "G", "escape")
        assert screen.app.is_running


async def test_errors_of_the_store_are_shown_not_raised(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        feed.failure = OSError("disk full")
        feed.revision += 1
        await screen.settle()
        assert "The store cannot be shown: disk full" in screen.text()
        await screen.press("e")
        assert "disk full" in screen.text()
        feed.failure = None
        feed.revision += 1
        await screen.settle()
        assert not screen.main.problem_bar.display


async def test_exit_codes(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("escape", "escape")
        assert screen.app.is_running
        await screen.pilot.press("q")
    assert screen.app.return_code == 0
    async with shown(feed) as screen:
        await screen.press("slash", "a", "question_mark")
        await screen.pilot.press("ctrl+c")
    assert screen.app.return_code == 130


async def test_unknown_theme_is_a_problem_not_a_crash(feed: StoreFeed) -> None:
    async with shown(feed, settings=Settings(ui=Ui(theme="no-such"))) as screen:
        assert "no-such" in screen.text()


@pytest.mark.deep
async def test_ctrl_c_works_over_the_palette(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("ctrl+p")
        await screen.pilot.press("ctrl+c")
    assert screen.app.return_code == 130


async def test_an_engine_that_does_not_start_is_a_problem(feed: StoreFeed) -> None:
    feed.start_failure = PermissionError("no write access to the store")
    async with shown(feed) as screen:
        assert "no write access to the store" in screen.text()
