"""Every call is handed to every rule, once per version; kills, two at once, what comes and goes."""

import asyncio
import random
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest

from agentmon.collab import deriving, rules
from agentmon.collab.calls_seen import Call, Heard, Rule
from agentmon.collab.deriving import Deriver, catch_up
from agentmon.core.health import Limits
from agentmon.engine import chores
from agentmon.engine import deriving as running
from agentmon.engine.live import Live
from agentmon.report import board, known
from agentmon.store import db, read_whole_calls, search_queue
from tests.demo_store import demo_store
from tests.derived import anything, asked, calls_of, derive, prepare, recorder, taken, times
from tests.differential import ingest
from tests.feeds import finished, write
from tests.generate import joined, scenario
from tests.retention import NOW, RECORDED, bring_back, clean, copy, gone
from tests.scripted import scripted
from tests.test_crash import DEFECTS

DEMO = Path(__file__).parents[1] / "agentmon" / "demo.jsonl"
RULE = [recorder()]


@pytest.mark.parametrize("defects", [{}, DEFECTS], ids=["sound", "damaged"])
def test_every_call_with_a_result_is_taken_once_and_whole(
    tmp_path: Path, defects: dict[str, float]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined(scenario(random.Random(11), **defects)))
    ingest(tmp_path / "store", [log])
    derive(tmp_path / "store")
    expected = calls_of([log])
    found = taken(tmp_path / "store")
    assert len(expected) > 5
    assert {key: found.get(key) for key in expected} == expected
    unseen = [key for key in found if key not in expected]
    assert all(found[key].result is None for key in unseen)
    assert set(times(tmp_path / "store").values()) == {1}


def test_what_is_read_bit_by_bit_gives_the_same_as_all_at_once(tmp_path: Path) -> None:
    lines = DEMO.read_bytes().splitlines(keepends=True)
    log, grown, whole = tmp_path / "log.jsonl", tmp_path / "grown", tmp_path / "whole"
    log.touch()
    for start in range(0, len(lines), 97):
        with log.open("ab") as file:
            file.write(b"".join(lines[start : start + 97]))
        ingest(grown, [log])
        derive(grown)
    demo_store(whole)
    derive(whole)
    assert taken(grown) == taken(whole)
    assert calls_of([DEMO]).items() <= taken(whole).items()


def test_pages_and_transactions_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo_store(tmp_path)
    derive(tmp_path)
    for page, calls, size in ((256, 2, 1 << 20), (3, 64, 1 << 20), (256, 64, 200)):
        monkeypatch.setattr(deriving, "PAGE", page)
        monkeypatch.setattr(deriving, "CALLS", calls)
        monkeypatch.setattr(deriving, "BYTES", size)
        name = f"{page} {calls} {size}"
        derive(tmp_path, recorder(), recorder(name))
        assert taken(tmp_path, name) == taken(tmp_path)
        assert set(times(tmp_path, name).values()) == {1}


def test_a_higher_version_goes_through_everything_again_and_a_lower_one_leaves_it(
    tmp_path: Path,
) -> None:
    demo_store(tmp_path)
    derive(tmp_path)
    derive(tmp_path, recorder(version=2))
    assert set(times(tmp_path).values()) == {2}
    derive(tmp_path)
    derive(tmp_path, recorder(version=2))
    assert set(times(tmp_path).values()) == {2}


def test_a_new_rule_takes_what_is_there_and_one_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    demo_store(tmp_path)
    derive(tmp_path)
    derive(tmp_path, recorder("other"))
    assert taken(tmp_path, "other") == taken(tmp_path)
    assert asked(tmp_path, "SELECT name FROM derivations") == [("other",)]


def test_rows_of_the_queue_that_went_unread_begin_it_anew(tmp_path: Path) -> None:
    lines = DEMO.read_bytes().splitlines(keepends=True)
    log, data_dir = tmp_path / "log.jsonl", tmp_path / "store"
    log.write_bytes(b"".join(lines[:400]))
    ingest(data_dir, [log])
    derive(data_dir)
    log.write_bytes(b"".join(lines))
    ingest(data_dir, [log])
    conn = db.create(data_dir)
    conn.execute("DELETE FROM search_queue WHERE seq < (SELECT MAX(seq) FROM search_queue)")
    conn.close()
    derive(data_dir)
    assert calls_of([DEMO]).items() <= taken(data_dir).items()


def test_the_queue_is_kept_until_it_is_read_by_all(tmp_path: Path) -> None:
    demo_store(tmp_path)
    prepare(tmp_path)
    conn = db.create(tmp_path)
    (last,) = conn.execute("SELECT MAX(seq) FROM search_queue").fetchone()
    conn.execute("INSERT INTO derivations VALUES ('slow', 1, 5, NULL, 0)")
    search_queue.trim(conn, last)
    assert conn.execute("SELECT MIN(seq) FROM search_queue").fetchone() == (6,)
    conn.execute("UPDATE derivations SET read_to = ?", (last,))
    search_queue.trim(conn, last)
    assert conn.execute("SELECT seq FROM search_queue").fetchall() == [(last,)]
    conn.close()


