"""The book of what left the store and came back: `removals`, and `cleanups`, run by run."""

import sqlite3
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from agentmon.store.db import transaction
from agentmon.store.deltas import safe_name
from agentmon.store.retention.pack import suffix

FOLDER = "archive"
PART = ".part"
KEPT_RUNS = 50

State: TypeAlias = Literal["archiving", "leaving", "gone", "returning", "back"]
"""An archive is written; it is whole and the rows go; they are gone; they come back; all are."""


class Removal(Struct):
    """A row of `removals`."""

    removal_id: int
    session_id: str
    state: str
    changed_at: float
    file: str | None
    archive_bytes: int | None
    bytes: int
    agent: str | None
    cwd: str | None
    first_time: float | None
    last_time: float | None
    is_ours: int


class Run(Struct):
    """A row of `cleanups`."""

    cleanup_id: int
    started_at: float
    ended_at: float | None
    cause: str
    action: str
    sessions: int
    bytes_freed: int


_REMOVAL = f"SELECT {', '.join(Removal.__struct_fields__)} FROM removals"
_RUN = f"SELECT {', '.join(Run.__struct_fields__)} FROM cleanups"


def passing(conn: sqlite3.Connection) -> list[Removal]:
    """What a crash interrupted, or what is under way now."""
    sql = f"{_REMOVAL} WHERE state IN ('archiving', 'leaving', 'returning') ORDER BY removal_id"
    return [Removal(*row) for row in conn.execute(sql)]


def of_session(conn: sqlite3.Connection, sid: str) -> list[Removal]:
    """The removals of a session, the latest first."""
    sql = f"{_REMOVAL} WHERE session_id = ? ORDER BY removal_id DESC"
    return [Removal(*row) for row in conn.execute(sql, (sid,))]


def starting_with(conn: sqlite3.Connection, name: str) -> list[str]:
    """The sessions that are gone and whose id begins so, four at most."""
    sql = """SELECT DISTINCT session_id FROM removals
             WHERE state = 'gone' AND session_id >= ? AND session_id < ? LIMIT 5"""
    return [sid for (sid,) in conn.execute(sql, (name, name + "\U0010ffff"))]


def by_file(conn: sqlite3.Connection, file: str) -> Removal | None:
    row = conn.execute(f"{_REMOVAL} WHERE file = ? AND state = 'gone'", (file,)).fetchone()
    return None if row is None else Removal(*row)


def archived(conn: sqlite3.Connection) -> list[Removal]:
    """What can be restored, the latest first."""
    sql = f"{_REMOVAL} WHERE state = 'gone' AND file IS NOT NULL ORDER BY removal_id DESC"
    return [Removal(*row) for row in conn.execute(sql)]


def totals(conn: sqlite3.Connection) -> tuple[int, int]:
    """Sessions that are archived, and those that were deleted for good."""
    sql = "SELECT file IS NOT NULL, COUNT(*) FROM removals WHERE state = 'gone' GROUP BY 1"
    found = dict(conn.execute(sql).fetchall())
    return int(found.get(1, 0)), int(found.get(0, 0))


def add(
    conn: sqlite3.Connection, sid: str, state: State, now: float, file: str | None, size: int
) -> int:
    """A new row, with what is known of the session; its id. Within a transaction of the caller."""
    sql = """
    INSERT INTO removals (session_id, state, changed_at, file, bytes, agent, cwd, first_time,
                          last_time)
    SELECT ?1, ?2, ?3, ?4, ?5, s.agent, s.cwd, s.first_time, s.last_time
    FROM (SELECT 1) LEFT JOIN sessions s ON s.sid = ?1"""
    return conn.execute(sql, (sid, state, now, file, size)).lastrowid or 0


def change(conn: sqlite3.Connection, removal_id: int, state: State, now: float) -> None:
    conn.execute(
        "UPDATE removals SET state = ?, changed_at = ? WHERE removal_id = ?",
        (state, now, removal_id),
    )


def strike(conn: sqlite3.Connection, removal_id: int) -> None:
    """As if it had never begun."""
    conn.execute("DELETE FROM removals WHERE removal_id = ?", (removal_id,))


def free_name(data_dir: Path, sid: str) -> str:
    """Where an archive of a session can be, below the data folder: a session that spoke again
    after it was archived may have more than one."""
    base = f"{FOLDER}/{safe_name(sid)}"
    number = 1
    while True:
        file = base + ("" if number == 1 else f".{number}") + suffix()
        if not (data_dir / file).exists() and not (data_dir / (file + PART)).exists():
            return file
        number += 1


def begin_run(conn: sqlite3.Connection, cause: str, action: str, now: float) -> int:
    with transaction(conn):
        sql = "DELETE FROM cleanups WHERE cleanup_id <= (SELECT MAX(cleanup_id) FROM cleanups) - ?"
        conn.execute(sql, (KEPT_RUNS - 1,))
        sql = "INSERT INTO cleanups (started_at, cause, action) VALUES (?, ?, ?)"
        return conn.execute(sql, (now, cause, action)).lastrowid or 0


def end_run(
    conn: sqlite3.Connection, run_id: int, now: float, sessions: int, bytes_freed: int
) -> None:
    with transaction(conn):
        sql = """UPDATE cleanups SET ended_at = ?, sessions = ?, bytes_freed = ?
                 WHERE cleanup_id = ?"""
        conn.execute(sql, (now, sessions, bytes_freed, run_id))


def last_run(conn: sqlite3.Connection, cause: str | None = None) -> Run | None:
    """The latest run, or the latest for this cause."""
    sql = f"{_RUN} WHERE cause = COALESCE(?, cause) ORDER BY cleanup_id DESC LIMIT 1"
    row = conn.execute(sql, (cause,)).fetchone()
    return None if row is None else Run(*row)
