"""The landmarks of a run, told from what the store holds: a recording that was read to its end, a
replay and a live store tell the same. What each kind means is said in `core.landmarks`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agentmon.core.health import Limits
from agentmon.core.landmarks import KINDS, Kind, Landmark
from agentmon.report import afterwards
from agentmon.report.tracing import Trace
from agentmon.store import read
from agentmon.store.read_landmarks import mail_between, names_of_session

__all__ = ["KINDS", "SLOW", "Kind", "Landmark", "landmarks"]

SLOW = 30.0
"""Seconds from which on a call is a landmark."""


def landmarks(
    conn: sqlite3.Connection,
    data_dir: Path,
    *,
    sid: str | None = None,
    limits: Limits | None = None,
    slow: float = SLOW,
    now: float | None = None,
) -> list[Landmark]:
    """Those of one session or of all, in the order of time.

    `now` None: the store is a finished record, and what is open at its end was broken off there.
    """
    if sid is None:
        sessions = list(read.each_session(conn))
    else:
        one = read.session(conn, sid)
        sessions = [] if one is None else [one]
    newest = read.sessions(conn, limit=1)
    end = newest[0].last_time or 0.0 if newest else 0.0
    found: list[Landmark] = []
    for session in sessions:
        trace = Trace(conn, data_dir, session, limits or Limits(), slow, now, end)
        trace.go()
        afterwards.add(trace)
        found += trace.found
    found += _mail(conn, sessions, sid)
    return sorted(found, key=_order)


def _order(landmark: Landmark) -> tuple[float, int, str, str, str]:
    where = landmark.sid, landmark.agent_id, landmark.tool_use_id or landmark.flow_id or ""
    return landmark.time, KINDS.index(landmark.kind), *where


def _mail(
    conn: sqlite3.Connection, sessions: Sequence[read.SessionRow], sid: str | None
) -> Iterator[Landmark]:
    """Messages between agents in the time of these sessions; of one only those it has part in."""
    starts = [one.first_time for one in sessions if one.first_time is not None]
    ends = [one.last_time for one in sessions if one.last_time is not None]
    if not starts or not ends:
        return
    names = set[str]() if sid is None else names_of_session(conn, sid)
    for mail in mail_between(conn, min(starts), max(ends)):
        to = _strings(mail.receivers)
        own = mail.sid == sid or sid in _strings(mail.read_by)
        if sid is None or own or names & {mail.sender, *to}:
            text = f"{mail.sender} to {', '.join(to)}: {mail.subject}"
            where = mail.sid or sid or "", mail.agent_id or "", mail.round_id, None
            yield Landmark("message", mail.time, None, *where, mail.tool_use_id, text)


def _strings(text: str | None) -> list[str]:
    try:
        return msgspec.json.decode(text or "[]", type=list[str])
    except msgspec.DecodeError:
        return []