CHILD = """
import sys, time
from pathlib import Path
from agentmon.collab import deriving
from agentmon.store import db
from tests.derived import recorder
deriving.PAGE = deriving.CALLS = 4
deriving.read.MOST_BLOCKS = 20
data_dir = Path(sys.argv[1])
conn = db.create(data_dir)
deriver = deriving.Deriver(data_dir, conn, [recorder()])
for _ in range(int(sys.argv[2]) + 1):  # not to its end, however late it is killed
    if deriver.step():
        print("step", flush=True)
time.sleep(600)
"""


def test_killed_while_it_derives_it_goes_on(tmp_path: Path) -> None:
    demo_store(tmp_path)
    prepare(tmp_path)
    for steps in (1, 3):
        with scripted(CHILD, tmp_path, steps) as child:
            for _ in range(steps):
                assert child.line() == b"step\n"
            child.process.kill()  # SIGKILL, somewhere in the next step
            child.process.wait()
    derive(tmp_path)
    assert calls_of([DEMO]).items() <= taken(tmp_path).items()
    assert set(times(tmp_path).values()) == {1}


CHILD_OF_ALL = CHILD.replace("[recorder()]", "RULES").replace(
    "from tests.derived import recorder", "from agentmon.collab.rules import RULES"
)


def derived_rows(data_dir: Path) -> dict[str, list[object]]:
    """All that the rules of agentmon derive, but for when they did so."""
    names = (
        "agent_messages",
        "agent_deliveries",
        "agent_names",
        "daily_metrics",
        "work_events",
        "work_files",
        "decisions",
        "decision_revisions",
    )
    found: dict[str, list[object]] = {}
    for name in names:
        columns = [row[1] for row in asked(data_dir, f"PRAGMA table_info({name})")]
        kept = ", ".join(column for column in columns if column != "archived_at")
        found[name] = sorted(asked(data_dir, f"SELECT {kept} FROM {name}"), key=repr)
    return found


@pytest.mark.deep
def test_kills_and_two_at_once_change_nothing_of_what_is_derived(tmp_path: Path) -> None:
    unbroken, killed, shared_by_two = (tmp_path / name for name in ("one", "two", "three"))
    ingest(unbroken, [DEMO, *RECORDED])
    copy(unbroken, killed)
    copy(unbroken, shared_by_two)
    catch_up(unbroken, rules.RULES)
    expected = derived_rows(unbroken)
    assert all(expected[name] for name in ("agent_messages", "work_events", "work_files"))
    for steps in (1, 4):
        with scripted(CHILD_OF_ALL, killed, steps) as child:
            for _ in range(steps):
                assert child.line() == b"step\n"
            child.process.kill()
            child.process.wait()
    catch_up(killed, rules.RULES)
    assert derived_rows(killed) == expected
    both = [threading.Thread(target=catch_up, args=(shared_by_two, rules.RULES)) for _ in "ab"]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert derived_rows(shared_by_two) == expected


def test_what_is_derived_anew_or_comes_back_is_the_same(tmp_path: Path) -> None:
    ingest(tmp_path, RECORDED)
    catch_up(tmp_path, rules.RULES)
    expected = derived_rows(tmp_path)
    assert all(expected[name] for name in ("agent_messages", "work_events", "work_files"))
    conn = db.create(tmp_path)
    conn.execute("UPDATE derivations SET version = 0")
    conn.close()
    catch_up(tmp_path, rules.RULES)
    assert derived_rows(tmp_path) == expected
    sids = gone(clean(tmp_path, now=NOW))
    assert len(sids) > 3
    catch_up(tmp_path, rules.RULES)
    bring_back(tmp_path, sids)
    catch_up(tmp_path, rules.RULES)
    assert derived_rows(tmp_path) == expected


