"""Gone processes are told only on good evidence; the real process table is never asked."""

from pathlib import Path

import psutil
import pytest

from agentmon.core.health import ProcessFact
from agentmon.sources import discover, procs
from agentmon.sources.discover import Discovery
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


def look(home: Path, environ: dict[str, str] | None = None, *paths: str) -> Discovery:
    return discover.discover(environ or {}, home, home / "state/agentmon", paths)


def log(*parts: Path | str) -> Path:
    path = Path(*parts) / discover.LOG_NAME
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_nothing_found_tells_every_place(tmp_path: Path) -> None:
    found = look(tmp_path, {"CLAUDE_CODE_LOG_DIR": "/nowhere/logs"}, "~/mine")
    assert found.found == ()
    assert [place.line for place in found.looked_for] == [
        "configured path: ~/mine (not there)",
        "log in $CLAUDE_CODE_LOG_DIR: /nowhere/logs/sse_lines.jsonl (not there)",
        "capture by agentmon: ~/state/agentmon/capture/sse_lines.jsonl (not there)",
        "centralized logs: ~/centralized-logs/*/sse_lines.jsonl (not there)",
    ]
    assert found.missing == (
        tmp_path / "mine",
        Path("/nowhere/logs/sse_lines.jsonl"),
        tmp_path / "state/agentmon/capture/sse_lines.jsonl",
    )


def test_every_place_is_found(tmp_path: Path) -> None:
    chosen = log(tmp_path, "chosen")
    capture = log(tmp_path, "state/agentmon/capture")
    claude, other = (log(tmp_path, "centralized-logs", name) for name in ("claude", "other"))
    (tmp_path / "centralized-logs/empty").mkdir()
    (tmp_path / "folder").mkdir()
    found = look(tmp_path, {"CLAUDE_CODE_LOG_DIR": str(chosen.parent)}, "~/folder")
    assert found.found == (tmp_path / "folder", chosen, capture, claude, other)
    assert found.missing == ()
    assert found.watched == (tmp_path / "centralized-logs",)
    assert all(place.is_found for place in found.looked_for)


def test_a_file_with_two_names_is_found_once(tmp_path: Path) -> None:
    real = log(tmp_path, "centralized-logs/claude")
    (tmp_path / "link.jsonl").symlink_to(real)
    found = look(tmp_path, {"CLAUDE_CODE_LOG_DIR": str(real.parent)}, "~/link.jsonl")
    assert found.found == (tmp_path / "link.jsonl",)


def test_odd_paths_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = look(tmp_path, {}, "~/loop", "a\0b", "x" * 5_000)
    assert found.found == ()
    assert len(found.missing) == 4
