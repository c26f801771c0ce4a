"""How the work log and the balance look, as text and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from agentmon.collab import worklog
from agentmon.collab.analytics import AgentWeek, Balance, Utilisation, Week
from agentmon.collab.worklog import Touch, WorkEvent
from agentmon.core.text import clean, wrap
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.report.words import UNKNOWN, micros, moment, span, tokens

_HEAD = (
    Column("time", 19, 19, keep=2),
    Column("agent", 6, 28),
    Column("what", 8, 16),
    Column("lines", 8, 14, keep=1),
)
EVENTS = (
    *_HEAD,
    Column("on", 16, 200),
    Column("id", 1, 8, keep=3),
)
TOUCHES = (
    *_HEAD,
    Column("round", 5, 14, keep=3),
    Column("why", 16, 200),
)


def _head(event: WorkEvent, added: int | None, deleted: int | None) -> list[Cell]:
    return [
        Cell(moment(event.time), "text-muted"),
        Cell(event.agent),
        what(event),
        Cell(lines(added, deleted)),
    ]


def event_cells(event: WorkEvent) -> list[Cell]:
    """One line of the log."""
    files = ", ".join(file.path for file in event.files[:3])
    more = f" and {len(event.files) - 3} more" if len(event.files) > 3 else ""
    about = files + more if event.kind.startswith("file_") else event.summary or files + more
    if event.commit_hash:
        about = f"{event.commit_hash[:9]} {about}"
    return [
        *_head(event, event.lines_added, event.lines_deleted),
        Cell(about + _counts(event)),
        Cell(str(event.event_id), "text-muted"),
    ]


def what(event: WorkEvent) -> Cell:
    """The kind, with a sign where it failed or is not known to have gone well."""
    word = event.kind.replace("_", " ")
    if event.is_success is False:
        return Cell(f"{word} ×", "error")
    is_open = event.is_success is None and event.origin == worklog.DERIVED
    return Cell(f"{word} ?", "warning") if is_open else Cell(word)


def lines(added: int | None, deleted: int | None) -> str:
    """ "+3 -1"; "—" where neither is known."""
    known = [f"{sign}{n}" for sign, n in (("+", added), ("-", deleted)) if n is not None]
    return " ".join(known) or UNKNOWN


def _counts(event: WorkEvent) -> str:
    found = [
        f"{event.metadata[name]} {name}"
        for name in ("passed", "failed", "skipped")
        if event.metadata.get(name)
    ]
    return f": {', '.join(found)}" if event.kind == "test_run" and found else ""


def touch_cells(touch: Touch) -> list[Cell]:
    event = touch.event
    number = f" #{touch.round_number}" if touch.round_number is not None else ""
    return [
        *_head(event, touch.lines_added, touch.lines_deleted),
        Cell(f"{event.session_id[:8]}{number}" if event.session_id else UNKNOWN),
        Cell(touch.why if touch.why is not None else event.summary or UNKNOWN),
    ]


def event_json(event: WorkEvent) -> dict[str, Any]:
    return msgspec.to_builtins(event)


def touch_json(touch: Touch) -> dict[str, Any]:
    return msgspec.to_builtins(touch)


# Balance

SHARES = (
    Column("agent", 14, 28),
    Column("share", 5, 5, right=True),
    Column("", 5, 20, keep=3),
    Column("events", 6, 8, keep=4, right=True),
    Column("commits", 7, 7, keep=6, right=True),
    Column("lines", 6, 9, keep=2, right=True),
    Column("calls", 5, 7, keep=5, right=True),
    Column("tokens", 6, 8, keep=5, right=True),
    Column("busy", 6, 8, keep=1, right=True),
    Column("blocked", 7, 8, keep=2, right=True),
    Column("idle", 6, 8, keep=6, right=True),
)


def balance_text(
    found: Balance, used: Sequence[Utilisation], width: int, paint: Painter
) -> Iterator[str]:
    """Shares with bars, the most first, and what is to be warned of."""
    yield f"work from {moment(found.since)} to {moment(found.until)}"
    if not found.shares:
        yield "nobody did anything"
        return
    times = {one.agent: one for one in used}
    sign = "#" if paint.ascii else "█"
    rows: list[list[Cell]] = []
    for one in found.shares:
        use = times.get(one.agent)
        spent = (use.busy, use.blocked, use.idle) if use is not None else (None, None, None)
        figures = (one.events, one.commits, one.lines, one.tool_calls)
        rows.append(
            [
                Cell(one.agent),
                Cell(f"{one.share:.0f}%"),
                Cell(sign * round(one.share / 5), "accent"),
                *(Cell(f"{value:,}") for value in figures),
                Cell(tokens(one.tokens)),
                *(Cell(UNKNOWN if value is None else span(value)) for value in spent),
            ]
        )
    yield from table(SHARES, rows, width, paint)
    if found.warning is not None:
        yield from wrap(clean(f"! {found.warning}", newline=False), width)
    elif found.is_little and len(found.shares) > 1:
        words = f"too little to compare: {found.done} of {found.least} events and calls"
        yield from wrap(words, width)


def balance_json(found: Balance, used: Sequence[Utilisation]) -> dict[str, Any]:
    """The balance, with the time of each agent; null where it is not known."""
    times = {one.agent: one for one in used}
    value: dict[str, Any] = msgspec.to_builtins(found)
    for row in value["shares"]:
        use = times.get(row["agent"])
        row["share"] = round(row["share"], 3)
        row["shares"] = {k: None if v is None else round(v, 3) for k, v in row["shares"].items()}
        row["busy_seconds"] = micros(row["busy_seconds"])
        row["blocked_seconds"] = None if use is None else use.blocked
        row["idle_seconds"] = None if use is None else use.idle
    return value


# The week

WEEK = (
    Column("agent", 6, 28),
    Column("events", 6, 14, right=True),
    Column("commits", 7, 12, keep=1, right=True),
    Column("added", 5, 16, keep=2, right=True),
    Column("deleted", 7, 16, keep=3, right=True),
    Column("tests", 5, 12, keep=4, right=True),
    Column("calls", 5, 14, keep=5, right=True),
    Column("tokens", 6, 18, keep=5, right=True),
    Column("busy", 5, 18, keep=2, right=True),
)
_METRICS = ("work_events", "commits", "lines_added", "lines_deleted", "test_runs", "tool_calls")


def week_text(found: Week, width: int, paint: Painter) -> Iterator[str]:
    """Sums by agent; in brackets those of the seven days before."""
    yield f"seven days from {moment(found.since)}, in brackets the seven before"
    if not found.agents:
        yield "nobody did anything"
        return
    total = AgentWeek("all", found.totals, found.totals_before)
    rows = [_week_cells(one) for one in (*found.agents, total)]
    yield from table(WEEK, rows, width, paint)
    if found.busiest_day is not None:
        yield f"most events on {found.busiest_day} (UTC)"


def _week_cells(one: AgentWeek) -> list[Cell]:
    figures = [f"{one.now[name]:,.0f} ({one.before[name]:,.0f})" for name in _METRICS]
    worked = f"{tokens(int(one.now['tokens']))} ({tokens(int(one.before['tokens']))})"
    busy = f"{span(one.now['busy_seconds'])} ({span(one.before['busy_seconds'])})"
    return [Cell(one.agent), *(Cell(text) for text in (*figures, worked, busy))]


def week_json(found: Week) -> dict[str, Any]:
    return msgspec.to_builtins(found)
