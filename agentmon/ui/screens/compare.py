"""The Compare view: a session beside the marked one, and where they part."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agentmon.core.comparing import Divergence, Side
from agentmon.report import compare
from agentmon.report.compare import Comparison
from agentmon.ui import beside
from agentmon.ui.parts import Line, Part
from agentmon.ui.screens.page import Page
from agentmon.ui.sites import Site
from agentmon.ui.widgets.lines import LinePane

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen


class ComparePane(LinePane):
    """A comparison in lines made for the width that there is."""

    NAME = "Compare"

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.found: Comparison | None = None
        self._lines: list[Line] = []
        self._width = 0

    def show(self, found: Comparison) -> None:
        self.found = found
        self._make()
        self.scroll_rows(self.top)

    def reflow(self) -> None:
        if self.size.width != self._width:
            self._make()
        super().reflow()

    def _make(self) -> None:
        self._width = self.size.width
        if self.found is not None and self._width:
            self._lines = beside.lines(self.found, self._width)

    @property
    def count(self) -> int:
        return len(self._lines)

    def title(self) -> tuple[Line, Line]:
        names = " · ".join(self.found.names) if self.found is not None else ""
        place = f"{min(self.top + self.page, self.count)}/{self.count}"
        right = f"{place}  " if self.count > self.page else ""
        right += "Enter goes there · Esc back" if self.size.width >= 70 else ""
        return (Part(f"{self.NAME} · {names}"),), (Part(right, "text-muted"),)

    def empty(self) -> list[Line]:
        return [(Part(" Reading both sessions…", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        return self._lines[index]


class ComparePage(Page[Comparison]):
    """Enter goes to where the two part, in the second session if it has something there."""

    PANEL = "compare"

    def __init__(self, below: "MainScreen", sids: tuple[str, str]) -> None:
        super().__init__(below)
        self.sids = sids
        self.lines = ComparePane(id="compare", ascii_only=self.view.ascii_only)
        self._top = 0

    def panes(self) -> Sequence[LinePane]:
        return (self.lines,)

    def question(self) -> Callable[[sqlite3.Connection], Comparison]:
        return partial(compare.load, data_dir=self.feed.data_dir, sids=self.sids)

    def show(self, found: Comparison) -> None:
        self.lines.show(found)
        if self._top:
            self.lines.scroll_rows(self._top)
            self._top = 0

    def do_open(self) -> None:
        found = self.lines.found
        if found is None:
            return
        parting = found.divergences[0]
        side = place_of(parting)
        if parting is None or side is None:
            self.say("They do not part anywhere", "success")
            return
        note = compare.WORDS[parting.what]
        self.dismiss(
            Site("parting", side.sid, "", 0.0, side.round_id, side.flow_id, side.index, note)
        )

    def again(self) -> "ComparePage":
        page = ComparePage(self.below, self.sids)
        page._top = self.lines.top
        return page


def place_of(parting: Divergence | None) -> Side | None:
    """The side of a divergence to look at: the one where something is, the second one first."""
    if parting is None:
        return None
    sides = (parting.other, parting.one)
    there = [side for side in sides if side.value is not None] or list(sides)
    return next((side for side in there if side.round_id is not None), None)
