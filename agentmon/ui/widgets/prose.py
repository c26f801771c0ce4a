"""A pane of paragraphs and lines, made for the width that there is, that scrolls."""

from abc import abstractmethod

from agentmon.core.text import clean
from agentmon.ui.parts import Line, Part
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.sessions import View
from agentmon.ui.wrapping import WrapIndex

INDENT = 4


class ProsePane(LinePane):
    """`write` says everything with `line`, `text` and `gap`; it is asked again for a new width."""

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.marked = 0
        """The line at which `mark` was called."""
        self._lines: list[Line] = []
        self._width = 0

    @abstractmethod
    def write(self) -> None:
        """Says everything there is to say."""

    def make(self) -> None:
        """Writes everything anew, at the place where it is."""
        self._lines, self.marked = [], 0
        self._width = self.size.width
        if self._width:
            self.write()
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        self.scroll_rows(self.top)

    def reflow(self) -> None:
        if self.size.width != self._width:
            self.make()
        super().reflow()

    @property
    def count(self) -> int:
        return len(self._lines)

    def draw(self, index: int, width: int) -> Line:
        return self._lines[index]

    # Writing

    def line(self, *parts: Part) -> None:
        """One line; what has no room is cut."""
        self._lines.append(parts)

    def text(self, words: str, role: str = "", *, indent: int = INDENT) -> None:
        """Any text, cleaned and wrapped."""
        rows = WrapIndex(max(10, self._width - indent - 1))
        rows.begin()
        rows.append(clean(words.rstrip()))
        self._lines += [(Part(" " * indent), Part(row, role)) for row in rows.rows]

    def gap(self) -> None:
        self._lines.append(())

    def mark(self) -> None:
        """The next line is the one to bring into sight."""
        self.marked = len(self._lines)
