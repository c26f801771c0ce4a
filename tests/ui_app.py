"""A running app over a feed, for tests: keys in, lines out, waiting for idle instead of time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from textual import events
from textual.pilot import Pilot

from agentmon.config import Settings
from agentmon.core.attention import AttentionSettings
from agentmon.ui.app import AgentmonApp
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
}


def _character(key: str) -> str | None:
    """What a key types; None for keys such as the arrows."""
    return key if len(key) == 1 else _CHARACTERS.get(key)


class Shown:
    """A running app with what a test asks of it."""

    def __init__(self, app: AgentmonApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.main = app.main

    @property
    def page(self) -> Page[Any] | None:
        """The page over the board, where one is."""
        for screen in reversed(self.app.screen_stack):
            if isinstance(screen, Page):
                return cast("Page[Any]", screen)
        return None

    async def settle(self) -> None:
        """Until nothing is being loaded and everything is painted."""
        while True:
            # The board comes at most five times a second; waiting here is for that, not for luck.
            self.main.tick()
            page = self.page
            if page is not None:
                page.tick()
            await asyncio.sleep(0.005)
            if self.main.loader.is_idle and (page is None or page.reader.is_idle):
                break
        # Two rounds: a message that a widget handles may make it post another.
        await self.pilot.pause(0)
        await self.pilot.pause(0)

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
