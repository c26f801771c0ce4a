"""The runner on an event loop, over real files: what is written is shown, nothing stays behind."""

import asyncio
import json
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentmon.core.health import Limits
from agentmon.engine import live
from agentmon.engine.live import Live
from agentmon.report import board
from agentmon.sources.procs import Processes
from agentmon.store import db, read
from agentmon.store.deltas import block_path
from agentmon.store.write import Batch
from tests.cli_run import environment
from tests.differential import assert_same, dumped, ingest
from tests.feeds import (
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
from tests.generate import joined
from tests.oracle import dump_of
from tests.wire import SID, START, TEXT, Talk

LIMITS = Limits()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "sse_lines.jsonl", finished(1))


def feed(data_dir: Path, *paths: Path, **more: Any) -> Live:
    more.setdefault("processes", Processes(lambda _pid: True, lambda _pid: 0.0))
    return Live(data_dir, [str(path) for path in paths], LIMITS, poll=0.02, **more)


@asynccontextmanager
async def running(found: Live) -> AsyncGenerator[Live]:
    """Started, and stopped whatever happens; nothing of it may stay."""
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
    left = [thread for thread in set(threading.enumerate()) - threads if is_ours(thread)]
    for thread in left:
        await asyncio.to_thread(thread.join, 5.0)
    assert [thread for thread in left if thread.is_alive()] == []
    assert asyncio.all_tasks() - tasks == set()
    assert found.status().problem is None


def is_ours(thread: threading.Thread) -> bool:
    """Not the loop's own pool, which `asyncio.to_thread` leaves to the loop."""
    return not thread.name.startswith("asyncio_")


async def until(condition: Callable[[], object]) -> None:
    """Looks again and again, for half a minute at most."""
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


async def lines(found: Live) -> int:
    return (await found.query(read.counts))["lines"]


async def until_lines(found: Live, count: int) -> None:
    for _ in range(1500):
        if await lines(found) >= count:
            break
        await asyncio.sleep(0.02)
    assert await lines(found) == count


SIZE = len(finished(1))


# -- lines as they come


async def test_lines_appear_as_they_are_written(log: Path, tmp_path: Path) -> None:
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, SIZE)
        before = found.revision
        add(log, finished(2))
        await until(lambda: found.revision > before)
        await until_lines(found, 2 * SIZE)
        assert found.status().files == 1
        assert found.transport is None
    assert_same(dumped(tmp_path / "s"), dump_of([log]))


async def test_nothing_new_is_no_revision(log: Path, tmp_path: Path) -> None:
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, SIZE)
        await asyncio.sleep(0.2)
        before = found.revision
        await asyncio.sleep(0.3)
        assert found.revision == before


async def test_a_torn_line_waits_for_its_end(log: Path, tmp_path: Path) -> None:
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, SIZE)
        *whole, last = finished(2)
        add(log, whole)
        with log.open("ab", buffering=0) as file:
            file.write(last[:50])
            await until_lines(found, 2 * SIZE - 1)
            file.write(last[50:] + b"\n")
            await until_lines(found, 2 * SIZE)
    assert_same(dumped(tmp_path / "s"), dump_of([log]))


async def test_the_text_of_a_block_as_it_grows(tmp_path: Path) -> None:
    talk = Talk()
    log = write(tmp_path / "log.jsonl", [talk.start(1, 0), talk.begin(1, 1, TEXT)])
    async with running(feed(tmp_path / "s", log)) as found:
        add(log, [talk.text(1, 10, "one ")])
        await until(lambda: found.read_text(SID, "m1", 0, 0, 99) == b"one ")
        add(log, [talk.text(1, 20, "two")])
        await until(lambda: found.read_text(SID, "m1", 0, 4, 99) == b"two")
        assert found.read_text(SID, "m1", 0, 1, 3) == b"ne"
        assert found.read_text(SID, "m9", 0, 0, 9) == b""
        row = await found.query(lambda conn: read.block(conn, "m1", 0))
        assert row is not None
        assert row.stored_bytes == 7


async def test_files_that_appear_later(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    later = tmp_path / "later.jsonl"
    async with running(feed(tmp_path / "s", folder, later)) as found:
        write(folder / "claude" / "sse_lines.jsonl", finished(1))
        await until_lines(found, SIZE)
        write(later, finished(2))
        await until_lines(found, 2 * SIZE)
        assert found.status().files == 2


async def test_rotation_while_it_is_followed(log: Path, tmp_path: Path) -> None:
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, SIZE)
        add(log, finished(2))
        os.rename(log, tmp_path / "sse_lines.jsonl.1")
        write(log, finished(3))
        await until_lines(found, 3 * SIZE)
        os.truncate(log, 0)
        await asyncio.sleep(0.1)
        add(log, finished(4))
        await until_lines(found, 4 * SIZE)
        os.unlink(log)
        await asyncio.sleep(0.1)
        write(log, finished(5))
        await until_lines(found, 5 * SIZE)
    assert {row["sid"] for row in dumped(tmp_path / "s") if row["kind"] == "session"} == {
        sid_of(number) for number in range(1, 6)
    }


