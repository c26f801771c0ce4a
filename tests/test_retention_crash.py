"""Killed at any instant of a cleanup or a restore: whole in the store, or whole in the archive."""

import contextlib
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from agentmon.engine import cleaning
from agentmon.store import db
from agentmon.store.deltas import DeltaFiles
from agentmon.store.open import OpenStore
from agentmon.store.retention import finding
from agentmon.store.retention.leaving import Leaving
from agentmon.store.retention.plan import Policy
from agentmon.store.retention.returning import Returning
from tests.deep import only_deep
from tests.retention import NOW, archived, bring_back, clean, everything, query, small_store
from tests.scripted import scripted


class Death(BaseException):
    """Ends a run like a kill: nobody handles it."""


class Reaper:
    """Kills at the n-th instant that it is told of: before and after each thing that lasts."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left = at
        self._patch = patch
        for owner, name in (
            *((os, name) for name in ("replace", "unlink", "rmdir")),
            (DeltaFiles, "carry_out"),
            (Leaving, "step"),
            (Returning, "step"),
            (Returning, "_text"),
        ):
            self._haunt(owner, name)
        real = db.transaction

        @contextlib.contextmanager
        def transaction(conn: sqlite3.Connection) -> Generator[None]:
            with real(conn):
                yield
                self.pass_by()
            self.pass_by()

        for module in list(sys.modules.values()):
            if getattr(module, "transaction", None) is real:
                patch.setattr(module, "transaction", transaction)

    def _haunt(self, owner: Any, name: str) -> None:
        real: Callable[..., object] = getattr(owner, name)

        def haunted(*args: Any, **more: Any) -> object:
            found = real(*args, **more)
            self.pass_by()
            return found

        self._patch.setattr(owner, name, haunted)

    def pass_by(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Death


def nothing(*_: object) -> None:
    return


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", nothing)
    monkeypatch.setattr("os.sync", nothing)


def died(work: Callable[[], object], at: int) -> bool:
    """Whether the work was killed at its n-th instant; it was through before that otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        reaper = Reaper(patch, at)
        try:
            work()
        except Death:
            return True
        assert reaper.left > 0
        return False


def settle(store: Path) -> None:
    """The next start."""
    OpenStore(store).close()
    assert query(store, "SELECT state FROM removals WHERE state NOT IN ('gone', 'back')") == []
    assert query(store, "SELECT * FROM file_ops") == []
    names = {path.name for path in (store / "archive").glob("*")}
    assert names == {str(file).removeprefix("archive/") for (file,) in query(store, _FILES)}


_FILES = "SELECT file FROM removals WHERE state = 'gone' AND file IS NOT NULL"
_SIDS = "SELECT sid FROM sessions ORDER BY sid"


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stride", [29, *only_deep(1)])
def test_killed_at_many_instants_of_a_cleanup_and_a_restore(stride: int, tmp_path: Path) -> None:
    """With a stride of 1 at all of them."""
    store = small_store(tmp_path / "s", 1)
    before = everything(store)
    sids = [sid for (sid,) in query(store, _SIDS)]
    at, kills = 1, 0
    while died(lambda: clean(store), at):
        kills += 1
        settle(store)
        here = [sid for (sid,) in query(store, _SIDS)]
        assert sorted([*here, *archived(store)]) == sids
        bring_back(store, archived(store))
        assert everything(store) == before
        hold_no_longer(store)
        at += stride
    assert kills > 40 // stride
    kills, at = 0, 1
    while True:
        hold_no_longer(store)
        clean(store)
        sid = archived(store)[0]
        if not died(lambda sid=sid: cleaning.restore(store, sid, NOW), at):
            break
        kills += 1
        settle(store)
        with contextlib.suppress(finding.CannotRestore):  # it was through but for its archive
            cleaning.restore(store, sid, NOW)
        bring_back(store, archived(store))
        assert everything(store) == before
        at += stride
    assert kills > 25 // stride


def hold_no_longer(store: Path) -> None:
    """What was restored may go at once."""
    with contextlib.closing(sqlite3.connect(store / "agentmon.db")) as conn, conn:
        conn.execute("DELETE FROM removals WHERE state = 'back'")


@pytest.mark.parametrize("stride", [17, *only_deep(3)])
def test_killed_while_it_deletes(stride: int, tmp_path: Path) -> None:
    """A session that is to be deleted is there, or gone: never half."""
    store = small_store(tmp_path / "s", 1)
    whole = everything(store)
    at, seen = 1, set[int]()
    policy = Policy(30, None, "delete")
    while died(partial(clean, store, policy), at):
        settle(store)
        seen.add(len(query(store, _SIDS)))
        if len(query(store, _SIDS)) < 2:
            store = small_store(tmp_path / f"s{at}", 1)
            assert everything(store) == whole
        at += stride
    assert seen >= {1, 2}


@pytest.mark.deep
def test_an_instant_that_is_not_survived_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that go before the archive is whole: the next start has nothing to go by."""
    store = small_store(tmp_path / "s", 1)
    before = everything(store)
    monkeypatch.setattr("agentmon.store.retention.leaving.recover", nothing)
    lost = False
    for at in range(1, 80, 3):
        if died(lambda: clean(store), at):
            OpenStore(store).close()
            with contextlib.suppress(finding.CannotRestore):
                bring_back(store, archived(store))
            lost = lost or everything(store) != before
    assert lost


# -- really killed

CHILD = """
import sys
from pathlib import Path
from agentmon.engine import cleaning
from agentmon.store.retention.plan import Policy

store, number = Path(sys.argv[1]), 0
while True:
    now = 1.8e9 + 1e7 * number
    policy = Policy(30, None, "archive")
    cleaning.clean(store, policy, now, tell=lambda _: print("gone", flush=True))
    for row in cleaning.archived(store):
        cleaning.restore(store, row.session_id, now)
        print("back", flush=True)
    number += 1
"""


@pytest.mark.parametrize("kills", [1, *only_deep(5)])
def test_kill_9(kills: int, tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", 5)
    before = everything(store)
    rng = random.Random(5)
    for _ in range(kills):
        with scripted(CHILD, store) as run:
            for _ in range(rng.randrange(1, 14)):
                assert run.line()
            sleep(rng.random() * 0.02)  # anywhere between two of them; nothing is measured by it
            run.process.kill()
            run.process.wait()
        settle(store)
        assert len(query(store, _SIDS)) + len(archived(store)) == 6
    bring_back(store, archived(store))
    assert everything(store) == before
