"""The commands as somebody at a shell uses them, and the JSON that scripts read."""

import json
import os
import signal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from click.testing import CliRunner

from agentmon import worker
from agentmon.cli import main
from agentmon.commands import options
from agentmon.config import Loaded
from agentmon.report import retention
from agentmon.store.open import OpenStore
from agentmon.store.retention import plan as plans
from agentmon.store.retention.ledger import Run
from agentmon.store.retention.plan import Policy
from agentmon.store.retention.sizes import Sizes
from tests import golden
from tests.cli_run import Answer, Running, assert_one_sentence, inside, run
from tests.differential import ingest
from tests.feeds import finished, sid_of, wait_for, write
from tests.retention import NOW, archived, everything, small_store

_OF_THE_MACHINE = ("bytes", "before", "after", "expected", "freed", "changed_at", "archive", "wal")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(options, "now", lambda: NOW)
    return small_store(tmp_path / "s", 2)


def said(store: Path, *args: str) -> Any:
    """The JSON of a command; sizes, which depend on the version of SQLite, as words."""
    done = CliRunner().invoke(main, [*args, "--json", "--data-dir", str(store)])
    assert done.exit_code == 0, done.output
    return masked(json.loads(done.stdout))


def masked(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        found = cast("dict[str, object]", value)
        return {name: masked(one, name) for name, one in found.items()}
    if isinstance(value, list):
        return [masked(one, key) for one in cast("list[object]", value)]
    is_size = isinstance(value, int) and not isinstance(value, bool) and value > 100
    return "<a number>" if is_size or (key in _OF_THE_MACHINE and value is not None) else value


def test_golden(store: Path) -> None:
    golden.check("cleanup_dry_run", said(store, "cleanup", "--days", "30", "--dry-run"))
    golden.check("cleanup", said(store, "cleanup", "--days", "30"))
    golden.check("cleanup_nothing", said(store, "cleanup", "--max-size", "1GB", "--delete"))
    golden.check("restore_list", said(store, "restore", "--list"))
    golden.check("restore", said(store, "restore", sid_of(2)))


def test_golden_doctor() -> None:
    day = plans.DAY
    held = [
        plans.Held(f"s{n}", "claude", None, 0.0, 0.0, NOW - n * day, True, (), n << 20)
        for n in (5, 40, 50)
    ]
    plan = plans.make(Policy(30, None, "archive"), held, 3 << 30, NOW, lambda _p, _a: False)
    run_ = Run(3, NOW - 3 * 3600, NOW, "policy", "archive", 2, 12 << 20)
    sizes = Sizes(34 << 20, 2 << 20, 4 << 20, 120 << 20, 34_000, 8 << 20, 3, 1 << 20, None)
    checks = [
        retention.check_sizes(sizes, is_incremental=True),
        retention.check_policy(Policy(None, None, "archive"), plan, None, (0, 0), NOW),
        retention.check_policy(Policy(30, 2 << 30, "delete"), plan, run_, (5, 1), NOW + day),
    ]
    golden.check("doctor_retention", msgspec.to_builtins(checks))


def test_doctor_says_what_the_policy_would_do(store: Path) -> None:
    settings = Loaded({"retention.days": 30.0}, {}, [])
    text, _, failed = worker.examine(settings, store)
    lines = " ".join(text.split())
    assert "retention: archive daily older than 30 days: 3 sessions would go now" in lines
    assert "never run yet" in lines
    assert "sizes: database" in lines
    assert not failed
    text, _, _ = worker.examine(Loaded({}, {}, []), store)
    assert "retention: off, everything is kept: 3 sessions" in " ".join(text.split())


def test_limits_come_from_the_settings(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMON_RETENTION__DAYS", "30")
    monkeypatch.setenv("AGENTMON_RETENTION__ACTION", "delete")
    found = said(store, "cleanup", "--dry-run")
    assert (found["days"], found["max_size"], found["action"]) == (30.0, None, "delete")
    found = said(store, "cleanup", "--dry-run", "--max-size", "50")
    assert (found["days"], found["max_size"]) == (None, 50)


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", 1)

    def told(*args: object, place: Path = store) -> Answer:
        done = CliRunner().invoke(main, [*map(str, args), "--data-dir", str(place)])
        return Answer(done.exit_code, done.stdout, done.stderr)

    assert_one_sentence(told("cleanup"), "--days", "--max-size", code=2)
    assert_one_sentence(told("cleanup", "--days", "x"), "number of days", code=2)
    assert_one_sentence(told("cleanup", "--max-size", "-1"), "a size is needed", code=2)
    assert_one_sentence(told("cleanup", "--days", "1", place=tmp_path / "no"), "no store")
    assert_one_sentence(told("restore", "nothing"), "no archived session")
    assert_one_sentence(told("restore", tmp_path / "s.jsonl"), "no archive of agentmon")
    assert_one_sentence(told("restore", "x" * 5000), "no archived session")
    assert_one_sentence(told("restore", "a/b"), "there is no file a/b")
    assert_one_sentence(told("restore"), "--list", code=2)


def test_compaction_needs_a_store_that_nobody_writes(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s")
    opened = OpenStore(store)
    try:
        answer = inside("cleanup", "--compact", "--data-dir", store)
    finally:
        opened.close()
    assert_one_sentence(answer, f"pid {os.getpid()}", "stop it first")


@pytest.mark.deep
def test_a_running_agentmon_does_it(tmp_path: Path) -> None:
    """From another terminal: asked, waited for, reported; the follower goes on."""
    store, log = tmp_path / "s", write(tmp_path / "log.jsonl", finished(1))
    ingest(tmp_path / "whole", [log])
    with Running("ingest", "--follow", log, "--data-dir", store) as follower:
        wait_for(lambda: (store / "agentmon.db").exists() and count(store) == 1)
        done = run("cleanup", "--days", "30", "--data-dir", store)
        assert (done.code, archived(store)) == (0, [sid_of(1)]), done
        assert "archived 1 session of 1" in done.out
        assert f"pid {follower.process.pid}" in done.err
        back = run("restore", sid_of(1)[:30], "--data-dir", store)
        assert back.code == 0, back
        refused = run("restore", sid_of(1), "--data-dir", store)
        assert (refused.code, "Traceback" in refused.err) == (1, False)
        assert "is in the store" in refused.err.splitlines()[-1]
        stop = run("cleanup", "--compact", "--data-dir", store)
        assert_one_sentence(stop, f"pid {follower.process.pid}", "stop it first")
        assert follower.end(signal.SIGTERM).code == 0
    assert everything(store)[0] == everything(tmp_path / "whole")[0]
    assert os.listdir(store / "delta_store") == [sid_of(1)]


def count(store: Path) -> int:
    from agentmon.store import db

    try:
        conn = db.open_reading(store)
    except db.StoreError:
        return 0
    try:
        return int(conn.execute("SELECT COUNT(*) FROM sessions").fetchone()[0])
    finally:
        conn.close()