def test_two_at_once_take_each_call_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deriving, "CALLS", 4)
    monkeypatch.setattr(read_whole_calls, "MOST_BLOCKS", 16)
    demo_store(tmp_path)
    prepare(tmp_path)
    threads = [threading.Thread(target=catch_up, args=(tmp_path, RULE)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls_of([DEMO]).items() <= taken(tmp_path).items()
    assert set(times(tmp_path).values()) == {1}


def test_a_session_that_leaves_and_comes_back_is_given_again_as_it_was(tmp_path: Path) -> None:
    data_dir = tmp_path / "store"
    lines = [line for n in (1, 2) for line in finished(n, content="long " * 4000)]
    ingest(data_dir, [write(tmp_path / "log.jsonl", lines)])
    derive(data_dir)
    before = taken(data_dir)
    assert len(before) == 2
    sids = gone(clean(data_dir, now=NOW))
    derive(data_dir)
    bring_back(data_dir, sids)
    derive(data_dir)
    assert taken(data_dir) == before
    assert set(times(data_dir).values()) == {2}


def test_a_result_that_becomes_more_exact_is_given_again(tmp_path: Path) -> None:
    demo_store(tmp_path)
    derive(tmp_path)
    key = next(iter(calls_of([DEMO])))
    conn = db.create(tmp_path)
    with db.transaction(conn):
        conn.execute("UPDATE tool_results SET content = 'exact' WHERE tool_use_id = ?", (key,))
        conn.execute(search_queue.QUEUE, (search_queue.RESULTS, key, 0))
    conn.close()
    derive(tmp_path)
    assert times(tmp_path)[key] == 2
    assert sum(times(tmp_path).values()) == len(taken(tmp_path)) + 1


def test_names_are_those_of_the_board(tmp_path: Path) -> None:
    demo_store(tmp_path)
    names: dict[tuple[str, str], str] = {}

    def take(_: sqlite3.Connection, call: Call) -> None:
        names[call.sid, call.agent_id or ""] = call.agent

    prepare(tmp_path)
    catch_up(tmp_path, [Rule("names", 1, anything, take, takes_open=True)])
    conn = db.open_reading(tmp_path)
    shown = {
        (thread.row.sid, thread.row.agent_id): known.name_of(thread)
        for session in board.read.sessions(conn)
        for row in board.read.agents(conn, session.sid)
        for thread in [board.Thread(row, session, [])]
    }
    conn.close()
    assert any(agent for _, agent in names)
    assert names.items() <= shown.items()


def test_notices_are_heard_once_and_a_rule_that_fails_stops_nobody(tmp_path: Path) -> None:
    demo_store(tmp_path)
    heard: list[str] = []

    def hear(_: sqlite3.Connection, notice: Heard) -> None:
        heard.append(notice.name)
        assert isinstance(notice.data, dict)

    def fail(_: sqlite3.Connection, call: Call) -> None:
        raise RuntimeError(call.name)

    bad = Rule("bad", 1, anything, fail, hears=anything, hear=hear)
    derive(tmp_path, bad, recorder())
    derive(tmp_path, bad, recorder())
    assert calls_of([DEMO]).items() <= taken(tmp_path).items()
    assert sorted(heard) == sorted(name for (name,) in asked(tmp_path, "SELECT name FROM notices"))


def test_arguments_that_are_no_object_and_calls_without_an_end(tmp_path: Path) -> None:
    demo_store(tmp_path)
    conn = db.create(tmp_path)
    key = next(iter(calls_of([DEMO])))
    sql = "SELECT sid, flow_id, block_index FROM content_blocks WHERE tool_use_id = ?"
    sid, flow_id, index = conn.execute(sql, (key,)).fetchone()
    path = tmp_path / read_whole_calls.block_path(sid, flow_id, index)
    path.write_text("*** Begin Patch\n")
    sql = "UPDATE content_blocks SET stored_bytes = 15, result_time = NULL WHERE tool_use_id = ?"
    conn.execute(sql, (key,))
    conn.close()
    derive(tmp_path)
    assert key not in taken(tmp_path)
    derive(tmp_path, msgspec.structs.replace(recorder("open"), takes_open=True))
    assert taken(tmp_path, "open")[key].input == {"text": "*** Begin Patch"}


async def test_a_running_agentmon_derives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(running, "EVERY", 0.01)
    monkeypatch.setattr(running, "SHARE", 1.0)
    monkeypatch.setattr(rules, "RULES", (recorder(),))
    log, data_dir = tmp_path / "log.jsonl", tmp_path / "store"
    lines = DEMO.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) // 2]))
    prepare(data_dir)
    feed = Live(data_dir, [str(log)], Limits())
    await feed.start()
    try:
        with log.open("ab") as file:
            file.write(b"".join(lines[len(lines) // 2 :]))
        wanted = calls_of([DEMO])
        while not wanted.items() <= taken(data_dir).items():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    finally:
        await feed.stop()


def test_each_query_of_the_deriver_is_answered_by_an_index(tmp_path: Path) -> None:
    demo_store(tmp_path)
    seen: list[str] = []
    conn = db.create(tmp_path)
    conn.set_trace_callback(seen.append)
    prepare(tmp_path)
    Deriver(tmp_path, conn, RULE).step()
    conn.set_trace_callback(None)
    asks = [sql for sql in seen if sql.lstrip().startswith(("SELECT", "WITH"))]
    assert len(asks) > 5
    for sql in asks:
        plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
        scans = {line.split()[1] for line in plan if line.startswith("SCAN")}
        small = {"file_ops", "derivations", "search_queue", "page", "q", "CONSTANT", "(subquery-1)"}
        assert scans <= small, (sql, plan)
    conn.close()
