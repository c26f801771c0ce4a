"""Messages that were seen sent: when their readers read them, and what these are called."""

import json
import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from agentmon.collab import archive
from agentmon.collab.archiving import COUNT, day_of
from agentmon.collab.observed_agents import of_call, shown_name, thread_called
from agentmon.store.read_threads import ThreadName, next_message, threads

RECENT = 500
"""Messages, the newest of all, among which those that were not read are looked at again."""

_OPEN = """
SELECT d.receiver, m.seq, m.message_id, m.type, m.session_id, COALESCE(m.thread_agent, ''),
       m.tool_use_id, m.reply_to, m.sent_at
FROM agent_deliveries d CROSS JOIN agent_messages m ON m.seq = d.seq
WHERE d.seq > (SELECT MAX(seq) FROM agent_messages) - ? AND d.read_at IS NULL
  AND m.origin IN ('claude', 'codex') AND m.session_id IS NOT NULL
ORDER BY d.seq"""


class _Unread(Struct):
    receiver: str
    seq: int
    message_id: str
    type: str
    sid: str
    sender_thread: str
    tool_use_id: str | None
    reply_to: str | None
    sent_at: float


def settle(conn: sqlite3.Connection) -> None:
    """Marks messages as read whose readers went on; in the caller's transaction."""
    beside: dict[str, list[ThreadName]] = {}
    for row in conn.execute(_OPEN, (RECENT,)).fetchall():
        unread = _Unread(*row)
        if unread.sid not in beside:
            beside[unread.sid] = threads(conn, unread.sid)
        reader = _reader(conn, unread, beside[unread.sid])
        if reader is None:
            continue
        name = shown_name(reader.name)
        if name and name != unread.receiver:
            rename(conn, unread.seq, unread.receiver, name)
            unread.receiver = name
        # a subagent begins with its task, whatever its clock says
        after = 0.0 if unread.type == "task" else unread.sent_at
        found = next_message(conn, unread.sid, reader.agent_id, after)
        archive.register(conn, unread.receiver, unread.sent_at, unread.sid)
        if found is not None:
            moment, round_id = found
            archive.mark(
                conn,
                unread.receiver,
                [unread.message_id],
                read=max(moment, unread.sent_at),
                session_id=unread.sid,
                round_id=round_id,
            )


def _reader(
    conn: sqlite3.Connection, unread: _Unread, beside: Sequence[ThreadName]
) -> ThreadName | None:
    if unread.type == "task":
        return of_call(beside, unread.tool_use_id or "")
    if unread.type == "answer":
        sql = "SELECT COALESCE(thread_agent, '') FROM agent_messages WHERE message_id = ?"
        found = conn.execute(sql, (unread.reply_to,)).fetchone()
        asked = found[0] if found else ""
        return next((one for one in beside if one.agent_id == asked), None)
    return thread_called(beside, unread.sender_thread, unread.receiver)


_COLUMNS = """
seq, message_id, thread_id, reply_to, sender, receivers, type, priority, subject, body, sent_at,
archived_at, ack_required, work_completed, context_understanding, origin, host, session_id,
thread_agent, round_id, tool_use_id"""


def rename(conn: sqlite3.Connection, seq: int, old: str, new: str) -> None:
    """A receiver is known by its name now: of a subagent that has just begun, only its task was.

    The row goes and comes again, so that the full text index follows.
    """
    row = conn.execute(f"SELECT {_COLUMNS} FROM agent_messages WHERE seq = ?", (seq,)).fetchone()
    names = [new if name == old else name for name in json.loads(row[5])]
    values = (*row[:5], json.dumps(names, ensure_ascii=False, separators=(",", ":")), *row[6:])
    conn.execute("DELETE FROM agent_messages WHERE seq = ?", (seq,))
    marks = ", ".join("?" for _ in values)
    conn.execute(f"INSERT INTO agent_messages ({_COLUMNS}) VALUES ({marks})", values)
    conn.execute(
        "UPDATE OR REPLACE agent_deliveries SET receiver = ? WHERE receiver = ? AND seq = ?",
        (new, old, seq),
    )
    day, metric = day_of(row[10]), "messages_received"
    sql = "UPDATE daily_metrics SET value = value - 1 WHERE day = ? AND agent = ? AND metric = ?"
    conn.execute(sql, (day, old, metric))
    conn.execute(
        "DELETE FROM daily_metrics WHERE day = ? AND agent = ? AND metric = ? AND value <= 0",
        (day, old, metric),
    )
    conn.execute(COUNT, (day, new, metric))
