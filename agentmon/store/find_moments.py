"""When a text was there: the moments of a store at which a prompt, a block or a result says it."""

import re
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from agentmon.core.order import emission_order
from agentmon.store.codec import decode_tail
from agentmon.store.deltas import block_path, read_bytes

MOST_BYTES = 16 << 20
"""Of one text, how much is searched."""

_PROMPTS = "SELECT time, text FROM prompts WHERE time {after} ? ORDER BY time {order}"
_RESULTS = """
SELECT result_time, content, file, content_size FROM tool_results
WHERE result_time {after} ? ORDER BY result_time {order}"""
_BLOCKS = """
SELECT b.flow_id, b.block_index, b.sid, b.stored_bytes, b.start_time,
       COALESCE(b.complete_time, b.last_time, b.start_time) AS over, t.time, t.text,
       CASE WHEN b.has_start THEN COALESCE(b.start_text, '') ELSE '' END
FROM content_blocks b LEFT JOIN told_blocks t
  ON b.uses_told AND t.flow_id = b.flow_id AND t.block_index = b.block_index
WHERE b.start_time IS NOT NULL AND {edge} {after} ? ORDER BY {edge} {order}"""


def find_moment(
    conn: sqlite3.Connection, data_dir: Path, text: str, now: float, direction: int
) -> float | None:
    """The first moment after `now` (direction 1), or the last one before it (-1), at which a text
    was said to its end, whatever the case of its letters; None where there is none."""
    wanted = re.compile(re.escape(text), re.IGNORECASE)
    forward = direction > 0
    best: float | None = None
    for found in (_in_prompts, _in_results, _in_blocks):
        for edge, moment in found(conn, data_dir, wanted, now, forward):
            if best is not None and (edge > best if forward else edge < best):
                break
            if moment is None or (moment <= now if forward else moment >= now):
                continue
            if best is None or (moment < best if forward else moment > best):
                best = moment
    return best


def next_block_end(conn: sqlite3.Connection, now: float, direction: int) -> float | None:
    """When the next content block after a moment was complete (direction 1), or the last one before
    it (-1)."""
    sql = (
        "SELECT MIN(complete_time) FROM content_blocks WHERE complete_time > ?"
        if direction > 0
        else "SELECT MAX(complete_time) FROM content_blocks WHERE complete_time < ?"
    )
    (found,) = conn.execute(sql, (now,)).fetchone()
    return found


_Found = Iterator[tuple[float, float | None]]
"""Of each text, the edge from which on it can be found, and the moment at which it was."""


def _sql(text: str, forward: bool, edge: str = "") -> str:
    after, order = (">", "ASC") if forward else ("<", "DESC")
    return text.format(after=after, order=order, edge=edge)


def _in_prompts(
    conn: sqlite3.Connection, _: Path, wanted: re.Pattern[str], now: float, forward: bool
) -> _Found:
    for time, text in conn.execute(_sql(_PROMPTS, forward), (now,)):
        yield time, time if wanted.search(text) else None


def _in_results(
    conn: sqlite3.Connection, data_dir: Path, wanted: re.Pattern[str], now: float, forward: bool
) -> _Found:
    for time, content, file, size in conn.execute(_sql(_RESULTS, forward), (now,)):
        text = content or ""
        if file is not None:
            text = _read(data_dir, file, size)
        yield time, time if wanted.search(text) else None


def _in_blocks(
    conn: sqlite3.Connection, data_dir: Path, wanted: re.Pattern[str], now: float, forward: bool
) -> _Found:
    """Blocks that were under way at `now` count, too: their edge is the other one."""
    if forward:
        under_way = _BLOCKS.format(after=">", order="ASC", edge="over") + ", b.start_time"
        under_way = under_way.replace("WHERE ", "WHERE b.start_time <= :now AND ", 1)
        rows = conn.execute(under_way.replace("?", ":now"), {"now": now}).fetchall()
        rows.sort(key=lambda row: row[4])
        for row in rows:
            yield now, _moment(conn, data_dir, wanted, row, now, forward)
        sql = _BLOCKS.format(after=">", order="ASC", edge="b.start_time")
        for row in conn.execute(sql, (now,)):
            yield row[4], _moment(conn, data_dir, wanted, row, now, forward)
        return
    under_way = _BLOCKS.format(after=">=", order="DESC", edge="over")
    under_way = under_way.replace("WHERE ", "WHERE b.start_time < :now AND ", 1)
    for row in conn.execute(under_way.replace("?", ":now"), {"now": now}).fetchall():
        yield now, _moment(conn, data_dir, wanted, row, now, forward)
    sql = _BLOCKS.format(after="<", order="DESC", edge="over")
    for row in conn.execute(sql, (now,)):
        yield row[5], _moment(conn, data_dir, wanted, row, now, forward)


def _moment(
    conn: sqlite3.Connection,
    data_dir: Path,
    wanted: re.Pattern[str],
    row: tuple[object, ...],
    now: float,
    forward: bool,
) -> float | None:
    """When a block said it: its first time after `now`, or its last one before."""
    flow_id, index, sid, size, _, over, told_time, told, head = row
    if isinstance(told, str):
        time = told_time if isinstance(told_time, float) else over
        return float(time) if isinstance(time, float) and wanted.search(told) else None
    if not isinstance(size, int) or not isinstance(index, int):
        return None
    text = _read(data_dir, block_path(str(sid), str(flow_id), index), size)
    ends = [match.end() for match in wanted.finditer(text)]
    if not ends:
        return None
    times = _times(conn, str(flow_id), index, len(str(head)))
    fallback = over if isinstance(over, float) else None
    found = [_at(times, end, fallback) for end in ends]
    later = [time for time in found if time is not None and (time > now if forward else time < now)]
    if not later:
        return None
    return min(later) if forward else max(later)


def _times(
    conn: sqlite3.Connection, flow_id: str, index: int, head: int
) -> tuple[list[int], list[float]]:
    """(characters up to there, when all of them were there) for each delta of a block."""
    sql = "SELECT data FROM delta_log WHERE flow_id = ? AND block_index = ? ORDER BY chunk"
    blobs = conn.execute(sql, (flow_id, index)).fetchall()
    entries = [entry for (blob,) in blobs for entry in decode_tail(blob, flow_id)]
    order = emission_order(entries)
    ends = [*accumulate((entries[at].chars for at in order), initial=head)][1:]
    return ends, [*accumulate((entries[at].time for at in order), max)]


def _at(times: tuple[list[int], list[float]], end: int, fallback: float | None) -> float | None:
    ends, moments = times
    at = bisect_left(ends, end)
    return moments[at] if at < len(moments) else fallback


def _read(data_dir: Path, path: str, size: int) -> str:
    return read_bytes(data_dir, path, 0, min(size, MOST_BYTES)).decode("utf-8", "replace")
