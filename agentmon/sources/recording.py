"""Finished logs as an input that gives each line when its time has come."""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import inf, nextafter

from msgspec import Struct

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


class Cue(Struct, frozen=True):
    """Where reading goes on: how many lines were given, and of each recording (as they were named)
    the position and the latest time."""

    number: int = 0
    positions: tuple[int, ...] = ()
    latest: tuple[float, ...] = ()


class Recording:
    """Gives the lines of a file as the clock reaches them. Raises OSError when opened.

    Lines come in file order; one that is older than its predecessor comes right behind it.
    """

    def __init__(self, path: str, clock: VirtualClock) -> None:
        self.path = path
        self.ended = False
        self.latest = clock.start
        """The time of the last line given."""
        self._clock = clock
        self._file = OpenFile(path)
        info = os.fstat(self._file.fd)
        self.state = SourceState(path, dev=info.st_dev, inode=info.st_ino)
        self._splitter = LineSplitter(body=self._file)
        self._waiting: deque[tuple[float, Piece]] = deque()
        self._seen = clock.start

    def read(
        self, max_bytes: int = READ, *, most: int | None = None, until: float = inf
    ) -> Chunk | None:
        """The lines that are due now; at most so many, none later than `until`."""
        horizon = min(self._clock.horizon, until)
        due: list[Piece] = []
        taken = 0
        while taken < max_bytes and (most is None or len(due) < most):
            moment = self.next_time()
            if moment is None or moment > horizon:
                break
            _, piece = self._waiting.popleft()
            due.append(piece)
            taken += piece.size
            self.latest = moment
            self._clock.reach(moment)
        if not due:
            return None
        last = due[-1]
        self._stand(last.offset + last.size)
        return Chunk(Rows(due[0].offset, [*due]), self.state, taken)

    def next_time(self) -> float | None:
        """When the next line is due; None: there is none."""
        if not self._waiting and not self._fill():
            return None
        return self._waiting[0][0]

    def cue(self, position: int, latest: float) -> None:
        """Goes on from there."""
        self._waiting.clear()
        self._splitter.reset(position)
        self._stand(position)
        self.ended = False
        self.latest = self._seen = latest

    def _stand(self, position: int) -> None:
        before = self.state
        self.state = SourceState(before.path, dev=before.dev, inode=before.inode, position=position)

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
            if moment is not None and moment > self._seen:
                self._seen = moment
            yield self._seen, piece

    def close(self) -> None:
        self._waiting.clear()


class Recordings:
    """Several files as one input: merged by time, those of one time in the order of the files.
    Raises OSError when one can't be opened."""

    path = ""

    def __init__(self, paths: Sequence[str], clock: VirtualClock) -> None:
        self.number = 0
        """Lines given so far."""
        self.limit: int | None = None
        """The last line that is given, whatever the clock says; None: the clock decides."""
        self._clock = clock
        self._all = [Recording(path, clock) for path in paths]

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """A run of lines of one file that are due now."""
        most = None if self.limit is None else self.limit - self.number
        if most is not None and most <= 0:
            return None
        heads = [
            (moment, at)
            for at, one in enumerate(self._all)
            if (moment := one.next_time()) is not None
        ]
        if not heads:
            return None
        heads.sort()
        until = inf
        if len(heads) > 1:
            (until, second), first = heads[1], heads[0][1]
            if first > second:  # at one moment the file that is named first goes first
                until = nextafter(until, -inf)
        chunk = self._all[heads[0][1]].read(max_bytes, most=most, until=until)
        if chunk is not None:
            self.number += len(chunk.rows)
        return chunk

    def next_time(self) -> float | None:
        """When the next line is due; None: there is none."""
        found = (one.next_time() for one in self._all)
        return min((moment for moment in found if moment is not None), default=None)

    @property
    def at(self) -> Cue:
        """Where reading goes on."""
        return Cue(
            self.number,
            tuple(one.state.position for one in self._all),
            tuple(one.latest for one in self._all),
        )

    def cue(self, cue: Cue | None) -> None:
        """Goes on from there; None: from the beginning."""
        self.number = cue.number if cue is not None else 0
        for at, one in enumerate(self._all):
            if cue is not None and at < len(cue.positions):
                one.cue(cue.positions[at], cue.latest[at])
            else:
                one.cue(0, self._clock.start)

    def close(self) -> None:
        for one in self._all:
            one.close()
