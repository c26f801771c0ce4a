"""Who told of a chosen round, message or block: which source, when, how much; where they differ.

Reads and words, no drawing.
"""

import hashlib
import sqlite3
from pathlib import Path

from msgspec import Struct, field

from agentmon.core.kinds import KIND_BIT, STREAMING
from agentmon.core.text import clean, one_line
from agentmon.report import render
from agentmon.store import read
from agentmon.store.deltas import block_path, read_bytes
from agentmon.ui.evidence import Fact
from agentmon.ui.tree import Node
from agentmon.ui.widgets.rounds import block_state, message_state
from agentmon.ui.widgets.sessions import clock_text

HASHED = 16 << 20
"""Bytes of a block up to which two sources are compared by content, else by size."""


class Witnesses(Struct):
    """What the store keeps of who told of a node."""

    told: list[read.ToldRow] = field(default_factory=list[read.ToldRow])
    streamed: str | None = None
    """SHA-256 of the text as it was streamed; None: not known."""
    result: read.ResultRow | None = None
    prompts: list[read.PromptRow] = field(default_factory=list[read.PromptRow])


def load(conn: sqlite3.Connection, node: Node, data_dir: Path) -> Witnesses:
    """Reads what there is to say about a node."""
    found = Witnesses()
    if node.block is not None:
        block = node.block
        told = read.told(conn, block.flow_id)
        found.told = [row for row in told if row.index == block.index]
        found.streamed = _digest(block, data_dir) if found.told else None
        if block.tool_use_id:
            found.result = read.result(conn, block.tool_use_id)
    elif node.message is not None:
        found.told = read.told(conn, node.message.flow_id)
    elif node.round is not None:
        found.prompts = read.prompts(conn, node.round.sid, node.round.round_id)
    return found


def _digest(block: read.BlockRow, data_dir: Path) -> str | None:
    """Of the streamed text, where all of it is kept."""
    size = block.stored_bytes
    if block.is_cut or not block.delta_count or size > HASHED:
        return None
    path = block_path(block.sid, block.flow_id, block.index)
    data = read_bytes(data_dir, path, 0, size) if size else b""
    return hashlib.sha256(data).hexdigest() if len(data) == size else None


def heading(node: Node) -> str | None:
    """The question about a node; None: the thread is asked about."""
    if node.block is not None:
        return "Who told of this block?"
    if node.message is not None:
        return "Who told of this message?"
    return "Who told of this round?" if node.round is not None else None


def node_facts(node: Node, found: Witnesses) -> list[Fact]:
    """What is known of a chosen round, message or block, and from whom."""
    if node.block is not None:
        return _block_facts(node.block, node.message, found)
    if node.message is not None:
        return _message_facts(node.message, found)
    return _round_facts(node.round, found) if node.round is not None else []


def _text(value: str | None) -> str:
    return one_line(value, 200) if value else render.UNKNOWN


def kinds_text(kinds: int) -> str:
    """The sources of a bit mask: "wire, transcript"."""
    return ", ".join(kind for kind, bit in KIND_BIT.items() if kinds & bit) or render.UNKNOWN


def _round_facts(row: read.RoundRow, found: Witnesses) -> list[Fact]:
    times = f"{clock_text(row.start_time)} – {clock_text(row.end_time)}"
    facts = [
        Fact("round", f"#{row.round_number}  {_text(row.round_id)}"),
        Fact("times", times),
    ]
    for prompt in found.prompts[:6]:
        queued = ", queued" if prompt.is_queued else ""
        said = f"{clock_text(prompt.time)}  {kinds_text(prompt.kinds)}{queued}: "
        facts.append(Fact("prompt", said + clean(prompt.text, newline=False)[:400]))
    if not found.prompts:
        facts.append(Fact("prompt", clean(row.user_prompt or render.UNKNOWN, newline=False)[:400]))
    return facts


