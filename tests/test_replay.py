"""Playing a recording: on a clock of its own, in a store of its own."""

import asyncio
import os
import tempfile
from math import inf
from pathlib import Path

import pytest

from agentmon.engine import overseeing, playback
from agentmon.engine.feed import Feed
from agentmon.engine.ingest import Ingestion
from agentmon.engine.playback import Playback, clock_over, read_until
from agentmon.report import board
from agentmon.sources import procs
from agentmon.sources.reels import NothingToPlay
from agentmon.store import read
from tests.cli_run import assert_one_sentence, inside
from tests.deep import seeds
from tests.differential import dumped, ingest
from tests.feeds import SIZE, asking, changes, finished, sid_of, snapshot, write
from tests.live_feed import LIMITS, running, until, until_lines
from tests.wire import SID, START, Talk


def recording(folder: Path, sessions: int = 20) -> Path:
    lines = [line for n in range(sessions) for line in finished(n, 1000 * n)]
    return write(folder / "sse_lines.jsonl", lines)


def revision(feed: Feed) -> int:
    return feed.revision


def files_in(folder: Path) -> list[str]:
    return os.listdir(folder)


async def test_at_full_speed_it_equals_an_ingested_store(tmp_path: Path, temporary: Path) -> None:
    log = recording(tmp_path)
    ingest(tmp_path / "ingested", [log])
    async with running(Playback([str(log)], LIMITS, speed=inf)) as played:
        await until(lambda: played.deck.ended)
        await until_lines(played, 20 * SIZE)
        assert played.deck.position == 1.0
        assert changes(snapshot(played.data_dir), snapshot(tmp_path / "ingested")) == []
        assert played.data_dir.is_relative_to(temporary)
        assert played.transport is played.deck
        assert played.status().title == "replay"
    assert files_in(temporary) == []


async def test_it_never_touches_the_users_store(
    tmp_path: Path, scratch_home: Path, temporary: Path
) -> None:
    log = recording(tmp_path)
    os.chmod(log, 0o400)
    before = os.stat(log)
    async with running(Playback([str(log)], LIMITS, speed=inf)) as played:
        await until_lines(played, 20 * SIZE)
    after = os.stat(log)
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert files_in(scratch_home / "data") == []
    assert files_in(temporary) == []


