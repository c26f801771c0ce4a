"""What a batch does to the text of its blocks: new deltas to the end, or the text put in order.

The common case is an append: one group of deltas, counters rising. Otherwise the whole order is
worked out again from the delta log, and if committed text has to move the text is written anew.
"""

import json
from typing import Protocol, cast

from msgspec import Struct

from agentmon.core.order import emission_order, goes_on
from agentmon.core.state import Block, DeltaEntry, DeltaTail
from agentmon.store.codec import CHUNK_DELTAS, encode_tail
from agentmon.store.deltas import block_path

PREVIEW = 400
"""Characters of a tool call's arguments kept in its row."""


class Past(Protocol):
    """What is committed of a block."""

    def deltas(self, flow_id: str, index: int) -> list[DeltaEntry]: ...
    def text(self, path: str, size: int) -> bytes: ...


class Append(Struct):
    path: str
    at: int
    data: bytes


class Rewrite(Struct):
    path: str
    data: bytes


class TextChange(Struct):
    """What to do with a block's file, and the rows of its delta log: (chunk, deltas, data)."""

    file: Append | Rewrite | None
    log: list[tuple[int, int, bytes]]
    drop_log: bool = False
    left: str | None = None
    """A path whose text has moved away."""


def change_text(block: Block, past: Past) -> TextChange | None:
    """Takes the new deltas of a block. The block's sizes and log become those after the commit."""
    message = block.message
    path = block_path(message.session.sid, message.flow_id, block.index)
    new, block.new = block.new, []
    start_is_due = bool(block.start_text) and not block.start_stored
    if not new and not start_is_due and block.moved_from is None:
        return None
    block.is_cut = block.is_cut or any(event.cut for event in new)
    cut = sum(event.cut for event in new)
    entries = [
        DeltaEntry(event.flow, event.count, event.time or 0.0, len(event.text or ""))
        for event in new
    ]
    texts = [event.text or "" for event in new]
    change = _append(block, path, entries, texts) or _reorder(block, past, path, entries, texts)
    block.total_bytes = block.stored_bytes + _cut_so_far(block, cut)
    return change


def _cut_so_far(block: Block, cut: int) -> int:
    block.cut_bytes += cut
    return block.cut_bytes


def _append(
    block: Block, path: str, entries: list[DeltaEntry], texts: list[str]
) -> TextChange | None:
    """The deltas follow what is stored; None if they don't."""
    if block.moved_from is not None or not block.is_simple:
        return None
    if block.start_text and _replaces_start(block, texts):
        return None
    if block.start_text and not block.start_stored:
        if block.stored_bytes:
            return None
        texts = [block.start_text, *texts]
    if entries:
        flows = [entry.flow for entry in entries]
        on = goes_on(block.group, block.top_count, flows, [entry.count for entry in entries])
        if on is None:
            return None
        block.group, block.top_count = on
    block.start_stored = bool(block.start_text)
    data = "".join(texts).encode("utf-8", "replace")
    file = Append(path, block.stored_bytes, data) if data else None
    block.stored_bytes += len(data)
    tail = block.tail
    if tail is None:
        tail = block.tail = DeltaTail()
    return TextChange(file, _log_rows(tail, entries, block.message.flow_id))


def _is_fixed(block: Block) -> bool:
    """Whether the start value stays part of the text whatever comes."""
    return not (block.block_type or "").endswith("tool_use")


def _replaces_start(block: Block, texts: list[str]) -> bool:
    """A tool call's finished input counts only where no argument text was streamed."""
    return not _is_fixed(block) and any(texts)


def _reorder(
    block: Block, past: Past, path: str, entries: list[DeltaEntry], texts: list[str]
) -> TextChange:
    flow_id = block.moved_from or block.message.flow_id
    old_path = block_path(block.message.session.sid, flow_id, block.index)
    stored = past.deltas(flow_id, block.index)
    old = past.text(old_path, block.stored_bytes).decode("utf-8", "replace")
    before = block.start_text if block.start_stored else ""
    pieces = _pieces(stored, old[len(before) :]) + texts
    all_entries = stored + entries
    order = emission_order(all_entries)
    body = "".join(pieces[at] for at in order)
    keeps_start = bool(block.start_text) and (_is_fixed(block) or not body)
    text = (block.start_text if keeps_start else "") + body
    data = text.encode("utf-8", "replace")
    left = old_path if block.moved_from is not None and block.stored_bytes else None
    file: Append | Rewrite | None
    if block.moved_from is None and text.startswith(old):
        rest = data[block.stored_bytes :]
        file = Append(path, block.stored_bytes, rest) if rest else None
    else:
        file = Rewrite(path, data)
        block.revision += 1
    block.stored_bytes = len(data)
    block.start_stored = keeps_start
    block.moved_from = None
    _resettle(block, all_entries, order)
    tail = block.tail = DeltaTail()
    rows = _log_rows(tail, all_entries, block.message.flow_id)
    return TextChange(file, rows, drop_log=True, left=left)


def _pieces(stored: list[DeltaEntry], body: str) -> list[str]:
    """The stored text cut into its deltas, in arrival order."""
    pieces = [""] * len(stored)
    at = 0
    for which in emission_order(stored):
        size = stored[which].chars
        pieces[which] = body[at : at + size]
        at += size
    return pieces


def _resettle(block: Block, entries: list[DeltaEntry], order: list[int]) -> None:
    """Whether deltas that come next can simply be appended again."""
    flows = {entry.flow for entry in entries}
    counts = [entries[at].count for at in order]
    rising = all(a < b for a, b in zip(counts, counts[1:], strict=False))
    block.is_simple = len(flows) <= 1 and rising and -1 not in counts
    block.group = next(iter(flows)) if len(flows) == 1 else None
    block.top_count = counts[-1] if counts else -1


def _log_rows(
    tail: DeltaTail, entries: list[DeltaEntry], flow_id: str
) -> list[tuple[int, int, bytes]]:
    """Adds deltas to the open chunk; the chunks that changed."""
    rows: list[tuple[int, int, bytes]] = []
    at = 0
    while at < len(entries):
        room = CHUNK_DELTAS - len(tail.chars)
        part = entries[at : at + room]
        at += len(part)
        tail.flows.extend(entry.flow for entry in part)
        tail.counts.extend(entry.count for entry in part)
        tail.times.extend(entry.time for entry in part)
        tail.chars.extend(entry.chars for entry in part)
        rows.append((tail.chunk, len(tail.chars), encode_tail(tail, flow_id)))
        if len(tail.chars) >= CHUNK_DELTAS:
            tail.chunk += 1
            tail.flows, tail.counts, tail.times, tail.chars = [], [], [], []
    return rows


_TELLING = ("command", "file_path", "path", "pattern", "query", "url", "description", "prompt")


def preview(text: str) -> str:
    """The argument that tells what a call does; the raw arguments where they can't be read."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return text[:PREVIEW]
    if isinstance(found, dict):
        given = cast("dict[str, object]", found)
        for key in _TELLING:
            value = given.get(key)
            if isinstance(value, str) and value:
                return value[:PREVIEW]
    return text[:PREVIEW]
