"""The work log: what agents did, said by them or derived from their calls.

Functions over a connection; those that write run in the caller's transaction. Times are epoch
seconds, UTC. Lines are those that were added to and deleted from files; None: not known.
"""

import json
import re
import sqlite3
import time as clock
from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import uuid4

from msgspec import Struct, field

from agentmon.collab import work_sums
from agentmon.store import read

KINDS = (
    "file_created",
    "file_modified",
    "file_deleted",
    "file_moved",
    "git_commit",
    "test_run",
    "deployment",
)
"""Kinds that are derived; what is said may be of any other kind as well."""

SAID, DERIVED = "said", "derived"

_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LAST_TIME = 253_402_300_799.0
_MOST_LINES = 1 << 40


class WorkError(ValueError):
    """An event that can't be logged; the message begins with the name of the field."""


class WorkFile(Struct):
    """A file of an event; lines None: not known."""

    path: str
    """Absolute where the folder was known."""
    lines_added: int | None = None
    lines_deleted: int | None = None


class WorkEvent(Struct):
    """Something that an agent did."""

    event_id: int = 0
    event_key: str = ""
    """What makes it the same event when it is added again; "" for one of its own."""
    time: float = 0.0
    kind: str = ""
    agent: str = ""
    summary: str = ""
    lines_added: int | None = None
    lines_deleted: int | None = None
    commit_hash: str | None = None
    is_success: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    origin: str = SAID
    """said, derived."""
    session_id: str | None = None
    thread_agent: str | None = None
    """The subagent that did it; None: the main agent, or not known."""
    round_id: str | None = None
    tool_use_id: str | None = None
    files: list[WorkFile] = field(default_factory=list[WorkFile])


class Activity(Struct):
    """What an agent did over some days."""

    agent: str
    since: float
    until: float
    events: int = 0
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    commits: int = 0
    lines_added: int = 0
    lines_deleted: int = 0
    files: int = 0
    """Different ones."""
    tests_passed: int = 0
    tests_failed: int = 0
    failures: int = 0
    """Events that say that they failed."""
    first: float | None = None
    last: float | None = None
    days: dict[str, int] = field(default_factory=dict[str, int])
    """Events by day (UTC), days without any left out."""


class Touch(Struct):
    """That a file was worked on: the event, what it did to this file, and in which round, why."""

    event: WorkEvent
    path: str
    lines_added: int | None
    lines_deleted: int | None
    round_number: int | None
    why: str | None
    """The prompt of the round; None: nobody told."""


def checked_agent(name: str, what: str = "agent") -> str:
    """A name as an agent may have it: 1 to 200 characters, none of them a control character.

    Raises WorkError naming the field."""
    if not 1 <= len(name) <= 200:
        raise WorkError(f"{what}: give a name of 1 to 200 characters")
    if _CONTROL.search(name):
        raise WorkError(f"{what}: a name has no control characters")
    return plain(name)


