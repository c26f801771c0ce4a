"""Tabs, and views beside the board: tools, comparisons, agentmon's own health."""

from agentmon.ui import health, tabs
from agentmon.ui.evidence import Answer
from agentmon.ui.screens.overlays import HealthScreen
from agentmon.ui.trouble import Trouble
from agentmon.ui.widgets.sessions import short_path


class Views(Trouble):
    """Commands that show something else than the board."""

    def tab_live(self) -> None:
        """The board is there: a page over it was left."""

    def tab_tools(self) -> None:
        from agentmon.ui.screens.tools import ToolsPage

        self.screen.open_page(ToolsPage(self.screen))

    def tab_messages(self) -> None:
        from agentmon.ui.screens.messages import MessagesPage

        self.screen.open_page(MessagesPage(self.screen))

    def tab_decisions(self) -> None:
        from agentmon.ui.screens.decisions import DecisionsPage

        self.screen.open_page(DecisionsPage(self.screen))

    def tab_work(self) -> None:
        from agentmon.ui.screens.work import WorkPage

        self.screen.open_page(WorkPage(self.screen))

    def next_tab(self) -> None:
        self._go_to(tabs.beside(tabs.LIVE, 1))

    def previous_tab(self) -> None:
        self._go_to(tabs.beside(tabs.LIVE, -1))

    def _go_to(self, tab: tabs.Tab) -> None:
        getattr(self, tab.command)()

    def incidents(self) -> None:
        """Of the chosen session; of all there is in a recording."""
        from agentmon.ui.screens.incidents import IncidentsPage

        thread = self.screen.sessions.chosen
        is_all = self.screen.is_replay or thread is None
        sid = None if thread is None else thread.row.sid
        self.screen.open_page(IncidentsPage(self.screen, sid, is_all=is_all))

    # Comparing

    def mark(self) -> None:
        """Marks the chosen session, or takes its mark away."""
        sessions = self.screen.sessions
        thread = sessions.chosen
        if thread is None:
            self.screen.say("Nothing is selected")
            return
        sid = thread.row.sid
        sessions.marked = None if sessions.marked == sid else sid
        sessions.sync()
        if sessions.marked is not None:
            self.screen.say("Marked: c on another session compares the two", "accent")

    def compare(self) -> None:
        """The marked session and the chosen one, side by side."""
        sessions = self.screen.sessions
        thread = sessions.chosen
        if sessions.marked is None:
            self.screen.say("No session is marked: m marks the chosen one")
        elif thread is None or thread.row.sid == sessions.marked:
            self.screen.say("This is the marked session: choose another one to compare it with")
        else:
            from agentmon.ui.screens.compare import ComparePage

            self.screen.open_page(ComparePage(self.screen, (sessions.marked, thread.row.sid)))

    # agentmon itself

    async def health(self) -> None:
        """Lag, backlog, memory, CPU and what the store takes."""
        screen = self.screen

        async def facts() -> Answer:
            feed = screen.feed
            return health.answer(feed.status(), short_path(str(feed.data_dir)))

        overlay = HealthScreen(await facts(), facts, ascii_only=screen.view.ascii_only)
        screen.app.push_screen(overlay)
