"""Tabs, and views beside the board: tools, comparisons, agentmon's own health."""

from agentmon.ui import tabs
from agentmon.ui.screens.compare import ComparePage
from agentmon.ui.screens.tools import ToolsPage
from agentmon.ui.trouble import Trouble


class Views(Trouble):
    """Commands that show something else than the board."""

    def tab_live(self) -> None:
        """The board is there: a page over it was left."""

    def tab_tools(self) -> None:
        self.screen.open_page(ToolsPage(self.screen))

    def next_tab(self) -> None:
        self._go_to(tabs.beside(tabs.LIVE, 1))

    def previous_tab(self) -> None:
        self._go_to(tabs.beside(tabs.LIVE, -1))

    def _go_to(self, tab: tabs.Tab) -> None:
        getattr(self, tab.command)()

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
            self.screen.open_page(ComparePage(self.screen, (sessions.marked, thread.row.sid)))

    # agentmon itself

    def health(self) -> None:
        pass
