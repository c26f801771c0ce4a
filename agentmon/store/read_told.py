"""What is told of sessions beside their streams: prompts, whole blocks, facts, testimony.

A part of `read`, which has every SELECT for the rest of the program.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from agentmon.store.rows import Fact, PromptRow, Testimony, ToldRow

Rows = list[tuple[Any, ...]]


def _all(conn: sqlite3.Connection, sql: str, args: tuple[object, ...] = ()) -> Rows:
    return conn.execute(sql, args).fetchall()


def prompts(conn: sqlite3.Connection, sid: str, round_id: str) -> list[PromptRow]:
    """The prompts of a round, in their order."""
    sql = """
    SELECT ordinal, time, text, is_queued, kinds FROM prompts
    WHERE sid = ? AND round_id = ? ORDER BY time, ordinal"""
    found = _all(conn, sql, (sid, round_id))
    return [PromptRow(at, time, text, bool(queued), k) for at, time, text, queued, k in found]


def told(conn: sqlite3.Connection, flow_id: str) -> list[ToldRow]:
    """The blocks of a message as they were told when they were over, by index."""
    sql = """
    SELECT flow_id, block_index, item_id, time, bytes, sha256, is_exact, kind, text
    FROM told_blocks WHERE flow_id = ? ORDER BY block_index"""
    found: list[ToldRow] = []
    for row in _all(conn, sql, (flow_id,)):
        values = list(row)
        values[6] = bool(values[6])
        found.append(ToldRow(*values))
    return found


def told_text(conn: sqlite3.Connection, flow_id: str, index: int) -> str | None:
    """The text of a block with `uses_told`."""
    sql = "SELECT text FROM told_blocks WHERE flow_id = ? AND block_index = ?"
    rows = _all(conn, sql, (flow_id, index))
    return rows[0][0] if rows else None


def facts(conn: sqlite3.Connection, sid: str) -> dict[tuple[str, str], Fact]:
    """What is known of a session by name: (agent_id, name) → fact."""
    found = _all(conn, _FACT + " WHERE sid = ?", (sid,))
    return {(row[1], row[2]): _fact(row) for row in found}


def facts_of(
    conn: sqlite3.Connection, sids: Sequence[str], names: Sequence[str]
) -> dict[tuple[str, str, str], Fact]:
    """The same for several sessions and some names: (sid, agent_id, name) → fact."""
    given = msgspec.json.encode(list(sids)).decode(), msgspec.json.encode(list(names)).decode()
    sql = f"""{_FACT} WHERE sid IN (SELECT value FROM json_each(?))
    AND name IN (SELECT value FROM json_each(?))"""
    return {(row[0], row[1], row[2]): _fact(row) for row in _all(conn, sql, given)}


_FACT = "SELECT sid, agent_id, name, value, time, kind FROM facts"


def _fact(row: tuple[Any, ...]) -> Fact:
    sid, agent_id, name, value, time, kind = row
    return Fact(sid, agent_id, name, msgspec.json.decode(value), time, kind)


def testimony(conn: sqlite3.Connection, sid: str) -> list[Testimony]:
    """What each kind of source said last of each agent of a session."""
    sql = """
    SELECT sid, agent_id, kind, time, said FROM testimony WHERE sid = ?
    ORDER BY agent_id, time DESC"""
    return [Testimony(*row) for row in _all(conn, sql, (sid,))]


def seen_live(conn: sqlite3.Connection, streaming: int, since: float) -> tuple[int, int]:
    """Of how many sessions active since then a source of these kinds told, and how many there
    were."""
    sql = "SELECT COALESCE(SUM(kinds & ? != 0), 0), COUNT(*) FROM sessions WHERE last_time >= ?"
    live, total = conn.execute(sql, (streaming, since)).fetchone()
    return live, total
