"""The store from outside: its shape, its modes, its queries, its connections."""

import asyncio
import os
import random
import re
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from agentmon.core.model import Session
from agentmon.report.board import load
from agentmon.store import db, migrations, read
from agentmon.store.async_store import open_async
from agentmon.store.load import StoreLoader
from tests.differential import dumped, ingest
from tests.feeds import (
    answering,
    asking,
    finished,
    sid_of,
    write,
)
from tests.generate import scenario
from tests.wire import START, Talk

pytestmark = pytest.mark.usefixtures("own_schema")

BIG = {
    *("sessions", "rounds", "messages", "content_blocks", "tool_results", "notices"),
    *("raw_events", "delta_log", "stream_log", "prompts", "told_blocks", "facts", "testimony"),
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of a few sessions with everything in them."""
    lines = scenario(random.Random(5), sessions=4, rounds=4, misattributed=0.3, unknown=0.5)
    ingest(tmp_path / "store", [write(tmp_path / "log.jsonl", [*lines, *finished(90)])])
    return tmp_path / "store"


@pytest.fixture
def conn(store: Path) -> Iterator[sqlite3.Connection]:
    found = db.open_reading(store)
    yield found
    found.close()


# -- shape

Shape = dict[str, list[tuple[object, ...]]]


def shape(conn: sqlite3.Connection) -> Shape:
    """Columns of every table and view, and what the indexes cover."""
    names = conn.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
    found: Shape = {}
    for kind, name, table in names:
        pragma = "index_xinfo" if kind == "index" else "table_xinfo"
        found[f"{kind} {name} {table}"] = conn.execute(f"PRAGMA {pragma}({name})").fetchall()
    return found


def make_old(folder: Path) -> None:
    """A store as a program one version older left it, without two things of today's."""
    with db.create(folder) as conn:
        conn.execute("DROP INDEX sessions_by_last")
        conn.execute("DROP VIEW v_sessions")
        conn.execute("ALTER TABLE sessions DROP COLUMN host")
        conn.execute("INSERT INTO sessions (sid, agent) VALUES ('kept', 'claude')")
    conn.close()


def add_host(conn: sqlite3.Connection) -> None:
    conn.execute("ALTER TABLE sessions ADD COLUMN host TEXT")


def add_index(conn: sqlite3.Connection) -> None:
    conn.execute("CREATE INDEX sessions_by_last ON sessions (last_time DESC)")


def fail(conn: sqlite3.Connection) -> None:
    conn.execute("DROP TABLE counts")
    raise sqlite3.OperationalError("the second step fails")


NOW = db.SCHEMA_VERSION


def after(steps: int) -> int:
    return NOW + steps


Steps = tuple[tuple[int, Callable[[sqlite3.Connection], None]], ...]


def migrate(folder: Path, patch: pytest.MonkeyPatch, steps: Steps) -> sqlite3.Connection:
    patch.setattr(migrations, "MIGRATIONS", steps)
    patch.setattr(db, "SCHEMA_VERSION", steps[-1][0])
    return db.create(folder)


def test_a_migrated_store_is_like_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(tmp_path / "old")
    steps: Steps = ((db.SCHEMA_VERSION + 1, add_host), (db.SCHEMA_VERSION + 2, add_index))
    old = migrate(tmp_path / "old", monkeypatch, steps)
    fresh = db.create(tmp_path / "fresh")
    try:
        assert shape(old) == shape(fresh)
        assert db.version_of(old) == db.version_of(fresh) == steps[-1][0]
        assert old.execute("SELECT sid FROM sessions").fetchall() == [("kept",)]
        rows = old.execute("SELECT version FROM schema_version ORDER BY version").fetchall()
        assert [version for (version,) in rows] == [steps[0][0] - 1, *(n for n, _ in steps)]
    finally:
        old.close()
        fresh.close()


def test_the_first_schema_becomes_todays(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    old = sqlite3.connect(db.database(folder))
    old.executescript((Path(__file__).parent / "data/schema_1.sql").read_text("utf-8"))
    old.execute("INSERT INTO schema_version VALUES (1, 0)")
    old.execute("INSERT INTO sources (source_id, path, kind) VALUES (1, '/log', 'file')")
    old.execute("INSERT INTO sessions (sid, agent) VALUES ('kept', 'claude')")
    old.commit()
    old.close()
    migrated, fresh = db.create(folder), db.create(tmp_path / "fresh")
    try:
        assert shape(migrated) == shape(fresh)
        assert migrated.execute("SELECT sid, host FROM sessions").fetchall() == [("kept", None)]
        assert migrated.execute("SELECT format FROM sources").fetchall() == [("sse-lines",)]
    finally:
        migrated.close()
        fresh.close()


def test_a_shape_that_differs_would_be_seen(tmp_path: Path) -> None:
    make_old(tmp_path / "old")
    old, fresh = db.create(tmp_path / "old"), db.create(tmp_path / "fresh")
    try:
        assert shape(old) != shape(fresh)
    finally:
        old.close()
        fresh.close()


def test_a_migration_that_fails_changes_nothing_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(tmp_path)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(db.StoreError, match="second step"):
        migrate(tmp_path, patch, ((after(1), add_host), (after(2), fail)))
    conn = migrate(tmp_path, monkeypatch, ((after(1), add_host), (after(2), add_index)))
    try:
        assert conn.execute("SELECT COUNT(*) FROM counts").fetchone() == (0,)
        assert db.version_of(conn) == after(2)
    finally:
        conn.close()


def test_the_migrations_lead_to_the_current_version() -> None:
    numbers = [number for number, _ in migrations.MIGRATIONS]
    assert numbers == list(range(2, db.SCHEMA_VERSION + 1))


def test_modes_and_journal(store: Path) -> None:
    modes = {str(path.relative_to(store)): mode(path) for path in [store, *store.rglob("*")]}
    assert {name: found for name, found in modes.items() if found & 0o077} == {}
    assert modes["."] == 0o700
    assert modes["agentmon.db"] == 0o600
    conn = db.create(store)
    try:
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert conn.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert conn.execute("PRAGMA synchronous").fetchone() == (1,)
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        conn.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", finished(1, content="x" * 20_000))])
        conn = db.create(tmp_path / "s")
        conn.execute("BEGIN IMMEDIATE")
        conn.execute("INSERT INTO counts VALUES ('x', 1)")
        conn.execute("COMMIT")
        found = {path: mode(path) for path in [tmp_path / "s", *(tmp_path / "s").rglob("*")]}
        conn.close()
    finally:
        os.umask(before)
    assert {str(path): oct(found[path]) for path in found if found[path] & 0o077} == {}


# -- queries

FEW = {
    *("blocks_failed", "blocks_open", "blocks_pending", "messages_broken", "raw_events_open"),
    "rounds_unended",
}
"""Indexes of the few rows that are open or failed; going through them is what they are for."""

Query = tuple[str, tuple[object, ...]]


class Spy:
    """Stands for a connection and remembers what is asked."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn
        self.asked: list[Query] = []

    def execute(self, sql: str, args: tuple[object, ...] = ()) -> sqlite3.Cursor:
        self.asked.append((sql, args))
        return self.conn.execute(sql, args)


def asked_by_panes(conn: sqlite3.Connection) -> list[Query]:
    """Every query that a pane makes, with arguments that find something."""
    spy = Spy(conn)
    asking = cast("sqlite3.Connection", spy)
    load(asking, since=START / 1000)
    for session in read.sessions(asking):
        sid = session.sid
        read.session(asking, sid)
        read.agents(asking, sid)
        read.facts(asking, sid)
        read.testimony(asking, sid)
        read.agent_messages(asking, sid, "a")
        read.pending(asking, sid=sid)
        read.notices(asking, sid)
        read.notices(asking, sid, name="queue_operation")
        read.verdicts(asking, sid)
        read.roundless_messages(asking, sid)
        for found in read.rounds(asking, sid):
            list(read.each_message(asking, sid, found.round_id, agent_id="a"))
            read.round_(asking, sid, found.round_id)
            read.numbered_round(asking, sid, found.round_number)
            read.round_sum(asking, sid, found.round_id)
            read.prompts(asking, sid, found.round_id)
            read.round_blocks(asking, sid, found.round_id)
            for said in read.messages(asking, sid, found.round_id):
                read.message(asking, said.flow_id)
                read.latest_block(asking, said.flow_id)
                read.told(asking, said.flow_id)
                read.told_text(asking, said.flow_id, 0)
                for block in read.blocks(asking, said.flow_id):
                    read.block(asking, said.flow_id, block.index)
                    read.block_of_call(asking, block.tool_use_id or "")
                    read.result(asking, block.tool_use_id or "")
    list(read.each_session(asking))
    read.errors(asking)
    read.open_verdicts(asking)
    read.facts_of(asking, ["s"], ["title"])
    read.sources(asking)
    read.unseen(asking)
    return list({sql: (sql, args) for sql, args in spy.asked}.values())


def scans(conn: sqlite3.Connection, query: Query) -> list[str]:
    """The steps of a query that go through a big table, or an index of all of it, to the end."""
    sql, args = query
    plan = [str(row[3]) for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", args)]
    known = {name: name for name in BIG} | aliases(sql)
    # "SEARCH messages" without an index is how MAX(column) goes through a table
    whole = [step.split() for step in plan if step.startswith("SCAN ") or "USING" not in step]
    whole = [step for step in whole if step[-1] not in FEW]
    return [" ".join(step) for step in whole if step[0] in ("SCAN", "SEARCH") and step[1] in known]


def aliases(sql: str) -> dict[str, str]:
    """`m` → messages, of "FROM messages m"."""
    words = re.sub(r"[(),]", " ", sql).split()
    return {alias: table for table, alias in pairwise(words) if table in BIG}


def test_no_pane_scans_a_big_table(conn: sqlite3.Connection) -> None:
    asked = asked_by_panes(conn)
    assert len(asked) >= len(READ)
    found = {query[0]: scans(conn, query) for query in asked}
    assert {sql: steps for sql, steps in found.items() if steps} == {}


READ = {
    *("sessions", "session", "agents", "rounds", "round_", "numbered_round", "messages"),
    *(
        "roundless_messages",
        "round_blocks",
    ),
    *("message", "blocks", "block", "latest_block", "block_of_call", "pending", "result"),
    *("notices", "open_verdicts", "verdicts", "sources", "errors", "round_sum"),
    *("facts", "facts_of", "testimony", "told", "told_text", "prompts", "agent_messages"),
    *("each_message", "each_session"),
    "unseen",
}
"""The queries above; counts and dumps are meant to see everything."""


def test_every_query_is_looked_at() -> None:
    public = {
        name
        for name, value in vars(read).items()
        if callable(value) and not name.startswith("_") and not isinstance(value, type)
    }
    assert public - READ <= {"counts", "table_sizes", "pending_file_ops", "iterate"} | {
        name for name in public if getattr(read, name).__module__ != "agentmon.store.read"
    }


def test_a_scan_would_be_seen(conn: sqlite3.Connection) -> None:
    assert scans(conn, ("SELECT * FROM messages WHERE model = 'x'", ()))
    assert scans(conn, ("SELECT * FROM content_blocks b WHERE b.delta_count > 3", ()))
    assert scans(conn, ("SELECT MAX(output_tokens) FROM messages", ()))
    assert not scans(conn, ("SELECT * FROM messages WHERE flow_id = 'x'", ()))


def test_bringing_back_what_left_memory_scans_nothing(store: Path) -> None:
    conn = db.open_reading(store)
    spy = Spy(conn)
    try:
        ask_everything(StoreLoader(cast("sqlite3.Connection", spy)), conn)
        asked = [(sql, args) for sql, args in spy.asked if "EXISTS" not in sql]
        found = {sql: scans(conn, (sql, args)) for sql, args in asked}
        assert len(found) > 10
        assert {sql: steps for sql, steps in found.items() if steps} == {}
    finally:
        conn.close()


def ask_everything(loader: StoreLoader, conn: sqlite3.Connection) -> None:
    loader.counts()
    loader.next_seq()
    for session in read.sessions(conn):
        loader.session(session.sid)
        loader.round(session.sid, session.round_id or "")
        loader.prompt_of(session.sid, "u")
        loader.told_prompt(session.sid, "u")
        loader.like_prompt(session.sid, "u", 0.0, 1.0, 1)
    for flow_id, request, sid in conn.execute("SELECT flow_id, request_id, sid FROM messages"):
        loader.flow_of_request(request)
        loader.message(flow_id, lambda sid: cast("Session", loader.session(sid)))
        loader.deltas(flow_id, 0)
        loader.stream((sid, flow_id, 7))
    loader.call("toolu")
    loader.item("item")
    loader.result("toolu")
    loader.has_raw(b"x")
    loader.has_bad(b"x")


# -- views


def test_the_views_tell_what_is_open(tmp_path: Path) -> None:
    one, two = Talk(sid_of(1)), Talk(sid_of(2))
    lines = [*asking(one), *asking(two, n=2), *answering(two, n=2)]
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", lines)])
    conn = db.open_reading(tmp_path / "s")
    try:
        pending = conn.execute("SELECT * FROM pending_tool_calls").fetchall()
        columns = [row[0] for row in conn.execute("SELECT * FROM pending_tool_calls").description]
        rounds = conn.execute("SELECT sid, round_id FROM incomplete_rounds").fetchall()
    finally:
        conn.close()
    assert [dict(zip(columns, row, strict=True)) for row in pending] == [
        {
            "sid": sid_of(1),
            "agent_id": None,
            "round_id": "round-1",
            "flow_id": "m1",
            "block_index": 1,
            "tool_use_id": "toolu_1",
            "tool_name": "Bash",
            "called_at": (START + 180) / 1000,
            "input_preview": "ls",
        }
    ]
    assert rounds == [(sid_of(1), "round-1")]


# -- the connection in a thread


async def test_an_async_store_leaves_no_thread(store: Path) -> None:
    before = set(threading.enumerate())
    reader = await open_async(lambda: db.open_reading(store))
    try:
        assert set(threading.enumerate()) - before
        names = await reader.run(lambda conn: [row.sid for row in read.sessions(conn)])
        assert sorted(names) == sorted({row["sid"] for row in dumped(store) if "sid" in row})
    finally:
        await reader.close()
    await asyncio.sleep(0)
    left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
    for thread in left:
        await asyncio.to_thread(thread.join, 5.0)
    assert [thread for thread in left if thread.is_alive()] == []


async def test_an_error_in_the_thread_comes_out(store: Path) -> None:
    def wrong(conn: sqlite3.Connection) -> Any:
        return conn.execute("SELECT nonsense FROM nowhere")

    def odd(_conn: sqlite3.Connection) -> Any:
        raise KeyError("mine")

    reader = await open_async(lambda: db.open_reading(store))
    try:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await reader.run(wrong)
        with pytest.raises(KeyError, match="mine"):
            await reader.run(odd)
        assert await reader.run(lambda conn: conn.execute("SELECT 1").fetchone()) == (1,)
    finally:
        await reader.close()


async def test_a_store_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(db.StoreError, match="no store"):
        await open_async(lambda: db.open_reading(tmp_path))
    left = set(threading.enumerate()) - before
    for thread in left:
        await asyncio.to_thread(thread.join, 5.0)
    assert [thread for thread in left if thread.is_alive()] == []


def test_one_writer_at_a_time(store: Path) -> None:
    first, second = db.WriterLock(store), db.WriterLock(store)
    assert db.writer_of(store) is None
    first.acquire()
    try:
        assert db.writer_of(store) == os.getpid()
        with pytest.raises(db.StoreError, match=str(os.getpid())):
            second.acquire()
    finally:
        first.release()
    assert db.writer_of(store) is None
    second.acquire()
    second.release()
