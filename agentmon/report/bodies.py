"""Texts that may be large, piece by piece: indented and cleaned for a terminal, or as JSON."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from agentmon.core.text import clean, json_text
from agentmon.store.content import decoded

LONG_LINE = 1 << 16
"""Characters of a line that are held until its end; a longer one is passed on in parts."""


def cleaned(pieces: Iterable[bytes], indent: str = "") -> Iterator[str]:
    """Text for a terminal: every line cleaned, indented and ended."""
    rest, is_begun = "", False
    for text in decoded(pieces):
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield ("" if is_begun else indent) + clean(line) + "\n"
            is_begun = False
        while len(rest) > LONG_LINE:
            part, rest = rest[:LONG_LINE], rest[LONG_LINE:]
            yield ("" if is_begun else indent) + clean(part)
            is_begun = True
    if rest:
        yield ("" if is_begun else indent) + clean(rest)
    if rest or is_begun:
        yield "\n"


def json_with(
    record: Mapping[str, object], name: str, pieces: Iterable[bytes] | None
) -> Iterator[str]:
    """A record as JSON with one more field, a text that comes in pieces; None: it is null."""
    if pieces is None:
        yield json_text({**record, name: None})
        return
    head = json_text({**record, name: ""})
    yield head[:-2]
    for text in decoded(pieces):
        yield json_text(text)[1:-1]
    yield '"}'


def json_rows(rows: Iterable[object]) -> Iterator[str]:
    """A JSON array, one row a line, each as soon as it is there."""
    mark = "[\n"
    for row in rows:
        yield mark + json_text(row)
        mark = ",\n"
    yield "[]\n" if mark == "[\n" else "\n]\n"


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """CSV line by line; None is empty."""
    line = io.StringIO()
    write = csv.writer(line, lineterminator="\n").writerow
    for row in rows:
        write(row)
        yield line.getvalue()
        line.seek(0)
        line.truncate()
