"""What people call sessions and rounds on a command line, and which ones they mean."""

import sqlite3

from agentmon.report import board
from agentmon.store import read


class Unclear(Exception):
    """A name that nothing or more than one thing answers to; the message is one sentence."""


class Ambiguous(Unclear):
    """More than one session answers to a name; the message lists them."""


def find_session(conn: sqlite3.Connection, name: str) -> str | None:
    """The session of a sid, of the start of one, or of the name on the board. Raises Ambiguous."""
    if read.session(conn, name) is not None:
        return name
    rows = read.sessions(conn, limit=1000)
    starting = [row.sid for row in rows if row.sid.startswith(name)]
    if not starting:
        named = [row for row in rows if board_name(conn, row) == name]
        running = [row.sid for row in named if row.end_time is None]
        starting = running or [row.sid for row in named[:1]]
    if len(starting) > 1:
        shown = ", ".join(starting[:4])
        raise Ambiguous(f"{len(starting)} sessions answer to {name!r}: {shown}")
    return starting[0] if starting else None


def the_session(conn: sqlite3.Connection, name: str) -> str:
    """The same, where there must be one. Raises Unclear."""
    sid = find_session(conn, name)
    if sid is None:
        raise Unclear(f"no session answers to {name!r}: `agentmon --once` lists them")
    return sid


def the_round(conn: sqlite3.Connection, name: str) -> tuple[str, str]:
    """(sid, round_id) of a round: its id or the start of one, `SESSION#12` for the twelfth round
    of a session, or `SESSION` for its last one. Raises Unclear."""
    found = _by_id(conn, name)
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        shown = ", ".join(f"{sid[:8]} {round_id}" for sid, round_id in found[:4])
        raise Unclear(f"more than one round answers to {name!r}: {shown}")
    session, mark, number = name.rpartition("#")
    if mark and number.isdecimal():
        sid = the_session(conn, session)
        row = read.numbered_round(conn, sid, int(number[:9]))
        if row is None:
            raise Unclear(
                f"session {sid} has no round #{number}: `agentmon rounds {sid}` lists them"
            )
        return sid, row.round_id
    if find_session(conn, name) is None:
        raise Unclear(f"no round and no session answers to {name!r}")
    sid = the_session(conn, name)
    last = read.rounds(conn, sid, limit=1)
    if not last:
        raise Unclear(f"session {sid} has no rounds")
    return sid, last[0].round_id


_EXACT = "SELECT sid, round_id FROM rounds WHERE round_id = ? AND prompts > 0 LIMIT 5"
_STARTING = """
SELECT sid, round_id FROM rounds
WHERE round_id >= ? AND round_id < ? AND prompts > 0 LIMIT 5
"""


def _by_id(conn: sqlite3.Connection, name: str) -> list[tuple[str, str]]:
    exact = conn.execute(_EXACT, (name,)).fetchall()
    if exact or len(name) < 4 or "#" in name:
        return exact
    return conn.execute(_STARTING, (name, name + "\U0010ffff")).fetchall()


def board_name(conn: sqlite3.Connection, session: read.SessionRow) -> str:
    """What the board calls a session."""
    return next((board.Thread(row, session, []).name for row in read.agents(conn, session.sid)), "")
