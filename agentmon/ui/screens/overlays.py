"""Overlays over the main screen: the keys (?), the evidence (i). Any of their keys closes them."""

from collections.abc import Awaitable, Callable, Sequence

from textual import getters
from textual.app import ComposeResult
from textual.screen import ModalScreen

from agentmon.core.text import cells, wrap
from agentmon.ui import commands
from agentmon.ui.evidence import Answer
from agentmon.ui.host import Host
from agentmon.ui.parts import BLANK, Line, Part, justify
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.strips import Face

MOVES = (
    "down",
    "up",
    "top",
    "bottom",
    "page_down",
    "page_up",
    "half_down",
    "half_up",
)
CLOSERS = ("back", "help", "evidence", "health", "open")
PASSED_ON = ("tmux", "copy")
"""Commands that the evidence leaves to the screen below it, over the same chosen thing."""

OVERLAY = (*MOVES, *CLOSERS, *PASSED_ON, "quit", "interrupt")
"""Commands that mean something over the main screen."""

MOST_WIDE = 100

EVERY = 1.0
"""Seconds after which evidence is looked at again."""


class PagePane(LinePane):
    """Lines made for a width; scrolls."""

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.lines: list[Line] = []
        self.heading_text = ""
        self.hint = "Esc back"

    @property
    def count(self) -> int:
        return len(self.lines)

    def title(self) -> tuple[Line, Line]:
        more = f"{min(self.top + self.page, self.count)}/{self.count}  "
        hint = (more if self.count > self.page else "") + self.hint
        return (Part(self.heading_text, "title-focus"),), (Part(hint, "text-muted"),)

    def face(self, y: int) -> Face:
        """A plain title: the border of the overlay is its rule."""
        if y:
            return super().face(y)
        left, right = self.title()
        return Face(justify((Part(" "), *left), (*right, Part(" ")), self.size.width))

    def draw(self, index: int, width: int) -> Line:
        return self.lines[index]


class Overlay(ModalScreen[str | None]):
    """A page of lines over the main screen, as high as it needs.

    Its result is the command whose key closed it, where that goes on below: see `PASSED_ON`.
    """

    app = getters.app(Host)
    passed_on: Sequence[str] = ()
    BINDINGS = [binding for binding in commands.bindings() if binding.id in OVERLAY]

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self.set_class(ascii_only, "-plain")
        self.page = PagePane(id="page", ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        yield self.page

    def heading(self) -> str:
        raise NotImplementedError

    def lines(self, width: int) -> list[Line]:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.fill()
        self.page.focus()

    def on_resize(self) -> None:
        self.fill()

    def fill(self) -> None:
        """Makes the lines anew for the size that there is."""
        width = min(self.app.size.width - 6, MOST_WIDE)
        page = self.page
        page.heading_text = self.heading()
        page.lines = self.lines(width)
        page.styles.width = width + 2
        page.styles.height = min(len(page.lines) + 3, max(5, self.app.size.height - 2))
        page.scroll_rows(page.top)
        page.refresh()

    def action_do(self, command_id: str) -> None:
        if command_id in MOVES:
            self.page.move(command_id)
        elif command_id in CLOSERS:
            self.dismiss(None)
        elif command_id == "quit":
            self.app.exit()
        elif command_id == "interrupt":
            self.app.exit(return_code=130)
        elif command_id in self.passed_on:
            self.dismiss(command_id)


class HelpScreen(Overlay):
    """The keys of a panel first, then all others."""

    def __init__(self, panel: str, *, replay: bool, ascii_only: bool) -> None:
        super().__init__(ascii_only=ascii_only)
        self.panel = panel
        self.is_replay = replay

    def heading(self) -> str:
        return f"Keys · {self.panel.capitalize()}"

    def lines(self, width: int) -> list[Line]:
        first = (self.panel, "replay", "deck")
        order = sorted(commands.CONTEXTS, key=lambda c: first.index(c) if c in first else 9)
        lines: list[Line] = []
        for context in order:
            shown = [
                command
                for command in commands.COMMANDS
                if command.context == context
                and commands.available(command, self.panel, replay=self.is_replay)
                and (not command.keys or self._keys(command))
            ]
            if shown:
                lines += [BLANK] * bool(lines)
                lines.append((Part(f" {commands.CONTEXTS[context]}", "title-focus"),))
                for command in shown:
                    lines += _help(command, self._keys(command), width)
        return lines

    def _keys(self, command: commands.Command) -> tuple[str, ...]:
        return commands.keys_of(command, self.panel, replay=self.is_replay)


def _help(command: commands.Command, names: Sequence[str], width: int) -> list[Line]:
    keys = " ".join(map(commands.key_name, names)) or "Ctrl+P"
    rows = wrap(command.help, max(10, width - 18))
    head: Line = (Part(f" {keys:>13}  ", "accent"), Part(rows[0]))
    return [head, *((Part(" " * 16), Part(row)) for row in rows[1:])]


class EvidenceScreen(Overlay):
    """What a state rests on."""

    passed_on = PASSED_ON

    def __init__(
        self,
        answer: Answer,
        again: Callable[[], Awaitable[Answer]],
        *,
        ascii_only: bool,
    ) -> None:
        super().__init__(ascii_only=ascii_only)
        self.answer = answer
        self._again = again
        self.page.hint = "o its pane · Esc back"

    def heading(self) -> str:
        return self.answer.question

    def on_mount(self) -> None:
        self.set_interval(EVERY, self.renew)

    async def renew(self) -> None:
        """Asks again: ages go on, and so may what they rest on."""
        try:
            answer = await self._again()
        except Exception:
            return  # what is shown was true; the screen below says what is wrong
        if self.is_current and answer != self.answer:
            self.answer = answer
            self.fill()

    def lines(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for fact in self.answer.facts:
            rows = wrap(fact.text, max(10, width - 14))
            label = fact.label + " " * (11 - cells(fact.label))
            for number, row in enumerate(rows):
                lead = Part(f" {'' if number else label:<11} ", "text-muted")
                lines.append((lead, Part(row, fact.role)))
        return lines


class HealthScreen(EvidenceScreen):
    """How agentmon itself is doing."""

    passed_on = ()

    def __init__(
        self, answer: Answer, again: Callable[[], Awaitable[Answer]], *, ascii_only: bool
    ) -> None:
        super().__init__(answer, again, ascii_only=ascii_only)
        self.page.hint = "Esc back"
