"""Checkpoints: conversations that were put aside in Parquet files, and how to find them again.

The store knows of each which messages it has, what it came from, and how its file must look; the
messages themselves lie in the file.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct

from agentmon import __version__
from agentmon.collab import checkpoint_files as files
from agentmon.collab import conversations, fields
from agentmon.collab.conversations import Records
from agentmon.collab.fields import FieldError, NotThere
from agentmon.collab.writing import moment, within
from agentmon.store.parquet import has_parquet

KINDS = ("main", "sub", "micro")
FOLDER = "checkpoints"
"""Below the data folder: where files go that are given no place."""

CheckpointError = FieldError
"""A checkpoint that cannot be taken as it is; it names the field."""


class Checkpoint(Struct, frozen=True):
    """A registered file. `conversation` is a thread_id or a session; `first_message` and
    `last_message` are ids of messages; `size` is bytes; `quality` is 0 to 1, None: nobody said."""

    checkpoint_id: str
    kind: str
    conversation: str
    parent_id: str | None
    path: str
    created_at: float
    message_count: int
    row_count: int
    first_message: str | None
    last_message: str | None
    summary: str
    entities: list[str]
    threads: list[str]
    size: int
    sha256: str
    quality: float | None


class Lineage(Struct, frozen=True):
    """What a checkpoint came from, the nearest first, and what came from it directly, oldest
    first."""

    parents: list[Checkpoint]
    children: list[Checkpoint]


class Verification(Struct, frozen=True):
    """What is wrong with a checkpoint's file, a sentence each, and what could not be looked at."""

    checkpoint_id: str
    problems: list[str]
    unchecked: list[str]


def create(
    conn: sqlite3.Connection,
    data_dir: Path,
    conversation: str,
    *,
    kind: str = "main",
    parent_id: str | None = None,
    path: Path | None = None,
    after: str | None = None,
    summary: str = "",
    entities: Iterable[str] = (),
    threads: Iterable[str] | None = None,
    quality: float | None = None,
    now: float | None = None,
) -> Checkpoint:
    """Exports a conversation (a thread_id or a session id) to Parquet and registers the file.

    `after` is the id of the last message that is left out. The file gets its name when it is
    complete, the row comes last: whatever fails before leaves neither. Not to be called within a
    transaction. Raises CheckpointError, NoParquet, OSError.
    """
    key = uuid4().hex[:12]
    target = Path(os.path.abspath(path or data_dir / FOLDER / f"{key}.parquet"))
    draft = _draft(conn, kind, conversation, parent_id, summary, entities, threads or (), quality)
    conn.execute("BEGIN")  # what is read is of one moment, however long it takes
    try:
        find = conversations.find(conn, draft["conversation"])
        if find is None:
            raise NotThere("conversation", f"there is no thread and no session {conversation!r}")
        about = {"agentmon": __version__, "checkpoint_id": key, "conversation": conversation}
        records = _after(lambda: find(data_dir), after)
        written = files.write(target, records, about)
    finally:
        conn.execute("COMMIT")
    if threads is None:
        draft["threads"] = [thread for thread in written.threads if thread]
    try:
        return _register(conn, key, target, written.message_ids, draft, now)
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def _after(records: Callable[[], Records], after: str | None) -> Records:
    """Those behind a message. Raises CheckpointError where it is not among them, or none is."""
    found = records()
    if after is not None:
        found = dropwhile(lambda record: record.message_id != after, found)
        if next(found, None) is None:
            raise NotThere("after", f"there is no message {after!r} in it")
    first = next(found, None)
    if first is None:
        raise NotThere("conversation", "it has no messages to put aside")
    return _with_first(first, found)


def _with_first(first: conversations.Record, rest: Records) -> Records:
    yield first
    yield from rest