def test_its_store_is_made_where_it_is_told_to_and_goes(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = tempfile.mkdtemp

    def spy(*args: str | None, **more: str | None) -> str:
        made.append(make(*args, **more))
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", spy)
    log, place = recording(tmp_path), tmp_path / "place"
    answer = inside("--replay", log, "--once", "--data-dir", place)
    assert answer.code == 0, answer
    assert {Path(folder).parent for folder in made} == {place}
    assert [*place.iterdir(), *temporary.iterdir()] == []
    answer = inside("--replay", log, "--once", "--data-dir", log / "x")
    assert_one_sentence(answer, f"{log / 'x'}")


async def test_only_what_is_due_is_there(tmp_path: Path, temporary: Path) -> None:
    """Paused at its beginning, then played on."""
    log = write(tmp_path / "log.jsonl", [*asking(Talk()), *finished(2, 3_600_000)])
    async with running(Playback([str(log)], LIMITS)) as played:
        await until_lines(played, len(asking(Talk())))
        deck = played.deck
        assert (deck.playing, deck.ended, deck.speed) == (True, False, 1.0)
        deck.toggle()
        assert not deck.playing
        stood = played.now()
        for _ in range(20):
            deck.faster()
        await asyncio.sleep(0.2)
        assert played.now() == stood
        assert (await played.query(read.counts))["lines"] == len(asking(Talk()))
        (thread,) = (await played.query(board.load)).threads
        assert thread.verdict(played.now(), LIMITS).word == "ok"
        assert thread.verdict(played.now() + 601, LIMITS).word == "overdue"
        deck.toggle()
        await until_lines(played, len(asking(Talk())) + SIZE)
        assert played.now() == (START + 3_601_300) / 1000
    assert files_in(temporary) == []


async def test_it_begins_again(tmp_path: Path, temporary: Path) -> None:
    log = recording(tmp_path)
    async with running(Playback([str(log)], LIMITS, speed=inf)) as played:
        await until_lines(played, 20 * SIZE)
        first, before = played.data_dir, revision(played)
        played.deck.toggle()
        await played.deck.restart()
        assert revision(played) > before
        assert played.playing or played.deck.ended
        await until_lines(played, 20 * SIZE)
        assert played.data_dir != first
        assert not first.exists()
        assert dumped(played.data_dir)[-1]["duplicates"] == 0
        await asyncio.gather(played.deck.restart(), played.deck.restart())
        await until_lines(played, 20 * SIZE)
    assert files_in(temporary) == []


async def test_a_slow_one_begins_again_at_its_beginning(tmp_path: Path, temporary: Path) -> None:
    log = write(tmp_path / "log.jsonl", [*asking(Talk()), *finished(2, 3_600_000)])
    async with running(Playback([str(log)], LIMITS, speed=64.0)) as played:
        await until_lines(played, len(asking(Talk())))
        await until(lambda: played.now() > (START + 5000) / 1000)
        stood = played.now()
        await played.deck.restart()
        assert played.now() < stood
        await until_lines(played, len(asking(Talk())))
    assert files_in(temporary) == []


async def test_the_demo_loops(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "LOOP_SECONDS", 0.05)
    log = recording(tmp_path, 2)
    looped = Playback([str(log)], LIMITS, title="demo", speed=inf, loops=True)
    async with running(looped) as played:
        folders: set[Path] = set()
        for _ in range(1500):
            folders.add(played.data_dir)
            if len(folders) > 2:
                break
            await asyncio.sleep(0.02)
        assert len(folders) > 2
        assert played.status().title == "demo"
    assert files_in(temporary) == []


@pytest.mark.parametrize("wait", seeds(1, 4))
async def test_stopping_at_the_turn_of_a_loop(
    wait: int, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is stopped, nothing goes on behind its back."""
    monkeypatch.setattr(playback, "LOOP_SECONDS", 0.0)
    log = recording(tmp_path, 2)
    looped = Playback([str(log)], LIMITS, speed=inf, loops=True)
    async with running(looped):
        first = looped.data_dir
        await until(lambda: looped.data_dir != first)
        await asyncio.sleep(0.2 + wait * 0.006)
    assert files_in(temporary) == []


@pytest.mark.parametrize("text", [b"", b"nothing\n"])
async def test_what_cannot_be_played_leaves_nothing(
    text: bytes, tmp_path: Path, temporary: Path
) -> None:
    log = tmp_path / "log.jsonl"
    await asyncio.to_thread(log.write_bytes, text)
    with pytest.raises(NothingToPlay):
        Playback([str(log)], LIMITS)
    with pytest.raises(FileNotFoundError):
        Playback([str(tmp_path / "missing.jsonl")], LIMITS)
    assert files_in(temporary) == []


async def test_nobody_is_looked_for_in_a_replay(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pids of a recording say nothing of the processes that run today."""
    monkeypatch.setattr(overseeing, "JUDGE_SECONDS", 0.1)
    monkeypatch.setattr(procs, "LOOK_DISTANCE", 0.1)
    lines = [*asking(Talk(pid=2**22 + 5)), *finished(2, 3_600_000)]  # so that time goes on
    log = write(tmp_path / "log.jsonl", lines)
    async with running(Playback([str(log)], LIMITS, speed=8.0)) as played:
        await until_lines(played, len(asking(Talk())))
        await asyncio.sleep(0.4)
        assert await played.query(lambda conn: read.verdicts(conn, SID)) == []
    assert files_in(temporary) == []


def test_a_board_of_any_moment(tmp_path: Path) -> None:
    log = recording(tmp_path, 3)
    clock = clock_over([str(log)])
    with Ingestion(tmp_path / "s") as run:
        read_until(run.engine, [str(log)], clock, (START + 1500) / 1000)
        run.commit()
        found = {thread.session.sid: thread.row.phase for thread in board.load(run.conn).threads}
    assert found == {sid_of(0): "ended", sid_of(1): "tool"}
