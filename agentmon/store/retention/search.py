"""The seam to the full text index, which is a file of its own beside the database.

A hit without its row is dropped, so nothing is wrong while the index knows too much or too little:
it is told when a session's rows are gone, and when they are back.
"""

import sqlite3
from pathlib import Path

NAME = "search.db"


def forget(data_dir: Path, sid: str) -> None:
    """The rows of a session are gone. Raises OSError and sqlite3.Error.

    There is nothing to tell as long as nothing indexes.
    """


def come_back(conn: sqlite3.Connection, sid: str) -> None:
    """The rows of a session are back; in the transaction that puts it on the board.

    There is nothing to tell as long as nothing indexes.
    """


def size(data_dir: Path) -> int | None:
    """Bytes of the index, None where there is none."""
    found = [path.stat().st_size for path in data_dir.glob(f"{NAME}*")]
    return sum(found) if found else None
