"""Opening a store to write it: lock, schema, recovery; and what it remembers of its inputs."""

import sqlite3
from pathlib import Path

from agentmon.store import db
from agentmon.store.deltas import DeltaFiles, flatten
from agentmon.store.statements import SourceValues
from agentmon.store.write import recover


class OpenStore:
    """A store opened for writing by this process. Raises StoreError; close it in a finally."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        db.make_folder(data_dir)
        self._lock = db.WriterLock(data_dir)
        self._lock.acquire()
        try:
            self.conn = db.create(data_dir)
            _put_texts_in_place(self.conn, data_dir)
            files = DeltaFiles(data_dir)
            recover(self.conn, files)
            _finish_ways(self.conn, files)
        except BaseException as problem:
            self._lock.release()
            if isinstance(problem, sqlite3.Error | OSError):
                raise db.StoreError(db.cannot(data_dir, "use", problem)) from problem
            raise

    def known_sources(self) -> list[SourceValues]:
        return known_sources(self.conn)

    def close(self) -> None:
        self.conn.close()
        self._lock.release()


def known_sources(conn: sqlite3.Connection) -> list[SourceValues]:
    """Every input the store has read from, and how far."""
    names = SourceValues.__struct_fields__
    rows = conn.execute(f"SELECT {', '.join(names)} FROM sources ORDER BY source_id")
    return [SourceValues(*row) for row in rows]


def _put_texts_in_place(conn: sqlite3.Connection, data_dir: Path) -> None:
    """No part of a migration: only who holds the lock may move texts."""
    (layout,) = conn.execute("PRAGMA user_version").fetchone()
    if layout < db.LAYOUT:
        flatten(data_dir)
        conn.execute(f"PRAGMA user_version = {db.LAYOUT}")


_UNDER_WAY = """
SELECT 1 FROM removals WHERE state IN ('archiving', 'leaving', 'returning') LIMIT 1
"""


def _finish_ways(conn: sqlite3.Connection, files: DeltaFiles) -> None:
    """Sessions that were on their way out or back when a crash came."""
    if conn.execute(_UNDER_WAY).fetchone() is not None:
        from agentmon.store.retention import leaving

        leaving.recover(conn, files)
