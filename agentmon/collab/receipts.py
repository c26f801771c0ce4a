"""Marks that go back to where a message came from: delivered, read, acknowledged.

What came from another store is expected to be marked here; a trigger notes each mark as due, and a
transport tells the sender's store of it. Telling twice changes nothing.
"""

import math
import sqlite3
import time
from collections.abc import Collection, Sequence

import msgspec
from msgspec import Struct

from agentmon.collab import archive
from agentmon.collab.form import MessageError, agent_name, compact


class Receipt(Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent did with a message; epoch seconds by its clock, None: not yet."""

    agent: str
    message_id: str
    delivered: float | None = None
    read: float | None = None
    acked: float | None = None


class Due(Struct, frozen=True):
    """A receipt that the store of `sender` has yet to get."""

    seq: int
    sender: str
    receipt: Receipt


def expect(conn: sqlite3.Connection, transport: str, receiver: str, message_id: str) -> None:
    """A message came from another store, which wants to hear of it. In the caller's transaction."""
    sql = """
    INSERT OR IGNORE INTO agent_receipts (receiver, seq, transport)
    SELECT ?, seq, ? FROM agent_messages WHERE message_id = ? AND host IS NOT NULL
    """
    conn.execute(sql, (receiver, transport, message_id))


def due(
    conn: sqlite3.Connection, transport: str, but: Collection[str] = (), limit: int = 200
) -> list[Due]:
    """The oldest that are due for a transport, `but` for these senders."""
    sql = """
    SELECT d.seq, m.sender, d.receiver, m.message_id, d.delivered_at, d.read_at, d.acked_at
    FROM agent_receipts AS r
    JOIN agent_deliveries AS d ON d.receiver = r.receiver AND d.seq = r.seq
    JOIN agent_messages AS m ON m.seq = r.seq
    WHERE r.transport = ? AND r.due = 1 AND m.sender NOT IN (SELECT value FROM json_each(?))
    ORDER BY r.seq LIMIT ?
    """
    rows = conn.execute(sql, (transport, compact([*but]), limit))
    return [Due(seq, sender, Receipt(*receipt)) for seq, sender, *receipt in rows]


def settle(conn: sqlite3.Connection, told: Sequence[Due]) -> None:
    """They were told; what was marked meanwhile stays due. In the caller's transaction."""
    sql = """
    UPDATE agent_receipts SET due = 0 WHERE receiver = ?1 AND seq = ?2 AND EXISTS (
      SELECT 1 FROM agent_deliveries WHERE receiver = ?1 AND seq = ?2
        AND delivered_at IS ?3 AND read_at IS ?4 AND acked_at IS ?5)
    """
    conn.executemany(sql, [(r.agent, one.seq, *_marks(r)) for one in told for r in (one.receipt,)])


def _marks(receipt: Receipt) -> tuple[float | None, float | None, float | None]:
    return receipt.delivered, receipt.read, receipt.acked


def decode(data: bytes) -> Receipt | None:
    """A receipt from elsewhere; None where it is none."""
    try:
        found = msgspec.json.decode(data, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    marks = [mark for mark in _marks(found) if mark is not None]
    is_sound = all(math.isfinite(mark) and mark >= 0 for mark in marks)
    try:
        agent_name(found.agent, "agent")
    except MessageError:
        return None
    return found if is_sound and marks else None


def take(conn: sqlite3.Connection, sender: str, receipts: Sequence[Receipt]) -> None:
    """Marks what `sender` sent. Who got it as one of everybody, and was not known here, is now. In
    the caller's transaction."""
    sql = """
    INSERT OR IGNORE INTO agent_deliveries (receiver, seq)
    SELECT ?, seq FROM agent_messages WHERE message_id = ? AND sender = ?
      AND receivers = '["*"]'
    """
    now = time.time()
    for receipt in receipts:
        mail = archive.get(conn, receipt.message_id)
        if mail is None or mail.sender != sender:
            continue
        conn.execute(sql, (receipt.agent, receipt.message_id, sender))
        delivered, read, acked = (None if at is None else min(at, now) for at in _marks(receipt))
        archive.mark(
            conn, receipt.agent, [receipt.message_id], delivered=delivered, read=read, acked=acked
        )
