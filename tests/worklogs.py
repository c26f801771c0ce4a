"""An empty store in memory, for work logs that many examples write."""

import sqlite3
from functools import cache

from agentmon.assets import asset
from agentmon.store.migrations import statements


@cache
def _opened() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for statement in statements(asset("schema.sql").read_text("utf-8")):
        conn.execute(statement)
    return conn


def empty() -> sqlite3.Connection:
    """The same connection each time, its work log empty."""
    conn = _opened()
    for table in ("work_events", "work_files", "daily_metrics"):
        conn.execute(f"DELETE FROM {table}")
    return conn
