"""Rows of the archive as messages, with their deliveries."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from agentmon.collab.mail import Delivery, Mail

_COLUMNS = """seq, message_id, thread_id, reply_to, sender, receivers, type, priority, subject, {},
  sent_at, archived_at, ack_required, work_completed, context_understanding, origin, host,
  session_id, thread_agent, round_id, tool_use_id"""


def mails(conn: sqlite3.Connection, seqs: Sequence[int], excerpt: int | None = None) -> list[Mail]:
    """The messages in the order given, with their deliveries."""
    found: dict[int, Mail] = {}
    body = "body" if excerpt is None else f"substr(body, 1, {int(excerpt)})"
    for at in range(0, len(seqs), 500):
        some = seqs[at : at + 500]
        marks = ",".join("?" * len(some))
        rows = conn.execute(
            f"SELECT {_COLUMNS.format(body)} FROM agent_messages WHERE seq IN ({marks})", some
        )
        found.update((row[0], _mail(row)) for row in rows)
        for seq, *delivery in conn.execute(
            "SELECT seq, receiver, delivered_at, read_at, acked_at, session_id, round_id"
            f" FROM agent_deliveries WHERE seq IN ({marks}) ORDER BY seq, receiver",
            some,
        ):
            if seq in found:
                found[seq].deliveries.append(Delivery(*delivery))
    return [found[seq] for seq in seqs if seq in found]


def _mail(row: Sequence[Any]) -> Mail:
    given = list(row)
    given[5], given[12] = json.loads(row[5]), bool(row[12])
    for at in (13, 14):
        given[at] = None if row[at] is None else json.loads(row[at])
    return Mail(*given, deliveries=[])


def listed(
    conn: sqlite3.Connection, sql: str, given: Sequence[object], excerpt: int | None = None
) -> list[Mail]:
    """The messages whose numbers a query gives, in its order."""
    return mails(conn, [row[0] for row in conn.execute(sql, given)], excerpt)


def names(conn: sqlite3.Connection) -> list[str]:
    """Everybody who sent, listened or registered."""
    return [name for (name,) in conn.execute("SELECT name FROM agent_names ORDER BY name")]
