"""Tools, their calls and what failed: a part of the read side.

A call is a complete `tool_use` block. It counts in a window of time by the moment when it was
complete. Its duration runs from there to its result, never below 0. It is an error where its
result says so, pending while there is neither a result nor evidence that one came unseen.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import add
from typing import Any

from msgspec import Struct

from agentmon.core.spread import EMPTY_BUCKETS, Spread, buckets, spread
from agentmon.store import read_durations

Times = tuple[float, float | None, int | None, float | None]
"""Of a call: complete_time, result_time, result_is_error, no_result_at."""

MAIN = "main"
"""How the main agent is named where a thread of a session is asked for."""


class ToolRow(Struct):
    """What calls of one tool came to; `tool_name` None: calls that name no tool.

    `error_rate` is errors by results, None without results. Durations are in seconds; `buckets`
    counts those of all results, see `core.spread.BOUNDS`.
    """

    tool_name: str | None
    calls: int
    pending: int
    results: int
    errors: int
    error_rate: float | None
    succeeded: Spread
    failed: Spread
    buckets: tuple[int, ...] = EMPTY_BUCKETS


class CallRow(Struct):
    """A call of a tool, where it was made, and what came of it. `duration` is in seconds."""

    tool_name: str | None
    tool_use_id: str | None
    sid: str
    agent_id: str
    round_id: str | None
    flow_id: str
    index: int
    called_at: float
    result_time: float | None
    is_error: bool | None
    is_pending: bool
    duration: float | None
    input_preview: str | None


class Scope(Struct, frozen=True):
    """Which calls are meant: since a moment, of a session, of an agent.

    `agent` is a product (claude, codex); within a session one of its threads: the id of a
    subagent, or "main".
    """

    since: float | None = None
    sid: str | None = None
    agent: str | None = None


EVERYTHING = Scope()


_CALLS = "b.block_type = 'tool_use' AND b.complete_time IS NOT NULL"

_NAMES = f"""
WITH RECURSIVE named(name) AS (
  SELECT MIN(tool_name) FROM content_blocks b WHERE {_CALLS}
  UNION ALL
  SELECT (SELECT MIN(tool_name) FROM content_blocks b WHERE {_CALLS} AND tool_name > name)
  FROM named WHERE name IS NOT NULL)
SELECT name FROM named WHERE name IS NOT NULL
"""

_NAMELESS = f"SELECT 1 FROM content_blocks b WHERE {_CALLS} AND tool_name IS NULL LIMIT 1"


def tool_names(conn: sqlite3.Connection) -> list[str | None]:
    """The tools that were ever called, by name; None last, where a call names none."""
    names: list[str | None] = [name for (name,) in conn.execute(_NAMES)]
    return [*names, None] if conn.execute(_NAMELESS).fetchone() else names


_TIMES = """
SELECT b.complete_time, b.result_time, b.result_is_error, b.no_result_at
FROM content_blocks b {join}
WHERE {calls} AND b.tool_name IS ? AND b.complete_time >= ? {where}
"""


def tool(
    conn: sqlite3.Connection, tool_name: str | None, *, scope: Scope = EVERYTHING
) -> ToolRow | None:
    """The numbers of one tool; None where it was not called. `scope.sid` does not matter here."""
    if scope.since is None and scope.agent is None:
        return _of_all_time(conn, tool_name)
    since = float("-inf") if scope.since is None else scope.since
    join, where, args = "", "", (tool_name, since)
    if scope.agent is not None:
        join, where = "JOIN sessions s ON s.sid = b.sid", "AND s.agent = ?"
        args = (*args, scope.agent)
    sql = _TIMES.format(calls=_CALLS, join=join, where=where)
    return tool_row(tool_name, conn.execute(sql, args).fetchall())


def tool_row(tool_name: str | None, calls: Sequence[Times]) -> ToolRow | None:
    """What calls of a tool come to; None without any."""
    if not calls:
        return None
    fine = sorted([max(r - c, 0.0) for c, r, error, _ in calls if r is not None and not error])
    bad = sorted([max(r - c, 0.0) for c, r, error, _ in calls if r is not None and error])
    pending = sum(r is None and unseen is None for _, r, _, unseen in calls)
    every = sorted(fine + bad)
    return ToolRow(
        tool_name,
        len(calls),
        pending,
        len(every),
        len(bad),
        len(bad) / len(every) if every else None,
        spread(fine),
        spread(bad),
        buckets(every),
    )


def _of_all_time(conn: sqlite3.Connection, tool_name: str | None) -> ToolRow | None:
    """The same without a row of a call being read: `read_durations` counts along its index."""
    calls, pending = read_durations.counts(conn, tool_name)
    if not calls:
        return None
    fine = read_durations.Durations(conn, tool_name, is_error=False)
    bad = read_durations.Durations(conn, tool_name, is_error=True)
    results = fine.count + bad.count
    return ToolRow(
        tool_name,
        calls,
        pending,
        results,
        bad.count,
        bad.count / results if results else None,
        fine.spread(),
        bad.spread(),
        tuple(map(add, fine.buckets, bad.buckets)),
    )


_OF_SESSION = """
SELECT b.tool_name, b.complete_time, b.result_time, b.result_is_error, b.no_result_at
FROM messages m CROSS JOIN content_blocks b ON b.flow_id = m.flow_id
WHERE m.sid = ? {thread} AND {calls} AND b.complete_time >= ?
"""


def tools(conn: sqlite3.Connection, scope: Scope = EVERYTHING) -> Iterator[ToolRow]:
    """The tools that were called, by name, each as soon as it is worked out."""
    if scope.sid is None:
        for name in tool_names(conn):
            row = tool(conn, name, scope=scope)
            if row is not None:
                yield row
        return
    grouped: defaultdict[str | None, list[Times]] = defaultdict(list)
    thread, args = _thread(scope)
    since = float("-inf") if scope.since is None else scope.since
    sql = _OF_SESSION.format(calls=_CALLS, thread=thread)
    for name, *times in conn.execute(sql, (scope.sid, *args, since)):
        grouped[name].append(_times(times))
    for name in sorted(grouped, key=lambda name: (name is None, name or "")):
        row = tool_row(name, grouped[name])
        if row is not None:
            yield row


def _times(row: Sequence[Any]) -> Times:
    called, result, error, unseen = row
    return called, result, error, unseen


def _thread(scope: Scope) -> tuple[str, tuple[str, ...]]:
    """A condition on messages `m` for the agent of a scope within its session."""
    if scope.agent is None:
        return "", ()
    if scope.agent == MAIN:
        return "AND m.agent_id IS NULL", ()
    return "AND m.agent_id = ?", (scope.agent,)


_CALL = """
SELECT b.tool_name, b.tool_use_id, b.sid, COALESCE(m.agent_id, ''), m.round_id, b.flow_id,
       b.block_index, b.complete_time, b.result_time, b.result_is_error, b.no_result_at,
       b.input_preview
