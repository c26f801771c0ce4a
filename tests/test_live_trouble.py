"""The runner when something is wrong: processes that are gone, a full disk, a long backlog."""

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmon.engine import live, overseeing
from agentmon.report import board
from agentmon.sources.procs import Processes
from agentmon.store import db, read
from agentmon.store.deltas import block_path
from agentmon.store.write import Batch
from tests.differential import assert_same, dumped, ingest
from tests.feeds import (
    SIZE,
    add,
    answering,
    asking,
    changes,
    finished,
    now_ms,
    sid_of,
    snapshot,
    write,
)
from tests.live_feed import LIMITS, feed, lines, running, until, until_lines
from tests.oracle import dump_of
from tests.wire import SID, START, Talk


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "sse_lines.jsonl", finished(1))


# -- verdicts


def verdict_rows(data_dir: Path) -> list[read.VerdictRow]:
    conn = db.open_reading(data_dir)
    try:
        return read.verdicts(conn, SID)
    finally:
        conn.close()


async def test_the_verdict_over_a_process_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept with its evidence; over as soon as somebody speaks again."""
    monkeypatch.setattr(overseeing, "JUDGE_SECONDS", 0.05)
    monkeypatch.setattr("agentmon.sources.procs.LOOK_DISTANCE", 0.1)
    alive = {81551}
    table = Processes(alive.__contains__, lambda _pid: 0.0)
    talk, at = Talk(), now_ms() - 5000
    log = write(tmp_path / "log.jsonl", asking(talk, at))
    async with running(feed(tmp_path / "s", log, processes=table)) as found:
        await until_lines(found, len(asking(talk)))
        await asyncio.sleep(0.3)
        assert verdict_rows(tmp_path / "s") == []
        alive.clear()
        await until(lambda: verdict_rows(tmp_path / "s"))
        (row,) = verdict_rows(tmp_path / "s")
        evidence = json.loads(row.evidence)
        assert (row.verdict, row.until) == ("orphaned", None)
        assert evidence["pid"] == 81551
        assert evidence["process"] == "no such process"
        assert evidence["last_byte"] == (START + at + 200) / 1000
        (shown,) = (await found.query(board.load)).threads
        assert shown.verdict(found.now(), LIMITS).word == "orphaned"
        (round_row,) = await found.query(lambda conn: read.rounds(conn, SID))
        assert round_row.orphaned_at == row.since
        unchanged = [row for row in dumped(tmp_path / "s") if row["kind"] == "round"]
        assert (unchanged[0]["is_aborted"], unchanged[0]["end_time"]) == (False, None)
        alive.add(81551)
        add(log, answering(talk, now_ms() + 10))
        await until(lambda: [row.until for row in verdict_rows(tmp_path / "s")] != [None])
    assert [(r.verdict, r.until is None) for r in verdict_rows(tmp_path / "s")] == [
        ("orphaned", False)
    ]


async def test_a_stall_is_kept_with_its_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overseeing, "JUDGE_SECONDS", 0.05)
    talk, at = Talk(), now_ms() - 40_000
    log = write(tmp_path / "log.jsonl", asking(talk, at)[:5])
    async with running(feed(tmp_path / "s", log)) as found:
        await until(lambda: (tmp_path / "s").exists() and verdict_rows(tmp_path / "s"))
        (row,) = verdict_rows(tmp_path / "s")
        assert (row.verdict, row.since) == ("stalled", (START + at + 130) / 1000)
        assert json.loads(row.evidence)["threshold"] == LIMITS.stalled_after
        add(log, asking(talk, now_ms())[5:6])
        await until(lambda: verdict_rows(tmp_path / "s")[0].until is not None)
        assert found.status().problem is None


async def test_verdicts_survive_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that still holds is not written twice, one that is over gets its end."""
    monkeypatch.setattr(overseeing, "JUDGE_SECONDS", 0.05)
    talk, at = Talk(), now_ms() - 40_000
    log = write(tmp_path / "log.jsonl", asking(talk, at)[:5])
    for _ in range(2):
        async with running(feed(tmp_path / "s", log)):
            await until(lambda: (tmp_path / "s").exists() and verdict_rows(tmp_path / "s"))
            await asyncio.sleep(0.2)
    assert [row.until for row in verdict_rows(tmp_path / "s")] == [None]
    add(log, asking(talk, now_ms())[5:6])
    async with running(feed(tmp_path / "s", log)):
        await until(lambda: verdict_rows(tmp_path / "s")[0].until is not None)
    assert len(verdict_rows(tmp_path / "s")) == 1


class Clock:
    """The wall clock, which may jump as it does over a sleep."""

    def __init__(self) -> None:
        self.slept = 0.0

    def time(self) -> float:
        return time.time() + self.slept

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


