"""The engine itself: reads what is due, folds it, and hands out batches to commit.

No asyncio and no thread inside: `ingest` drives it in a loop, the screen in slices on its event
loop. A position moves only with the batch that holds its lines, so a kill at any instant loses
and doubles nothing.
"""

import select
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from agentmon.core.events import Event, Malformed, Unknown
from agentmon.core.fold import Fold
from agentmon.core.runs import Run
from agentmon.core.state import State
from agentmon.engine.decoders import AnyDecoder, Decoders, Decoding, key_of, state_of
from agentmon.engine.huge import HugeLines, Parsed, empty_spool
from agentmon.engine.inputs import Input, Inputs, Reading
from agentmon.engine.queueing import SINCE
from agentmon.sources.decoding import Decoded
from agentmon.sources.follow import Register
from agentmon.sources.identity import SourceState
from agentmon.sources.lines import HugeLine, Piece, Rows, data_of
from agentmon.sources.paths import Expanded, expand
from agentmon.sources.reader import Chunk
from agentmon.sources.sse_lines import Decoder
from agentmon.sources.steps import Odd
from agentmon.store import remote
from agentmon.store.deltas import SPOOL, DeltaFiles
from agentmon.store.load import StoreLoader
from agentmon.store.statements import SourceValues
from agentmon.store.write import Batch, Collector

BATCH_LINES = 40_000
"""Lines after which a batch is due, whatever the time."""

BATCH_BYTES = 24 << 20
"""Bytes read after which a batch is due: results are held until they are committed."""

SLICE_BYTES = 64 << 10
"""Bytes after which a slice ends, whatever its lines: those of a transcript are long."""


def _key(event: Event) -> tuple[object, ...]:
    """What several events that are said at once have in common."""
    return event.sid, event.flow, event.count, event.digest


