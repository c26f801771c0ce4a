"""The runner on an event loop: follows inputs while a screen, or a headless follower, watches.

One task reads, folds and commits in slices, so that a keypress never waits; aiosqlite carries the
batches and the screen's reads, one hop each. A backlog of many megabytes is first read by a child
process (`agentmon ingest`), which hands over by position. Where another process writes the store,
this one only reads it.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from agentmon.config import Search
from agentmon.core.health import Limits
from agentmon.engine.backlog import read_in_child
from agentmon.engine.chores import Beside, Chores
from agentmon.engine.core import Engine
from agentmon.engine.feed import Status, Transport
from agentmon.engine.judging import Judge
from agentmon.engine.overseeing import Oversight
from agentmon.engine.passing import PassingLoader
from agentmon.engine.queueing import SINCE
from agentmon.engine.weighing import Scale
from agentmon.logfile import log
from agentmon.sources.paths import Expanded, expand
from agentmon.sources.procs import Processes, Seen, Wanted
from agentmon.sources.watch import Watch
from agentmon.store import db
from agentmon.store.async_store import AsyncStore, open_async
from agentmon.store.deltas import DeltaFiles, block_path, read_bytes
from agentmon.store.open import OpenStore, known_sources
from agentmon.store.retention.plan import Policy
from agentmon.store.write import Batch

T = TypeVar("T")

SLICE_LINES = 100
"""Lines folded between two turns of the event loop: under a millisecond."""

COMMIT_SECONDS = 0.1
"""Shortest time between two commits while lines come."""

READ_SECONDS = 1.0
"""Longest time between two reads of every input, for what no notification told."""

LOOK_SECONDS = 5.0
"""Longest time between two looks for files that have appeared; mostly `Watch` tells."""

RETRY_SECONDS = 2.0
BACKLOG_BYTES = 8 << 20
"""From how many unread bytes on a child process reads them."""

UNSEEN_SECONDS = 10.0
"""Between two looks at the clock: from so many on the machine slept, agentmon was stopped, or the
clock was set."""

_FRESH = 60.0
"""Seconds: the age of an event that still tells how far behind the source we are."""


class Live:
    """A `Feed` over a store and the inputs that are followed into it."""

    def __init__(
        self,
        data_dir: Path,
        paths: Sequence[str],
        limits: Limits,
        *,
        looked_for: Sequence[str] = (),
        poll: float = 0.25,
        stdin: int = 0,
        processes: Processes | None = None,
        backlog_bytes: int = BACKLOG_BYTES,
        look: Callable[[], Expanded] | None = None,
        since: float = SINCE,
        forced: str | None = None,
        retention: Policy | None = None,
        searching: Search | None = None,
        beside: Sequence[Beside] = (),
        taps: Sequence[str] = (),
    ) -> None:
        self.revision = 0
        self.title = "wire"
        self.data_dir = data_dir
        self.limits = limits
        self.transport: Transport | None = None
        self.problem: str | None = None
        self.failure: Exception | None = None
        """What kept it from starting."""
        self._paths = list(paths)
        self._poll = poll
        self._stdin = stdin
        self._look_for = look
        self._expanded: Expanded | None = None
        self._format = forced
        self._since = since
        self._looked_for = list(looked_for)
        self._taps = tuple(taps)
        self._processes = processes or Processes()
        self._backlog_bytes = backlog_bytes
        self._judge = Judge(limits)
        self.engine: Engine | None = None
        self.loader: PassingLoader | None = None
        self.committed = -1
        """The number of the last batch that is in the store."""
        self._store: OpenStore | None = None
        self._writer: AsyncStore | None = None
        self._reader: AsyncStore | None = None
        self._opened = asyncio.Event()
        self._watch: Watch | None = None
        self._appeared: set[str] = set()
        """Folders in which something may be new."""
        self._tasks: list[asyncio.Task[None]] = []
        self._lag: float | None = None
        self._backlog: float | None = None
        self._usage = (0.0, 0.0)
        self._scale = Scale(lambda: self.data_dir)
        self._note: str | None = None
        self._words: str | None = None
        self._is_catching_up = False
        self._asked_at: float | None = None
        self._chores = Chores(
            self,
            self._write,
            retention=retention,
            searching=searching or Search(),
            beside=beside,
        )

    # -- what a watcher asks

    def now(self) -> float:
        """The wall clock, which is asked at least once a second: where it was not, nobody saw
        whether the agents were silent."""
        last, now = self._asked_at, time.time()
        self._asked_at = now
        if last is not None and now - last >= UNSEEN_SECONDS:
            self.limits = replace(self.limits, unseen=(*self.limits.unseen, (last, now)))
            self._judge.limits = self.limits
        return now

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        await self._opened.wait()
        reader = self._reader
        if reader is None:
            raise db.StoreError("the store is closed")
        return await reader.run(fn)

    def read_text(self, sid: str, flow_id: str, index: int, start: int, end: int) -> bytes:
        return read_bytes(self.data_dir, block_path(sid, flow_id, index), start, end)

    def status(self) -> Status:
        engine = self.engine
        problems = sorted(engine.problems.values()) if engine is not None else []
        rss, cpu = self._usage
        return Status(
            title=self.title,
            lag_ms=self._lag,
            rss_mb=rss,
            cpu_percent=cpu,
            files=engine.input_count if engine is not None else 0,
            note=self._note or self._words,
            problem=self.problem or next(iter(problems), None) or self._chores.problem,
            backlog=self._backlog,
            store=self._scale.sizes,
            weighed_ago=self._scale.weighed_ago,
            looked_for=self._looked_for,
            taps=self._taps,
        )

    # -- life

    async def start(self) -> None:
        """Opens the store, then follows in the background. Raises StoreError."""
        try:
            await self._open_store()
        except db.StoreError as problem:
            self.failure = problem
            raise
        self._usage = self._processes.self_usage()
        self._scale = Scale(lambda: self.data_dir)
        self._scale.look()
        self._tasks = [
            asyncio.create_task(self._guard(self._work()), name="agentmon-work"),
            asyncio.create_task(self._guard(self._keep_judging()), name="agentmon-judge"),
            asyncio.create_task(self._guard(self._scale.run()), name="agentmon-scale"),
            *(
                asyncio.create_task(self._guard(work), name=f"agentmon-{name}")
                for name, work in self._chores.begin()
            ),
        ]

    async def stop(self) -> None:
        """Ends the tasks, commits what was folded, and closes everything."""
        await asyncio.sleep(0)  # what was begun just now begins, so that it can be ended
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._chores.close()
        try:
            await self._finish()
        finally:
            await self._close()

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        """A failing task is shown, not fatal: the screen stays, and says it."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as problem:
            log.exception("a task of the engine failed")
            self.problem = f"{type(problem).__name__}: {problem}"
            self.revision += 1

    async def _open_store(self) -> None:
        try:
            self._store = OpenStore(self.data_dir)
        except db.StoreError as problem:
            if db.writer_of(self.data_dir) is None or not db.database(self.data_dir).exists():
                raise
            self._note = str(problem)
        self._reader = await open_async(lambda: db.open_reading(self.data_dir))
        self._opened.set()
        if self._store is not None:
            self._writer = await open_async(lambda: db.create(self.data_dir))

    async def _finish(self) -> None:
        engine = self.engine
        if engine is None or self._writer is None:
            return
        engine.holds_huge = engine.waits_for_huge = False
        while not engine.is_whole:
            engine.pump(SLICE_LINES)
        if engine.has_changes:
            with contextlib.suppress(OSError, sqlite3.Error):
                await self._commit_once(engine.collect())

    async def _close(self) -> None:
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None
        if self.loader is not None and self.loader.passage is not None:
            self.loader.passage.close()
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        for store in (self._writer, self._reader):
            if store is not None:
                await store.close()
        self._writer = self._reader = None
        self._opened.clear()
        if self._store is not None:
            self._store.close()
            self._store = None

    def forget(self) -> None:
        """As if nothing had been read yet."""
        self._judge = Judge(self.limits)
        self._lag = self._backlog = None
        self.problem = None

    # -- reading, folding, committing

    async def _work(self) -> None:
        if self._store is None:
            await self._only_read()
            return
        engine = self._open_engine(self._store)
        paths, size = engine.inputs.recent_backlog()
        if size > self._backlog_bytes:
            engine = await self._read_backlog(engine, paths)
        await self._follow(engine)

    def _open_engine(self, store: OpenStore) -> Engine:
        loader, known = PassingLoader(store.conn), known_sources(store.conn)
        engine = Engine(
            self.data_dir, loader, known, forced=self._format, files=self._delta_files()
        )
        self.loader, self.committed = loader, -1
        engine.holds_huge = True
        self.engine = engine
        self._is_catching_up = True
        self._add_inputs(engine)
        return engine

    def _delta_files(self) -> DeltaFiles:
        return DeltaFiles(self.data_dir)

    def _add_inputs(self, engine: Engine) -> None:
        if self._expanded is None:
            self._expanded = (
                self._look_for() if self._look_for else expand(self._paths, follow=True)
            )
        engine.open_inputs(self._expanded, follow=True, stdin=self._stdin, since=self._since)
        engine.hear()

    async def _follow(self, engine: Engine) -> None:
        last_commit = last_look = last_heard = last_watched = 0.0
        while True:
            if time.monotonic() - last_heard >= READ_SECONDS or self._appeared:
                last_heard = time.monotonic()
                engine.hear()
            began = time.perf_counter()
            more = engine.pump(SLICE_LINES)
            spent = time.perf_counter() - began
            if engine.waits_for_huge:
                await self._prepare_huge(engine)
                continue
            waited = time.monotonic() - last_commit
            is_time = engine.is_due or waited >= COMMIT_SECONDS
            if engine.is_whole and engine.has_changes and is_time:
                await self._commit(engine)
                last_commit, waited = time.monotonic(), 0.0
            if more or not engine.is_whole:
                # old logs may take half of a core, not all of it
                await asyncio.sleep(spent if self._note_progress(engine) else 0)
                if time.monotonic() - last_watched >= COMMIT_SECONDS:
                    last_watched = time.monotonic()
                    await self._wait(engine, 0.0)
                    if self._appeared:
                        engine.look_again(self._appeared)
                        self._appeared = set()
                continue
            self._note_progress(engine)
            if self._appeared or time.monotonic() - last_look >= LOOK_SECONDS:
                within: set[str] | None = self._appeared
                if time.monotonic() - last_look >= LOOK_SECONDS:
                    within, last_look = None, time.monotonic()
                self._appeared = set()
                if engine.look_again(within):
                    continue
            due = COMMIT_SECONDS - waited if engine.has_changes else READ_SECONDS
            await self._wait(engine, max(0.001, due))

    async def _prepare_huge(self, engine: Engine) -> None:
        """A line of 100 MB takes a second to decode: not on the loop that hears the keyboard."""
        try:
            await asyncio.to_thread(engine.prepare_huge)
        except OSError as problem:
            self.problem = db.cannot(self.data_dir, "write to", problem)
            self.revision += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def _wait(self, engine: Engine, seconds: float) -> None:
        """Until an input may have more, or so many seconds."""
        if self._watch is None:
            self._watch = Watch(self._poll)
            await self._watch.start()
        inputs = engine.inputs
        inputs.rest()
        self._watch.update(
            inputs.hot,
            inputs.folders,
            inputs.missing,
            resting=inputs.resting,
            ignored=inputs.ignored,
        )
        self._watch.set_pipes(inputs.pipes())
        wake = await self._watch.wait(seconds)
        self._appeared = set(wake.folders) | inputs.woke(wake.paths)

    async def _commit(self, engine: Engine) -> None:
        """Writes a batch; while the store can't take it, nothing more is read (back-pressure)."""
        batch = engine.collect()
        while True:
            try:
                await self._commit_once(batch)
            except (OSError, sqlite3.Error) as problem:
                self.problem = db.cannot(self.data_dir, "write to", problem)
                log.warning("%s", self.problem)
                self.revision += 1
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        self.problem = None
        self._note_lag(engine)
        self.revision += 1

    def _note_lag(self, engine: Engine) -> None:
        """How far behind the source a commit is; an old event tells nothing of that."""
        behind = self.now() - engine.last_event
        self._lag = behind * 1000 if 0 <= behind < _FRESH else self._lag

    async def _commit_once(self, batch: Batch) -> None:
        engine, writer = self.engine, self._writer
        if engine is None or writer is None or batch.is_empty:
            return
        await writer.run(lambda conn: batch.apply(conn, engine.files))
        engine.committed(batch)
        self.committed = batch.number

    # -- a backlog, read by a child

    async def _read_backlog(self, engine: Engine, paths: Sequence[str]) -> Engine:
        """Lets a child process read what is there, then goes on from its position."""
        store = self._store
        if store is None:
            return engine
        engine.close()
        self.engine = None
        store.close()
        self._store = None
        await read_in_child(self.data_dir, paths, self._take_progress, self._format)
        self._backlog = None
        self._store = OpenStore(self.data_dir)
        self.revision += 1
        if self._expanded is not None:
            self._expanded.rescan()
        return self._open_engine(self._store)

    def _note_progress(self, engine: Engine) -> bool:
        """Whether what is read now is a backlog that nobody waits for; says how far it is."""
        found = engine.inputs.progress
        self._is_catching_up = found is not None and found.is_recent
        before = self._backlog, self._words
        self._backlog, self._words = (None, None) if found is None else (found.share, found.words)
        if before[1] != self._words:
            self.revision += 1
        return found is not None and not found.is_recent

    def _take_progress(self, share: float) -> None:
        self._backlog = share
        self.revision += 1

    # -- a store that somebody else writes

    async def _only_read(self) -> None:
        """Looks whether the other process has committed something."""
        version = -1
        while True:
            (found,) = await self.query(lambda conn: conn.execute("PRAGMA data_version").fetchone())
            if found != version:
                version = found
                self.revision += 1
            await asyncio.sleep(self._poll)

    # -- verdicts

    async def _write(self, fn: Callable[[sqlite3.Connection], None]) -> None:
        """A small write beside the batches, while this process is the writer. Raises OSError."""
        if self._store is not None and self._writer is not None:
            await self._writer.run(fn)

    async def _look(self, wanted: Wanted, now: float) -> Seen:
        return await asyncio.to_thread(self._processes.look, wanted, now)

    async def _keep_judging(self) -> None:
        await Oversight(self, self._judge, self._look, self._write).run()

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Runs fn in the writer's thread, between two batches. Raises what it raises."""
        if self._store is None or self._writer is None:
            raise db.StoreError("the store is closed")
        return await self._writer.run(fn)

    @property
    def is_through(self) -> bool:
        """Whether everything there was to read is read: a session is not taken out in halves."""
        engine = self.engine
        return engine is not None and engine.inputs.progress is None

    @property
    def is_busy(self) -> bool:
        """Whether a backlog is read: the index can wait for its end."""
        return self._is_catching_up or self._backlog is not None or not self.is_through

    def measure(self) -> dict[str, float]:
        """How agentmon itself is doing, by name."""
        self._usage = rss, cpu = self._processes.self_usage()
        self._scale.look()
        return {"rss_mb": rss, "cpu_percent": cpu, "lag_ms": self._lag or 0.0}

    @property
    def is_writing(self) -> bool:
        """Whether verdicts are this process's to judge, and can be: not while a child, or itself,
        still reads what was active lately, since old states would look like stalls."""
        is_writer = self._store is not None and self._writer is not None
        return is_writer and not self._is_catching_up
