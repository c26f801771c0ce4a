"""What a batch does to the text of its blocks: new deltas to the end, or the text put in order.

The common case is an append: one group of deltas, counters rising. Otherwise the whole order is
worked out again from the delta log, and if committed text has to move the text is written anew.
"""

import json
from itertools import accumulate, chain, pairwise
from typing import Protocol, cast

import msgspec
from msgspec import Struct

from agentmon.core.columns import Columns, DeltaTail, Fresh
from agentmon.core.model import Block, DeltaEntry
from agentmon.core.order import emission_order, goes_on
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
    fresh, block.fresh = block.fresh, Fresh()
    start_is_due = bool(block.start_text) and not block.start_stored
    if not fresh.texts and not start_is_due and block.moved_from is None:
        return None
    change = _append(block, path, fresh) or _reorder(block, past, path, fresh)
    if block.complete_time is not None:
        # a late delta is put in its place from the log; until then its chunk need not be held
        block.tail, block.is_simple = None, block.delta_count == 0
    block.total_bytes = block.stored_bytes + block.cut_bytes
    return change


def _append(block: Block, path: str, fresh: Fresh) -> TextChange | None:
    """The deltas follow what is stored; None if they don't."""
    if block.moved_from is not None or not block.is_simple or fresh.flows:
        return None
    texts, flow_id = fresh.texts, block.message.flow_id
    if block.start_text and _replaces_start(block, texts):
        return None
    if block.start_text and not block.start_stored:
        if block.stored_bytes:
            return None
        texts = [block.start_text, *texts]
    counts = fresh.columns.counts
    if counts:
        top = goes_on(block.top_count, counts) if block.group in (None, flow_id) else None
        if top is None:
            return None
        block.group, block.top_count = flow_id, top
    block.start_stored = bool(block.start_text)
    data = "".join(texts).encode("utf-8", "replace")
    file = Append(path, block.stored_bytes, data) if data else None
    block.stored_bytes += len(data)
    tail = block.tail
    if tail is None:
        tail = block.tail = DeltaTail()
    return TextChange(file, log_rows(tail, fresh.columns, None, flow_id))


def _is_fixed(block: Block) -> bool:
    """Whether the start value stays part of the text whatever comes."""
    return not (block.block_type or "").endswith("tool_use")


def _replaces_start(block: Block, texts: list[str]) -> bool:
    """A tool call's finished input counts only where no argument text was streamed."""
    return not _is_fixed(block) and any(texts)


def _reorder(block: Block, past: Past, path: str, fresh: Fresh) -> TextChange:
    own = block.message.flow_id
    flow_id = block.moved_from or own
    old_path = block_path(block.message.session.sid, flow_id, block.index)
    stored = past.deltas(flow_id, block.index)
    old = past.text(old_path, block.stored_bytes).decode("utf-8", "replace")
    before = block.start_text if block.start_stored else ""
    pieces = [*_pieces(stored, old[len(before) :]), *fresh.pieces()]
    new = fresh.columns
    columns = zip(chain(*new.counts), accumulate(new.times), new.chars, strict=True)
    entries = stored + [
        DeltaEntry(fresh.flows.get(at, own), count, millis / 1000, chars)
        for at, (count, millis, chars) in enumerate(columns)
    ]
    order = emission_order(entries)
    body = "".join(pieces[at] for at in order)
    keeps_start = bool(block.start_text) and (_is_fixed(block) or not body)
    text = (block.start_text if keeps_start else "") + body
    data = text.encode("utf-8", "replace")
    left = old_path if block.moved_from is not None and block.stored_bytes else None
    file: Append | Rewrite | None
    if block.moved_from is None and text.startswith(old):
        rest = data[block.stored_bytes :]
        file = Append(path, block.stored_bytes, rest) if rest else None
    elif data or (block.stored_bytes and block.moved_from is None):
        file = Rewrite(path, data)
        block.revision += 1
    else:
        file = None
    block.stored_bytes = len(data)
    block.start_stored = keeps_start
    block.moved_from = None
    _resettle(block, entries, order)
    tail = block.tail = DeltaTail()
    logged = Columns()
    for entry in entries:
        logged.add(entry.count, round(entry.time * 1000), entry.chars)
    flows = [entry.flow for entry in entries] if any(e.flow != own for e in entries) else None
    return TextChange(file, log_rows(tail, logged, flows, own), drop_log=True, left=left)


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
    rising = all(a < b for a, b in pairwise(counts))
    block.is_simple = len(flows) <= 1 and rising and -1 not in counts
    block.group = next(iter(flows)) if len(flows) == 1 else None
    block.top_count = counts[-1] if counts else -1


def log_rows(
    tail: DeltaTail, new: Columns, flows: list[str] | None, flow_id: str
) -> list[tuple[int, int, bytes]]:
    """Adds deltas to the open chunk; the chunks that changed: (chunk, deltas, data).

    `flows` None: all were written under the message's own flow id.
    """
    rows: list[tuple[int, int, bytes]] = []
    at = 0
    for part in new.parted(CHUNK_DELTAS - len(tail.columns), CHUNK_DELTAS):
        if flows is not None:
            tail.flows += flows[at : at + len(part)]
        at += len(part)
        tail.columns.extend(part)
        rows.append((tail.chunk, len(tail.columns), encode_tail(tail, flow_id)))
        if len(tail.columns) >= CHUNK_DELTAS:
            tail.chunk, tail.columns, tail.flows = tail.chunk + 1, Columns(), []
    return rows


class _Telling(Struct, gc=False):
    """The arguments that tell what a call does, the most telling one first."""

    command: str = ""
    file_path: str = ""
    path: str = ""
    pattern: str = ""
    query: str = ""
    url: str = ""
    description: str = ""
    prompt: str = ""


_TELLING = _Telling.__struct_fields__
_telling = msgspec.json.Decoder(_Telling).decode


def preview(text: str) -> str:
    """The argument that tells what a call does; the raw arguments where they can't be read."""
    try:
        known: tuple[str, ...] = msgspec.structs.astuple(_telling(text))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _odd_preview(text)
    return next(filter(None, known), text)[:PREVIEW]


def _odd_preview(text: str) -> str:
    """The same for arguments whose types, or whose JSON, are not as they should be."""
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
