"""Small questions over any screen: a line to type into, a menu of one key each."""

from collections.abc import Sequence

from textual import events, getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Input

from agentmon.core.text import cells, one_line
from agentmon.ui import commands
from agentmon.ui.host import Host
from agentmon.ui.parts import Line, Part
from agentmon.ui.screens.overlays import Overlay
from agentmon.ui.widgets.bars import Bar


class _Label(Bar):
    """What is asked."""

    def __init__(self, text: str, *, ascii_only: bool) -> None:
        super().__init__(id="ask-label", ascii_only=ascii_only)
        self.text = text

    def line(self, width: int) -> Line:
        return (Part(f" {one_line(self.text, max(0, width - 2))} ", "title-focus"),)


class AskScreen(ModalScreen[str | None]):
    """One line in place of the footer. The result is what was typed; None: the person left."""

    app = getters.app(Host)
    BINDINGS = [b for b in commands.bindings() if b.id in ("back", "interrupt")]

    def __init__(self, label: str, example: str, value: str = "", *, ascii_only: bool) -> None:
        super().__init__()
        self.label = _Label(label, ascii_only=ascii_only)
        self.label.styles.width = cells(label) + 2
        self.input = Input(value, placeholder=example, id="ask-input", compact=True)

    def compose(self) -> ComposeResult:
        with Horizontal(id="ask"):
            yield self.label
            yield self.input

    def on_mount(self) -> None:
        self.input.focus()

    def on_key(self, event: events.Key) -> None:
        """What is typed before the line has the focus is not lost."""
        if self.input.has_focus:
            return
        if event.key == "enter":
            self.dismiss(self.input.value.strip())
        elif event.is_printable and event.character is not None:
            self.input.value += event.character
            self.input.cursor_position = len(self.input.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def action_do(self, command_id: str) -> None:
        if command_id == "interrupt":
            self.app.exit(return_code=130)
        else:
            self.dismiss(None)


Choice = tuple[tuple[str, ...], str]
"""The keys of a choice, and its words."""


class MenuScreen(Overlay):
    """Choices of one key each. The result is the key; None: the person left."""

    def __init__(self, title: str, choices: Sequence[Choice], *, ascii_only: bool) -> None:
        super().__init__(ascii_only=ascii_only)
        self.choices = choices
        self._title = title
        self._keys = {key for keys, _ in choices for key in keys}

    def heading(self) -> str:
        return self._title

    def lines(self, width: int) -> list[Line]:
        return [
            (Part(f"  {' '.join(keys):<4} ", "accent"), Part(one_line(words, max(0, width - 8))))
            for keys, words in self.choices
        ]

    def on_key(self, event: events.Key) -> None:
        """A key of the menu means that, whatever else it means elsewhere."""
        if event.character is not None and event.character in self._keys:
            event.stop()
            event.prevent_default()
            self.dismiss(event.character)
