"""Places worth jumping to: errors, stalls, waits for a person."""

import sqlite3

from msgspec import Struct

from agentmon.store import read


class Site(Struct, frozen=True):
    """A place worth jumping to. `index` None: the message itself; `flow_id` None: its round."""

    kind: str
    sid: str
    agent_id: str
    time: float
    round_id: str | None = None
    flow_id: str | None = None
    index: int | None = None
    note: str = ""
    is_live: bool = False
    """Whether the thread is at this place now, so that following it leads there."""
    word: str = ""
    """What to scroll to in its text, in small letters."""


def error_sites(conn: sqlite3.Connection, *, limit: int = 200) -> list[Site]:
    """Broken messages and failed tool calls of all agents, newest first."""
    return [
        Site(
            "error", row.sid, row.agent_id, row.time, row.round_id, row.flow_id, row.index, row.note
        )
        for row in read.errors(conn, limit=limit)
    ]
