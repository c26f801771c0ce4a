"""A running app over a feed, for tests: keys in, lines out, waiting for idle instead of time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import pytest
from textual import events
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.message import Message
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.widgets import Input

from agentmon.config import Settings
from agentmon.core.attention import AttentionSettings
from agentmon.ui import loader
from agentmon.ui.app import AgentmonApp
from agentmon.ui.screens import main, reader
from agentmon.ui.screens.main import MainScreen
from agentmon.ui.screens.page import Page
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.strips import LineWidget
from tests.ui_store import StoreFeed

_HURRIED = (
    (loader, "BOARD_EVERY"),
    (loader, "BOARD_EVERY_AT_FIRST"),
    (reader, "EVERY"),
    (main, "STAGGER"),
)
"""Seconds that the screen leaves to others between its reads: here is nobody else."""

PAINTED_EVERY = 0.5
"""Seconds between two paints of a screen that nobody waits for: who waits has it painted at once.
Else a loaded machine paints each step on the way, and does little besides."""

_NAMES = {":": "colon", "!": "exclamation_mark"}
_CHARACTERS = {
    "space": " ",
    " ": " ",
    "slash": "/",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


def _character(key: str) -> str | None:
    """What a key types; None for keys such as the arrows."""
    return key if len(key) == 1 else _CHARACTERS.get(key)


_parse = cast("Callable[..., list[RuleSet]]", vars(Stylesheet)["_parse_rules"])
_parsed: dict[object, list[RuleSet]] = {}


def _parse_once(sheet: Stylesheet, css: str, *args: object, **more: object) -> list[RuleSet]:
    """The rules of a style sheet, parsed by the first app of all that has it in these colours."""
    colors = tuple(cast("dict[str, str]", vars(sheet)["_variables"]).items())
    key = colors, css, args, tuple(more.items())
    if key not in _parsed:
        _parsed[key] = _parse(sheet, css, *args, **more)
    return _parsed[key]


@contextmanager
def hurried() -> Generator[None]:
    """Apps that start and read what changed at once."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _HURRIED:
            patch.setattr(module, name, 0.0)
        patch.setattr("textual.screen.UPDATE_PERIOD", PAINTED_EVERY)
        patch.setattr(Stylesheet, "_parse_rules", _parse_once)
        yield


class Heard:
    """Counts the messages that the widgets of an app handle."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, message: Message) -> None:
        self.count += 1


async def settle(pilot: Pilot[None], main: MainScreen, heard: Heard | None = None) -> None:
    """Until every message is handled, nothing is being loaded, and everything is painted.

    A message may make a widget post another or ask for a load, and what was loaded again: so it is
    quiet only when, while all widgets were asked once, none handled anything but the question; or
    twice in a row, where nobody counted or screens below go on.
    """
    quiet = 0
    while quiet < 2:
        main.tick()
        page = page_of(pilot.app)
        if page is not None:
            page.tick()
        pumps = await _passed_on(pilot)
        if not _is_read(pilot, main):
            await asyncio.sleep(0.002)
            quiet = 0
            continue
        before = heard.count if heard else 0
        await pilot.pause(0)
        is_calm = heard is not None and heard.count - before <= len(pumps)
        is_quiet = _is_read(pilot, main) and not _waiting(_pumps(pilot))
        quiet = quiet + 1 + is_calm if is_quiet else 0


async def _passed_on(pilot: Pilot[None]) -> list[MessagePump]:
    """Lets the widgets handle what they have, which is cheaper than to ask each of them."""
    pumps = _pumps(pilot)
    for _ in range(20):
        if not _waiting(pumps):
            break
        await asyncio.sleep(0)
        pumps = _pumps(pilot)
    return pumps


def _pumps(pilot: Pilot[None]) -> list[MessagePump]:
    return [pilot.app, *pilot.app.screen.walk_children(with_self=True)]


def _waiting(pumps: list[MessagePump]) -> bool:
    return any(pump.message_queue_size for pump in pumps)


def _is_read(pilot: Pilot[None], main: MainScreen) -> bool:
    page = page_of(pilot.app)  # asked each time: a key may have opened one meanwhile
    return main.loader.is_idle and (page is None or page.reader.is_idle)


def page_of(app: App[Any]) -> Page[Any] | None:
    """The page over the board, where one is."""
    for screen in reversed(app.screen_stack):
        if isinstance(screen, Page):
            return cast("Page[Any]", screen)
    return None


class Shown:
    """A running app with what a test asks of it."""

    def __init__(self, app: AgentmonApp, pilot: Pilot[None], heard: Heard | None = None) -> None:
        self.app = app
        self.heard = heard
        self.pilot = pilot
        self.main = app.main

    @property
    def page(self) -> Page[Any] | None:
        return page_of(self.app)

    async def settle(self) -> None:
        await settle(self.pilot, self.main, self.heard)

    async def press(self, *keys: str) -> None:
        """Keys by Textual's names, one after the other, as the terminal would send them. Of a word
        that is typed into a line, only the whole is looked at."""
        for key, following in zip(keys, (*keys[1:], ""), strict=True):
            self.app.post_message(events.Key(_NAMES.get(key, key), _character(key)))
            is_word = len(key) == len(following) == 1 and isinstance(self.app.focused, Input)
            if not is_word:
                await self.settle()

    async def resize(self, size: tuple[int, int]) -> None:
        await self.pilot.resize_terminal(*size)
        await self.settle()

    async def at(self, *sizes: tuple[int, int]) -> AsyncGenerator[tuple[int, int], None]:
        """Each size in turn, as a person pulls a window about."""
        for size in sizes:
            await self.resize(size)
            yield size

    async def do(self, *command_ids: str) -> None:
        """Runs commands as their keys would."""
        for command_id in command_ids:
            await self.main.actions.do(command_id)
        await self.settle()

    def text(self) -> str:
        """All lines that are on the terminal, overlays too."""
        lines = [
            widget.render_line(y).text
            for widget in self.app.screen.query(LineWidget)
            if widget.display and widget.is_on_screen
            for y in range(widget.size.height)
        ]
        return "\n".join(lines)

    def rows(self, pane: LinePane) -> list[str]:
        """The visible lines of a pane."""
        return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]

    def names(self) -> list[str]:
        sessions = self.main.sessions
        found = [sessions.thread(key) for key in sessions.keys]
        return [thread.name for thread in found if thread is not None]


@asynccontextmanager
async def running(
    app: AgentmonApp, size: tuple[int, int] = (80, 24)
) -> AsyncGenerator[Shown, None]:
    """An app of one's own making."""
    heard = Heard()
    with hurried():
        async with app.run_test(size=size, message_hook=heard) as pilot:
            screen = Shown(app, pilot, heard)
            await screen.settle()
            yield screen


@asynccontextmanager
async def shown(
    feed: StoreFeed,
    size: tuple[int, int] = (80, 24),
    settings: Settings | None = None,
    attention: AttentionSettings | None = None,
) -> AsyncGenerator[Shown, None]:
    app = AgentmonApp(feed, settings=settings or Settings(), attention=attention)
    async with running(app, size) as screen:
        yield screen
