"""What is usual: percentiles, kinds of commands, and what the store's past says of them."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agentmon.core.yardsticks import (
    MIN_CALLS,
    MIN_GAPS,
    Yardstick,
    command_prefix,
    gaps,
    percentile,
    yardstick,
)
from agentmon.store import db, history
from agentmon.store.history import History
from tests.feeds import Scene, answering, asking, call_block, sid_of
from tests.wire import SID, TEXT, Talk, encoded, tool_result


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0], 1.0),
        ([1.0] * 99 + [500.0], 1.0),
        ([float(n) for n in range(101)], 99.0),
        ([float(n) for n in range(1001)], 990.0),
    ],
    ids=["one", "two", "one outlier of 100", "of 101", "of 1001"],
)
def test_the_99th_percentile(values: list[float], expected: float) -> None:
    assert percentile(reversed(values), 0.99) == expected


def test_too_little_is_no_yardstick() -> None:
    assert yardstick([1.0] * 4, 5) is None
    assert yardstick([1.0, 3.0, 2.0, 9.0, 1.0], 5) == Yardstick(3.0, 5)


def test_pauses() -> None:
    assert gaps([3.0, 1.0, 1.5]) == [0.5, 1.5]
    assert gaps([1.0]) == []
    assert gaps([]) == []


@pytest.mark.parametrize(
    ("tool", "arguments", "prefix"),
    [
        ("Bash", "pytest -x tests/", "pytest"),
        ("Bash", "cd /x && FOO=1 sudo timeout 60 git push origin", "git push"),
        ("Bash", "git status", "git status"),
        ("Bash", "python3 -m pytest -q", "pytest"),
        ("Bash", "python3.12 scripts/train.py --epochs 9", "python train.py"),
        ("Bash", "python -c 'import x'", "python"),
        ("Bash", "uv run pytest", "pytest"),
        ("Bash", "npm --silent test", "npm test"),
        ("Bash", "./run.sh | tee log", "run.sh"),
        ("Bash", "export A=1; make check", "make check"),
        ("Bash", "", ""),
        ("Bash", "&& ;", ""),
        ("Bash", "'never closed", "never"),
        ("exec_command", '{"cmd":"npm test -- x"}', "npm test"),
        (
            "shell",
            '{"command":["bash","-lc","cargo build --release"],"workdir":"/x"}',
            "cargo build",
        ),
        ("shell", '["ls", "-l"]', "ls"),
        ("Read", "/etc/hosts", ""),
        ("WebFetch", "https://x", ""),
        (None, "ls", ""),
        ("Bash", None, ""),
    ],
)
def test_what_a_call_runs(tool: str | None, arguments: str | None, prefix: str) -> None:
    assert command_prefix(tool, arguments) == prefix


# -- from the past in the store


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as made:
        yield made


def reading(scene: Scene) -> sqlite3.Connection:
    return db.open_reading(scene.data_dir)


def streamed(talk: Talk, n: int, at: int, pauses: Sequence[int]) -> list[bytes]:
    """A message whose deltas come after these pauses, in milliseconds."""
    lines = [talk.start(n, at), talk.begin(n, at, TEXT)]
    for pause in (0, *pauses):
        at += pause
        lines.append(talk.text(n, at, "x "))
    return [*lines, talk.end(n, at), talk.reason(n, at, "end_turn"), talk.stop(n, at)]


def test_the_pauses_of_an_agent(scene: Scene) -> None:
    talk = Talk()
    scene.say(*streamed(talk, 1, 0, [100] * (MIN_GAPS - 2)))
    conn = reading(scene)
    assert history.gap_yardstick(conn, SID, "") is None
    scene.say(*streamed(talk, 2, 60_000, [100] * 49 + [9_000, 2_000]))
    found = history.gap_yardstick(conn, SID, "")
    assert found == Yardstick(2.0, 2 * MIN_GAPS - 1)  # the longest was one of a hundred
    assert history.gap_yardstick(conn, SID, "a1") is None
    assert history.gap_yardstick(conn, sid_of(7), "") is None
    conn.close()


def test_waits_for_a_first_byte(scene: Scene) -> None:
    talk = Talk()
    for n in range(1, 5):
        at = n * 100_000
        scene.say(*asking(talk, at, n=n), *answering(talk, at + 3_000, n=n))
    conn = reading(scene)
    # the prompts were answered after 100 ms, and so were the results
    found = history.first_byte_yardstick(conn, SID, "")
    assert found is not None
    assert (round(found.p99, 3), found.count) == (0.1, 8)
    slow = [talk.prompt(900_000, "hm", "u9"), talk.start(9, 945_000), talk.start(10, 999_000)]
    scene.say(*slow)  # nobody knows what the last one waited for
    found = history.first_byte_yardstick(conn, SID, "")
    assert found is not None
    assert (round(found.p99, 3), found.count) == (0.1, 9)
    assert history.first_byte_yardstick(conn, SID, "a1") is None
    conn.close()


def runs(talk: Talk, n: int, command: str, seconds: float) -> list[bytes]:
    """A message that calls a command, which runs so long."""
    at = n * 10_000_000
    lines = [talk.start(n, at), talk.begin(n, at, call_block(f"toolu_{n}"))]
    lines += [talk.json(n, at, encoded({"command": command})), talk.end(n, at)]
    lines += [talk.reason(n, at, "tool_use"), talk.stop(n, at)]
    result = tool_result(f"toolu_{n}", "done")
    return [*lines, talk.line("tool_result", at + round(seconds * 1000), result)]


def test_runs_of_a_command(scene: Scene) -> None:
    talk = Talk()
    for n, seconds in enumerate([700.0, 710.0, 720.0, 730.0, 9000.0, 1.0], 1):
        scene.say(*runs(talk, n, f"pytest -q tests/{n}", seconds))
    for n in range(11, 15):
        scene.say(*runs(talk, n, "git status", 0.5))
    conn = reading(scene)
    found = history.History()
    assert found.tool(conn, "Bash", "pytest") == Yardstick(730.0, 6)
    assert found.tool(conn, "Bash", "git status") is None  # four are too few
    assert found.tool(conn, "Read", "") is None
    assert found.tool(conn, None, "") is None
    conn.close()
    assert MIN_CALLS == 5


def test_open_blocks(scene: Scene) -> None:
    talk = Talk()
    scene.say(talk.start(1, 0), talk.begin(1, 1, TEXT), talk.text(1, 5, "word"))
    conn = reading(scene)
    (block,) = history.open_blocks(conn, "m1")
    assert (block["index"], block["block_type"], block["bytes"]) == (0, "text", 4)
    assert history.open_blocks(conn, "m2") == []
    conn.close()


def test_answers_are_kept_for_a_minute(scene: Scene) -> None:
    talk = Talk()
    clock = [0.0]
    past = History(lambda: clock[0])
    scene.say(*streamed(talk, 1, 0, [100]))
    conn = reading(scene)
    assert past.gap(conn, SID, "") is None
    scene.say(*streamed(talk, 2, 60_000, [100] * 60))
    clock[0] = 59.0
    assert past.gap(conn, SID, "") is None
    clock[0] = 60.0
    found = past.gap(conn, SID, "")
    assert found is not None
    assert (round(found.p99, 3), found.count) == (0.1, 61)
    assert past.first_byte(conn, SID, "") is None
    assert past.tool(conn, "Bash", "pytest") is None
    conn.close()


def test_stores_are_not_mixed_up(scene: Scene, tmp_path: Path) -> None:
    past = History(lambda: 0.0)
    scene.say(*streamed(Talk(), 1, 0, [100] * 60))
    with Scene(tmp_path / "other") as other:
        other.say(*streamed(Talk(), 1, 0, [100]))
        conns = reading(scene), reading(other)
        assert [past.gap(conn, SID, "") is None for conn in conns] == [False, True]
        for conn in conns:
            conn.close()


def test_looking_into_the_past_scans_no_table(scene: Scene) -> None:
    scene.say(*asking(Talk()))
    conn = reading(scene)
    plans: list[str] = []
    conn.set_trace_callback(plans.append)
    history.gap_yardstick(conn, SID, "")
    history.first_byte_yardstick(conn, SID, "")
    history.tool_runs(conn, "Bash")
    history.open_blocks(conn, "m1")
    conn.set_trace_callback(None)
    for sql in plans:
        steps = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert [step for step in steps if step.startswith("SCAN") and "subquery" not in step] == []
    conn.close()
