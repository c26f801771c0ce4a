"""Cleaning and restoring while a screen is open: nothing is lost, doubled or written back half."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentmon.engine import chores, cleaning, requests, retaining
from agentmon.engine.core import Engine
from agentmon.engine.passing import Passage, PassingLoader, Return
from agentmon.store import db
from agentmon.store.deltas import DeltaFiles
from agentmon.store.open import OpenStore
from agentmon.store.retention import departing, finding
from agentmon.store.retention.plan import Policy
from tests.deep import only_deep, some_of
from tests.differential import dumped, ingest
from tests.feeds import SIZE, add, changes, finished, now_ms, sid_of, snapshot, write
from tests.live_feed import feed, running, until, until_lines
from tests.retention import (
    ALL,
    NOW,
    archived,
    bring_back,
    clean,
    everything,
    query,
    rows_of,
    small_store,
)


def nothing(*_: object) -> None:
    return


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retaining.Keeper.__init__, "__kwdefaults__", QUICK)
    monkeypatch.setattr(chores, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(retaining, "PAUSE", 0.001)
    monkeypatch.setattr(requests, "_POLL", 0.01)
    monkeypatch.setattr("os.fsync", nothing)
    monkeypatch.setattr("os.sync", nothing)


QUICK = {"settle": 0.05, "listen": 0.02, "alive": cleaning.is_alive}


def sessions(store: Path) -> list[str]:
    return [sid for (sid,) in query(store, "SELECT sid FROM sessions ORDER BY sid")]


# -- the policy


async def test_the_policy_takes_out_what_is_over_and_leaves_what_runs(tmp_path: Path) -> None:
    old, log = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    write(old, [line for n in (1, 2, 3) for line in finished(n)])
    write(log, finished(7, at=now_ms()))
    ingest(tmp_path / "whole", [old])
    before = everything(tmp_path / "whole")
    store = tmp_path / "s"
    async with running(feed(store, old, log, retention=ALL)) as found:
        revision = found.revision
        await until(lambda: (store / "agentmon.db").exists() and len(archived(store)) == 3)
        assert sessions(store) == [sid_of(7)]
        assert found.revision > revision
        add(log, finished(8, at=now_ms()))
        await until_lines(found, 5 * SIZE)
        assert sessions(store) == [sid_of(7), sid_of(8)]
        assert len(query(store, "SELECT 1 FROM cleanups WHERE ended_at > 0 AND sessions = 3")) == 1
    assert {row["sid"] for row in dumped(store) if row["kind"] == "session"} == {
        sid_of(7),
        sid_of(8),
    }
    bring_back(store, archived(store))
    alone = [tables for tables in rows_of(store)["sessions"] if tables[0] in map(sid_of, (1, 2, 3))]
    assert alone == before[1]["sessions"]
    texts = {
        k: v for k, v in snapshot(store)[1].items() if k.startswith(tuple(map(sid_of, (1, 2, 3))))
    }
    assert texts == before[0][1]


async def test_once_a_day(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", 1)
    clean(store, Policy(1e5, None, "archive"))
    with sqlite3.connect(store / "agentmon.db") as conn:
        conn.execute("UPDATE cleanups SET cause = 'policy', started_at = unixepoch() - 80000")
    conn.close()
    async with running(feed(store, retention=ALL)) as found:
        await asyncio.sleep(0.2)
        assert archived(store) == []
        await found.write(lambda c: c.execute("UPDATE cleanups SET started_at = started_at - 8000"))
        await until(lambda: len(archived(store)) == 2)
    assert len(query(store, "SELECT 1 FROM cleanups")) == 2


async def test_without_limits_nothing_goes(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", 1)
    before = everything(store)
    async with running(feed(store, retention=Policy(None, None, "archive"))):
        await asyncio.sleep(0.2)
    assert everything(store) == before
    assert query(store, "SELECT * FROM cleanups") == []


# -- what others ask for


async def test_another_process_asks(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    before = everything(store)
    said: list[str] = []
    async with running(feed(store)) as found:
        wanted = requests.Request("cleanup", os_pid(), 30, None, "archive")
        answer = await asyncio.to_thread(requests.ask, store, wanted, said.append)
        assert answer.problem is None
        assert [one["outcome"] for one in answer.value["sessions"]] == ["archived"] * 4
        assert sessions(store) == []
        for sid in archived(store):
            wanted = requests.Request("restore", os_pid(), name=sid)
            answer = await asyncio.to_thread(requests.ask, store, wanted, said.append)
            assert answer.problem is None
        wanted = requests.Request("restore", os_pid(), name=sid_of(1))
        answer = await asyncio.to_thread(requests.ask, store, wanted, said.append)
        assert "is in the store" in str(answer.problem)
        assert found.status().problem is None
    assert everything(store) == before
    assert "does it" in said[0]
    assert not (store / "requests").exists()


def test_what_is_done_at_once_was_done_by_somebody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that takes it, answers and ends between two looks is named all the same."""

    def is_quick(data_dir: Path) -> None:
        for asked in requests.waiting(data_dir):
            asked.take()
            asked.answer(requests.Answer(value=7, pid=4711))

    monkeypatch.setattr(requests.db, "writer_of", is_quick)
    said: list[str] = []
    answer = requests.ask(tmp_path, requests.Request("cleanup", os_pid()), said.append)
    assert answer.value == 7
    assert said == ["the agentmon that is running (pid 4711) does it"]
    assert not (tmp_path / requests.FOLDER).exists()


