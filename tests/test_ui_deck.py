"""The tape deck on the screen: its keys, its questions, its two lines."""

import asyncio
from pathlib import Path

import pytest

from agentmon.config import Settings, Ui
from agentmon.core.landmarks import Kind, Landmark
from agentmon.engine.feed import Mark
from agentmon.ui.decking import nearest
from agentmon.ui.screens.asking import AskScreen, MenuScreen
from tests.deep import only_deep
from tests.test_ui_page import SidPage
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, FakeTransport, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
SIZES = [(60, 20), (80, 24), (160, 50)]


def landmark(kind: Kind, ago: float, text: str = "") -> Landmark:
    return Landmark(kind, NOW - ago, None, API, "", "r-api-2", "msg_api_2", None, text)


LANDMARKS = [
    landmark("prompt", 500),
    landmark("failed", 400, "pytest -x"),
    landmark("stall", 300),
    landmark("prompt", 200),
    landmark("permission", 100),
    landmark("error", 50, "overloaded \x1b[31m"),
]


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


@pytest.fixture
def deck(feed: StoreFeed) -> FakeTransport:
    deck = feed.transport = FakeTransport()
    deck.landmarks = list(LANDMARKS)
    return deck


def said(screen: Shown) -> str:
    message = screen.main.footer.message
    return "" if message is None else message.text


async def test_steps_and_speeds(feed: StoreFeed, deck: FakeTransport) -> None:
    async with shown(feed) as screen:
        await screen.press("right", "right", "left", "shift+right", "shift+left", "home", "end")
        assert deck.asked == [
            *(("step", 1), ("step", 1), ("step", -1), ("step_block", 1), ("step_block", -1)),
            ("seek", deck.end),
        ]
        assert deck.restarts == 1
        await screen.press("space", "home")
        assert deck.asked[-1] == ("seek", deck.start)
        await screen.press("full_stop")
        assert deck.collapses_idle
        assert "passes in a second" in said(screen)
        assert ">> idle" in screen.text()


async def test_keys_of_the_board_are_the_decks_now(feed: StoreFeed, deck: FakeTransport) -> None:
    """Arrows step; h and l still open and close. m marks a moment; C a session to compare."""
    async with shown(feed, (160, 50)) as screen:
        await screen.press("1", "C")
        assert screen.main.sessions.marked is not None
        await screen.press("3", "l", "h")
        assert deck.asked == []
        await screen.press("right")
        assert deck.asked == [("step", 1)]


@pytest.mark.parametrize(
    ("key", "kind", "ago"),
    [
        ("e", "error", 50),
        *only_deep(("E", "failed", 400), ("p", "permission", 100), ("S", "stall", 300)),
    ],
)
async def test_trouble_is_gone_to_in_time(
    feed: StoreFeed, deck: FakeTransport, key: str, kind: str, ago: float
) -> None:
    async with shown(feed) as screen:
        feed.time = NOW - 200
        await screen.press(key)
        assert deck.asked == [("seek", NOW - ago)]
        assert said(screen).startswith(kind)
        assert not deck.playing
        assert "\x1b" not in said(screen)
        assert screen.main.selected == (API, "")


async def test_the_menu_of_jumps(feed: StoreFeed, deck: FakeTransport) -> None:
    async with shown(feed) as screen:
        feed.time = NOW - 250
        for key, ago in (("u", 200), ("U", 500), ("a", 200), ("A", 300), ("e", 50)):
            await screen.press("J")
            assert isinstance(screen.main.app.screen, MenuScreen)
            await screen.press(key)
            assert deck.asked[-1] == ("seek", NOW - ago)
        count = len(deck.asked)
        await screen.press("J", "escape")
        deck.indexed = 0.4
        await screen.press("J", "m")
        assert "No message between agents after this moment; 40 % is indexed" in said(screen)
        deck.landmarks = []
        await screen.press("e")
        assert "known once all is indexed" in said(screen)
        deck.landmarks = list(LANDMARKS)
        await screen.press("right_parenthesis", "left_parenthesis")
        assert deck.asked[count:] == [("seek", NOW - 200), ("seek", NOW - 300)]


async def test_going_where_a_person_says(feed: StoreFeed, deck: FakeTransport) -> None:
    async with shown(feed) as screen:
        await screen.press("colon", *"+90s", "enter")
        assert deck.asked == [("go", "+90s")]
        deck.answer = "give a time such as 14:03:20"
        await screen.press("colon", *"soon", "enter")
        assert said(screen) == deck.answer
        await screen.press("colon", *"1", "escape", "colon", "enter")
        assert len(deck.asked) == 2
        assert not isinstance(screen.main.app.screen, AskScreen)


async def test_finding_in_time(feed: StoreFeed, deck: FakeTransport) -> None:
    async with shown(feed) as screen:
        await screen.press("right_curly_bracket")
        assert "Ctrl+F" in said(screen)
        await screen.press("ctrl+f", *"tail", "enter")
        await screen.press("right_curly_bracket", "left_curly_bracket")
        assert deck.asked == [("find", "tail", 1), ("find", "tail", 1), ("find", "tail", -1)]


