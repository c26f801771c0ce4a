"""Every message between agents ever sent or seen, once each: written, marked, listed and found.

Functions over a connection. Those that write (`add`, `mark`, `register`) belong in a transaction of
the caller's (`db.transaction`); those that read give pages by `seq`, the order of archiving, since
the clocks of senders differ.
"""

import sqlite3
import time

from agentmon.collab.archiving import add, day_of, mark, register
from agentmon.collab.mail import Counts, Delivery, Draft, Mail, draft_of, message_of
from agentmon.collab.mail_rows import listed, names

__all__ = [
    "Counts",
    "Delivery",
    "Draft",
    "Mail",
    "add",
    "by_start",
    "conversation_history",
    "counts",
    "day_of",
    "draft_of",
    "get",
    "inbox",
    "mark",
    "message_of",
    "names",
    "recent",
    "register",
    "search",
    "thread",
    "undelivered",
]

_RECENT = "SELECT seq FROM agent_messages WHERE seq < ? ORDER BY seq DESC LIMIT ?"
_UNREAD = """
SELECT DISTINCT seq FROM agent_deliveries WHERE read_at IS NULL AND seq < ?
ORDER BY seq DESC LIMIT ?
"""
_OF_AGENT = """
SELECT seq FROM (SELECT seq FROM agent_messages WHERE sender = ?1 AND seq < ?2
  ORDER BY seq DESC LIMIT ?3)
UNION
SELECT seq FROM (SELECT seq FROM agent_deliveries WHERE receiver = ?1 AND seq < ?2
  ORDER BY seq DESC LIMIT ?3)
ORDER BY seq DESC LIMIT ?3
"""
_UNREAD_OF = """
SELECT seq FROM agent_deliveries WHERE receiver = ?1 AND read_at IS NULL AND seq < ?2
ORDER BY seq DESC LIMIT ?3
"""
_NEWEST = (1 << 63) - 1


def recent(
    conn: sqlite3.Connection,
    *,
    limit: int = 100,
    before: int | None = None,
    unread: bool = False,
    agent: str | None = None,
    excerpt: int | None = None,
) -> list[Mail]:
    """The newest messages first: all, or those that an agent sent or got; with `unread` only what
    somebody (that agent) has yet to read. `before`: the last `seq` of the page before. `excerpt`:
    so many characters of each body are enough."""
    top = _NEWEST if before is None else before
    if agent is None:
        return listed(conn, _UNREAD if unread else _RECENT, (top, limit), excerpt)
    return listed(conn, _UNREAD_OF if unread else _OF_AGENT, (agent, top, limit), excerpt)


def get(conn: sqlite3.Connection, message_id: str) -> Mail | None:
    """One message by its id."""
    found = listed(conn, "SELECT seq FROM agent_messages WHERE message_id = ?", (message_id,))
    return found[0] if found else None


def by_start(conn: sqlite3.Connection, start: str, limit: int = 5) -> list[str]:
    """The ids of messages that are, or begin with, what a person typed of one."""
    if not start:
        return []
    if get(conn, start) is not None:
        return [start]
    return [
        row[0]
        for row in conn.execute(
            "SELECT message_id FROM agent_messages WHERE message_id >= ? AND message_id < ?"
            " ORDER BY message_id LIMIT ?",
            (start, start + "\U0010ffff", limit),
        )
    ]


def inbox(
    conn: sqlite3.Connection, agent: str, *, unread: bool = True, limit: int = 50
) -> list[Mail]:
    """What an agent has yet to read, or (`unread` False) the newest it ever got; oldest first."""
    sql = "SELECT seq FROM agent_deliveries WHERE receiver = ?"
    if unread:
        return listed(conn, f"{sql} AND read_at IS NULL ORDER BY seq LIMIT ?", (agent, limit))
    return listed(conn, f"{sql} ORDER BY seq DESC LIMIT ?", (agent, limit))[::-1]


