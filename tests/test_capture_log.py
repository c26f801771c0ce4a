"""The log that several taps and hooks append to: whole lines, rotation, trouble with the disk."""

import errno
import json
import os
import stat
import time
from datetime import datetime
from pathlib import Path

import pytest

from agentmon.capture.envelope import envelope
from agentmon.capture.log import CaptureLog, put_aside
from agentmon.sources.identity import is_rotation_of
from tests.scripted import scripted

SID = "5b1d2c3e-0000-4000-8000-000000000001"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "capture" / "sse_lines.jsonl"


def line(number: int, time: float = Clock.now, **more: object) -> bytes:
    payload = {"type": "ping", "number": number, **more}
    return envelope(
        "claude.ping", payload, time=time, flow_id="f", count=number, sid=SID, metadata="{}"
    )


def numbers(*paths: Path | str) -> list[int]:
    """The number of each line; the test fails where a line is torn."""
    return numbers_in(b"".join(Path(path).read_bytes() for path in paths))


def numbers_in(found: bytes) -> list[int]:
    assert found.endswith(b"\n")
    rows = [json.loads(one) for one in found.split(b"\n") if one]
    return [json.loads(row["line"][6:])["payload"]["number"] for row in rows]


def test_file_and_folder_are_the_owners(path: Path) -> None:
    CaptureLog(path).append([line(0), line(1)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert numbers(path) == [0, 1]


def test_two_writers_of_one_file(path: Path) -> None:
    one, other = CaptureLog(path), CaptureLog(path)
    for number in range(0, 100, 2):
        one.append([line(number)])
        other.append([line(number + 1)])
    assert numbers(path) == list(range(100))


def test_processes_write_together_and_rotate(path: Path) -> None:
    code = """
import sys
import time
from datetime import datetime
from agentmon.capture.log import CaptureLog
from tests.test_capture_log import line
log = CaptureLog(sys.argv[1], max_bytes=20_000)
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 300):
    log.append([line(number, text="x" * 300)])
assert log.lost == 0, log.problem
"""
    started = [scripted(code, path, first) for first in (0, 300, 600)]
    ended = [one.end() for one in started]
    assert [one.code for one in ended] == [0, 0, 0], ended
    written = [*put_aside(str(path)), path]
    assert sorted(numbers(*written)) == list(range(900))
    # nobody waits for who is about to rotate: how much more gets into the old file, the system says
    assert len(written) > 1


def test_others_that_fill_each_new_file_cost_no_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_it = CaptureLog._open  # pyright: ignore[reportPrivateUsage]

    def opened(log: CaptureLog) -> None:
        open_it(log)
        with path.open("ab") as other:
            other.write(line(len(put_aside(str(path)))))

    log = CaptureLog(path, max_bytes=100)
    monkeypatch.setattr(CaptureLog, "_open", opened)
    log.append([line(100)])
    assert (log.lost, log.problem) == (0, None)
    assert sorted(numbers(*put_aside(str(path)), path)) == [0, 1, 2, 3, 100]


def test_killed_writer_leaves_one_torn_line_at_most(path: Path) -> None:
    """Linux breaks a write off between two pages where its process is killed."""
    code = """
import itertools, sys
from agentmon.capture.log import CaptureLog
from tests.test_capture_log import line
log = CaptureLog(sys.argv[1])
for number in itertools.count():
    log.append([line(number, text="x" * 3_000)])
    if number == 100:
        print("well begun", flush=True)
"""
    with scripted(code, path) as writer:
        assert writer.line() == b"well begun\n"
        writer.process.kill()
    left = path.read_bytes()
    found = numbers_in(left[: left.rfind(b"\n") + 1])
    assert found == list(range(len(found)))
    CaptureLog(path).append([line(len(found))])
    begun = b"" if left.endswith(b"\n") else b"\n"
    assert path.read_bytes() == left + begun + line(len(found))


def test_deleted_log_is_begun_again(path: Path) -> None:
    log = CaptureLog(path)
    log.append([line(0)])
    path.unlink()
    log.append([line(1)])
    path.parent.joinpath("x").write_text("")
    for one in path.parent.iterdir():
        one.unlink()
    path.parent.rmdir()
    log.append([line(2)])
    assert numbers(path) == [2]
    assert (log.lost, log.problem) == (0, None)


def test_rotation_by_size_under_a_name_that_readers_know(path: Path) -> None:
    log = CaptureLog(path, max_bytes=1_000)
    for number in range(10):
        log.append([line(number)])
    aside = put_aside(str(path))
    assert len(aside) >= 2
    assert all(is_rotation_of(one, str(path)) for one in aside)
    assert numbers(*aside, path) == list(range(10))


def test_rotation_by_age_also_of_a_log_that_was_there(path: Path) -> None:
    clock = Clock()
    CaptureLog(path, clock=clock).append([line(0, clock.now)])
    clock.now += 50
    CaptureLog(path, max_age=60, clock=clock).append([line(1, clock.now)])
    assert put_aside(str(path)) == []
    clock.now += 20
    log = CaptureLog(path, max_age=60, clock=clock)
    log.append([line(2, clock.now)])
    clock.now += 59
    log.append([line(3, clock.now)])
    (aside,) = put_aside(str(path))
    assert (numbers(aside), numbers(path)) == ([0, 1], [2, 3])


def test_clock_that_steps_loses_nothing(path: Path) -> None:
    clock = Clock()
    log = CaptureLog(path, max_age=60, clock=clock)
    for number, step in enumerate((0, 1e9, -2e9, 0, 5, 1e9)):
        clock.now += step
        log.append([line(number, clock.now)])
    assert sorted(numbers(*put_aside(str(path)), path)) == list(range(6))
    assert log.lost == 0


def test_oldest_files_go_when_the_budget_is_spent(path: Path) -> None:
    bystander = path.parent / "sse_lines-notes.jsonl"
    path.parent.mkdir(parents=True)
    bystander.write_text("mine\n")
    log = CaptureLog(path, max_bytes=1_000, keep_bytes=4_000)
    for number in range(60):
        log.append([line(number)])
    aside = put_aside(str(path))
    assert sum(os.path.getsize(one) for one in [*aside, path]) <= 4_000
    kept = numbers(*aside, path)
    assert kept == list(range(kept[0], 60))
    assert 0 < kept[0] < 50
    assert bystander.exists()


def test_torn_end_of_another_does_not_take_a_line_with_it(path: Path) -> None:
    log = CaptureLog(path)
    log.append([line(0)])
    with path.open("ab") as other:
        other.write(b'{"event":"claude.pi')
    log.append([line(1)])
    CaptureLog(path).append([line(2)])
    assert path.read_bytes().split(b"\n") == [
        line(0)[:-1],
        b'{"event":"claude.pi',
        line(1)[:-1],
        line(2)[:-1],
        b"",
    ]


def test_full_disk_is_counted_and_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write, room = CaptureLog(path), os.write, [1_000_000]

    def little_room(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", little_room)
    log.append([line(0)])
    room[0] = len(line(1)) + 10
    log.append([line(1), line(2), line(3)])
    assert log.lost == 2
    log.append([line(4)])
    assert log.lost == 3
    assert log.problem == f"{path}: No space left on device"
    room[0] = 1_000_000
    log.append([line(5)])
    assert log.problem is None
    assert log.lost == 3
    whole = [one for one in path.read_bytes().split(b"\n") if one.endswith(b"}")]
    assert whole == [line(0)[:-1], line(1)[:-1], line(5)[:-1]]


@pytest.mark.parametrize("what", ["folder", "pipe", "file above"])
def test_what_can_not_be_written_to_is_said(path: Path, what: str) -> None:
    path.parent.parent.mkdir()
    if what == "file above":
        path.parent.write_text("")
    else:
        path.parent.mkdir()
        path.mkdir() if what == "folder" else os.mkfifo(path)
    log = CaptureLog(path)
    log.append([line(0), line(1)])
    assert log.lost == 2
    assert log.problem is not None
    assert log.problem.startswith(str(path))
    assert log.find("claude.ping", SID) is None or what == "pipe"


def test_newest_line_of_a_session_is_found(path: Path) -> None:
    log = CaptureLog(path)
    assert log.find("claude.ping", SID) is None
    log.append([line(0), line(1), line(2, text="x" * 100)])
    assert log.find("claude.ping", SID) == line(2, text="x" * 100)[:-1]
    assert log.find("claude.pong", SID) is None
    assert log.find("claude.ping", SID.replace("5", "6")) is None


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("UTC", 1_795_289_640.4, 0),
        ("Asia/Bangkok", 1_795_289_640.4, 7),
        ("Asia/Kathmandu", 1_795_289_640.4, 5.75),
        ("America/New_York", 1_795_289_640.4, -5),
        ("America/New_York", 1_783_000_000.999, -4),
    ],
)
def test_zone_can_be_told_from_a_line(
    zone: str, moment: float, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    line(1, moment - 1)
    row = json.loads(line(0, moment))
    monkeypatch.undo()
    time.tzset()
    stamp = json.loads(row["line"].removeprefix("data: "))["timestamp"]
    assert abs(datetime.fromisoformat(stamp).timestamp() - moment) < 0.0011
    offset = datetime.fromisoformat(row["t"] + "Z") - datetime.fromisoformat(stamp)
    assert offset.total_seconds() == hours * 3600
    assert [*row] == [
        *("event", "t", "line", "round", "metadata", "flow_id", "data_count", "sid"),
    ]
