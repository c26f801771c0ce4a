"""The text of blocks and results, wherever it lies, in pieces: a large one needs no memory."""

import codecs
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from agentmon.store import read
from agentmon.store.deltas import block_path, read_bytes

PIECE = 1 << 20
"""Bytes read at once."""


class Contents:
    """Texts of a store as committed; also those that a crash left beside their place."""

    def __init__(self, conn: sqlite3.Connection, data_dir: Path) -> None:
        self._conn = conn
        self._data_dir = data_dir
        self._moves = read.pending_file_ops(conn)

    def block(self, block: read.BlockRow) -> Iterator[bytes]:
        """The text of a block, UTF-8."""
        if block.uses_told:
            text = read.told_text(self._conn, block.flow_id, block.index) or ""
            yield text.encode("utf-8", "replace")
            return
        path = block_path(block.sid, block.flow_id, block.index)
        yield from self.file(path, block.stored_bytes)

    def result(self, result: read.ResultRow) -> Iterator[bytes]:
        """A result, UTF-8; as far as it was kept."""
        if result.file is None:
            yield result.content.encode("utf-8", "replace")
        else:
            yield from self.file(result.file, result.content_size)

    def file(self, path: str, size: int) -> Iterator[bytes]:
        """The first `size` bytes of a file below the data folder, as far as they are there."""
        beside = self._moves.get(path)
        if beside is not None and (self._data_dir / beside).exists():
            path = beside
        for at in range(0, size, PIECE):
            piece = read_bytes(self._data_dir, path, at, min(size, at + PIECE))
            if not piece:
                return
            yield piece


def decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """UTF-8 as text; a character may lie in two pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)
