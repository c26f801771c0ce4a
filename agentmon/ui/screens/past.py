"""The past of the live screen: the main screen over a replay of the store, until G leads back."""

from typing import TYPE_CHECKING

from textual import events, on

from agentmon.engine.past import Past
from agentmon.report.family import Key
from agentmon.store import read
from agentmon.ui.screens.main import MainScreen

if TYPE_CHECKING:
    from agentmon.engine.feed import Feed


class PastScreen(MainScreen):
    """Reading goes on below: a badge counts the lines that are new since."""

    IS_PAST = True

    def __init__(self, past: Past, live: MainScreen, lines: int) -> None:
        super().__init__(past, live.settings, "past")
        self._past = past
        self._live: Feed = live.feed
        self._lines = lines
        self._wanted_first: Key | None = live.selected
        self.view.news = 0

    @on(events.Mount)
    def _begin_counting(self) -> None:
        self.set_interval(1.0, self._count_news)

    @on(events.Unmount)
    async def _leave(self) -> None:
        await self._past.stop()

    async def _count_news(self) -> None:
        counts = await self._live.query(read.counts)
        self.view.news = max(0, counts["lines"] - self._lines)
        self.transport_bar.sync()

    def show_board(self) -> None:
        """At first with the session that was looked at."""
        super().show_board()
        chosen = self._wanted_first
        if chosen is not None and self.board.thread(*chosen) is not None:
            self._wanted_first = None
            self.sessions.reveal(chosen, self.board)
            self.select(chosen)
            self.sessions.choose(chosen)
