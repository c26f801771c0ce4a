"""What came for an agent from another machine, put into this store's archive."""

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from agentmon.collab import archive, receipts
from agentmon.collab.form import Message

ORIGIN = "redis"


class Arrival(Struct, frozen=True):
    """A message, and the machine it was sent from where that is told."""

    message: Message
    host: str | None = None


def keep(conn: sqlite3.Connection, transport: str, agent: str, arrivals: Sequence[Arrival]) -> int:
    """Archives what is not known yet, for this agent only: the others it is for get it by their own
    inboxes. In the caller's transaction. How many were new for the agent."""
    new = 0
    for arrival in arrivals:
        draft = archive.draft_of(arrival.message, ORIGIN, arrival.host)._replace(readers=[agent])
        if archive.add(conn, draft) is not None:
            new += 1
        else:
            new += _also_for(conn, agent, arrival.message)
        receipts.expect(conn, transport, agent, arrival.message.message_id)
    return new


def _also_for(conn: sqlite3.Connection, agent: str, message: Message) -> int:
    """A message that is archived already, because of its sender or of another reader here."""
    is_new = conn.execute(_DELIVERY, (agent, message.message_id)).rowcount
    if is_new:
        conn.execute(_RECEIVED, (archive.day_of(message.timestamp), agent))
    return is_new


_DELIVERY = """
INSERT OR IGNORE INTO agent_deliveries (receiver, seq)
SELECT ?, seq FROM agent_messages WHERE message_id = ?
"""
_RECEIVED = """
INSERT INTO daily_metrics (day, agent, metric, value) VALUES (?, ?, 'messages_received', 1)
ON CONFLICT (day, agent, metric) DO UPDATE SET value = value + 1
"""
