"""A round in time: its messages and blocks as spans, and when their deltas came. A part of `read`.

The subagents that calls of the round started belong to it, also where they go on after its stop.
"""

import sqlite3
from array import array
from collections.abc import Iterable, Mapping
from operator import gt
from typing import Any, Literal, NamedTuple

from agentmon.core.rates import Deltas
from agentmon.core.spans import MAIN, Agent, Block, Message, Round
from agentmon.store.codec import decode_times

Rows = list[tuple[Any, ...]]

_ROUND = """
SELECT r.user_prompt, r.start_time, r.end_time, r.is_complete, r.is_aborted, r.orphaned_at,
       r.is_closed,
       (SELECT COUNT(*) FROM rounds n WHERE n.sid = r.sid AND n.prompts > 0
        AND n.start_time < r.start_time)
     + (SELECT COUNT(*) FROM rounds n WHERE n.sid = r.sid AND n.prompts > 0
        AND n.start_time IS r.start_time AND n.round_id <= r.round_id)
FROM rounds r WHERE r.sid = ? AND r.round_id = ? AND r.prompts > 0
"""

_PROMPTS = "SELECT time FROM prompts WHERE sid = ? AND round_id = ? ORDER BY time"

_AGENTS = """
SELECT agent_id, parent_tool_use_id, kind, description FROM agents WHERE sid = ? AND agent_id <> ''
"""

_MESSAGE = """
SELECT flow_id, COALESCE(agent_id, ''), start_time, end_time, last_time, model, output_tokens,
       is_complete, is_broken, error
FROM messages
"""
_OF_ROUND = "WHERE sid = ? AND round_id = ?"
_OF_AGENT = "WHERE sid = ? AND agent_id = ?"

_BLOCKS = """
SELECT block_index, block_type, tool_use_id, tool_name, start_time, complete_time, total_bytes,
       delta_count, result_time, result_is_error, no_result_at, input_preview, revision
FROM content_blocks WHERE flow_id = ? ORDER BY block_index
"""

_DELTAS = """
SELECT data FROM delta_log WHERE flow_id = ? AND block_index = ? ORDER BY chunk
"""

STATEMENTS = (
    _ROUND,
    _PROMPTS,
    _AGENTS,
    _MESSAGE + _OF_ROUND,
    _MESSAGE + _OF_AGENT,
    _BLOCKS,
    _DELTAS,
)
"""Every SELECT here, so that a test can hold each to an index."""


def round_in_time(conn: sqlite3.Connection, sid: str, round_id: str) -> Round | None:
    """The spans of a round; None: there is no such round, or nobody told when it began."""
    for prompt, start, end, complete, aborted, orphaned, closed, number in conn.execute(
        _ROUND, (sid, round_id)
    ):
        outcome: Literal["complete", "aborted", "orphaned", "running"] = "running"
        if complete:
            outcome = "complete"
        elif aborted or orphaned is not None:
            outcome = "aborted" if aborted else "orphaned"
        found = Round(sid, round_id, number, prompt, start or 0.0, end, outcome)
        found.prompts = [at for (at,) in conn.execute(_PROMPTS, (sid, round_id))]
        _Filler(conn, found, is_closed=bool(closed)).fill()
        if start is None and not found.messages:
            return None
        _settle(found, start)
        return found
    return None


def _settle(found: Round, start: float | None) -> None:
    """A round that nobody saw begin begins with its first message; one that was given up ends with
    the last thing that was told of it."""
    if start is None:
        found.start = min(message.start for message in found.messages)
    if found.end is None and found.outcome != "running":
        found.end = found.start
        found.end = max(_moments(found))


def _moments(found: Round) -> Iterable[float]:
    yield found.start
    for message in found.messages:
        yield message.start if message.end is None else message.end
        yield from (block.result_at for block in message.blocks if block.result_at is not None)


