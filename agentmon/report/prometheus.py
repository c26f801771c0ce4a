"""The store as metrics in Prometheus' text format, version 0.0.4.

Series stay few: only the most recent sessions have their own (`metrics.max_sessions`, active in
the last `metrics.since`), each with at most `MAX_TOOLS` tools; later tools of a session count as
"other". A counter only ever grows for as long as its session is told.
"""

import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from agentmon import __version__
from agentmon.core.health import Limits
from agentmon.core.text import one_line
from agentmon.report import board, render
from agentmon.store import db, read
from agentmon.store.read_exports import touched
from agentmon.store.read_metrics import ToolSum, own_measurements, tool_sums

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_TOOLS = 50
"""Tools of one session with series of their own."""

LABEL = 120
"""Cells of a label's value, at most."""

Labels = Mapping[str, str]

_LEVELS = {
    "torn": "Inputs that end in an unfinished line now.",
    "unknown_events": "Kept events that this version does not know.",
}
"""Counts of the store that may fall again."""


class Family(Struct):
    """A metric with its samples."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list[tuple[Labels, float]])


def text(families: Sequence[Family]) -> str:
    """The exposition."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escaped(family.help, quote=False)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [_sample(family.name, *sample) for sample in family.samples]
    return "\n".join(lines) + "\n"


def _sample(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(one_line(said, LABEL))}"' for key, said in labels.items())
    return f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}"


def _escaped(said: str, *, quote: bool = True) -> str:
    said = said.replace("\\", "\\\\").replace("\n", "\\n")
    return said.replace('"', '\\"') if quote else said


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


