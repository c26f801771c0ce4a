"""FIFOs and standard input: what can be read once only."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmon.sources.follow import FollowedFile, Register
from agentmon.sources.identity import SourceState
from agentmon.sources.lines import HugeLine, Line
from agentmon.sources.pipe import PipeSource, open_source
from tests.follower import Store, add, row


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sse_lines.jsonl"


@pytest.fixture
def store() -> Store:
    return Store()


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
    long = b"".join(b"%07d," % number + b"x" * 992 for number in range(9_600))
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
