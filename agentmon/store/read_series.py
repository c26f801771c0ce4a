"""When each piece of a block's text came, and how many bytes it had."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agentmon.core.model import DeltaEntry
from agentmon.core.order import emission_order
from agentmon.store import read
from agentmon.store.codec import decode_tail
from agentmon.store.content import Contents, decoded
from agentmon.store.read_stats import BlockFact

Came = tuple[float, int, bool]
"""Epoch seconds, UTF-8 bytes, and whether it is a delta."""

_LOG = "SELECT data FROM delta_log WHERE flow_id = ? AND block_index = ? ORDER BY chunk"


class Arrivals:
    """Reads the deltas of blocks."""

    def __init__(self, conn: sqlite3.Connection, data_dir: Path) -> None:
        self._conn = conn
        self._contents = Contents(conn, data_dir)

    def of(self, block: BlockFact) -> Iterator[Came]:
        """Every delta of a block; what came otherwise (told whole, or with the block's start) once,
        at the block's completion, else its last byte or start."""
        entries = self._entries(block)
        if block.uses_told:
            sizes = [0] * len(entries)
        elif sum(entry.chars for entry in entries) == block.total_bytes:
            sizes = [entry.chars for entry in entries]  # nothing but ASCII
        else:
            sizes = self._sizes(block, entries)
        for entry, size in zip(entries, sizes, strict=True):
            yield entry.time, size, True
        rest = block.total_bytes - sum(sizes)
        times = (block.complete_time, block.last_time, block.start_time)
        at = next((time for time in times if time is not None), None)
        if rest > 0 and at is not None:
            yield at, rest, False

    def _entries(self, block: BlockFact) -> list[DeltaEntry]:
        found: list[DeltaEntry] = []
        for (data,) in self._conn.execute(_LOG, (block.flow_id, block.index)):
            found += decode_tail(data, block.flow_id)
        return found

    def _sizes(self, block: BlockFact, entries: list[DeltaEntry]) -> list[int]:
        """The bytes of each delta, in arrival order, by the text they make up."""
        row = read.block(self._conn, block.flow_id, block.index)
        if row is None:
            return [0] * len(entries)
        pieces = decoded(self._contents.block(row))
        text = ""
        # what stands before the deltas came with the block's start
        before = self._text_length(row) - sum(entry.chars for entry in entries)
        sizes = [0] * len(entries)
        skip = max(0, before)
        for which in (-1, *emission_order(entries)):
            want = skip if which < 0 else entries[which].chars
            while len(text) < want and (piece := next(pieces, None)) is not None:
                text += piece
            mine, text = text[:want], text[want:]
            if which >= 0:
                sizes[which] = len(mine.encode("utf-8", "replace"))
        return sizes

    def _text_length(self, row: read.BlockRow) -> int:
        return sum(map(len, decoded(self._contents.block(row))))
