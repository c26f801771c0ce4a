"""Writing verdicts and agentmon's own measurements. A verdict changes nothing that was recorded."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from agentmon.store.db import transaction

KEEP_METRICS = 86_400.0
"""Seconds for which agentmon's own measurements are kept."""

KEEP_UNSEEN = 7 * 86_400.0
"""The same for the times in which nobody watched."""


class Change(Struct):
    """A verdict that begins (with its evidence), is over (`until`), or goes on and knows more."""

    sid: str
    agent_id: str
    word: str
    since: float
    until: float | None = None
    evidence: Mapping[str, object] = {}
    goes_on: bool = False


class Pid(Struct):
    """The process of a session that names none in its own files."""

    sid: str
    pid: int
    time: float


PID = "pid"
"""The name under which such a process is kept among the facts."""


def write(conn: sqlite3.Connection, changes: Sequence[Change | Pid]) -> None:
    """One transaction. A round is marked as orphaned for as long as the verdict holds."""
    with transaction(conn):
        for change in changes:
            if isinstance(change, Pid):
                conn.execute(
                    """INSERT OR REPLACE INTO facts (sid, agent_id, name, value, time, kind)
                       VALUES (?, '', ?, ?, ?, 'process')""",
                    (change.sid, PID, str(change.pid), change.time),
                )
                continue
            if change.goes_on:
                conn.execute(
                    """UPDATE verdicts SET evidence = ?
                       WHERE sid = ? AND agent_id = ? AND until IS NULL AND verdict = ?""",
                    (_json(change), change.sid, change.agent_id, change.word),
                )
                continue
            if change.until is not None:
                conn.execute(
                    """UPDATE verdicts SET until = ?
                       WHERE sid = ? AND agent_id = ? AND until IS NULL AND verdict = ?""",
                    (change.until, change.sid, change.agent_id, change.word),
                )
            else:
                _begin(conn, change)
            if change.word == "orphaned" and not change.agent_id:
                conn.execute(
                    """UPDATE rounds SET orphaned_at = ?
                       WHERE sid = ? AND prompts > 0 AND end_time IS NULL AND is_closed = 0""",
                    (None if change.until is not None else change.since, change.sid),
                )


def _begin(conn: sqlite3.Connection, change: Change) -> None:
    conn.execute(
        """INSERT INTO verdicts (sid, agent_id, tool_use_id, verdict, since, evidence)
           VALUES (?, ?, ?, ?, ?, ?)""",
        (
            change.sid,
            change.agent_id,
            str(change.evidence.get("tool_use_id") or ""),
            change.word,
            change.since,
            _json(change),
        ),
    )


def _json(change: Change) -> str:
    return msgspec.json.encode(change.evidence).decode()


def write_unseen(conn: sqlite3.Connection, spans: Iterable[tuple[float, float]]) -> None:
    """Adds times in which nobody watched, and drops those that are too old."""
    with transaction(conn):
        for began, ended in spans:
            conn.execute("DELETE FROM unseen WHERE ended < ?", (ended - KEEP_UNSEEN,))
            conn.execute("INSERT OR REPLACE INTO unseen VALUES (?, ?)", (began, ended))


def write_metrics(conn: sqlite3.Connection, now: float, metrics: Mapping[str, float]) -> None:
    """Adds measurements and drops those that are too old."""
    with transaction(conn):
        conn.execute("DELETE FROM system_metrics WHERE timestamp < ?", (now - KEEP_METRICS,))
        conn.executemany(
            "INSERT OR REPLACE INTO system_metrics VALUES (?, ?, ?)",
            [(now, name, value) for name, value in metrics.items()],
        )
