"""A finished log as an input that gives each line when its time has come."""

import os
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

from agentmon.sources.clock import VirtualClock
from agentmon.sources.identity import OpenFile, SourceState
from agentmon.sources.lines import Line, LineSplitter, Piece, Rows
from agentmon.sources.reader import READ, Chunk

_STAMP = re.compile(rb'\\"timestamp\\":\s*\\"([0-9T:.+-]{19,32}Z?)\\"')
_LOCAL = re.compile(rb'"t":\s*"([0-9T:.+-]{19,32}Z?)"')
_ENDS = 256 << 10
"""Bytes at both ends of a file that are looked at for its first and last time."""


def moment_of(line: bytes) -> float | None:
    """The time of a line, without decoding it; None where none is found."""
    found = _STAMP.search(line) or _LOCAL.search(line)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found.group(1).decode("ascii"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def span_of(path: str) -> tuple[float, float] | None:
    """First and last time of a log; None where it tells none. Raises OSError."""
    with open(path, "rb") as handle:
        head = handle.read(_ENDS)
        size = os.fstat(handle.fileno()).st_size
        handle.seek(max(0, size - _ENDS))
        tail = handle.read(_ENDS)
    times = [
        moment
        for line in (*head.split(b"\n"), *tail.split(b"\n"))
        if (moment := moment_of(line)) is not None
    ]
    return (min(times), max(times)) if times else None


class Recording:
    """Gives the lines of a file as the clock reaches them. Raises OSError when opened.

    Lines come in file order; one that is older than its predecessor comes right behind it.
    """

    def __init__(self, path: str, clock: VirtualClock) -> None:
        self.ended = False
        self._clock = clock
        self._file = OpenFile(path)
        self._state = SourceState(path)
        self._splitter = LineSplitter(body=self._file)
        self._waiting: deque[tuple[float, Piece]] = deque()
        self._latest = clock.start

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """The lines that are due now."""
        horizon = self._clock.horizon
        due: list[Piece] = []
        taken = 0
        while taken < max_bytes:
            if not self._waiting and not self._fill():
                break
            moment, piece = self._waiting[0]
            if moment > horizon:
                break
            self._waiting.popleft()
            due.append(piece)
            taken += piece.size
            self._clock.reach(moment)
        if not due:
            return None
        last = due[-1]
        position = last.offset + last.size
        self._state = SourceState(self._state.path, position=position)
        return Chunk(Rows(due[0].offset, [*due]), self._state, taken)

    def _fill(self) -> bool:
        """Takes more lines from the file; False at its end."""
        while not self._waiting:
            data = os.pread(self._file.fd, READ, self._splitter.end)
            if not data:
                self.ended = True
                return False
            self._waiting.extend(self._timed(self._splitter.feed(data)))
        return True

    def _timed(self, pieces: list[Piece]) -> Iterator[tuple[float, Piece]]:
        for piece in pieces:
            moment = moment_of(piece.data if isinstance(piece, Line) else piece.head)
            if moment is not None and moment > self._latest:
                self._latest = moment
            yield self._latest, piece

    def close(self) -> None:
        self._waiting.clear()