async def test_marks(feed: StoreFeed, deck: FakeTransport) -> None:
    async with shown(feed) as screen:
        await screen.press("apostrophe")
        assert "No moment is marked" in said(screen)
        await screen.press("m")
        assert not deck.playing
        await screen.press(*"here", "enter")
        assert deck.playing
        deck.number = 300
        await screen.press("m", "enter", "m", "escape")
        assert [(mark.number, mark.note) for mark in deck.marks] == [(250, "here"), (300, "")]
        assert "2 marks" in screen.text()
        await screen.press("apostrophe")
        assert "#250 · here" in screen.text()
        await screen.press("2")
        assert deck.asked == [("seek_number", 300)]


@pytest.mark.deep
async def test_a_key_of_a_menu_means_only_that(feed: StoreFeed, deck: FakeTransport) -> None:
    """Also where it moves or leaves elsewhere: the 19th mark is j, the 26th q."""
    async with shown(feed) as screen:
        for number in range(30):
            deck.number = number
            deck.mark("")
        for key, number in (("j", 18), ("q", 25)):
            await screen.press("apostrophe", key)
            assert deck.asked[-1] == ("seek_number", number)


async def test_loops(feed: StoreFeed, deck: FakeTransport) -> None:
    async with shown(feed, (160, 50)) as screen:
        feed.time = NOW - 300
        await screen.press("left_square_bracket")
        assert (deck.loop, "loop from" in screen.text()) == (None, True)
        feed.time = NOW - 100
        await screen.press("right_square_bracket")
        assert deck.loop == (NOW - 300, NOW - 100)
        feed.time = NOW - 200
        await screen.press("left_square_bracket")
        assert deck.loop == (NOW - 200, NOW - 100)
        await screen.press("right_square_bracket")  # not before its beginning: from the very first
        assert deck.loop == (deck.start, NOW - 200)
        await screen.press("backslash")
        assert deck.loop is None
        assert "loop" not in screen.text()
        feed.time = deck.start
        await screen.press("right_square_bracket")
        assert "ends after it begins" in said(screen)


async def test_nothing_is_stepped_or_marked_on_the_way(
    feed: StoreFeed, deck: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps add up, but from where nobody is yet they lead nowhere."""
    is_there = asyncio.Event()

    async def seek(moment: float) -> None:
        await is_there.wait()
        deck.asked.append(("seek", moment))

    monkeypatch.setattr(deck, "seek", seek)
    async with shown(feed) as screen:
        await screen.press("end", "right", "m")
        assert "seeking" in screen.text()
        assert said(screen) == "Still on the way there"
        is_there.set()
        await screen.settle()
        await screen.press("right")
        assert "seeking" not in screen.text()
        assert deck.asked == [("seek", deck.end), ("step", 1)]


@pytest.mark.deep
async def test_a_note_of_the_recordings_is_told_once(feed: StoreFeed, deck: FakeTransport) -> None:
    feed.told.note = "/x/torn.jsonl is \x1b[2Jempty"
    async with shown(feed, (60, 20)) as screen:
        screen.main.second()
        await screen.settle()
        assert "torn.jsonl is" in screen.text()
        assert "\x1b" not in screen.text()
        await screen.press("space")
        screen.main.second()
        assert said(screen) == ""


@pytest.mark.deep
async def test_on_a_page(feed: StoreFeed, deck: FakeTransport) -> None:
    """What a page needs itself is not the deck's there; the rest is, and the page stays."""
    async with shown(feed) as screen:
        page = SidPage(screen.main)
        screen.main.open_page(page)
        await screen.settle()
        await screen.press("shift+right", "colon", *"50%", "enter")
        assert deck.asked == [("step_block", 1), ("go", "50%")]
        assert screen.page is page


async def test_no_deck_on_a_live_screen(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.main.actions.do("step_on")
        assert "only a replay" in said(screen)


@pytest.mark.parametrize("ascii_only", [True, *only_deep(False)])
async def test_what_is_always_there(feed: StoreFeed, deck: FakeTransport, ascii_only: bool) -> None:
    """Clock, speed, number and index, however long they are; and the line of the run."""
    deck.playing, deck.speed, deck.indexed = False, float("inf"), 0.42
    deck.number, deck.total, deck.position = 1_234_567, 9_999_999, 1.0
    deck.loop, deck.idle = (NOW - 350, NOW - 150), 240.0
    deck.marks = [Mark(NOW - 450, 1, "x")]
    settings = Settings(ui=Ui(ascii=ascii_only))
    async with shown(feed, SIZES[0], settings) as screen:
        bar = screen.main.transport_bar
        async for size in screen.at(*SIZES):
            words, run = (bar.render_line(y).text for y in range(2))
            for text in ("paused", "max", "#1234567/9999999+", "100 %", "index 42 %"):
                assert text in words
            assert len(words) == len(run) == size[0]
            for glyph in "|x^?[]MO" if ascii_only else "┃✕▲◆[]⚑●":
                assert glyph in run
            if ascii_only:
                assert (words + run).isascii()


def test_the_nearest_landmark() -> None:
    def found(kinds: tuple[Kind, ...], ago: float, direction: int) -> float | None:
        one = nearest(LANDMARKS, kinds, NOW - ago, direction)
        return None if one is None else NOW - one.time

    assert found((), 400, 1) == 300
    assert found((), 400, -1) == 500
    assert found(("prompt",), 400, 1) == 200
    assert found(("prompt",), 600, -1) is None
    assert found(("loop",), 600, 1) is None
    assert nearest([], (), NOW, 1) is None
