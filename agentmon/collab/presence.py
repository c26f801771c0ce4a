"""When agents were busy, blocked, or idle.

- *Busy*: a message is written, a call runs, or the API owes the first byte of a message (since the
  prompt or result that it answers). A call without a result runs until now, while its session was
  heard of within a day and has not ended; else until the session's last sign.
- *Blocked*: a person is asked (from the hook that tells of it to the end of the call that it is
  about; a call that is itself a question), or a stall was judged.
- *Idle*: neither, between the first and the last sign of its session (of a subagent: of itself).

Of a thread blocked goes before busy. An agent with several threads, such as two sessions in one
folder, is busy where one of them is, else blocked where one is.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct, field

from agentmon.core.calls import asks_a_person
from agentmon.core.text import one_line
from agentmon.store import read_activity as read
from agentmon.store.read_threads import threads

State = Literal["busy", "blocked", "idle"]
Span = tuple[float, float]

SLACK = 1.0
"""Seconds by which a hook may tell of a call before its source does."""
MOST_NAME = 200


class Presence(Struct):
    """An agent within a span of time, by the name that the board shows."""

    agent: str
    busy: list[Span] = field(default_factory=list[Span])
    blocked: list[Span] = field(default_factory=list[Span])
    idle: list[Span] = field(default_factory=list[Span])
    calls: list[float] = field(default_factory=list[float])
    """When it called a tool."""
    tokens: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """Tokens worked through (input, cache writes, output), at the end of each message."""


def presences(
    conn: sqlite3.Connection, since: float, until: float, *, subagents: bool = True
) -> list[Presence]:
    """Everybody who was there, by name; without subagents, what they did is their session's."""
    found: dict[str, list[Presence]] = {}
    for session in read.active_sessions(conn, since, until):
        for thread in _threads(conn, session, since, until, subagents):
            found.setdefault(thread.agent, []).append(thread)
    return [_merged(name, found[name], since, until) for name in sorted(found)]


class _Thread(Struct):
    said: list[read.Said] = field(default_factory=list[read.Said])
    called: list[read.Called] = field(default_factory=list[read.Called])
    asked: list[read.Asked] = field(default_factory=list[read.Asked])
    stalls: list[Span] = field(default_factory=list[Span])


def owner(conn: sqlite3.Connection, sid: str) -> str | None:
    """The name of a session's main agent; None where the session is not known."""
    return next((_shown(one.name) for one in threads(conn, sid) if not one.agent_id), None)


def _shown(name: str) -> str:
    return one_line(name, MOST_NAME) or "unknown"


def _threads(
    conn: sqlite3.Connection,
    session: read.ActiveSession,
    since: float,
    until: float,
    subagents: bool,
) -> Iterable[Presence]:
    sid, parts = session.sid, dict[str, _Thread]()

    def part(agent_id: str) -> _Thread:
        return parts.setdefault(agent_id, _Thread())

    for message in read.said(conn, sid, since, until):
        part(message.agent_id).said.append(message)
    for call in read.called(conn, sid, since, until):
        part(call.agent_id).called.append(call)
    for asking in read.asked(conn, sid, since, until):
        part(asking.agent_id).asked.append(asking)
    for agent_id, begun, ended in read.stalls(conn, sid, since, until):
        part(agent_id).stalls.append((begun, _open_end(session, until) if ended is None else ended))
    names = {one.agent_id: one.name for one in threads(conn, sid)}
    prompts = read.prompted(conn, sid, since, until)
    for agent_id, thread in parts.items():
        key = agent_id if subagents else ""
        name = _shown(names.get(key) or key or sid[:8])
        yield _presence(name, thread, session, prompts if not agent_id else [], until, agent_id)


def _open_end(session: read.ActiveSession, until: float) -> float:
    """Until when what is open goes on."""
    last = session.last_time or 0.0
    if session.end_time is not None:
        return min(until, session.end_time)
    return until if until - last < 86_400 else min(until, last)


def _presence(
    name: str,
    thread: _Thread,
    session: read.ActiveSession,
    prompts: Sequence[float],
    until: float,
    agent_id: str,
) -> Presence:
    end = _open_end(session, until)
    runs = [(c.start, max(c.start, end if c.end is None else c.end)) for c in thread.called]
    writing = [(m.start, m.end) for m in thread.said]
    sent = sorted([*prompts, *(c.end for c in thread.called if c.end is not None)])
    blocked = union([*_waits(thread, runs), *thread.stalls])
    busy = union([*writing, *runs, *_due(sent, [m.start for m in thread.said])])
    signs = [at for span in (*busy, *blocked) for at in span]
    if not agent_id:
        known = (session.first_time, session.end_time or session.last_time)
        signs += [at for at in known if at is not None]
    there = [(min(signs), max(signs))] if signs else []
    busy = without(busy, blocked)
    return Presence(
        name,
        busy,
        blocked,
        without(there, union([*busy, *blocked])),
        [call.start for call in thread.called],
        [(message.end, message.tokens) for message in thread.said],
    )


def _due(sent: Sequence[float], starts: Sequence[float]) -> list[Span]:
    """From what a thread was sent last to the start of the message that answers it."""
    found: list[Span] = []
    before = float("-inf")
    for start in starts:
        at = bisect_right(sent, start) - 1
        if at >= 0 and sent[at] > before:
            found.append((sent[at], start))
        before = start
    return found


def _waits(thread: _Thread, runs: Sequence[Span]) -> Iterable[Span]:
    """When a person was asked: each hook is about the oldest call of its tool that runs then and
    that no hook was about before."""
    taken: set[int] = set()
    running: list[int] = []
    coming = 0
    for asking in thread.asked:
        while coming < len(runs) and runs[coming][0] <= asking.time + SLACK:
            running.append(coming)
            coming += 1
        running = [at for at in running if runs[at][1] >= asking.time and at not in taken]
        for at in running:
            if asking.tool_name in (None, thread.called[at].tool_name):
                taken.add(at)
                yield asking.time, runs[at][1]
                break
    for at, call in enumerate(thread.called):
        if asks_a_person(call.tool_name) and at not in taken:
            yield runs[at]


def _merged(name: str, parts: Sequence[Presence], since: float, until: float) -> Presence:
    busy = clipped(union(span for part in parts for span in part.busy), since, until)
    waited = clipped(union(span for part in parts for span in part.blocked), since, until)
    rested = clipped(union(span for part in parts for span in part.idle), since, until)
    blocked = without(waited, busy)
    return Presence(
        name,
        busy,
        blocked,
        without(rested, union([*busy, *blocked])),
        sorted(at for part in parts for at in part.calls if since <= at < until),
        [one for part in parts for one in part.tokens if since <= one[0] < until],
    )


# Spans


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not touch, in order; empty ones are left out."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def without(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """What of some spans is in none of the others; both as `union` gives them."""
    found: list[Span] = []
    at = 0
    for begun, end in spans:
        start = begun
        while at < len(others) and others[at][1] <= start:
            at += 1
        here = at
        while here < len(others) and others[here][0] < end:
            if others[here][0] > start:
                found.append((start, others[here][0]))
            start = max(start, others[here][1])
            here += 1
        if start < end:
            found.append((start, end))
    return found


def clipped(spans: Iterable[Span], since: float, until: float) -> list[Span]:
    """What of some spans is within another."""
    cut = ((max(start, since), min(end, until)) for start, end in spans)
    return [(start, end) for start, end in cut if start < end]


def seconds(spans: Iterable[Span]) -> float:
    """How long they are together."""
    return round(sum(end - start for start, end in spans), 6)
