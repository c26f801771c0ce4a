"""Which rows belong to a session: told by the schema, so that no table can be forgotten.

A table with a `sid` belongs to sessions by it; one that is keyed by `flow_id` instead belongs to
the session of the message. What is neither is of the whole store, and listed here: a test sees to
it that every table is one of the three.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

STORE_WIDE = frozenset(
    {
        "schema_version",
        "sources",
        "bad_lines",
        "counts",
        "file_ops",
        "system_metrics",
        "removals",
        "cleanups",
        "search_queue",
        "unseen",
        # what agents said and did outlives the sessions in which they did it
        "agent_messages",
        "agent_deliveries",
        "agent_names",
        "agent_outbox",
        "agent_receipts",
        "checkpoint_messages",
        "checkpoints",
        "config",
        "config_history",
        "daily_metrics",
        "decision_revisions",
        "decisions",
        "derivations",
        "work_events",
        "work_files",
    }
)
"""Tables that say nothing of a single session."""

MESSAGES = "messages"
_SURROGATE = "INTEGER"


class Table(Struct, frozen=True):
    """A table with rows of sessions. `key` names a row; `columns` are those that are stored."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    has_sid: bool
    by_flow: bool
    """Its rows are found by the messages of the session, not by `sid`."""

    def rows_of(self, where: str, order: str = "") -> str:
        return f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE {where} = ?{order}"

    @property
    def delete_some(self) -> str:
        """Deletes up to LIMIT rows of a session."""
        key = ", ".join(self.key)
        return (
            f"DELETE FROM {self.name} WHERE ({key}) IN"
            f" (SELECT {key} FROM {self.name} WHERE sid = ? LIMIT ?)"
        )


def tables(conn: sqlite3.Connection) -> list[Table]:
    """Tables that hold rows of sessions: `sessions` first, then the others by name."""
    found: list[Table] = []
    for name in names(conn):
        info = conn.execute(f"PRAGMA table_xinfo({name})").fetchall()
        stored = [(str(row[1]), str(row[2]), int(row[5])) for row in info if not row[6]]
        columns = {column for column, _, _ in stored}
        if name in STORE_WIDE or not columns & {"sid", "flow_id"}:
            continue
        key = [column for column, _, at in sorted(stored, key=lambda one: one[2]) if at]
        surrogate = _surrogate(stored)
        is_found = name != MESSAGES and _is_found_by_sid(conn, name, key)
        found.append(
            Table(
                name,
                tuple(column for column, _, _ in stored if column != surrogate),
                tuple(key) if key else ("rowid",),
                "sid" in columns,
                "flow_id" in columns and not is_found,
            )
        )
    return sorted(found, key=lambda table: (table.name != "sessions", table.name))


def names(conn: sqlite3.Connection) -> list[str]:
    """The tables of the schema; not those of full text indexes, which hold no rows of their own."""
    found = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
    every = [(str(name), str(sql)) for name, sql in found if not name.startswith("sqlite_")]
    virtual = [name for name, sql in every if sql.upper().startswith("CREATE VIRTUAL")]
    shadows = tuple(f"{name}_" for name in virtual)
    return [name for name, _ in every if name not in virtual and not name.startswith(shadows)]


def _surrogate(stored: Sequence[tuple[str, str, int]]) -> str | None:
    """A number that only names the row here: another store, or a later day, gives another one."""
    keys = [(column, kind) for column, kind, at in stored if at]
    return keys[0][0] if len(keys) == 1 and keys[0][1].upper() == _SURROGATE else None


def _is_found_by_sid(conn: sqlite3.Connection, name: str, key: Sequence[str]) -> bool:
    if key and key[0] == "sid":
        return True
    for _, index, _, _, is_partial in conn.execute(f"PRAGMA index_list({name})").fetchall():
        if not is_partial:
            first = conn.execute(f"PRAGMA index_info({index})").fetchone()
            if first is not None and first[2] == "sid":
                return True
    return False


def flows_of(conn: sqlite3.Connection, sid: str) -> list[str]:
    """The flow ids of a session's messages, as they arrived: some 50 bytes each."""
    sql = "SELECT flow_id FROM messages WHERE sid = ? ORDER BY rowid"
    return [flow_id for (flow_id,) in conn.execute(sql, (sid,))]


def rows(
    conn: sqlite3.Connection, table: Table, sid: str, flows: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """The rows of a session in a table, in the order in which they were stored."""
    if table.by_flow:
        order = f" ORDER BY {', '.join(table.key)}"
        for flow_id in flows:
            yield from conn.execute(table.rows_of("flow_id", order), (flow_id,))
    else:
        order = f" ORDER BY {', '.join(table.key)}"
        yield from conn.execute(table.rows_of("sid", order), (sid,))
