"""Recordings as one input: the lines of all, in the order of their times, each when it is due.

Lines keep the order of their file. One without a time, or with one that is older than the line
before it, comes right behind that line; lines of several files at one time come file by file. So
the order depends on nothing but what is in the files, and a line's number names it for good.
"""

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from agentmon.sources.clock import VirtualClock
from agentmon.sources.identity import OpenFile, SourceState
from agentmon.sources.lines import LineSplitter, Piece, Rows, size_of
from agentmon.sources.reader import READ, Chunk, Label
from agentmon.sources.reels import Reel, Reels, open_reels
from agentmon.sources.times import head_of

PIECE = 256 << 10
"""Bytes per read: of a hundred tapes each holds so much."""

STEP_BACK = 60.0
"""Seconds from which on a time that is older than the one before it is worth a note: records of
one moment are often written in another order."""

LOOK_SECONDS = 1.0
"""Between two looks whether tapes that were read to their end have grown."""


class Cue(Struct, frozen=True):
    """A place in the recordings: lines given so far; of each tape the byte that is next, and the
    time of the line before it (of one that was not begun, when all of them begin)."""

    number: int
    positions: tuple[int, ...]
    latest: tuple[float, ...]


class _Again:
    """The body of huge lines: opened only when it is asked for."""

    def __init__(self, path: str) -> None:
        self._path = path

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        with suppress(OSError):
            yield from OpenFile(self._path).pieces(offset, size)


