"""What commands that read share: times, rows as they come, and what goes wrong."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import click
import pytest

from agentmon.commands.options import parse_since
from agentmon.report import bodies
from agentmon.report.board import Thread
from agentmon.report.liveness import liveness
from agentmon.report.table import Cell, Column, Painter, lines, table
from agentmon.sources.procs import Processes
from agentmon.store import db
from agentmon.store.db import transaction
from tests.cli_run import assert_one_sentence, command, environment, run
from tests.deep import only_deep
from tests.differential import ingest
from tests.feeds import asking, finished, sid_of, write
from tests.ui_store import NOW, UiStore, fill
from tests.wire import Talk

# -- --since


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h", 3600), ("2d", 172_800), ("30", 30), (" 5m ", 300)]
)
def test_since_a_time_ago(text: str, seconds: float) -> None:
    assert parse_since(text, NOW) == NOW - seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:30Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:15.5+02:00", datetime(2026, 3, 1, 7, 30, 15, 500_000, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1).astimezone()),
        ("2026-03-01 09:30", datetime(2026, 3, 1, 9, 30).astimezone()),
        (
            "2026-03-01T00:00-05:00",
            datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=-5))),
        ),
    ],
)
def test_since_a_moment(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment.timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "-1h", "0", "2026-13-01", "1h2m", "nan"])
def test_since_nonsense_is_told(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        parse_since(text, NOW)


# -- rows as they come


def test_a_table_settles_by_its_first_rows() -> None:
    columns = [Column("a", 2, 40), Column("b", 2, 40)]
    taken: list[int] = []

    def coming() -> Iterator[list[Cell]]:
        for number in range(10):
            taken.append(number)
            yield [Cell("x" * (number + 1)), Cell("y")]

    found = lines(columns, coming(), 80, Painter(), settle_by=3)
    assert next(found) == "a    b"
    assert len(taken) == 3
    assert [next(found) for _ in range(3)] == ["x    y", "xx   y", "xxx  y"]
    assert next(found) == "xx…  y"
    cells = [[Cell("x" * n), Cell("y")] for n in range(1, 4)]
    assert table(columns, cells, 80, Painter()) == ["a    b", "x    y", "xx   y", "xxx  y"]


def test_texts_in_pieces() -> None:
    data = "đây\n🎉 \x1b[1m".encode()
    pieces = [data[n : n + 1] for n in range(len(data))]
    assert "".join(bodies.cleaned(pieces, "  ")) == "  đây\n  🎉 ␛[1m\n"
    assert json.loads("".join(bodies.json_with({"a": 1}, "text", pieces))) == {
        "a": 1,
        "text": data.decode(),
    }
    long = [b"x" * 100_000, b"y" * 100_000, b"\nz"]
    assert "".join(bodies.cleaned(long, "> ")) == "> " + "x" * 100_000 + "y" * 100_000 + "\n> z\n"
    assert "".join(bodies.cleaned([])) == ""
    assert json.loads("".join(bodies.json_with({}, "text", None))) == {"text": None}
    assert json.loads("".join(bodies.json_rows([]))) == []
    assert json.loads("".join(bodies.json_rows([{"a": 1}, {"a": 2}]))) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("kind", ["json", *only_deep("table", "csv")])
def test_who_reads_may_leave(kind: str, tmp_path: Path) -> None:
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", finished(1))])
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r"
    with subprocess.Popen(
        command("sql", endless, "--format", kind, "--data-dir", tmp_path / "s"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# -- what goes wrong

COMMANDS = (
    *(["sessions"], ["pending"], ["stalled"], ["unbalanced"], ["dashboard"], ["sql", "SELECT 1"]),
    *(["rounds", "x"], ["show", "x"], ["tool", "x"], ["stats", "x"], ["timeseries", "x"]),
)


def test_no_store_and_no_such_thing(tmp_path: Path) -> None:
    assert_one_sentence(run("sessions", "--data-dir", tmp_path / "no"), "there is no store")
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", finished(1))])
    said = run("rounds", "nobody", "--data-dir", tmp_path / "s")
    assert_one_sentence(said, "no session answers to 'nobody'")
    assert_one_sentence(run("sessions", "--since", "soon", "--data-dir", tmp_path / "s"), code=2)


def test_a_store_of_an_older_agentmon_is_told(tmp_path: Path) -> None:
    conn = db.create(tmp_path)
    with transaction(conn):
        conn.execute("UPDATE schema_version SET version = version - 1")
    conn.close()
    assert_one_sentence(run("sessions", "--data-dir", tmp_path), "was written by an older agentmon")
    assert run("ingest", "--reprocess", "--data-dir", tmp_path).code in (0, 1)


@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: args[0])
def test_every_command_has_an_example_and_takes_the_common_options(args: list[str]) -> None:
    from agentmon.cli import main

    found = main.get_command(click.Context(main), args[0])
    assert found is not None
    names = {option for param in found.params for option in param.opts}
    assert {"--data-dir", "--json"} <= names
    assert f"agentmon {args[0]}" in (found.help or "")


# -- who is there


def thread_of(store: UiStore, sid: str) -> Thread:
    from agentmon.report.board import load

    found = load(store.conn).thread(sid)
    assert found is not None
    return found


def test_liveness(tmp_path: Path) -> None:
    store = UiStore(tmp_path)
    fill(store)
    web, docs = "b0000000-0000-4000-8000-000000000002", "d0000000-0000-4000-8000-000000000004"
    batch = "e0000000-0000-4000-8000-000000000005"
    there = Processes(lambda pid: True, lambda pid: NOW - 900, lambda pid: None)
    gone = Processes(lambda pid: False)
    reused = Processes(lambda pid: True, lambda pid: NOW, lambda pid: None)
    assert liveness(thread_of(store, web), NOW, there).word == "alive"
    assert liveness(thread_of(store, web), NOW, gone).word == "orphaned"
    assert "no such process" in liveness(thread_of(store, web), NOW, gone).reason
    assert liveness(thread_of(store, docs), NOW, gone).word == "dead"
    found = liveness(thread_of(store, docs), NOW, reused)
    assert (found.word, "started later" in found.reason) == ("dead", True)
    store.conn.execute("UPDATE sessions SET pid = NULL WHERE sid IN (?, ?)", (batch, docs))
    assert liveness(thread_of(store, batch), NOW, there).word == "orphaned"
    assert liveness(thread_of(store, docs), NOW, there).word == "unknown"
    store.conn.execute("UPDATE sessions SET ended_at = ? WHERE sid = ?", (NOW, docs))
    assert liveness(thread_of(store, docs), NOW, gone).word == "ended"


def test_a_living_process_is_seen(tmp_path: Path) -> None:
    talk = Talk(sid_of(1), pid=os.getpid())
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", asking(talk))])
    conn = sqlite3.connect(tmp_path / "s" / "agentmon.db")
    conn.execute("UPDATE sessions SET last_time = ?", (datetime.now(UTC).timestamp() + 60,))
    conn.commit()
    conn.close()
    (row,) = json.loads(run("sessions", "--json", "--data-dir", tmp_path / "s").out)
    assert (row["liveness"], row["pid"]) == ("alive", os.getpid())
