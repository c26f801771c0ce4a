"""The engine itself: reads what is due, folds it, and hands out batches to commit.

No asyncio and no thread inside: `ingest` drives it in a loop, the screen in slices on its event
loop. A position moves only with the batch that holds its lines, so a kill at any instant loses
and doubles nothing.
"""

import os
import select
import time
from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from agentmon.core.events import Malformed, Unknown
from agentmon.core.fold import Fold
from agentmon.core.state import State
from agentmon.engine.huge import HugeLines, empty_spool
from agentmon.sources.follow import Register
from agentmon.sources.identity import Problem, SourceState, looks_binary
from agentmon.sources.lines import HugeLine, Line, Rows
from agentmon.sources.paths import STDIN, Expanded, expand
from agentmon.sources.pipe import open_source
from agentmon.sources.reader import Chunk
from agentmon.sources.sse_lines import Decoded, Decoder
from agentmon.store.deltas import SPOOL, DeltaFiles
from agentmon.store.load import StoreLoader
from agentmon.store.statements import SourceValues
from agentmon.store.write import Batch, Collector

BATCH_LINES = 20_000
"""Lines after which a batch is due, whatever the time."""

BATCH_BYTES = 16 << 20
"""Bytes read after which a batch is due: results are held until they are committed."""

_BINARY_SAMPLE = 64 << 10


class Input(Protocol):
    """Something that gives chunks of lines: a followed file, a pipe, a recording."""

    def read(self, max_bytes: int = ...) -> Chunk | None: ...
    def close(self) -> None: ...


class _Reading(Struct):
    """An input and the chunk of it that is being folded."""

    source: Input
    chunk: Chunk | None = None
    at: int = 0


