"""The frame of the main screen: bars, panes, the filter line, sentences for the person."""

from textual import events
from textual.app import ComposeResult
from textual.widgets import Input

from agentmon.config import Settings
from agentmon.engine.feed import Feed
from agentmon.ui import arrangement
from agentmon.ui.screens.speaking import Speaking
from agentmon.ui.widgets.bars import Header, ProblemBar
from agentmon.ui.widgets.desk import Desk
from agentmon.ui.widgets.sessions import View
from agentmon.ui.widgets.transport import TransportBar


class Frame(Speaking[None]):
    """Places the panes and the bars around them; knows nothing of what is in them."""

    def __init__(self, feed: Feed, settings: Settings, note: str = "") -> None:
        ascii_only = settings.ui.ascii
        super().__init__(ascii_only=ascii_only)
        self.feed = feed
        self.view = View(feed.now(), feed.limits, ascii_only=ascii_only)
        self.header = Header(id="header", view=self.view, feed=feed, note=note)
        self.problem_bar = ProblemBar(id="problem", ascii_only=ascii_only)
        self.desk = Desk(id="desk", view=self.view, feed=feed)
        self.sessions, self.pending = self.desk.sessions, self.desk.pending
        self.rounds, self.stream = self.desk.rounds, self.desk.stream
        self.transport_bar = TransportBar(id="transport", view=self.view, feed=feed)
        self.filter_input = Input(id="filter", compact=True)
        self._problems = {"read": "", "screen": ""}

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.problem_bar
        yield self.desk
        yield self.transport_bar
        yield self.filter_input
        yield self.footer

    @property
    def is_replay(self) -> bool:
        return self.feed.transport is not None

    def on_mount(self) -> None:
        """The first layout has the panes in their places: otherwise it would be done twice."""
        bars = (self.header, self.problem_bar, self.transport_bar, self.footer)
        heights = [bar.styles.height for bar in bars if bar.display]
        taken = sum(int(height.value) for height in heights if height is not None)
        self.desk.place(self.app.size, self.app.size.height - taken)

    def on_resize(self, event: events.Resize) -> None:
        shape = arrangement.shape(*event.size)
        self.set_class(shape == "tiny", "-tiny")
        self.header.is_tiny = shape == "tiny"
        self.header.refresh()
        self.desk.place(event.size)

    def focus_panel(self, panel: str) -> None:
        """Moves the focus; on a small screen brings the panel up."""
        self.desk.choose(panel)
        self.footer.panel = panel
        self.footer.sync()

    def on_descendant_focus(self) -> None:
        """A click moves the focus too."""
        for panel, pane in self.desk.panes.items():
            if pane is self.focused and panel != self.desk.panel:
                self.focus_panel(panel)

    def show_input(self, is_shown: bool) -> None:
        """The filter line in place of the footer, or the other way round."""
        self.filter_input.display = is_shown
        self.footer.display = not is_shown

    # Words

    def set_problem(self, text: str) -> None:
        """A lasting problem of the screen itself."""
        self._problems["screen"] = text
        self.show_problem()

    def set_read_problem(self, text: str) -> None:
        if text != self._problems["read"]:
            self._problems["read"] = text
            self.show_problem()

    def show_problem(self) -> None:
        texts = (*self._problems.values(), self.feed.status().problem or "")
        text = next(filter(None, texts), "")
        self.problem_bar.text = text
        self.problem_bar.display = bool(text)
        self.problem_bar.sync()
