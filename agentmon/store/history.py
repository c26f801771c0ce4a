"""What is usual, from the past in the store: pauses between bytes, first bytes, runs of tools.

Reads only; `History` keeps the answers for a minute.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from agentmon.core.yardsticks import (
    MIN_CALLS,
    MIN_GAPS,
    Yardstick,
    command_prefix,
    gaps,
    yardstick,
)
from agentmon.store.codec import decode_tail

T = TypeVar("T")

RECENT_MESSAGES = 200
"""How far back the messages of an agent are looked for, those of other agents among them."""

GAP_MESSAGES = 8
"""Messages of an agent whose deltas are looked at: some thousand pauses."""

WAIT_MESSAGES = 40
TOOL_RUNS = 400
KEEP_SECONDS = 60.0
EVER = 1e15
"""Later than any moment."""
_MOST_KEPT = 2000

_MESSAGES = """
SELECT flow_id, start_time FROM (
  SELECT flow_id, start_time, agent_id FROM messages
  WHERE sid = ? AND start_time <= ? ORDER BY start_time DESC LIMIT ?)
WHERE COALESCE(agent_id, '') = ? LIMIT ?
"""


def gap_yardstick(
    conn: sqlite3.Connection, sid: str, agent_id: str, before: float = EVER
) -> Yardstick | None:
    """The usual longest pause between two bytes of a message of this agent, as known then."""
    found: list[float] = []
    flows = conn.execute(_MESSAGES, (sid, before, RECENT_MESSAGES, agent_id, GAP_MESSAGES))
    for flow_id, _ in flows.fetchall():
        sql = "SELECT data FROM delta_log WHERE flow_id = ? ORDER BY block_index, chunk"
        times: list[float] = []
        for (data,) in conn.execute(sql, (flow_id,)):
            entries = decode_tail(data, flow_id)
            times += [entry.time for entry in entries if entry.time <= before]
        found += gaps(times)
    return yardstick(found, MIN_GAPS)


def first_byte_yardstick(
    conn: sqlite3.Connection, sid: str, agent_id: str, before: float = EVER
) -> Yardstick | None:
    """The usual longest wait of this agent from a prompt, or the last result, to an answer, as
    known then."""
    args = (sid, before, RECENT_MESSAGES, agent_id, WAIT_MESSAGES)
    messages = conn.execute(_MESSAGES, args).fetchall()
    if len(messages) < MIN_CALLS:
        return None
    asked: list[float] = []
    if not agent_id:
        sql = "SELECT time FROM prompts WHERE sid = ? AND time <= ? ORDER BY time DESC LIMIT ?"
        asked = [at for (at,) in conn.execute(sql, (sid, before, WAIT_MESSAGES))]
    waits: list[float] = []
    for at, (_, start) in enumerate(messages):
        earlier = messages[at + 1] if at + 1 < len(messages) else None
        since = earlier[1] if earlier is not None else float("-inf")
        sent = [prompt for prompt in asked if since < prompt <= start]
        if earlier is not None:
            sql = "SELECT result_time FROM content_blocks WHERE flow_id = ? AND result_time <= ?"
            sent += [result for (result,) in conn.execute(sql, (earlier[0], start))]
        if sent:
            waits.append(start - max(sent))
    return yardstick(waits, MIN_CALLS)


Runs = list[tuple[float, str]]
"""Seconds that calls of a tool ran, and what they ran (`command_prefix`)."""


def tool_runs(conn: sqlite3.Connection, tool_name: str | None, before: float = EVER) -> Runs:
    """The last runs of a tool, as known then."""
    sql = """
    SELECT result_time - complete_time, input_preview FROM content_blocks
    WHERE tool_name = ? AND result_time <= ? AND complete_time <= ? AND block_type = 'tool_use'
    ORDER BY complete_time DESC LIMIT ?"""
    return [
        (max(0.0, seconds), command_prefix(tool_name, preview))
        for seconds, preview in conn.execute(sql, (tool_name, before, before, TOOL_RUNS))
    ]


def tool_yardstick(runs: Runs, prefix: str) -> Yardstick | None:
    """The usual longest run of a tool, of calls that run the same command."""
    return yardstick([seconds for seconds, ran in runs if ran == prefix], MIN_CALLS)


def open_blocks(conn: sqlite3.Connection, flow_id: str) -> list[dict[str, object]]:
    """The blocks of a message that are not over: index, block_type, bytes, last_byte."""
    sql = """
    SELECT block_index, block_type, total_bytes, last_time FROM content_blocks
    WHERE flow_id = ? AND complete_time IS NULL ORDER BY block_index"""
    return [
        {"index": index, "block_type": kind, "bytes": size, "last_byte": last}
        for index, kind, size, last in conn.execute(sql, (flow_id,))
    ]


_by_content: set[str] = set()


def keep_by_content(folder: Path) -> None:
    """Stores below a folder are at any moment, and at the same one again: what is usual there is
    a matter of the lines that are in, not of when it was asked for."""
    _by_content.add(f"{folder.resolve()}/")


def forget_below(folder: Path) -> None:
    """Nothing is asked below a folder any more."""
    _by_content.discard(f"{folder.resolve()}/")


class History:
    """The yardsticks, asked for again and again: each is worked out once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[object, ...], tuple[float, Any]] = {}

    def gap(self, conn: sqlite3.Connection, sid: str, agent_id: str) -> Yardstick | None:
        key = ("gap", sid, agent_id)
        return self._ask(conn, key, lambda: gap_yardstick(conn, sid, agent_id))

    def first_byte(self, conn: sqlite3.Connection, sid: str, agent_id: str) -> Yardstick | None:
        key = ("first byte", sid, agent_id)
        return self._ask(conn, key, lambda: first_byte_yardstick(conn, sid, agent_id))

    def tool(
        self, conn: sqlite3.Connection, tool_name: str | None, prefix: str
    ) -> Yardstick | None:
        runs = self._ask(conn, ("runs", tool_name), lambda: tool_runs(conn, tool_name))
        key = ("tool", tool_name, prefix)
        return self._ask(conn, key, lambda: tool_yardstick(runs, prefix))

    def _ask(
        self,
        conn: sqlite3.Connection,
        key: tuple[object, ...],
        work: Callable[[], T],
    ) -> T:
        (_, _, path) = conn.execute("PRAGMA database_list").fetchone()
        key, now = (path, *key), self._clock()
        if _by_content and any(path.startswith(folder) for folder in _by_content):
            key = (*key, *conn.execute("SELECT name, value FROM counts").fetchall())
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < KEEP_SECONDS:
            return kept[1]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        found = work()
        self._kept[key] = (now, found)
        return found
