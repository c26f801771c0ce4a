"""The JSON of the commands that are older than the questions, pinned over the demo's recording."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmon.assets import asset
from agentmon.cli import main
from agentmon.commands import options
from agentmon.engine.ingest import Ingestion
from agentmon.engine.playback import clock_over, read_until
from tests import golden
from tests.cli_run import run

MOMENT = 38.0
"""Seconds into the recording: calls are pending, a person is asked, a subagent writes."""

_OF_THE_RUN = {"seconds", "peak_memory_mb"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "store"
    path = str(asset("demo.jsonl"))
    clock = clock_over([path])
    with Ingestion(folder) as worker:
        read_until(worker.engine, [path], clock, clock.start + MOMENT)
        worker.commit()
        worker.conn.execute("UPDATE sources SET last_read = ?", (clock.start + MOMENT,))
    return folder


def said(monkeypatch: pytest.MonkeyPatch, *args: object) -> str:
    start = clock_over([str(asset("demo.jsonl"))]).start
    monkeypatch.setattr(options, "now", lambda: start + MOMENT)
    done = CliRunner().invoke(main, [*map(str, args)])
    assert done.exit_code in (0, 1), done.output
    return done.stdout


def test_status(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.loads(said(monkeypatch, "status", "--json", "--data-dir", store))
    golden.check("status", value)


def test_wait(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("wait", "--session", "web", "--until", "permission", "--timeout", "5s")
    golden.check("wait", json.loads(said(monkeypatch, *wanted, "--json", "--data-dir", store)))


def test_once(monkeypatch: pytest.MonkeyPatch) -> None:
    golden.check("once", json.loads(said(monkeypatch, "--demo", "--once", "--json")))


def test_dump(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(monkeypatch, "dump", "--data-dir", store).splitlines()
    golden.check("dump", [json.loads(line) for line in lines])


def test_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = said(monkeypatch, "ingest", asset("demo.jsonl"), "--json", "--data-dir", tmp_path)
    value: dict[str, Any] = json.loads(shown)
    value["sources"] = [Path(path).name for path in value["sources"]]
    golden.check("ingest", {k: v for k, v in value.items() if k not in _OF_THE_RUN})


def test_config(monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.loads(said(monkeypatch, "config", "--json"))
    golden.check("config", value["settings"])


def test_doctor(store: Path) -> None:
    """What it finds is of the machine; which checks there are, and their form, is not."""
    rows = json.loads(run("doctor", "--json", "--data-dir", store).out)
    names = [re.sub(r"^(source) .*", r"\1 …", row["name"]) for row in rows]
    golden.check(
        "doctor", {"checks": names, "fields": sorted({key for row in rows for key in row})}
    )
