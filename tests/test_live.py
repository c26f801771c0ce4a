"""The runner on an event loop, over real files: what is written is shown, nothing stays behind."""

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from agentmon.store import db, read
from tests.cli_run import environment
from tests.deep import only_deep
from tests.differential import assert_same, dumped, ingest
from tests.feeds import (
    SIZE,
    add,
    changes,
    finished,
    sid_of,
    snapshot,
    write,
)
from tests.generate import joined
from tests.live_feed import feed, is_ours, lines, running, until, until_lines
from tests.oracle import dump_of
from tests.wire import SID, TEXT, Talk


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "sse_lines.jsonl", finished(1))


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
        before = -1
        for _ in range(100):  # it comes to rest, however slow the machine
            if found.revision == before:
                break
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
        # The text is in its file before the row that says so is committed.
        await until_lines(found, 4)
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
        add(log, finished(4)[:-1])  # shorter than what was there: that is how it is noticed
        await until_lines(found, 4 * SIZE - 1)
        add(log, finished(4)[-1:])
        await until_lines(found, 4 * SIZE)
        os.unlink(log)
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


@pytest.mark.parametrize("count", [2, *only_deep(4)])
async def test_stopping_commits_what_was_read(count: int, tmp_path: Path) -> None:
    """However early it is stopped, what is missing is read by the next one."""
    log = write(tmp_path / "log.jsonl", [line for n in range(100) for line in finished(n)])
    for _ in range(count):
        async with running(feed(tmp_path / "s", log)):
            await asyncio.sleep(0.05)
    async with running(feed(tmp_path / "s", log)) as found:
        await until_lines(found, 100 * SIZE)
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
        await second.start()
        try:
            note = second.status().note
            assert note is not None
            assert str(os.getpid()) in note
            before = second.revision
            add(log, finished(2))
            await until(lambda: second.revision > before)
            await until_lines(second, 2 * SIZE)
        finally:
            await second.stop()  # what it leaves behind, the first one's end finds
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
