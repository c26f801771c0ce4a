"""Lines as data: text with a role, columns that give way, fitted to a width. Pure.

Roles are names of theme variables (`success`, `text-muted`, …) or of the pane's own component
classes; what colour they are is the style sheet's business.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from agentmon.core.text import cells, fit, one_line
from agentmon.report.table import fitted


class Part(NamedTuple):
    """A piece of a line. The text is already clean."""

    text: str
    role: str = ""


Line = tuple[Part, ...]

BLANK: Line = ()


def width_of(line: Sequence[Part]) -> int:
    return sum(cells(part.text) for part in line)


def trim(line: Sequence[Part], width: int) -> Line:
    """The line in at most `width` cells, its end replaced by "…" where it is longer."""
    if width_of(line) <= width:
        return tuple(line)
    kept: list[Part] = []
    room = width
    for part in line:
        size = cells(part.text)
        if size > room - 1:
            kept.append(Part(one_line_end(part.text, room), part.role))
            break
        kept.append(part)
        room -= size
    return tuple(kept)


def one_line_end(text: str, room: int) -> str:
    """The start of a text and "…", in at most `room` cells, even where the text would just fit."""
    if room <= 0:
        return ""
    if cells(text) <= room:
        text += "…"
    return fit(text, room).rstrip(" ")


def justify(left: Sequence[Part], right: Sequence[Part], width: int, *, gap: int = 1) -> Line:
    """Left and right ends of a line; the left one is cut first, the right one goes if it must."""
    space = width_of(right)
    if not right or space + gap + 4 > width:
        return trim(left, width)
    head = trim(left, width - space - gap)
    return (*head, Part(" " * (width - space - width_of(head))), *right)


class Column(Struct, frozen=True):
    """A column of a table pane. Lower `priority` gives way later; 0 never does.

    `width` is its least width in cells; columns with `grow` share what is left, up to `most`.
    """

    name: str
    width: int
    priority: int = 0
    grow: int = 0
    most: int = 0
    right: bool = False
    keep_end: bool = False
    """A text that is too long loses its start: paths."""
    heading: str = ""


class Slot(NamedTuple):
    """A column with the width it got."""

    column: Column
    width: int


def arrange(columns: Sequence[Column], width: int) -> list[Slot]:
    """The columns that fit, one blank apart, in their own order."""
    kept = list(columns)

    def needed() -> int:
        return sum(column.width for column in kept) + len(kept) - 1

    while needed() > width and any(column.priority for column in kept):
        kept.remove(max(kept, key=lambda column: column.priority))
    widths = {column.name: column.width for column in kept}
    _share(kept, widths, width - needed())
    return [Slot(column, widths[column.name]) for column in kept]


def _share(columns: Sequence[Column], widths: dict[str, int], spare: int) -> None:
    """Gives spare cells to growing columns, by their weight, until they have their most."""
    while spare > 0:
        hungry = [c for c in columns if c.grow and (not c.most or widths[c.name] < c.most)]
        if not hungry:
            return
        total = sum(column.grow for column in hungry)
        given = 0
        for column in hungry:
            share = max(1, spare * column.grow // total)
            if column.most:
                share = min(share, column.most - widths[column.name])
            share = min(share, spare - given)
            widths[column.name] += share
            given += share
        spare -= given


def table_line(slots: Sequence[Slot], cells_by_name: Mapping[str, Part]) -> Line:
    """One row of a table pane: each text fitted into its slot."""
    parts: list[Part] = []
    for number, (column, width) in enumerate(slots):
        text, role = cells_by_name.get(column.name, Part(""))
        short = keep_end(text, width) if column.keep_end else fitted(text, width)
        pad = " " * max(0, width - cells(short))
        if number:
            parts.append(Part(" "))
        parts.append(Part(pad + short if column.right else short + pad, role))
    return tuple(parts)


def keep_end(text: str, width: int) -> str:
    """The end of a text on one line, "…" before it where it is longer than `width` cells."""
    whole = one_line(text, len(text) * 8 + 8)
    if cells(whole) <= width:
        return whole
    start = max(0, len(whole) - width + 1)
    while start < len(whole) and cells(whole[start:]) > width - 1:
        start += 1
    return "…" + whole[start:] if width > 0 else ""


def heading_line(slots: Sequence[Slot]) -> Line:
    """The names of the columns over a table pane."""
    names = {c.name: Part(c.heading, "text-muted") for c, _ in slots}
    return table_line(slots, names)
