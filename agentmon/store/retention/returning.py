"""A session comes back from its archive, in steps; until the last one it is not on the board.

A kill before the last step leaves the archive, and what was written is taken away at the next
start. Numbers that only name a row (of notices, verdicts) are given anew.
"""

import os
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from agentmon.store.db import transaction
from agentmon.store.deltas import DeltaFiles, make_folders, path_now
from agentmon.store.retention import ledger, search
from agentmon.store.retention.archive import Checked, Reading, Row, decode
from agentmon.store.retention.tables import MESSAGES, Table, tables


class Returning:
    """Puts the rows and texts of a checked archive back. `removal_id`: its row in the book, in the
    state `returning`; the archive goes at the end, where it is ours. `left`: rows whose place
    others have taken meanwhile."""

    def __init__(
        self, data_dir: Path, removal_id: int, checked: Checked, now: float, *, file: str | None
    ) -> None:
        self.sid = checked.head.sid
        self.left = 0
        self._data_dir = data_dir
        self.removal_id = removal_id
        self._now = now
        self._file = file
        self._checked = checked
        self._reading: Reading | None = None
        self._rows: Iterator[Row] | None = None
        self._table: Table | None = None
        self._tables: dict[str, Table] = {}
        self._session: list[Row] = []
        self._flows: set[object] = set()
        self._is_synced = self._is_done = False
        self.awaits_sync = False
        """Whether `sync` is next: a moment on a busy disk, for any thread."""

    def step(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        """Raises OSError, BadArchive and sqlite3.Error; it is over then."""
        if self._is_done:
            return False
        try:
            return self._step(conn, files)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets the archive go; what was begun is undone, or finished, at the next start."""
        if self._reading is not None:
            self._reading.close()

    def _step(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        if self._reading is None:
            self._tables = {table.name: table for table in tables(conn)}
            self._reading = Reading(self._checked)
        if self._rows is not None:
            self._some_rows(conn)
            return True
        if self.awaits_sync:
            self.sync()
        if self._is_synced:
            self._end(conn, files)
            return False
        found = self._reading.next()
        if found is None:
            self.close()
            self.awaits_sync = True
            return True
        name, member, pieces = found
        if name is None:
            self._text(str(member.path), pieces)
        else:
            self._table = self._tables[name]
            self._rows = decode(b"".join(pieces), self._table)
        return True

    def _some_rows(self, conn: sqlite3.Connection) -> None:
        rows, table = list(islice(self._rows or (), 400)), self._table
        if table is None or not rows:
            self._rows = None
        elif table.name == "sessions":
            self._session += rows
        else:
            with transaction(conn):
                for row in rows:
                    self._insert(conn, table, row)

    def _insert(self, conn: sqlite3.Connection, table: Table, row: Row) -> None:
        if table.by_flow and table.name != MESSAGES and row["flow_id"] not in self._flows:
            self.left += 1
            return
        is_new = conn.execute(_insert(table, row), tuple(row.values())).rowcount > 0
        if table.name == MESSAGES and is_new:
            self._flows.add(row["flow_id"])
        self.left += not is_new

    def _text(self, path: str, pieces: Iterator[bytes]) -> None:
        full = self._data_dir / path_now(path)
        make_folders(str(full.parent))
        with open(full, "wb", opener=_private) as file:
            for piece in pieces:
                file.write(piece)

    def sync(self) -> None:
        """Its texts have to be on the disk before the archive goes."""
        os.sync()
        self.awaits_sync, self._is_synced = False, True

    def _end(self, conn: sqlite3.Connection, files: DeltaFiles) -> None:
        """The session is there; its archive is not needed any more."""
        conn.execute("PRAGMA synchronous = FULL")
        try:
            with transaction(conn):
                for row in self._session:
                    conn.execute(_insert(self._tables["sessions"], row), tuple(row.values()))
                search.come_back(conn, self.sid)
                ledger.change(conn, self.removal_id, "back", self._now)
                sql = "UPDATE removals SET file = NULL WHERE removal_id = ?"
                conn.execute(sql, (self.removal_id,))
                if self._file is not None:
                    sql = "INSERT INTO file_ops (source, target) VALUES (NULL, ?)"
                    conn.execute(sql, (self._file,))
        finally:
            conn.execute("PRAGMA synchronous = NORMAL")
        self._is_done = True
        if self._file is not None:
            files.carry_out([(None, self._file)])
            with transaction(conn):
                sql = "DELETE FROM file_ops WHERE source IS NULL AND target = ?"
                conn.execute(sql, (self._file,))


def _insert(table: Table, row: Row) -> str:
    marks = ", ".join("?" for _ in row)
    return f"INSERT OR IGNORE INTO {table.name} ({', '.join(row)}) VALUES ({marks})"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