class Engine:
    """Follows inputs into a state. `conn` answers the fold's look-ups (see `StoreLoader`)."""

    def __init__(self, data_dir: Path, loader: StoreLoader, known: Iterable[SourceValues]) -> None:
        self.data_dir = data_dir
        self.files = DeltaFiles(data_dir)
        self.state = State(loader, next_seq=loader.next_seq())
        self.state.counts = loader.counts()
        self.fold = Fold(self.state)
        self.problems: dict[str, str] = {}
        """What is wrong with which path, one sentence each."""
        self.last_event = 0.0
        self._collector = Collector(self.state, loader, self.files)
        self._decoder = Decoder()
        self._huge_lines = HugeLines(data_dir, self._decoder)
        empty_spool(data_dir)
        self._known = {_key(values): values for values in known}
        self._ids = {key: values.source_id for key, values in self._known.items()}
        self._register = Register([_state(values) for values in self._known.values()])
        self._readings: list[_Reading] = []
        self.holds_huge = False
        """Whether `pump` stops before a huge line, for `prepare_huge` (a second for 100 MB)."""
        self.waits_for_huge = False
        self._prepared: dict[int, list[Decoded]] = {}
        self._expanded = Expanded()
        self._turn = 0
        self._moved: dict[str, SourceState] = {}
        self._lines = self._bytes = 0
        self.bytes_read = 0
        self._follow, self._stdin = False, 0

    # -- inputs

    def open_paths(self, paths: Sequence[str], *, follow: bool, stdin: int = 0) -> None:
        """Takes files, folders, FIFOs and "-" (the descriptor `stdin`); what can't be read goes
        to `problems`."""
        self._follow, self._stdin = follow, stdin
        self._expanded = expand(list(paths), follow=follow)
        self._note(self._expanded.problems)
        for path in self._expanded.files:
            self._open(path)

    def look_again(self) -> bool:
        """Opens what has appeared since; True if there was anything."""
        found = self._expanded.rescan(self._register.held)
        for problem in self._expanded.problems:
            self.problems[problem.path] = problem.message
        for path in found:
            self.problems.pop(path, None)
            self._open(path)
        return bool(found)

    def add_input(self, source: Input) -> None:
        self._readings.append(_Reading(source))

    def _open(self, path: str) -> None:
        if path != STDIN and _is_binary(path):
            self.problems[path] = f"{path} is not a log of JSON lines: it looks like a binary file"
            return
        spool = self.data_dir / SPOOL
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = open_source(
            path, self._register, follow=self._follow, spool=str(spool), stdin=self._stdin
        )
        self._readings.append(_Reading(source))

    def _note(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.problems[problem.path] = problem.message

    @property
    def watched(self) -> tuple[list[str], list[str], list[str]]:
        """(files, folders, paths that do not exist yet) whose changes are worth waking up for."""
        expanded = self._expanded
        return list(expanded.files), list(expanded.places), list(expanded.missing)

    # -- the loop

    def pump(self, max_lines: int) -> bool:
        """Folds up to so many lines, or to the end of a chunk; False when nothing is left to read.

        Inputs take turns by chunks, so at most one chunk is ever folded in part.
        """
        left = max_lines
        for _ in range(len(self._readings)):
            self._turn %= len(self._readings)
            reading = self._readings[self._turn]
            took = self._fold_some(reading, left)
            if reading.chunk is None:
                self._turn += 1
            if took is not None or self.waits_for_huge:
                return True
        return False

    def _fold_some(self, reading: _Reading, limit: int) -> int | None:
        """How many lines were folded; None when there was nothing to read."""
        chunk = reading.chunk or self._next_chunk(reading)
        if chunk is None:
            return None
        if self.holds_huge and self._is_huge_ahead(chunk):
            self.waits_for_huge = True
            return 0
        rows, first = chunk.rows, reading.at
        reading.at = last = min(len(rows), first + limit)
        self._fold_rows(rows, first, last, chunk.state)
        if last >= len(rows):
            self._moved[chunk.state.key] = chunk.state
            reading.chunk = None
        self._lines += last - first
        return last - first

    def _is_huge_ahead(self, chunk: Chunk) -> bool:
        return any(
            isinstance(row, HugeLine) and id(row) not in self._prepared for row in chunk.rows.items
        )

    def prepare_huge(self) -> None:
        """Decodes the huge lines that `pump` waits for; may run in a thread while nothing else
        of the engine does. Raises OSError when their text can't be put aside."""
        for reading in self._readings:
            for line in reading.chunk.rows.items if reading.chunk is not None else ():
                if isinstance(line, HugeLine) and id(line) not in self._prepared:
                    self._prepared[id(line)] = self._huge_lines.decode(line)
        self.waits_for_huge = False

    def _next_chunk(self, reading: _Reading) -> Chunk | None:
        chunk = reading.source.read()
        problem: Problem | None = getattr(reading.source, "problem", None)
        if problem is not None:
            self.problems[problem.path] = problem.message
        elif self.problems:
            self.problems.pop(getattr(reading.source, "path", ""), None)
        if chunk is not None:
            reading.chunk, reading.at = chunk, 0
            self._bytes += chunk.size
            self.bytes_read += chunk.size
        return chunk

    def _fold_rows(self, rows: Rows, first: int, last: int, state: SourceState) -> None:
        deltas, decode, take = self._decoder.deltas, self._decoder.decode, self.fold.take_delta
        coming = iter(rows.items[first:last])
        while (row := deltas(coming, take)) is not None:
            if isinstance(row, bytes):
                events = decode(row)
            elif isinstance(row, Line):
                events = decode(row.data)
            else:
                events = self._prepared.pop(id(row), None) or self._huge_lines.decode(row)
            for event in events:
                if isinstance(event, Malformed | Unknown):
                    at = last - 1 - length_hint(coming)
                    event.source, event.offset = self._source_id(state), rows.offset(at)
                elif event.time is not None:
                    self.last_event = event.time
            if events:
                self.fold.line(events)

    def _source_id(self, state: SourceState) -> int:
        return self._ids.setdefault(state.key, max(self._ids.values(), default=0) + 1)

    # -- batches

    @property
    def is_due(self) -> bool:
        """Whether a batch is due by its size."""
        return self._lines >= BATCH_LINES or self._bytes >= BATCH_BYTES

    @property
    def is_whole(self) -> bool:
        """Whether every chunk begun is folded to its end: only then may a batch be taken,
        because a position stands behind whole chunks."""
        return all(reading.chunk is None for reading in self._readings)

    @property
    def has_changes(self) -> bool:
        return bool(self._lines or self._moved)

    def collect(self) -> Batch:
        """Everything since the last batch, which must be committed; see `is_whole`."""
        now = time.time()
        moved, self._moved = self._moved, {}
        values: list[SourceValues] = []
        for state in moved.values():
            fields = msgspec.structs.asdict(state)
            values.append(SourceValues(self._source_id(state), last_read=now, **fields))
        self._lines = self._bytes = 0
        return self._collector.collect(values)

    def committed(self, batch: Batch) -> None:
        """The batch is in the store: what is closed may leave memory."""
        self.state.evict(batch.number)

    # -- how far

    @property
    def size_behind(self) -> int:
        """Bytes that are in the followed files and not read yet."""
        return sum(_behind(reading.source) for reading in self._readings)

    @property
    def input_count(self) -> int:
        return len(self._readings)

    @property
    def has_ended(self) -> bool:
        """Whether every input is a pipe whose writers have gone."""
        return all(getattr(reading.source, "ended", False) for reading in self._readings)

    def pipes(self) -> dict[str, int]:
        """Descriptors to wait on besides the watched files, by path."""
        return {
            getattr(reading.source, "path", ""): number
            for reading in self._readings
            if not getattr(reading.source, "ended", True)
            and (number := _descriptor(reading.source)) >= 0
        }

    def wait_for_pipes(self) -> bool:
        """Without an event loop: waits until a pipe has something to say; False without pipes."""
        numbers = list(self.pipes().values())
        if not numbers:
            return False
        select.select(numbers, [], [], 1.0)
        return True

    def inputs(self) -> Iterator[Input]:
        for reading in self._readings:
            yield reading.source

    def close(self) -> None:
        for reading in self._readings:
            reading.source.close()
        self.files.close()


def _behind(source: Input) -> int:
    return int(getattr(source, "size_behind", 0))


def _descriptor(source: Input) -> int:
    fileno = getattr(source, "fileno", None)
    return int(fileno()) if fileno is not None else -1


def _key(values: SourceValues) -> str:
    return _state(values).key


def _state(values: SourceValues) -> SourceState:
    return SourceState(
        values.path,
        "pipe" if values.kind == "pipe" else "file",
        values.dev,
        values.inode,
        values.head_size,
        values.head_hash,
        values.anchor,
        values.position,
        values.generation,
        values.tail_bytes,
    )


def _is_binary(path: str) -> bool:
    """Whether a regular file is no log at all; a FIFO is not opened for that."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as handle:
            return looks_binary(handle.read(_BINARY_SAMPLE))
    except OSError:
        return False
