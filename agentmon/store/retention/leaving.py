"""A session leaves the store: rows, texts and folders, in steps that a kill may end anywhere.

Before the first step either its archive is whole and durable, or it is to be deleted. The first
step says so in the book and takes the session off the board; from then on only going on makes
sense, and the next start does.
"""

import contextlib
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Protocol

from agentmon.store.db import transaction
from agentmon.store.deltas import TEXTS, DeltaFiles, block_path, safe_name
from agentmon.store.retention import ledger, search
from agentmon.store.retention.archive import stamp_of
from agentmon.store.retention.tables import Table, tables

FLOWS = 16
"""Messages that go in one step."""
ROWS = 400
_HASHED = re.compile(r"h-[0-9a-f]{32}\Z")


class Spoke(Exception):
    """The session changed while its archive was written: it stays."""


class Steps(Protocol):
    """A work on one session, in small steps, each with its own transaction."""

    @property
    def sid(self) -> str: ...

    def step(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        """Does some of it; False when all of it is done."""
        ...


def run_for(work: Steps, conn: sqlite3.Connection, files: DeltaFiles, seconds: float) -> bool:
    """Steps for about so long; False when all is done."""
    end = time.perf_counter() + seconds
    while work.step(conn, files):
        if time.perf_counter() >= end:
            return True
    return False


def finish(work: Steps, conn: sqlite3.Connection, files: DeltaFiles) -> None:
    while work.step(conn, files):
        continue


class Leaving:
    """`stamp`: what the session's row was when it was archived. `back_to_archive`: a restore that
    was interrupted is undone."""

    def __init__(
        self,
        data_dir: Path,
        removal_id: int,
        sid: str,
        now: float,
        *,
        stamp: tuple[object, ...] | None = None,
        archive_bytes: int | None = None,
        back_to_archive: bool = False,
    ) -> None:
        self.sid = sid
        self._data_dir = data_dir
        self._id = removal_id
        self._now = now
        self._stamp = stamp
        self._archive_bytes = archive_bytes
        self._undoes = back_to_archive
        self._stages = [self._begin, self._flows, self._results, self._rows]
        self._stages += [self._search, self._folders, self._end]
        self._tables: list[Table] = []

    def step(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        """Raises Spoke (before anything was touched), OSError and sqlite3.Error."""
        if self._stages and not self._stages[0](conn, files):
            del self._stages[0]
        return bool(self._stages)

    def _begin(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        """What a power cut may not undo, since files go next: fully synchronous."""
        self._tables = tables(conn)
        conn.execute("PRAGMA synchronous = FULL")
        try:
            with transaction(conn):
                if self._stamp is not None and stamp_of(conn, self.sid) != self._stamp:
                    raise Spoke
                if not self._undoes:
                    ledger.change(conn, self._id, "leaving", self._now)
                    sql = "UPDATE removals SET archive_bytes = ? WHERE removal_id = ?"
                    if self._archive_bytes is not None:
                        conn.execute(sql, (self._archive_bytes, self._id))
                conn.execute("DELETE FROM sessions WHERE sid = ?", (self.sid,))
        finally:
            conn.execute("PRAGMA synchronous = NORMAL")
        return False

    def _flows(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        sql = "SELECT flow_id FROM messages WHERE sid = ? LIMIT ?"
        flows = conn.execute(sql, (self.sid, FLOWS)).fetchall()
        for (flow_id,) in flows:
            sql = "SELECT block_index FROM content_blocks WHERE flow_id = ? AND stored_bytes > 0"
            for (index,) in conn.execute(sql, (flow_id,)).fetchall():
                files.carry_out([(None, block_path(self.sid, flow_id, index))])
        with transaction(conn):
            for table in self._tables:
                if table.by_flow:
                    conn.executemany(f"DELETE FROM {table.name} WHERE flow_id = ?", flows)
        return bool(flows)

    def _results(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        sql = "SELECT file, tool_use_id FROM tool_results WHERE sid = ? LIMIT ?"
        found = conn.execute(sql, (self.sid, ROWS // 4)).fetchall()
        files.carry_out([(None, file) for file, _ in found if file is not None])
        with transaction(conn):
            sql = "DELETE FROM tool_results WHERE tool_use_id = ?"
            conn.executemany(sql, [(call,) for _, call in found])
        return bool(found)

    def _rows(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        with transaction(conn):
            return any(
                conn.execute(table.delete_some, (self.sid, ROWS)).rowcount
                for table in self._tables
                if table.has_sid and not table.by_flow
            )

    def _search(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        with contextlib.suppress(OSError, sqlite3.Error):  # a hit without its row is none
            search.forget(self._data_dir, self.sid)
        return False

    def _folders(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        """What is left below the session's own folder is no text of anybody."""
        top = self._data_dir / TEXTS / safe_name(self.sid)
        is_shared = bool(_HASHED.match(top.name))  # a session may be called like another's hash
        for where, _, names in os.walk(top, topdown=False):
            for name in names if not is_shared else ():
                files.close(os.path.relpath(os.path.join(where, name), self._data_dir))
                _quietly(os.unlink, os.path.join(where, name))
            _quietly(os.rmdir, where)
        return False

    def _end(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        """What was said of it meanwhile (a verdict) goes with it."""
        with transaction(conn):
            for table in self._tables:
                if table.has_sid and not table.by_flow:
                    conn.execute(f"DELETE FROM {table.name} WHERE sid = ?", (self.sid,))
            if not self._undoes:
                ledger.change(conn, self._id, "gone", self._now)
            else:
                sql = "DELETE FROM removals WHERE removal_id = ? AND file IS NULL"
                conn.execute(sql, (self._id,))
                ledger.change(conn, self._id, "gone", self._now)
        return False


def _quietly(do: "_PathFunction", path: str) -> None:
    try:
        do(path)
    except OSError:
        return


class _PathFunction(Protocol):
    def __call__(self, path: str, /) -> None: ...


def recover(conn: sqlite3.Connection, files: DeltaFiles) -> None:
    """After a crash: what was leaving goes, what was coming back goes back, and an archive that was
    not whole yet is none. Raises OSError and sqlite3.Error."""
    for row in ledger.passing(conn):
        if row.state == "archiving":
            drop_archive(files.data_dir, row.file)
            with transaction(conn):
                ledger.strike(conn, row.removal_id)
            continue
        is_back = row.state == "returning"
        work = Leaving(
            files.data_dir, row.removal_id, row.session_id, row.changed_at, back_to_archive=is_back
        )
        finish(work, conn, files)


def drop_archive(data_dir: Path, file: str | None) -> None:
    """Removes an archive, or what was written of it."""
    if file is not None:
        (data_dir / (file + ledger.PART)).unlink(missing_ok=True)
        (data_dir / file).unlink(missing_ok=True)
