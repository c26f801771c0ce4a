"""Gone processes are told only on good evidence; the real process table is never asked."""

import psutil
import pytest

from agentmon.core.health import ProcessFact
from agentmon.sources import procs
from agentmon.sources.procs import NO_PROCESS, OTHER_PROCESS, Processes


class Table:
    """A process table to play with: pid → birth, None where that is not to be known."""

    def __init__(self, **born: float | None) -> None:
        self.born = {int(pid.removeprefix("p")): birth for pid, birth in born.items()}

    def processes(self) -> Processes:
        return Processes(self.born.__contains__, self.born.__getitem__)


def test_a_living_process_is_never_gone() -> None:
    looking = Table(p7=100.0).processes()
    assert [looking.look({7: 150.0}, now) for now in (200.0, 201.0, 300.0)] == [[], [], []]


def test_gone_needs_two_misses_at_a_distance() -> None:
    looking = Table().processes()
    assert looking.look({7: 150.0}, 200.0) == []
    assert looking.look({7: 150.0}, 200.5) == []
    gone = [ProcessFact(7, 200.0, NO_PROCESS)]
    assert looking.look({7: 150.0}, 201.0) == gone
    assert looking.look({7: 150.0}, 500.0) == gone


def test_one_miss_between_two_hits_is_forgotten() -> None:
    table = Table()
    looking = table.processes()
    looking.look({7: 150.0}, 200.0)
    table.born[7] = 100.0
    assert looking.look({7: 150.0}, 210.0) == []
    del table.born[7]
    assert looking.look({7: 150.0}, 220.0) == []
    assert looking.look({7: 150.0}, 221.0) == [ProcessFact(7, 220.0, NO_PROCESS)]


def test_a_reused_pid_is_gone_and_the_tolerance_holds() -> None:
    looking = Table(p7=160.0, p8=151.9).processes()
    asked = {7: 150.0, 8: 150.0}
    looking.look(asked, 200.0)
    assert looking.look(asked, 202.0) == [ProcessFact(7, 200.0, OTHER_PROCESS)]
    assert looking.look({7: 165.0}, 204.0) == []


def test_a_pid_taken_by_another_process_stays_gone() -> None:
    table = Table()
    looking = table.processes()
    looking.look({7: 150.0}, 200.0)
    table.born[7] = 201.0
    assert looking.look({7: 150.0}, 202.0) == [ProcessFact(7, 200.0, OTHER_PROCESS)]


def test_an_unknown_birth_and_impossible_pids_say_nothing() -> None:
    looking = Table(p7=None).processes()
    asked = {7: 150.0, 0: 1.0, -4: 1.0}
    looking.look(asked, 200.0)
    assert looking.look(asked, 202.0) == []


def test_pids_not_asked_for_are_forgotten() -> None:
    looking = Table().processes()
    looking.look({7: 1.0}, 200.0)
    looking.look({}, 210.0)
    assert looking.look({7: 1.0}, 220.0) == []


def test_a_clock_set_back_does_not_make_a_process_gone_at_once() -> None:
    looking = Table().processes()
    assert looking.look({7: 1.0}, 200.0) == []
    assert looking.look({7: 1.0}, 150.0) == []
    assert looking.look({7: 1.0}, 151.0) == [ProcessFact(7, 150.0, NO_PROCESS)]


class FakeProcess:
    """Stands for psutil.Process: pid 1 runs, 2 is a zombie, 3 is not to be read, others are not."""

    def __init__(self, pid: int) -> None:
        if pid > 3:
            raise psutil.NoSuchProcess(pid)
        self.pid = pid

    def status(self) -> str:
        if self.pid == 3:
            raise psutil.AccessDenied(self.pid)
        return psutil.STATUS_ZOMBIE if self.pid == 2 else psutil.STATUS_SLEEPING

    def create_time(self) -> float:
        if self.pid == 3:
            raise psutil.AccessDenied(self.pid)
        return 1_000.0


def test_what_psutil_says_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "Process", FakeProcess)
    assert [procs.is_running(pid) for pid in (1, 2, 3, 4)] == [True, False, True, False]
    assert [procs.born_at(pid) for pid in (1, 3, 4)] == [1_000.0, None, None]


def test_a_pid_beyond_every_system_is_no_process() -> None:
    assert procs.is_running(10**30) is False
    assert procs.born_at(10**30) is None


def test_own_usage() -> None:
    memory, busy = Processes().self_usage()
    assert memory > 1
    assert busy >= 0
