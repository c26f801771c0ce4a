"""What events of the work log add to the daily metrics.

Lines are those of events about files. A commit's are the same lines once more: they stay with the
commit and are in no sum.
"""

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

METRICS = (
    "work_events",
    "commits",
    "lines_added",
    "lines_deleted",
    "test_runs",
    "tests_passed",
    "tests_failed",
    "deployments",
)
"""Daily metrics that come from the work log."""


class Event(Protocol):
    """What of an event is counted."""

    time: float
    kind: str
    agent: str
    lines_added: int | None
    lines_deleted: int | None
    is_success: bool | None
    metadata: dict[str, Any]


def day_of(time: float) -> str:
    """The day of a moment, UTC: "2026-11-28". Raises nothing: what is no time is in 1970."""
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return "1970-01-01"


def of(event: Event) -> dict[str, float]:
    """What an event adds, by metric; zeros are left out. What failed is an event and nothing else,
    a test run that fails is one still."""
    found: dict[str, float] = {"work_events": 1}
    if event.kind == "test_run":
        found["test_runs"] = 1
        found["tests_passed"] = _count(event.metadata.get("passed"))
        found["tests_failed"] = _count(event.metadata.get("failed"))
    elif event.is_success is not False:
        if event.kind == "git_commit":
            found["commits"] = 1
        else:
            found["lines_added"] = event.lines_added or 0
            found["lines_deleted"] = event.lines_deleted or 0
        if event.kind == "deployment":
            found["deployments"] = 1
    return {name: value for name, value in found.items() if value}


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value < 1 << 40 else 0


_ADD = """
INSERT INTO daily_metrics VALUES (?, ?, ?, ?)
ON CONFLICT (day, agent, metric) DO UPDATE SET value = value + excluded.value
"""


def count(conn: sqlite3.Connection, event: Event, sign: int) -> None:
    """Adds an event to its day, or (sign -1) takes it out; in the caller's transaction."""
    day = day_of(event.time)
    agent = event.agent.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    put(conn, ((day, agent, name, sign * value) for name, value in of(event).items()))
    if sign < 0:
        conn.execute(
            "DELETE FROM daily_metrics WHERE day = ? AND agent = ? AND value = 0", (day, agent)
        )


def put(conn: sqlite3.Connection, rows: Iterable[tuple[str, str, str, float]]) -> None:
    """Adds (day, agent, metric, value) to the daily metrics; in the caller's transaction."""
    conn.executemany(_ADD, rows)
