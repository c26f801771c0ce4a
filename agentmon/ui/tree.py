"""The rounds of a session as lines, opened lazily. Reads, no drawing.

round ▸ message ▸ block, and below the call that started a subagent: agent ▸ message ▸ block. A
subagent whose call nobody told stands in the round of its first message.
"""

import sqlite3
from collections.abc import Iterator

from msgspec import Struct, field

from agentmon.store import read

NodeKey = tuple[str, ...]
"""("round", round id), ("side",), ("message", flow id), ("block", flow id, index), ("agent", id),
and ("why", number): a line on what is wrong with the newest round."""

SIDE: NodeKey = ("side",)
"""Messages of no round: warm-up and side traffic."""

SIDE_AGENT = "side"
"""The agent id of traffic that is nobody's turn."""


def round_key(round_id: str) -> NodeKey:
    return "round", round_id


def message_key(flow_id: str) -> NodeKey:
    return "message", flow_id


def block_key(flow_id: str, index: int) -> NodeKey:
    return "block", flow_id, str(index)


def agent_key(agent_id: str) -> NodeKey:
    return "agent", agent_id


class Opened(Struct):
    """Which nodes a person opened or closed; the newest round and message open by themselves."""

    opened: set[NodeKey] = field(default_factory=set[NodeKey])
    closed: set[NodeKey] = field(default_factory=set[NodeKey])

    def is_open(self, key: NodeKey, *, newest: bool) -> bool:
        return key in self.opened or (newest and key not in self.closed)

    def set_open(self, key: NodeKey, is_open: bool) -> None:
        self.opened.discard(key)
        self.closed.discard(key)
        (self.opened if is_open else self.closed).add(key)

    def copy(self) -> "Opened":
        return Opened(set(self.opened), set(self.closed))


class Node(Struct):
    """A line of the tree with the row it stands for."""

    key: NodeKey
    depth: int
    is_open: bool | None = None
    """None: a leaf."""
    parent: NodeKey | None = None
    round: read.RoundRow | None = None
    total: read.RoundSum | None = None
    message: read.MessageRow | None = None
    block: read.BlockRow | None = None
    agent: read.AgentRow | None = None


class SumCache(Struct):
    """Sums of rounds that are over and not the newest: they do not change any more."""

    sums: dict[tuple[str, str], tuple[read.RoundRow, read.RoundSum]] = field(
        default_factory=dict[tuple[str, str], tuple[read.RoundRow, read.RoundSum]]
    )

    def get(self, conn: sqlite3.Connection, row: read.RoundRow, *, newest: bool) -> read.RoundSum:
        key = row.sid, row.round_id
        found = self.sums.get(key)
        if found is not None and not newest and found[0] == row:
            return found[1]
        total = read.round_sum(conn, *key)
        self.sums[key] = row, total
        return total


class Tree(Struct):
    """The visible nodes of one session, top to bottom."""

    sid: str
    agent_id: str
    nodes: list[Node]


def load(conn: sqlite3.Connection, sid: str, agent_id: str, opened: Opened, sums: SumCache) -> Tree:
    """The tree of a session; with an agent id, only that subagent's messages and its subagents."""
    builder = _Builder(conn, sid, opened, sums)
    nodes = builder.rounds_of_agent(agent_id) if agent_id else builder.rounds()
    return Tree(sid, agent_id, list(nodes))


