"""Pages over what agents say, decide and do: a list and a detail, a line to search with."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events, on
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Input

from agentmon.ui import arrangement
from agentmon.ui.outside import Outside
from agentmon.ui.screens.form import Field, FormScreen, Values
from agentmon.ui.screens.page import Page
from agentmon.ui.sites import Site
from agentmon.ui.widgets.bars import Note
from agentmon.ui.widgets.lines import KeyedPane, LinePane

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

Found = TypeVar("Found")

RECORDING = "This is a recording: nothing is written into it"


class OpenPage(Page[Found]):
    """A page over what other processes write too; that is seen within a second."""

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(below)
        self.outside_changes = 0
        """How often something was written that makes no revision."""
        self._outside = Outside(self.feed.data_dir)
        self._revision = self.feed.revision
        self._next: Callable[[], None] | None = None

    @property
    @abstractmethod
    def is_current(self) -> bool:
        """Whether what was read is about what is chosen now."""

    def once_current(self, do: Callable[[], None]) -> None:
        """Does something with what is chosen, once it is read: keys can be faster than reads."""
        if self.is_current:
            do()
        else:
            self._next = do
            self.reader.ask()

    def shown(self) -> None:
        """Everything read is shown: does what waited for it, or reads what is chosen by now."""
        if not self.is_current:
            self.reader.ask()
        elif self._next is not None:
            do, self._next = self._next, None
            do()

    async def action_do(self, command_id: str) -> None:
        self._next = None
        await super().action_do(command_id)

    def second(self) -> None:
        """What changes here makes a revision too, and the reader has its own pace for those."""
        super().second()
        if self.below.is_paused:
            return
        is_quiet, self._revision = self.feed.revision == self._revision, self.feed.revision
        if self._outside.changed():
            self.outside_changes += 1
            if is_quiet:
                self.reader.ask()

    def ask_anew(self) -> None:
        """Reads everything again: something was written."""
        self.outside_changes += 1
        self.reader.ask()

    def leave_for(self, site: Site | None, otherwise: str) -> None:
        """Goes to where something was said or done, or says why not."""
        if site is None:
            self.say(otherwise)
        else:
            self.dismiss(site)


class TalkPage(OpenPage[Found]):
    """A list, and what is chosen in it beside or below; alone where there is no room for both."""

    AUTO_FOCUS = ""
    SEARCH: ClassVar[str] = ""
    """What can be typed after /."""

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(below)
        self.line = Input(id="find", compact=True, placeholder=self.SEARCH, select_on_focus=False)
        self.line.display = False
        self.is_inside = False
        """Whether the keys are in the detail."""

    @property
    @abstractmethod
    def list(self) -> KeyedPane:
        """The pane to choose in."""

    @property
    @abstractmethod
    def detail(self) -> LinePane:
        """The pane of what is chosen."""

    def panes(self) -> Sequence[LinePane]:
        return (self.detail, self.list) if self.is_inside else (self.list, self.detail)

    def parts(self) -> Sequence[Widget]:
        self.split = Container(self.list, self.detail, id="split")
        self.place()  # before they are there: later each of them would be styled twice
        return (self.line, self.split)

    def on_resize(self, event: events.Resize) -> None:
        self.place(event.size.width, event.size.height)

    def place(self, width: int = 0, height: int = 0) -> None:
        """Beside each other, one over the other, or the one that has the keys."""
        shape = arrangement.shape(width or self.app.size.width, height or self.app.size.height)
        self.split.set_class(shape == "wide", "-wide")
        is_both = shape in ("wide", "stack")
        if shape == "stack":
            self.list.styles.height = "2fr" if self.is_inside else "1fr"
            self.detail.styles.height = "3fr" if self.is_inside else "1fr"
        else:
            self.list.styles.height = self.detail.styles.height = "1fr"
        self.list.display = is_both or not self.is_inside
        self.detail.display = is_both or self.is_inside

    def go_inside(self, is_inside: bool) -> None:
        """Gives the keys to the detail, or back to the list."""
        self.is_inside = is_inside
        self.place()
        (self.detail if is_inside else self.list).focus()

    # Searching

    @property
    def searched(self) -> str:
        """The words in the line; "" while there is none."""
        return self.line.value.strip() if self.line.display else ""

    def show_line(self) -> None:
        self.line.display = True
        self.line.focus()
        self._say_keys()

    def second(self) -> None:
        super().second()
        if self.line.display and self.line.has_focus:
            self._say_keys()

    def _say_keys(self) -> None:
        """While one types, letters are words and no commands: the footer says what is left."""
        words = ("Enter to what was found", "Esc ends the search")
        self.footer.message = Note((" - " if self.view.ascii_only else " · ").join(words), "")
        self.footer.sync()

    @on(Input.Changed, "#find")
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.reader.ask()

    @on(Input.Submitted, "#find")
    def _submitted(self, event: Input.Submitted) -> None:
        """Enter leaves the words there and goes to what was found."""
        event.stop()
        self.unsay()
        if not self.line.value.strip():
            self._hide_line()
        self.go_inside(False)

    def _hide_line(self) -> None:
        self.line.value = ""
        self.line.display = False
        self.reader.ask()

    # Keys

    def do_back(self) -> None:
        if self.line.has_focus or (self.line.display and not self.is_inside):
            self._hide_line()
            self.go_inside(False)
        elif self.is_inside:
            self.go_inside(False)
        else:
            self.dismiss(None)

    # Writing

    def ask_for(
        self, title: str, fields: Sequence[Field], save: Callable[[Values], Awaitable[str]]
    ) -> None:
        """Opens a form; a recording takes nothing."""
        if self.below.is_replay:
            self.say(RECORDING)
            return
        form = FormScreen(title, fields, save, ascii_only=self.view.ascii_only)
        self.app.push_screen(form, self._saved)

    def _saved(self, words: str | None) -> None:
        if words is not None:
            self.say(words, "success")
            self.ask_anew()
