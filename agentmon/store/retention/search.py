"""The seam to the full text index: a session that leaves is forgotten there, too."""

import sqlite3


def forget_some(conn: sqlite3.Connection, sid: str) -> bool:
    """Takes a session out of the index, in a transaction of its own; True if there is more.

    There is no index yet.
    """
    return False


def size(conn: sqlite3.Connection) -> int | None:
    """Bytes of the index itself, None where there is none."""
    sql = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%USING fts5%'"
    names = [name for (name,) in conn.execute(sql)]
    if not names:
        return None
    sql = "SELECT TOTAL(LENGTH(block)) FROM {}_data"
    return sum(int(conn.execute(sql.format(name)).fetchone()[0]) for name in names)
