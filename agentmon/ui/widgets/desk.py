"""The four panes and their places; which one has the focus, whether it is zoomed."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.geometry import Size

from agentmon.engine.feed import Feed
from agentmon.ui import arrangement
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.pending import PendingPane
from agentmon.ui.widgets.rounds import RoundsPane
from agentmon.ui.widgets.sessions import SessionsPane, View
from agentmon.ui.widgets.stream import StreamPane
from agentmon.ui.widgets.strips import SIZED_FROM_OUTSIDE


class Column(Vertical):
    """Panes over each other, whose heights the desk gives."""

    virtual_size = SIZED_FROM_OUTSIDE


class Desk(Container):
    """Arranges its panes for the room that it has."""

    virtual_size = SIZED_FROM_OUTSIDE

    def __init__(self, *, id: str, view: View, feed: Feed) -> None:
        super().__init__(id=id)
        self.sessions = SessionsPane(id="sessions", view=view)
        self.pending = PendingPane(id="pending", view=view)
        self.rounds = RoundsPane(id="rounds", view=view)
        self.stream = StreamPane(id="stream", view=view, feed=feed)
        self.panel = "sessions"
        self.lower = "rounds"
        """The pane below the sessions on a small screen."""
        self.is_zoomed = False
        self._left = Column(self.sessions, self.pending, id="left")
        self._right = Column(self.rounds, self.stream, id="right")
        self._terminal = Size(80, 24)

    def compose(self) -> ComposeResult:
        yield self._left
        yield self._right

    @property
    def panes(self) -> dict[str, LinePane]:
        """By panel name, in the order of their numbers."""
        panes = (self.sessions, self.pending, self.rounds, self.stream)
        return dict(zip(arrangement.PANELS, panes, strict=True))

    @property
    def pane(self) -> LinePane:
        """The pane that keys go to."""
        return self.panes[self.panel]

    def choose(self, panel: str) -> None:
        """Brings a panel up and gives it the focus."""
        self.panel = panel
        if panel in arrangement.LOWER:
            self.lower = panel
        self.place()
        self.pane.focus()

    def place(self, terminal: Size | None = None, room: int = 0) -> None:
        """Gives each pane its rows for the size of the terminal. `room`: the rows that there will
        be, as long as nothing was laid out."""
        self._terminal = terminal or self._terminal
        shape = arrangement.shape(*self._terminal)
        room = self.size.height or room
        if shape == "tiny" or room < 1:
            return
        heights = self._heights(shape, room)
        self.set_class(shape == "wide" and not self.is_zoomed, "-wide")
        for panel, pane in self.panes.items():
            rows = heights.of(panel)
            pane.display = rows > 0
            if rows and (pane.styles.height is None or pane.styles.height.value != rows):
                pane.styles.height = rows
        self._left.display = bool(heights.sessions + heights.pending)
        self._right.display = bool(heights.rounds + heights.stream)

    def on_resize(self, event: events.Resize) -> None:
        self.place()

    def _heights(self, shape: arrangement.Shape, room: int) -> arrangement.Heights:
        sessions = self.sessions.count or len(self.sessions.empty())
        pending = self.pending.count
        if self.is_zoomed:
            return arrangement.zoomed(room, self.panel)
        if shape == "wide":
            return arrangement.wide(room, sessions, pending)
        if shape == "stack":
            return arrangement.stack(room, sessions, pending, self.panel)
        return arrangement.small(room, sessions, self.panel, self.lower)