class Engine:
    """Follows inputs into a state. `conn` answers the fold's look-ups (see `StoreLoader`)."""

    def __init__(
        self,
        data_dir: Path,
        loader: StoreLoader,
        known: Iterable[SourceValues],
        *,
        forced: str | None = None,
        files: DeltaFiles | None = None,
    ) -> None:
        known = list(known)
        self.data_dir = data_dir
        self.files = files or DeltaFiles(data_dir)
        self.state = State(loader, next_seq=loader.next_seq())
        self.state.counts = loader.counts()
        self.fold = Fold(self.state)
        self.problems: dict[str, str] = {}
        """What is wrong with which path, one sentence each."""
        self.last_event = 0.0
        self._collector = Collector(self.state, loader, self.files)
        self._huge_lines = HugeLines(data_dir)
        empty_spool(data_dir)
        self._ids = {key_of(values): values.source_id for values in known}
        register = Register([state_of(values) for values in known])
        self.inputs = Inputs(register, known, data_dir / SPOOL, self.problems)
        self._decoders = Decoders(known, lambda: self.inputs.received, forced, self._has)
        self.notes: dict[str, str] = {}
        """What a person should know of which path, one sentence each."""
        self._remote = f"{remote.folder(data_dir).absolute()}/"
        self._current: Reading | None = None
        self.holds_huge = False
        """Whether `pump` stops before a huge line, for `prepare_huge` (a second for 100 MB)."""
        self.waits_for_huge = False
        self._prepared: dict[int, Parsed] = {}
        self._moved: dict[str, tuple[SourceState, str | None, bytes]] = {}
        self._lines = self._bytes = 0
        self.bytes_read = 0

    # -- inputs

    def open_paths(self, paths: Sequence[str], *, follow: bool, stdin: int = 0) -> None:
        """Takes files, folders, FIFOs and "-" (the descriptor `stdin`); what can't be read goes
        to `problems`."""
        self.open_inputs(expand(list(paths), follow=follow), follow=follow, stdin=stdin)

    def open_inputs(
        self,
        expanded: Expanded,
        *,
        follow: bool,
        stdin: int = 0,
        since: float = SINCE,
        only_recent: bool = False,
    ) -> None:
        """The same for paths that were looked at already; see `Inputs.add_paths`."""
        self.inputs.add_paths(
            expanded, follow=follow, stdin=stdin, since=since, only_recent=only_recent
        )

    def look_again(self, within: Iterable[str] | None = None) -> bool:
        """Takes what has appeared since; True if there was anything."""
        return self.inputs.look_again(within)

    def add_input(self, source: Input) -> None:
        self.inputs.add(source)

    def hear(self) -> None:
        """Takes in what is said beside the lines: by registries, of subagents."""
        for _, events in groupby(self.inputs.said(), key=_key):
            self.fold.line(events)
            self._lines += 1

    # -- the loop

    def pump(self, max_lines: int) -> bool:
        """Folds up to so many lines, or to the end of a chunk; False when nothing is left to read.

        Inputs take turns by chunks, so at most one chunk is ever folded in part.
        """
        reading = self._current
        if reading is None:
            reading = self._current = self._next()
            if reading is None:
                return self.inputs.has_more
        self._fold_some(reading, max_lines)
        return True

    def _next(self) -> Reading | None:
        reading = self.inputs.next()
        if reading is not None and reading.chunk is not None:
            self._bytes += reading.chunk.size
            self.bytes_read += reading.chunk.size
        return reading

    def _fold_some(self, reading: Reading, limit: int) -> None:
        chunk = reading.chunk
        if chunk is None:
            self._current = None
            return
        rows, first = chunk.rows, reading.at
        found = self._decoder_of(reading, chunk) if rows.parts else None
        if rows.parts and found is None:
            self._current = reading.chunk = None
            self.inputs.pass_over(reading.path)
            return
        label, is_over = chunk.label, True
        if found is not None:
            if self.holds_huge and self._is_huge_ahead(rows):
                self.waits_for_huge = True
                return
            if label is not None and label.before is not None and not first:
                self.fold.line((label.before,))
            if isinstance(found.decoder, Decoder):
                is_over = self._fold_wire(found.decoder, reading, chunk, limit)
            else:
                is_over = self._fold_told(found.decoder, reading, chunk, limit)
        if is_over:
            if label is not None and label.after is not None:
                self.fold.event(label.after, is_again=True)
            note: str | None = getattr(found and found.decoder, "note", None)
            if note is not None:
                self.notes[reading.path] = f"{reading.path}: {note}"
            format_name, saved = self._decoders.save(chunk.state)
            self._moved[chunk.state.key] = (chunk.state, format_name, saved)
            self._current = reading.chunk = None

    def _decoder_of(self, reading: Reading, chunk: Chunk) -> Decoding | None:
        self.state.host = remote.host_of(reading.path, self._remote)
        is_given = self.inputs.is_given(reading.path)
        told = chunk.label.format if chunk.label is not None else None
        return self._decoders.of(chunk.state, chunk.rows, is_given=is_given, told=told)

    def _has(self, sid: str) -> bool:
        return sid in self.state.sessions or self.state.loader.session(sid) is not None

    def _is_huge_ahead(self, rows: Rows) -> bool:
        return any(
            isinstance(row, HugeLine) and id(row) not in self._prepared for row in rows.parts
        )

    def prepare_huge(self) -> None:
        """Reads the huge lines that `pump` waits for; may run in a thread while nothing else
        of the engine does. Raises OSError when their text can't be put aside."""
        chunk = self._current.chunk if self._current is not None else None
        if self._current is None or chunk is None:
            return
        found = self._decoder_of(self._current, chunk)
        if found is not None:
            for line in chunk.rows.parts:
                if isinstance(line, HugeLine) and id(line) not in self._prepared:
                    self._prepared[id(line)] = self._huge_lines.parse(line, found.decoder)
        self.waits_for_huge = False

    def _fold_wire(self, decoder: Decoder, reading: Reading, chunk: Chunk, limit: int) -> bool:
        """Lines of a wire log, nine of ten of them plain deltas; whether these were the last."""
        fold, rows, first = self.fold, chunk.rows, reading.at
        steps = decoder.steps(rows.parts[first:], limit)
        for step in steps.found:
            if type(step) is Run:
                fold.run(step)
            elif isinstance(step, Odd):
                offset = rows.offset_of(first + step.part) + step.before
                self._fold_odd(decoder, step.row, offset, chunk.state)
            else:
                self.last_event = step.time or self.last_event
                fold.one(step)
        reading.at += steps.parts
        self._lines += steps.lines
        return reading.at >= len(rows.parts)

    def _fold_odd(
        self, decoder: Decoder, row: bytes | Piece, offset: int, state: SourceState
    ) -> None:
        """A line that wants a closer look."""
        if isinstance(row, HugeLine):
            events = self._of_huge(row, decoder)
        else:
            events = decoder.decode(data_of(row))
        for event in events:
            if isinstance(event, Malformed | Unknown):
                event.source, event.offset = self._source_id(state), offset
            elif event.time is not None:
                self.last_event = event.time
        if events:
            self.fold.line(events)

    def _fold_told(self, decoder: AnyDecoder, reading: Reading, chunk: Chunk, limit: int) -> bool:
        """Lines of any other format, not too much of them; whether these were the last."""
        rows, state = chunk.rows, chunk.state
        begun, size = reading.at, 0
        while reading.at < min(len(rows), begun + limit) and size < SLICE_BYTES:
            row = rows.items[reading.at]
            offset = rows.offset(reading.at)
            if isinstance(row, HugeLine):
                events = self._of_huge(row, decoder)
            else:
                data = data_of(row)
                size += len(data)
                events = decoder.decode(data, offset)
            for event in events:
                if isinstance(event, Malformed | Unknown):
                    event.source, event.offset = self._source_id(state), offset
                elif event.time is not None and event.time > self.last_event:
                    self.last_event = event.time
            if events:
                self.fold.line(events)
            reading.at += 1
        self._lines += reading.at - begun
        return reading.at >= len(rows)

    def _of_huge(self, line: HugeLine, decoder: AnyDecoder) -> list[Decoded]:
        parsed = self._prepared.pop(id(line), None) or self._huge_lines.parse(line, decoder)
        return self._huge_lines.events(parsed, line, decoder)

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
        return self._current is None

    @property
    def has_changes(self) -> bool:
        return bool(self._lines or self._moved)

    def collect(self) -> Batch:
        """Everything since the last batch, which must be committed; see `is_whole`."""
        now = time.time()
        moved, self._moved = self._moved, {}
        values: list[SourceValues] = []
        for state, format_name, saved in moved.values():
            fields = msgspec.structs.asdict(state)
            values.append(
                SourceValues(
                    self._source_id(state),
                    last_read=now,
                    format=format_name,
                    decoder=saved,
                    **fields,
                )
            )
        self._lines = self._bytes = 0
        return self._collector.collect(values)

    def committed(self, batch: Batch) -> None:
        """The batch is in the store: what is closed may leave memory."""
        self.state.evict(batch.number)

    # -- how far

    @property
    def size_behind(self) -> int:
        """Bytes that are in the followed files and not read yet."""
        return self.inputs.size_behind

    @property
    def input_count(self) -> int:
        return self.inputs.count

    @property
    def has_ended(self) -> bool:
        """Whether every input is a pipe whose writers have gone."""
        return self.inputs.has_ended

    def wait_for_pipes(self) -> bool:
        """Without an event loop: waits until a pipe has something to say; False without pipes."""
        pipes = self.inputs.pipes()
        if not pipes:
            return False
        ready = select.select(list(pipes.values()), [], [], 1.0)[0]
        self.inputs.woke(path for path, number in pipes.items() if number in ready)
        return True

    def close(self) -> None:
        self.inputs.close()
        self.files.close()
