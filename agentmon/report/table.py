"""Tables of text for a terminal or a pipe: columns that give way as the width shrinks.

Knows nothing of what it shows. Cells hold raw text; it is cleaned here.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from msgspec import Struct

from agentmon.core.text import cells, one_line

GAP = 2
"""Blanks between two columns."""


class Cell(Struct, frozen=True):
    """A text with its colour: `role` names a theme variable without its "$"."""

    text: str
    role: str = ""
    bold: bool = False
    dim: bool = False


class Column(Struct, frozen=True):
    """A column of `least` to `most` cells; the highest `keep` is dropped first, 0 never."""

    title: str
    least: int
    most: int
    keep: int = 0
    right: bool = False


_SGR = {
    "success": "32",
    "accent": "36",
    "warning": "33",
    "error": "31",
    "text-muted": "90",
    "text-disabled": "90",
}
_PLAIN = str.maketrans(
    {"—": "-", "…": "~", "·": "|", "└": "`", "×": "x", "±": "=", "≠": "#", "→": ">", "←": "<"}
)


class Painter(Struct, frozen=True):
    """How cells reach the terminal: with SGR colours or without, in ASCII or not."""

    ascii: bool = False
    color: bool = False

    def __call__(self, cell: Cell) -> str:
        text = in_ascii(cell.text) if self.ascii else cell.text
        codes = ["1"] * cell.bold + ["2"] * cell.dim
        codes += [_SGR[cell.role]] if cell.role in _SGR else []
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.color and codes else text


def in_ascii(text: str) -> str:
    """A cleaned text in ASCII, of the same width: what has no stand-in becomes question marks."""
    plain = text.translate(_PLAIN)
    return "".join(char if char.isascii() else "?" * cells(char) for char in plain)


def fitted(text: str, width: int) -> str:
    """Any text on one line of at most `width` cells. Blanks it begins with stay: they indent."""
    lead = len(text) - len(text.lstrip(" "))
    if lead >= width:
        return ""
    return " " * lead + one_line(text[lead:], width - lead)


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, paint: Painter
) -> list[str]:
    """The title line and one line for each row, of at most `width` cells.

    A column is as wide as its content needs. Where that is too much, the least important columns
    go and the rest is cut; only when even the columns that always stay have no room at their
    least width are lines longer than `width`.
    """
    return list(lines(columns, rows, width, paint, settle_by=len(rows)))


def lines(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    width: int,
    paint: Painter,
    *,
    settle_by: int = 200,
) -> Iterator[str]:
    """The same line by line; the first rows, `settle_by` of them, settle how wide columns are."""
    coming = iter(rows)
    first = list(islice(coming, settle_by))
    titles = [Cell(column.title, dim=True) for column in columns]
    texts = [
        [fitted(cell.text, column.most) for cell, column in zip(row, columns, strict=True)]
        for row in (titles, *first)
    ]
    wanted = [max(cells(row[at]) for row in texts) for at in range(len(columns))]
    widths = _widths(columns, wanted, width)
    for row in chain((titles, *first), coming):
        yield _line(columns, row, widths, paint)


def _line(
    columns: Sequence[Column], row: Sequence[Cell], widths: Sequence[int], paint: Painter
) -> str:
    parts: list[str] = []
    for cell, column, room in zip(row, columns, widths, strict=True):
        if not room:
            continue
        text = fitted(cell.text, room)
        blanks = " " * (room - cells(text))
        painted = paint(Cell(text, cell.role, cell.bold, cell.dim)) if text else ""
        parts.append(blanks + painted if column.right else painted + blanks)
    return (" " * GAP).join(parts).rstrip()


def _widths(columns: Sequence[Column], wanted: Sequence[int], width: int) -> list[int]:
    """A width for each column; 0 for those dropped."""
    least = [min(want, column.least) for want, column in zip(wanted, columns, strict=True)]
    kept = list(range(len(columns)))
    while sum(least[at] + GAP for at in kept) - GAP > width:
        last = max(kept, key=lambda at: columns[at].keep)
        if columns[last].keep == 0:
            break
        kept.remove(last)
    widths = [least[at] if at in kept else 0 for at in range(len(columns))]
    spare = max(width - sum(widths) - GAP * (len(kept) - 1), 0)
    for at in sorted(kept, key=lambda at: columns[at].keep):
        more = min(spare, wanted[at] - widths[at])
        widths[at] += more
        spare -= more
    return widths
