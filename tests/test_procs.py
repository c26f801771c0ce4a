"""Gone processes are told only on good evidence; the real process table is never asked, but about
ourselves and a child of our own."""

import os
import subprocess
import sys
from collections.abc import Iterable
from types import SimpleNamespace

import psutil
import pytest

from agentmon.core.health import ProcessFact
from agentmon.sources import procs
from agentmon.sources.procs import (
    NO_PROCESS,
    OTHER_PROCESS,
    SAMPLE_SECONDS,
    SEARCH_SECONDS,
    Asked,
    Doing,
    Processes,
    Seen,
    Wanted,
)


class Table:
    """A process table to play with: pid → birth, None where that is not to be known."""

    def __init__(self, **born: float | None) -> None:
        self.born = {int(pid.removeprefix("p")): birth for pid, birth in born.items()}
        self.ticks: dict[int, int] = {}
        self.below: dict[int, list[int]] = {}
        self.cpu: dict[int, float] = {}
        self.rollouts: dict[str, int] = {}
        self.asked: list[object] = []

    def processes(self) -> Processes:
        return Processes(
            self.born.__contains__,
            lambda pid: self.born.get(pid),
            self.ticks.get,
            self.details,
            self.search,
        )

    def details(self, pids: Iterable[int]) -> dict[int, tuple[Doing, list[Doing]]]:
        pids = list(pids)
        self.asked.append(pids)
        below = {pid: [self.doing(child) for child in self.below.get(pid, [])] for pid in pids}
        return {pid: (self.doing(pid), below[pid]) for pid in pids if pid in self.born}

    def doing(self, pid: int) -> Doing:
        return Doing(pid, f"command {pid}", "sleeping", self.born[pid], self.cpu.get(pid, 0.0))

    def search(self) -> dict[str, int]:
        self.asked.append("search")
        return self.rollouts


def wanted(**seen: float) -> Wanted:
    """Pids and when they surely lived; a session for each."""
    return Wanted({pid: Asked(int(pid.removeprefix("p")), at) for pid, at in seen.items()})


def asked_for(*asked: Asked) -> Wanted:
    return Wanted({f"p{one.pid}": one for one in asked})


def gone(looking: Processes, asked: Wanted, *looks: float) -> list[list[ProcessFact]]:
    return [list(looking.look(asked, now).gone.values()) for now in looks]


def test_a_living_process_is_never_gone() -> None:
    looking = Table(p7=100.0).processes()
    assert gone(looking, wanted(p7=150.0), 200.0, 201.0, 300.0) == [[], [], []]


def test_gone_needs_two_misses_at_a_distance() -> None:
    looking = Table().processes()
    fact = ProcessFact(7, 200.0, NO_PROCESS)
    assert gone(looking, wanted(p7=150.0), 200.0, 200.5, 201.0, 500.0) == [[], [], [fact], [fact]]


def test_when_it_was_last_alive() -> None:
    table = Table(p7=100.0)
    looking = table.processes()
    assert gone(looking, wanted(p7=150.0), 198.0, 199.0) == [[], []]
    del table.born[7]
    fact = ProcessFact(7, 200.0, NO_PROCESS, 199.0)
    assert gone(looking, wanted(p7=150.0), 200.0, 201.0) == [[], [fact]]


def test_one_miss_between_two_hits_is_forgotten() -> None:
    table = Table()
    looking = table.processes()
    asked = wanted(p7=150.0)
    looking.look(asked, 200.0)
    table.born[7] = 100.0
    assert gone(looking, asked, 210.0) == [[]]
    del table.born[7]
    fact = ProcessFact(7, 220.0, NO_PROCESS, 210.0)
    assert gone(looking, asked, 220.0, 221.0) == [[], [fact]]


def test_a_reused_pid_is_gone_and_the_tolerance_holds() -> None:
    looking = Table(p7=160.0, p8=151.9).processes()
    fact = ProcessFact(7, 200.0, OTHER_PROCESS)
    assert gone(looking, wanted(p7=150.0, p8=150.0), 200.0, 202.0) == [[], [fact]]
    assert gone(looking, wanted(p7=165.0), 204.0) == [[]]


