"""The base of all panes: a title line and rows drawn on demand, repainting only what changed.

A pane draws the rows that are on the screen and remembers what it drew; `sync` draws them again and
repaints the lines that differ. So data, cursor and ticking ages all take one path, and the cost
depends on the visible rows only. Panes scroll themselves: no scroll bars, no layout.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.message import Message

from agentmon.core.text import cells
from agentmon.ui.parts import BLANK, Line, Part, justify, trim
from agentmon.ui.widgets.strips import Face, LineWidget


class LinePane(LineWidget, can_focus=True):
    """A titled pane of `count` rows of which `draw` makes one on demand."""

    NUMBER = 0
    NAME = ""

    @dataclass
    class Touched(Message):
        """A person moved or clicked in the pane."""

        pane: "LinePane"

        @property
        def control(self) -> "LinePane":
            return self.pane

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.top = 0

    # What a pane says about itself

    @property
    def count(self) -> int:
        raise NotImplementedError

    def draw(self, index: int, width: int) -> Line:
        """The text of row `index`, at most `width` cells."""
        raise NotImplementedError

    def title(self) -> tuple[Line, Line]:
        """Left and right part of the title line, without rule and number."""
        return (Part(self.NAME),), BLANK

    def heading(self, width: int) -> Line | None:
        """A fixed line between title and rows, such as the names of columns."""
        return None

    def empty(self) -> Sequence[Line]:
        """What is shown when there is no row: what to do about it."""
        return ()

    # Geometry

    @property
    def head_height(self) -> int:
        """Lines over the rows: the title, perhaps a heading."""
        return 2 if self.heading(self.size.width) is not None else 1

    @property
    def page(self) -> int:
        """How many rows fit."""
        return max(1, self.size.height - self.head_height)

    @property
    def last_top(self) -> int:
        return max(0, self.count - self.page)

    def scroll_rows(self, top: int) -> None:
        """Shows the rows from `top`, clamped."""
        top = max(0, min(top, self.last_top))
        if top != self.top:
            self.top = top
        self.sync()

    def on_resize(self, event: events.Resize) -> None:
        """The first paint in the new size may have come before this."""
        self.reflow()
        self.refresh()

    def reflow(self) -> None:
        """Finds the place again in a new size."""
        self.top = max(0, min(self.top, self.last_top))

    # Drawing

    def is_cursor_row(self, index: int) -> bool:
        return False

    def fitted(self, index: int, width: int) -> Line:
        """A row, cut where it is too long."""
        return trim(self.draw(index, width), width)

    def face(self, y: int) -> Face:
        width = self.size.width
        if y == 0:
            return Face(self._title_line(width), False, self.has_focus)
        heading = self.heading(width)
        if heading is not None and y == 1:
            return Face(heading)
        index = self.top + y - self.head_height
        if index < self.count:
            is_cursor = self.is_cursor_row(index)
            line = self.fitted(index, width)
            return Face(line, is_cursor, is_cursor and self.has_focus)
        if self.count == 0:
            lines = self.empty()
            place = y - self.head_height
            return Face(trim(lines[place], width)) if place < len(lines) else Face()
        return Face()

    def _title_line(self, width: int) -> Line:
        """A rule with number, name and a right part; heavy where the pane has the focus."""
        focused = self.has_focus
        rule = ("=" if focused else "-") if self.ascii_only else ("━" if focused else "─")
        rule_role = "rule-focus" if focused else "rule"
        title_role = "title-focus" if focused else "title"
        left, right = self.title()
        head = (
            Part(rule, rule_role),
            Part(f" {self.NUMBER} " if self.NUMBER else " ", title_role),
            *(Part(part.text, part.role or title_role) for part in left),
            Part(" "),
        )
        tail: Line = (Part(" "), *right, Part(" "), Part(rule, rule_role)) if right else BLANK
        line = justify(head, tail, width, gap=0)
        return tuple(
            Part(rule * len(part.text), rule_role) if _is_gap(part) else part
            for part in (*line, Part(" " * max(0, width - sum(cells(p.text) for p in line))))
        )

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    # Moving

    def move(self, how: str) -> None:
        """Scrolls: up, down, top, bottom, page_up, page_down, half_up, half_down."""
        self.scroll_rows(self.top + self.distance(how, self.top))
        self.post_message(self.Touched(self))

    def distance(self, how: str, place: int) -> int:
        """How many rows a move goes from a place; clamped by the caller."""
        match how:
            case "up":
                return -1
            case "down":
                return 1
            case "top":
                return -place
            case "bottom":
                return self.count
            case "page_up":
                return -self.page
            case "page_down":
                return self.page
            case "half_up":
                return -max(1, self.page // 2)
            case "half_down":
                return max(1, self.page // 2)
            case _:
                raise ValueError(how)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_rows(self.top + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_rows(self.top - 3)


def _is_gap(part: Part) -> bool:
    return len(part.text) > 1 and part.text.isspace()


class KeyedPane(LinePane):
    """Rows with keys and a cursor. The cursor stays on its key, at its place on the screen."""

    STAYS_AT_TOP: ClassVar[bool] = False
    """Whether rows that come above the first one in sight push it down, rather than stay unseen."""

    @dataclass
    class Chosen(Message):
        """The cursor came to another row; `by_person` or because rows changed."""

        pane: "KeyedPane"
        key: Hashable
        by_person: bool

        @property
        def control(self) -> "KeyedPane":
            return self.pane

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.keys: list[Hashable] = []
        self.cursor: Hashable | None = None
        self._places: dict[Hashable, int] = {}

    @property
    def count(self) -> int:
        return len(self.keys)

    @property
    def cursor_index(self) -> int:
        """Where the cursor is; 0 without rows."""
        return self._places.get(self.cursor, 0) if self.cursor is not None else 0

    def is_cursor_row(self, index: int) -> bool:
        return self.cursor is not None and self._places.get(self.cursor) == index

    def heir(self, key: Hashable | None) -> Hashable | None:
        """The row that takes the cursor where a row vanishes; None: the one in its place."""
        return None

    def set_keys(self, keys: Sequence[Hashable]) -> None:
        """New rows. A vanished cursor row hands the cursor to the row now in its place."""
        place = self.cursor_index
        offset = place - self.top
        self.keys = list(keys)
        self._places = {key: index for index, key in enumerate(self.keys)}
        before = self.cursor
        if self.cursor not in self._places:
            heir = self.heir(self.cursor)
            if heir in self._places:
                self.cursor = heir
            else:
                self.cursor = self.keys[min(place, len(self.keys) - 1)] if self.keys else None
        stays = self.STAYS_AT_TOP and self.top == 0 and self.cursor_index < self.page
        self.top = 0 if stays else max(0, min(self.cursor_index - offset, self.last_top))
        self.sync()
        if self.cursor != before:
            self.post_message(self.Chosen(self, self.cursor, by_person=False))

    def choose(self, key: Hashable, *, by_person: bool = False) -> bool:
        """Puts the cursor on a row, in sight; false where there is no such row."""
        if key not in self._places:
            return False
        moved = key != self.cursor
        self.cursor = key
        self._into_sight()
        if moved:
            self.post_message(self.Chosen(self, key, by_person))
        return True

    def _into_sight(self) -> None:
        index = self.cursor_index
        self.scroll_rows(max(min(self.top, index), index - self.page + 1))

    def reflow(self) -> None:
        index = self.cursor_index
        self.top = max(min(self.top, index), index - self.page + 1)
        super().reflow()

    def move(self, how: str) -> None:
        if self.keys:
            place = self.cursor_index
            target = max(0, min(place + self.distance(how, place), self.count - 1))
            self.choose(self.keys[target], by_person=True)
        self.post_message(self.Touched(self))

    def on_click(self, event: events.Click) -> None:
        index = self.top + event.y - self.head_height
        if 0 <= index < self.count and event.y >= self.head_height:
            self.choose(self.keys[index], by_person=True)