class _Filler:
    """One read: the messages of a round, then those of the subagents that its calls started."""

    def __init__(self, conn: sqlite3.Connection, found: Round, *, is_closed: bool) -> None:
        self._conn = conn
        self._is_closed = is_closed
        self._found = found
        self._is_over = found.outcome in ("aborted", "orphaned")
        self._messages: dict[str, Message] = {}
        self._calls: set[str] = set()

    def fill(self) -> None:
        found, sid = self._found, self._found.sid
        self._read(_OF_ROUND, found.round_id)
        told = self._conn.execute(_AGENTS, (sid,)).fetchall()
        agents = {row[0]: row for row in told}
        mine = {message.agent_id for message in self._messages.values()} - {MAIN}
        waiting = [row for row in told if row[0] not in mine]
        entered = True
        while entered:  # a subagent's calls may start further ones
            entered = False
            for row in [row for row in waiting if row[1] in self._calls]:
                waiting.remove(row)
                mine.add(row[0])
                self._read(_OF_AGENT, row[0])
                entered = True
        unknown = (None, None, None)
        found.agents = [self._agent(agents.get(one, (one, *unknown))) for one in sorted(mine)]
        found.messages = sorted(self._messages.values(), key=lambda one: (one.start, one.flow_id))

    def _agent(self, row: tuple[Any, ...]) -> Agent:
        agent_id, call, kind, description = row
        return Agent(agent_id, call if call in self._calls else None, description or kind or "")

    def _read(self, where: str, key: str) -> None:
        sid = self._found.sid
        for row in self._conn.execute(f"{_MESSAGE} {where} ORDER BY start_time", (sid, key)):
            if row[0] not in self._messages:
                self._messages[row[0]] = self._message(row)

    def _message(self, row: tuple[Any, ...]) -> Message:
        flow_id, agent_id, start, end, last, model, tokens, complete, broken, error = row
        rows = self._conn.execute(_BLOCKS, (flow_id,)).fetchall()
        blocks = tuple(self._block(flow_id, agent_id, row) for row in rows)
        known = [at for block in blocks for at in (block.start, block.end) if at is not None]
        begun = start if start is not None else min(known, default=self._found.start)
        is_told = bool(blocks) and all(block.is_told for block in blocks)
        is_told = is_told and begun == blocks[0].start
        if end is None and (complete or broken or self._is_cut(agent_id, last)):
            end = max(known, default=begun)
            end = max(end, last) if not complete and last is not None else end
        end = None if end is None else max(end, begun)
        return Message(
            flow_id, agent_id, begun, end, blocks, model, is_told, bool(complete), tokens, error
        )

    def _is_cut(self, agent_id: str, last: float | None) -> bool:
        """Whether its round is over, and so a message that was not finished (see `MessageRow`)."""
        end = self._found.end
        if agent_id == MAIN and end is not None and last is not None and end >= last:
            return True
        return self._is_over or self._is_closed

    def _block(self, flow_id: str, agent_id: str, row: tuple[Any, ...]) -> Block:
        (index, kind, call, tool, start, end, size, deltas, result, error, lost, preview, rev) = row
        if call is not None and end is not None:
            self._calls.add(call)
        return Block(
            flow_id,
            index,
            agent_id,
            kind,
            call,
            tool,
            start,
            end,
            size,
            deltas,
            not deltas and start == end,
            result,
            bool(error),
            result is None and (lost is not None or self._is_over),
            preview,
            rev,
        )


class Read(NamedTuple):
    """The deltas of a block, and of which state of it."""

    number: int
    revision: int
    deltas: Deltas


def deltas_of(
    conn: sqlite3.Connection, round_: Round, known: Mapping[tuple[str, int], Read] | None = None
) -> dict[tuple[str, int], Read]:
    """When the deltas of each block came; what is known already is not read again."""
    found: dict[tuple[str, int], Read] = {}
    for message in round_.messages:
        for block in message.blocks:
            kept = known.get(block.key) if known is not None else None
            if kept is not None and kept[:2] == (block.deltas, block.revision):
                found[block.key] = kept
            elif block.deltas:
                found[block.key] = Read(block.deltas, block.revision, _deltas(conn, block))
    return found


def _deltas(conn: sqlite3.Connection, block: Block) -> Deltas:
    times, chars = array("d"), array("l")
    for (data,) in conn.execute(_DELTAS, block.key):
        at, counts = decode_times(data)
        times.extend(at)
        chars.extend(counts)
    if any(map(gt, times, times[1:])):
        order = sorted(range(len(times)), key=times.__getitem__)
        times = array("d", [times[at] for at in order])
        chars = array("l", [chars[at] for at in order])
    return Deltas(times, chars)


def start_of_round(conn: sqlite3.Connection, sid: str, round_id: str) -> float:
    """When a round began: at its first prompt, else with its first message. 0.0 for neither."""
    sql = """
    SELECT COALESCE(start_time, (SELECT MIN(m.start_time) FROM messages m
                                 WHERE m.sid = r.sid AND m.round_id = r.round_id), 0.0)
    FROM rounds r WHERE sid = ? AND round_id = ?"""
    row = conn.execute(sql, (sid, round_id)).fetchone()
    return float(row[0]) if row is not None else 0.0