def register(
    conn: sqlite3.Connection,
    path: Path,
    *,
    conversation: str,
    kind: str = "main",
    parent_id: str | None = None,
    summary: str = "",
    entities: Iterable[str] = (),
    threads: Iterable[str] = (),
    quality: float | None = None,
    now: float | None = None,
) -> Checkpoint:
    """Registers a Parquet file that somebody else wrote; its messages are those of its column
    `message_id`. Raises CheckpointError, NoParquet, OSError."""
    draft = _draft(conn, kind, conversation, parent_id, summary, entities, threads, quality)
    place = Path(os.path.abspath(path))
    try:
        ids = files.message_ids(place)
    except ValueError as problem:
        raise FieldError("path", f"it is no Parquet file: {problem}") from problem
    return _register(conn, uuid4().hex[:12], place, ids, draft, now)


def _draft(
    conn: sqlite3.Connection,
    kind: str,
    conversation: str,
    parent_id: str | None,
    summary: str,
    entities: Iterable[str],
    threads: Iterable[str],
    quality: float | None,
) -> dict[str, Any]:
    return {
        "kind": fields.one_of("kind", kind, KINDS),
        "conversation": fields.name("conversation", conversation, most=1_000),
        "parent_id": None if parent_id is None else the(conn, parent_id).checkpoint_id,
        "summary": fields.text("summary", summary, empty=True),
        "entities": fields.names("entities", entities),
        "threads": fields.names("threads", threads, most=1_000),
        "quality": None if quality is None else fields.share("quality", quality),
    }


def _register(
    conn: sqlite3.Connection,
    key: str,
    path: Path,
    ids: Sequence[str | None],
    draft: dict[str, Any],
    now: float | None,
) -> Checkpoint:
    stamp, known = files.stamp(path), list(dict.fromkeys(filter(None, ids)))
    first, last = (known[0], known[-1]) if known else (None, None)
    found = Checkpoint(
        key, draft["kind"], draft["conversation"], draft["parent_id"], str(path), moment(now),
        len(known), len(ids), first, last, draft["summary"], draft["entities"], draft["threads"],
        stamp.size, stamp.sha256, draft["quality"],
    )  # fmt: skip
    if not fields.is_storable(found.path):
        raise FieldError("path", "half a character is in it")
    values = {column: getattr(found, column) for column in _COLUMNS}
    values |= {column: fields.as_json(values[column]) for column in _IN_JSON}
    row = list(values.values())
    with within(conn):
        conn.execute(f"INSERT INTO checkpoints VALUES ({', '.join('?' * len(row))})", row)
        conn.executemany(
            "INSERT INTO checkpoint_messages VALUES (?, ?)", ((each, key) for each in known)
        )
    return found


# -- reading

_COLUMNS = Checkpoint.__struct_fields__
_IN_JSON = ("entities", "threads")
_SELECT = f"SELECT {', '.join(f'c.{column}' for column in _COLUMNS)} FROM checkpoints c"


def _checkpoint(row: Sequence[Any]) -> Checkpoint:
    values = dict(zip(_COLUMNS, row, strict=True))
    for column in _IN_JSON:
        values[column] = json.loads(values[column])
    return Checkpoint(**values)


def _all(conn: sqlite3.Connection, sql: str, *args: object) -> list[Checkpoint]:
    return [_checkpoint(row) for row in conn.execute(f"{_SELECT} {sql}", args)]


def get(conn: sqlite3.Connection, checkpoint_id: str) -> Checkpoint | None:
    return next(iter(_all(conn, "WHERE c.checkpoint_id = ?", checkpoint_id)), None)


def the(conn: sqlite3.Connection, checkpoint_id: str) -> Checkpoint:
    """The same by its id or the start of one, where there must be one. Raises NotThere."""
    until = checkpoint_id + "\U0010ffff"
    sql = "WHERE c.checkpoint_id >= ? AND c.checkpoint_id < ? ORDER BY c.checkpoint_id LIMIT 2"
    rows = _all(conn, sql, checkpoint_id, until) if fields.is_storable(checkpoint_id) else []
    if not checkpoint_id or not rows or (len(rows) > 1 and rows[0].checkpoint_id != checkpoint_id):
        what = "more than one checkpoint begins" if rows else "there is no checkpoint that begins"
        raise NotThere("checkpoint_id", f"{what} with {checkpoint_id!r}")
    return rows[0]


