"""Which archive somebody means, and whether its session may come back."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from agentmon.store.db import transaction
from agentmon.store.retention import archive, ledger
from agentmon.store.retention.pack import BadArchive
from agentmon.store.retention.returning import Returning

_KEPT_FREE = 64 << 20
"""Bytes of the disk that no restore takes."""


class CannotRestore(Exception):
    """One sentence: why a session cannot come back."""


class Found(Struct, frozen=True):
    """An archive; `file` is its place below the data folder where it is one of ours."""

    path: Path
    file: str | None


def find(conn: sqlite3.Connection, data_dir: Path, name: str) -> Found:
    """The archive of a file, a session id, or the start of one. Raises CannotRestore."""
    is_known = bool(ledger.of_session(conn, name))
    if not is_known and os.path.isfile(name):
        path, root = Path(name).resolve(), data_dir.resolve()
        inside = path.is_relative_to(root / ledger.FOLDER)
        return Found(path, str(path.relative_to(root)) if inside else None)
    if not is_known and ("/" in name or ".tar." in name):
        raise CannotRestore(f"there is no file {name}")
    sids = [name] if is_known else ledger.starting_with(conn, name)
    if len(sids) > 1:
        raise CannotRestore(
            f"more than one archived session begins with {name!r}: {', '.join(sids[:4])}"
        )
    refuse_present(conn, sids[0] if sids else name)
    for row in ledger.of_session(conn, sids[0]) if sids else ():
        if row.state == "gone" and row.file is None:
            raise CannotRestore(f"session {row.session_id} was deleted: there is no archive of it")
        if row.state == "gone":
            if not (data_dir / str(row.file)).is_file():
                raise CannotRestore(f"the archive {data_dir / str(row.file)} is not there any more")
            return Found(data_dir / str(row.file), row.file)
    raise CannotRestore(
        f"no archived session answers to {name!r}: `agentmon restore --list` shows them"
    )


def refuse_present(conn: sqlite3.Connection, sid: str) -> None:
    """A session that is in the store is not touched by an archive of it. Raises CannotRestore."""
    if conn.execute("SELECT 1 FROM sessions WHERE sid = ?", (sid,)).fetchone() is not None:
        raise CannotRestore(
            f"session {sid} is in the store: nothing is restored over it (another --data-dir "
            "takes the archive)"
        )


def check(
    conn: sqlite3.Connection,
    data_dir: Path,
    found: Found,
    rest: Callable[[], None] = lambda: None,
) -> archive.Checked:
    """Reads an archive to its end. Raises CannotRestore: unsound, not ours, or no room."""
    room = max(0, shutil.disk_usage(data_dir).free - _KEPT_FREE)
    try:
        checked = archive.check(found.path, conn, room, rest)
    except BadArchive as problem:
        raise CannotRestore(f"cannot restore {found.path}: {problem}") from problem
    refuse_present(conn, checked.head.sid)
    return checked


def begin(
    conn: sqlite3.Connection, data_dir: Path, found: Found, checked: archive.Checked, now: float
) -> Returning:
    """Notes that a session comes back, and returns the steps that bring it."""
    with transaction(conn):
        refuse_present(conn, checked.head.sid)
        known = None if found.file is None else ledger.by_file(conn, found.file)
        if known is None:
            head = checked.head
            removal_id = ledger.add(conn, head.sid, "returning", now, None, 0)
            conn.execute(
                """UPDATE removals SET is_ours = 0, agent = ?, cwd = ?, first_time = ?,
                   last_time = ? WHERE removal_id = ?""",
                (head.agent, head.cwd, head.first_time, head.last_time, removal_id),
            )
        else:
            removal_id = known.removal_id
            ledger.change(conn, removal_id, "returning", now)
    file = found.file if known is not None else None
    return Returning(data_dir, removal_id, checked, now, file=file)