def check(event: WorkEvent) -> None:
    """Raises WorkError for a value that can't be logged, naming the field."""
    checked_agent(event.agent)
    if not _KIND.fullmatch(event.kind):
        raise WorkError("kind: give lower-case letters, digits and _, such as file_modified")
    if not 0 <= event.time <= _LAST_TIME:
        raise WorkError("time: give epoch seconds")
    if event.origin not in (SAID, DERIVED):
        raise WorkError("origin: said or derived")
    for of in (event, *event.files):
        for name in ("lines_added", "lines_deleted"):
            value = getattr(of, name)
            if value is not None and not 0 <= value <= _MOST_LINES:
                raise WorkError(f"{name}: give a number of lines, 0 or more")
    for file in event.files:
        if not file.path or len(file.path) > 4096 or "\0" in file.path:
            raise WorkError("files: give paths of 1 to 4096 characters")
    try:
        json.dumps(event.metadata, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise WorkError(f"metadata: no JSON object ({problem})") from problem


def plain(text: str) -> str:
    """The text without lone surrogates, which no database takes; each becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# Writing


_INSERT = """
INSERT INTO work_events (event_key, time, kind, agent, summary, lines_added, lines_deleted,
  commit_hash, is_success, metadata, origin, session_id, thread_agent, round_id, tool_use_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_key) DO NOTHING RETURNING event_id
"""
_FILE = "INSERT OR REPLACE INTO work_files VALUES (?, ?, ?, ?)"


def add(conn: sqlite3.Connection, event: WorkEvent) -> bool:
    """Logs an event and counts it in the daily metrics; in the caller's transaction.

    False: an event of this key is there already, nothing is changed. Sets `event_id`, and
    `event_key` where it has none. Lines that are not given are the sums over its files, where all
    of them are known. Raises WorkError."""
    check(event)
    event.event_key = event.event_key or f"said:{uuid4().hex}"
    for name in ("lines_added", "lines_deleted"):
        if getattr(event, name) is None:
            setattr(event, name, _total([getattr(file, name) for file in event.files]))
    found = conn.execute(_INSERT, _row(event)).fetchone()
    if found is None:
        return False
    event.event_id = found[0]
    rows = [(plain(f.path), event.event_id, f.lines_added, f.lines_deleted) for f in event.files]
    conn.executemany(_FILE, rows)
    work_sums.count(conn, event, 1)
    return True


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _row(event: WorkEvent) -> tuple[object, ...]:
    return (
        plain(event.event_key),
        float(event.time),
        event.kind,
        plain(event.agent),
        plain(event.summary),
        event.lines_added,
        event.lines_deleted,
        _text(event.commit_hash),
        event.is_success,
        plain(json.dumps(event.metadata, ensure_ascii=False, sort_keys=True)),
        event.origin,
        _text(event.session_id),
        _text(event.thread_agent),
        _text(event.round_id),
        _text(event.tool_use_id),
    )


def _text(value: str | None) -> str | None:
    return None if value is None else plain(value)


def replace(conn: sqlite3.Connection, tool_use_id: str, events: Sequence[WorkEvent]) -> None:
    """Makes these the derived events of a call; what is the same already stays as it is. In the
    caller's transaction. Raises WorkError."""
    where = "tool_use_id = ? AND origin = ?"
    before = _events(conn, f"{_SELECT} WHERE {where}", (plain(tool_use_id), DERIVED))
    there = {event.event_key: event for event in before}
    for event in events:
        check(event)
        old = there.get(plain(event.event_key))
        if old is not None and _contents(old) == _contents(event):
            del there[old.event_key]
    for event in there.values():
        _remove(conn, event)
    for event in events:
        add(conn, event)


def _contents(event: WorkEvent) -> tuple[object, ...]:
    files = {plain(f.path): (f.lines_added, f.lines_deleted) for f in event.files}
    lines = [_total([getattr(f, n) for f in event.files]) for n in ("lines_added", "lines_deleted")]
    added = lines[0] if event.lines_added is None else event.lines_added
    deleted = lines[1] if event.lines_deleted is None else event.lines_deleted
    row = _row(event)
    return (*row[:5], added, deleted, *row[7:], files)


def _remove(conn: sqlite3.Connection, event: WorkEvent) -> None:
    work_sums.count(conn, event, -1)
    conn.execute("DELETE FROM work_files WHERE event_id = ?", (event.event_id,))
    conn.execute("DELETE FROM work_events WHERE event_id = ?", (event.event_id,))


# Reading


_COLUMNS = """
w.event_id, w.event_key, w.time, w.kind, w.agent, w.summary, w.lines_added, w.lines_deleted,
w.commit_hash, w.is_success, w.metadata, w.origin, w.session_id, w.thread_agent, w.round_id,
w.tool_use_id
"""
_SELECT = f"SELECT {_COLUMNS} FROM work_events w"
_NEWEST = " ORDER BY w.time DESC, w.event_id DESC LIMIT ?"


def recent(
    conn: sqlite3.Connection,
    *,
    agent: str | None = None,
    kind: str | None = None,
    since: float | None = None,
    until: float | None = None,
    session_id: str | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[WorkEvent]:
    """Events, newest first; `before`: those that come after the event of this id in that order."""
    where, given = _wanted(agent=agent, kind=kind, session_id=session_id, since=since)
    if until is not None:
        where.append("w.time < ?")
        given.append(until)
    if before is not None:
        where.append(f"(w.time, w.event_id) < ({_PLACE})")
        given.append(before)
    condition = " WHERE " + " AND ".join(where) if where else ""
    return _events(conn, _SELECT + condition + _NEWEST, (*given, limit))


_PLACE = "SELECT time, event_id FROM work_events WHERE event_id = ?"


def _wanted(*, since: float | None, **named: str | None) -> tuple[list[str], list[object]]:
    """Conditions on columns, where they are given, and their values."""
    there = {name: plain(value) for name, value in named.items() if value is not None}
    where, given = [f"w.{name} = ?" for name in there], list[object](there.values())
    if since is not None:
        where.append("w.time >= ?")
        given.append(since)
    return where, given


def get(conn: sqlite3.Connection, event_id: int) -> WorkEvent | None:
    """The event of an id."""
    found = _events(conn, f"{_SELECT} WHERE w.event_id = ?", (event_id,))
    return found[0] if found else None


def of_call(conn: sqlite3.Connection, tool_use_id: str) -> list[WorkEvent]:
    """What a call did, in its order."""
    sql = f"{_SELECT} WHERE w.tool_use_id = ? ORDER BY w.time, w.event_id"
    return _events(conn, sql, (plain(tool_use_id),))


def _events(conn: sqlite3.Connection, sql: str, args: Iterable[object]) -> list[WorkEvent]:
    found = [_event(row) for row in conn.execute(sql, tuple(args))]
    for event in found:
        rows = conn.execute(
            "SELECT path, lines_added, lines_deleted FROM work_files WHERE event_id = ?"
            " ORDER BY path",
            (event.event_id,),
        )
        event.files = [WorkFile(*row) for row in rows]
    return found


def _event(row: Sequence[Any]) -> WorkEvent:
    values = list(row)
    values[9] = None if values[9] is None else bool(values[9])
    values[10] = decoded(values[10])
    return WorkEvent(*values)


def decoded(text: str) -> dict[str, Any]:
    """The metadata of an event from its JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def agent_activity(
    conn: sqlite3.Connection, agent: str, days: float, *, now: float | None = None
) -> Activity:
    """What an agent did over the last days, until now."""
    until = clock.time() if now is None else now
    found = Activity(agent, until - days * 86_400, until)
    rows = conn.execute(
        f"{_SELECT} WHERE w.agent = ? AND w.time >= ? AND w.time <= ? ORDER BY w.time",
        (plain(agent), found.since, until),
    )
    for event in map(_event, rows):
        found.events += 1
        found.kinds[event.kind] = found.kinds.get(event.kind, 0) + 1
        day = work_sums.day_of(event.time)
        found.days[day] = found.days.get(day, 0) + 1
        found.failures += event.is_success is False
        found.first = event.time if found.first is None else found.first
        found.last = event.time
        sums = work_sums.of(event)
        found.commits += int(sums.get("commits", 0))
        found.lines_added += int(sums.get("lines_added", 0))
        found.lines_deleted += int(sums.get("lines_deleted", 0))
        found.tests_passed += int(sums.get("tests_passed", 0))
        found.tests_failed += int(sums.get("tests_failed", 0))
    (found.files,) = conn.execute(
        "SELECT COUNT(DISTINCT f.path) FROM work_events w JOIN work_files f USING (event_id)"
        " WHERE w.agent = ? AND w.time >= ? AND w.time <= ?",
        (plain(agent), found.since, until),
    ).fetchone()
    return found


_TOUCHES = f"""
SELECT {_COLUMNS}, f.path, f.lines_added, f.lines_deleted
FROM work_files f JOIN work_events w USING (event_id)
WHERE f.path = ? AND w.is_success IS NOT 0"""


def last_touched(
    conn: sqlite3.Connection,
    path: str,
    limit: int = 10,
    *,
    agent: str | None = None,
    kind: str | None = None,
    since: float | None = None,
) -> list[Touch]:
    """Who worked on a file last, newest first: in which round, and why (its prompt).

    Failed calls touched nothing."""
    where, given = _wanted(agent=agent, kind=kind, since=since)
    sql = " AND ".join((_TOUCHES, *where)) + _NEWEST
    found: list[Touch] = []
    for row in conn.execute(sql, (plain(path), *given, limit)).fetchall():
        event = _event(row[:16])
        number, why = _round(conn, event)
        found.append(Touch(event, row[16], row[17], row[18], number, why))
    return found


def _round(conn: sqlite3.Connection, event: WorkEvent) -> tuple[int | None, str | None]:
    if event.session_id is None or event.round_id is None:
        return None, None
    row = read.round_(conn, event.session_id, event.round_id)
    return (None, None) if row is None else (row.round_number, row.user_prompt)


def paths_like(conn: sqlite3.Connection, path: str, *, limit: int = 20) -> list[str]:
    """Logged files that a path may mean: itself, else those that end in it."""
    wanted = plain(path)
    if conn.execute("SELECT 1 FROM work_files WHERE path = ? LIMIT 1", (wanted,)).fetchone():
        return [wanted]
    tail = "/" + wanted.removeprefix("./").lstrip("/")
    found = conn.execute(
        "SELECT DISTINCT path FROM work_files WHERE substr(path, -?) = ? LIMIT ?",
        (len(tail), tail, limit),
    )
    return [name for (name,) in found]


def agents(conn: sqlite3.Connection) -> list[str]:
    """Everybody who has done something, by name."""
    sql = "SELECT DISTINCT agent FROM work_events ORDER BY agent"
    return [name for (name,) in conn.execute(sql)]