class _Builder:
    """One load: the rows that several nodes need, and which subagents have their place already."""

    def __init__(self, conn: sqlite3.Connection, sid: str, opened: Opened, sums: SumCache) -> None:
        self._conn = conn
        self._sid = sid
        self._opened = opened
        self._sums = sums
        self._by_call: dict[str, list[read.AgentRow]] = {}
        self._loose: dict[str | None, list[tuple[read.MessageRow, read.AgentRow]]] = {}
        """Subagents without a known call, by the round of their first message."""
        self._linked: set[str] = set()
        self._placed: set[str] = set()
        for row in read.agents(conn, sid):
            if row.agent_id and row.agent_id != SIDE_AGENT:
                self._link(row)

    def _link(self, row: read.AgentRow) -> None:
        if row.parent_tool_use_id is not None and row.parent_agent_id is not None:
            self._by_call.setdefault(row.parent_tool_use_id, []).append(row)
            self._linked.add(row.agent_id)
            return
        for first in read.agent_messages(self._conn, self._sid, row.agent_id, limit=1):
            self._loose.setdefault(first.round_id, []).append((first, row))
            self._linked.add(row.agent_id)

    def rounds(self) -> Iterator[Node]:
        conn, sid = self._conn, self._sid
        for place, row in enumerate(read.rounds(conn, sid)):
            key = round_key(row.round_id)
            newest = place == 0
            is_open = self._opened.is_open(key, newest=newest)
            yield Node(
                key, 0, is_open, round=row, total=self._sums.get(conn, row, newest=place < 2)
            )
            if is_open:
                messages = read.messages(conn, sid, row.round_id, agent_id="")
                loose = self._loose.get(row.round_id, [])
                yield from self._messages(messages, key, 1, newest=newest, loose=loose)
        rows = read.roundless_messages(conn, sid)
        side = [message for message in rows if message.agent_id not in self._linked]
        yield from self._side(side, self._loose.get(None, []))

    def rounds_of_agent(self, agent_id: str) -> Iterator[Node]:
        """The rounds in which a subagent worked, with its messages only."""
        self._placed.add(agent_id)
        by_round: dict[str | None, list[read.MessageRow]] = {}
        for message in read.agent_messages(self._conn, self._sid, agent_id):
            by_round.setdefault(message.round_id, []).append(message)
        newest = True
        for row in read.rounds(self._conn, self._sid):
            messages = by_round.get(row.round_id)
            if messages is not None:
                key = round_key(row.round_id)
                is_open = self._opened.is_open(key, newest=newest)
                yield Node(key, 0, is_open, round=row, total=_sum(messages))
                if is_open:
                    yield from self._messages(messages, key, 1, newest=newest)
                newest = False
        yield from self._side(by_round.get(None, []), [])

    def _side(
        self, rows: list[read.MessageRow], loose: list[tuple[read.MessageRow, read.AgentRow]]
    ) -> Iterator[Node]:
        if rows or loose:
            is_open = self._opened.is_open(SIDE, newest=False)
            yield Node(SIDE, 0, is_open)
            if is_open:
                yield from self._messages(rows, SIDE, 1, newest=False, loose=loose)

    def _messages(
        self,
        rows: list[read.MessageRow],
        parent: NodeKey,
        depth: int,
        *,
        newest: bool,
        loose: list[tuple[read.MessageRow, read.AgentRow]] | None = None,
    ) -> Iterator[Node]:
        """Messages with what is below them; the live ones and the last one of the newest round
        open by themselves. Loose subagents stand where they began."""
        live = {row.flow_id for row in rows if not row.is_complete and not row.is_broken}
        last = rows[-1].flow_id if rows else ""
        waiting = sorted(loose or [], key=lambda pair: pair[0].start_time or 0.0)
        for row in rows:
            while waiting and (waiting[0][0].start_time or 0.0) < (row.start_time or 0.0):
                yield from self._agent(waiting.pop(0)[1], parent, depth)
            is_newest = newest and (row.flow_id in live or row.flow_id == last)
            key = message_key(row.flow_id)
            is_open = self._opened.is_open(key, newest=is_newest) if row.block_count else None
            yield Node(key, depth, is_open, parent, message=row)
            if is_open:
                yield from self._blocks(row, key, depth + 1, newest=newest)
        for _, agent in waiting:
            yield from self._agent(agent, parent, depth)

    def _blocks(
        self, message: read.MessageRow, parent: NodeKey, depth: int, *, newest: bool
    ) -> Iterator[Node]:
        for block in read.blocks(self._conn, message.flow_id):
            key = block_key(block.flow_id, block.index)
            started = self._by_call.get(block.tool_use_id or "", [])
            started = [row for row in started if row.agent_id not in self._placed]
            is_open = self._opened.is_open(key, newest=newest) if started else None
            yield Node(key, depth, is_open, parent, message=message, block=block)
            if is_open:
                for row in started:
                    yield from self._agent(row, key, depth + 1)

    def _agent(self, row: read.AgentRow, parent: NodeKey, depth: int) -> Iterator[Node]:
        """A subagent with its messages; each has one place, also where calls repeat."""
        if row.agent_id in self._placed:
            return
        self._placed.add(row.agent_id)
        key = agent_key(row.agent_id)
        has_messages = row.flow_id is not None or row.last_start is not None
        is_open = self._opened.is_open(key, newest=False) if has_messages else None
        yield Node(key, depth, is_open, parent, agent=row)
        if is_open:
            messages = read.agent_messages(self._conn, self._sid, row.agent_id)
            yield from self._messages(messages, key, depth + 1, newest=True)


def _sum(messages: list[read.MessageRow]) -> read.RoundSum:
    """What a subagent's messages in a round add up to; failed calls are not looked up."""
    tokens_in = sum((m.input_tokens or 0) + (m.cache_write_tokens or 0) for m in messages)
    tokens_out = sum(m.output_tokens or 0 for m in messages)
    errors = sum(m.error is not None for m in messages)
    last = max((m.last_time or 0.0 for m in messages), default=None)
    return read.RoundSum(len(messages), tokens_in, tokens_out, errors, last)


def path(conn: sqlite3.Connection, sid: str, flow_id: str, *, view: str) -> list[NodeKey]:
    """The nodes to open on the way to a message, itself the last; `view`: whose tree it is.

    A subagent's message lies below the call that started it, which may lie in another subagent.
    """
    agents = {row.agent_id: row for row in read.agents(conn, sid)}
    keys: list[NodeKey] = []
    seen: set[str] = set()
    found = read.message(conn, flow_id)
    while found is not None and found.flow_id not in seen:
        seen.add(found.flow_id)
        keys.append(message_key(found.flow_id))
        owner = agents.get(found.agent_id or "") if found.agent_id != view else None
        inner = owner is not None and owner.agent_id not in ("", SIDE_AGENT)
        if owner is not None and inner:
            keys.append(agent_key(owner.agent_id))
            call = read.block_of_call(conn, owner.parent_tool_use_id or "")
            if call is not None:
                keys.append(block_key(call.flow_id, call.index))
                found = read.message(conn, call.flow_id)
                continue
            firsts = read.agent_messages(conn, sid, owner.agent_id, limit=1)
            found = firsts[0] if firsts else found
        keys.append(round_key(found.round_id) if found.round_id is not None else SIDE)
        break
    return keys[::-1]
