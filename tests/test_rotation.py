"""Following a path whose file changes: every line comes, and once where that can be."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentmon.sources.follow import FollowedFile, Register, resume
from agentmon.sources.identity import is_rotation_of
from tests.deep import examples
from tests.follower import Store, add, row


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sse_lines.jsonl"


@pytest.fixture
def store() -> Store:
    return Store()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


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


def test_two_rotations_while_down_of_which_one_is_kept(log: Path, store: Store) -> None:
    """What was read has gone; what came between was never seen under its name."""
    add(log, row(1))
    store.drain(store.source(log))
    log.rename(f"{log}.1")
    add(log, row(2))
    log.replace(f"{log}.1")
    add(log, row(3))
    assert store.drain(store.source(log)) == [row(2), row(3)]
    assert store.drain(store.source(log)) == []


def test_what_was_rotated_before_anybody_looked_is_history(log: Path, store: Store) -> None:
    """The file that is read goes on, though an older one that was read has gone."""
    add(log, row(0))
    log.rename(f"{log}.2")
    for number in (1, 2):
        add(log, row(number))
        assert store.drain(store.source(log)) == [row(number)]
        if number == 1:
            log.rename(f"{log}.1")
    Path(f"{log}.1").unlink()
    assert store.drain(store.source(log)) == []


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
        self.is_begun = False
        """Whether something was read of the file that is the log now."""
        self.source = self.store.source(self.log)
        for step in steps:
            getattr(self, f"do_{step}")()
        self.do_read()

    def do_add(self) -> None:
        self.is_begun &= self.log.exists()
        self.written.append(row(len(self.written), len(self.written) * 7 % 90))
        add(self.log, self.written[-1].removeprefix(self.torn))
        self.torn = b""

    def do_torn(self) -> None:
        self.is_begun &= self.log.exists()
        if not self.torn:
            self.torn = row(len(self.written), len(self.written) * 7 % 90)[:11]
            add(self.log, self.torn, end=b"")

    def do_read(self) -> None:
        self.store.drain(self.source, self.read_size)
        self.is_begun = self.log.exists()

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
            state = self.source.state
            if not self.is_begun or state is None or state.position == 0:
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


@settings(max_examples=examples(24, 60), deadline=None)
@given(steps=histories, read_size=st.sampled_from([7, 64, 1 << 20]))
@example(steps=["delete", "stop", "add", "rotate", "add"], read_size=7)
@example(steps=["delete", "stop", "add", "rotate"], read_size=7)
def test_no_history_loses_a_line(steps: list[str], read_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), ["add", "read", *steps], read_size)
        found = Counter(history.store.lines)
        assert set(found) == set(history.written)
        if not {"copy", "truncate"} & set(steps):
            assert set(found.values()) <= {1}
