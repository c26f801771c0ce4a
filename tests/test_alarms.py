"""Mail that nobody reads: which, since when, and on what evidence."""

from pathlib import Path

import pytest

from agentmon.collab import alarms, archive
from agentmon.collab.archive import Draft
from agentmon.store import db
from tests.cli_run import run
from tests.differential import ingest
from tests.feeds import finished, write


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a session that the board calls by its folder."""
    ingest(tmp_path / "store", [write(tmp_path / "log.jsonl", finished(1))])
    return tmp_path / "store"


def sent(data_dir: Path, *drafts: Draft) -> None:
    conn = db.create(data_dir)
    with db.transaction(conn):
        for draft in drafts:
            archive.add(conn, draft)
    conn.close()


def found(data_dir: Path, now: float) -> list[tuple[str, str]]:
    conn = db.open_reading(data_dir)
    try:
        listed = alarms.alarms(conn, now)
        assert alarms.count(conn, now) == len(listed)
        return [(alarm.message_id, alarm.kind) for alarm in listed]
    finally:
        conn.close()


def test_nobody_of_that_name_after_a_while(store: Path) -> None:
    sent(store, Draft("m1", "api", ["ghost"], "hello", 1000.0))
    assert found(store, 1000.0 + alarms.GRACE) == []
    assert found(store, 1001.0 + alarms.GRACE) == [("m1", "no reader")]


def test_a_session_that_had_a_turn_since(store: Path) -> None:
    conn = db.open_reading(store)
    sid, cwd = conn.execute("SELECT sid, cwd FROM sessions").fetchone()
    ((round_id, start),) = conn.execute("SELECT round_id, start_time FROM rounds").fetchall()
    conn.close()
    name = cwd.rpartition("/")[2]
    sent(
        store,
        Draft("before", "api", [name], "read me", start - 5),
        Draft("after", "api", [name], "later", start + 5),
    )
    assert found(store, start + 1e6) == [("before", "unread")]
    conn = db.create(store)
    (alarm,) = alarms.alarms(conn, start + 1e6)
    assert (alarm.session_id, alarm.round_id, alarm.since) == (sid, round_id, start)
    assert alarm.evidence == f"{name} had a turn since, and has not read it"
    with db.transaction(conn):
        archive.mark(conn, name, ["before"], read=start + 9)
    conn.close()
    assert found(store, start + 1e6) == []


def test_an_agent_that_was_there_since_and_a_transport_that_is_not(store: Path) -> None:
    sent(
        store,
        Draft("m1", "api", ["web"], "one", 1000.0),
        Draft("m2", "web", ["api"], "two", 1030.0),
    )
    assert found(store, 9000.0) == []
    sent(store, Draft("m3", "web", ["api"], "three", 1200.0))
    assert found(store, 9000.0) == [("m1", "unread")]
    conn = db.create(store)
    conn.execute("INSERT INTO agent_outbox VALUES (1, 'm3', 'redis://away:6379', 8000.0)")
    conn.close()
    assert found(store, 8050.0) == [("m1", "unread")]
    assert found(store, 8070.0) == [("m3", "undelivered"), ("m1", "unread")]


def test_doctor_tells_of_them(store: Path) -> None:
    answer = run("doctor", "--data-dir", store)
    assert "messages" in answer.out
    assert "0 unread" in answer.out
    sent(store, Draft("m1", "api\x1b[31m", ["ghost"], "hello", 1000.0))
    answer = run("doctor", "--data-dir", store)
    assert "1 alarm: the last from api" in answer.out
    assert "nobody is called ghost" in answer.out
    assert "\x1b" not in answer.out
