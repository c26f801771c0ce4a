"""Widgets that are lines: drawn on demand, repainted where what they show has changed."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import getters
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from agentmon.core.text import clean
from agentmon.report.table import in_ascii
from agentmon.ui.host import Host
from agentmon.ui.parts import BLANK, Line
from agentmon.ui.widgets.ink import ROLES, Ink


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

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only
        self._faces: dict[int, Face] = {}
        self._measured: Size | None = None
        self._ink: Ink | None = None

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
        with self._of_a_size() as (width, height):
            for y, painted in list(self._faces.items()):
                if y < height and self.face(y) != painted:
                    self.refresh(Region(0, y, width, 1))

    @contextmanager
    def _of_a_size(self) -> Generator[Size, None, None]:
        self._measured = super().size
        try:
            yield self._measured
        finally:
            self._measured = None

    def render_lines(self, crop: Region) -> list[Strip]:
        with self._of_a_size():
            return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        face = self.face(y)
        self._faces[y] = face
        return self._strip(face)

    def _strip(self, face: Face) -> Strip:
        base = ground = self.ink.base
        if face.is_cursor:
            ground = base + self.ink.style("cursor" if face.is_focused else "cursor-blurred")
        segments = [
            Segment(self._letters(part.text), self._style(part.role, base, ground))
            for part in face.line
        ]
        return Strip(segments).adjust_cell_length(self.size.width, ground)

    @property
    def ink(self) -> Ink:
        if self._ink is None:
            self._ink = Ink(self, self.app.roles)
        return self._ink

    def notify_style_update(self) -> None:
        super().notify_style_update()
        ink, self._ink = self._ink, None
        if ink is not None and ink.is_stale:
            self.refresh()  # the widget's own styles may be the same in another theme

    def _letters(self, text: str) -> str:
        """The last door before the terminal: a text that nobody cleaned is cleaned here."""
        text = clean(text, newline=False)
        return in_ascii(text) if self.ascii_only and not text.isascii() else text

    def _style(self, role: str, base: Style, ground: Style) -> Style:
        if role not in ROLES:
            return ground
        style = self.ink.style(role)
        if ground is base or role == "match":
            return style
        return style + Style(
            bgcolor=ground.bgcolor,
            bold=ground.bold,
            underline=ground.underline,
            reverse=ground.reverse,
        )
