"""A session as an archive: its rows as NDJSON, its texts as the files they are.

`agentmon.json` says what it is; `rows/<table>.<n>.ndjson` hold a row a line, as objects, so that a
later schema can take them; `delta_store/…` are the texts under their own paths.
"""

import base64
import math
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct, field

from agentmon.store import db
from agentmon.store.deltas import TEXTS, block_path, result_path, safe_name
from agentmon.store.retention.pack import (
    LARGEST,
    SUMS,
    BadArchive,
    Member,
    Packer,
    Unpacker,
    verify,
)
from agentmon.store.retention.tables import MESSAGES, Table, flows_of, rows, tables

FORMAT = 1
HEAD = "agentmon.json"
CHUNK = 256 << 10
"""Bytes of rows in one member: what a restore takes in one transaction."""

_ROWS = re.compile(r"rows/([a-z_]+)\.(\d+)\.ndjson\Z")
_PART = re.compile(r"[A-Za-z0-9._+-]{1,200}\Z")

Row = dict[str, Any]


class Head(Struct):
    """What an archive says of itself."""

    format: int
    schema: int
    sid: str
    written_at: float
    agent: str | None = None
    cwd: str | None = None
    first_time: float | None = None
    last_time: float | None = None


class Written(Struct):
    """What was archived. `stamp` tells whether the session changed since."""

    stamp: tuple[object, ...]
    rows: int
    files: int


def stamp_of(conn: sqlite3.Connection, sid: str) -> tuple[object, ...]:
    """The session's own row; () where there is none."""
    return tuple(conn.execute("SELECT * FROM sessions WHERE sid = ?", (sid,)).fetchone() or ())


def write(
    conn: sqlite3.Connection,
    data_dir: Path,
    sid: str,
    path: Path,
    now: float,
    rest: Callable[[], None] = lambda: None,
) -> Written:
    """Archives a session as it is in one snapshot of the database, durably.

    `rest` is called between pieces: who works beside a screen sleeps there. Raises OSError and
    sqlite3.Error.
    """
    packer = Packer(path)
    conn.execute("BEGIN")
    try:
        written = _pack(_Writing(conn, data_dir, sid, packer, rest), now)
        packer.close()
        return written
    except BaseException:
        packer.abandon()
        raise
    finally:
        conn.execute("ROLLBACK")


class _Writing(Struct):
    conn: sqlite3.Connection
    data_dir: Path
    sid: str
    packer: Packer
    rest: Callable[[], None]
    rows: int = 0
    files: int = 0


def _pack(work: _Writing, now: float) -> Written:
    sql = "SELECT agent, cwd, first_time, last_time FROM sessions WHERE sid = ?"
    about = work.conn.execute(sql, (work.sid,)).fetchone() or (None, None, None, None)
    head = Head(FORMAT, db.SCHEMA_VERSION, work.sid, now, *about)
    work.packer.add(HEAD, msgspec.json.encode(head) + b"\n")
    flows = flows_of(work.conn, work.sid)
    for table in _messages_first(tables(work.conn)):
        _pack_rows(work, table, flows)
    sql = "SELECT block_index, stored_bytes FROM content_blocks WHERE flow_id = ?"
    for flow_id in flows:
        for index, size in work.conn.execute(sql, (flow_id,)).fetchall():
            _pack_file(work, block_path(work.sid, flow_id, index), size)
        work.rest()
    sql = "SELECT file, content_size FROM tool_results WHERE sid = ? AND file IS NOT NULL"
    for file, size in work.conn.execute(sql, (work.sid,)):
        _pack_file(work, file, size)
        work.rest()
    return Written(stamp_of(work.conn, work.sid), work.rows, work.files)


def _messages_first(found: Sequence[Table]) -> list[Table]:
    """A reader has to know the messages before what belongs to them."""
    return sorted(found, key=lambda table: table.name not in ("sessions", MESSAGES))


def _pack_rows(work: _Writing, table: Table, flows: Sequence[str]) -> None:
    chunk, number = bytearray(), 0
    for row in rows(work.conn, table, work.sid, flows):
        values = {name: _plain(value) for name, value in zip(table.columns, row, strict=True)}
        chunk += msgspec.json.encode(values) + b"\n"
        work.rows += 1
        if len(chunk) >= CHUNK:
            number = _pack_chunk(work, table, chunk, number)
    if chunk:
        _pack_chunk(work, table, chunk, number)


def _pack_chunk(work: _Writing, table: Table, chunk: bytearray, number: int) -> int:
    work.packer.add(f"rows/{table.name}.{number + 1:06}.ndjson", bytes(chunk))
    chunk.clear()
    work.rest()
    return number + 1


def _pack_file(work: _Writing, path: str, size: int) -> None:
    work.files += 1
    work.packer.add_file(path, work.data_dir, size)


def _plain(value: Any) -> Any:
    """JSON has neither bytes nor infinity."""
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"real": repr(value)}
    return value