def test_start_ticks_are_exact() -> None:
    """Where a registry told them, the clock does not matter."""
    table = Table(p7=160.0, p8=100.0, p9=160.0)
    table.ticks = {7: 77, 8: 78}
    asked = asked_for(Asked(7, 150.0, 77), Asked(8, 150.0, 1), Asked(9, 150.0, 79))
    found = gone(table.processes(), asked, 200.0, 202.0)[1]
    assert [(fact.pid, fact.reason) for fact in found] == [(8, OTHER_PROCESS), (9, OTHER_PROCESS)]


def test_a_pid_taken_by_another_process_stays_gone() -> None:
    table = Table()
    looking = table.processes()
    looking.look(wanted(p7=150.0), 200.0)
    table.born[7] = 201.0
    ((fact,),) = gone(looking, wanted(p7=150.0), 202.0)
    assert (fact.gone_since, fact.pid) == (200.0, 7)


def test_two_sessions_of_one_pid_are_told_apart() -> None:
    """An old one whose process was killed, and one whose process has the same pid by chance."""
    table = Table(p7=160.0)
    asked = Wanted({"old": Asked(7, 150.0), "new": Asked(7, 190.0)})
    looking = table.processes()
    looking.look(asked, 200.0)
    assert looking.look(asked, 202.0).gone == {"old": ProcessFact(7, 200.0, OTHER_PROCESS)}


def test_a_session_that_goes_on_in_another_process() -> None:
    looking = Table(p8=160.0).processes()
    assert gone(looking, Wanted({"one": Asked(7, 150.0)}), 200.0) == [[]]
    assert gone(looking, Wanted({"one": Asked(8, 170.0)}), 201.0, 202.0) == [[], []]
    looking = Table().processes()
    assert gone(looking, Wanted({"one": Asked(7, 150.0)}), 200.0) == [[]]
    assert gone(looking, Wanted({"one": Asked(8, 170.0)}), 201.0) == [[]]


def test_an_unknown_birth_and_impossible_pids_say_nothing() -> None:
    looking = Table(p7=None).processes()
    asked = asked_for(Asked(7, 150.0), Asked(0, 1.0), Asked(-4, 1.0))
    assert gone(looking, asked, 200.0, 202.0) == [[], []]
    assert not looking.suspects


def test_pids_not_asked_for_are_forgotten() -> None:
    looking = Table().processes()
    looking.look(wanted(p7=1.0), 200.0)
    assert looking.suspects
    looking.look(Wanted(), 210.0)
    assert gone(looking, wanted(p7=1.0), 220.0) == [[]]


def test_a_clock_set_back_does_not_make_a_process_gone_at_once() -> None:
    looking = Table().processes()
    fact = ProcessFact(7, 150.0, NO_PROCESS)
    assert gone(looking, wanted(p7=1.0), 200.0, 150.0, 151.0) == [[], [], [fact]]


# -- what processes do


def sampled(seen: Seen, sid: str = "p7") -> list[tuple[int, float | None]]:
    details = seen.details.get(sid)
    return [(doing.pid, doing.cpu_percent) for doing in details.children] if details else []


def test_children_are_looked_at_now_and_then() -> None:
    table = Table(p7=100.0, p8=190.0)
    table.below, table.cpu = {7: [8]}, {8: 5.0}
    looking = table.processes()
    asked = asked_for(Asked(7, 200.0, details_from=210.0))
    assert looking.look(asked, 209.0).details == {}
    assert sampled(looking.look(asked, 210.0)) == [(8, 25.0)]  # 5 s of 20
    table.cpu[8] = 5.0
    assert sampled(looking.look(asked, 211.0)) == [(8, 25.0)]
    assert sampled(looking.look(asked, 210.0 + SAMPLE_SECONDS)) == [(8, 0.0)]  # since then
    assert table.asked == [[7], [7]]
    assert looking.look(wanted(p7=200.0), 300.0).details != {}  # what was seen last
    assert looking.look(Wanted(), 301.0).details == {}


