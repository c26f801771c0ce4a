"""`agentmon sql`: it answers, it cannot change anything, and its views say what `dump` says."""

import csv
import io
import json
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import pytest

from agentmon.report import sql_rows
from agentmon.store import db
from agentmon.store.read_only import QueryError, ReadOnly
from tests.asking import Ask, asker, near, oracle
from tests.cli_run import assert_one_sentence, run
from tests.differential import Row, ingest
from tests.feeds import answering, asking, sid_of, write
from tests.generate import scenario
from tests.test_store import Spy, scans
from tests.wire import START, Talk

NOW = START / 1000 + 3600


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    folder = tmp_path_factory.mktemp("sql")
    lines = scenario(random.Random(3), sessions=3, rounds=3, subagents=0.6, errors=0.3, ends=0.5)
    log = write(folder / "log.jsonl", lines)
    ingest(folder / "store", [log])
    return folder / "store", oracle(log)


@pytest.fixture
def reader(logged: tuple[Path, list[Row]]) -> Iterator[ReadOnly]:
    found = ReadOnly(logged[0], timeout=20)
    yield found
    found.close()


def rows_of(reader: ReadOnly, sql: str) -> list[Row]:
    names, rows = reader.query(sql)
    return [dict(zip(names, row, strict=True)) for row in rows]


# -- the views against the oracle

