"""The board in one line, and waiting for something on it: for a status bar and for scripts.

Both read the store that a running agentmon writes; neither needs a screen.
"""

import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from agentmon.core.health import Limits
from agentmon.report import board, render
from agentmon.report.naming import find_session
from agentmon.report.table import in_ascii
from agentmon.store import db, read

DAY = 86_400.0
"""How far back a session must have been active to be counted, in seconds."""

POLL = 0.2
"""Seconds between two looks at the store's version."""

Until = Literal["idle", "permission", "tool-done", "ended"]
UNTIL: tuple[Until, ...] = ("idle", "permission", "tool-done", "ended")

_RESTING = ("idle", "ended")
_GONE = ("orphaned", "dead")


# -- one line


class Glance(Struct, frozen=True):
    """The board in numbers, as of a time."""

    counts: render.Counts
    resting: int
    """Agents that are idle or over."""
    as_of: float
    """When it was so: now where somebody keeps the store up to date, else when it was read last."""
    age: float
    """Seconds since then; 0 where it is up to date."""


def glance(data_dir: Path, now: float, limits: Limits) -> Glance:
    """How things stand. Without a running agentmon they stand as they were read last: what has
    happened since nobody knows. Raises StoreError."""
    conn = db.open_reading(data_dir)
    try:
        as_of = time_of(conn, data_dir, now)
        found = board.load(conn, since=as_of - DAY)
    finally:
        conn.close()
    resting = sum(
        render.state(thread, as_of, limits).word in _RESTING
        for thread in found.threads
        if thread.is_main
    )
    return Glance(render.counts(found, as_of, limits), resting, as_of, max(0.0, now - as_of))


def time_of(conn: sqlite3.Connection, data_dir: Path, now: float) -> float:
    """When things stood as the store has them: now where a process keeps it up to date, else when
    it was read last."""
    return now if db.writer_of(data_dir) is not None else _last_read(conn, now)


def _last_read(conn: sqlite3.Connection, now: float) -> float:
    times = [source.last_read for source in read.sources(conn) if source.last_read is not None]
    return min(now, max(times, default=now))


_SIGNS = (
    ("working", "writing"),
    ("needs_you", "permission"),
    ("stalled", "stalled"),
    ("overdue", "overdue"),
    ("gone", "orphaned"),
    ("pending", "tool"),
)
"""Which number stands by which sign, in order."""


def tmux_line(found: Glance, *, ascii: bool = False) -> str:
    """ "●2 ◆1 ✕1 ⚙3" for tmux's status-right; what is zero is left out. A stale line says so."""
    counts = asdict(found.counts)
    parts = [
        f"{look.ascii if ascii else look.glyph}{counts[name]}"
        for name, state in _SIGNS
        if counts[name] and (look := render.look(state))
    ]
    idle = render.look("idle")
    parts = parts or [f"{idle.ascii if ascii else idle.glyph}{found.resting}"]
    if found.age:
        parts.append(f"({render.age(found.age)} old)")
    return " ".join(parts)


def plain_line(found: Glance, *, ascii: bool = False) -> str:
    """The same in words."""
    text = render.summary(found.counts)
    if found.age:
        age = render.age(found.age)
        when = "now" if age == "now" else f"{age} ago"
        text += f" · read {when}, no agentmon runs"
    return in_ascii(text) if ascii else text


def as_json(found: Glance) -> dict[str, object]:
    """The same as plain values; times in epoch seconds."""
    return {
        "as_of": found.as_of,
        "age": found.age,
        "is_live": not found.age,
        **asdict(found.counts),
        "idle": found.resting,
    }


# -- waiting


class Outcome(Struct, frozen=True):
    """How waiting ended: "held", "timeout" or "gone" (it can't hold any more), and why."""

    word: Literal["held", "timeout", "gone"]
    reason: str

    @property
    def exit_code(self) -> int:
        return 0 if self.word == "held" else 1


