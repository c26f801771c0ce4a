"""A session over time: numbers by buckets of some seconds, and the formats they are written in.

A bucket begins at a multiple of the interval (epoch) and holds what has its time in it. Buckets run
from the first to the last that hold anything; those between are there too: a count is 0 in an empty
bucket, a mean is unknown (empty, null, left out).
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from agentmon.report.bodies import csv_lines
from agentmon.report.words import micros
from agentmon.store.read_series import Arrivals
from agentmon.store.read_stats import (
    BlockFact,
    MessageFact,
    block_facts,
    message_facts,
    prompt_times,
    round_facts,
)

MAX_BUCKETS = 5_000_000


class Metric(Struct, frozen=True):
    """What is counted (or averaged), in one sentence."""

    name: str
    help: str
    is_mean: bool = False


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("prompts", "prompts written"),
        Metric("rounds", "rounds that ended"),
        Metric("messages", "messages that began"),
        Metric("blocks", "content blocks that were complete"),
        Metric("deltas", "increments of text that came"),
        Metric("bytes", "UTF-8 bytes of block text that came; what never streamed, at its end"),
        Metric("tokens", "input, cache writes and output of messages, at their end"),
        Metric("input_tokens", "input tokens of messages, at their end"),
        Metric("output_tokens", "output tokens of messages, at their end"),
        Metric("cache_read_tokens", "tokens of messages read from the cache, at their end"),
        Metric("cache_write_tokens", "tokens of messages written to the cache, at their end"),
        Metric("tools", "tool calls whose arguments were complete"),
        Metric("results", "tool results that came"),
        Metric("errors", "failed calls at their result, broken messages at their last byte"),
        Metric("tool_seconds", "mean seconds from call to result, of results that came", True),
        Metric("message_seconds", "mean seconds of messages that ended", True),
        Metric("round_seconds", "mean seconds of rounds that ended", True),
    )
}

DEFAULT = ("tokens", "deltas", "bytes", "messages", "tools", "errors")

Point = tuple[float, str, float]
"""(epoch seconds, metric, value)."""
Row = dict[str, float | int | None]
"""`time` (the bucket's begin, epoch seconds) and a value for each metric."""


# -- what happened when


def points(
    conn: sqlite3.Connection, data_dir: Path, sid: str, metrics: Sequence[str]
) -> Iterator[Point]:
    """Everything that counts, in no order. Reads what the metrics need, of this session only."""
    wanted = set(metrics)
    for found in _points(conn, data_dir, sid, wanted):
        if found[1] in wanted:
            yield found


def _points(
    conn: sqlite3.Connection, data_dir: Path, sid: str, wanted: set[str]
) -> Iterator[Point]:
    if "prompts" in wanted:
        yield from ((time, "prompts", 1) for time in prompt_times(conn, sid))
    if wanted & {"rounds", "round_seconds"}:
        for row in round_facts(conn, sid):
            if row.end_time is not None:
                yield row.end_time, "rounds", 1
                yield row.end_time, "round_seconds", max(0.0, row.end_time - row.start_time)
    if wanted & _OF_MESSAGES:
        for message in message_facts(conn, sid):
            yield from _of_message(message)
    if wanted & _OF_BLOCKS:
        arrivals = Arrivals(conn, data_dir) if wanted & {"deltas", "bytes"} else None
        for block in block_facts(conn, sid):
            yield from _of_block(block)
            for at, size, is_delta in arrivals.of(block) if arrivals is not None else ():
                yield at, "bytes", size
                if is_delta:
                    yield at, "deltas", 1


_TOKENS = ("tokens", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_OF_MESSAGES = {"messages", "message_seconds", "errors", *_TOKENS}
_OF_BLOCKS = {"blocks", "deltas", "bytes", "tools", "results", "errors", "tool_seconds"}


def _of_message(message: MessageFact) -> Iterator[Point]:
    start, end, over = message.start_time, message.end_time, message.over
    if start is not None:
        yield start, "messages", 1
        if end is not None:
            yield end, "message_seconds", max(0.0, end - start)
    if over is not None:
        for name in _TOKENS:
            yield over, name, getattr(message, name) or 0
        if message.error is not None:
            yield over, "errors", 1


def _of_block(block: BlockFact) -> Iterator[Point]:
    if block.complete_time is not None:
        yield block.complete_time, "blocks", 1
        if block.tool_use_id is not None:
            yield block.complete_time, "tools", 1
    if block.result_time is not None:
        yield block.result_time, "results", 1
        if block.is_error:
            yield block.result_time, "errors", 1
        if block.duration is not None:
            yield block.result_time, "tool_seconds", block.duration


# -- buckets


class TooMany(Exception):
    """The interval is too small for the time that a session spans; the message says so."""


def buckets(
    found: Iterable[Point], interval: float, metrics: Sequence[str], *, since: float = 0.0
) -> Iterator[Row]:
    """The rows, oldest first. Raises TooMany before the first of them."""
    sums: dict[int, dict[str, tuple[float, int]]] = {}
    for time, name, value in found:
        if time < since:
            continue
        bucket = sums.setdefault(math.floor(time / interval), {})
        total, count = bucket.get(name, (0.0, 0))
        bucket[name] = total + value, count + 1
    if not sums:
        return iter(())
    first, last = min(sums), max(sums)
    if last - first >= MAX_BUCKETS:
        raise TooMany(f"--interval {interval:g} makes {last - first + 1:,} rows: give a longer one")
    return (_row(sums.get(at, {}), at * interval, metrics) for at in range(first, last + 1))


def _row(bucket: Mapping[str, tuple[float, int]], time: float, metrics: Sequence[str]) -> Row:
    row: Row = {"time": int(time) if time == int(time) else round(time, 6)}
    for name in metrics:
        total, count = bucket.get(name, (0.0, 0))
        if METRICS[name].is_mean:
            row[name] = micros(total / count) if count else None
        else:
            row[name] = int(total)
    return row


# -- formats


def as_csv(rows: Iterable[Row], metrics: Sequence[str]) -> Iterator[str]:
    """A title line, then a line for each bucket; an unknown mean is empty."""
    yield from csv_lines(_lines(rows, metrics))


def _lines(rows: Iterable[Row], metrics: Sequence[str]) -> Iterator[Sequence[object]]:
    yield ("time", *metrics)
    for row in rows:
        yield [row["time"], *(row[name] for name in metrics)]


def as_prometheus(rows: Iterable[Row], metrics: Sequence[str], sid: str) -> Iterator[str]:
    """OpenMetrics text with timestamps, for `promtool tsdb create-blocks-from openmetrics`.

    A gauge for each metric, its samples at the begin of each bucket; unknown means are left out.
    The metrics stand one after the other, so all rows are held.
    """
    held = list(rows)
    label = '{sid="' + sid.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"}'
    for name in metrics:
        full = f"agentmon_session_{name}"
        yield f"# TYPE {full} gauge\n# HELP {full} In a bucket of time: {METRICS[name].help}.\n"
        for row in held:
            if row[name] is not None:
                yield f"{full}{label} {row[name]} {row['time']}\n"
    yield "# EOF\n"


PARQUET_ROWS = 10_000
"""Rows of a row group."""


def write_parquet(rows: Iterable[Row], metrics: Sequence[str], out: BinaryIO) -> None:
    """Columns: `time` (UTC timestamp), counts as integers, means as nullable floats.

    Raises ImportError: see `agentmon.store.parquet`.
    """
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    fields = [arrow.field("time", arrow.timestamp("us", "UTC"), nullable=False)]
    for name in metrics:
        kind = arrow.float64() if METRICS[name].is_mean else arrow.int64()
        fields.append(arrow.field(name, kind, nullable=METRICS[name].is_mean))
    schema = arrow.schema(fields)
    with parquet.ParquetWriter(out, schema) as writer:
        for page in _pages(rows, PARQUET_ROWS):
            columns = {"time": [round((row["time"] or 0) * 1e6) for row in page]}
            columns |= {name: [row[name] for row in page] for name in metrics}
            arrays = [arrow.array(columns[field.name], field.type) for field in schema]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _pages(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    page: list[Row] = []
    for row in rows:
        page.append(row)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