def test_what_is_answered_just_now_is_not_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked clears up while the writer looks: the request is read, and then gone."""
    path = tmp_path / requests.FOLDER / "1-1.json"
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(requests.Request("cleanup", os_pid())))
    (asked,) = requests.waiting(tmp_path)
    asked.take()
    asked.answer(requests.Answer())
    read = Path.read_bytes

    def read_and_clear(self: Path) -> bytes:
        found = read(self)
        for suffix in (".json", ".taken", ".answer"):
            path.with_suffix(suffix).unlink()
        return found

    monkeypatch.setattr(Path, "read_bytes", read_and_clear)
    assert [*requests.waiting(tmp_path)] == []
    assert not path.exists()


def os_pid() -> int:
    import os

    return os.getpid()


def test_who_does_not_listen_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = small_store(tmp_path / "s")
    monkeypatch.setattr(requests, "TAKEN_WITHIN", 0.1)
    opened = OpenStore(store)
    try:
        with pytest.raises(db.StoreError, match=f"pid {os_pid()}.*try again later"):
            requests.ask(store, requests.Request("cleanup", os_pid(), 1), print)
    finally:
        opened.close()
    with pytest.raises(requests.Unanswered):
        requests.ask(store, requests.Request("cleanup", os_pid(), 1), print)
    assert not (store / "requests").exists()


def test_what_nobody_waits_for_any_more_is_not_done(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    (folder / "1-1.json").write_text('{"kind": "cleanup", "pid": 4000001, "days": 0}')
    (folder / "1-2.json").write_text('{"kind": "burn", "pid": 1}')
    (folder / "1-3.answer").write_text("{}")
    (folder / f"{os_pid()}-4.json").write_text(f'{{"kind": "restore", "pid": {os_pid()}}}')
    found = list(requests.waiting(tmp_path))
    assert [asked.path.name for asked in found] == [f"{os_pid()}-4.json"]
    assert [path.name for path in folder.iterdir()] == [f"{os_pid()}-4.json"]


# -- a session that speaks while it is on its way


class Scene:
    """A store, its engine, and a session that is taken out of it or brought back."""

    def __init__(self, store: Path, log: Path) -> None:
        self.opened = OpenStore(store)
        self.loader = PassingLoader(self.opened.conn)
        self.engine = Engine(store, self.loader, self.opened.known_sources())
        self.engine.open_paths([str(log)], follow=True)
        self.writer = db.create(store)

    def read(self) -> None:
        while self.engine.pump(1000) or not self.engine.is_whole:
            continue
        batch = self.engine.collect()
        batch.apply(self.writer, self.engine.files)
        self.engine.committed(batch)

    def close(self) -> None:
        if self.loader.passage is not None:
            self.loader.passage.close()
        self.engine.close()
        self.writer.close()
        self.opened.close()


def leave(scene: Scene, store: Path, steps: int) -> None:
    """So many steps of the way out of session 1."""
    scene.engine.state.forget_session(sid_of(1))
    departure = departing.begin(scene.writer, store, sid_of(1), archives=True, size=0, now=NOW)
    departing.write(departure, scene.writer)
    work = departing.leaving(departure)
    scene.loader.passage = Passage(work, scene.engine.files)
    for _ in range(steps):
        work.step(scene.writer, scene.engine.files)


@pytest.mark.parametrize("steps", some_of(range(12), 4))
def test_a_session_that_speaks_while_it_leaves(steps: int, tmp_path: Path) -> None:
    """What was is in the archive, what comes is new; no row is of both."""
    store, log = small_store(tmp_path / "s"), tmp_path / "s.jsonl"
    before = [row for row in dumped(store) if row.get("sid") == sid_of(1)]
    scene = Scene(store, log)
    try:
        scene.read()
        leave(scene, store, steps)
        again = finished(1, at=9_000_000)
        add(log, again)
        scene.engine.inputs.woke([str(log)])
        scene.read()
        assert scene.loader.passage is None
        assert query(store, "SELECT state FROM removals") == [("gone",)]
    finally:
        scene.close()
    alone = tmp_path / "alone"
    ingest(alone, [write(tmp_path / "again.jsonl", again)])
    found = [row for row in rows_of(store)["messages"] if sid_of(1) in row]
    assert [row[:1] + row[2:] for row in found] == [
        row[:1] + row[2:]
        for row in rows_of(alone)["messages"]  # all but the order of arrival
    ]
    for table in ("sessions", "agents", "rounds", "prompts", "stream_log"):
        mine = [row for row in rows_of(store)[table] if sid_of(1) in row]
        assert mine == rows_of(alone)[table], table
    archive = store / "archive" / f"{sid_of(1)}.tar.zst"
    cleaning.restore(tmp_path / "other", str(archive), NOW)
    assert [row for row in dumped(tmp_path / "other") if row.get("sid") == sid_of(1)] == before


@pytest.mark.parametrize("steps", some_of(range(13), 5))
def test_a_session_that_speaks_while_it_comes_back(steps: int, tmp_path: Path) -> None:
    """It goes on where it was, as if it had never been away."""
    store, log = small_store(tmp_path / "s"), tmp_path / "s.jsonl"
    clean(store)
    scene = Scene(store, log)
    again = finished(1, at=9_000_000)[:-1]
    try:
        scene.read()
        found = finding.find(scene.writer, store, sid_of(1))
        checked = finding.check(scene.writer, store, found)
        work = Return(store, found, checked, NOW)
        scene.loader.hear_elsewhere()
        scene.loader.passage = Passage(work, scene.engine.files)
        for _ in range(steps):
            work.step(scene.writer, scene.engine.files)
        add(log, again)
        scene.engine.inputs.woke([str(log)])
        scene.read()
        assert scene.loader.passage is None
    finally:
        scene.close()
    bring_back(store, archived(store))
    ingest(tmp_path / "whole", [log])
    assert changes(snapshot(store), snapshot(tmp_path / "whole")) == []


def test_a_session_that_spoke_while_it_was_archived_stays(tmp_path: Path) -> None:
    store, log = small_store(tmp_path / "s"), tmp_path / "s.jsonl"
    opened = OpenStore(store)
    try:
        departure = departing.begin(opened.conn, store, sid_of(1), archives=True, size=0, now=NOW)
        departing.write(departure, opened.conn)
        opened.conn.execute(
            "UPDATE sessions SET last_time = last_time + 1 WHERE sid = ?", (sid_of(1),)
        )
        passage = Passage(departing.leaving(departure), DeltaFiles(store))
        passage.finish(opened.conn)
        assert passage.problem is not None
        departing.give_up(opened.conn, departure)
    finally:
        opened.close()
    assert sid_of(1) in sessions(store)
    assert list((store / "archive").iterdir()) == []
    assert query(store, "SELECT * FROM removals") == []
    assert log.exists()


def test_a_restore_that_fails_takes_back_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of it: the archive is still there, and works later."""
    store = small_store(tmp_path / "s", content="x" * 20_000)
    before = everything(store)
    clean(store)
    full = "agentmon.store.retention.returning.Returning._text"

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    opened = OpenStore(store)
    try:
        found = finding.find(opened.conn, store, sid_of(1))
        work = Return(store, found, finding.check(opened.conn, store, found), NOW)
        passage = Passage(work, DeltaFiles(store))
        with monkeypatch.context() as patch:
            patch.setattr(full, fails)
            passage.finish(opened.conn)
        assert "No space" in str(passage.problem)
    finally:
        opened.close()
    assert not any(rows_of(store).values())
    assert len(archived(store)) == 4
    bring_back(store, archived(store))
    assert everything(store) == before


@pytest.mark.parametrize("times", [1, *only_deep(3)])
async def test_stopped_in_the_middle(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The screen is left while sessions leave: the next start has them all, here or there."""
    store = small_store(tmp_path / "s", 9)
    before = everything(store)
    monkeypatch.setattr(retaining, "SLICE", 0.0)
    for _ in range(times):
        async with running(feed(store, retention=ALL)):
            count = len(archived(store))
            await until(lambda count=count: len(archived(store)) > count)
        with sqlite3.connect(store / "agentmon.db") as conn:
            conn.execute("DELETE FROM cleanups")
        conn.close()
    OpenStore(store).close()
    assert len(sessions(store)) + len(archived(store)) == 10
    bring_back(store, archived(store))
    assert everything(store) == before
