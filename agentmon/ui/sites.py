"""Places worth jumping to: errors, stalls, waits for a person."""

import sqlite3
from typing import Protocol

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


class Linked(Protocol):
    """What knows the call, round and session that it came from."""

    @property
    def session_id(self) -> str | None: ...

    @property
    def round_id(self) -> str | None: ...


def linked_site(
    conn: sqlite3.Connection,
    kind: str,
    linked: Linked,
    *,
    tool_use_id: str | None = None,
    agent_id: str | None = None,
) -> Site | None:
    """The call, else the round or session; None where it is not known or no longer in the store."""
    block = read.block_of_call(conn, tool_use_id) if tool_use_id is not None else None
    sid = block.sid if block is not None else linked.session_id
    if sid is None or read.session(conn, sid) is None:
        return None
    message = read.message(conn, block.flow_id) if block is not None else None
    if block is None or message is None:
        return Site(kind, sid, agent_id or "", 0.0, linked.round_id)
    return Site(
        kind,
        sid,
        message.agent_id or "",
        0.0,
        message.round_id or linked.round_id,
        block.flow_id,
        block.index,
    )
