"""The store's folder and database: opening, pragmas, migrations, the writer's lock.

Errors a person can act on are `StoreError`, each one sentence.
"""

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

from agentmon.assets import asset
from agentmon.store.migrations import MIGRATIONS, statements

SCHEMA_VERSION = 4
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


def make_folder(data_dir: Path) -> None:
    """Makes the data folder, for its owner only. Raises StoreError."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise StoreError(cannot(data_dir, "write to", problem)) from problem


def create(data_dir: Path) -> sqlite3.Connection:
    """Opens the store for writing, making or migrating it first.

    Raises StoreError: not writable, not a database, newer than this program.
    """
    make_folder(data_dir)
    try:
        conn = _connect(database(data_dir))
    except (OSError, sqlite3.Error) as problem:
        raise StoreError(cannot(data_dir, "write to", problem)) from problem
    try:
        _prepare(conn)
        os.chmod(database(data_dir), 0o600)
    except sqlite3.Error as problem:
        conn.close()
        raise StoreError(cannot(data_dir, "use", problem)) from problem
    except OSError:
        return conn  # another owner: the mode is theirs to set
    except BaseException:
        conn.close()
        raise
    return conn


def _connect(path: Path) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    conn = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    if not path.stat().st_size:
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
    if version is not None and version > SCHEMA_VERSION:
        raise StoreError(
            f"the store was written by a newer agentmon (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): upgrade agentmon, or give another --data-dir"
        )
    if version is None:
        with transaction(conn):
            if version_of(conn) is None:
                for statement in statements(asset("schema.sql").read_text("utf-8")):
                    conn.execute(statement)
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
    for statement in statements(asset("schema.sql").read_text("utf-8")):
        if _COMMENT.sub("", statement).lstrip().startswith("CREATE VIEW"):
            conn.execute(statement)


_COMMENT = re.compile(r"--[^\n]*")


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


def open_reading(data_dir: Path) -> sqlite3.Connection:
    """Opens the store for reading only. Raises StoreError where there is none to read."""
    path = database(data_dir)
    if not path.is_file():
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
        what = "is empty" if version is None else f"has the newer schema {version}"
        raise StoreError(f"the store in {data_dir} {what}: upgrade agentmon, or ingest into it")
    return conn


def reading_uri(path: Path) -> str:
    """Read-only; `immutable` where the folder can't be written, since WAL would need it to be."""
    quoted = str(path.resolve()).replace("?", "%3f").replace("#", "%23")
    extra = "" if os.access(path.parent, os.W_OK) else "&immutable=1"
    return f"file:{quoted}?mode=ro{extra}"


def cannot(data_dir: Path, what: str, problem: Exception) -> str:
    """One sentence: what can't be done with the store, and why."""
    reason = problem.strerror if isinstance(problem, OSError) else str(problem)
    return f"cannot {what} the store in {data_dir}: {reason}"


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
