"""Pictures of the screen at two widths, over the frozen clock and zone."""

import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs
from textual.pilot import Pilot

from agentmon.config import Settings
from agentmon.engine.feed import Mark
from agentmon.ui.app import AgentmonApp
from agentmon.ui.commands import BY_ID
from tests.deep import only_deep, turns
from tests.test_incidents import T0
from tests.test_ui_compare import add_pair
from tests.test_ui_deck import LANDMARKS
from tests.test_ui_incidents import two
from tests.test_ui_tools import add_calls
from tests.ui_app import Shown, hurried
from tests.ui_family import fill_family
from tests.ui_runs import RunFeed
from tests.ui_store import NOW, FakeTransport, StoreFeed, UiStore, fill
from tests.ui_talk import add_decisions, add_mail, add_work

SIZES = {"160x50": (160, 50), "80x24": (80, 24), "60x20": (60, 20)}

sized = pytest.mark.parametrize("size", ["80x24", *only_deep("160x50")])


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("HOME", "/home/dev")
    time.tzset()
    with hurried():
        yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def app(tmp_path: Path) -> AgentmonApp:
    store = UiStore(tmp_path / "store")
    fill(store)
    feed = StoreFeed(store)
    feed.transport = FakeTransport()
    return AgentmonApp(feed, settings=Settings(), title_note="demo")


async def looked_at(pilot: Pilot[None]) -> Shown:
    """The app with the board on it."""
    app = pilot.app
    assert isinstance(app, AgentmonApp)
    screen = Shown(app, pilot)
    await screen.settle()
    return screen


def pressing(*keys: str) -> "Callable[[Pilot[None]], object]":
    """Presses keys, or runs commands by name, each once everything before it is shown."""

    async def run(pilot: Pilot[None]) -> None:
        screen = await looked_at(pilot)
        for is_command, some in groupby(keys, BY_ID.__contains__):
            await (screen.do if is_command else screen.press)(*some)

    return run


@pytest.fixture
def family(tmp_path: Path) -> AgentmonApp:
    store = UiStore(tmp_path / "family")
    fill(store)
    fill_family(store)
    return AgentmonApp(StoreFeed(store), settings=Settings())


@sized
def test_stalled_agent(app: AgentmonApp, size: str, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(app, terminal_size=SIZES[size], run_before=pressing("next_stall"))


@pytest.mark.deep
def test_small_screen(app: AgentmonApp, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(app, terminal_size=(60, 20), run_before=pressing("next_error", "4"))


def test_evidence(app: AgentmonApp, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(app, terminal_size=(80, 24), run_before=pressing("next_stall", "1", "i"))


@pytest.mark.deep
def test_subagents(family: AgentmonApp, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(family, terminal_size=(160, 50), run_before=pressing("p", "1", "k", "h"))


@pytest.fixture
def busy(tmp_path: Path) -> AgentmonApp:
    store = UiStore(tmp_path / "busy")
    fill(store)
    add_calls(store)
    add_pair(store)
    feed = StoreFeed(store)
    feed.data_dir = Path("/home/dev/.local/share/agentmon")  # it is in the picture
    return AgentmonApp(feed, settings=Settings())


@sized
def test_tools(busy: AgentmonApp, size: str, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(busy, terminal_size=SIZES[size], run_before=pressing("T", "j"))


@sized
def test_compare(busy: AgentmonApp, size: str, snap_compare: Callable[..., bool]) -> None:
    keys = ("slash", *"left", "enter", "m", "slash", "ctrl+u", *"right", "enter", "c")
    assert snap_compare(busy, terminal_size=SIZES[size], run_before=pressing(*keys))


def test_health(busy: AgentmonApp, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(busy, terminal_size=(60, 20), run_before=pressing("H"))


@pytest.fixture
def talking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgentmonApp:
    monkeypatch.setenv("USER", "anna")
    store = UiStore(tmp_path / "talking")
    fill(store)
    add_mail(store)
    add_decisions(store)
    add_work(store)
    return AgentmonApp(StoreFeed(store), settings=Settings())


def counted(*keys: str) -> "Callable[[Pilot[None]], object]":
    """The same as `pressing`, once the figures in the titles are there."""

    async def run(pilot: Pilot[None]) -> None:
        screen = await looked_at(pilot)
        await screen.main.count_tabs()
        await cast("Awaitable[None]", pressing(*keys)(pilot))

    return run


@pytest.mark.parametrize(("key", "size"), turns("MDW", ["160x50", "60x20"]))
def test_talk(talking: AgentmonApp, key: str, size: str, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(talking, terminal_size=SIZES[size], run_before=counted(key, "j"))


def test_form(talking: AgentmonApp, snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(
        talking, terminal_size=(80, 24), run_before=counted("M", "G", "r", "ctrl+s")
    )


@sized
def test_incidents(tmp_path: Path, size: str, snap_compare: Callable[..., bool]) -> None:
    feed = RunFeed(tmp_path, two(), T0 + 120)
    app = AgentmonApp(feed, settings=Settings())
    assert snap_compare(
        app, terminal_size=SIZES[size], run_before=pressing("j", "P", "w", "a", "j")
    )


@pytest.mark.parametrize("size", ["160x50", *only_deep("80x24", "60x20")])
def test_tape_deck(app: AgentmonApp, size: str, snap_compare: Callable[..., bool]) -> None:
    """Held in the middle of a run that is being indexed, at a loop, with marks."""
    deck = app.feed.transport
    assert isinstance(deck, FakeTransport)
    deck.playing, deck.indexed, deck.position, deck.end = False, 0.8, 0.6, NOW + 400
    deck.loop = NOW - 350, NOW - 250
    deck.marks = [Mark(NOW - 150, 120, "here")]
    deck.landmarks = [*LANDMARKS, structs.replace(LANDMARKS[0], time=NOW + 150)]
    assert snap_compare(app, terminal_size=SIZES[size], run_before=pressing())
