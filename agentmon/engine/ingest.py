"""The headless worker: reads inputs to their end, or follows them, into the store.

A loop over `Engine` with sqlite3 directly: the fastest of the runners, and the one that a backlog
is read with before the screen follows.
"""

import gc
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

from msgspec import Struct

from agentmon.core.events import Event, Prompt, Unknown
from agentmon.engine.core import BATCH_LINES, Engine
from agentmon.engine.queueing import SINCE
from agentmon.sources import procs
from agentmon.sources.paths import Expanded, expand
from agentmon.sources.sse_lines import Decoder
from agentmon.store import read
from agentmon.store.db import StoreError, cannot
from agentmon.store.deltas import DeltaFiles
from agentmon.store.load import StoreLoader
from agentmon.store.open import OpenStore

_UNKNOWN = "SELECT event_id, sid, raw, offset FROM raw_events WHERE processed = 0"
_WITHOUT_ROUND = "SELECT flow_id FROM messages WHERE sid = ? AND own_round IS NULL"


class Summary(Struct):
    """What an ingestion did. Seconds and bytes of this run; counts are of the whole store."""

    seconds: float
    bytes_read: int
    counts: dict[str, int]
    tables: dict[str, int]
    sources: list[str]
    problems: list[str]
    peak_memory_mb: float


class Progress(Struct):
    """How far a run is."""

    bytes_read: int
    bytes_left: int


FIRST_COMMIT = 1 << 20
"""Bytes after which somebody who waits gets something to look at; twice as many after that."""

FIRST_BYTES = 2 << 20
"""Bytes of a backlog that are read before anything else is begun."""

_KEPT_FREE = 16 << 20
"""Bytes: more than a chunk, its lines and a batch together."""


@cache
def _keep_memory() -> None:
    """glibc would give the memory of each chunk back to the system, to ask for it again, page by
    page, for the next: freeing one large piece teaches it not to (mallopt(3), M_MMAP_THRESHOLD)."""
    bytes(_KEPT_FREE)


@contextmanager
def hard_work() -> Generator[None, None, None]:
    """The process reads as fast as it can: what memory management does between is cut down.

    Cyclic garbage is only what left the fold's memory, some hundred messages a batch: it is looked
    for less often.
    """
    _keep_memory()
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 5, 5)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


class Ingestion:
    """One run of the worker over a store. Raises StoreError; use it as a context manager."""

    def __init__(
        self, data_dir: Path, *, forced: str | None = None, files: DeltaFiles | None = None
    ) -> None:
        self._store = OpenStore(data_dir)
        self._loader = StoreLoader(self._store.conn)
        known = self._store.known_sources()
        self.engine = Engine(data_dir, self._loader, known, forced=forced, files=files)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def conn(self) -> sqlite3.Connection:
        """The store's connection, for reads between batches."""
        return self._store.conn

    def close(self) -> None:
        self.engine.close()
        self._store.close()

    def read_all(
        self,
        paths: Sequence[str],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        batch_lines: int = BATCH_LINES,
    ) -> None:
        """Reads the inputs to their present end. Raises StoreError when the store can't take it."""
        self.read_inputs(expand(list(paths), follow=False), on_progress, batch_lines)

    def read_inputs(
        self,
        expanded: Expanded,
        on_progress: Callable[[Progress], None] | None = None,
        batch_lines: int = BATCH_LINES,
        *,
        since: float = SINCE,
        only_recent: bool = False,
    ) -> None:
        """The same for paths that were looked at already; see `Inputs.add_paths`."""
        self.engine.open_inputs(expanded, follow=False, since=since, only_recent=only_recent)
        self.engine.hear()
        with hard_work():
            self._read_on(on_progress, batch_lines)

    def read_first(
        self, expanded: Expanded, *, since: float = SINCE, at_least: int, limit: int = FIRST_BYTES
    ) -> None:
        """Of a backlog of `at_least` bytes, what changed last: something to look at before the
        screen is even loaded. Raises StoreError."""
        engine = self.engine
        engine.open_inputs(expanded, follow=False, since=since)
        if engine.inputs.recent_backlog()[1] < at_least:
            return
        while (engine.bytes_read < limit or not engine.is_whole) and engine.pump(BATCH_LINES):
            continue
        self.commit()

    def _read_on(self, on_progress: Callable[[Progress], None] | None, batch_lines: int) -> None:
        engine = self.engine
        early, committed = FIRST_COMMIT, 0
        while True:
            more = engine.pump(batch_lines)
            if not engine.is_whole:
                continue
            is_early = on_progress is not None and engine.bytes_read >= early
            if engine.is_due or is_early or not more:
                early = engine.bytes_read + 2 * (engine.bytes_read - committed)
                committed = engine.bytes_read
                self.commit()
                if on_progress is not None:
                    on_progress(Progress(engine.bytes_read, engine.size_behind))
            if not more and (engine.has_ended or not engine.wait_for_pipes()):
                engine.hear()
                self.commit()
                return

    def reprocess(self) -> int:
        """Digests unknown events that this version knows; the number of them."""
        decoder, fold = Decoder(), self.engine.fold
        known: list[tuple[int]] = []
        for event_id, sid, raw, offset in self.conn.execute(_UNKNOWN).fetchall():
            events = decoder.decode(bytes(raw), offset)
            usable = [e for e in events if isinstance(e, Event) and not isinstance(e, Unknown)]
            if any(isinstance(event, Prompt) for event in usable):
                for (flow_id,) in self.conn.execute(_WITHOUT_ROUND, (sid,)).fetchall():
                    fold.recall(flow_id)  # the prompt may be that of their round
            for event in usable:
                fold.event(event, is_again=True)
            if usable:
                known.append((event_id,))
        self.commit(("UPDATE raw_events SET processed = 1 WHERE event_id = ?", known))
        return len(known)

    def commit(self, extra: tuple[str, list[tuple[int]]] | None = None) -> None:
        """Writes what was folded. Raises StoreError; what is not committed is read again."""
        batch = self.engine.collect()
        if extra is not None:
            batch.add(extra[0], list(extra[1]))
        if batch.is_empty:
            return
        try:
            batch.apply(self._store.conn, self.engine.files)
        except (OSError, sqlite3.Error) as problem:
            raise StoreError(cannot(self._store.data_dir, "write to", problem)) from problem
        self.engine.committed(batch)

    def summary(self) -> Summary:
        conn = self._store.conn
        used = procs.peak_memory()
        return Summary(
            seconds=time.monotonic() - self._started,
            bytes_read=self.engine.bytes_read,
            counts=read.counts(conn),
            tables=read.table_sizes(conn),
            sources=[source.path for source in read.sources(conn)],
            problems=sorted(self.engine.problems.values()),
            peak_memory_mb=used,
        )
