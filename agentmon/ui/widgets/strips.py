"""Widgets that are lines: drawn on demand, repainted where what they show has changed."""

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from agentmon.core.text import clean
from agentmon.report.table import in_ascii
from agentmon.ui.parts import BLANK, Line

ROLES = (
    "success",
    "accent",
    "primary",
    "secondary",
    "warning",
    "error",
    "text-muted",
    "text-disabled",
    "strong",
    "rule",
    "rule-focus",
    "title",
    "title-focus",
    "cursor",
    "cursor-blurred",
    "match",
)


@dataclass(frozen=True)
class Face:
    """What one screen line shows; lines are repainted when their face changes."""

    line: Line = BLANK
    is_cursor: bool = False
    is_focused: bool = False


class LineWidget(Widget):
    """Remembers the face of each painted line; `sync` repaints those that differ now."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--{role}" for role in ROLES}

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self.ascii_only = ascii_only
        self._faces: dict[int, Face] = {}
        self._measured: Size | None = None

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
        face = self.face(y)
        self._faces[y] = face
        return self._strip(face)

    def _strip(self, face: Face) -> Strip:
        base = ground = self.rich_style
        if face.is_cursor:
            name = "cursor" if face.is_focused else "cursor-blurred"
            ground = base + self.get_component_rich_style(f"line--{name}")
        segments = [
            Segment(self._letters(part.text), self._style(part.role, base, ground))
            for part in face.line
        ]
        return Strip(segments).adjust_cell_length(self.size.width, ground)

    def _letters(self, text: str) -> str:
        """The last door before the terminal: a text that nobody cleaned is cleaned here."""
        text = clean(text, newline=False)
        return in_ascii(text) if self.ascii_only and not text.isascii() else text

    def _style(self, role: str, base: Style, ground: Style) -> Style:
        if role not in ROLES:
            return ground
        style = self.get_component_rich_style(f"line--{role}")
        if ground is base or role == "match":
            return style
        return style + Style(
            bgcolor=ground.bgcolor,
            bold=ground.bold,
            underline=ground.underline,
            reverse=ground.reverse,
        )
