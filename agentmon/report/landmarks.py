"""The landmarks of a run, told from what the store holds: a recording that was read to its end, a
replay and a live store tell the same. What each kind means is said in `core.landmarks`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from agentmon.core.health import Limits
from agentmon.core.landmarks import KINDS, SLOW, Kind, Landmark, Terms
from agentmon.core.spending import Spent, spent
from agentmon.report import afterwards
from agentmon.report.tracing import Trace
from agentmon.store import read
from agentmon.store.read_landmarks import mail_between, names_of_session
from agentmon.store.read_rounds import RoundLine, rounds_of

__all__ = ["KINDS", "SLOW", "Kind", "Landmark", "Terms", "landmarks", "survey"]


class RoundCost(Struct):
    """A round with what its time was spent on."""

    line: RoundLine
    end: float
    """Its end; where it has none its last sign, or now while it runs."""
    spent: Spent

    @property
    def seconds(self) -> float:
        return round(max(0.0, self.end - (self.line.start_time or self.end)), 6)


class Survey(Struct):
    """What was found in a store, or in one session of it."""

    landmarks: list[Landmark]
    """In the order of time."""
    sessions: list[read.SessionRow]
    rounds: list[RoundCost]
    """Session by session, the newest first."""
    end: float
    """Of the whole record; now, where it goes on."""


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
    terms = Terms(limits or Limits(), slow, now)
    return survey(conn, data_dir, terms, sid=sid, spends=False).landmarks


def survey(
    conn: sqlite3.Connection,
    data_dir: Path,
    terms: Terms,
    *,
    sid: str | None = None,
    spends: bool = True,
) -> Survey:
    """The same with what the time of rounds was spent on, where that is wanted."""
    if sid is None:
        sessions = list(read.each_session(conn))
    else:
        one = read.session(conn, sid)
        sessions = [] if one is None else [one]
    newest = read.sessions(conn, limit=1)
    end = newest[0].last_time or 0.0 if newest else 0.0
    found: list[Landmark] = []
    rounds: list[RoundCost] = []
    for session in sessions:
        trace = Trace(conn, data_dir, session, terms, end, spends=spends)
        trace.go()
        afterwards.add(trace)
        found += trace.found
        rounds += _costs(trace) if spends else ()
    found += _mail(conn, sessions, sid)
    return Survey(
        sorted(found, key=_order), sessions, rounds, end if terms.now is None else terms.now
    )


def _costs(trace: Trace) -> Iterator[RoundCost]:
    for line in rounds_of(trace.conn, trace.sid):
        start, turn = line.start_time, trace.turns.get(line.round_id)
        if start is None:
            continue
        end = line.end_time if line.end_time is not None else line.aborted_at
        if end is None:
            last = start if turn is None else turn.last
            is_over = line.is_closed or line.is_aborted or line.orphaned_at is not None
            end = last if is_over or trace.now is None else trace.now
        end = max(start, end)
        yield RoundCost(line, end, spent(trace.spent.pop(line.round_id, ()), start, end))


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
