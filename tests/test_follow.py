"""Following one file: growth, rewriting in place, errors."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from agentmon.sources.follow import FollowedFile
from agentmon.sources.identity import looks_binary
from agentmon.sources.lines import HugeLine, Line
from tests.follower import Store, add, row


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sse_lines.jsonl"


@pytest.fixture
def store() -> Store:
    return Store()


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
    pieces = huge.pieces()
    assert b"".join(pieces) == long
    assert huge.offset == len(row(1)) + 1
    assert huge.head == long[:65536]
    assert huge.tail == long[-65536:]
    assert isinstance(first, Line)
    assert isinstance(last, Line)


def test_a_huge_line_that_cannot_be_read_again_just_ends(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(log, b"y" * (9 << 20))
    source = FollowedFile(str(log))
    lines: list[Line | HugeLine] = []
    while (chunk := source.read()) is not None:
        lines += chunk.lines
    source.close()
    huge = lines.pop()
    assert isinstance(huge, HugeLine)
    pread = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if offset:
            raise OSError(5, "Input/output error")
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    pieces = huge.pieces()
    del source, huge, chunk  # the pieces alone hold the file
    assert b"".join(pieces) == b"y" * (256 << 10)


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
        (b"[\x93W\0\0\n", True),
        (b"{\0\0\0\n", True),
        (b'{"text":"' + "ä€😀".encode() * 40 + b"\0", False),
        (b"plain words\n", False),
        (b"x" * 70_000, True),
        (b'{"line":"' + b"x" * 70_000, False),
    ],
)
def test_binary_files_are_told_by_their_beginning(first_bytes: bytes, expected: bool) -> None:
    assert looks_binary(first_bytes) is expected
