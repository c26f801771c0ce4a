"""Following a path: whatever happens to the file, every line comes, and once where that can be."""

import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentmon.sources.follow import Chunk, FollowedFile, Register, SourceState, resume
from agentmon.sources.identity import is_rotation_of, looks_binary
from agentmon.sources.lines import HugeLine, Line
from agentmon.sources.paths import expand
from agentmon.sources.pipe import PipeSource, open_source


class Store:
    """What an engine keeps: the lines it was given, and the committed state of every file."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.states: dict[str, SourceState] = {}

    def take(self, chunk: Chunk) -> None:
        for line in chunk.lines:
            self.lines.append(line.data if isinstance(line, Line) else b"".join(line.pieces()))
        self.states[chunk.state.key] = chunk.state

    def drain(self, source: FollowedFile | PipeSource, max_bytes: int = 1 << 20) -> list[bytes]:
        """Read until nothing is new; the lines that came."""
        known = len(self.lines)
        while (chunk := source.read(max_bytes)) is not None:
            self.take(chunk)
        return self.lines[known:]

    def source(self, path: Path) -> FollowedFile:
        return resume(str(path), list(self.states.values()))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sse_lines.jsonl"


@pytest.fixture
def store() -> Store:
    return Store()


def row(number: int, pad: int = 20) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * pad)


def add(path: Path, *rows: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"\n".join(rows) + end)


# One file that grows


def test_lines_come_as_they_are_completed(log: Path, store: Store) -> None:
    source = FollowedFile(str(log))
    assert source.read() is None
    assert source.problem is not None
    assert source.problem.message == f"{log} does not exist; waiting for it to appear"
    add(log, row(1), row(2)[:9], end=b"")
    assert store.drain(source) == [row(1)]
    assert source.problem is None
    assert source.torn == row(2)[:9]
    add(log, row(2)[9:])
    add(log, row(3))
    assert store.drain(source) == [row(2), row(3)]


def test_state_describes_what_was_completed(log: Path, store: Store) -> None:
    add(log, row(1, 5000), row(2))
    add(log, b"torn", end=b"")
    store.drain(FollowedFile(str(log)))
    (state,) = store.states.values()
    info = log.stat()
    data = log.read_bytes()
    assert state.identity == (info.st_dev, info.st_ino)
    assert state.position == len(data) - 4
    assert state.tail_bytes == 4
    assert state.anchor == data[: state.position][-64:]
    assert state.head_size == 4096
    assert len(state.head_hash) == 16
    assert state.generation == 0


def test_growth_while_reading_in_small_steps(log: Path, store: Store) -> None:
    source = FollowedFile(str(log))
    for number in range(60):
        add(log, row(number, number))
        chunk = source.read(17)
        if chunk is not None:
            store.take(chunk)
    behind = source.size_behind
    assert behind == log.stat().st_size - sum(len(line) + 1 for line in store.lines) - len(
        source.torn
    )
    store.drain(source, 17)
    assert store.lines == [row(number, number) for number in range(60)]
    assert source.size_behind == 0


def test_restart_goes_on_from_the_committed_position(log: Path, store: Store) -> None:
    add(log, row(1), row(2))
    add(log, row(3)[:5], end=b"")
    store.drain(store.source(log))
    add(log, row(3)[5:])
    assert store.source(log).size_behind == len(row(3)) + 1
    assert store.drain(store.source(log)) == [row(3)]
    assert store.drain(store.source(log)) == []


def test_touching_a_file_gives_nothing(log: Path, store: Store) -> None:
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    os.utime(log, (1, 1))
    assert source.read() is None


def test_a_huge_line_is_readable_after_the_file_lost_its_name(log: Path) -> None:
    long = b'{"line":"' + b"y" * (9 << 20) + b'"}'
    add(log, row(1), long, row(2))
    source = FollowedFile(str(log))
    lines: list[Line | HugeLine] = []
    while (chunk := source.read()) is not None:
        lines += chunk.lines
    log.unlink()
    source.close()
    first, huge, last = lines
    assert isinstance(huge, HugeLine)
    assert b"".join(huge.pieces()) == long
    assert huge.offset == len(row(1)) + 1
    assert huge.head == long[:65536]
    assert huge.tail == long[-65536:]
    assert isinstance(first, Line)
    assert isinstance(last, Line)


# Rewritten in place


def test_truncated_in_place_starts_again(log: Path, store: Store) -> None:
    add(log, row(1), row(2))
    source = FollowedFile(str(log))
    store.drain(source)
    os.truncate(log, 0)
    add(log, row(3))
    assert store.drain(source) == [row(3)]
    (state,) = store.states.values()
    assert state.generation == 1
    assert state.position == len(row(3)) + 1


def test_truncation_alone_is_told_so_that_it_can_be_stored(log: Path, store: Store) -> None:
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    os.truncate(log, 0)
    chunk = source.read()
    assert chunk is not None
    assert (chunk.lines, chunk.size) == ([], 0)
    assert (chunk.state.position, chunk.state.generation) == (0, 1)
    assert source.read() is None


def test_rewritten_longer_than_before_is_noticed_by_its_anchor(log: Path, store: Store) -> None:
    add(log, *(row(number) for number in range(9)))
    source = FollowedFile(str(log))
    store.drain(source)
    new = [row(number) for number in range(100, 140)]
    with log.open("rb+") as file:
        file.write(b"\n".join(new) + b"\n")
    assert store.drain(source) == new


def test_rewritten_at_the_same_size_is_noticed(log: Path, store: Store) -> None:
    add(log, row(10), row(11))
    source = FollowedFile(str(log))
    store.drain(source)
    log.write_bytes(row(20) + b"\n" + row(21) + b"\n")
    os.utime(log, ns=(1, 1))
    assert store.drain(source) == [row(20), row(21)]


def test_another_head_under_the_same_anchor_is_noticed(log: Path, store: Store) -> None:
    add(log, row(1), row(2, 200))
    source = FollowedFile(str(log))
    store.drain(source)
    with log.open("rb+") as file:
        file.write(row(7))
    add(log, row(3))
    assert store.drain(source) == [row(7), row(2, 200), row(3)]


def test_a_torn_tail_that_is_cut_away_costs_no_restart(log: Path, store: Store) -> None:
    add(log, row(1))
    add(log, row(2)[:12], end=b"")
    source = FollowedFile(str(log))
    store.drain(source)
    os.truncate(log, len(row(1)) + 1 + 4)
    os.truncate(log, len(row(1)) + 1)
    add(log, row(3, 90))
    assert store.drain(source) == [row(3, 90)]
    (state,) = store.states.values()
    assert state.generation == 0


def test_rewritten_while_nobody_looked(log: Path, store: Store) -> None:
    add(log, row(1), row(2))
    store.drain(store.source(log))
    with log.open("rb+") as file:
        file.write(row(5, 100) + b"\n")
    assert store.drain(store.source(log)) == [row(5, 100)]
    (state,) = store.states.values()
    assert state.generation == 1


def test_copytruncate_loses_nothing(log: Path, store: Store) -> None:
    add(log, row(1), row(2))
    source = FollowedFile(str(log))
    store.drain(source)
    add(log, row(3), row(4))
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    add(log, row(5))
    assert sorted(store.drain(source)) == [row(3), row(4), row(5)]


def test_a_folder_full_of_strangers_is_left_alone(log: Path, store: Store) -> None:
    add(log, row(1), row(2))
    source = FollowedFile(str(log))
    store.drain(source)
    add(log.with_name("sse_lines.jsonl.old"), row(8), row(9, 500))
    add(log.with_name("other.jsonl"), row(8), row(9, 500))
    os.truncate(log, 0)
    add(log, row(3))
    assert store.drain(source) == [row(3)]


# Renamed, replaced, deleted


def test_rotation_finishes_the_old_file_first(log: Path, store: Store) -> None:
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    add(log, row(2))
    log.rename(f"{log}.1")
    add(log, row(3))
    assert store.drain(source) == [row(2), row(3)]
    assert len(store.states) == 2


def test_a_writer_that_kept_the_old_file_is_heard(log: Path) -> None:
    clock, store = Clock(), Store()
    source = FollowedFile(str(log), linger=10, clock=clock)
    add(log, row(1))
    store.drain(source)
    log.rename(f"{log}.1")
    add(log, row(2))
    store.drain(source)
    clock.now = 9
    add(Path(f"{log}.1"), row(3))
    assert store.drain(source) == [row(3)]
    clock.now = 18
    add(Path(f"{log}.1"), row(4))
    assert store.drain(source) == [row(4)]
    clock.now = 28
    assert store.drain(source) == []
    add(Path(f"{log}.1"), row(5))
    add(log, row(6))
    assert store.drain(source) == [row(6)]


def test_several_rotations_between_two_looks(log: Path, store: Store) -> None:
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    add(log, row(2))
    log.rename(f"{log}.2")
    add(log, row(3))
    log.rename(f"{log}.1")
    add(log, row(4))
    assert sorted(store.drain(source)) == [row(2), row(3), row(4)]


def test_deleted_file_is_read_on_and_its_return_noticed(log: Path, store: Store) -> None:
    source = FollowedFile(str(log))
    with log.open("ab", buffering=0) as writer:
        writer.write(row(1) + b"\n")
        store.drain(source)
        log.unlink()
        writer.write(row(2) + b"\n")
        assert store.drain(source) == [row(2)]
        assert source.problem is not None
        assert "was deleted" in source.problem.message
        add(log, row(3))
        writer.write(row(4) + b"\n")
        assert store.drain(source) == [row(4), row(3)]
        assert source.problem is None


def test_renamed_away_and_back(log: Path, store: Store) -> None:
    away = log.with_name("away")
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    log.rename(away)
    add(log, row(2))
    assert store.drain(source) == [row(2)]
    away.replace(log)
    add(log, row(3))
    assert store.drain(source) == [row(3)]


def test_rotation_while_down(log: Path, store: Store) -> None:
    add(log, row(1))
    store.drain(store.source(log))
    add(log, row(2))
    log.rename(log.with_name("anything"))
    add(log, row(3))
    assert store.drain(store.source(log)) == [row(2), row(3)]
    assert store.drain(store.source(log)) == []


def test_two_rotations_while_down(log: Path, store: Store) -> None:
    add(log, row(1))
    store.drain(store.source(log))
    add(log, row(2))
    log.rename(f"{log}.2")
    os.utime(f"{log}.2", ns=(1000, 1000))
    add(log, row(3))
    log.rename(f"{log}.1")
    assert store.drain(store.source(log)) == [row(2), row(3)]
    add(log, row(4))
    assert store.drain(store.source(log)) == [row(4)]


def test_copytruncate_while_down(log: Path, store: Store) -> None:
    add(log, row(1), row(2))
    store.drain(store.source(log))
    add(log, row(3))
    shutil.copy(log, f"{log}.1")
    log.write_bytes(row(4) + b"\n")
    assert sorted(store.drain(store.source(log))) == [row(3), row(4)]


def test_a_renamed_file_given_by_its_new_name_goes_on(log: Path, store: Store) -> None:
    add(log, row(1))
    store.drain(store.source(log))
    other = log.rename(log.with_name("other.jsonl"))
    add(other, row(2))
    assert store.drain(store.source(other)) == [row(2)]
    (state,) = store.states.values()
    assert state.path == str(other)


def test_a_copy_is_a_source_of_its_own(log: Path, store: Store) -> None:
    add(log, row(1))
    store.drain(store.source(log))
    copy = log.with_name("copy.jsonl")
    shutil.copy(log, copy)
    assert store.drain(store.source(copy)) == [row(1)]
    assert len(store.states) == 2


def test_another_device_number_after_a_reboot(log: Path, store: Store) -> None:
    add(log, row(1))
    store.drain(store.source(log))
    (state,) = store.states.values()
    moved = replace(state, dev=state.dev + 1)
    add(log, row(2))
    assert store.drain(resume(str(log), [moved])) == [row(2)]


def test_a_symlink_to_a_followed_file_gives_nothing_twice(log: Path, store: Store) -> None:
    add(log, row(1))
    link = log.with_name("link")
    link.symlink_to(log)
    register = Register()
    first, second = FollowedFile(str(log), register), FollowedFile(str(link), register)
    assert store.drain(first) == [row(1)]
    assert store.drain(second) == []
    other = log.with_name("other")
    add(other, row(2))
    link.unlink()
    link.symlink_to(other)
    assert store.drain(second) == [row(2)]


def test_a_rotated_file_that_is_given_too_is_read_once(log: Path, store: Store) -> None:
    register = Register()
    old = log.with_name("sse_lines-1.jsonl")
    first, second = FollowedFile(str(log), register), FollowedFile(str(old), register)
    add(log, row(1))
    store.drain(first)
    add(log, row(2))
    log.rename(old)
    add(log, row(3))
    assert store.drain(second) == []
    assert store.drain(first) == [row(2), row(3)]
    first.close()
    add(old, row(4))
    assert store.drain(second) == [row(4)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl.1", True),
        ("a.jsonl-20251121", True),
        ("a.jsonl~", True),
        ("a.1.jsonl", True),
        ("a-2025-11-21.jsonl", True),
        ("a-codex.jsonl", False),
        ("b.jsonl", False),
        ("a.jsonlx", False),
    ],
)
def test_names_of_rotated_files(name: str, expected: bool) -> None:
    assert is_rotation_of(f"/x/{name}", "/x/a.jsonl") is expected


# Any history

STEPS = ["add", "torn", "read", "stop", "rotate", "copy", "truncate", "delete"]
histories = st.lists(st.sampled_from([*STEPS, "add", "add", "read"]), max_size=25)


class History:
    """Writes numbered lines to one path and lets a follower look in between."""

    def __init__(self, folder: Path, steps: list[str], read_size: int) -> None:
        self.log = folder / "log"
        self.store = Store()
        self.written: list[bytes] = []
        self.torn = b""
        self.copies = 0
        self.read_size = read_size
        self.source = self.store.source(self.log)
        for step in steps:
            getattr(self, f"do_{step}")()
        self.do_read()

    def do_add(self) -> None:
        self.written.append(row(len(self.written), len(self.written) * 7 % 90))
        add(self.log, self.written[-1].removeprefix(self.torn))
        self.torn = b""

    def do_torn(self) -> None:
        if not self.torn:
            self.torn = row(len(self.written), len(self.written) * 7 % 90)[:11]
            add(self.log, self.torn, end=b"")

    def do_read(self) -> None:
        self.store.drain(self.source, self.read_size)

    def do_stop(self) -> None:
        """Nobody looks until the next read."""
        self.do_read()
        self.source.close()
        self.source = self.store.source(self.log)

    def do_rotate(self) -> None:
        if self.log.exists():
            self._finish_line()
            self.copies += 1
            self.log.rename(f"{self.log}.{self.copies}")

    def do_copy(self) -> None:
        if self.log.exists():
            self._finish_line()
            # A copy is recognised by what was read of the original: it must have been begun.
            if self.source.state is None or self.source.state.position == 0:
                self.do_read()
            self.copies += 1
            shutil.copy(self.log, f"{self.log}.{self.copies}")
            os.truncate(self.log, 0)
            self.do_read()

    def do_truncate(self) -> None:
        if self.log.exists():
            self._finish_line()
            self.do_read()
            os.truncate(self.log, 0)
            self.do_read()

    def do_delete(self) -> None:
        self._finish_line()
        self.do_read()
        self.log.unlink(missing_ok=True)
        self.do_read()

    def _finish_line(self) -> None:
        if self.torn:
            self.do_add()


@settings(max_examples=60, deadline=None)
@given(steps=histories, read_size=st.sampled_from([7, 64, 1 << 20]))
def test_no_history_loses_a_line(steps: list[str], read_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), ["add", "read", *steps], read_size)
        found = Counter(history.store.lines)
        assert set(found) == set(history.written)
        if not {"copy", "truncate"} & set(steps):
            assert set(found.values()) <= {1}


# Pipes


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_outlives_its_writers(fifo: Path, store: Store) -> None:
    source = PipeSource(str(fifo))
    assert source.read() is None
    for number in range(3):
        add(fifo, row(number), row(number)[:4], end=b"")
        assert store.drain(source) == ([row(number)] if number == 0 else store.lines[-1:])
        assert not source.ended
    assert store.lines[1:] == [row(0)[:4] + row(1), row(1)[:4] + row(2)]
    (state,) = store.states.values()
    assert state.position == sum(len(line) + 1 for line in store.lines)
    assert state.tail_bytes == 4
    assert state.anchor == (b"\n".join(store.lines) + b"\n")[-64:]
    source.close()


def test_a_fifo_ends_with_its_writer_unless_followed(fifo: Path, store: Store) -> None:
    source = PipeSource(str(fifo), follow=False)
    assert store.drain(source) == []
    assert not source.ended
    writer = os.open(fifo, os.O_WRONLY)
    assert store.drain(source) == []
    assert not source.ended
    os.write(writer, row(1) + b"\nrest")
    os.close(writer)
    assert store.drain(source) == [row(1)]
    assert source.ended
    assert source.torn == b"rest"


def test_the_next_run_of_a_pipe_is_a_new_generation(fifo: Path) -> None:
    register = Register([SourceState(str(fifo), "pipe", generation=4, position=100)])
    source = open_source(str(fifo), register)
    assert isinstance(source, PipeSource)
    assert (source.state.generation, source.state.position) == (5, 0)
    source.close()


def test_a_huge_line_from_a_pipe_is_spooled_and_leaves_no_file(fifo: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    source = PipeSource(str(fifo), spool=str(spool))
    source.fileno()
    long = b"".join(b"%07d," % number for number in range(1_200_000))
    lines: list[Line | HugeLine] = []
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    rest = b"first\n" + long + b"\nlast\n"
    while rest:
        rest = rest[os.write(writer, rest[:65536]) :]
        chunk = source.read()
        lines += chunk.lines if chunk else []
        assert list(spool.iterdir()) == []
    os.close(writer)
    first, huge, last = lines
    assert isinstance(huge, HugeLine)
    assert b"".join(huge.pieces()) == long
    assert isinstance(first, Line)
    assert isinstance(last, Line)
    source.close()


def test_a_spool_that_cannot_be_written_is_a_problem_and_no_loss_of_the_rest(
    fifo: Path, tmp_path: Path
) -> None:
    source = PipeSource(str(fifo), spool=str(tmp_path / "absent"))
    source.fileno()
    problems: list[str] = []
    lines: list[Line | HugeLine] = []
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    rest = b"z" * (9 << 20) + b"\nlast\n"
    while rest:
        rest = rest[os.write(writer, rest[:65536]) :]
        chunk = source.read()
        lines += chunk.lines if chunk else []
        problems += [source.problem.message] if source.problem else []
    os.close(writer)
    source.close()
    huge, last = lines
    assert isinstance(huge, HugeLine)
    assert list(huge.pieces()) == []
    assert isinstance(last, Line)
    assert last.data == b"last"
    assert len(problems) == 1
    assert "no such file" in problems[0]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    saved = os.dup(0)
    yield
    os.dup2(saved, 0)
    os.close(saved)


@pytest.mark.usefixtures("stdin")
def test_a_pipe_on_standard_input_ends_even_when_followed(store: Store) -> None:
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    os.close(reader)
    source = open_source("-", Register())
    assert isinstance(source, PipeSource)
    os.write(writer, row(1) + b"\n")
    assert store.drain(source) == [row(1)]
    assert not source.ended
    os.close(writer)
    assert store.drain(source) == []
    assert source.ended
    os.fstat(0)


@pytest.mark.usefixtures("stdin")
def test_a_file_on_standard_input_is_that_file(log: Path, store: Store) -> None:
    add(log, row(1))
    with log.open("rb") as file:
        os.dup2(file.fileno(), 0)
    source = open_source("-", Register())
    assert isinstance(source, FollowedFile)
    assert source.path == str(log)
    assert store.drain(source) == [row(1)]


@pytest.mark.usefixtures("stdin")
def test_a_deleted_file_on_standard_input_is_read_to_its_end(log: Path, store: Store) -> None:
    add(log, row(1))
    with log.open("rb") as file:
        os.dup2(file.fileno(), 0)
    log.unlink()
    source = open_source("-", Register())
    assert store.drain(source) == [row(1)]
    assert isinstance(source, PipeSource)
    assert source.ended


# Paths and problems


def test_expand_finds_each_log_once(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    deep = folder / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    too_deep = deep / "e"
    too_deep.mkdir()
    names = ["sse_lines.jsonl", "sse_lines-old.jsonl", "sessions.jsonl"]
    for place in (folder, deep, too_deep):
        for name in names:
            add(place / name, row(1))
    (folder / "a" / "ring").symlink_to(folder)
    (tmp_path / "link").symlink_to(folder / "sse_lines.jsonl")
    os.link(folder / "sse_lines.jsonl", tmp_path / "hard")
    given = [str(tmp_path / "link"), str(tmp_path / "hard"), str(folder), str(folder) + "/", "-"]
    found = expand([*given, "-", str(tmp_path / "later")], follow=True)
    assert found.files == [
        "-",
        str(tmp_path / "link"),
        str(deep / "sse_lines-old.jsonl"),
        str(deep / "sse_lines.jsonl"),
        str(folder / "sse_lines-old.jsonl"),
    ]
    assert found.folders == [str(folder)]
    assert found.missing == [str(tmp_path / "later")]
    assert found.problems == []


def test_relative_paths_are_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path / "a.jsonl", row(1))
    monkeypatch.chdir(tmp_path)
    assert expand(["a.jsonl", "./a.jsonl", str(tmp_path / "a.jsonl")], follow=True).files == [
        str(tmp_path / "a.jsonl")
    ]


def test_rescan_gives_what_appeared(tmp_path: Path) -> None:
    later, folder = tmp_path / "later", tmp_path / "folder"
    found = expand([str(later), str(folder)], follow=True)
    assert found.missing == [str(later), str(folder)]
    assert found.rescan() == []
    add(later, row(1))
    folder.mkdir()
    assert found.rescan() == [str(later)]
    assert found.missing == []
    log = folder / "sse_lines.jsonl"
    add(log, row(1))
    assert found.rescan() == [str(log)]
    assert found.rescan() == []
    log.rename(folder / "sse_lines-1.jsonl")
    info = (folder / "sse_lines-1.jsonl").stat()
    assert found.rescan(held={(info.st_dev, info.st_ino)}) == []
    assert found.rescan() == [str(folder / "sse_lines-1.jsonl")]


def test_a_missing_file_is_a_problem_where_nobody_waits(tmp_path: Path) -> None:
    found = expand([str(tmp_path / "absent")], follow=False)
    assert [problem.message for problem in found.problems] == [f"{tmp_path}/absent does not exist"]


def test_a_device_is_neither_file_nor_folder() -> None:
    (problem,) = expand(["/dev/null"], follow=True).problems
    assert problem.message == "/dev/null is neither a file nor a folder nor a pipe"


def test_errors_of_the_system_become_one_sentence(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    source = FollowedFile(str(loop))
    assert source.read() is None
    assert source.problem is not None
    assert source.problem.message.startswith(f"cannot read {loop}: too many levels of symbolic")
    folder = FollowedFile(str(tmp_path))
    assert folder.read() is None
    assert folder.problem is not None
    assert folder.problem.message == f"cannot read {tmp_path}: not a regular file"


def test_a_read_error_leaves_the_others_readable(
    log: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    add(log, row(2))
    log.rename(f"{log}.1")
    add(log, row(3))
    broken = os.stat(f"{log}.1").st_ino
    fstat = os.fstat

    def failing(fd: int) -> os.stat_result:
        info = fstat(fd)
        if info.st_ino == broken:
            raise OSError(5, "Input/output error")
        return info

    monkeypatch.setattr(os, "fstat", failing)
    assert store.drain(source) == [row(3)]
    assert source.problem is not None
    assert source.problem.message == f"cannot read {log}: input/output error"
    monkeypatch.undo()
    assert store.drain(source) == [row(2)]
    assert source.problem is None


def test_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    (problem,) = expand([str(tmp_path)], follow=True).problems
    assert problem.message == f"cannot read {tmp_path}: permission denied"


def test_a_fifo_in_place_of_a_file_blocks_nobody(log: Path, store: Store) -> None:
    add(log, row(1))
    source = FollowedFile(str(log))
    store.drain(source)
    log.unlink()
    os.mkfifo(log)
    assert stat.S_ISFIFO(log.stat().st_mode)
    assert source.read() is None
    assert source.problem is not None
    assert source.problem.message == f"cannot read {log}: not a regular file"


@pytest.mark.parametrize(
    ("first_bytes", "expected"),
    [
        (b"", False),
        (b'{"event":"x"}\n', False),
        (b"\xef\xbb\xbf\n  {", False),
        (b"\0" * 500 + b'{"event":"x"}\n', False),
        (b"\x7fELF\x02\x01\x01\0\0", True),
        (b"plain words\n", False),
        (b"x" * 70_000, True),
        (b'{"line":"' + b"x" * 70_000, False),
    ],
)
def test_binary_files_are_told_by_their_beginning(first_bytes: bytes, expected: bool) -> None:
    assert looks_binary(first_bytes) is expected