class Waiting:
    """One wait: what it looks at, and what was there when it began."""

    def __init__(self, name: str, until: Until) -> None:
        self._name = name
        self._until: Until = until
        self._sid: str | None = None
        self._calls: set[str] | None = None

    @property
    def has_session(self) -> bool:
        return self._sid is not None

    def look(self, conn: sqlite3.Connection) -> Outcome | None:
        """The outcome, or None: it does not hold yet. Raises Ambiguous."""
        if self._sid is None:
            self._sid = find_session(conn, self._name)
        if self._sid is None:
            return None
        sid = self._sid
        session = read.session(conn, sid)
        agents = read.agents(conn, sid)
        if session is None or not agents:
            return None
        calls = {call.tool_use_id for call in read.pending(conn, sid=sid)}
        if self._calls is None:
            self._calls = set(calls)
        phase = agents[0].phase
        gone = _gone(conn, sid)
        is_over = session.end_time is not None or phase == "ended"
        if self._holds([agent.phase for agent in agents], calls, is_over or bool(gone)):
            return Outcome("held", gone or phase)
        if gone or is_over:
            return Outcome("gone", gone or "its session has ended")
        return None

    def _holds(self, phases: list[str], calls: set[str], is_over: bool) -> bool:
        match self._until:
            case "idle":
                return phases[0] in _RESTING  # who leaves at once may be seen only after that
            case "permission":
                return "permission" in phases
            case "tool-done":
                return not (self._calls or set()) & calls
            case "ended":
                return is_over


def _gone(conn: sqlite3.Connection, sid: str) -> str:
    """The judgement that the process of a session is gone; "" where there is none."""
    for verdict in read.open_verdicts(conn):
        if verdict.sid == sid and not verdict.agent_id and verdict.verdict in _GONE:
            return f"{verdict.verdict}: its process is gone"
    return ""


class Watched:
    """The store of a data folder, opened once it is there; tells whether it has changed."""

    def __init__(self, data_dir: Path, patience: float = 2.0) -> None:
        self._data_dir = data_dir
        self._patience = patience
        self._version = -1
        self.conn: sqlite3.Connection | None = None

    def has_changed(self, since_start: float) -> bool:
        """True at first and after each commit. Raises StoreError: it cannot be read."""
        if self.conn is None and db.database(self._data_dir).is_file():
            try:
                self.conn = db.open_reading(self._data_dir)
            except db.StoreError:
                if since_start > self._patience:  # just being made, it has no schema yet
                    raise
        if self.conn is None:
            return False
        (version,) = self.conn.execute("PRAGMA data_version").fetchone()
        changed = version != self._version
        self._version = version
        return changed

    def close(self) -> None:
        if self.conn is not None:
            self.conn.close()


def wait(
    data_dir: Path,
    name: str,
    until: Until,
    *,
    timeout: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Waits until something holds of a session; the store is read anew when it has changed.

    A store or a session that is not there yet is waited for. `tell` takes a sentence about that.
    Raises StoreError, Ambiguous.
    """
    waiting = Waiting(name, until)
    watched = Watched(data_dir)
    begun = clock()
    warned = False
    try:
        while True:
            waited = clock() - begun
            if watched.has_changed(waited) and watched.conn is not None:
                outcome = waiting.look(watched.conn)
                if outcome is not None:
                    return outcome
            if not warned and waited >= POLL:
                warned = True
                _warn(data_dir, name, waiting, tell)
            left = math.inf if timeout is None else timeout - waited
            if left <= 0:
                return Outcome("timeout", f"{until} did not come in {timeout:g} s")
            sleep(min(POLL, left))
    finally:
        watched.close()


def _warn(data_dir: Path, name: str, waiting: Waiting, tell: Callable[[str], None]) -> None:
    """Says, once, what may make a wait a long one."""
    if not waiting.has_session:
        tell(f"no session {name!r} yet: waiting for it")
    if db.writer_of(data_dir) is None:
        tell("no agentmon is reading now: start one, or `agentmon ingest --follow PATH`")
