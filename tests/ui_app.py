"""A running app over a feed, for tests: keys in, lines out, waiting for idle instead of time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from agentmon.config import Settings
from agentmon.ui.app import AgentmonApp
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.strips import LineWidget
from tests.ui_store import StoreFeed


class Shown:
    """A running app with what a test asks of it."""

    def __init__(self, app: AgentmonApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.main = app.main

    async def settle(self) -> None:
        """Until nothing is being loaded and everything is painted."""
        for _ in range(200):
            self.main.tick()
            await self.pilot.pause()
            if self.main.loader.is_idle:
                break
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
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
    feed: StoreFeed, size: tuple[int, int] = (80, 24), settings: Settings | None = None
) -> AsyncGenerator[Shown, None]:
    app = AgentmonApp(feed, settings=settings or Settings())
    async with app.run_test(size=size) as pilot:
        screen = Shown(app, pilot)
        await screen.settle()
        yield screen
