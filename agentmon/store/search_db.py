"""The file of the index, `search.db`: derived data, made anew whenever it is gone or unreadable.

Its rows are split by time into volumes, each a contentless FTS5 table: a query goes from the newest
volume to the oldest and stops when it has enough, and what is too old leaves a whole volume at a
time, since a contentless row cannot be deleted from SQLite 3.34 to 3.42. A `docid` is the time of a
text in 1/64 s (or the next one that is free), so that newest first and "since" are the order of the
table. A row that must not be found any more stays as a tombstone (kind 0).
"""

import contextlib
import os
import sqlite3
from pathlib import Path

from agentmon.store import db

NAME = "search.db"
VERSION = 1

_SCHEMA = """
CREATE TABLE docs (
  docid  INTEGER PRIMARY KEY,
  kind   INTEGER NOT NULL,
  owner  TEXT    NOT NULL,
  number INTEGER NOT NULL,
  key    INTEGER NOT NULL,
  mark   INTEGER NOT NULL
);
CREATE INDEX docs_by_key ON docs (key) WHERE kind > 0;
CREATE TABLE volumes (
  volume INTEGER PRIMARY KEY,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  docs   INTEGER NOT NULL,
  dead   INTEGER NOT NULL DEFAULT 0,
  bytes  INTEGER NOT NULL
);
CREATE TABLE todo (
  kind   INTEGER NOT NULL,
  owner  TEXT    NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (kind, owner, number)
) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
"""`key` is a hash of (kind, owner, number), `mark` one of the text; `bytes` is text that a volume
has read; `todo` is what a dropped volume still has to be asked for again."""

TICKS = 64
"""Docids in a second."""

MOST_TIME = 1 << 50


def path(data_dir: Path) -> Path:
    return data_dir / NAME


def docid_at(time: float) -> int:
    """The first docid of a moment, in epoch seconds; whatever is no time is 0."""
    ticks = time * TICKS
    return int(ticks) if 0 < ticks < MOST_TIME else 0


def words(volume: int) -> str:
    """The table of a volume."""
    return f"words_{volume}"


def open_writing(data_dir: Path, *, busy: float = 5.0) -> sqlite3.Connection:
    """Opens the index, made anew where there is none that can be used. Raises sqlite3.Error,
    OSError."""
    try:
        return _open(data_dir, busy)
    except sqlite3.DatabaseError as problem:
        if isinstance(problem, sqlite3.OperationalError):
            raise  # busy, full, read-only: it is not the file that is bad
        remove(data_dir)
        return _open(data_dir, busy)


def _open(data_dir: Path, busy: float) -> sqlite3.Connection:
    place = path(data_dir)
    if not place.exists():
        os.close(os.open(place, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    conn = sqlite3.connect(place, timeout=busy, isolation_level=None)
    try:
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")
        conn.execute("PRAGMA cache_size = -8192")
        conn.execute("PRAGMA temp_store = MEMORY")
        conn.execute("PRAGMA journal_size_limit = 8388608")
        _prepare(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def _prepare(conn: sqlite3.Connection) -> None:
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    with db.transaction(conn):
        (version,) = conn.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            return
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        for (name,) in conn.execute(f"{names} AND (sql LIKE 'CREATE VIRTUAL%')").fetchall():
            conn.execute(f'DROP TABLE "{name}"')
        for (name,) in conn.execute(names).fetchall():
            conn.execute(f'DROP TABLE "{name}"')
        for statement in _SCHEMA.split(";"):
            conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {VERSION}")


def open_reading(data_dir: Path) -> sqlite3.Connection | None:
    """Opens the index for reading; None where there is none that can be read."""
    place = path(data_dir)
    if not place.is_file():
        return None
    conn: sqlite3.Connection | None = None
    try:
        conn = sqlite3.connect(db.reading_uri(place), uri=True, timeout=db.BUSY_SECONDS)
        conn.isolation_level = None
        (version,) = conn.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            return conn
    except sqlite3.Error:
        pass
    if conn is not None:
        conn.close()
    return None


def remove(data_dir: Path) -> None:
    """Deletes the index; the next one that writes makes it anew."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path(data_dir)}{suffix}")


def size(conn: sqlite3.Connection) -> int:
    """Bytes in use, free pages not counted."""
    (pages,) = conn.execute("PRAGMA page_count").fetchone()
    (free,) = conn.execute("PRAGMA freelist_count").fetchone()
    (page,) = conn.execute("PRAGMA page_size").fetchone()
    return (pages - free) * page


def read_state(conn: sqlite3.Connection) -> dict[str, str]:
    return dict(conn.execute("SELECT name, value FROM state").fetchall())


def write_state(conn: sqlite3.Connection, name: str, value: object) -> None:
    conn.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, str(value)))
