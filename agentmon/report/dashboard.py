"""Everything at a glance over some time: who is in which state, what was done, what failed, who was
busiest, what was slowest.

Counted is what falls into the time: messages and rounds by their start, calls that returned by when
they were made.
Tokens are input, cache writes and output; an error is a result that says `is_error`, or a broken
message. A mean over nothing is null.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from agentmon.core.health import Limits
from agentmon.core.names import gist
from agentmon.core.text import one_line
from agentmon.report import known, render
from agentmon.report.board import Board, Thread
from agentmon.report.listing import boards
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.report.words import age, brief, counted, micros, tokens
from agentmon.store import read, read_overview
from agentmon.store.read_overview import SessionSum

Section = dict[str, Any]

TOP = 5
"""How many of the busiest and the slowest."""


def _exact(row: Struct) -> Section:
    """A row as plain values, its durations without noise."""
    found = asdict(row)
    return {n: micros(v) if n.endswith("duration") else v for n, v in found.items()}


def sections(
    conn: sqlite3.Connection, now: float, limits: Limits, *, since: float
) -> Iterator[tuple[str, Section]]:
    """(name, plain values), the cheapest first; each is worked out when it is asked for."""
    threads = _threads(conn, since)
    names = {thread.row.sid: known.name_of(thread) for thread in threads if thread.is_main}
    yield "sessions", _sessions(threads, now, limits)
    sums = read_overview.session_sums(conn, since)
    yield "tokens", _tokens(sums)
    yield "rounds", _exact(read_overview.round_sums(conn, since))
    tools = read_overview.tool_sums(conn, since)
    tools.sort(key=lambda tool: (-tool.calls, tool.tool_name or ""))
    yield "tools", {"rows": [_exact(tool) for tool in tools]}
    yield "errors", _errors(conn, sums, sum(tool.errors for tool in tools), since)
    yield "busiest", {"rows": _busiest(sums, names)}
    slow = read_overview.slow_rounds(conn, since, TOP)
    yield "slowest_rounds", {"rows": [_named(_exact(row), names) for row in slow]}
    called = read_overview.slow_calls(conn, since, TOP, [tool.tool_name for tool in tools])
    yield "slowest_calls", {"rows": [_named(_exact(row), names) for row in called]}


def as_json(
    conn: sqlite3.Connection, now: float, limits: Limits, *, since: float
) -> dict[str, object]:
    """All of it; times in epoch seconds, durations in seconds."""
    found: dict[str, object] = {"since": since, "as_of": now}
    for name, section in sections(conn, now, limits, since=since):
        found[name] = section.get("rows", section)
    return found


def _threads(conn: sqlite3.Connection, since: float) -> list[Thread]:
    found: list[Thread] = []
    for board in boards(conn, read.each_session(conn, since=since)):
        found += board.threads
    return found


def _sessions(threads: Sequence[Thread], now: float, limits: Limits) -> Section:
    """Active ones by the word of the board, and all agents, subagents too, in numbers."""
    main = [thread for thread in threads if thread.is_main]
    states = Counter(render.state(thread, now, limits).word for thread in main)
    calls = [call for thread in threads for call in thread.pending]
    counts = asdict(render.counts(Board(list(threads), calls), now, limits))
    return {"active": len(main), "by_state": dict(states.most_common()), **counts}


def _tokens(sums: Sequence[SessionSum]) -> Section:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    total = {name: sum(getattr(row, name) for row in sums) for name in names}
    return {"messages": sum(row.messages for row in sums), **total}


def _errors(
    conn: sqlite3.Connection, sums: Sequence[SessionSum], failed: int, since: float
) -> Section:
    newest = [row for row in read.errors(conn, limit=TOP) if row.time >= since]
    return {
        "failed_calls": failed,
        "broken_messages": sum(row.errors for row in sums),
        "newest": [asdict(row) for row in newest],
    }


def _busiest(sums: Sequence[SessionSum], names: Mapping[str, str]) -> list[Section]:
    def spent(row: SessionSum) -> int:
        return row.input_tokens + row.cache_write_tokens + row.output_tokens

    first = sorted(sums, key=lambda row: (-spent(row), row.sid))[:TOP]
    return [
        _named({"sid": row.sid, "messages": row.messages, "tokens": spent(row)}, names)
        for row in first
    ]


def _named(row: Section, names: Mapping[str, str]) -> Section:
    return {**row, "name": names.get(str(row["sid"]))}


# -- as text

_TOOLS = (
    Column("tool", 8, 30),
    Column("calls", 5, 8, right=True),
    Column("errors", 6, 7, right=True),
    Column("mean", 5, 8, right=True),
    Column("longest", 7, 8, right=True),
)
_BUSY = (
    Column("busiest", 8, 24),
    Column("tokens", 6, 7, right=True),
    Column("messages", 8, 9, right=True),
)
_ROUNDS = (
    Column("slowest rounds", 14, 24),
    Column("took", 5, 8, right=True),
    Column("prompt", 6, 90),
)
_CALLS = (
    Column("slowest calls", 13, 24),
    Column("took", 5, 8, right=True),
    Column("tool", 4, 16),
    Column("input", 6, 90),
)
_ERRORS = (Column("newest errors", 13, 16), Column("ago", 4, 4, right=True), Column("what", 6, 90))


def written(
    conn: sqlite3.Connection,
    now: float,
    limits: Limits,
    *,
    since: float,
    width: int,
    paint: Painter,
) -> Iterator[str]:
    """Line by line, section by section as each is known."""
    for name, section in sections(conn, now, limits, since=since):
        yield from _WRITERS[name](section, now, width, paint)


def _sessions_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    states = ", ".join(f"{count} {word}" for word, count in found["by_state"].items())
    said = f"{counted(found['active'], 'session')}: {states}" if states else "no sessions"
    agents = f"{counted(found['agents'], 'agent')}, {counted(found['pending'], 'pending call')}"
    return [paint(Cell(one_line(said, width), bold=True)), one_line(agents, width)]


def _tokens_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    parts = [
        counted(found["messages"], "message"),
        f"tokens in {tokens(found['input_tokens'])}, out {tokens(found['output_tokens'])}",
        f"cache read {tokens(found['cache_read_tokens'])}",
        f"written {tokens(found['cache_write_tokens'])}",
    ]
    return [one_line(", ".join(parts), width)]


def _rounds_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    rest = found["begun"] - found["complete"] - found["aborted"]
    said = f"{found['complete']:,} complete, {found['aborted']:,} aborted, {rest:,} open"
    took = f"mean {brief(found['mean_duration'])}, longest {brief(found['max_duration'])}"
    return [one_line(f"{counted(found['begun'], 'round')}: {said}; {took}", width)]


def _errors_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    failed, broken = found["failed_calls"], found["broken_messages"]
    said = f"{counted(failed, 'failed call')}, {counted(broken, 'broken message')}"
    rows = [
        [Cell(row["sid"][:8]), Cell(age(max(0.0, now - row["time"]))), Cell(row["note"])]
        for row in found["newest"]
    ]
    return ["", one_line(said, width), *_titled(_ERRORS, rows, width, paint)[1:]]


def _titled(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, paint: Painter
) -> list[str]:
    return ["", *table(columns, rows, width, paint)] if rows else []


def _tools_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    rows = [
        [
            Cell(row["tool_name"] or "tool"),
            Cell(f"{row['calls']:,}"),
            Cell(f"{row['errors']:,}", "error" if row["errors"] else ""),
            Cell(brief(row["mean_duration"])),
            Cell(brief(row["max_duration"])),
        ]
        for row in found["rows"]
    ]
    return _titled(_TOOLS, rows, width, paint)


def _name(row: Section) -> Cell:
    return Cell(row["name"] or row["sid"][:8], bold=True)


def _busiest_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    rows = [
        [_name(row), Cell(tokens(row["tokens"])), Cell(f"{row['messages']:,}")]
        for row in found["rows"]
    ]
    return _titled(_BUSY, rows, width, paint)


def _slow_rounds_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    rows = [
        [_name(row), Cell(brief(row["duration"])), Cell(row["user_prompt"] or "")]
        for row in found["rows"]
    ]
    return _titled(_ROUNDS, rows, width, paint)


def _slow_calls_text(found: Section, now: float, width: int, paint: Painter) -> list[str]:
    rows = [
        [
            _name(row),
            Cell(brief(row["duration"])),
            Cell(row["tool_name"] or "tool"),
            Cell(gist(row["input_preview"])),
        ]
        for row in found["rows"]
    ]
    return _titled(_CALLS, rows, width, paint)


_WRITERS = {
    "sessions": _sessions_text,
    "tokens": _tokens_text,
    "rounds": _rounds_text,
    "tools": _tools_text,
    "errors": _errors_text,
    "busiest": _busiest_text,
    "slowest_rounds": _slow_rounds_text,
    "slowest_calls": _slow_calls_text,
}
