"""Cleaning and restoring: kill -9 again and again, and commits that go on while sessions leave."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

from agentmon.core.health import Limits
from agentmon.engine import cleaning, retaining
from agentmon.engine.ingest import Ingestion
from agentmon.engine.live import Live
from agentmon.store.open import OpenStore
from agentmon.store.retention.plan import Policy
from tests.bench.bench import ROOT, Bench
from tests.bench.rows_kill import dump, files
from tests.bench.table import Row, at_least, at_most, equal

EVENTS = 100_000
KILLS = 20
SEED = 4
ALL = Policy(1, None, "archive")
LATER = 1e8
"""Seconds after which everything in the log is old."""

_CHILD = """
import os, sys
from pathlib import Path
from agentmon.engine import cleaning
from agentmon.store.retention.plan import Policy

os.sync = lambda: None  # a kill is no power cut, and other jobs' data are not ours to wait for
store, now = Path(sys.argv[1]), float(sys.argv[2])
while True:
    now += 1e7
    cleaning.clean(store, Policy(1, None, "archive"), now, tell=lambda _: print(flush=True))
    for row in cleaning.archived(store):
        cleaning.restore(store, row.session_id, now)
        print(flush=True)
"""


def retention(bench: Bench) -> Row:
    """A store that is cleaned and restored, killed all the while; and one that a feed has open."""
    with mock.patch("os.sync"):  # a kill is no power cut, and other jobs' data not ours to wait for
        return _measured(bench)


def _measured(bench: Bench) -> Row:
    path = bench.log(min(bench.events, EVENTS))
    store = bench.new_folder("retention")
    _ingest(store, path)
    before = dump(bench, store), files(store)
    began = time.perf_counter()
    report = cleaning.clean(store, ALL, time.time() + LATER)
    cleaned = time.perf_counter() - began
    freed = (report.freed or 0) / report.before.store
    packed = sum(one.archive_bytes or 0 for one in report.sessions)
    _restore_all(store)
    landed = _kill_often(bench, store)
    _restore_all(store)
    after = dump(bench, store), files(store)
    waited = asyncio.run(_beside_commits(store))
    gone = f"{len(report.gone)} sessions, {report.before.store >> 20} MB in {cleaned:.1f} s"
    return Row(
        "retention",
        [
            at_least("of the store freed", freed, 0.9, f"{gone}; archives {packed >> 20} MB", ""),
            at_least("kills that hit a running process", landed, KILLS, f"{landed}", ""),
            equal("dump, restored", before[0] == after[0], f"{len(before[0]):,} lines"),
            equal("delta files, restored", before[1] == after[1], f"{len(before[1]):,} files"),
            at_most(
                "a write waits while sessions leave",
                waited[0] * 1000,
                100,
                f"p99 {waited[0] * 1000:.0f} ms of {waited[2]}; the loop late by "
                f"p99 {waited[1] * 1000:.0f} ms",
                " ms",
            ),
        ],
    )


def _ingest(store: Path, path: Path) -> None:
    with Ingestion(store) as run:
        run.read_all([str(path)])


def _restore_all(store: Path) -> None:
    OpenStore(store).close()
    for row in cleaning.archived(store):
        cleaning.restore(store, row.session_id, 0.0)


def _kill_often(bench: Bench, store: Path) -> int:
    random_ = random.Random(SEED)
    landed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(store), str(time.time() + LATER)],
            env=bench.environ(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for _ in range(random_.randrange(1, 8)):
            if process.stdout is not None:
                process.stdout.readline()
        time.sleep(random_.uniform(0, 0.3))
        landed += process.poll() is None
        process.kill()
        process.communicate()
    return landed


class _Later(Live):
    """To which everything in the log is old, and what was restored, too."""

    def now(self) -> float:
        return super().now() + 10 * LATER


async def _beside_commits(store: Path) -> tuple[float, float, int]:
    """A feed whose policy takes all out: how long a write waits (p99), how late the loop is (p99),
    and how many writes there were."""
    feed = _Later(store, [], Limits())
    await feed.start()
    keeper = retaining.Keeper(feed, ALL, settle=0.0, listen=0.05)
    task = asyncio.create_task(keeper.run())
    writes: list[float] = []
    late: list[float] = []

    def write(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT OR REPLACE INTO system_metrics VALUES (0, 'bench', 0)")

    try:
        while True:
            began = time.perf_counter()
            await feed.write(write)
            writes.append(time.perf_counter() - began)
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            late.append(time.perf_counter() - began - 0.01)
            count = await feed.query(_sessions)
            if not count:
                break
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await feed.stop()
    return _p99(writes), _p99(late), len(writes)


def _sessions(conn: sqlite3.Connection) -> int:
    return int(conn.execute("SELECT COUNT(*) FROM sessions").fetchone()[0])


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
