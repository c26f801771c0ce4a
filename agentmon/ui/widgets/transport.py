"""The tape deck of a replay: how it plays and where it is, and the whole run as a line."""

import math
from collections.abc import Callable

from agentmon.core.landmarks import Kind
from agentmon.core.text import one_line
from agentmon.engine.feed import Feed, Transport
from agentmon.report import render
from agentmon.ui.parts import Line, Part, width_of
from agentmon.ui.widgets.sessions import View, clock_text
from agentmon.ui.widgets.strips import Face, LineWidget

WIDE = 100
"""Cells from which on the line of the run has its times at both ends."""

_PLACES: tuple[tuple[frozenset[Kind], str], ...] = (
    (frozenset({"error", "failed", "kill", "interrupt"}), "failed"),
    (frozenset({"stall", "overdue"}), "overdue"),
    (frozenset({"permission"}), "permission"),
)
"""Landmarks that stand in the line, the most important first, and the look that each has."""


class TransportBar(LineWidget):
    """Playing or paused, speed, clock, number and index; below that the line of the run, with its
    rounds, errors, stalls, waits and marks."""

    def __init__(self, *, id: str, view: View, feed: Feed) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.feed = feed
        self._drawn: tuple[object, list[Part]] = (None, [])

    def face(self, y: int) -> Face:
        transport = self.feed.transport
        if transport is None or y > 1:
            return Face()
        width = self.size.width
        return Face(self._words(transport, width) if y == 0 else self._run(transport, width))

    # -- how it plays

    def _words(self, transport: Transport, width: int) -> Line:
        gap = "  " if width >= 80 else " "
        speed = "max" if math.isinf(transport.speed) else f"{transport.speed:g}x"
        speed = f"{speed:<5}" if width >= 80 else speed
        parts = [Part(" "), self._state(transport), Part(f"{gap}{speed}{gap}")]
        parts.append(Part(clock_text(self.view.now), "strong"))
        number = f"#{transport.number}"
        if transport.total > transport.number:
            number += f"/{transport.total}{'' if transport.indexed is None else '+'}"
        position = max(0.0, min(1.0, transport.position))
        parts.append(Part(f"{gap}{number}{gap}{100 * position:.0f} %"))
        if transport.indexed is not None:
            parts.append(Part(f"{gap}index {100 * transport.indexed:.0f} %", "accent"))
        for text, role in self._more(transport):
            if width_of(parts) + len(gap) + len(text) <= width - 1:
                parts.append(Part(gap + text, role))
        note = self.feed.status().note
        room = width - width_of(parts) - len(gap) - 1
        if note and room >= 20:
            parts.append(Part(gap + one_line(note, room), "warning"))
        return tuple(parts)

    def _state(self, transport: Transport) -> Part:
        if self.view.moving:
            return Part("~ seeking" if self.ascii_only else "↻ seeking", "accent")
        if transport.ended:
            return Part("# ended" if self.ascii_only else "■ ended", "text-muted")
        if transport.playing:
            return Part("> playing" if self.ascii_only else "▶ playing", "success")
        return Part("|| paused" if self.ascii_only else "⏸ paused", "warning")

    def _more(self, transport: Transport) -> list[tuple[str, str]]:
        more: list[tuple[str, str]] = []
        if transport.idle is not None:
            more.append((f">> {render.age(transport.idle)} idle", "warning"))
        elif transport.collapses_idle:
            more.append((">> idle", "text-muted"))
        if transport.loop is not None:
            start, end = map(clock_text, transport.loop)
            more.append((f"loop {start}-{end}", "accent"))
        elif self.view.loop_start is not None:
            more.append((f"loop from {clock_text(self.view.loop_start)}", "accent"))
        if transport.marks:
            count = len(transport.marks)
            more.append((f"{count} mark{'' if count == 1 else 's'}", "text-muted"))
        return more

    # -- the run

    def _run(self, transport: Transport, width: int) -> Line:
        if width < WIDE:
            ends = Part(" "), Part(" ")
        else:
            times = map(clock_text, (transport.start, transport.end))
            ends = tuple(Part(f" {text} ", "text-muted") for text in times)
        room = max(0, width - width_of(ends))
        cells = self._cells(transport, room)
        here = min(room - 1, self._cell(transport, room)(self.view.now))
        full, rest = ("=", "-") if self.ascii_only else ("━", "─")
        unknown = "." if self.ascii_only else "·"
        known = room if transport.indexed is None else round(room * transport.indexed)
        shown: list[Part] = []
        for place, cell in enumerate(cells):
            if place == here:
                cell = Part("O" if self.ascii_only else "●", "title-focus")
            elif not cell.text:
                text = full if place < here else rest if place < known else unknown
                cell = Part(text, "accent" if place < here else "rule")
            if shown and shown[-1].role == cell.role:
                shown[-1] = Part(shown[-1].text + cell.text, cell.role)
            else:
                shown.append(cell)
        return (ends[0], *shown, ends[1])

    @staticmethod
    def _cell(transport: Transport, room: int) -> Callable[[float], int]:
        start, length = transport.start, transport.end - transport.start

        def place(moment: float) -> int:
            share = 0.0 if length <= 0 else (moment - start) / length
            return max(0, min(room - 1, int(share * room)))

        return place

    def _cells(self, transport: Transport, room: int) -> list[Part]:
        """What stands at each cell, "" where nothing does; drawn anew only when that changed."""
        landmarks, marks = transport.landmarks, transport.marks
        span = transport.start, transport.end, transport.loop, self.view.loop_start
        key = room, id(landmarks), len(landmarks), len(marks), span
        if self._drawn[0] == key:
            return self._drawn[1]
        cells = [Part("")] * room
        at = self._cell(transport, room)
        if room > 0:
            self._draw(transport, cells, at)
        self._drawn = key, cells
        return cells

    def _draw(self, transport: Transport, cells: list[Part], at: Callable[[float], int]) -> None:
        """The later drawn lies above."""
        landmarks = transport.landmarks
        for one in landmarks:
            if one.kind == "prompt":
                cells[at(one.time)] = Part("|" if self.ascii_only else "┃", "primary")
        for kinds, name in reversed(_PLACES):
            look = render.look(name)
            glyph = look.ascii if self.ascii_only else look.glyph
            for one in landmarks:
                if one.kind in kinds:
                    cells[at(one.time)] = Part(glyph, look.role)
        loop = transport.loop or (self.view.loop_start, None)
        for moment, bracket in zip(loop, "[]", strict=True):
            if moment is not None:
                cells[at(moment)] = Part(bracket, "accent")
        for mark in transport.marks:
            cells[at(mark.time)] = Part("M" if self.ascii_only else "⚑", "warning")
