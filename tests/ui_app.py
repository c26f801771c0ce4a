"""A running app over a feed, for tests: keys in, lines out, waiting for idle instead of time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from textual import events
from textual.app import App
from textual.pilot import Pilot

from agentmon.config import Settings
from agentmon.core.attention import AttentionSettings
from agentmon.ui.app import AgentmonApp
from agentmon.ui.screens.main import MainScreen
from agentmon.ui.screens.page import Page
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.strips import LineWidget
from tests.ui_store import StoreFeed

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


async def settle(pilot: Pilot[None], main: MainScreen) -> None:
    """Until every message is handled, nothing is being loaded, and everything is painted.

    A message may make a widget post another or ask for a load, and what was loaded again: so it is
    quiet only when it is so twice in a row.
    """
    quiet = 0
    while quiet < 2:
        main.tick()
        page = page_of(pilot.app)
        if page is not None:
            page.tick()
        await pilot.pause(0)
        pumps = [pilot.app, *pilot.app.screen.walk_children(with_self=True)]
        is_read = main.loader.is_idle and (page is None or page.reader.is_idle)
        is_quiet = is_read and not any(pump.message_queue_size for pump in pumps)
        quiet = quiet + 1 if is_quiet else 0
        if not is_read:
            await asyncio.sleep(0.005)  # the board comes at most five times a second


def page_of(app: App[Any]) -> Page[Any] | None:
    """The page over the board, where one is."""
    for screen in reversed(app.screen_stack):
        if isinstance(screen, Page):
            return cast("Page[Any]", screen)
    return None


class Shown:
    """A running app with what a test asks of it."""

    def __init__(self, app: AgentmonApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.main = app.main

    @property
    def page(self) -> Page[Any] | None:
        return page_of(self.app)

    async def settle(self) -> None:
        await settle(self.pilot, self.main)

    async def press(self, *keys: str) -> None:
        """Keys by Textual's names, one after the other, as the terminal would send them."""
        for key in keys:
            self.app.post_message(events.Key(_NAMES.get(key, key), _character(key)))
            await self.settle()

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
async def shown(
    feed: StoreFeed,
    size: tuple[int, int] = (80, 24),
    settings: Settings | None = None,
    attention: AttentionSettings | None = None,
) -> AsyncGenerator[Shown, None]:
    app = AgentmonApp(feed, settings=settings or Settings(), attention=attention)
    async with app.run_test(size=size) as pilot:
        screen = Shown(app, pilot)
        await screen.settle()
        yield screen