def recent(
    conn: sqlite3.Connection,
    *,
    conversation: str | None = None,
    kind: str | None = None,
    limit: int = 100,
    before: tuple[float, str] | None = None,
) -> list[Checkpoint]:
    """Checkpoints, newest first; `before` is (created_at, checkpoint_id) of the last one of the
    page before."""
    where, args = ["1"], list[object]()
    for column, value in (("conversation", conversation), ("kind", kind)):
        if value is not None:
            where.append(f"c.{column} = ?")
            args.append(value)
    if before is not None:
        where.append("(c.created_at, c.checkpoint_id) < (?, ?)")
        args += before
    order = "ORDER BY c.created_at DESC, c.checkpoint_id DESC LIMIT ?"
    return _all(conn, f"WHERE {' AND '.join(where)} {order}", *args, limit)


def find_checkpoints(conn: sqlite3.Connection, message_id: str) -> list[Checkpoint]:
    """Every checkpoint that has a message, newest first."""
    if not fields.is_storable(message_id):
        return []
    sql = """JOIN checkpoint_messages m USING (checkpoint_id) WHERE m.message_id = ?
    ORDER BY c.created_at DESC, c.checkpoint_id DESC"""
    return _all(conn, sql, message_id)


def find_checkpoint(conn: sqlite3.Connection, message_id: str) -> Checkpoint | None:
    """The newest checkpoint that has a message; None where none has."""
    return next(iter(find_checkpoints(conn, message_id)), None)


def lineage(conn: sqlite3.Connection, checkpoint_id: str) -> Lineage:
    """Where a checkpoint came from, and what came from it. Raises NotThere."""
    at = the(conn, checkpoint_id)
    children = _all(conn, "WHERE c.parent_id = ? ORDER BY c.created_at", at.checkpoint_id)
    parents: list[Checkpoint] = []
    seen = {at.checkpoint_id}
    while at.parent_id is not None and at.parent_id not in seen:
        seen.add(at.parent_id)
        parent = get(conn, at.parent_id)
        if parent is None:
            break
        parents.append(parent)
        at = parent
    return Lineage(parents, children)


def verify(conn: sqlite3.Connection, checkpoint_id: str) -> Verification:
    """Looks at the file of a checkpoint: is it there, readable, of the registered size and content,
    with the registered rows and messages. Raises NotThere."""
    found = the(conn, checkpoint_id)
    key, path = found.checkpoint_id, Path(found.path)
    try:
        stamp = files.stamp(path)
    except FileNotFoundError:
        return Verification(key, [f"the file is not there: {path}"], [])
    except OSError as problem:
        return Verification(key, [f"the file cannot be read: {problem.strerror}: {path}"], [])
    problems: list[str] = []
    if stamp.size != found.size:
        problems.append(f"the file has {stamp.size:,} bytes, {found.size:,} are registered")
    elif stamp.sha256 != found.sha256:
        problems.append("the content of the file is not what was registered (SHA-256)")
    if not has_parquet():
        return Verification(key, problems, ["rows and messages: agentmon[parquet] is needed"])
    try:
        ids = files.message_ids(path)
    except (ValueError, OSError) as problem:
        return Verification(key, [*problems, f"the file is no readable Parquet: {problem}"], [])
    if len(ids) != found.row_count:
        problems.append(f"the file has {len(ids):,} rows, {found.row_count:,} are registered")
    rows = conn.execute(
        "SELECT message_id FROM checkpoint_messages WHERE checkpoint_id = ?", (key,)
    )
    missing = {message_id for (message_id,) in rows}.difference(filter(None, ids))
    if missing:
        named = ", ".join(islice(sorted(missing), 3))
        problems.append(f"{len(missing):,} registered messages are not in the file: {named}")
    return Verification(key, problems, [])