class Metrics:
    """Reads a store into families; what did not change since the last time is not counted again.

    `limits` judge the states, `redact` is applied to the names of sessions.
    """

    def __init__(
        self,
        data_dir: Path,
        limits: Limits,
        *,
        since: float,
        max_sessions: int,
        redact: Callable[[str], str],
    ) -> None:
        self._data_dir = data_dir
        self._limits = limits
        self._since = since
        self._max_sessions = max_sessions
        self._redact = redact
        self._tools: dict[str, tuple[str, list[ToolSum]]] = {}

    def text(self, now: float) -> str:
        """The exposition as of now. Raises StoreError."""
        return text(self.families(now))

    def families(self, now: float) -> list[Family]:
        """The metrics as of now. Raises StoreError."""
        conn = db.open_reading(self._data_dir)
        try:
            conn.execute("BEGIN")
            return [family for family in self._families(conn, now) if family.samples]
        except sqlite3.Error as problem:
            raise db.StoreError(db.cannot(self._data_dir, "read", problem)) from problem
        finally:
            conn.close()

    def _families(self, conn: sqlite3.Connection, now: float) -> Iterator[Family]:
        yield Family(
            "agentmon_info", "gauge", "The version of agentmon.", [({"version": __version__}, 1)]
        )
        size = sum(
            path.stat().st_size
            for name in (db.DB_NAME, db.DB_NAME + "-wal")
            if (path := self._data_dir / name).exists()
        )
        yield Family("agentmon_database_bytes", "gauge", "Size of the database.", [({}, size)])
        is_written = db.writer_of(self._data_dir) is not None
        yield Family(
            "agentmon_writer_up", "gauge", "Whether an agentmon keeps the store up to date.",
            [({}, is_written)],
        )  # fmt: skip
        counts = read.counts(conn)
        for kind, what in _LEVELS.items():
            yield Family(f"agentmon_{kind}", "gauge", what, [({}, counts.pop(kind))])
        yield Family(
            "agentmon_input_total", "counter", "What was read into the store, by kind.",
            [({"kind": kind}, value) for kind, value in counts.items()],
        )  # fmt: skip
        yield Family(
            "agentmon_self", "gauge", "What agentmon measured of itself last, by name.",
            [({"name": name}, value) for name, value in sorted(own_measurements(conn).items())],
        )  # fmt: skip
        found = board.load(conn, since=now - self._since, limit=self._max_sessions)
        yield from self._agents(found, now)
        yield from self._sessions(conn, found, now)

    def _agents(self, found: board.Board, now: float) -> Iterator[Family]:
        states: dict[tuple[str, str], int] = {}
        for thread in found.threads:
            state = render.state(thread, now, self._limits).word
            key = thread.session.agent, state
            states[key] = states.get(key, 0) + 1
        yield Family(
            "agentmon_agents", "gauge", "Agents, subagents among them, by what they do.",
            [({"agent": agent, "state": state}, n) for (agent, state), n in sorted(states.items())],
        )  # fmt: skip

    def _sessions(
        self, conn: sqlite3.Connection, found: board.Board, now: float
    ) -> Iterator[Family]:
        info = Family("agentmon_session_info", "gauge", "A session, with its name and model.")
        state = Family("agentmon_session_state", "gauge", "What its main agent does, as 1.")
        tokens = Family("agentmon_session_tokens_total", "counter", "Tokens, by type.")
        rounds = Family("agentmon_session_rounds_total", "counter", "Rounds begun.")
        context = Family("agentmon_session_context_tokens", "gauge", "Tokens in its context.")
        working = Family("agentmon_session_subagents", "gauge", "Its subagents that are not over.")
        last = Family(
            "agentmon_session_last_activity_timestamp_seconds", "gauge", "Its last event."
        )
        mains = [thread for thread in found.threads if thread.is_main]
        for thread in mains:
            session = thread.session
            labels = {"sid": session.sid, "agent": session.agent}
            info.samples.append((labels | self._about(thread), 1))
            word = render.state(thread, now, self._limits).word
            state.samples.append((labels | {"state": word}, 1))
            for kind in ("input", "output", "cache_read", "cache_write"):
                value = getattr(session, f"{kind}_tokens")
                tokens.samples.append((labels | {"type": kind}, value))
            rounds.samples.append((labels, session.round_count))
            context.samples.append((labels, session.context_tokens))
            below = [one for one in found.threads if one.row.sid == session.sid and not one.is_main]
            working.samples.append((labels, len(below)))
            if session.last_time is not None:
                last.samples.append((labels, session.last_time))
        yield from (info, state, tokens, rounds, context, working, last)
        yield from self._tool_families(conn, mains, now)

    def _about(self, thread: board.Thread) -> dict[str, str]:
        session = thread.session
        return {
            "name": self._redact(thread.name),
            "model": session.model or "",
            "version": session.version or "",
        }

    def _tool_families(
        self, conn: sqlite3.Connection, mains: Sequence[board.Thread], now: float
    ) -> Iterator[Family]:
        calls = Family("agentmon_tool_calls_total", "counter", "Tool calls.")
        errors = Family(
            "agentmon_tool_errors_total", "counter", "Tool calls whose result is an error."
        )
        pending = Family("agentmon_tool_calls_pending", "gauge", "Tool calls without a result yet.")
        returned = Family(
            "agentmon_tool_returned_total", "counter", "Tool calls that came back, with a duration."
        )
        seconds = Family(
            "agentmon_tool_duration_seconds_total", "counter", "Seconds that calls took, added up."
        )
        marks = {one.sid: one.mark for one in touched(conn, now - self._since)}
        known, self._tools = self._tools, {}
        for thread in mains:
            sid = thread.session.sid
            mark = marks.get(sid, "")
            sums = known[sid][1] if mark and known.get(sid, ("",))[0] == mark else None
            sums = tool_sums(conn, sid) if sums is None else sums
            self._tools[sid] = mark, sums
            for one in bounded(sums):
                labels = {"sid": sid, "agent": thread.session.agent, "tool": one.tool}
                calls.samples.append((labels, one.calls))
                errors.samples.append((labels, one.errors))
                pending.samples.append((labels, one.pending))
                returned.samples.append((labels, one.timed))
                seconds.samples.append((labels, one.seconds))
        yield from (calls, errors, pending, returned, seconds)


def bounded(sums: Sequence[ToolSum]) -> list[ToolSum]:
    """The first tools by themselves, the others as one; names that read the same are one too."""
    merged: dict[str, ToolSum] = {}
    for one in sums:
        name = one_line(one.tool, LABEL)
        if name not in merged and len(merged) >= MAX_TOOLS:
            name = "other"
        before = merged.get(name)
        merged[name] = one if before is None else _added(before, one)
        merged[name] = _renamed(merged[name], name)
    return list(merged.values())


def _added(one: ToolSum, two: ToolSum) -> ToolSum:
    return ToolSum(
        one.tool, one.calls + two.calls, one.errors + two.errors, one.pending + two.pending,
        one.timed + two.timed, one.seconds + two.seconds,
    )  # fmt: skip


def _renamed(one: ToolSum, name: str) -> ToolSum:
    return ToolSum(name, one.calls, one.errors, one.pending, one.timed, one.seconds)
