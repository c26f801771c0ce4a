"""Widgets that are lines: drawn on demand, repainted where what they show has changed."""

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import getters
from textual.color import Color
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget

from agentmon.core.text import clean
from agentmon.report.table import in_ascii
from agentmon.ui.host import ROLES, Host
from agentmon.ui.parts import BLANK, Line

SIZED_FROM_OUTSIDE = Reactive(Size(0, 0), layout=False, repaint=False)
"""For `virtual_size`, where a size never depends on what is inside: otherwise Textual follows each
layout with a second one, which finds nothing new."""


@dataclass(frozen=True)
class Face:
    """What one screen line shows; lines are repainted when their face changes."""

    line: Line = BLANK
    is_cursor: bool = False
    is_focused: bool = False


class LineWidget(Widget):
    """Remembers the face of each painted line; `sync` repaints those that differ now."""

    ALLOW_SELECT = False
    app = getters.app(Host)
    virtual_size = SIZED_FROM_OUTSIDE

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only
        self._faces: dict[int, Face] = {}
        self._measured: Size | None = None
        self._styles_of: dict[tuple[str, str], Style] = {}
        self._own_colors: tuple[Color, Color] | None = None
        self._inks: object = None

    @property
    def size(self) -> Size:
        """Each line asks for it several times, and Textual walks to the screen to answer."""
        return self._measured or super().size

    def face(self, y: int) -> Face:
        """What line `y` of the widget shows now."""
        raise NotImplementedError

    def sync(self) -> None:
        """Repaints the lines whose face changed since they were painted."""
        if not self.is_mounted or not self.display:
            return
        self._measured = width, height = super().size
        try:
            for y, painted in list(self._faces.items()):
                if y < height and self.face(y) != painted:
                    self.refresh(Region(0, y, width, 1))
        finally:
            self._measured = None

    def render_line(self, y: int) -> Strip:
        self._measured = super().size
        try:
            face = self.face(y)
            self._faces[y] = face
            return self._strip(face)
        finally:
            self._measured = None

    def notify_style_update(self) -> None:
        self._styles_of.clear()
        self._own_colors = None
        super().notify_style_update()
        if self._inks is not self.app.inks:
            self._inks = self.app.inks
            self.refresh()  # the widget's own styles may be the same in another theme

    def _strip(self, face: Face) -> Strip:
        ground = ""
        if face.is_cursor:
            ground = "cursor" if face.is_focused else "cursor-blurred"
        segments = [
            Segment(self._letters(part.text), self._style(part.role, ground)) for part in face.line
        ]
        return Strip(segments).adjust_cell_length(self.size.width, self._style("", ground))

    def _letters(self, text: str) -> str:
        """The last door before the terminal: a text that nobody cleaned is cleaned here."""
        text = clean(text, newline=False)
        return in_ascii(text) if self.ascii_only and not text.isascii() else text

    def _style(self, role: str, ground: str) -> Style:
        """How a role looks on a ground (of the cursor, else of the widget itself)."""
        key = role if role in ROLES else "", ground
        if key not in self._styles_of:
            self._styles_of[key] = self._mixed(*key)
        return self._styles_of[key]

    def _mixed(self, role: str, ground: str) -> Style:
        if not role:
            own = self.rich_style
            return own + self._style(ground, "") if ground else own
        if ground and role != "match":
            below = self._style("", ground)
            return self._style(role, "") + Style(
                bgcolor=below.bgcolor,
                bold=below.bold,
                underline=below.underline,
                reverse=below.reverse,
            )
        if self._own_colors is None:
            self._own_colors = self.colors[2:]
        return self.app.ink(role, self._style("", ""), *self._own_colors)
