"""The commands over a real server: send, listen, doctor, config."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmon.cli import main
from tests import cli_run
from tests.redis_server import Server, running


@pytest.fixture
def server() -> Iterator[Server]:
    yield from running(password="hunter2", tcp=True)


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == code, done.output
    assert "hunter2" not in done.output
    return done.output


def doctor(tmp_path: Path, code: int) -> dict[str, Any]:
    """The checks of a process of its own: the screen's descriptor is real there."""
    env = {"AGENTMON_REDIS__URL": os.environ["AGENTMON_REDIS__URL"]}
    done = cli_run.run("doctor", "--json", "--data-dir", tmp_path, env=env)
    assert "hunter2" not in done.out + done.err
    found = {check["name"]: check for check in json.loads(done.out)}
    assert done.code == code, found
    return found


def test_from_one_machine_to_another(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    run("send", "web", "by a flag", "--from", "api", "--url", server.url, "--data-dir", one)
    monkeypatch.setenv("AGENTMON_REDIS__URL", server.url)
    run("send", "web", "by the environment", "--from", "api", "--data-dir", one)
    given = ("--agent", "web", "--count", "2", "--timeout", "60s", "--json", "--data-dir", two)
    lines = [json.loads(line) for line in run("listen", *given).splitlines()]
    assert [line["body"] for line in lines] == ["by a flag", "by the environment"]
    assert json.loads(run("inbox", "--agent", "web", "--json", "--data-dir", two)) == []


def test_an_inbox_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMON_REDIS__URL", server.url)
    one, two = ("--data-dir", str(tmp_path / "one")), ("--data-dir", str(tmp_path / "two"))
    for number in range(3):
        run("send", "web", str(number), "--from", "api", *one)
    given = ("inbox", "--agent", "web", "--json", "--limit", "200", *two)
    found = json.loads(run(*given))
    assert [mail["body"] for mail in found] == [str(number) for number in range(3)]
    server.kill()
    assert "Redis at redis://127.0.0.1" in run("inbox", "--agent", "web", *two)


def test_a_server_that_is_down_and_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMON_REDIS__URL", server.url)
    store = ("--data-dir", str(tmp_path))
    found = doctor(tmp_path, 0)["redis"]
    assert found["status"] == "ok"
    assert "version 6.2" in found["message"]
    server.kill()
    output = run("send", "web", "later", "--from", "api", *store)
    assert "it waits in the store until the server takes it" in output
    found = doctor(tmp_path, 1)
    assert found["redis"]["status"] == "fail"
    assert found["redis"]["message"].startswith(
        f"redis://127.0.0.1:{server.port}/0 does not answer"
    )
    assert found["outbox"]["message"].startswith("1 message for redis://127.0.0.1")
    server.start()
    run("send", "web", "now", "--from", "api", *store)
    assert "outbox" not in doctor(tmp_path, 0)


@pytest.mark.parametrize(
    "url", ["http://:hunter2@h/", "redis://:hunter2@h/0?no_such_option=1", "redis://:hun/ter2@h"]
)
def test_an_address_that_is_none(url: str, tmp_path: Path) -> None:
    output = run(
        "send", "web", "x", "--from", "api", "--url", url, "--data-dir", str(tmp_path), code=1
    )
    assert "redis.url" in output
    assert "ter2" not in output


def test_settings_are_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMON_REDIS__URL", "rediss://alice:hunter2@db.example/3")
    assert "redis.url = 'rediss://db.example:6379/3'" in run("config")
    rows = {row["key"]: row for row in json.loads(run("config", "--json"))["settings"]}
    assert rows["redis.url"]["value"] == "rediss://db.example:6379/3"
    assert rows["redis.max_inbox"]["value"] == 10_000
