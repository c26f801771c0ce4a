"""Where the index of `search` has to look next, and what is derived from calls: written with each
batch, read by `search_index` and `agentmon.collab.deriving`.

A writer only names what it wrote; whether that is new, and what its text is, the index finds out.
"""

import sqlite3

PROMPTS, BLOCKS, RESULTS = 1, 2, 3
"""Kinds of rows: (sid, ordinal), (flow_id, block_index), (tool_use_id, 0)."""

QUEUE = "INSERT INTO search_queue (kind, owner, number) VALUES (?, ?, ?)"

_SESSION = (
    f"INSERT INTO search_queue (kind, owner, number)"
    f" SELECT {PROMPTS}, sid, ordinal FROM prompts WHERE sid = ?",
    f"INSERT INTO search_queue (kind, owner, number)"
    f" SELECT {BLOCKS}, b.flow_id, b.block_index FROM messages m JOIN content_blocks b"
    f" USING (flow_id) WHERE m.sid = ? AND b.complete_time IS NOT NULL",
    f"INSERT INTO search_queue (kind, owner, number)"
    f" SELECT {RESULTS}, tool_use_id, 0 FROM tool_results WHERE sid = ?",
)


def enqueue_session(conn: sqlite3.Connection, sid: str) -> None:
    """Lets search index a whole session, such as one that was restored; in your transaction."""
    for sql in _SESSION:
        conn.execute(sql, (sid,))


def read_by_all(conn: sqlite3.Connection, read_to: int) -> int:
    """Up to where rows can go: indexed so far, and every rule has derived its things from them."""
    (derived,) = conn.execute("SELECT MIN(read_to) FROM derivations").fetchone()
    return read_to if derived is None else min(read_to, derived)


def trim(conn: sqlite3.Connection, read_to: int) -> None:
    """Drops rows that nobody needs any more, but for the last one: its number must not come
    again."""
    conn.execute(
        "DELETE FROM search_queue WHERE seq <= ? AND seq < (SELECT MAX(seq) FROM search_queue)",
        (read_by_all(conn, read_to),),
    )
