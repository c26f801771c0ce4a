"""The store's folder and database: opening, pragmas, migrations, the writer's lock.

Errors a person can act on are `StoreError`, each one sentence.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    Folder = str | os.PathLike[str]

SCHEMA_VERSION = 5
LAYOUT = 1
"""How texts lie (`deltas`), as `user_version` has it."""
DB_NAME = "agentmon.db"
LOCK_NAME = "writer.lock"
BUSY_SECONDS = 5.0


# sqlite3 asks each value of these kinds whether it wants to be another one, by two attributes that
# it has not: half a microsecond, and most columns of most rows are empty or yes or no
_NOTHING: dict[None, None] = {}
sqlite3.register_adapter(type(None), _NOTHING.get)
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)


class StoreError(Exception):
    """The store can't be used; the message says why and what to do, in one sentence."""


def database(data_dir: Path) -> Path:
    return data_dir / DB_NAME


def make_folder(data_dir: Folder) -> None:
    """Makes the data folder, for its owner only. Raises StoreError."""
    try:
        os.makedirs(data_dir, mode=0o700, exist_ok=True)
    except OSError as problem:
        raise StoreError(cannot(data_dir, "write to", problem)) from problem


def create(data_dir: Folder) -> sqlite3.Connection:
    """Opens the store for writing, making or migrating it first.

    Raises StoreError: not writable, not a database, newer than this program.
    """
    make_folder(data_dir)
    path = os.path.join(data_dir, DB_NAME)
    try:
        conn = _connect(path)
    except (OSError, sqlite3.Error) as problem:
        raise StoreError(cannot(data_dir, "write to", problem)) from problem
    try:
        _prepare(conn)
        os.chmod(path, 0o600)
    except sqlite3.Error as problem:
        conn.close()
        raise StoreError(cannot(data_dir, "use", problem)) from problem
    except OSError:
        return conn  # another owner: the mode is theirs to set
    except BaseException:
        conn.close()
        raise
    return conn


def _connect(path: str) -> sqlite3.Connection:
    if not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    conn = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    if not os.stat(path).st_size:
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heard before the first table is made
    conn.execute("PRAGMA journal_mode = WAL")
    _tune(conn)
    return conn


def _tune(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA synchronous = NORMAL")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.execute("PRAGMA cache_size = -8192")
    conn.execute("PRAGMA wal_autocheckpoint = 4000")


def _prepare(conn: sqlite3.Connection) -> None:
    """A fresh database gets the schema, an older one its migrations, a newer one is refused."""
    version = version_of(conn)
    if version == SCHEMA_VERSION:
        return
    from agentmon.store.migrations import MIGRATIONS  # seldom needed

    if version is not None and version > SCHEMA_VERSION:
        raise _too_new(version)
    if version is None:
        with transaction(conn):
            if version_of(conn) is None:
                for statement in _schema():
                    conn.execute(statement)
                conn.execute(f"PRAGMA user_version = {LAYOUT}")
                _set_version(conn, SCHEMA_VERSION)
        return
    due = [(number, migrate) for number, migrate in MIGRATIONS if number > version]
    for number, migrate in due:
        with transaction(conn):
            _drop_views(conn)
            migrate(conn)
            if number == due[-1][0]:
                _drop_views(conn)
                _create_views(conn)
            _set_version(conn, number)


def _drop_views(conn: sqlite3.Connection) -> None:
    """Views hold nothing, and one over a column that goes would be in the way."""
    found = conn.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()
    for (name,) in found:
        conn.execute(f'DROP VIEW "{name}"')


def _create_views(conn: sqlite3.Connection) -> None:
    for statement in _schema():
        if re.sub(r"--[^\n]*", "", statement).lstrip().startswith("CREATE VIEW"):
            conn.execute(statement)


def _schema() -> Iterator[str]:
    from agentmon.assets import asset
    from agentmon.store.migrations import statements

    return statements(asset("schema.sql").read_text("utf-8"))


def _set_version(conn: sqlite3.Connection, version: int) -> None:
    conn.execute("INSERT INTO schema_version VALUES (?, ?)", (version, time.time()))


def version_of(conn: sqlite3.Connection) -> int | None:
    """The schema version, None for an empty database."""
    found = conn.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
    ).fetchone()
    if found is None:
        return None
    (version,) = conn.execute("SELECT MAX(version) FROM schema_version").fetchone()
    return int(version) if version is not None else None


def open_reading(data_dir: Folder) -> sqlite3.Connection:
    """Opens the store for reading only. Raises StoreError where there is none to read."""
    path = os.path.join(data_dir, DB_NAME)
    if not os.path.isfile(path):
        raise StoreError(f"there is no store in {data_dir} yet: run `agentmon ingest PATH` first")
    conn: sqlite3.Connection | None = None
    try:
        conn = sqlite3.connect(reading_uri(path), uri=True, timeout=BUSY_SECONDS)
        conn.isolation_level = None
        version = version_of(conn)
    except sqlite3.Error as problem:
        if conn is not None:
            conn.close()
        raise StoreError(cannot(data_dir, "read", problem)) from problem
    if version is None or version > SCHEMA_VERSION:
        conn.close()
        if version is not None:
            raise _too_new(version)
        raise StoreError(f"the store in {data_dir} is empty: run `agentmon ingest PATH` first")
    return conn


def _too_new(version: int) -> StoreError:
    return StoreError(
        f"the store was written by a newer agentmon (schema {version}, this one knows "
        f"{SCHEMA_VERSION}): upgrade agentmon, or give another --data-dir"
    )


def reading_uri(path: Folder) -> str:
    """Read-only; `immutable` where the folder can't be written, since WAL would need it to be."""
    quoted = os.path.realpath(path).replace("?", "%3f").replace("#", "%23")
    extra = "" if os.access(os.path.dirname(path) or ".", os.W_OK) else "&immutable=1"
    return f"file:{quoted}?mode=ro{extra}"


def cannot(data_dir: Folder, what: str, problem: Exception) -> str:
    """One sentence: what can't be done with the store, and why."""
    from pathlib import Path

    reason = problem.strerror if isinstance(problem, OSError) else str(problem)
    return f"cannot {what} the store in {Path(data_dir)}: {reason}"


@contextlib.contextmanager
def transaction(conn: sqlite3.Connection) -> Generator[None, None, None]:
    """One IMMEDIATE transaction: all of it, or (on any error) none of it."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")


class WriterLock:
    """One writer at a time: an advisory lock that ends with its process, however that ends."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / LOCK_NAME
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises StoreError naming the pid that holds it."""
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise StoreError(cannot(self._path.parent, "write to", problem)) from problem
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StoreError(
                f"another agentmon (pid {holder}) is writing the store in {self._path.parent}: "
                "stop it first, or give another --data-dir"
            ) from problem
        with contextlib.suppress(OSError):  # a full disk: the lock itself holds
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def writer_of(data_dir: Path) -> int | None:
    """The pid of the process that writes the store now, None if nobody does."""
    try:
        fd = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else 0
    finally:
        os.close(fd)
    return None


def are_texts_moving(conn: sqlite3.Connection, data_dir: Path) -> bool:
    """Between a commit and the moves it announced, a file may have its old text still."""
    moving = conn.execute("SELECT 1 FROM file_ops LIMIT 1").fetchone() is not None
    return moving and writer_of(data_dir) is not None
