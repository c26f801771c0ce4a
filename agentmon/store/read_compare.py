"""Sessions as `core.comparing` compares them: a part of the read side."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentmon.core.comparing import Call, Message, Round, Story
from agentmon.store import read
from agentmon.store.deltas import block_path, read_bytes

_MESSAGES = """
SELECT flow_id, round_id, agent_id, model, stop_reason, error IS NOT NULL, output_tokens,
       start_time
FROM messages WHERE sid = ? ORDER BY start_time, seq
"""

_BLOCKS = """
SELECT b.flow_id, b.block_index, b.block_type = 'tool_use', b.tool_name, b.result_is_error,
       b.complete_time, b.result_time, b.start_time,
       CASE WHEN b.delta_count > 0 THEN b.last_time END
FROM messages m CROSS JOIN content_blocks b ON b.flow_id = m.flow_id
WHERE m.sid = ? ORDER BY b.flow_id, b.block_index
"""

_ALL = 1_000_000

_Block = tuple[Any, ...]


def story(conn: sqlite3.Connection, sid: str) -> Story | None:
    """A session in all its rounds; None where there is no such session."""
    session = read.session(conn, sid)
    if session is None:
        return None
    blocks: defaultdict[str, list[_Block]] = defaultdict(list)
    for flow_id, *block in conn.execute(_BLOCKS, (sid,)):
        blocks[flow_id].append(tuple(block))
    messages: list[Message] = []
    of_round: defaultdict[str, list[Message]] = defaultdict(list)
    begun: dict[str, float] = {}
    for flow_id, round_id, agent_id, *rest in conn.execute(_MESSAGES, (sid,)):
        message = _message(flow_id, agent_id, rest, blocks[flow_id])
        messages.append(message)
        if agent_id is None and round_id is not None:
            of_round[round_id].append(message)
            starts = [block[6] for block in blocks[flow_id] if block[6] is not None]
            if starts:
                begun.setdefault(round_id, min(starts))
    rounds = [
        _round(row, begun.get(row.round_id), of_round[row.round_id])
        for row in reversed(read.rounds(conn, sid, limit=_ALL))
    ]
    return Story(
        sid,
        session.agent,
        tuple(rounds),
        tuple(messages),
        session.input_tokens,
        session.output_tokens,
        session.cache_read_tokens,
        session.cache_write_tokens,
        _between(session.first_time, session.last_time),
    )


def _message(
    flow_id: str, agent_id: str | None, row: Sequence[Any], blocks: Sequence[_Block]
) -> Message:
    model, stop_reason, is_broken, output_tokens, start = row
    deltas = [block[7] for block in blocks if block[7] is not None]
    return Message(
        flow_id,
        agent_id,
        model,
        stop_reason,
        bool(is_broken),
        output_tokens,
        _between(start, max(deltas)) if deltas else None,
        tuple(_call(flow_id, block) for block in blocks if block[1]),
    )


def _call(flow_id: str, block: _Block) -> Call:
    index, _, name, error, complete, result, *_ = block
    is_error = None if error is None else bool(error)
    return Call(flow_id, index, name, is_error, _between(complete, result))


def _round(row: read.RoundRow, begun: float | None, messages: Sequence[Message]) -> Round:
    return Round(
        row.round_number,
        row.round_id,
        row.user_prompt,
        _between(row.start_time, row.end_time),
        _between(row.start_time, begun),
        tuple(messages),
    )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0.0)


class Inputs:
    """The exact inputs of calls, read one by one as they are asked for."""

    def __init__(self, conn: sqlite3.Connection, data_dir: Path) -> None:
        self._conn = conn
        self._data_dir = data_dir

    def text(self, call: Call) -> str:
        """The input of a call as it was written; "" where it is gone."""
        block = read.block(self._conn, call.flow_id, call.index)
        if block is None:
            return ""
        if block.uses_told:
            return read.told_text(self._conn, block.flow_id, block.index) or ""
        path = block_path(block.sid, block.flow_id, block.index)
        return read_bytes(self._data_dir, path, 0, block.stored_bytes).decode("utf-8", "replace")

    def are_same(self, one: Call, other: Call) -> bool:
        """Whether two calls were given the same: equal JSON values, else equal texts."""
        ours, theirs = self.text(one), self.text(other)
        return ours == theirs or _value(ours) == _value(theirs)


def _value(text: str) -> str:
    try:
        return json.dumps(json.loads(text or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return text
