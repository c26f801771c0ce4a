"""What leaves the store for an archive comes back byte for byte, and only what is over leaves."""

import random
import sqlite3
from pathlib import Path

import pytest

from agentmon import compression
from agentmon.engine import cleaning
from agentmon.store import db
from agentmon.store.open import OpenStore
from agentmon.store.retention import finding, pages, tables
from agentmon.store.retention import plan as plans
from agentmon.store.retention.plan import Held, Policy
from tests.deep import only_deep
from tests.differential import dumped, ingest
from tests.feeds import add, changes, finished, sid_of, snapshot, write
from tests.generate import joined, scenario
from tests.retention import (
    ALL,
    NOW,
    RECORDED,
    archived,
    bring_back,
    clean,
    everything,
    gone,
    query,
    rows_of,
    small_store,
)
from tests.test_crash import DEFECTS
from tests.wire import Talk


def nothing_to_wait_for(*_: int) -> None:
    return


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut would do cannot be seen here."""
    monkeypatch.setattr("os.fsync", nothing_to_wait_for)
    monkeypatch.setattr("os.sync", nothing_to_wait_for)


# -- there and back


@pytest.mark.parametrize("proxy", [True, *only_deep(False)])
def test_generated_logs_come_back_byte_for_byte(proxy: bool, tmp_path: Path) -> None:
    rng = random.Random(11)
    lines = scenario(rng, sessions=4, rounds=5, proxy=proxy, subagents=0.3, side=0.2, **DEFECTS)
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined(lines))
    ingest(tmp_path / "s", [log])
    there_and_back(tmp_path / "s")


def test_transcripts_rollouts_streams_and_hooks_come_back_byte_for_byte(tmp_path: Path) -> None:
    ingest(tmp_path / "s", RECORDED)
    assert any(row for row in query(tmp_path / "s", "SELECT 1 FROM told_blocks"))
    assert any(row for row in query(tmp_path / "s", "SELECT 1 FROM facts"))
    there_and_back(tmp_path / "s")


@pytest.mark.deep
def test_recordings_of_real_clients_come_back(shared: Path, tmp_path: Path) -> None:
    found = sorted((shared / "captures").rglob("sse_lines.jsonl"))[:2]
    found += sorted((shared / "samples").rglob("*.jsonl"))[:6]
    assert found
    ingest(tmp_path / "s", found)
    there_and_back(tmp_path / "s")


def there_and_back(data_dir: Path) -> None:
    before = everything(data_dir)
    report = clean(data_dir, now=NOW + 1e9)
    assert len(report.gone) == len(rows_before := before[1]["sessions"]), rows_before
    after = everything(data_dir)
    assert {name for name, rows in after[1].items() if rows} <= {"raw_events"}
    assert all(row[3] is None for row in after[1]["raw_events"])  # those of no session
    assert after[0][1] == {}
    assert not list((data_dir / "delta_store").iterdir())
    assert [row["kind"] for row in after[0][0]] == ["counts"]
    bring_back(data_dir, archived(data_dir))
    assert changes(snapshot(data_dir), before[0]) == []
    assert rows_of(data_dir) == before[1]
    assert not (data_dir / "archive").exists()


def test_without_zstd_archives_are_gzip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = small_store(tmp_path / "s")
    before = everything(store)

    def nothing(name: str) -> None:
        raise ImportError(name)

    with monkeypatch.context() as patch:
        patch.setattr(compression, "import_module", nothing)
        report = clean(store)
        assert {one.file and one.file[-7:] for one in report.sessions} == {".tar.gz"}
        cleaning.restore(store, sid_of(1), NOW)
    bring_back(store, archived(store))
    assert everything(store) == before


def test_an_archive_of_another_store(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    before = [row for row in dumped(store) if row.get("sid") == sid_of(1)]
    clean(store)
    archive = store / "archive" / f"{sid_of(1)}.tar.zst"
    done = cleaning.restore(tmp_path / "other", str(archive), NOW)
    assert (done.sid, done.is_removed) == (sid_of(1), False)
    assert archive.exists()
    assert [row for row in dumped(tmp_path / "other") if row.get("sid") == sid_of(1)] == before
    with pytest.raises(finding.CannotRestore, match="is in the store"):
        cleaning.restore(tmp_path / "other", str(archive), NOW)


def test_deleted_is_gone(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    report = clean(store, Policy(30, None, "delete"))
    assert {one.outcome for one in report.sessions} == {"deleted"}
    assert not any(rows_of(store).values())
    assert not (store / "archive").exists()
    with pytest.raises(finding.CannotRestore, match="was deleted"):
        cleaning.restore(store, sid_of(1), NOW)


def test_restoring_twice_is_harmless(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    clean(store)
    cleaning.restore(store, sid_of(1), NOW)
    before = everything(store)
    with pytest.raises(finding.CannotRestore, match="is in the store"):
        cleaning.restore(store, sid_of(1), NOW)
    assert everything(store) == before


def test_what_was_restored_stays_for_as_long_as_what_is_new(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    clean(store)
    cleaning.restore(store, sid_of(2), NOW)
    assert gone(clean(store, now=NOW + 29 * plans.DAY)) == []
    assert gone(clean(store, now=NOW + 31 * plans.DAY)) == [sid_of(2)]


# -- what is said after it was archived


def test_a_session_that_speaks_again_comes_as_a_new_one(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    clean(store)
    log = tmp_path / "s.jsonl"
    again = finished(1, at=10_000_000)
    add(log, again)
    ingest(store, [log])
    ingest(tmp_path / "alone", [write(tmp_path / "again.jsonl", again)])
    assert dumped(store)[:-1] == dumped(tmp_path / "alone")[:-1]
    with pytest.raises(finding.CannotRestore, match="is in the store"):
        cleaning.restore(store, sid_of(1), NOW)
    report = clean(store)
    assert [one.file for one in report.sessions] == [f"archive/{sid_of(1)}.2.tar.zst"]
    assert archived(store).count(sid_of(1)) == 2


def test_a_log_that_is_read_to_its_end_is_not_read_again(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    clean(store)
    log = tmp_path / "s.jsonl"
    ingest(store, [log])
    log.rename(tmp_path / "s.jsonl.1")
    ingest(store, [tmp_path / "s.jsonl.1"])
    assert [row["kind"] for row in dumped(store)] == ["counts"]


# -- which go


def held(**changed: object) -> Held:
    values: dict[str, object] = {
        **{"sid": "s", "agent": "claude", "cwd": None, "first_time": 0.0, "last_time": 0.0},
        **{"active": NOW - 90 * plans.DAY, "has_ended": True, "pids": (), "bytes": 100},
    }
    return Held(**{**values, **changed})  # pyright: ignore[reportArgumentType]


def dead(_pid: int, _at: float) -> bool:
    return False


def alive(_pid: int, _at: float) -> bool:
    return True


@pytest.mark.parametrize(
    ("one", "is_alive", "is_over"),
    [
        (held(), dead, True),
        (held(pids=(1,)), alive, False),
        (held(pids=(1,)), dead, True),
        (held(has_ended=False), dead, True),
        (held(active=None), dead, False),
        (held(active=NOW - 3599), dead, False),
        (held(active=NOW - 3601), dead, True),
        (held(active=NOW - 3601, has_ended=False), dead, False),
        (held(active=NOW - 86_401, has_ended=False), dead, True),
        (held(active=NOW + 5), dead, False),
    ],
)
def test_when_a_session_is_over(one: Held, is_alive: plans.IsAlive, is_over: bool) -> None:
    assert plans.is_over(one, NOW, is_alive) == is_over


def test_the_oldest_go_until_the_rest_fits() -> None:
    sessions = [
        held(sid=f"s{day}", active=NOW - day * plans.DAY, bytes=100 + day) for day in (2, 9, 5, 7)
    ]
    sessions.append(held(sid="runs", active=NOW - 8 * plans.DAY, pids=(5,), bytes=1000))
    size = 5000

    def of_runs(pid: int, _at: float) -> bool:
        return pid == 5

    def going(limit: int, days: float | None = None) -> list[tuple[str, str]]:
        plan = plans.make(Policy(days, limit, "archive"), sessions, size, NOW, of_runs)
        taken = sum(one.held.bytes for one in plan.going)
        assert plan.left == size - taken
        assert plan.left <= limit or len(plan.going) == 4
        return [(one.held.sid, one.why) for one in plan.going]

    assert going(5000) == []
    assert going(4999) == [("s9", "size")]
    assert going(5000 - 109) == [("s9", "size")]
    assert going(5000 - 110) == [("s9", "size"), ("s7", "size")]
    assert going(0) == [(f"s{day}", "size") for day in (9, 7, 5, 2)]
    assert going(5000 - 110, days=6) == [("s9", "age"), ("s7", "age")]
    assert going(5000 - 300, days=8.5) == [("s9", "age"), ("s7", "size"), ("s5", "size")]


def test_what_runs_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process lives; it was active a minute ago; its end was seen, but it went on."""
    store = small_store(tmp_path / "s")
    last = dict(query(store, "SELECT sid, last_time FROM sessions"))
    pid = query(store, "SELECT pid FROM sessions WHERE sid = ?", sid_of(2))[0][0]
    born = [last[sid_of(2)] - 100]

    def is_running(one: int) -> bool:
        return one == pid

    def born_at(_: int) -> float:
        return born[0]

    monkeypatch.setattr(cleaning.procs, "is_running", is_running)
    monkeypatch.setattr(cleaning.procs, "born_at", born_at)
    assert sid_of(2) not in gone(clean(store, Policy(0.1, 1, "archive")))
    born[0] += 200
    assert gone(clean(store, Policy(0.1, 1, "archive"))) == [sid_of(2)]
    talk = Talk(sid_of(9), pid=4_000_009)
    on = [*finished(9), talk.prompt(5000, "and on", "u9b")]
    ingest(store, [write(tmp_path / "on.jsonl", on)])
    end = query(store, "SELECT last_time FROM sessions")[0][0]
    assert gone(clean(store, Policy(0, None, "archive"), now=end + 86_000)) == []
    assert gone(clean(store, Policy(0, None, "archive"), now=end + 86_500)) == [sid_of(9)]


