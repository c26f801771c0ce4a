"""What is written of messages: each archived once, its deliveries marked, its agents known.

All of it belongs in a transaction of the caller's (`db.transaction`).
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from agentmon.collab.form import EVERYBODY, compact
from agentmon.collab.mail import Draft, Mail
from agentmon.collab.mail_rows import mails, names

_INSERT = """
INSERT INTO agent_messages (message_id, thread_id, reply_to, sender, receivers, type, priority,
  subject, body, sent_at, archived_at, ack_required, work_completed, context_understanding, origin,
  host, session_id, thread_agent, round_id, tool_use_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (message_id) DO NOTHING
"""

COUNT = """
INSERT INTO daily_metrics (day, agent, metric, value) VALUES (?, ?, ?, 1)
ON CONFLICT (day, agent, metric) DO UPDATE SET value = value + 1
"""

_SEEN = """
INSERT INTO agent_names (name, first_seen, last_seen, session_id, host) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
  first_seen = MIN(first_seen, excluded.first_seen),
  last_seen = MAX(last_seen, excluded.last_seen),
  session_id = CASE WHEN excluded.last_seen >= last_seen
    THEN COALESCE(excluded.session_id, session_id) ELSE session_id END,
  host = CASE WHEN excluded.last_seen >= last_seen
    THEN COALESCE(excluded.host, host) ELSE host END
"""


def register(
    conn: sqlite3.Connection,
    name: str,
    now: float,
    session_id: str | None = None,
    host: str | None = None,
) -> None:
    """An agent showed that it is there. In the caller's transaction."""
    conn.execute(_SEEN, (name, now, now, session_id, host))


def add(conn: sqlite3.Connection, draft: Draft, now: float | None = None) -> Mail | None:
    """Archives a message with its deliveries, metrics and the work it tells of; None where its
    `message_id` is known already: then nothing changes. In the caller's transaction."""
    now = time.time() if now is None else now
    thread_id = draft.thread_id or _thread_of(conn, draft.reply_to) or draft.message_id
    receivers = draft.receivers or _others(conn, thread_id, draft.reply_to, draft.sender)
    cursor = conn.execute(
        _INSERT,
        (
            draft.message_id,
            thread_id,
            draft.reply_to,
            draft.sender,
            compact(receivers),
            draft.type,
            draft.priority,
            draft.subject,
            draft.body,
            draft.sent_at,
            now,
            draft.ack_required,
            None if draft.work_completed is None else compact(draft.work_completed),
            None if draft.context_understanding is None else compact(draft.context_understanding),
            draft.origin,
            draft.host,
            draft.session_id,
            draft.thread_agent,
            draft.round_id,
            draft.tool_use_id,
        ),
    )
    if not cursor.rowcount:
        return None
    seq = cursor.lastrowid
    assert seq is not None
    register(conn, draft.sender, min(draft.sent_at, now), draft.session_id, draft.host)
    readers = draft.readers
    if readers is None:
        readers = _readers(conn, receivers, draft.sender)
    conn.executemany(
        "INSERT OR IGNORE INTO agent_deliveries (receiver, seq) VALUES (?, ?)",
        [(reader, seq) for reader in readers],
    )
    day = day_of(draft.sent_at)
    conn.execute(COUNT, (day, draft.sender, "messages_sent"))
    conn.executemany(COUNT, [(day, reader, "messages_received") for reader in set(readers)])
    (mail,) = mails(conn, [seq])
    if draft.work_completed is not None:
        from agentmon.collab.told_work import log

        log(conn, mail)
    return mail


def _thread_of(conn: sqlite3.Connection, message_id: str | None) -> str | None:
    """The thread of a message that is replied to. One that is not archived here began it."""
    if message_id is None:
        return None
    found = conn.execute(
        "SELECT thread_id FROM agent_messages WHERE message_id = ?", (message_id,)
    ).fetchone()
    return found[0] if found else message_id


def _others(
    conn: sqlite3.Connection, thread_id: str, reply_to: str | None, sender: str
) -> list[str]:
    """Who is meant where nobody is named: who wrote what is replied to, else all of the thread."""
    if reply_to is not None:
        found = conn.execute(
            "SELECT sender FROM agent_messages WHERE message_id = ?", (reply_to,)
        ).fetchone()
        if found:
            return [found[0]]
    rows = conn.execute(
        "SELECT DISTINCT sender, receivers FROM agent_messages WHERE thread_id = ?", (thread_id,)
    ).fetchall()
    names = dict.fromkeys(name for row in rows for name in (row[0], *json.loads(row[1])))
    return [EVERYBODY] if EVERYBODY in names else [name for name in names if name != sender]


def _readers(conn: sqlite3.Connection, receivers: Sequence[str], sender: str) -> list[str]:
    if EVERYBODY in receivers:
        return [name for name in names(conn) if name != sender]
    return list(dict.fromkeys(receivers))


def day_of(moment: float) -> str:
    """The day in UTC, as `daily_metrics` has it; whatever is no time counts for 1970."""
    try:
        return datetime.fromtimestamp(moment, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "1970-01-01"


_MARK = """
UPDATE agent_deliveries SET
  delivered_at = COALESCE(delivered_at, ?1), read_at = COALESCE(read_at, ?2),
  acked_at = COALESCE(acked_at, ?3),
  session_id = COALESCE(session_id, ?4), round_id = COALESCE(round_id, ?5)
WHERE receiver = ?6 AND seq = (SELECT seq FROM agent_messages WHERE message_id = ?7)
  AND ((?1 IS NOT NULL AND delivered_at IS NULL) OR (?2 IS NOT NULL AND read_at IS NULL)
    OR (?3 IS NOT NULL AND acked_at IS NULL))
"""


def mark(
    conn: sqlite3.Connection,
    agent: str,
    message_ids: Iterable[str],
    *,
    delivered: float | None = None,
    read: float | None = None,
    acked: float | None = None,
    session_id: str | None = None,
    round_id: str | None = None,
) -> int:
    """Marks messages of an agent's, each mark once: the first time stays. What was acknowledged was
    read, and what was read was delivered. How many changed. In the caller's transaction."""
    read = acked if read is None else read
    delivered = read if delivered is None else delivered
    return conn.executemany(
        _MARK,
        [
            (delivered, read, acked, session_id, round_id, agent, message_id)
            for message_id in dict.fromkeys(message_ids)
        ],
    ).rowcount
