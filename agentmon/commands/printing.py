"""How the commands that read print: tables, streams of text, exact bytes."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

from agentmon import config
from agentmon.commands.options import utf8_output
from agentmon.report.table import Cell, Column, Painter, in_ascii, lines

SETTLE = 50
"""Rows that are waited for before columns get their widths."""


WIDE = 10_000


def width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def painter(settings: config.Settings) -> Painter:
    """Colours only on a terminal that wants them."""
    return Painter(settings.ui.ascii, sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    paint: Painter,
    *,
    nothing: str,
    wide: bool = False,
) -> None:
    """A table row by row, as wide as the terminal (or as it needs to be, `wide`); where there are
    no rows, a sentence on stderr."""
    utf8_output()
    coming = lines(columns, rows, WIDE if wide else width(), paint, settle_by=SETTLE)
    title, count = next(coming), 0
    for line in coming:
        sys.stdout.write(line + "\n" if count else f"{title}\n{line}\n")
        count += 1
        if count == 1:
            sys.stdout.flush()
    if not count:
        sys.stdout.flush()
        sys.stderr.write(f"agentmon: {nothing}\n")


def print_pieces(pieces: Iterable[str]) -> None:
    """Text as it comes; the first piece is out at once."""
    utf8_output()
    for number, piece in enumerate(pieces):
        sys.stdout.write(piece)
        if number < 8:
            sys.stdout.flush()


def print_bytes(pieces: Iterable[bytes]) -> None:
    """Exact bytes into a file or a pipe. On a terminal controls are shown, not obeyed."""
    if sys.stdout.isatty():
        from agentmon.report.bodies import cleaned

        print_pieces(cleaned(pieces))
        return
    sys.stdout.flush()
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def say_age(seconds: float) -> None:
    """That nobody keeps the store up to date, on stderr, where that matters."""
    if seconds >= 1:
        from agentmon.report.words import age

        sys.stderr.write(f"agentmon: as of {age(seconds)} ago, no agentmon runs\n")


def print_lines(found: Iterable[str], paint: Painter) -> None:
    """Lines as they come."""
    print_pieces((in_ascii(line) if paint.ascii else line) + "\n" for line in found)
