"""Mail that somebody ought to look at: undelivered, unread though its reader had a turn, or for
nobody who is there. Each alarm says what it rests on."""

import sqlite3
from typing import Literal

import msgspec
from msgspec import Struct

from agentmon.core.names import session_name
from agentmon.core.text import one_line

GRACE = 60.0
"""Seconds in which a reader may appear, or a transport take a message, before it is an alarm."""

MOST = 200
"""Alarms that are listed, the newest; `count` counts all."""

_SESSIONS = 1000
"""Sessions, the last that were active, whose names are known as readers."""

Kind = Literal["unread", "no reader", "undelivered"]


class Alarm(Struct):
    """A message and a reader who has not read it. Times are epoch seconds."""

    kind: Kind
    message_id: str
    seq: int
    sender: str
    receiver: str
    subject: str
    sent_at: float
    since: float
    """From when on it was wrong: the reader's turn, or the end of the grace."""
    evidence: str
    """In words, names cleaned."""
    session_id: str | None = None
    """Of the reader, where that is known."""
    round_id: str | None = None
    """The first turn that the reader had since."""


class _Reader(Struct):
    """Whoever has unread mail: `session_id` None: not known; `last_seen` None: nobody knows it."""

    name: str
    unread: int
    session_id: str | None
    last_seen: float | None


def alarms(conn: sqlite3.Connection, now: float, limit: int = MOST) -> list[Alarm]:
    """The newest alarms, newest message first."""
    found = _waiting(conn, now, limit)
    for reader in _readers(conn):
        found += _of(conn, reader, now, limit)
    found.sort(key=lambda alarm: alarm.seq, reverse=True)
    return found[:limit]


def count(conn: sqlite3.Connection, now: float) -> int:
    """How many there are."""
    sql = "SELECT COUNT(*) FROM agent_outbox WHERE queued_at < ?"
    (total,) = conn.execute(sql, (now - GRACE,)).fetchone()
    for reader in _readers(conn):
        sql = f"SELECT COUNT(*) {_UNREAD} AND m.sent_at < ?"
        total += conn.execute(sql, (reader.name, _moment(conn, reader, now))).fetchone()[0]
    return total


_WAITING = """
SELECT m.message_id, m.seq, m.sender, m.receivers, m.subject, m.sent_at, o.queued_at, o.transport
FROM agent_outbox o JOIN agent_messages m USING (message_id)
WHERE o.queued_at < ? ORDER BY o.outbox_id DESC LIMIT ?"""


def _waiting(conn: sqlite3.Connection, now: float, limit: int) -> list[Alarm]:
    found: list[Alarm] = []
    for row in conn.execute(_WAITING, (now - GRACE, limit)):
        message_id, seq, sender, receivers, subject, sent_at, queued_at, transport = row
        names = ", ".join(msgspec.json.decode(receivers, type=list[str]))
        words = f"waits for {one_line(transport, 80)} since it was sent"
        since = queued_at + GRACE
        found.append(
            Alarm("undelivered", message_id, seq, sender, names, subject, sent_at, since, words)
        )
    return found


_READERS = """
SELECT d.receiver, COUNT(*), n.session_id, n.last_seen
FROM agent_deliveries d LEFT JOIN agent_names n ON n.name = d.receiver
WHERE d.read_at IS NULL GROUP BY d.receiver"""


def _readers(conn: sqlite3.Connection) -> list[_Reader]:
    """Everybody with unread mail; sessions by the name that the board shows, the last one first."""
    found = [_Reader(*row) for row in conn.execute(_READERS)]
    if any(reader.session_id is None for reader in found):
        sql = "SELECT sid, cwd, last_time FROM sessions ORDER BY last_time DESC LIMIT ?"
        named: dict[str, tuple[str, float]] = {}
        for sid, cwd, last in conn.execute(sql, (_SESSIONS,)):
            named.setdefault(one_line(session_name(sid, cwd), 200), (sid, last or 0.0))
        for reader in found:
            if reader.session_id is None and reader.name in named:
                reader.session_id, last = named[reader.name]
                reader.last_seen = max(reader.last_seen or 0.0, last)
    return found


_UNREAD = """
FROM agent_deliveries d JOIN agent_messages m ON m.seq = d.seq
WHERE d.receiver = ? AND d.read_at IS NULL"""

_LAST_TURN = """
SELECT MAX(start_time) FROM rounds WHERE sid = ? AND prompts > 0"""

_TURNS = """
SELECT round_id, start_time FROM rounds WHERE sid = ? AND prompts > 0 AND start_time > ?
ORDER BY start_time LIMIT 1"""


def _moment(conn: sqlite3.Connection, reader: _Reader, now: float) -> float:
    """What was sent before it, and was not read, is an alarm."""
    if reader.last_seen is None:
        return now - GRACE
    if reader.session_id is not None:
        (last,) = conn.execute(_LAST_TURN, (reader.session_id,)).fetchone()
        return last or 0.0
    return reader.last_seen - GRACE


def _of(conn: sqlite3.Connection, reader: _Reader, now: float, limit: int) -> list[Alarm]:
    moment = _moment(conn, reader, now)
    sql = f"""
    SELECT m.message_id, m.seq, m.sender, m.subject, m.sent_at, d.delivered_at
    {_UNREAD} AND m.sent_at < ? ORDER BY d.seq DESC LIMIT ?"""
    found: list[Alarm] = []
    for row in conn.execute(sql, (reader.name, moment, limit)).fetchall():
        message_id, seq, sender, subject, sent_at, delivered_at = row
        kind: Kind = "unread"
        since, round_id, name = sent_at + GRACE, None, one_line(reader.name, 60)
        if reader.last_seen is None:
            kind, words = "no reader", f"nobody is called {name}"
        elif reader.session_id is not None:
            turn = conn.execute(_TURNS, (reader.session_id, sent_at)).fetchone()
            round_id, since = turn if turn is not None else (None, since)
            words = f"{name} had a turn since, and has not read it"
        else:
            since = max(since, reader.last_seen)
            words = f"{name} was there since, and has not read it"
        if delivered_at is not None:
            words += ", though it was delivered"
        found.append(
            Alarm(
                kind,
                message_id,
                seq,
                sender,
                reader.name,
                subject,
                sent_at,
                since,
                words,
                reader.session_id,
                round_id,
            )
        )
    return found
