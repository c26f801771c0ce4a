"""One hop to the store: the board, the tree of the chosen session, the head of its stream."""

import sqlite3
from pathlib import Path

from msgspec import Struct

from agentmon.report import board as boards
from agentmon.report import known
from agentmon.report.family import Key
from agentmon.report.known import Known
from agentmon.store import read
from agentmon.store.deltas import open_text
from agentmon.ui import tree as trees

RESULT_CAP = 4 << 20
"""Bytes of a tool result that are shown; a file may hold more."""


class Wanted(Struct):
    """What the screen shows now, so what is worth loading."""

    sid: str | None
    agent_id: str
    pin: trees.NodeKey | None
    opened: trees.Opened
    with_board: bool = True
    with_tree: bool = True
    known_result: str = ""
    """The tool_use_id of the result that the stream pane holds already."""
    known_told: tuple[object, ...] = ()
    """The `told_key` of the text that the stream pane holds already."""
    guests: tuple[str, ...] = ()
    """Sessions that belong on the board however old they are."""


class Source(Struct):
    """What the stream pane shows: a block, or the prompt of a round."""

    sid: str = ""
    agent_id: str = ""
    is_pinned: bool = False
    block: read.BlockRow | None = None
    message: read.MessageRow | None = None
    round: read.RoundRow | None = None
    result: read.ResultRow | None = None
    result_text: str | None = None
    """None: there is no result, or the pane has it."""
    told_text: str | None = None
    """The text of a block that was told whole; None: it was streamed, or the pane has it."""

    @property
    def told_key(self) -> tuple[object, ...]:
        """Changes when a text that was told whole must be read; () for one that was streamed."""
        block = self.block
        if block is None or not block.uses_told:
            return ()
        return block.flow_id, block.index, block.revision, block.total_bytes

    @property
    def key(self) -> tuple[str, ...]:
        """The same while the same thing is shown; a growing block keeps its key."""
        if self.block is not None:
            return "block", self.sid, self.block.flow_id, str(self.block.index)
        if self.message is not None:
            return "message", self.sid, self.message.flow_id
        if self.round is not None:
            return "round", self.sid, self.round.round_id
        return ("nothing", self.sid)


class Snapshot(Struct):
    """What one hop brought. None: not asked for."""

    board: boards.Board | None
    known: dict[Key, Known]
    """What sources told of the agents on the board."""
    tree: trees.Tree | None
    source: Source
    wanted: Wanted


def load(
    conn: sqlite3.Connection, wanted: Wanted, sums: trees.SumCache, data_dir: Path
) -> Snapshot:
    """Reads a snapshot; runs off the event loop."""
    board = boards.load(conn, also=wanted.guests) if wanted.with_board else None
    facts = known.load(conn, board) if board is not None else {}
    tree = None
    source = Source()
    if wanted.sid is not None:
        if wanted.with_tree:
            tree = trees.load(conn, wanted.sid, wanted.agent_id, wanted.opened, sums)
        source = _source(conn, wanted.sid, wanted.agent_id, wanted.pin)
        if source.block is not None and source.block.tool_use_id and source.block.result_time:
            source.result = read.result(conn, source.block.tool_use_id)
            if source.block.tool_use_id != wanted.known_result:
                source.result_text = result_text(source.result, data_dir)
        if source.block is not None and source.told_key not in ((), wanted.known_told):
            source.told_text = read.told_text(conn, source.block.flow_id, source.block.index)
    return Snapshot(board, facts, tree, source, wanted)


def result_text(result: read.ResultRow | None, data_dir: Path) -> str:
    """The text of a result, from its file where the row holds a preview only."""
    if result is None:
        return ""
    if result.file is None:
        return result.content
    try:
        with open(open_text(data_dir, result.file), "rb") as file:
            return file.read(RESULT_CAP).decode("utf-8", "replace")
    except OSError as error:
        return f"{result.content}…\n[the whole result cannot be read: {error.strerror}]"


def _source(conn: sqlite3.Connection, sid: str, agent_id: str, pin: trees.NodeKey | None) -> Source:
    match pin:
        case ("block", flow_id, index):
            block = read.block(conn, flow_id, int(index))
            return Source(sid, agent_id, True, block, read.message(conn, flow_id))
        case ("message", flow_id):
            block = read.latest_block(conn, flow_id)
            return Source(sid, agent_id, True, block, read.message(conn, flow_id))
        case ("agent", inner):
            source = _newest(conn, sid, inner)
            source.is_pinned = True
            return source
        case ("round", round_id):
            return Source(sid, agent_id, True, round=read.round_(conn, sid, round_id))
        case _:
            return _newest(conn, sid, agent_id)


def _newest(conn: sqlite3.Connection, sid: str, agent_id: str) -> Source:
    """The newest block of the newest message of a thread that has one."""
    for row in read.agents(conn, sid):
        if row.agent_id == agent_id and row.flow_id is not None:
            message = read.message(conn, row.flow_id)
            block = read.latest_block(conn, row.flow_id)
            if block is not None:
                return Source(sid, agent_id, False, block, message)
    if agent_id:
        written = read.agent_messages(conn, sid, agent_id)
    else:
        newest = read.rounds(conn, sid, limit=3)
        rows = [read.messages(conn, sid, row.round_id, agent_id="") for row in newest]
        written = [message for messages in rows[::-1] for message in messages]
    for message in reversed(written):
        if message.block_count:
            block = read.latest_block(conn, message.flow_id)
            return Source(sid, agent_id, False, block, message)
    return Source(sid, agent_id)