def _message_facts(row: read.MessageRow, found: Witnesses) -> list[Fact]:
    spent = (
        ("in", row.input_tokens),
        ("out", row.output_tokens),
        ("cache read", row.cache_read_tokens),
        ("cache write", row.cache_write_tokens),
    )
    counts = [
        f"{name} {render.UNKNOWN if count is None else f'{count:,}'}" for name, count in spent
    ]
    facts = [
        Fact("message", f"{_text(row.flow_id)}  request {_text(row.request_id)}"),
        Fact("state", f"{message_state(row)[1]}  ({_text(row.model)})"),
        Fact("times", f"{clock_text(row.start_time)} – {clock_text(row.end_time)}"),
        Fact("tokens", " · ".join(counts)),
        Fact("told by", kinds_text(row.kinds)),
    ]
    if found.told:
        told = sorted(row.time for row in found.told)
        kinds = ", ".join(sorted({row.kind for row in found.told}))
        number = len(found.told)
        facts.append(
            Fact(
                one_line(kinds, 11),
                f"{number} of {row.block_count} block{'' if row.block_count == 1 else 's'}, "
                f"{render.size(sum(row.bytes for row in found.told))}, "
                f"{clock_text(told[0])} – {clock_text(told[-1])}",
            )
        )
        if row.kinds & STREAMING and number != row.block_count:
            facts.append(Fact("differ", "the sources tell different numbers of blocks", "warning"))
    if row.error:
        facts.append(Fact("error", clean(row.error, newline=False)[:400], "error"))
    return facts


def _block_facts(
    row: read.BlockRow, message: read.MessageRow | None, found: Witnesses
) -> list[Fact]:
    kinds = message.kinds if message is not None else 0
    times = f"{clock_text(row.start_time)} – {clock_text(row.complete_time)}"
    facts = [
        Fact("block", f"{row.index} of {_text(row.flow_id)}  {_text(row.block_type)}"),
        Fact("state", block_state(row)),
        Fact("times", f"{times}, last byte {clock_text(row.last_time)}"),
    ]
    if row.delta_count or not found.told:
        streamed = kinds_text(kinds & STREAMING) if kinds & STREAMING else "streamed"
        text = f"{render.size(row.total_bytes)} in {row.delta_count:,} deltas"
        facts.append(Fact(one_line(streamed, 11), text))
    facts += [_told_fact(row, told) for told in found.told]
    facts += _differences(row, found)
    if row.tool_use_id:
        facts.append(Fact("call", f"{_text(row.tool_name)}  {_text(row.tool_use_id)}"))
        facts.append(Fact("result", _result_text(row, found.result)))
    if row.is_cut:
        facts.append(Fact("cut", "a delta was too long to keep; its size is known", "warning"))
    return facts


def _told_fact(row: read.BlockRow, told: read.ToldRow) -> Fact:
    words = f"{render.size(told.bytes)}, told whole at {clock_text(told.time)}"
    if row.uses_told:
        words += "; this is the text shown"
    return Fact(one_line(told.kind, 11), words)


def _differences(row: read.BlockRow, found: Witnesses) -> list[Fact]:
    """Whether a streamed and a told text are the same one."""
    facts: list[Fact] = []
    for told in found.told:
        if not row.delta_count:
            continue
        if found.streamed is not None and found.streamed == told.sha256:
            facts.append(Fact("agree", "both texts are the same, byte for byte", "success"))
        elif found.streamed is not None or told.bytes != row.total_bytes:
            words = (
                f"streamed {row.total_bytes:,} bytes, {_text(told.kind)} {told.bytes:,} bytes; "
                f"shown is the {'told' if row.uses_told else 'streamed'} one"
            )
            facts.append(Fact("differ", words, "warning"))
        else:
            facts.append(Fact("agree", "both texts have the same size", "success"))
    return facts


_RANKS = ("a summary of another source", "a stream", "a transcript")


def _result_text(row: read.BlockRow, result: read.ResultRow | None) -> str:
    if result is None:
        missing = row.no_result_at is not None
        return "none seen, though the agent went on" if missing else "not yet"
    failed = "failed, " if row.result_is_error else ""
    source = _RANKS[result.rank] if 0 <= result.rank < len(_RANKS) else render.UNKNOWN
    when = clock_text(result.result_time)
    return f"{failed}{render.size(result.content_size)} at {when}, from {source}"
