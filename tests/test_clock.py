"""Virtual clocks."""

from math import inf

import pytest

from agentmon.sources.clock import SPEEDS, VirtualClock


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


def test_lines_lead_a_clock_that_stands(clock: VirtualClock, ticker: Ticker) -> None:
    clock.pause()
    clock.be_led(True, 1050.0)
    assert (clock.horizon, clock.now()) == (1050.0, 1000.0)
    for moment in (1020.0, 1010.0, 1040.0):
        clock.reach(moment)
        ticker.now += 5.0
    assert clock.now() == 1040.0
    clock.be_led(False)
    assert (clock.horizon, clock.now()) == (1040.0, 1040.0)


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_a_long_time_passes_in_a_second(speed: float, clock: VirtualClock, ticker: Ticker) -> None:
    clock.set_speed(speed)
    clock.rush(1060.0, 1.0)
    assert clock.rushes_to == 1060.0
    ticker.now += 0.5 / speed
    assert clock.now() == 1030.0
    ticker.now += 1.5 / speed
    assert clock.now() == 1061.0
    assert clock.rushes_to is None
    clock.rush(1090.0, 1.0)
    clock.calm()
    ticker.now += 2.0 / speed
    assert clock.now() == 1063.0
