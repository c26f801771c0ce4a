"""How commands end: exit codes, signals, pipes."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli_run import Answer, Running, assert_one_sentence, run
from tests.differential import Row, assert_same
from tests.feeds import SIZE, add, finished, lines_stored, wait_for, write
from tests.oracle import dump_of


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two sessions that are over."""
    return write(tmp_path / "sse_lines.jsonl", [*finished(1), *finished(2, 100)])


def rows(answer: Answer) -> list[Row]:
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


# -- how it ends


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("ingest",), "PATH"),
        (("--speed", "fast", "--demo"), "fast"),
        (("--speed", "100", "--demo"), "64"),
        (("--demo", "--replay", "x"), "one of"),
        (("--no-such-option",), "no-such-option"),
        (("dump", "too", "much"), "extra argument"),
    ],
    ids=" ".join,
)
def test_wrong_usage(args: tuple[str, ...], said: str) -> None:
    assert_one_sentence(run(*args), said, code=2)


@pytest.mark.parametrize(
    ("env", "args", "said"),
    [
        ({"AGENTMON_HEALTH__OVERDUE_AFTER": "soon"}, ("--once",), "overdue_after"),
        ({}, ("--once", "--stalled-after", "never"), "stalled_after"),
        ({}, ("dump",), "no store"),
        ({}, ("ingest", "missing.jsonl"), "missing.jsonl"),
        ({}, ("--once", "missing.jsonl"), "missing.jsonl"),
        ({}, ("--replay", "missing.jsonl"), "missing.jsonl"),
    ],
    ids=["environment", "flag", "no store", "ingest", "once", "replay"],
)
def test_what_cannot_be_done(env: dict[str, str], args: tuple[str, ...], said: str) -> None:
    answer = run(*args, env=env)
    assert_one_sentence(answer, said)
    assert args[0] == "ingest" or answer.out == ""


def test_ctrl_c_ends_a_follower_and_loses_nothing(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "followed"
    with Running("ingest", "--follow", log, "--data-dir", store) as follower:
        wait_for(lambda: lines_stored(store) == 2 * SIZE)
        add(log, finished(3))
        wait_for(lambda: lines_stored(store) == 3 * SIZE)
        answer = follower.end(signal.SIGINT)
    assert (answer.code, answer.err.strip()) == (130, "")
    assert_same(rows(run("dump", "--data-dir", store)), dump_of([log]))


def test_a_follower_told_to_end(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "followed"
    with Running("ingest", "--follow", log, "--data-dir", store) as follower:
        wait_for(lambda: lines_stored(store) == 2 * SIZE)
        answer = follower.end(signal.SIGTERM)
    assert (answer.code, answer.err) == (0, "")


def test_ctrl_c_while_a_pipe_is_read(log: Path, tmp_path: Path) -> None:
    fifo, store = tmp_path / "fifo", tmp_path / "store"
    os.mkfifo(fifo)
    with Running("ingest", fifo, "--data-dir", store) as reader, fifo.open("wb") as writer:
        writer.write(log.read_bytes())
        writer.flush()
        wait_for(lambda: lines_stored(store) == 2 * SIZE)
        answer = reader.end(signal.SIGINT)
    assert (answer.code, answer.err.strip()) == (130, "")
    assert_same(rows(run("dump", "--data-dir", store)), dump_of([log]))


def test_a_fifo_ends_with_its_writer(log: Path, tmp_path: Path) -> None:
    fifo, store = tmp_path / "fifo", tmp_path / "store"
    os.mkfifo(fifo)
    with Running("ingest", fifo, "--data-dir", store) as reader:
        fifo.write_bytes(log.read_bytes())
        answer = reader.end()
    assert (answer.code, answer.err) == (0, "")
    assert_same(rows(run("dump", "--data-dir", store)), dump_of([log]))
