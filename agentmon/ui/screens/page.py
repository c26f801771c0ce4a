"""Pages: full screens over the main one, each for one question. What they share is here.

A page names the context of its own commands (`PANEL`, one of `commands.PAGES`) and has a method
`do_<id>` for each; gives its panes (`panes`, the first has the focus); says what to read
(`question`, run in one hop off the event loop) and shows what came (`show`). Esc closes it, an
outcome that is a `Site` leads there on the main screen, and Esc from there back to a page like
this one (`again`).
"""

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget

from agentmon.ui import arrangement, commands, tabs
from agentmon.ui.screens.overlays import MOVES, HelpScreen
from agentmon.ui.screens.reader import Reader
from agentmon.ui.screens.speaking import Speaking
from agentmon.ui.sites import Site
from agentmon.ui.widgets.bars import Header, ProblemBar
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.transport import TransportBar

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

Found = TypeVar("Found")

Outcome = str | Site | None
"""What a page leaves to the main screen: a command to run there, a place to go to, nothing."""

TICK = 0.1
"""Seconds between looks at the revision."""

TURNS = {"next_tab": 1, "previous_tab": -1}

BELOW = (
    *("quit", "interrupt", "palette", "theme", "times", "pause", "evidence", "tmux", "health"),
    *(
        *("play", "faster", "slower", "restart", "to_end", "block_on", "block_back", "go_to"),
        *("jump", "jump_on", "jump_back", "find_text", "find_on", "find_back"),
        *("mark_moment", "marks", "loop_off", "collapse_idle"),
    ),
)
"""Commands that the main screen carries out while the page stays."""


class Page(Speaking[Outcome], Generic[Found]):
    """A full screen over the main one, with its clock, its feed and its bars."""

    PANEL: ClassVar[commands.Context] = "any"
    TAB: ClassVar[tabs.Tab | None] = None
    """The tab that it is; None: it is none."""
    BINDINGS = commands.bindings()

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(ascii_only=below.view.ascii_only)
        self.below = below
        self.feed, self.view = below.feed, below.view
        view, feed = self.view, self.feed
        self.header = Header(id="header", view=view, feed=feed, note=below.header.note)
        self.problem_bar = ProblemBar(id="problem", ascii_only=view.ascii_only)
        self.transport_bar = TransportBar(id="transport", view=view, feed=feed)
        self.footer.panel = self.PANEL
        self.footer.is_replay = below.is_replay
        self.footer.tab = self.TAB
        self.footer.counts = below.footer.counts
        self.reader: Reader[Found] = Reader(feed, self.question, self.show, self._fail)
        self._read_problem = ""

    # What a page is about

    @abstractmethod
    def panes(self) -> Sequence[LinePane]:
        """Its panes; keys go to the one with the focus."""

    def parts(self) -> Sequence[Widget]:
        """Everything between the bars, from top to bottom."""
        return self.panes()

    def first(self) -> Widget:
        """What has the focus at first."""
        return self.panes()[0]

    @abstractmethod
    def question(self) -> Callable[[sqlite3.Connection], Found]:
        """What to read now; called on the event loop, the result in the store's thread."""

    @abstractmethod
    def show(self, found: Found) -> None:
        """Takes what was read."""

    @abstractmethod
    def again(self) -> "Page[Found]":
        """A new page at the place where this one is."""

    # Life

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.problem_bar
        yield from self.parts()
        yield self.transport_bar
        yield self.footer

    def on_mount(self) -> None:
        self.transport_bar.display = self.below.is_replay
        self._show_problem()
        self.first().focus()
        self.set_interval(TICK, self.tick)
        self.set_interval(1.0, self.second)
        self.second()
        self.reader.ask()

    def on_unmount(self) -> None:
        self.reader.stop()

    def on_resize(self, event: events.Resize) -> None:
        is_tiny = arrangement.shape(*event.size) == "tiny"
        self.set_class(is_tiny, "-tiny")
        self.header.is_tiny = is_tiny
        self.header.refresh()

    def tick(self) -> None:
        """What changed since the last tick. The main screen moves the clock, also below a page."""
        self.reader.is_held = self.below.is_paused
        self.reader.tick()
        if self.below.is_replay:
            self.transport_bar.sync()
        self._show_problem()

    def second(self) -> None:
        """Timers move on; lines that read the same are not painted again."""
        self.header.counts = self.below.header.counts
        self.header.is_paused = self.below.is_paused
        for bar in (self.header, self.transport_bar, self.footer, *self.panes()):
            bar.sync()
        self.fade_note()

    def _fail(self, text: str) -> None:
        self._read_problem = text
        self._show_problem()

    def _show_problem(self) -> None:
        bar = self.problem_bar
        bar.text = self._read_problem or self.below.problem_bar.text
        bar.display = bool(bar.text)
        bar.sync()

    # Keys

    @property
    def pane(self) -> LinePane:
        """The pane that keys go to."""
        focused = self.focused
        return focused if isinstance(focused, LinePane) else self.panes()[0]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A command outside its context leaves its key to the next one."""
        command = commands.BY_ID.get(str(parameters[0])) if action == "do" and parameters else None
        if command is None:
            return super().check_action(action, parameters)
        return commands.available(command, self.PANEL, replay=self.below.is_replay)

    async def action_do(self, command_id: str) -> None:
        """Runs a command here, or on the main screen, which this page is left for if it must."""
        self.unsay()
        own = cast("Callable[[], object] | None", getattr(self, f"do_{command_id}", None))
        try:
            if own is not None:
                result = own()
                if isawaitable(result):
                    await result
            elif self.TAB is not None and command_id in TURNS:
                self.dismiss(tabs.beside(self.TAB, TURNS[command_id]).command)
            elif self.TAB is not None and command_id == self.TAB.command:
                pass  # this is the tab
            elif command_id in MOVES:
                self.pane.move(command_id)
            elif command_id in BELOW:
                await self.below.actions.do(command_id)
                self.second()
            else:
                self.dismiss(command_id)
        except Exception as error:
            self.say(f"{commands.BY_ID[command_id].title}: {error}", "error")

    def do_back(self) -> None:
        self.dismiss(None)

    def do_open(self) -> object:
        """Drills into what is chosen; a page where nothing is has nothing to open. What takes a
        while is awaited."""

    def do_help(self) -> None:
        ascii_only, replay = self.view.ascii_only, self.below.is_replay
        self.app.push_screen(HelpScreen(self.PANEL, replay=replay, ascii_only=ascii_only))

    def do_first(self) -> None:
        self.pane.move("top")

    def do_last(self) -> None:
        self.pane.move("bottom")
