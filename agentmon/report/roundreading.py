"""Reads rounds as trees, a session at a time: what belongs to all of its rounds is read once."""

import sqlite3
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from agentmon.report import board, roundtree
from agentmon.report.roundtree import Asking, RoundTree
from agentmon.store import read
from agentmon.store.texts import preview

EVERY = 1_000_000
"""More rows than a round or a session has."""

_ASKINGS = ("permission_request", "permission_denied", "notification")
_PROMPTING = ("permission_prompt", "agent_needs_input", "elicitation_dialog")


class _Hook(Struct):
    tool_name: str | None = None
    tool_input: msgspec.Raw | None = None
    notification_type: str | None = None


class SessionReader:
    """The rounds of one session. Raises KeyError where there is no such session."""

    def __init__(self, conn: sqlite3.Connection, sid: str) -> None:
        session = read.session(conn, sid)
        if session is None:
            raise KeyError(sid)
        self.session = session
        self._conn = conn
        self._agents = read.agents(conn, sid)
        self._verdicts = read.verdicts(conn, sid, limit=EVERY)
        self._askings = sorted(askings_of(conn, sid), key=lambda asking: asking.time)
        main = next((row for row in self._agents if not row.agent_id), None)
        self.name = "" if main is None else board.Thread(main, session, []).name

    def rounds(self) -> list[read.RoundRow]:
        """All of them, oldest first."""
        return read.rounds(self._conn, self.session.sid, limit=EVERY)[::-1]

    def tree(self, row: read.RoundRow) -> RoundTree:
        sid, round_id = self.session.sid, row.round_id
        return roundtree.build(
            self.session,
            row,
            read.prompts(self._conn, sid, round_id),
            self._agents,
            read.messages(self._conn, sid, round_id, limit=EVERY),
            read.round_blocks(self._conn, sid, round_id),
            self._verdicts,
            self._askings,
            self.name or self.session.agent,
        )

    @property
    def running(self) -> set[str]:
        """Subagents that were last heard of at work."""
        return {row.agent_id for row in self._agents if row.agent_id and row.status == "running"}


def askings_of(conn: sqlite3.Connection, sid: str) -> Iterator[Asking]:
    """What hooks said of permissions in a session."""
    for name in _ASKINGS:
        for notice in read.notices(conn, sid, name=name, limit=EVERY):
            try:
                hook = msgspec.json.decode(notice.data, type=_Hook)
            except msgspec.DecodeError:
                hook = _Hook()
            if name == "notification" and hook.notification_type not in _PROMPTING:
                continue
            given = None if hook.tool_input is None else preview(bytes(hook.tool_input).decode())
            yield Asking(name, notice.time, notice.agent_id, hook.tool_name, given)