async def test_an_already_ingested_file_is_not_read_again(log: Path, tmp_path: Path) -> None:
    ingest(tmp_path / "s", [log])
    before = snapshot(tmp_path / "s")
    async with running(feed(tmp_path / "s", log)) as found:
        assert await lines(found) == SIZE
        await asyncio.sleep(0.2)
    assert changes(snapshot(tmp_path / "s"), before) == []


async def test_stopping_commits_what_was_read(tmp_path: Path) -> None:
    """However early it is stopped, what is missing is read by the next one."""
    log = write(tmp_path / "log.jsonl", [line for n in range(200) for line in finished(n)])
    for _ in range(4):
        async with running(feed(tmp_path / "s", log)):
            await asyncio.sleep(0.05)
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, 200 * SIZE)
    ingest(tmp_path / "whole", [log])
    assert changes(snapshot(tmp_path / "s"), snapshot(tmp_path / "whole")) == []


async def test_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with running(feed(tmp_path / "s", fifo)) as found:
        for number in (1, 2):  # a second writer may come when the first has gone
            await asyncio.to_thread(fifo.write_bytes, joined(finished(number)))
            await until_lines(found, number * SIZE)


FOLLOWS_STDIN = """
import asyncio, sys
from pathlib import Path
from agentmon.core.health import Limits
from agentmon.engine.live import Live
from agentmon.store import read

async def main():
    feed = Live(Path(sys.argv[1]), ["-"], Limits(), poll=0.02)
    await feed.start()
    while (await feed.query(read.counts))["lines"] < int(sys.argv[2]):
        await asyncio.sleep(0.02)
    print("seen", flush=True)
    while feed.status().problem is None and sys.stdin.buffer.closed is False:
        if (await feed.query(read.counts))["lines"] >= 2 * int(sys.argv[2]):
            break
        await asyncio.sleep(0.02)
    await feed.stop()

asyncio.run(main())
"""


async def test_standard_input(log: Path, tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FOLLOWS_STDIN, str(tmp_path / "s"), str(SIZE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(joined(finished(1)))
        assert await child.stdout.readline() == b"seen\n"
        add(log, finished(2))
        _, err = await child.communicate(joined(finished(2)))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert (child.returncode, err) == (0, b"")
    assert_same(dumped(tmp_path / "s"), dump_of([log]))


# -- two on one store


async def test_the_second_one_only_reads(log: Path, tmp_path: Path) -> None:
    async with running(feed(tmp_path / "s", log)) as first:
        await until_lines(first, SIZE)
        second = feed(tmp_path / "s", log)
        async with running(second):
            note = second.status().note
            assert note is not None
            assert str(os.getpid()) in note
            before = second.revision
            add(log, finished(2))
            await until(lambda: second.revision > before)
            await until_lines(second, 2 * SIZE)
        assert await lines(first) == 2 * SIZE
    assert_same(dumped(tmp_path / "s"), dump_of([log]))


async def test_a_store_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "agentmon.db").write_bytes(b"no database" * 100)
    found = feed(tmp_path / "s")
    before = set(threading.enumerate())
    with pytest.raises(db.StoreError):
        await found.start()
    await found.stop()
    assert isinstance(found.failure, db.StoreError)
    assert [each for each in set(threading.enumerate()) - before if is_ours(each)] == []
    assert db.writer_of(tmp_path / "s") is None


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
    monkeypatch.setattr(live, "JUDGE_SECONDS", 0.05)
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
    monkeypatch.setattr(live, "JUDGE_SECONDS", 0.05)
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
    monkeypatch.setattr(live, "JUDGE_SECONDS", 0.05)
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


async def test_a_backlog_is_read_by_a_child(tmp_path: Path) -> None:
    lines_of = [line for n in range(150) for line in finished(n, 10 * n)]
    log = write(tmp_path / "log.jsonl", lines_of)
    ingest(tmp_path / "whole", [log])
    backlogs: list[float] = []
    found = feed(tmp_path / "s", log, backlog_bytes=1)
    async with running(found):
        for _ in range(1500):
            backlog = found.status().backlog
            if backlog is not None:
                backlogs.append(backlog)
            if found.revision and backlog is None and await lines(found) == len(lines_of):
                break
            await asyncio.sleep(0.01)
        assert changes(snapshot(tmp_path / "s"), snapshot(tmp_path / "whole")) == []
        assert backlogs
        assert all(0.0 <= share <= 1.0 for share in backlogs)
        add(log, finished(500))
        await until_lines(found, len(lines_of) + SIZE)
    assert db.writer_of(tmp_path / "s") is None


async def test_stopping_while_the_child_reads(tmp_path: Path) -> None:
    lines_of = [line for n in range(400) for line in finished(n, 10 * n)]
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
