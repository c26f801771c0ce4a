"""Rows of any query as a table, CSV or JSON. NULL is "—" in a table, empty in CSV, null in JSON; a
blob is SQL's own x'…', shortened in a table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentmon.report.bodies import csv_lines
from agentmon.report.table import Cell, Column
from agentmon.report.words import UNKNOWN, size

Row = Sequence[Any]

BLOB_BYTES = 16
"""First bytes of a blob that a table shows."""


def columns(names: Sequence[str], most: int) -> list[Column]:
    """Columns of at most so many cells."""
    return [Column(name, min(8, max(3, len(name))), most) for name in names]


def cells(row: Row) -> list[Cell]:
    return [_cell(value) for value in row]


def _cell(value: object) -> Cell:
    if value is None:
        return Cell(UNKNOWN, dim=True)
    if isinstance(value, bytes):
        more = "…" if len(value) > BLOB_BYTES else ""
        return Cell(f"x'{value[:BLOB_BYTES].hex()}{more}' ({size(len(value))})", "text-muted")
    if isinstance(value, float):
        return Cell(number(value))
    return Cell(str(value))


def number(value: float) -> str:
    """As SQLite prints it: 15 digits tell a time to the microsecond."""
    return f"{value:.16g}" if math.isfinite(value) else str(value)


def as_csv(names: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """A title line and a line for each row; floats as precise as they are."""
    yield from csv_lines(_lines(names, rows))


def _lines(names: Sequence[str], rows: Iterable[Row]) -> Iterator[Row]:
    yield names
    for row in rows:
        yield [_literal(value) if isinstance(value, bytes) else value for value in row]


def _literal(value: bytes) -> str:
    return f"x'{value.hex()}'"


def records(names: Sequence[str], rows: Iterable[Row]) -> Iterator[dict[str, object]]:
    """Objects for JSON; a name that comes twice gets a number."""
    keys = unique(names)
    for row in rows:
        yield dict(zip(keys, map(_plain, row), strict=True))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return _literal(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def unique(names: Sequence[str]) -> list[str]:
    """The names, a repeated one as name_2, name_3."""
    found: list[str] = []
    for name in names:
        key, number = name, 1
        while key in found:
            number += 1
            key = f"{name}_{number}"
        found.append(key)
    return found
