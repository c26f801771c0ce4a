"""The background that keeps a store within its limits while a screen is open.

Once a day it carries out the policy of the settings, and at once what another process asks for
(`agentmon cleanup`, `agentmon restore`: the store has one writer). Reading and compressing happen
in a thread with a connection of its own, deleting in slices of some milliseconds between batches.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from agentmon.engine import cleaning, requests
from agentmon.engine.core import Engine
from agentmon.engine.passing import Passage, PassingLoader, Return
from agentmon.logfile import log
from agentmon.store import db
from agentmon.store.retention import departing, finding, ledger, pages
from agentmon.store.retention.plan import IsAlive, Policy
from agentmon.store.retention.reports import Gone, Report, Restored

T = TypeVar("T")

EVERY = 86_400.0
"""Seconds from one run of the policy to the next."""

SETTLE = 60.0
"""Seconds after the start, or after a look, before the policy is thought of (again)."""

LISTEN = 0.5
"""Seconds between two looks for requests."""

SLICE = 0.01
"""Seconds of deleting after which a batch may come between."""

PAUSE = 0.02
_READS = "still reads old logs: try again when it is through"
_REST = 0.001
_RETRY = 2.0


class Stopped(Exception):
    """The runner ends: a thread of it leaves its work."""


class Retained(Protocol):
    """What is kept within limits: a runner that writes a store."""

    revision: int

    @property
    def data_dir(self) -> Path: ...
    @property
    def engine(self) -> Engine | None: ...
    @property
    def loader(self) -> PassingLoader | None: ...
    @property
    def committed(self) -> int:
        """The number of the last batch that is in the store."""
        ...

    @property
    def is_writing(self) -> bool: ...
    @property
    def is_through(self) -> bool:
        """Whether everything there was to read is read."""
        ...

    def now(self) -> float: ...
    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T: ...
    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T: ...


class Keeper:
    """Runs beside the engine, on its loop. `policy` None: only requests are carried out."""

    def __init__(
        self,
        feed: Retained,
        policy: Policy | None,
        *,
        settle: float = SETTLE,
        listen: float = LISTEN,
        alive: IsAlive = cleaning.is_alive,
    ) -> None:
        self._feed = feed
        self._policy = policy if policy is not None and policy.is_on else None
        self._settle = settle
        self._listen = listen
        self._alive = alive
        self._is_stopping = False

    async def run(self) -> None:
        """Until it is cancelled."""
        looked = time.monotonic()
        try:
            while True:
                await asyncio.sleep(self._listen)
                if not self._feed.is_writing:
                    continue
                for asked in list(requests.waiting(self._feed.data_dir)):
                    await self._answer(asked)
                is_time = time.monotonic() - looked >= self._settle
                if self._policy is None or not is_time or not self._feed.is_through:
                    continue
                looked = time.monotonic()
                if await self._feed.query(self._is_due):
                    await self._carry_out(self._policy)
        finally:
            self._is_stopping = True

    def _is_due(self, conn: sqlite3.Connection) -> bool:
        run = ledger.last_run(conn, "policy")
        return run is None or self._feed.now() - run.started_at >= EVERY

    async def _carry_out(self, policy: Policy) -> None:
        try:
            report = await self._clean(policy, "policy")
        except (OSError, sqlite3.Error, db.StoreError) as problem:
            log.warning("the daily cleanup failed: %s", problem)
            return
        gone = sum(one.outcome in ("archived", "deleted") for one in report.sessions)
        if gone:
            log.info("the daily cleanup took out %d sessions", gone)

    # -- what others ask for

    async def _answer(self, asked: requests.Asked) -> None:
        request, answer = asked.request, requests.Answer()
        try:
            asked.take()
        except OSError as problem:
            log.warning("a request could not be taken: %s", problem)
            return
        try:
            if not self._feed.is_through:
                answer.problem = f"the agentmon that is running {_READS}"
            elif request.kind == "cleanup":
                policy = Policy(request.days, request.max_size, request.action)
                answer.value = msgspec.to_builtins(await self._clean(policy, "command"))
            else:
                answer.value = msgspec.to_builtins(await self._restore(request.name))
        except (db.StoreError, finding.CannotRestore) as problem:
            answer.problem = str(problem)
        except (OSError, sqlite3.Error) as problem:
            answer.problem = db.cannot(self._feed.data_dir, "write to", problem)
        with contextlib.suppress(OSError):
            asked.answer(answer)

    # -- cleaning

    async def _clean(self, policy: Policy, cause: str) -> Report:
        feed, now = self._feed, self._feed.now()
        found = await self._aside(
            lambda conn: cleaning.survey(conn, feed.data_dir, policy, now, self._alive, self._rest)
        )
        report = cleaning.report_of(policy, found)
        run_id = await feed.write(lambda conn: ledger.begin_run(conn, cause, policy.action, now))
        for gone in report.sessions:
            try:
                await self._depart(gone, policy, now)
            except (OSError, sqlite3.Error) as problem:
                report.problems.append(db.cannot(feed.data_dir, "clean", problem))
                break
            feed.revision += 1
        await self._give_back()
        await feed.write(lambda conn: cleaning.close_report(report, conn, feed.data_dir, found))
        await feed.write(lambda conn: cleaning.end_run(conn, run_id, report, feed.now()))
        return report

    async def _depart(self, gone: Gone, policy: Policy, now: float) -> None:
        """One session goes. A session that is heard of before its archive is whole stays."""
        feed = self._feed
        gone.outcome = "kept"
        if not self._let_go(gone.sid):
            return
        begin = partial(
            departing.begin,
            data_dir=feed.data_dir,
            sid=gone.sid,
            archives=policy.action == "archive",
            size=gone.bytes,
            now=now,
        )
        departure = await feed.write(begin)
        try:
            await self._aside(lambda conn: departing.write(departure, conn, self._rest))
        except (OSError, sqlite3.Error):
            await feed.write(lambda conn: departing.give_up(conn, departure))
            raise
        # from here to the passage nothing else may run on the loop
        engine, loader = feed.engine, feed.loader
        if engine is None or loader is None or gone.sid in engine.state.sessions:
            await feed.write(lambda conn: departing.give_up(conn, departure))
            return
        passage = Passage(departing.leaving(departure), engine.files)
        await self._pass(passage, loader)
        if passage.problem is not None:
            await feed.write(lambda conn: departing.give_up(conn, departure))
            return
        cleaning.note(gone, departure)

    def _let_go(self, sid: str) -> bool:
        """Takes a session out of the fold's memory; False if something of it is not committed."""
        engine = self._feed.engine
        if engine is None:
            return False
        state = engine.state
        session = state.sessions.get(sid)
        is_told = session is not None and (
            session.is_dirty or session.touched > self._feed.committed
        )
        if is_told:
            return False
        state.forget_session(sid)
        return True

    async def _pass(self, passage: Passage, loader: PassingLoader) -> None:
        """Takes the steps, a slice at a time; while the store can't take them, tries again."""
        loader.passage = passage
        while True:
            try:
                # what returns takes single steps: one of them waits for the disk, aside
                seconds = 0.0 if passage.is_return else SLICE
                if not await self._feed.write(partial(passage.run_for, seconds=seconds)):
                    break
                if passage.awaits_sync:
                    await asyncio.to_thread(passage.sync)
                await asyncio.sleep(min(PAUSE, 2 * seconds))
            except (OSError, sqlite3.Error) as problem:
                log.warning("a session cannot leave yet: %s", problem)
                await asyncio.sleep(_RETRY)
        if loader.passage is passage:
            loader.passage = None

    async def _give_back(self) -> None:
        is_more = True
        while is_more:
            is_more = await self._feed.write(pages.give_back_some)
            await asyncio.sleep(PAUSE)
        await self._feed.write(pages.truncate_wal)

    # -- restoring

    async def _restore(self, name: str) -> Restored:
        feed = self._feed
        found = await self._aside(lambda conn: finding.find(conn, feed.data_dir, name))
        checked = await self._aside(
            lambda conn: finding.check(conn, feed.data_dir, found, self._rest)
        )
        engine, loader = feed.engine, feed.loader
        if engine is None or loader is None:
            raise db.StoreError("the store is closed")
        if checked.head.sid in engine.state.sessions:
            raise finding.CannotRestore(f"session {checked.head.sid} speaks just now")
        coming = Return(feed.data_dir, found, checked, feed.now())
        passage = Passage(coming, engine.files)
        loader.hear_elsewhere()
        await self._pass(passage, loader)
        if passage.problem is not None:
            raise finding.CannotRestore(f"cannot restore {found.path}: {passage.problem}")
        feed.revision += 1
        return cleaning.restored(found, checked, coming.left)

    # -- threads

    async def _aside(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Runs fn in a thread, with a reading connection of its own."""

        def work() -> T:
            conn = db.open_reading(self._feed.data_dir)
            try:
                return fn(conn)
            finally:
                conn.close()

        return await asyncio.to_thread(work)

    def _rest(self) -> None:
        """Between two pieces: the loop wants the interpreter, too."""
        if self._is_stopping:
            raise Stopped
        time.sleep(_REST)
