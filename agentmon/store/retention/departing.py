"""How one session goes: noted in the book, archived beside, and only then taken out.

The archive is written under another name and takes its own when it is whole and on disk. A kill
before the first step of `Leaving` leaves the session whole, and the next start throws away what
was written of its archive; after it, the archive is whole and the next start goes on.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from agentmon.store.db import transaction
from agentmon.store.deltas import make_folders
from agentmon.store.retention import archive, ledger
from agentmon.store.retention.leaving import Leaving, drop_archive


class Departure(Struct):
    """One session on its way out. `file`: its archive below the data folder, None: no archive."""

    data_dir: Path
    sid: str
    removal_id: int
    file: str | None
    now: float
    written: archive.Written | None = None

    @property
    def archive_bytes(self) -> int | None:
        return None if self.file is None else (self.data_dir / self.file).stat().st_size


def begin(
    conn: sqlite3.Connection, data_dir: Path, sid: str, *, archives: bool, size: int, now: float
) -> Departure:
    """Notes that a session is about to go. Raises OSError and sqlite3.Error."""
    file: str | None = None
    if archives:
        make_folders(str(data_dir / ledger.FOLDER))
        file = ledger.free_name(data_dir, sid)
    with transaction(conn):
        removal_id = ledger.add(conn, sid, "archiving", now, file, size)
    return Departure(data_dir, sid, removal_id, file, now)


def write(
    departure: Departure, conn: sqlite3.Connection, rest: Callable[[], None] = lambda: None
) -> None:
    """Writes the archive, where there is to be one. Raises OSError and sqlite3.Error."""
    if departure.file is None:
        return
    part = departure.data_dir / (departure.file + ledger.PART)
    departure.written = archive.write(
        conn, departure.data_dir, departure.sid, part, departure.now, rest
    )
    os.replace(part, departure.data_dir / departure.file)
    folder = os.open(part.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def leaving(departure: Departure) -> Leaving:
    """The steps that take it out, now that its archive is whole."""
    return Leaving(
        departure.data_dir,
        departure.removal_id,
        departure.sid,
        departure.now,
        stamp=None if departure.written is None else departure.written.stamp,
        archive_bytes=departure.archive_bytes,
    )


def give_up(conn: sqlite3.Connection, departure: Departure) -> None:
    """The session stays: as if nothing had been begun."""
    drop_archive(departure.data_dir, departure.file)
    with transaction(conn):
        ledger.strike(conn, departure.removal_id)