FROM content_blocks b JOIN messages m ON m.flow_id = b.flow_id
"""

Place = tuple[float, str, int]
"""Where a page of calls ends: called_at, flow_id and index of its last call."""


def calls(
    conn: sqlite3.Connection,
    tool_name: str | None,
    *,
    since: float | None = None,
    after: Place | None = None,
    limit: int = 200,
) -> list[CallRow]:
    """Calls of a tool, the newest first, in all sessions; `after` the last one of a page."""
    before = (float("inf"), "", 0) if after is None else after
    sql = f"""{_CALL}
    WHERE {_CALLS} AND b.tool_name IS ? AND b.complete_time >= ? AND b.complete_time <= ?
      AND (b.complete_time, b.flow_id, b.block_index) < (?, ?, ?)
    ORDER BY b.complete_time DESC, b.flow_id DESC, b.block_index DESC LIMIT ?"""
    oldest = float("-inf") if since is None else since
    args = (tool_name, oldest, before[0], *before, limit)
    return [_call(row) for row in conn.execute(sql, args)]


def _call(row: Sequence[Any]) -> CallRow:
    values = list(row)
    called, result, error, unseen, preview = values[7:]
    took = None if result is None else max(result - called, 0.0)
    is_error = None if error is None else bool(error)
    is_pending = result is None and unseen is None
    values[9:] = [is_error, is_pending, took, preview]
    return CallRow(*values)


class FailureRow(Struct):
    """A failed call (`call` is there) or a broken message (`error` is), and where it happened."""

    time: float
    sid: str
    agent_id: str
    round_id: str | None
    flow_id: str
    index: int | None
    error: str | None
    call: CallRow | None


def failures(
    conn: sqlite3.Connection, scope: Scope = EVERYTHING, *, limit: int = 20
) -> list[FailureRow]:
    """The newest failed calls and broken messages. A failed call counts by its result's time."""
    found = [*_failed_calls(conn, scope, limit), *_broken(conn, scope, limit)]
    return sorted(found, key=lambda row: (-row.time, row.flow_id, row.index or -1))[:limit]


def _failed_calls(conn: sqlite3.Connection, scope: Scope, limit: int) -> Iterable[FailureRow]:
    where, args = _scoped(scope, "b.result_time")
    sql = f"""{_CALL}
    WHERE b.result_is_error = 1 AND b.complete_time IS NOT NULL {where}
    ORDER BY b.result_time DESC LIMIT ?"""
    for row in conn.execute(sql, (*args, limit)):
        call = _call(row)
        at = call.result_time if call.result_time is not None else call.called_at
        sid, flow_id, index = call.sid, call.flow_id, call.index
        yield FailureRow(at, sid, call.agent_id, call.round_id, flow_id, index, None, call)


_BROKEN_AT = "COALESCE(m.last_time, m.start_time, 0)"


def _broken(conn: sqlite3.Connection, scope: Scope, limit: int) -> Iterable[FailureRow]:
    where, args = _scoped(scope, _BROKEN_AT)
    sql = f"""
    SELECT {_BROKEN_AT} AS at, m.sid, COALESCE(m.agent_id, ''), m.round_id, m.flow_id, m.error
    FROM messages m WHERE m.error IS NOT NULL {where} ORDER BY at DESC LIMIT ?"""
    for row in conn.execute(sql, (*args, limit)):
        at, sid, agent_id, round_id, flow_id, error = row
        yield FailureRow(at, sid, agent_id, round_id, flow_id, None, error, None)


def _scoped(scope: Scope, time: str) -> tuple[str, tuple[object, ...]]:
    """Conditions on messages `m` (of a call or by themselves) for a scope."""
    where, args = "", ()
    if scope.since is not None:
        where, args = f"AND {time} >= ?", (scope.since,)
    if scope.sid is not None:
        thread, more = _thread(scope)
        return f"{where} AND m.sid = ? {thread}", (*args, scope.sid, *more)
    if scope.agent is not None:
        product = "(SELECT s.agent FROM sessions s WHERE s.sid = m.sid)"
        return f"{where} AND {product} = ?", (*args, scope.agent)
    return where, args


def broken_texts(
    conn: sqlite3.Connection, scope: Scope = EVERYTHING
) -> Iterator[tuple[float, str]]:
    """Time and error of every broken message, in the order of time."""
    where, args = _scoped(scope, _BROKEN_AT)
    sql = f"""
    SELECT {_BROKEN_AT} AS at, m.error FROM messages m
    WHERE m.error IS NOT NULL {where} ORDER BY at"""
    yield from conn.execute(sql, args)
