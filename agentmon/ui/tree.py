"""The rounds of a session as lines: round ▸ message ▸ block, opened lazily. Reads, no drawing."""

import sqlite3
from collections.abc import Iterator

from msgspec import Struct, field

from agentmon.store import read

NodeKey = tuple[str, ...]
"""("round", round id), ("side",), ("message", flow id), ("block", flow id, index)."""

SIDE: NodeKey = ("side",)
"""Messages of no round: warm-up and side traffic."""


def round_key(round_id: str) -> NodeKey:
    return "round", round_id


def message_key(flow_id: str) -> NodeKey:
    return "message", flow_id


def block_key(flow_id: str, index: int) -> NodeKey:
    return "block", flow_id, str(index)


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
    """The tree of a session; with an agent id, only that subagent's messages."""
    return Tree(sid, agent_id, list(_rounds(conn, sid, agent_id, opened, sums)))


def _rounds(
    conn: sqlite3.Connection, sid: str, agent_id: str, opened: Opened, sums: SumCache
) -> Iterator[Node]:
    for place, row in enumerate(read.rounds(conn, sid)):
        key = round_key(row.round_id)
        is_open = opened.is_open(key, newest=place == 0)
        yield Node(key, 0, is_open, round=row, total=sums.get(conn, row, newest=place < 2))
        if is_open:
            rows = read.messages(conn, sid, row.round_id)
            yield from _messages(conn, _of_agent(rows, agent_id), key, opened, place == 0)
    side = _of_agent(read.roundless_messages(conn, sid), agent_id)
    if side:
        is_open = opened.is_open(SIDE, newest=False)
        yield Node(SIDE, 0, is_open)
        if is_open:
            yield from _messages(conn, side, SIDE, opened, False)


def _of_agent(rows: list[read.MessageRow], agent_id: str) -> list[read.MessageRow]:
    return [row for row in rows if row.agent_id == agent_id] if agent_id else rows


def _messages(
    conn: sqlite3.Connection,
    rows: list[read.MessageRow],
    parent: NodeKey,
    opened: Opened,
    is_newest: bool,
) -> Iterator[Node]:
    live = {row.flow_id for row in rows if not row.is_complete and not row.is_broken}
    last = rows[-1].flow_id if rows else ""
    for row in rows:
        key = message_key(row.flow_id)
        newest = is_newest and (row.flow_id in live or row.flow_id == last)
        is_open = opened.is_open(key, newest=newest) if row.block_count else None
        yield Node(key, 1, is_open, parent, message=row)
        if is_open:
            for block in read.blocks(conn, row.flow_id):
                place = block_key(block.flow_id, block.index)
                yield Node(place, 2, None, key, message=row, block=block)
