"""Commands that tests fork do what commands do that a shell starts."""

import pytest

from agentmon import cli
from agentmon.assets import asset
from agentmon.store import db
from tests.cli_run import FORKS, PATIENCE, Answer, environment
from tests.deep import each_nth
from tests.demo_store import demo_store
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


LINES = [*filter(None, COMMANDS.split("\n")), *(f"{name} --help" for name in sorted(SERVES))]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What words in capitals stand for."""
    folder = tmp_path_factory.mktemp("forks")
    store = demo_store(folder / "store")
    conn = db.open_reading(store)
    sid, round_id = conn.execute("SELECT sid, round_id FROM rounds ORDER BY start_time").fetchone()
    conn.close()
    log, out = asset("demo.jsonl"), folder / "out"
    return {"SID": sid, "ROUND": round_id, "LOG": log, "OUT": out, "STORE": store}


def test_every_command_is_in_the_list() -> None:
    known = {name for names in cli.ROOMS.values() for name in names.split()}
    assert sorted(line.split()[0] for line in LINES) == sorted({*known, *cli.main.commands})


@pytest.mark.parametrize("line", each_nth(LINES, 5))
def test_each_command_imports_what_it_needs(line: str, words: dict[str, object]) -> None:
    """In a warm process, a command that forgets an import, or can't be the first to, would pass."""
    args = [words.get(word, word) for word in line.split()]
    given = () if args[-1] == "--help" else ("--data-dir", words["STORE"])
    answer = fresh(*args, *given)
    assert answer.code == (1 if "nobody" in args else 0), (args, answer)
    assert "Traceback" not in answer.err
