"""Sends that a server has yet to take: rows beside the archive, so that neither a server that is
down nor a sender that dies loses one.

A row is one message for one receiver as addressed. Rows go in the order of the archive, which is
the order in which they were sent.
"""

import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from agentmon.store.file_lock import FileLock

LOCK_NAME = "outbox.lock"


class Waiting(Struct, frozen=True):
    """A message (by its `seq` in the archive) that a receiver has yet to get; "*": everybody."""

    outbox_id: int
    seq: int
    message_id: str
    receiver: str
    queued_at: float


class Late(Struct, frozen=True):
    """What became of a row: the receivers whose inbox did not take the message."""

    row: Waiting
    receivers: list[str]


def put(
    conn: sqlite3.Connection, transport: str, message_id: str, receivers: Collection[str]
) -> int:
    """Queues a message; belongs into the transaction that archives it. Returns how many are new.

    `transport` is an address without credentials (`redis_url.shown`).
    """
    now = time.time()
    rows = [(message_id, transport, receiver, now) for receiver in dict.fromkeys(receivers)]
    return conn.executemany(_PUT, rows).rowcount


_PUT = """
INSERT OR IGNORE INTO agent_outbox (message_id, transport, receiver, queued_at)
VALUES (?, ?, ?, ?)
"""


def waiting(
    conn: sqlite3.Connection,
    transport: str,
    *,
    limit: int = 100,
    after: tuple[int, int] = (0, 0),
) -> list[Waiting]:
    """The oldest rows for a transport; `after` is (seq, outbox_id) of the last one seen."""
    found = conn.execute(_WAITING, (transport, *after, limit))
    return [Waiting(*row) for row in found]


_WAITING = """
SELECT o.outbox_id, m.seq, o.message_id, o.receiver, o.queued_at
FROM agent_outbox AS o JOIN agent_messages AS m ON m.message_id = o.message_id
WHERE o.transport = ? AND (m.seq, o.outbox_id) > (?, ?)
ORDER BY m.seq, o.outbox_id LIMIT ?
"""


def settle(conn: sqlite3.Connection, transport: str, outcomes: Sequence[Late]) -> None:
    """Takes out what was delivered; who is late keeps a row of their own. In a transaction."""
    for outcome in outcomes:
        row = outcome.row
        if outcome.receivers == [row.receiver]:
            continue
        conn.execute("DELETE FROM agent_outbox WHERE outbox_id = ?", (row.outbox_id,))
        put(conn, transport, row.message_id, outcome.receivers)


class Backlog(Struct, frozen=True):
    """What waits for one transport; `since` is the time of the oldest (epoch seconds)."""

    transport: str
    count: int
    since: float


def backlogs(conn: sqlite3.Connection) -> list[Backlog]:
    """What waits, by transport; messages that wait for several receivers count once each."""
    sql = """
    SELECT transport, COUNT(*), MIN(queued_at) FROM agent_outbox GROUP BY transport ORDER BY 1
    """
    return [Backlog(*row) for row in conn.execute(sql)]


def is_waiting(conn: sqlite3.Connection, transport: str, message_id: str | None = None) -> bool:
    """Whether anything waits for a transport, or this message does."""
    sql = "SELECT 1 FROM agent_outbox WHERE transport = ? AND message_id = COALESCE(?, message_id)"
    return conn.execute(f"{sql} LIMIT 1", (transport, message_id)).fetchone() is not None


def turn(data_dir: Path) -> FileLock:
    """Who holds it empties the store's outbox: one at a time, so that nothing is sent twice or
    overtakes."""
    return FileLock(data_dir / LOCK_NAME)
