"""Calls that are made again and again though nothing changes: an agent that goes in circles."""

import sqlite3
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from agentmon.store import read
from agentmon.store.content import Contents
from agentmon.store.read_landmarks import Part, Said

AT_LEAST = 3
"""Equal calls in a row that are a loop."""

_Key = tuple[object, ...]


class Call(Struct, frozen=True, gc=False):
    """A call that may be one of a loop."""

    said: Said
    part: Part


class Repeats:
    """Of one thread: calls in a row, in one round, with the same arguments and the same result."""

    def __init__(
        self, conn: sqlite3.Connection, data_dir: Path, tell: Callable[[list[Call]], None]
    ) -> None:
        """Each loop is told with its calls once it is over."""
        self._conn = conn
        self._contents = Contents(conn, data_dir)
        self._tell = tell
        self._key: _Key | None = None
        self._calls: list[Call] = []

    def message(self, said: Said, parts: list[Part]) -> None:
        """The next message of the thread."""
        for part in parts:
            if not part.is_call:
                continue
            key = _likeness(said, part)
            if key is None or key != self._key:
                self.end()
            self._key = key
            if key is not None:
                self._calls.append(Call(said, part))

    def end(self) -> None:
        """Nothing more comes, or something else."""
        calls, self._calls, self._key = self._calls, [], None
        if len(calls) < AT_LEAST:
            return
        # rows hold the telling argument only: whether the others are the same too, their text says
        for _, group in groupby(calls, key=self._arguments):
            found = list(group)
            if len(found) >= AT_LEAST:
                self._tell(found)

    def _arguments(self, call: Call) -> bytes:
        block = read.block(self._conn, call.part.flow_id, call.part.index)
        return b"" if block is None else b"".join(self._contents.block(block))


def _likeness(said: Said, part: Part) -> _Key | None:
    """What rows tell of a call and its result; None while it has none."""
    if part.result_time is None or part.result is None:
        return None
    what = part.tool_name, part.preview, part.bytes
    return said.round_id, *what, part.is_error, part.result_size, part.result