def test_what_a_killed_agent_left_running() -> None:
    table = Table(p7=100.0, p8=190.0, p9=191.0, p10=192.0)
    table.below = {7: [8, 9, 10]}
    looking = table.processes()
    asked = asked_for(Asked(7, 200.0, details_from=200.0))
    looking.look(asked, 210.0)
    del table.born[7], table.born[9]
    table.born[10] = 211.0  # another one by now
    assert [pid for pid, _ in sampled(looking.look(asked, 212.0))] == [8]
    assert table.asked == [[7]]


def test_a_process_that_ends_while_it_is_looked_at() -> None:
    table = Table(p7=100.0)
    looking = table.processes()
    looking.look(wanted(p7=200.0), 209.0)

    def vanished(pids: Iterable[int]) -> dict[int, tuple[Doing, list[Doing]]]:
        return {}

    broken = Processes(table.born.__contains__, lambda _pid: 100.0, details=vanished)
    assert broken.look(asked_for(Asked(7, 200.0, details_from=0.0)), 210.0).details == {}


# -- sessions without a pid


def test_nameless_sessions_are_searched_for_rarely() -> None:
    table = Table()
    table.rollouts = {"one": 11, "three": 13}
    looking = table.processes()
    asked = Wanted(nameless={"one": 1000.0, "two": 1000.0})
    assert looking.look(asked, 1001.0).found == {"one": 11}
    assert looking.look(asked, 1002.0).found == {}
    assert looking.look(asked, 1001.0 + SEARCH_SECONDS).found == {"one": 11}
    assert looking.look(asked, 1000.0 + 601.0).found == {}  # nothing was heard for long
    assert looking.look(Wanted(), 2000.0).found == {}
    assert table.asked == ["search", "search"]


UUID = "019c0000-0000-7000-8000-00000000000{}"


def codex(name: str, pid: int, *paths: str) -> SimpleNamespace:
    def open_files() -> list[SimpleNamespace]:
        if not paths:
            raise psutil.AccessDenied(pid)
        return [SimpleNamespace(path=path) for path in paths]

    return SimpleNamespace(info={"name": name}, pid=pid, open_files=open_files)


def test_open_files_tell_whose_rollout_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (UUID.format(number) for number in (1, 2, 3))
    rollout = f"/h/.codex/sessions/2026/11/21/rollout-2026-11-21T19-38-43-{one}.jsonl"
    table = [
        codex("codex", 11, "/dev/null", rollout),
        codex("codex-code-mode-host", 12, rollout),
        codex("codex", 13, f"/h/.codex/thread-writer-locks/{two}.lock"),
        codex("node", 14, f"/h/.codex/sessions/rollout-x-{three}.jsonl"),
        codex("codex", 15),
        codex("codex", 16, f"/p/{three}.jsonl"),
    ]

    def process_iter(_names: list[str]) -> list[SimpleNamespace]:
        return table

    monkeypatch.setattr(psutil, "process_iter", process_iter)
    assert procs.rollouts() == {one: 11, two: 13}


# -- what psutil says


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
    assert procs.start_ticks(10**30) is None
    assert procs.look_into([10**30]) == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc")
def test_start_ticks_of_a_process() -> None:
    ticks = procs.start_ticks(os.getpid())
    born = procs.born_at(os.getpid())
    assert ticks is not None
    assert born is not None
    assert abs(psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK") - born) < 2


def test_a_child_of_our_own() -> None:
    words = [sys.executable, "-c", "import time; time.sleep(60)", "x" * 300]
    with subprocess.Popen(words) as child:
        try:
            doing, children = procs.look_into([os.getpid()])[os.getpid()]
            assert doing.pid == os.getpid()
            assert child.pid in [one.pid for one in children]
            (mine, below) = procs.look_into([child.pid])[child.pid]
            assert below == []
            assert len(mine.command) == procs.COMMAND_LENGTH
            assert mine.started is not None
        finally:
            child.kill()
    assert procs.look_into([child.pid]) == {}


def test_own_usage() -> None:
    memory, busy = Processes().self_usage()
    assert memory > 1
    assert busy >= 0
