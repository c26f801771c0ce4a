"""Which call and round sent or read a message of ours: agents write with `agentmon send` in their
shell, or with the tools of `agentmon mcp`, and what comes back names the messages.

Only what happened while the call ran is linked to it: a call may show messages of others, too.
"""

import re
import sqlite3
from collections.abc import Iterable

from agentmon.collab.calls_seen import Call, Rule
from agentmon.collab.work_of_calls import SHELLS

MARGIN = 2.0
"""Seconds by which the times of a log and ours may differ."""

MOST = 200
"""Messages of one call that are linked."""

_TOOL = re.compile(r"(?:__|\.)(send_message|read_inbox|ack)$")
_COMMAND = re.compile(
    r"\bagentmon\b(?:(?!\bagentmon\b).){0,200}?\b(send|inbox|listen)\b", re.DOTALL
)
"""From the last of several: each stretch is gone through once."""
_ID = re.compile(r'message_id\\*"\s*:\s*\\*"([^"\\]{1,200})|\b([0-9a-f]{32})\b')


def wants(tool: str) -> bool:
    """Our tools, whatever the server is called, and shells."""
    return tool in SHELLS or _TOOL.search(tool) is not None


def take(conn: sqlite3.Connection, call: Call) -> None:
    """Links what a call sent and what it read, where that is not known yet."""
    if call.result is None or not _is_ours(call):
        return
    ids = [a or b for a, b in _ID.findall(call.result)]
    for message_id in list(dict.fromkeys(ids))[:MOST]:
        _link(conn, call, message_id)


RULE = Rule("own messages", 1, wants, take)


def _is_ours(call: Call) -> bool:
    if call.name not in SHELLS:
        return True
    return any(_COMMAND.search(text) for text in _texts(call.input.values()))


def _texts(values: Iterable[object]) -> Iterable[str]:
    """A command, or the list of its words."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


_SENT = """
UPDATE agent_messages SET session_id = ?, thread_agent = ?, round_id = ?, tool_use_id = ?
WHERE message_id = ? AND session_id IS NULL AND archived_at BETWEEN ? AND ?
  AND origin IN ('local', 'redis')
"""
_READ = """
UPDATE agent_deliveries SET session_id = ?, round_id = ?
WHERE seq = (SELECT seq FROM agent_messages WHERE message_id = ?) AND session_id IS NULL
  AND read_at BETWEEN ? AND ?
"""

_IS = """
UPDATE agent_names SET session_id = ?
WHERE name = (SELECT sender FROM agent_messages WHERE message_id = ?)
"""
"""Which session a name is: whether it had a turn since it got mail is told by that."""


def _link(conn: sqlite3.Connection, call: Call, message_id: str) -> None:
    over = call.called_at if call.result_time is None else call.result_time
    span = (call.called_at - MARGIN, over + MARGIN)
    sent = conn.execute(
        _SENT, (call.sid, call.agent_id, call.round_id, call.tool_use_id, message_id, *span)
    )
    conn.execute(_READ, (call.sid, call.round_id, message_id, *span))
    if sent.rowcount and call.agent_id is None:
        conn.execute(_IS, (call.sid, message_id))