def undelivered(
    conn: sqlite3.Connection, agent: str, after: int = 0, limit: int = 100
) -> list[Mail]:
    """What nobody has been handed for an agent yet, oldest first, from behind a `seq`."""
    return listed(
        conn,
        "SELECT seq FROM agent_deliveries WHERE receiver = ? AND seq > ? AND read_at IS NULL"
        " AND delivered_at IS NULL ORDER BY seq LIMIT ?",
        (agent, after, limit),
    )


def thread(
    conn: sqlite3.Connection, thread_id: str, limit: int = 1000, *, excerpt: int | None = None
) -> list[Mail]:
    """The last messages of a thread, oldest first. `excerpt`: as in `recent`."""
    return listed(
        conn,
        "SELECT seq FROM agent_messages WHERE thread_id = ? ORDER BY seq DESC LIMIT ?",
        (thread_id, limit),
        excerpt,
    )[::-1]


_BETWEEN = """
SELECT seq FROM (SELECT d.seq FROM agent_deliveries d JOIN agent_messages m ON m.seq = d.seq
  WHERE d.receiver = ?2 AND m.sender = ?1 ORDER BY d.seq DESC LIMIT ?3)
UNION
SELECT seq FROM (SELECT d.seq FROM agent_deliveries d JOIN agent_messages m ON m.seq = d.seq
  WHERE d.receiver = ?1 AND m.sender = ?2 ORDER BY d.seq DESC LIMIT ?3)
ORDER BY seq DESC LIMIT ?3
"""


def conversation_history(conn: sqlite3.Connection, a: str, b: str, limit: int = 50) -> list[Mail]:
    """The last messages that one of two agents sent and the other got, oldest first."""
    return listed(conn, _BETWEEN, (a, b, limit))[::-1]


SEARCH_FIELDS = {"from": "sender", "to": "receivers", "subject": "subject"}
_WHOLE = {
    "from": "m.sender = ?",
    "to": "EXISTS (SELECT 1 FROM json_each(m.receivers) r WHERE r.value = ?)",
    "subject": "m.subject = ?",
}


def search(
    conn: sqlite3.Connection,
    query: str,
    limit: int = 50,
    *,
    before: int | None = None,
    excerpt: int | None = None,
) -> list[Mail]:
    """The newest messages that have all the words, "phrases", starts* (and not the -others) in
    names, subject or body; `from:`, `to:` and `subject:` look there alone. Whatever is typed is
    data; nothing to look for finds nothing."""
    from agentmon.store.search_fields import wanted

    found = wanted(query, SEARCH_FIELDS)
    if not found:
        return []
    sql, order, where, given = "agent_messages m", "m.seq", ["1"], list[object]()
    if found.match:
        sql, order = (
            "agent_messages_text t CROSS JOIN agent_messages m ON m.seq = t.rowid",
            "t.rowid",
        )
        where = ["agent_messages_text MATCH ?"]
        given.append(f"({found.match}) NOT ({found.unlike})" if found.unlike else found.match)
    elif found.unlike:
        where.append(
            "m.seq NOT IN (SELECT rowid FROM agent_messages_text WHERE agent_messages_text MATCH ?)"
        )
        given.append(found.unlike)
    if before is not None:
        where.append(f"{order} < ?")
        given.append(before)
    for field_, value, inverted in found.names:
        where.append(("NOT " if inverted else "") + _WHOLE[field_])
        given.append(value)
    sql = f"SELECT m.seq FROM {sql} WHERE {' AND '.join(where)} ORDER BY {order} DESC LIMIT ?"
    return listed(conn, sql, (*given, limit), excerpt)


def counts(conn: sqlite3.Connection, now: float | None = None) -> Counts:
    """What the archive holds; `alarms` as of now."""
    from agentmon.collab import alarms  # not needed to read an inbox

    one = "SELECT COUNT(*) FROM "
    total = conn.execute(one + "agent_messages").fetchone()[0]
    unread = conn.execute(one + "agent_deliveries WHERE read_at IS NULL").fetchone()[0]
    return Counts(total, unread, alarms.count(conn, time.time() if now is None else now))
