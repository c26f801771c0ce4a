"""What the full text index, a file of its own beside the database, is told of sessions that go and
come back.

A hit without its row is dropped, so nothing is wrong while the index knows too much or too little.
"""

import sqlite3
from pathlib import Path

from agentmon.store import search_db, search_index, search_queue


def forget(data_dir: Path, sid: str) -> None:
    """The rows of a session are gone. Raises OSError and sqlite3.Error."""
    search_index.forget(data_dir, [sid])


def come_back(conn: sqlite3.Connection, sid: str) -> None:
    """The rows of a session are back; in the transaction that puts it on the board."""
    search_queue.enqueue_session(conn, sid)


def size(data_dir: Path) -> int | None:
    """Bytes of the index, None where there is none."""
    found = [path.stat().st_size for path in data_dir.glob(f"{search_db.path(data_dir).name}*")]
    return sum(found) if found else None