def test_a_dry_run_says_what_is_then_done(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", 8)
    before = everything(store)
    sizes = cleaning.dry_run(store, ALL, NOW).before
    policy = Policy(None, sizes.base + (sizes.store - sizes.base) * 2 // 3, "archive")
    dry = cleaning.dry_run(store, policy, NOW)
    assert everything(store) == before
    done = clean(store, policy)
    assert 0 < len(dry.sessions) < 9
    assert [(one.sid, one.bytes, one.why) for one in dry.sessions] == [
        (one.sid, one.bytes, one.why) for one in done.sessions
    ]
    assert (dry.before.store, dry.kept, dry.expected) == (done.before.store, 0, done.expected)
    assert {one.outcome for one in dry.sessions} == {"planned"}
    assert {one.outcome for one in done.sessions} == {"archived"}
    assert done.after is not None
    page = query(store, "PRAGMA page_size")[0][0]
    assert abs(done.after.store - done.expected) <= 8 * page  # pages are not emptied evenly
    assert done.freed == done.before.store - done.after.store


def test_texts_are_counted_as_they_lie_on_the_disk(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    sizes = cleaning.dry_run(store, ALL, NOW).before
    paths = list((store / "delta_store").rglob("*"))
    files = [path.stat().st_size for path in paths if path.is_file()]
    folders = sum(path.is_dir() for path in paths)
    assert sizes.text_files == len(files)
    assert sizes.texts == sum(-(-size // 4096) * 4096 for size in files) + 4096 * folders
    page, count = (query(store, f"PRAGMA {name}")[0][0] for name in ("page_size", "page_count"))
    assert sizes.database == page * count


# -- the schema


def test_every_table_is_of_sessions_or_of_the_store(tmp_path: Path) -> None:
    """A new one with a sid or a flow_id goes with its session; one with neither is listed."""
    conn = db.create(tmp_path)
    try:
        found = {table.name for table in tables.tables(conn)}
        assert set(tables.names(conn)) <= found | tables.STORE_WIDE
        assert not found & tables.STORE_WIDE
        for table in tables.tables(conn):
            where = "flow_id" if table.by_flow else "sid"
            plan = conn.execute(f"EXPLAIN QUERY PLAN {table.rows_of(where)}", ("x",)).fetchall()
            assert all("SEARCH" in row[3] for row in plan), (table.name, plan)
        conn.execute("CREATE TABLE later (later_id INTEGER PRIMARY KEY, sid TEXT, x BLOB)")
        conn.execute("CREATE TABLE beside (flow_id TEXT PRIMARY KEY, y REAL)")
    finally:
        conn.close()
    small_store(tmp_path)
    with sqlite3.connect(tmp_path / "agentmon.db") as conn:
        conn.execute("INSERT INTO later (sid, x) VALUES (?, ?)", (sid_of(1), b"\0\xff"))
        flow = "SELECT flow_id, 1.5e300 FROM messages WHERE sid = ? LIMIT 1"
        conn.execute(f"INSERT INTO beside {flow}", (sid_of(1),))
        conn.execute(f"UPDATE beside SET y = {float('9e999')!r}".replace("inf", "9e999"))
    conn.close()
    before = everything(tmp_path)
    clean(tmp_path)
    assert not any(rows_of(tmp_path).values())
    bring_back(tmp_path, archived(tmp_path))
    assert everything(tmp_path) == before


def test_sizes_are_read_by_indexes(tmp_path: Path) -> None:
    from agentmon.store.retention import sizes

    conn = db.create(tmp_path)
    try:
        for name in ("_BLOCKS", "_RESULTS", "_SMALL"):
            plan = conn.execute(f"EXPLAIN QUERY PLAN {vars(sizes)[name]}", ("x",)).fetchall()
            assert not [
                row[3] for row in plan if row[3].startswith("SCAN ") and "CONSTANT" not in row[3]
            ]
    finally:
        conn.close()


# -- what is given back


def test_free_pages_go_back_to_the_file_system(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", 16, content="x" * 9_000)
    size = (store / "agentmon.db").stat().st_size
    report = clean(store)
    assert report.after is not None
    assert size > report.after.base + 150_000
    assert (store / "agentmon.db").stat().st_size == report.after.database
    assert (
        report.after.database < report.after.base + 100_000
    )  # the book of what went, and what search will ask for
    assert report.after.free_pages == 0
    assert report.after.wal == 0


def test_an_older_database_is_compacted_once(tmp_path: Path) -> None:
    store = tmp_path / "s"
    store.mkdir()
    with sqlite3.connect(store / "agentmon.db") as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("CREATE TABLE x (y)")
        conn.execute("DROP TABLE x")
    conn.close()
    small_store(store, 12)
    report = clean(store)
    assert report.after is not None
    assert report.after.free_pages > 0
    done = cleaning.clean(store, Policy(None, None, "archive"), NOW, compacts=True)
    assert done.after is not None
    assert done.after.free_pages == 0
    opened = OpenStore(store)
    assert pages.is_incremental(opened.conn)
    opened.close()


def test_a_reader_keeps_nobody_waiting(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    reader = db.open_reading(store)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM sessions").fetchone()
    assert len(gone(clean(store))) == 4
    assert len(reader.execute("SELECT * FROM sessions").fetchall()) == 4
    reader.close()


def test_ids_that_are_no_file_names(tmp_path: Path) -> None:
    """Two sids; one is what the other's folder is called."""
    from agentmon.store.deltas import safe_name

    odd = "../../../etc/" + "x" * 200
    sids = [odd, safe_name(odd)]
    ingest(
        tmp_path / "s",
        [write(tmp_path / "log.jsonl", [line for n in (1, 2) for line in finished(n)])],
    )
    conn = sqlite3.connect(tmp_path / "s" / "agentmon.db")
    for number, sid in enumerate(sids, 1):
        for table in tables.tables(conn):
            if table.has_sid:
                conn.execute(
                    f"UPDATE {table.name} SET sid = ? WHERE sid = ?", (sid, sid_of(number))
                )
        (tmp_path / "s" / "delta_store" / sid_of(number)).rename(
            tmp_path / "s" / "delta_store" / f"{safe_name(odd)}-{number}"
        )
    conn.commit()
    conn.close()
    target = tmp_path / "s" / "delta_store" / safe_name(odd)
    for number in (1, 2):
        for path in (tmp_path / "s" / "delta_store" / f"{safe_name(odd)}-{number}").iterdir():
            target.mkdir(exist_ok=True)
            path.rename(target / path.name)
    before = everything(tmp_path / "s")
    clean(tmp_path / "s")
    assert snapshot(tmp_path / "s")[1] == {}
    bring_back(tmp_path / "s", archived(tmp_path / "s"))
    assert rows_of(tmp_path / "s") == before[1]
    assert changes(snapshot(tmp_path / "s"), before[0]) == []