def _stored(value: Any) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise BadArchive("one of its rows cannot be read")
        return value
    given = cast("dict[str, Any]", value)
    try:
        return base64.b64decode(given["blob"]) if "blob" in given else float(given["real"])
    except (KeyError, ValueError, TypeError) as problem:
        raise BadArchive("one of its rows cannot be read") from problem


# -- reading


class Checked(Struct):
    """An archive that was read to its end, and is sound."""

    path: Path
    head: Head
    members: dict[str, Member]
    rows: int = 0
    flows: set[str] = field(default_factory=set[str])

    @property
    def text_bytes(self) -> int:
        return sum(m.size for m in self.members.values() if m.path is not None)


def check(
    path: Path, conn: sqlite3.Connection, room: int, rest: Callable[[], None] = lambda: None
) -> Checked:
    """Reads an archive to its end; `room` are the bytes that it may take.

    Nothing of it is used before all of it is known to be sound: names, sizes, hashes, and that
    every row and file belongs to the session it names. Raises OSError and BadArchive.
    """
    known = {table.name: table for table in tables(conn)}
    found = Checked(path, Head(0, 0, "", 0.0), {})

    def look(name: str, size: int, pieces: Iterator[bytes]) -> None:
        rest()
        if name == HEAD:
            found.head = _head(b"".join(pieces) if size < CHUNK else b"")
        elif not found.head.sid:
            raise BadArchive("it is no archive of agentmon")
        elif match := _ROWS.match(name):
            table = known.get(match[1])
            if table is None:
                raise BadArchive(f"it has rows of a table {match[1]} that is not known here")
            if size > LARGEST:
                raise BadArchive("one of its parts is too large")
            for row in decode(b"".join(pieces), table):
                _check_row(row, table, found)

    found.members = verify(path, look, room)
    for member in found.members.values():
        is_row = member.path is None
        if is_row != (member.name == HEAD or bool(_ROWS.match(member.name))):
            raise BadArchive("it has parts that do not belong into it")
        if member.path is not None and not is_of(member.path, found.head.sid):
            raise BadArchive("it has files that do not belong to its session")
    if not any(name.startswith("rows/sessions.") for name in found.members):
        raise BadArchive("it has no session in it")
    return found


def _head(data: bytes) -> Head:
    try:
        head = msgspec.json.decode(data, type=Head)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise BadArchive("it is no archive of agentmon") from problem
    if head.format != FORMAT or head.schema > db.SCHEMA_VERSION:
        raise BadArchive("it was written by a newer agentmon: upgrade this one")
    if not head.sid:
        raise BadArchive("it names no session")
    return head


def _check_row(row: Row, table: Table, found: Checked) -> None:
    found.rows += 1
    sid, flow_id = row.get("sid"), row.get("flow_id")
    if table.has_sid and sid != found.head.sid:
        raise BadArchive("it has rows of other sessions")
    if table.name == MESSAGES and isinstance(flow_id, str):
        found.flows.add(flow_id)
    if table.by_flow and flow_id not in found.flows:
        raise BadArchive("it has rows of messages that are not in it")
    if table.name == "tool_results":
        own = result_path(found.head.sid, str(row.get("tool_use_id")))
        if row.get("file") not in (None, own):
            raise BadArchive("it names files that are not its own")


def is_of(path: str, sid: str) -> bool:
    """Whether a path is one of a session's texts, and nothing else. In a folder lie results, and
    what an earlier version archived."""
    parts = path.split("/")
    return (
        len(parts) in (3, 4)
        and parts[:2] == [TEXTS, safe_name(sid)]
        and all(_PART.match(part) and part not in (".", "..") for part in parts)
    )


def decode(data: bytes, table: Table) -> Iterator[Row]:
    """Rows of a member. Raises BadArchive: not readable, or columns that are not known here."""
    for line in data.splitlines():
        try:
            row: object = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise BadArchive("one of its rows cannot be read") from problem
        if not isinstance(row, dict) or not set(cast("Row", row)) <= set(table.columns):
            raise BadArchive("it was written by a newer agentmon: upgrade this one")
        yield {name: _stored(value) for name, value in cast("Row", row).items()}


class Reading:
    """The parts of an archive that was checked, one after the other."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._unpacker = Unpacker(checked.path)

    def close(self) -> None:
        self._unpacker.close()

    def next(self) -> tuple[str | None, Member, Iterator[bytes]] | None:
        """(table or None, member, its bytes); None at the end. Raises OSError and BadArchive."""
        while (found := self._unpacker.next()) is not None:
            name, size = found
            member = self._checked.members.get(name)
            if name == SUMS:
                return None
            if member is None or member.size != size:
                raise BadArchive("it changed while it was read")
            if name != HEAD:
                match = _ROWS.match(name)
                return (match[1] if match else None), member, self._unpacker.pieces()
        return None