class Tape:
    """One recording, read forward from any line on."""

    def __init__(self, reel: Reel) -> None:
        self.reel = reel
        self.stepped_back = 0.0
        """Seconds, the most by which times step back."""
        self.problem: str | None = None
        self.cue(0, reel.start)

    def cue(self, position: int, latest: float) -> None:
        """Goes on at a line that begins there."""
        self.position, self.latest = position, latest
        self._read = latest
        self._file: OpenFile | None = None
        self._splitter = LineSplitter(position, body=_Again(self.reel.body))
        self._is_opened = position > 0
        self._items: list[bytes | Piece] = []
        self._times: list[float] = []
        self._at = 0

    @property
    def tail_bytes(self) -> int:
        """Of a line that is not whole yet, once everything before it was read."""
        return self._splitter.tail_bytes

    @property
    def end(self) -> float:
        """The latest time that was read, or is known of."""
        return max(self.reel.end, self._read)

    def due(self) -> float | None:
        """The time of the next line; None where there is none yet."""
        if not self._is_opened and self.reel.has_lines:
            return self.reel.start  # not opened before its time: a folder may hold thousands
        return self._times[self._at] if self._at < len(self._times) or self._fill() else None

    def take(self, horizon: float, bound: tuple[float, bool], most: int, size: int) -> Rows | None:
        """The next lines: at least one, then those up to a time and to a bound (a time, and whether
        it is included), at most so many, and no more after so many bytes."""
        if self._at >= len(self._times) and not self._fill():
            return None
        until, is_included = bound
        first, times = self._at, self._times
        last = bisect_right(times, horizon, first)
        last = min(last, (bisect_right if is_included else bisect_left)(times, until, first))
        last = min(max(last, first + 1), first + most)
        items = self._items[first:last]
        try:
            sizes = [*accumulate(map(len, cast("list[bytes]", items)))]
        except TypeError:  # some are more than bytes
            sizes = [*accumulate(map(size_of, items))]
        count = min(len(items), bisect_left(sizes, size) + 1)
        rows, taken = Rows(self.position, items[:count]), sizes[count - 1]
        self._at += count
        self.position += taken
        self.latest = times[self._at - 1]
        return rows

    def _fill(self) -> bool:
        """Reads on; False where there is no whole line more."""
        self._is_opened = True
        try:
            file = self._file = self._file or OpenFile(self.reel.body)
            while data := os.pread(file.fd, PIECE, self._splitter.end):
                items = self._splitter.rows(data).items
                if items:
                    self._items, self._times, self._at = items, self._timed(items), 0
                    return True
        except OSError as error:
            self.problem = _reason(error)
        self._file = None  # read to its end: it is opened again when it has grown
        return False

    def _timed(self, items: list[bytes | Piece]) -> list[float]:
        moment_of, latest = self.reel.moment_of, self._read
        if moment_of is None:
            return [latest] * len(items)
        times: list[float] = []
        for row in items:
            moment = moment_of(row if isinstance(row, bytes) else head_of(row))
            if moment is not None:
                if moment >= latest:
                    latest = moment
                elif latest - moment > self.stepped_back:
                    self.stepped_back = latest - moment
            times.append(latest)
        self._read = latest
        return times

    def has_grown(self) -> bool:
        """Whether there is more behind what was read to its end; notes if there is less."""
        read = self._splitter.end or self.reel.size
        try:
            size = os.stat(self.reel.body).st_size
        except OSError as error:
            self.problem = _reason(error)
            return False
        if size < read:
            self.problem = "it was cut while it was played"
        return size > read

    def state(self, *, is_over: bool) -> SourceState:
        tail = self.tail_bytes if is_over else 0
        return replace(self.reel.state, position=self.position, tail_bytes=tail)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class Tapes:
    """Files, folders, FIFOs and "-" (the descriptor `stdin`), merged by event time: an `Input`.

    `spool` holds copies of what can be read only once or only in order, for whoever opens the same
    recordings again. `format` is what `--format` names; `reels` are the recordings where they are
    known already. Raises what `open_reels` does; a recording that fails later is over, and `note`
    says it.
    """

    def __init__(
        self,
        paths: Sequence[str],
        clock: VirtualClock,
        *,
        spool: Path,
        format: str | None = None,
        stdin: int = 0,
        reels: Reels | None = None,
    ) -> None:
        if reels is None:
            reels = open_reels(paths, spool, forced=format, stdin=stdin)
        self.start, self.end = reels.start, reels.end
        """The time that the recordings take, in epoch seconds; the end moves as they grow."""
        self.number = 0
        """Lines given so far."""
        self.limit: int | None = None
        """How many lines are given at most, in all."""
        self._clock = clock
        self._notes = reels.notes
        self._tapes = [Tape(reel) for reel in reels.reels]
        self._looked = time.monotonic()
        self.cue(None)

    # -- where it stands

    @property
    def at(self) -> Cue:
        """The place where it stands."""
        positions = tuple(tape.position for tape in self._tapes)
        latest = tuple(tape.latest if tape.position else self.start for tape in self._tapes)
        return Cue(self.number, positions, latest)

    def cue(self, cue: Cue | None) -> None:
        """Goes on from a place; None: from the beginning."""
        self.number = 0 if cue is None else cue.number
        for order, tape in enumerate(self._tapes):
            if cue is None or order >= len(cue.positions) or not cue.positions[order]:
                tape.cue(0, tape.reel.start)
            else:
                tape.cue(cue.positions[order], cue.latest[order])
        self._owed = [tape for tape in self._tapes if not tape.reel.has_lines]
        """Those of which nothing can be said but that they are torn, or empty."""
        self._due: list[tuple[float, int]] = []
        self._over: list[int] = []
        for order, tape in enumerate(self._tapes):
            moment = None if tape.position >= tape.reel.size else tape.due()
            if moment is None:
                self._over.append(order)
            else:
                self._due.append((moment, order))
        heapify(self._due)

    @property
    def size(self) -> int:
        """Bytes of all, as they were when they were opened."""
        return sum(tape.reel.size for tape in self._tapes)

    def next_time(self) -> float | None:
        """When the next line is due; None after the last one."""
        return self._due[0][0] if self._due else None

    @property
    def ended(self) -> bool:
        return not self._due

    @property
    def note(self) -> str | None:
        """What a person should know of the recordings."""
        notes = list(self._notes)
        for tape in self._tapes:
            name = os.path.basename(tape.reel.path)
            if tape.problem is not None:
                notes.append(f"{name} can't be read on: {tape.problem}")
            if tape.stepped_back > STEP_BACK:
                notes.append(
                    f"{name} steps back in time by up to {tape.stepped_back:,.0f} s:"
                    " such lines come right behind those before them"
                )
        return "; ".join(notes) or None

    # -- reading

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """A run of lines of one recording that are due now; None: nothing is."""
        if self._over and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._look()
        if self._owed:
            tape = self._owed.pop()
            tape.due()
            return Chunk(Rows(0, []), tape.state(is_over=True), 0)
        horizon = self._clock.horizon
        while self._due and self._due[0][0] <= horizon:
            most = max_bytes if self.limit is None else self.limit - self.number
            if most <= 0:
                return None
            order = self._due[0][1]
            tape = self._tapes[order]
            is_first = not tape.position
            rows = tape.take(horizon, self._bound(order), most, max_bytes)
            moment = self._move_on(tape, order)
            if rows is not None:
                return self._chunk(tape, rows, is_first=is_first, is_over=moment is None)
        return None

    def _bound(self, order: int) -> tuple[float, bool]:
        """Until when it is a tape's turn, and whether that very time is its own."""
        if len(self._due) == 1:
            return inf, True
        until, other = min(self._due[1:3])
        return until, order < other

    def _move_on(self, tape: Tape, order: int) -> float | None:
        moment = tape.due()
        if moment is None:
            heappop(self._due)
            self._over.append(order)
        else:
            heapreplace(self._due, (moment, order))
        return moment

    def _chunk(self, tape: Tape, rows: Rows, *, is_first: bool, is_over: bool) -> Chunk:
        self.number += len(rows)
        self._reach(tape)
        self._clock.reach(tape.latest)
        reel = tape.reel
        before = after = None
        if reel.agent is not None and is_first:
            before = replace(reel.agent, status=None)
        if reel.agent is not None and is_over and reel.agent.status is not None:
            after = reel.agent
        label = Label(reel.format or None, reel.received, before, after)
        return Chunk(rows, tape.state(is_over=is_over), tape.position - rows.start, label)

    def _reach(self, tape: Tape) -> None:
        """Times beyond the known end: the file has grown, or its last lines are not its latest."""
        if tape.end > self.end:
            self.end = tape.end
            self._clock.end = max(self._clock.end, self.end)

    def _look(self) -> None:
        """Takes up tapes that have grown."""
        self._looked = time.monotonic()
        for order in list(self._over):
            tape = self._tapes[order]
            moment = tape.due() if tape.has_grown() else None
            if moment is not None:
                self._over.remove(order)
                heappush(self._due, (moment, order))
                self._reach(tape)

    def close(self) -> None:
        self._due, self._over = [], []
