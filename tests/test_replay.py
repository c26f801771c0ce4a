"""Playing a recording: on a clock of its own, in a store of its own."""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import pytest

from agentmon.core.health import Limits
from agentmon.engine import playback
from agentmon.engine.feed import Feed
from agentmon.engine.ingest import Ingestion
from agentmon.engine.playback import NothingToPlay, Playback, clock_over, read_until
from agentmon.report import board
from agentmon.sources.clock import SPEEDS, VirtualClock
from agentmon.sources.lines import Line
from agentmon.sources.recording import Recording, moment_of, span_of
from agentmon.store import read
from tests.differential import dumped, ingest
from tests.feeds import asking, changes, finished, sid_of, snapshot, write
from tests.wire import SID, START, Talk

LIMITS = Limits()


class Ticker:
    """A clock hand that moves when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()


@pytest.fixture
def clock(ticker: Ticker) -> VirtualClock:
    """A recording of 100 seconds."""
    return VirtualClock(1000.0, 1100.0, ticker=ticker)


# -- the clock


def test_a_clock_runs_with_the_ticker(clock: VirtualClock, ticker: Ticker) -> None:
    assert (clock.now(), clock.position, clock.ended) == (1000.0, 0.0, False)
    ticker.go(25)
    assert (clock.now(), clock.position, clock.horizon) == (1025.0, 0.25, 1025.0)


@pytest.mark.parametrize("speed", [speed for speed in SPEEDS if speed != inf])
def test_a_clock_runs_at_its_speed(speed: float, clock: VirtualClock, ticker: Ticker) -> None:
    clock.set_speed(speed)
    ticker.go(1)
    assert clock.now() == 1000.0 + speed


def test_another_speed_does_not_jump(clock: VirtualClock, ticker: Ticker) -> None:
    ticker.go(10)
    clock.faster()
    assert (clock.speed, clock.now()) == (2.0, 1010.0)
    ticker.go(10)
    clock.slower()
    clock.slower()
    assert (clock.speed, clock.now()) == (0.5, 1030.0)
    ticker.go(10)
    assert clock.now() == 1035.0


def test_a_paused_clock_stands(clock: VirtualClock, ticker: Ticker) -> None:
    ticker.go(10)
    clock.toggle()
    ticker.go(50)
    assert (clock.now(), clock.horizon, clock.playing) == (1010.0, 1010.0, False)
    clock.faster()
    ticker.go(50)
    assert clock.now() == 1010.0
    clock.toggle()
    ticker.go(10)
    assert clock.now() == 1030.0


def test_a_clock_stands_at_its_end(clock: VirtualClock, ticker: Ticker) -> None:
    ticker.go(1000)
    assert (clock.now(), clock.position, clock.ended) == (1100.0, 1.0, True)
    clock.rewind()
    assert (clock.now(), clock.ended) == (1000.0, False)
    ticker.go(30)
    assert clock.now() == 1030.0


def test_at_full_speed_the_lines_carry_the_clock(clock: VirtualClock, ticker: Ticker) -> None:
    clock.set_speed(inf)
    ticker.go(1000)
    assert (clock.now(), clock.horizon) == (1000.0, inf)
    clock.reach(1040.0)
    clock.reach(1020.0)
    assert clock.now() == 1040.0
    clock.reach(5000.0)
    assert (clock.now(), clock.ended) == (1100.0, True)


def test_a_pause_at_full_speed_gives_nothing_more(clock: VirtualClock, ticker: Ticker) -> None:
    clock.set_speed(inf)
    clock.reach(1040.0)
    clock.toggle()
    assert clock.horizon == 1040.0
    clock.reach(1090.0)
    assert clock.now() == 1040.0
    clock.slower()
    clock.toggle()
    ticker.go(0.5)
    assert (clock.speed, clock.now()) == (64.0, 1072.0)


def test_the_speeds_have_two_ends(clock: VirtualClock) -> None:
    seen = [clock.speed]
    for _ in range(20):
        clock.slower()
    assert clock.speed == 0.25
    for _ in range(20):
        clock.faster()
        seen.append(clock.speed)
    assert seen[-1] == inf
    assert [SPEEDS[0], SPEEDS[-2], SPEEDS[-1]] == [0.25, 64.0, inf]


# -- the recording


def test_the_time_of_a_line() -> None:
    line = Talk().prompt(250, "x")
    assert moment_of(line) == (START + 250) / 1000
    assert moment_of(b'{"t":"2025-11-21T13:00:00.000"}') == START / 1000
    assert moment_of(b'{"t":"2025-11-21T20:00:00.000+07:00"}') == START / 1000
    for nothing in (b"", b"{}", b'{"t":"yesterday"}', b'{"t":"2025-99-21T13:00:00.000"}'):
        assert moment_of(nothing) is None


def taken(recording: Recording) -> list[bytes]:
    chunk = recording.read()
    return [] if chunk is None else [line.data for line in chunk.lines if isinstance(line, Line)]


def test_a_recording_gives_what_is_due(tmp_path: Path, ticker: Ticker) -> None:
    talk = Talk()
    lines = [talk.prompt(ms, str(ms)) for ms in (0, 1000, 5000, 4000, 9000)]
    log = write(tmp_path / "log.jsonl", lines)
    span = span_of(str(log))
    assert span is not None
    assert span == (START / 1000, (START + 9000) / 1000)
    clock = VirtualClock(*span, ticker=ticker)
    recording = Recording(str(log), clock)
    try:
        assert taken(recording) == lines[:1]
        assert taken(recording) == []
        ticker.go(1)
        assert taken(recording) == lines[1:2]
        ticker.go(3.5)
        assert taken(recording) == []  # the older line stays behind the one before it
        ticker.go(0.5)
        assert taken(recording) == lines[2:4]
        assert not recording.ended
        ticker.go(100)
        assert taken(recording) == lines[4:]
        assert taken(recording) == []
        assert recording.ended
    finally:
        recording.close()


def test_lines_without_a_time_come_with_the_one_before(tmp_path: Path, ticker: Ticker) -> None:
    talk = Talk()
    lines = [talk.prompt(0, "a"), b"nonsense", talk.prompt(1000, "b"), b"{}"]
    clock = clock_over([str(write(tmp_path / "log.jsonl", lines))])
    clock = VirtualClock(clock.start, clock.end, ticker=ticker)
    recording = Recording(str(tmp_path / "log.jsonl"), clock)
    assert taken(recording) == lines[:2]
    ticker.go(2)
    assert taken(recording) == lines[2:]
    recording.close()


def test_a_clock_over_several_recordings(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [Talk().prompt(5000, "x")])
    two = write(tmp_path / "two.jsonl", [Talk().prompt(1000, "x"), Talk().prompt(9000, "x")])
    clock = clock_over([str(one), str(two)])
    assert (clock.start, clock.end) == ((START + 1000) / 1000, (START + 9000) / 1000)
    with pytest.raises(NothingToPlay, match=r"none\.jsonl"):
        clock_over([str(one), str(write(tmp_path / "none.jsonl", [b"{}"]))])


# -- the playback


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; it has to be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@asynccontextmanager
async def playing(played: Playback) -> AsyncGenerator[Playback]:
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    await played.start()
    try:
        yield played
    finally:
        await played.stop()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - tasks == set()
    left = [one for one in set(threading.enumerate()) - threads if "asyncio_" not in one.name]
    for thread in left:
        await asyncio.to_thread(thread.join, 5.0)
    assert [thread for thread in left if thread.is_alive()] == []


async def until(condition: Callable[[], object]) -> None:
    """Looks again and again, for half a minute at most."""
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


async def until_lines(played: Playback, count: int) -> None:
    for _ in range(1500):
        if (await played.query(read.counts))["lines"] == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("they never came")


def recording(folder: Path, sessions: int = 20) -> Path:
    lines = [line for n in range(sessions) for line in finished(n, 1000 * n)]
    return write(folder / "sse_lines.jsonl", lines)


SIZE = len(finished(0))


def revision(feed: Feed) -> int:
    return feed.revision


def files_in(folder: Path) -> list[str]:
    return os.listdir(folder)


async def test_at_full_speed_it_equals_an_ingested_store(tmp_path: Path, temporary: Path) -> None:
    log = recording(tmp_path)
    ingest(tmp_path / "ingested", [log])
    async with playing(Playback([str(log)], LIMITS, speed=inf)) as played:
        await until(lambda: played.ended)
        await until_lines(played, 20 * SIZE)
        assert played.position == 1.0
        assert changes(snapshot(played.data_dir), snapshot(tmp_path / "ingested")) == []
        assert played.data_dir.is_relative_to(temporary)
        assert played.transport is played
        assert played.status().title == "replay"
    assert files_in(temporary) == []


async def test_it_never_touches_the_users_store(
    tmp_path: Path, scratch_home: Path, temporary: Path
) -> None:
    log = recording(tmp_path)
    os.chmod(log, 0o400)
    before = os.stat(log)
    async with playing(Playback([str(log)], LIMITS, speed=inf)) as played:
        await until_lines(played, 20 * SIZE)
    after = os.stat(log)
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert files_in(scratch_home / "data") == []
    assert files_in(temporary) == []


async def test_only_what_is_due_is_there(tmp_path: Path, temporary: Path) -> None:
    """Paused at its beginning, then played on."""
    log = write(tmp_path / "log.jsonl", [*asking(Talk()), *finished(2, 3_600_000)])
    async with playing(Playback([str(log)], LIMITS)) as played:
        await until_lines(played, len(asking(Talk())))
        assert (played.playing, played.ended, played.speed) == (True, False, 1.0)
        played.toggle()
        assert not played.playing
        stood = played.now()
        for _ in range(20):
            played.faster()
        await asyncio.sleep(0.2)
        assert played.now() == stood
        assert (await played.query(read.counts))["lines"] == len(asking(Talk()))
        (thread,) = (await played.query(board.load)).threads
        assert thread.verdict(played.now(), LIMITS).word == "ok"
        assert thread.verdict(played.now() + 601, LIMITS).word == "overdue"
        played.toggle()
        await until_lines(played, len(asking(Talk())) + SIZE)
        assert played.now() == (START + 3_601_300) / 1000
    assert files_in(temporary) == []


async def test_it_begins_again(tmp_path: Path, temporary: Path) -> None:
    log = recording(tmp_path)
    async with playing(Playback([str(log)], LIMITS, speed=inf)) as played:
        await until_lines(played, 20 * SIZE)
        first, before = played.data_dir, revision(played)
        played.toggle()
        await played.restart()
        assert revision(played) > before
        assert played.playing or played.ended
        await until_lines(played, 20 * SIZE)
        assert played.data_dir != first
        assert not first.exists()
        assert dumped(played.data_dir)[-1]["duplicates"] == 0
        await asyncio.gather(played.restart(), played.restart())
        await until_lines(played, 20 * SIZE)
    assert files_in(temporary) == []


async def test_a_slow_one_begins_again_at_its_beginning(tmp_path: Path, temporary: Path) -> None:
    log = write(tmp_path / "log.jsonl", [*asking(Talk()), *finished(2, 3_600_000)])
    async with playing(Playback([str(log)], LIMITS, speed=64.0)) as played:
        await until_lines(played, len(asking(Talk())))
        await until(lambda: played.now() > (START + 5000) / 1000)
        stood = played.now()
        await played.restart()
        assert played.now() < stood
        await until_lines(played, len(asking(Talk())))
    assert files_in(temporary) == []


async def test_the_demo_loops(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "LOOP_SECONDS", 0.05)
    log = recording(tmp_path, 2)
    looped = Playback([str(log)], LIMITS, title="demo", speed=inf, loops=True)
    async with playing(looped) as played:
        folders: set[Path] = set()
        for _ in range(1500):
            folders.add(played.data_dir)
            if len(folders) > 2:
                break
            await asyncio.sleep(0.02)
        assert len(folders) > 2
        assert played.status().title == "demo"
    assert files_in(temporary) == []


async def test_stopping_at_the_turn_of_a_loop(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is stopped, nothing goes on behind its back."""
    monkeypatch.setattr(playback, "LOOP_SECONDS", 0.0)
    log = recording(tmp_path, 2)
    for wait in range(8):
        looped = Playback([str(log)], LIMITS, speed=inf, loops=True)
        async with playing(looped):
            first = looped.data_dir
            await until(lambda first=first, looped=looped: looped.data_dir != first)
            await asyncio.sleep(0.21 + wait * 0.003)
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


async def test_nobody_is_looked_for_in_a_replay(tmp_path: Path, temporary: Path) -> None:
    """The pids of a recording say nothing of the processes that run today."""
    log = write(tmp_path / "log.jsonl", asking(Talk(pid=2**22 + 5)))
    async with playing(Playback([str(log)], LIMITS)) as played:
        await until_lines(played, len(asking(Talk())))
        await asyncio.sleep(1.3)
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
