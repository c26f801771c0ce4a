"""Texts of blocks and results as strings, as much of them as is asked for."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from agentmon.store import read
from agentmon.store.content import Contents


class TextReader:
    """Reads from a store as it was committed."""

    def __init__(self, conn: sqlite3.Connection, data_dir: Path) -> None:
        self._conn = conn
        self._contents = Contents(conn, data_dir)

    def block(self, row: read.BlockRow, limit: int) -> str:
        """At most `limit` characters of a block's text."""
        return _head(self._contents.block(row), limit)

    def result(self, tool_use_id: str, limit: int) -> str | None:
        """At most `limit` characters of a result; None where there is none."""
        row = read.result(self._conn, tool_use_id)
        return None if row is None else _head(self._contents.result(row), limit)

    def result_bytes(self, tool_use_id: str) -> int | None:
        """The size of a result; None where there is none."""
        row = read.result(self._conn, tool_use_id)
        return None if row is None else row.content_size


def _head(pieces: Iterable[bytes], limit: int) -> str:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) >= 4 * limit:
            break
    return data.decode("utf-8", "replace")[:limit]
