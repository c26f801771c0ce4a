"""Stores to clean, and all that is in them."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentmon.engine import cleaning
from agentmon.store import db
from agentmon.store.retention.plan import Policy
from agentmon.store.retention.reports import Report
from agentmon.store.retention.tables import tables
from tests.differential import ingest
from tests.feeds import Snapshot, finished, snapshot, write

NOW = 1_800_000_000.0
"""More than a year after everything in the logs of the tests."""
ALL = Policy(30, None, "archive")
DATA = Path(__file__).parent / "data"
RECORDED = (
    *sorted((DATA / "transcripts").rglob("*.jsonl")),
    *sorted((DATA / "codex").glob("rollout-*.jsonl")),
    DATA / "streams" / "partial.stream.jsonl",
    DATA / "streams" / "hooks.jsonl",
)

Rows = dict[str, list[tuple[Any, ...]]]


def small_store(folder: Path, sessions: int = 3, *, content: object = "a\nb") -> Path:
    """A store of a few sessions that are over, one with a result in a file."""
    lines = [line for n in range(1, sessions + 1) for line in finished(n, content=content)]
    lines += finished(sessions + 1, content="long " * 4000)
    ingest(folder, [write(folder.parent / f"{folder.name}.jsonl", lines)])
    return folder


def rows_of(data_dir: Path) -> Rows:
    """Every row of sessions, by table, without numbers that only name it."""
    conn = db.open_reading(data_dir)
    try:
        return {
            table.name: sorted(
                conn.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}").fetchall(),
                key=repr,
            )
            for table in tables(conn)
        }
    finally:
        conn.close()


def everything(data_dir: Path) -> tuple[Snapshot, Rows]:
    """The dump, every delta file, and every row."""
    return snapshot(data_dir), rows_of(data_dir)


def clean(data_dir: Path, policy: Policy = ALL, now: float = NOW) -> Report:
    return cleaning.clean(data_dir, policy, now)


def gone(report: Report) -> list[str]:
    return [one.sid for one in report.gone]


def bring_back(data_dir: Path, sids: Sequence[str]) -> None:
    for sid in sids:
        cleaning.restore(data_dir, sid, NOW)


def archived(data_dir: Path) -> list[str]:
    return [row.session_id for row in cleaning.archived(data_dir)]


def query(data_dir: Path, sql: str, *args: object) -> list[tuple[Any, ...]]:
    conn = sqlite3.connect(data_dir / "agentmon.db")
    try:
        return conn.execute(sql, args).fetchall()
    finally:
        conn.close()


def copy(data_dir: Path, target: Path) -> Path:
    return Path(shutil.copytree(data_dir, target))
