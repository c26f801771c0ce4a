"""What waits in what agents say, decide and do: the figures in the titles of tabs."""

import sqlite3

from msgspec import Struct

MOST = 100
"""What is counted at most: beyond it nobody reads the digits."""

DAY = 86_400.0


class Waiting(Struct, frozen=True):
    """Messages that somebody has yet to read, decisions that are open, work of the last day; each
    at most `MOST`."""

    unread: int = 0
    undecided: int = 0
    worked: int = 0


def waiting(conn: sqlite3.Connection, now: float) -> Waiting:
    """Served by indexes, and never more than `MOST` entries of each."""
    unread = """
    SELECT COUNT(DISTINCT seq) FROM
      (SELECT seq FROM agent_deliveries WHERE read_at IS NULL LIMIT ?)"""
    undecided = "SELECT COUNT(*) FROM (SELECT 1 FROM decisions WHERE status = 'open' LIMIT ?)"
    worked = "SELECT COUNT(*) FROM (SELECT 1 FROM work_events WHERE time >= ? LIMIT ?)"
    return Waiting(
        conn.execute(unread, (MOST,)).fetchone()[0],
        conn.execute(undecided, (MOST,)).fetchone()[0],
        conn.execute(worked, (now - DAY, MOST)).fetchone()[0],
    )


def mail_count(conn: sqlite3.Connection) -> int:
    """How many messages between agents are archived."""
    return int(conn.execute("SELECT COUNT(*) FROM agent_messages").fetchone()[0])
