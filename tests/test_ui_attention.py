"""Bell and title on the screen: for what is new, never over a recording."""

from pathlib import Path

import pytest

from agentmon.core.attention import AttentionSettings
from agentmon.ui.app import AgentmonApp
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, FakeTransport, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
INFRA = "c0000000-0000-4000-8000-000000000003"


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


class Terminal:
    """What reaches the terminal of an app."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rung = 0
        self.sent: list[str] = []
        monkeypatch.setattr(AgentmonApp, "bell", self._ring)
        monkeypatch.setattr(AgentmonApp, "to_terminal", self.sent.append)

    def _ring(self, *app: object) -> None:
        self.rung += 1

    @property
    def titles(self) -> list[str]:
        return [text.partition("\x1b]2;")[2].partition("\x07")[0] for text in self.sent]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(monkeypatch)


async def a_second(screen: Shown, feed: StoreFeed) -> None:
    feed.time += 1.0
    screen.main.second()
    await screen.settle()


async def ask(screen: Shown, feed: StoreFeed) -> None:
    """An agent begins to wait for a person."""
    feed.store.thread(INFRA, "permission", feed.time, phase_detail="Write")
    feed.revision += 1
    await screen.settle()


async def test_a_new_wait_rings_and_is_named(feed: StoreFeed, terminal: Terminal) -> None:
    async with shown(feed) as screen:
        await a_second(screen, feed)
        await a_second(screen, feed)
        assert terminal.rung == 0
        assert terminal.titles == ["1 needs you · 1 stalled · agentmon"]
        await ask(screen, feed)
        await a_second(screen, feed)
        assert terminal.rung == 1
        assert terminal.titles[-1] == "2 need you · 1 stalled · agentmon"
        assert "◆ infra: permission Write · p goes there" in screen.text()
        await a_second(screen, feed)
        assert terminal.rung == 1
    assert terminal.sent[0].startswith("\x1b[22;2t\x1b]2;")
    assert terminal.sent[-1] == "\x1b]2;\x07\x1b[23;2t"


async def test_a_held_picture_keeps_no_news_back(feed: StoreFeed, terminal: Terminal) -> None:
    async with shown(feed) as screen:
        await a_second(screen, feed)
        await screen.press("space")
        feed.store.thread(INFRA, "permission", feed.time + 1, phase_detail="Write")
        feed.revision += 1
        feed.time += 2.0
        screen.main.second()
        while not terminal.rung:
            await screen.pilot.pause()
        assert terminal.rung == 1
        assert "permission Write" not in "\n".join(screen.rows(screen.main.sessions))


async def test_recordings_are_silent(feed: StoreFeed, terminal: Terminal) -> None:
    feed.transport = FakeTransport()
    async with shown(feed) as screen:
        await a_second(screen, feed)
        await ask(screen, feed)
        await a_second(screen, feed)
    assert terminal.rung == 0
    assert terminal.sent == []


async def test_both_can_be_switched_off(feed: StoreFeed, terminal: Terminal) -> None:
    quiet = AttentionSettings(bell=False, title=False)
    async with shown(feed, attention=quiet) as screen:
        await a_second(screen, feed)
        await ask(screen, feed)
        await a_second(screen, feed)
        assert "infra: permission Write" in screen.text()
    assert terminal.rung == 0
    assert terminal.sent == []


async def test_what_is_read_in_the_background_is_old(feed: StoreFeed, terminal: Terminal) -> None:
    feed.told.backlog, feed.told.note = 0.4, "reading older logs 3/9"
    async with shown(feed, (160, 50)) as screen:
        assert "reading older logs 3/9 40 %" in screen.text()
        await a_second(screen, feed)
        feed.store.thread(API, "permission", NOW - 600, phase_detail="Bash")
        feed.revision += 1
        await screen.settle()
        await a_second(screen, feed)
        assert terminal.rung == 0
        await ask(screen, feed)
        await a_second(screen, feed)
        assert terminal.rung == 1


async def test_a_finished_turn_rings(feed: StoreFeed, terminal: Terminal) -> None:
    async with shown(feed) as screen:
        await a_second(screen, feed)
        feed.store.thread(INFRA, "idle", feed.time)
        prompt = "find every place where the bucket name is built"
        feed.store.round(INFRA, "r-infra-1", prompt, NOW - 160, end_time=feed.time)
        feed.revision += 1
        await screen.settle()
        await a_second(screen, feed)
        assert terminal.rung == 1
        assert "✓ infra: finished" in screen.text()


async def test_an_empty_board_shows_how_far_reading_is(tmp_path: Path, terminal: Terminal) -> None:
    feed = StoreFeed(UiStore(tmp_path / "empty"))
    feed.told.backlog = 0.05
    feed.told.looked_for = ["~/.claude: 12 sessions"]
    async with shown(feed, (60, 20)) as screen:
        assert "Reading what was found: 5 %" in screen.text()
        assert "~/.claude: 12 sessions" in screen.text()
        feed.told.backlog = None
        await a_second(screen, feed)
        assert "No agents seen yet" in screen.text()
    assert terminal.titles[-2:] == ["agentmon", ""]
