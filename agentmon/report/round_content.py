"""A round with everything in it, in order: prompts, messages with their blocks and results, what
subagents did below the call that started them, notices and verdicts by their time.

Entries come as they are asked for. JSON has the fields of `dump`, a `depth` (0: the main agent, 1
more for each call between), and the `text`.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from pathlib import Path

from msgspec import Struct

from agentmon.report.dump import milliseconds
from agentmon.store import read
from agentmon.store.content import Contents
from agentmon.store.read_rounds import (
    RoundLine,
    agents_in,
    is_call_in,
    next_start,
    notices_between,
    verdicts_between,
)

Record = dict[str, object]


class Entry(Struct, frozen=True):
    """A thing in a round. `text` gives its text, UTF-8 in pieces; None: it has none."""

    record: Record
    depth: int = 0
    text: Callable[[], Iterable[bytes]] | None = None

    @property
    def kind(self) -> str:
        return str(self.record["kind"])


class RoundContent:
    """Reads one round of a store."""

    def __init__(self, conn: sqlite3.Connection, data_dir: Path, found: RoundLine) -> None:
        self._conn = conn
        self._contents = Contents(conn, data_dir)
        self._round = found
        self._key = found.sid, found.round_id
        here = set(agents_in(conn, *self._key))
        rows = [row for row in read.agents(conn, found.sid) if row.agent_id in here]
        self._below: dict[str, list[read.AgentRow]] = {}
        """Subagents by the call of this round that started them."""
        for row in rows:
            call = row.parent_tool_use_id
            if call is not None and is_call_in(conn, call, *self._key):
                self._below.setdefault(call, []).append(row)
        placed = {row.agent_id for below in self._below.values() for row in below}
        self._loose = here - placed
        self._told: set[str] = set()

    def entries(self) -> Iterator[Entry]:
        """All of it, the round itself first."""
        row = self._round
        yield Entry(_round(row))
        start = row.start_time or 0.0
        end = next_start(self._conn, row.sid, start)
        until = float("inf") if end is None else end
        streams = (
            (
                (prompt.time, self._prompt(prompt))
                for prompt in read.prompts(self._conn, *self._key)
            ),
            ((m.start_time or start, self._message(m, 0)) for m in self._messages()),
            (
                (n.time, iter([_notice(n)]))
                for n in notices_between(self._conn, row.sid, start, until)
            ),
            (
                (v.since, iter([_verdict(v)]))
                for v in verdicts_between(self._conn, row.sid, start, until)
            ),
        )
        for _, entries in merge(*streams, key=lambda found: found[0]):
            yield from entries
        for below in self._below.values():  # started by a call of each other
            for agent in below:
                yield from self._agent(agent, 1)

    def _messages(self) -> Iterator[read.MessageRow]:
        """Those of the main agent, and of subagents that no call of this round started."""
        for row in read.each_message(self._conn, *self._key):
            if row.agent_id is None or row.agent_id in self._loose:
                yield row

    def _prompt(self, row: read.PromptRow) -> Iterator[Entry]:
        record: Record = {"kind": "prompt", "time": row.time, "is_queued": row.is_queued}
        yield Entry(record, 0, lambda: [row.text.encode("utf-8", "replace")])

    def _message(self, row: read.MessageRow, depth: int) -> Iterator[Entry]:
        yield Entry(_message(row), depth)
        for block in read.blocks(self._conn, row.flow_id):
            yield Entry(_block(block), depth, self._text(block))
            call = block.tool_use_id
            if call is None:
                continue
            for agent in self._below.get(call, ()):
                yield from self._agent(agent, depth + 1)
            result = read.result(self._conn, call)
            if result is not None:
                yield Entry(_result(block, result), depth, self._result_text(result))

    def _text(self, block: read.BlockRow) -> Callable[[], Iterable[bytes]]:
        return lambda: self._contents.block(block)

    def _result_text(self, result: read.ResultRow) -> Callable[[], Iterable[bytes]]:
        return lambda: self._contents.result(result)

    def _agent(self, row: read.AgentRow, depth: int) -> Iterator[Entry]:
        if row.agent_id in self._told:
            return
        self._told.add(row.agent_id)
        yield Entry(_agent(row), depth)
        messages = read.each_message(self._conn, *self._key, agent_id=row.agent_id)
        for message in messages:
            yield from self._message(message, depth)


def _round(row: RoundLine) -> Record:
    return {
        "kind": "round",
        "round_id": row.round_id,
        "sid": row.sid,
        "round_number": row.round_number,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "duration_ms": milliseconds(row.start_time, row.end_time),
        "is_complete": row.is_complete,
        "is_aborted": row.is_aborted,
        "orphaned_at": row.orphaned_at,
    }


_MESSAGE = (
    *(
        "flow_id",
        "request_id",
        "agent_id",
        "role",
        "model",
        "stop_reason",
        "start_time",
        "end_time",
    ),
    *("is_complete", "is_broken", "error", "input_tokens", "output_tokens", "cache_read_tokens"),
    "cache_write_tokens",
)
_BLOCK = (
    *("flow_id", "index", "block_type", "tool_use_id", "tool_name", "delta_count", "total_bytes"),
    *("is_complete", "start_time", "complete_time"),
)


def _of(kind: str, row: object, names: Iterable[str]) -> Record:
    return {"kind": kind, **{name: getattr(row, name) for name in names}}


def _message(row: read.MessageRow) -> Record:
    return _of("message", row, _MESSAGE)


def _block(row: read.BlockRow) -> Record:
    return {**_of("block", row, _BLOCK), "is_pending": is_pending(row), "is_cut": row.is_cut}


def is_pending(block: read.BlockRow) -> bool:
    """A finished call whose result has not come, nor evidence that it returned unseen."""
    waits = block.result_time is None and block.no_result_at is None
    return block.block_type == "tool_use" and block.is_complete and waits


def _result(block: read.BlockRow, row: read.ResultRow) -> Record:
    took = milliseconds(block.complete_time, row.result_time)
    return {
        "kind": "tool_result",
        "tool_use_id": row.tool_use_id,
        "tool_name": block.tool_name,
        "is_error": row.is_error,
        "content_size": row.content_size,
        "sha256": row.sha256,
        "result_time": row.result_time,
        "execution_duration_ms": None if took is None else max(0, took),
    }


def _agent(row: read.AgentRow) -> Record:
    names = ("agent_id", "description", "status", "parent_tool_use_id")
    return {**_of("agent", row, names), "agent_kind": row.kind}


def _notice(row: read.NoticeRow) -> Entry:
    record: Record = {
        "kind": "notice",
        "time": row.time,
        "name": row.name,
        "agent_id": row.agent_id or None,
        "flow_id": row.flow_id,
        "data": _parsed(row.data),
    }
    return Entry(record)


def _verdict(row: read.VerdictRow) -> Entry:
    record: Record = {
        "kind": "verdict",
        "verdict": row.verdict,
        "agent_id": row.agent_id or None,
        "tool_use_id": row.tool_use_id or None,
        "since": row.since,
        "until": row.until,
        "evidence": _parsed(row.evidence),
    }
    return Entry(record)


def _parsed(text: str) -> object:
    """Stored JSON as a value; as it is where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
