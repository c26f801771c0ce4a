"""Foreign SQL over the store: it can read what is in the database, and nothing else.

The file is opened read-only, `query_only` is set, and an authorizer lets through reading, functions
and recursion alone: no ATTACH, no PRAGMA but those that describe tables, no writing, no loading of
extensions. A progress handler ends what takes too long; only the time in SQLite counts, not that of
whoever reads the rows.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from agentmon.store import read
from agentmon.store.content import Contents
from agentmon.store.db import BUSY_SECONDS, database, reading_uri

T = TypeVar("T")

MAX_VALUE = 256 << 20
"""Bytes of the largest value that a query may make."""

STEPS = 2_000
"""Instructions of SQLite's machine between two looks at the clock."""

_SAFE = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_DESCRIBING = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"}
)
_NO_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})

_WORDS = {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_TRANSACTION: "a transaction",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
    sqlite3.SQLITE_FUNCTION: "the function",
    sqlite3.SQLITE_INSERT: "writing to",
    sqlite3.SQLITE_UPDATE: "writing to",
    sqlite3.SQLITE_DELETE: "writing to",
}


class QueryError(Exception):
    """A query that can't be answered; the message is one sentence."""


class ReadOnly:
    """A connection for queries that others wrote. Close it."""

    def __init__(self, data_dir: Path, *, timeout: float) -> None:
        """`timeout`: seconds in SQLite for each query. Raises sqlite3.Error."""
        self._refused = ""
        self._timeout = timeout
        self._spent = 0.0
        self._since: float | None = None
        self._is_late = False
        uri = reading_uri(database(data_dir))
        conn = self._conn = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
        conn.isolation_level = None
        conn.text_factory = _text
        conn.execute("PRAGMA query_only = ON")
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute("PRAGMA cache_size = -16384")
        conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
        conn.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._add_functions(data_dir)
        _connect_modules(conn)
        conn.set_authorizer(self._authorize)
        conn.set_progress_handler(self._progress, STEPS)

    def close(self) -> None:
        self._conn.close()
        self._inner.close()

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """The names of the columns, and the rows as they are asked for. Raises QueryError; the rows
        may raise it as well."""
        self._refused, self._spent, self._is_late = "", 0.0, False
        cursor = self._timed(lambda: self._conn.execute(sql))
        if cursor.description is None:
            raise QueryError("this is no query: give a SELECT")
        return [str(column[0]) for column in cursor.description], self._rows(cursor)

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        while (row := self._timed(cursor.fetchone)) is not None:
            yield row

    def _timed(self, work: Callable[[], T]) -> T:
        self._since = time.monotonic()
        try:
            return work()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as problem:
            raise QueryError(self._sentence(problem)) from problem
        except MemoryError as problem:
            raise QueryError("the query needs too much memory") from problem
        finally:
            self._spent += time.monotonic() - self._since
            self._since = None

    def _sentence(self, problem: Exception) -> str:
        if self._is_late:
            return (
                f"the query took longer than {self._timeout:g} s: narrow it (the README has the"
                " indexed columns), or give a longer --timeout"
            )
        if self._refused:
            return f"only reading is allowed: {self._refused} is refused"
        said = str(problem)
        if "one statement" in said:
            return "give one statement at a time"
        return f"the query failed: {said}"

    def _authorize(self, action: int, one: str | None, two: str | None, *_: str | None) -> int:
        if action in _SAFE:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() not in _NO_FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (one or "").lower() in _DESCRIBING:
            return sqlite3.SQLITE_OK
        name = two if action == sqlite3.SQLITE_FUNCTION else one
        word = _WORDS.get(action, "changing")
        self._refused = f"{word} {name}" if name else word
        return sqlite3.SQLITE_DENY

    def _progress(self) -> int:
        if self._since is None:
            return 0
        self._is_late = self._spent + time.monotonic() - self._since > self._timeout
        return int(self._is_late)

    def _add_functions(self, data_dir: Path) -> None:
        """block_text(flow_id, block_index) and result_text(tool_use_id): texts that lie in files.

        They read through a connection of their own, which no foreign SQL ever sees.
        """
        uri = reading_uri(database(data_dir))
        inner = self._inner = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
        contents = Contents(inner, data_dir)

        def block_text(flow_id: object, index: object) -> str | None:
            if not isinstance(flow_id, str) or not isinstance(index, int):
                return None
            row = read.block(inner, flow_id, index)
            return None if row is None else _joined(contents.block(row))

        def result_text(tool_use_id: object) -> str | None:
            row = read.result(inner, tool_use_id) if isinstance(tool_use_id, str) else None
            return None if row is None else _joined(contents.result(row))

        self._conn.create_function("block_text", 2, block_text)
        self._conn.create_function("result_text", 1, result_text)


def _connect_modules(conn: sqlite3.Connection) -> None:
    """SQLite makes a virtual table at its first use, which the authorizer would have to let pass:
    so each is used once before there is one."""
    names = [f"pragma_{name}('')" for name in sorted(_DESCRIBING)]
    names += ["json_each('[]')", "json_tree('[]')"]
    sql = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
    names += ['"' + name.replace('"', '""') + '"' for (name,) in conn.execute(sql).fetchall()]
    for name in names:
        conn.execute(f"SELECT 1 FROM {name} LIMIT 0").fetchall()


def _joined(pieces: Iterator[bytes]) -> str:
    """The text, cut where a value would be too large."""
    found: list[bytes] = []
    size = 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= MAX_VALUE // 4:
            break
    return b"".join(found).decode("utf-8", "replace")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


_VIEWS = """
SELECT m.name, (SELECT group_concat(c.name, ', ') FROM pragma_table_info(m.name) c)
FROM sqlite_master m WHERE m.type = 'view' ORDER BY m.name
"""


def views(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """The views and their columns."""
    return conn.execute(_VIEWS).fetchall()