VIEWS = {
    "session": ("v_sessions", "sid", ("agent", "pid", "cwd", "start_time", "end_time")),
    "round": (
        "v_rounds",
        "round_id",
        ("sid", "round_number", "user_prompt", "start_time", "end_time", "is_complete"),
    ),
    "message": (
        "v_messages",
        "flow_id",
        ("round_id", "agent_id", "model", "stop_reason", "end_time", "output_tokens", "sid"),
    ),
    "tool_result": ("v_tool_results", "tool_use_id", ("content_size", "sha256", "result_time")),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_says_what_the_oracle_says(
    logged: tuple[Path, list[Row]], reader: ReadOnly, kind: str
) -> None:
    view, key, names = VIEWS[kind]
    expected = {row[key]: row for row in logged[1] if row["kind"] == kind}
    found = {row[key]: row for row in rows_of(reader, f"SELECT * FROM {view}")}
    assert found.keys() == expected.keys()
    for name in names:
        ours = {key: row[name] for key, row in found.items()}
        assert ours == {key: row[name] for key, row in expected.items()}


def test_blocks_and_calls_say_what_the_oracle_says(
    logged: tuple[Path, list[Row]], reader: ReadOnly
) -> None:
    blocks = {(r["flow_id"], r["index"]): r for r in logged[1] if r["kind"] == "block"}
    results = {r["tool_use_id"]: r for r in logged[1] if r["kind"] == "tool_result"}
    found = {(r["flow_id"], r["block_index"]): r for r in rows_of(reader, "SELECT * FROM v_blocks")}
    assert found.keys() == blocks.keys()
    for name in ("block_type", "delta_count", "total_bytes", "start_time", "complete_time"):
        assert {k: r[name] for k, r in found.items()} == {k: r[name] for k, r in blocks.items()}
    calls = {
        (r["flow_id"], r["block_index"]): r for r in rows_of(reader, "SELECT * FROM v_tool_calls")
    }
    assert calls.keys() == {key for key, row in blocks.items() if row["tool_use_id"]}
    for key, call in calls.items():
        result = results.get(blocks[key]["tool_use_id"])
        assert (call["state"] == "returned") == (result is not None)
        if result is not None:
            assert bool(call["is_error"]) == result["is_error"]
            took = result["execution_duration_ms"]
            assert near(call["duration"], None if took is None else took / 1000)
            assert call["result_bytes"] == result["content_size"]


def test_texts_can_be_asked_for(tmp_path: Path) -> None:
    content = "đây\n" * 5000
    lines = [*asking(Talk(sid_of(1))), *answering(Talk(sid_of(1)), content=content)]
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", lines)])
    reader = ReadOnly(tmp_path / "s", timeout=20)
    try:
        (row,) = rows_of(
            reader,
            "SELECT block_text(flow_id, block_index) AS input, result_text(tool_use_id) AS result,"
            " block_text('no', 0) AS none, result_text(3) AS odd FROM v_tool_calls",
        )
    finally:
        reader.close()
    assert row == {"input": '{"command":"ls"}', "result": content, "none": None, "odd": None}


# -- every view is documented

ROOT = Path(__file__).resolve().parents[1]


def test_readme_names_every_view_and_schema_every_column(logged: tuple[Path, list[Row]]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    conn = db.open_reading(logged[0])
    names = [n for (n,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
    conn.close()
    assert len(names) >= 13
    assert [name for name in names if f"`{name}`" not in readme] == []


# -- views by their keys use an index

BY_KEY = (
    "SELECT * FROM v_sessions WHERE sid = ?",
    "SELECT * FROM v_sessions ORDER BY last_time DESC",
    "SELECT * FROM v_agents WHERE sid = ?",
    "SELECT * FROM v_rounds WHERE sid = ?",
    "SELECT * FROM v_rounds WHERE round_id = ?",
    "SELECT * FROM v_rounds WHERE sid = ? ORDER BY start_time",
    "SELECT * FROM v_prompts WHERE sid = ? ORDER BY time",
    "SELECT * FROM v_messages WHERE flow_id = ?",
    "SELECT * FROM v_messages WHERE sid = ? ORDER BY start_time",
    "SELECT * FROM v_messages WHERE round_id = ?",
    "SELECT * FROM v_blocks WHERE flow_id = ?",
    "SELECT * FROM v_blocks WHERE tool_use_id = ?",
    "SELECT * FROM v_blocks WHERE round_id = ?",
    "SELECT * FROM v_blocks WHERE sid = ?",
    "SELECT * FROM v_tool_calls WHERE sid = ?",
    "SELECT * FROM v_tool_calls WHERE round_id = ?",
    "SELECT * FROM v_tool_calls WHERE tool_use_id = ?",
    "SELECT * FROM v_tool_results WHERE tool_use_id = ?",
    "SELECT * FROM v_verdicts WHERE sid = ? ORDER BY since",
    "SELECT * FROM v_notices WHERE sid = ? ORDER BY time",
    "SELECT * FROM v_facts WHERE sid = ?",
    "SELECT * FROM v_work_events WHERE agent = ? ORDER BY time",
    "SELECT * FROM v_work_events WHERE kind = ? ORDER BY time",
    "SELECT * FROM v_work_events WHERE tool_use_id = ?",
    "SELECT * FROM v_work_files WHERE path = ?",
    "SELECT * FROM v_work_files WHERE event_id = ?",
    "SELECT * FROM pending_tool_calls WHERE sid = ?",
    "SELECT * FROM incomplete_rounds WHERE sid = ?",
)


@pytest.mark.parametrize("sql", BY_KEY)
def test_a_view_by_its_key_scans_nothing(logged: tuple[Path, list[Row]], sql: str) -> None:
    conn = db.open_reading(logged[0])
    try:
        plan = conn.execute(f"EXPLAIN QUERY PLAN {sql}", ("x",) * sql.count("?")).fetchall()
    finally:
        conn.close()
    steps = [str(row[3]) for row in plan]
    assert steps
    whole = [step for step in steps if step.startswith("SCAN") and "sessions_by_last" not in step]
    assert [*whole, *(step for step in steps if "tool_use_id>?" in step)] == []


# -- nothing can be changed

REFUSED = [
    ("INSERT INTO sessions (sid, agent) VALUES ('x', 'y')", "writing to sessions"),
    ("UPDATE rounds SET end_time = 1", "writing to rounds"),
    ("DELETE FROM messages", "writing to messages"),
    ("DROP TABLE messages", "refused"),
    ("CREATE TABLE mine (a)", "refused"),
    ("CREATE TEMP TABLE mine (a)", "refused"),
    ("ATTACH '/tmp/other.db' AS other", "ATTACH"),
    ("DETACH main", "DETACH"),
    ("VACUUM", "refused"),
    ("VACUUM INTO '{folder}/copy.db'", "refused"),
    ("PRAGMA query_only = OFF", "PRAGMA query_only"),
    ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode"),
    ("PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
    ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint"),
    ("SELECT load_extension('/tmp/x.so')", "load_extension"),
    ("BEGIN IMMEDIATE", "a transaction"),
    ("SAVEPOINT mine", "SAVEPOINT"),
    ("REINDEX", "refused"),
    ("ANALYZE", "refused"),
    ("ALTER TABLE rounds ADD COLUMN mine", "refused"),
    ("CREATE VIRTUAL TABLE mine USING fts5(a)", "refused"),
    ("EXPLAIN DELETE FROM messages", "writing to messages"),
]


@pytest.mark.parametrize(("sql", "said"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_only_reading_is_allowed(
    logged: tuple[Path, list[Row]], reader: ReadOnly, tmp_path: Path, sql: str, said: str
) -> None:
    before = snapshot(logged[0])
    with pytest.raises(QueryError, match=said):
        rows_of(reader, sql.format(folder=tmp_path))
    assert snapshot(logged[0]) == before
    assert list(tmp_path.iterdir()) == []
    assert rows_of(reader, "SELECT 1 AS one") == [{"one": 1}]


def snapshot(folder: Path) -> dict[str, str]:
    """The files of the database, byte for byte; not the shared memory of its readers."""
    found = [path for path in folder.glob("agentmon.db*") if not path.name.endswith("-shm")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT a FROM nowhere", "no such table: nowhere"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("SELEC", "syntax error"),
        ("", "this is no query"),
        ("-- only a comment", "this is no query"),
        ("SELECT zeroblob(2000000000)", "too big"),
        ("SELECT \x00", "the query failed"),
    ],
)
def test_a_bad_query_is_one_sentence(reader: ReadOnly, sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said) as found:
        rows_of(reader, sql)
    assert "\n" not in str(found.value)


def test_tables_may_be_described_and_json_taken_apart(reader: ReadOnly) -> None:
    columns = rows_of(reader, "SELECT name FROM pragma_table_info('v_rounds')")
    assert [row["name"] for row in columns][:2] == ["sid", "round_id"]
    assert rows_of(reader, "SELECT value FROM json_each('[1, 2]')") == [{"value": 1}, {"value": 2}]
    assert rows_of(reader, "PRAGMA table_info(rounds)")
    assert rows_of(reader, "EXPLAIN QUERY PLAN SELECT * FROM v_rounds WHERE sid = 'x'")


ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT "


def test_what_takes_too_long_is_ended(logged: tuple[Path, list[Row]]) -> None:
    reader = ReadOnly(logged[0], timeout=0.05)
    try:
        with pytest.raises(QueryError, match=r"took longer than 0\.05 s"):
            rows_of(reader, ENDLESS + "COUNT(*) FROM r")
        assert rows_of(reader, "SELECT 1 AS one") == [{"one": 1}]
    finally:
        reader.close()


def test_rows_come_as_they_are_found(reader: ReadOnly) -> None:
    _, rows = reader.query(ENDLESS + "n FROM r")
    assert [next(rows) for _ in range(3)] == [(1,), (2,), (3,)]


# -- what is printed


@pytest.fixture
def ask(
    logged: tuple[Path, list[Row]],
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Ask:
    return asker(capsysbinary, monkeypatch, NOW, "--data-dir", logged[0])


ODD = "SELECT NULL AS a, x'00ff' AS a, 0.1 AS b, 9e999 AS c, char(27) || '[2J' AS d, 7 AS e"


def test_values_in_each_format(ask: Ask) -> None:
    (row,) = ask("sql", ODD, "--json")
    assert row == {"a": None, "a_2": "x'00ff'", "b": 0.1, "c": None, "d": "\x1b[2J", "e": 7}
    names, values = csv.reader(io.StringIO(ask("sql", ODD, "--format", "csv").decode()))
    assert names == ["a", "a", "b", "c", "d", "e"]
    assert values == ["", "x'00ff'", "0.1", "inf", "\x1b[2J", "7"]
    title, line = ask("sql", ODD).decode().splitlines()
    assert title.split() == ["a", "a", "b", "c", "d", "e"]
    assert line.split("  ")[0] == "—"
    assert "x'00ff' (2 B)" in line
    assert "␛[2J" in line
    assert "\x1b" not in line


def test_a_long_blob_is_shortened_in_a_table_only() -> None:
    assert "…" in sql_rows.cells([b"x" * 100])[0].text
    assert next(sql_rows.records(["a"], [[b"x" * 100]]))["a"] == f"x'{(b'x' * 100).hex()}'"


def test_limit_and_the_list_of_views(ask: Ask) -> None:
    assert len(ask("sql", "SELECT * FROM v_blocks", "--limit", 3, "--json")) == 3
    views = {row["view"]: row["columns"] for row in ask("sql", "--json")}
    assert "round_number" in views["v_rounds"]
    assert ask("sql", "SELECT 1 WHERE 0", "--json") == []
    with pytest.raises(click.ClickException, match="only reading is allowed"):
        ask("sql", "DELETE FROM rounds")


def test_the_command_itself(logged: tuple[Path, list[Row]]) -> None:
    refused = run("sql", "DROP TABLE rounds", "--data-dir", logged[0])
    assert_one_sentence(refused, "only reading is allowed")
    late = run("sql", ENDLESS + "COUNT(*) FROM r", "--timeout", "50ms", "--data-dir", logged[0])
    assert_one_sentence(late, "took longer than 0.05 s")
    piped = run("sql", "-", "--json", "--data-dir", logged[0], stdin=b"SELECT 2 AS two")
    assert (piped.code, json.loads(piped.out)) == (0, [{"two": 2}])


# -- no query of a command goes through a big table


def test_no_command_scans_a_big_table(logged: tuple[Path, list[Row]]) -> None:
    conn = db.open_reading(logged[0])
    spy = Spy(conn)
    try:
        ask_everything(spy, logged[0])
        found = {sql: scans(conn, (sql, args)) for sql, args in spy.asked if "PRAGMA" not in sql}
        assert len(found) > 40
        assert {sql: steps for sql, steps in found.items() if steps} == {}
    finally:
        conn.close()


def ask_everything(conn: Any, data_dir: Path) -> None:
    from agentmon.core.health import Limits
    from agentmon.report import dashboard, listing, naming, series, stats, tool_call
    from agentmon.report.round_content import RoundContent
    from agentmon.store import read
    from agentmon.store.read_rounds import round_line, rounds_of, work_of

    limits, since = Limits(), START / 1000 - 10
    for listed in listing.sessions(conn, NOW, since=since):
        listing.session_json(conn, listed, NOW, limits)
        sid = listed[1].row.sid
        stats.stats(conn, sid)
        list(series.points(conn, data_dir, sid, list(series.METRICS)))
        list(listing.unbalanced(conn, NOW, sid=sid))
        for row in rounds_of(conn, sid, pid=4):
            work_of(conn, sid, row.round_id)
        for row in read.rounds(conn, sid):
            work_of(conn, sid, row.round_id)
            naming.the_round(conn, row.round_id)
            line = round_line(conn, sid, row.round_id)
            assert line is not None
            for entry in RoundContent(conn, data_dir, line).entries():
                list(entry.text() if entry.text is not None else ())
                if call := entry.record.get("tool_use_id"):
                    tool_call.find(conn, str(call))
    for waiting in listing.pending(conn):
        listing.pending_json(waiting, NOW, limits)
    list(listing.unbalanced(conn, NOW, since=since))
    list(listing.stalled(conn, NOW, limits, since=since))
    dashboard.as_json(conn, NOW, limits, since=since)
    with pytest.raises(naming.Unclear):
        tool_call.find(conn, "toolu_")
