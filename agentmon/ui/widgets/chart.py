"""The chart of a round: its blocks and tools as bars over a time axis, its sums above."""

from collections.abc import Hashable
from typing import cast

from msgspec import Struct

from agentmon.core.spans import Load
from agentmon.core.text import one_line
from agentmon.report import gantt, render
from agentmon.report.chart import sparkline
from agentmon.report.gantt import Window
from agentmon.report.round_spans import factor_text
from agentmon.report.words import brief, per_second
from agentmon.ui.parts import BLANK, Line, Part, justify, trim, width_of
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.strips import Face, LineWidget

HEAD = 4
"""Lines over the rows: title, sums, sparkline, axis."""

SCROLL = 4
"""Parts of the shown time of which one is scrolled at once."""

LEAST = 0.02
"""Seconds that are shown at least, however far one zooms in."""


class Sums(Struct, frozen=True):
    """What a round comes to."""

    first_token: float | None = None
    tokens_per_second: float | None = None
    load: Load = Load()
    errors: int = 0
    pending: int = 0


class ChartPane(KeyedPane):
    """One row a block, subagents below their call; the time axis zooms and scrolls."""

    NAME = "Round"

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.owner = ""
        self.state: Line = BLANK
        self.sums = Sums()
        self.words = "Reading…"
        """What an empty chart says."""
        self.origin = 0.0
        self.end = 0.0
        self.flow: dict[tuple[float, float, int], list[float | None]] = {}
        """Characters per second by (start, end, pieces), for the sparkline."""
        self._rows: dict[Hashable, gantt.Row] = {}
        self.shown: tuple[float, float] | None = None
        """(start, length) of what is shown; None: all of it."""

    def show(self, rows: list[gantt.Row], origin: float, end: float) -> None:
        """New rows; the cursor stays on its block."""
        self._rows = {row.key: row for row in rows}
        self.origin, self.end = origin, end
        self.set_keys([row.key for row in rows])

    @property
    def chosen(self) -> gantt.Row | None:
        return self._rows.get(self.cursor)

    # The time axis

    @property
    def window(self) -> Window:
        """The shown time and the cells that bars have."""
        start, length = self.shown or (self.origin, self.end - self.origin)
        return Window(start, start + length, self.shared.bars)

    @property
    def shared(self) -> gantt.Columns:
        return gantt.columns(self.size.width - 1)

    def zoom(self, factor: float) -> None:
        """Shows less or more time, around the chosen row."""
        whole = self.end - self.origin
        start, length = self.shown or (self.origin, whole)
        row = self.chosen
        middle = start + length / 2
        if row is not None and row.start is not None and row.end is not None:
            middle = min(max((row.start + row.end) / 2, start), start + length)
        length = max(LEAST, length / factor)
        self._show_time(middle - length / 2, length)

    def scroll_time(self, step: int) -> None:
        """Earlier or later, by a part of what is shown."""
        if self.shown is not None:
            start, length = self.shown
            self._show_time(start + step * length / SCROLL, length)

    def _show_time(self, start: float, length: float) -> None:
        whole = self.end - self.origin
        start = min(max(start, self.origin), max(self.origin, self.end - length))
        self.shown = (start, length) if length < whole else None
        self.sync()

    def see(self) -> None:
        """Scrolls the time so that the chosen row begins in sight."""
        row, zoom = self.chosen, self.shown
        if row is None or row.start is None or row.end is None or zoom is None:
            return
        start, length = zoom
        if row.end < start or row.start > start + length:
            self._show_time(row.start - length / SCROLL, length)

    # Drawing

    @property
    def head_height(self) -> int:
        return HEAD

    def title(self) -> tuple[Line, Line]:
        return (Part(f"{self.NAME} · {self.owner}" if self.owner else self.NAME),), self.state

    def empty(self) -> list[Line]:
        return [(Part(f" {self.words}", "text-muted"),)]

    def face(self, y: int) -> Face:
        width = self.size.width
        if y in (1, 2, 3) and not self.keys:
            return Face()
        match y:
            case 1:
                return Face(self._sums(width))
            case 2:
                return Face(self._spark())
            case 3:
                return Face((Part(self._lead()), Part(self._axis(), "text-muted")))
            case _:
                return super().face(y)

    def _lead(self) -> str:
        return " " * (self.shared.label + 4)

    def _axis(self) -> str:
        return gantt.axis(self.window, self.origin)

    def _sums(self, width: int) -> Line:
        sums = self.sums
        load = sums.load
        parts = [
            Part(f" first {brief(sums.first_token)}"),
            Part(f"{per_second(sums.tokens_per_second)} tok/s", "success"),
        ]
        if load.calls:
            words = f"{factor_text(load)}, most {load.most}" if width >= 76 else ""
            short = "" if load.factor is None else f" {load.factor:.2f} at once"
            parts.append(Part(words or f"tools{short}", "accent"))
        if sums.errors:
            plural = "" if sums.errors == 1 else "s"
            parts.append(Part(f"{sums.errors} error{plural}", "error"))
        if sums.pending:
            look = render.look("tool")
            glyph = look.ascii if self.ascii_only else look.glyph
            parts.append(Part(f"{glyph} {sums.pending} pending", look.role))
        line: list[Part] = []
        for part in parts:
            line += [Part("  ")] * bool(line) + [part]
        return trim(line, width)

    def _spark(self) -> Line:
        window = self.window
        values = self.flow.get((window.start, window.end, window.width))
        if values is None or not window.width:
            return BLANK
        top = max((value for value in values if value is not None), default=None)
        lead = f" {per_second(top)} char/s" if top is not None else " no deltas"
        label = one_line(lead[1:], self.shared.label)
        text = sparkline(values, ascii=self.ascii_only)
        return (
            Part(f" {label}".ljust(self.shared.label + 4), "text-muted"),
            Part(text, "success"),
        )

    def draw(self, index: int, width: int) -> Line:
        row = self._rows[self.keys[index]]
        shared = self.shared
        role = "error" if row.block is not None and row.block.is_error else ""
        role = "strong" if row.agent is not None else role
        head = (
            Part(" "),
            Part(gantt.label(row, shared.label), role),
            Part(" * " if row.is_critical else "   ", "warning"),
        )
        bars = gantt.bar_cells(row.bars, self.window, ascii=self.ascii_only)
        took = Part(gantt.length(row), "accent" if row.is_open else "text-muted")
        line = (*head, *(Part(cell.text, cell.role) for cell in bars))
        pad = width - width_of(line) - len(took.text) - 1
        if pad < 0:
            return justify(line, (took,), width)
        return (*line, Part(" " * pad), took, Part(" "))


class Detail(LineWidget):
    """What is known of the chosen row, in a few lines below a rule."""

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.lines: list[Line] = []

    def face(self, y: int) -> Face:
        width = self.size.width
        if y == 0:
            return Face((Part(("-" if self.ascii_only else "─") * width, "rule"),))
        return Face(trim(self.lines[y - 1], width)) if y <= len(self.lines) else Face()


def row_key(key: Hashable | None) -> tuple[str, ...] | None:
    """A cursor key of the chart, typed."""
    return cast("tuple[str, ...]", key) if isinstance(key, tuple) else None
