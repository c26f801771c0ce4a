"""The threads of a session by name, and when one of them went on. A part of `read`."""

import sqlite3

from msgspec import Struct

from agentmon.core.names import session_name, subagent_name


class ThreadName(Struct):
    """A thread of a session; `agent_id` "" is the main agent. The name is not cleaned."""

    agent_id: str
    name: str
    kind: str | None
    description: str | None
    parent_tool_use_id: str | None


_THREADS = """
SELECT a.agent_id, a.kind, a.description, a.parent_tool_use_id, s.cwd,
       (SELECT p.input_preview FROM content_blocks p
        WHERE p.tool_use_id = a.parent_tool_use_id LIMIT 1)
FROM agents a LEFT JOIN sessions s USING (sid)
WHERE a.sid = ? AND a.agent_id <> 'side' ORDER BY a.agent_id"""


def threads(conn: sqlite3.Connection, sid: str) -> list[ThreadName]:
    """The threads of a session, by the names that the board shows; the main one is first."""
    found: list[ThreadName] = []
    for agent_id, kind, description, call, cwd, preview in conn.execute(_THREADS, (sid,)):
        if agent_id:
            name = subagent_name(agent_id, kind, description, preview)
        else:
            name = session_name(sid, cwd)
        found.append(ThreadName(agent_id, name, kind, description, call))
    return found


_FIRST = """
SELECT start_time, round_id FROM messages
WHERE sid = ? AND {which} AND start_time >= ? ORDER BY start_time LIMIT 1"""


def next_message(
    conn: sqlite3.Connection, sid: str, agent_id: str, after: float
) -> tuple[float, str | None] | None:
    """(start, round) of a thread's first message from a moment on."""
    which = "agent_id = ?" if agent_id else "agent_id IS NULL AND '' = ?"
    sql = _FIRST.format(which=which)
    return conn.execute(sql, (sid, agent_id, after)).fetchone()


def round_at(conn: sqlite3.Connection, sid: str, moment: float) -> str | None:
    """The round that had begun last."""
    sql = """
    SELECT round_id FROM rounds WHERE sid = ? AND prompts > 0 AND start_time <= ?
    ORDER BY start_time DESC LIMIT 1"""
    found = conn.execute(sql, (sid, moment)).fetchone()
    return found[0] if found else None
