"""Commands that tests fork do what commands do that a shell starts."""

import json
from pathlib import Path

import pytest

from agentmon import cli
from agentmon.assets import asset
from tests.cli_run import FORKS, PATIENCE, Answer, environment, run
from tests.forks import Forked

pytestmark = pytest.mark.skipif(not FORKS, reason="no command is forked here")

SERVES = {"hook", "listen", "mcp", "run", "serve-metrics", "ship", "tap"}
"""Commands that serve somebody: what they say of themselves must do here."""

COMMANDS = """
balance
bundle --session SID --output OUT
checkpoint list
cleanup --days 1 --dry-run
compare SID SID
config
dashboard
decide q --decision d
decisions
doctor
dump
errors
export SID
hooks status
inbox --agent web
incidents --session SID
ingest LOG
messages
otel --endpoint http://127.0.0.1:9 nobody
parallel ROUND
pending
rate ROUND
restore nobody
rounds SID
search the
send web hi --from api
sessions
show ROUND
sql SELECT(1)
stalled
stats SID
status
timeseries SID
tool nobody
unbalanced
wait --session nobody --timeout 10ms
watch --once
work
"""


def fresh(*args: object) -> Answer:
    """What a command comes to that has to import all it needs."""
    process = Forked([*map(str, args)], cwd=None, env=environment(), fresh=True)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return Answer(process.wait(), out.decode(), err.decode())


def test_each_command_imports_what_it_needs(tmp_path: Path) -> None:
    """In a warm process, a command that forgets an import, or can't be the first to, would pass."""
    store, log = tmp_path / "store", asset("demo.jsonl")
    given = ("--data-dir", store)
    assert run("ingest", log, *given).code == 0
    sid = next(
        row["sid"] for row in map(json.loads, run("dump", *given).out.splitlines()) if "sid" in row
    )
    (first, *_) = json.loads(run("rounds", sid, "--json", *given).out)
    words: dict[str, object] = {
        "SID": sid,
        "ROUND": first["round_id"],
        "LOG": log,
        "OUT": tmp_path / "out",
    }
    lines = [line.split() for line in COMMANDS.split("\n") if line]
    lines += [[name, "--help"] for name in SERVES]
    known = {name for names in cli.ROOMS.values() for name in names.split()}
    assert sorted(line[0] for line in lines) == sorted({*known, *cli.main.commands})
    for line in lines:
        args = [words.get(word, word) for word in line]
        answer = fresh(*args, *(() if line[-1] == "--help" else given))
        assert answer.code == (1 if "nobody" in args else 0), (args, answer)
        assert "Traceback" not in answer.err
