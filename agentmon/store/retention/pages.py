"""Giving back to the file system what a smaller database does not need: in small steps."""

import shutil
import sqlite3
from pathlib import Path

from agentmon.store import db

PAGES = 128
"""Pages given back in one step: half a megabyte, some milliseconds."""

_INCREMENTAL = 2


def is_incremental(conn: sqlite3.Connection) -> bool:
    """Whether free pages can be given back in steps: so it is for a database that was made for it;
    an older one becomes it by `compact`."""
    return conn.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL


def give_back_some(conn: sqlite3.Connection) -> bool:
    """Gives back some free pages; True if there are more."""
    if not is_incremental(conn):
        return False
    conn.execute(f"PRAGMA incremental_vacuum({PAGES})").fetchall()
    return conn.execute("PRAGMA freelist_count").fetchone()[0] > 0


def truncate_wal(conn: sqlite3.Connection) -> bool:
    """Empties the write-ahead log, if nobody reads just now; waits for nobody."""
    conn.execute("PRAGMA busy_timeout = 0")
    try:
        (busy, _, _) = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    except sqlite3.OperationalError:
        return False
    finally:
        conn.execute(f"PRAGMA busy_timeout = {round(db.BUSY_SECONDS * 1000)}")


def compact(conn: sqlite3.Connection, data_dir: Path) -> None:
    """Writes the whole database anew, without free pages, so that later ones can be given back in
    steps. Raises StoreError where there is no room for two, and sqlite3.Error."""
    used = conn.execute("PRAGMA page_count").fetchone()[0]
    needed = 2 * used * conn.execute("PRAGMA page_size").fetchone()[0]
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        raise db.StoreError(
            f"there is no room to compact the store in {data_dir}: it takes {needed >> 20} MB, "
            f"and {free >> 20} MB are free"
        )
    conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
    conn.execute("VACUUM")
    truncate_wal(conn)