async def test_a_machine_that_slept_does_not_make_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    monkeypatch.setattr(overseeing, "JUDGE_SECONDS", 0.05)
    log = write(tmp_path / "log.jsonl", asking(Talk(), now_ms())[:5])
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, 5)
        clock.slept = 3600.0
        woke = found.now()
        await until(lambda: unseen_in(tmp_path / "s"))
        ((began, ended),) = unseen_in(tmp_path / "s")
        assert (began, ended) == found.limits.unseen[0]
        assert ended <= woke <= began + 3600 + 60
        (thread,) = (await found.query(board.load)).threads
        assert thread.verdict(woke + 5, LIMITS).word == "ok"  # for whom only the store tells it
        assert verdict_rows(tmp_path / "s") == []
        for _ in range(5):
            clock.slept += 8.0
            found.now()
        await until(lambda: verdict_rows(tmp_path / "s"))
        assert verdict_rows(tmp_path / "s")[0].verdict == "stalled"
        assert len(found.limits.unseen) == 1


def unseen_in(data_dir: Path) -> tuple[tuple[float, float], ...]:
    conn = db.open_reading(data_dir)
    try:
        return read.unseen(conn)
    finally:
        conn.close()


# -- when the store can't take it


async def test_a_full_disk_is_said_and_gone_on_from(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.1)
    apply, full = Batch.apply, [True]

    def applies(batch: Batch, *args: Any) -> None:
        if full:
            raise OSError(28, "No space left on device")
        apply(batch, *args)

    monkeypatch.setattr(Batch, "apply", applies)
    async with running(feed(tmp_path / "s", log)) as found:
        await until(lambda: found.status().problem)
        problem = found.status().problem or ""
        assert "No space left on device" in problem
        assert str(tmp_path / "s") in problem
        assert await lines(found) == 0
        add(log, finished(2))
        full.clear()
        await until_lines(found, 2 * SIZE)
        await until(lambda: found.status().problem is None)
    assert_same(dumped(tmp_path / "s"), dump_of([log]))


async def test_a_locked_database_is_waited_for(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.1)
    apply, locked = Batch.apply, [True]

    def applies(batch: Batch, *args: Any) -> None:
        if locked:
            locked.clear()
            raise sqlite3.OperationalError("database is locked")
        apply(batch, *args)

    monkeypatch.setattr(Batch, "apply", applies)
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, SIZE)
    assert locked == []


async def test_an_error_of_ours_is_shown_not_fatal(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def applies(_batch: Batch, *_args: Any) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(Batch, "apply", applies)
    found = feed(tmp_path / "s", log)
    await found.start()
    try:
        await until(lambda: found.status().problem)
        assert "a defect" in (found.status().problem or "")
        assert await lines(found) == 0
    finally:
        monkeypatch.undo()
        await found.stop()


# -- a backlog, read by a child


async def test_a_backlog_is_read_by_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_of = [line for n in range(80) for line in finished(n, 10 * n)]
    log = write(tmp_path / "log.jsonl", lines_of)
    ingest(tmp_path / "whole", [log])
    backlogs: list[float | None] = []
    found = feed(tmp_path / "s", log, backlog_bytes=1)
    read_in_child = live.read_in_child

    async def noted(folder: Path, paths: Any, take: Callable[[float], None], *more: Any) -> None:
        def taken(share: float) -> None:
            take(share)
            backlogs.append(found.status().backlog)

        await read_in_child(folder, paths, taken, *more)

    monkeypatch.setattr(live, "read_in_child", noted)
    async with running(found):
        await until_lines(found, len(lines_of))
        await until(lambda: found.status().backlog is None)
        assert changes(snapshot(tmp_path / "s"), snapshot(tmp_path / "whole")) == []
        assert backlogs
        assert all(share is not None and 0.0 <= share <= 1.0 for share in backlogs)
        add(log, finished(500))
        await until_lines(found, len(lines_of) + SIZE)
    assert db.writer_of(tmp_path / "s") is None


async def test_a_backlog_is_read_where_there_can_be_no_child(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process, or no temporary file for its words: the screen reads it itself."""

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    async with running(feed(tmp_path / "s", log, backlog_bytes=1)) as found:
        await until_lines(found, SIZE)
        await until(lambda: found.status().backlog is None)
    assert_same(dumped(tmp_path / "s"), dump_of([log]))


@pytest.mark.deep
async def test_stopping_while_the_child_reads(tmp_path: Path) -> None:
    lines_of = [line for n in range(150) for line in finished(n, 10 * n)]
    log = write(tmp_path / "log.jsonl", lines_of)
    found = feed(tmp_path / "s", log, backlog_bytes=1)
    async with running(found):
        await asyncio.sleep(0.15)
    assert db.writer_of(tmp_path / "s") is None
    ingest(tmp_path / "s", [log])
    ingest(tmp_path / "whole", [log])
    assert changes(snapshot(tmp_path / "s"), snapshot(tmp_path / "whole")) == []


async def test_a_live_store_is_made_of_the_usual_files(log: Path, tmp_path: Path) -> None:
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, SIZE)
    ingest(tmp_path / "whole", [log])
    names = [
        sorted(str(path.relative_to(base)) for path in base.rglob("*") if path.is_file())
        for base in (tmp_path / "s", tmp_path / "whole")
    ]
    assert names[0] == names[1]
    assert block_path(sid_of(1), "m1", 0) in names[0]
