"""Virtual clocks, and recordings that give their lines as such a clock goes."""

from math import inf
from pathlib import Path

import pytest

from agentmon.engine.playback import NothingToPlay, clock_over
from agentmon.sources.clock import SPEEDS, VirtualClock
from agentmon.sources.lines import Line
from agentmon.sources.recording import Recording, moment_of, span_of
from tests.feeds import write
from tests.wire import START, Talk


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
