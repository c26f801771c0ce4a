"""The command line from outside: what comes out where."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentmon import __version__
from tests.cli_run import Answer, command, environment, ran, run
from tests.deep import only_deep
from tests.differential import Row, assert_same
from tests.feeds import finished, sid_of, write
from tests.oracle import dump_of

SCREEN = ("textual", "rich")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two sessions that are over."""
    return write(tmp_path / "sse_lines.jsonl", [*finished(1), *finished(2, 100)])


@pytest.fixture
def store(tmp_path: Path, log: Path) -> Path:
    """A data folder with that log in it."""
    folder = tmp_path / "store"
    answer = run("ingest", log, "--data-dir", folder)
    assert answer.code == 0
    return folder


def rows(answer: Answer) -> list[Row]:
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


# -- the screen without a terminal


def test_without_a_terminal_the_board_is_printed_once(log: Path) -> None:
    answer = run(log)
    assert (answer.code, answer.err) == (0, "")
    assert "project-1" in answer.out
    assert "project-2" in answer.out
    assert "\x1b" not in answer.out
    assert run("--once", log).out.splitlines()[0] == answer.out.splitlines()[0]


def test_nothing_found_says_where_was_looked() -> None:
    answer = run()
    assert (answer.code, answer.err) == (0, "")
    assert "centralized-logs" in answer.out


def test_found_logs_are_shown(scratch_home: Path) -> None:
    write(scratch_home / "home/centralized-logs/claude/sse_lines.jsonl", finished(3))
    assert "project-3" in run().out


def test_the_board_as_json(log: Path) -> None:
    answer = run("--once", "--json", log)
    assert answer.err == ""
    assert "project-1" in json.dumps(json.loads(answer.out))


def test_a_replay_is_printed_at_its_end(log: Path, tmp_path: Path) -> None:
    answer = run("--replay", log, "--once", "--data-dir", tmp_path / "mine")
    assert answer.code == 0
    assert "project-1" in answer.out
    assert [*(tmp_path / "mine").iterdir()] == []  # its store was made there, and is gone


def test_a_replay_needs_no_right_to_write(log: Path) -> None:
    log.chmod(0o400)
    log.parent.chmod(0o500)
    try:
        answer = run("--replay", log, "--once")
    finally:
        log.parent.chmod(0o700)
    assert answer.code == 0
    assert "project-2" in answer.out


def test_the_demo_is_lively_and_touches_no_store(scratch_home: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    answer = run("--demo", env={"TMPDIR": str(temporary)})
    assert (answer.code, answer.err) == (0, "")
    assert len(answer.out.splitlines()) > 5
    assert list((scratch_home / "data").iterdir()) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("args", [("dump",), *only_deep((("--demo",),), (("--demo", "--json"),))])
def test_a_reader_that_has_seen_enough(args: tuple[str, ...], tmp_path: Path) -> None:
    """`| head -1`: quiet, exit code 0."""
    if args == ("dump",):  # more than a pipe holds
        many = write(tmp_path / "many.jsonl", [line for n in range(60) for line in finished(n)])
        assert run("ingest", many).code == 0
    process = subprocess.Popen(
        command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (0, b"")
    assert first


# -- the store


def test_the_dump_is_what_the_wire_said(log: Path, store: Path) -> None:
    assert_same(rows(run("dump", "--data-dir", store)), dump_of([log]))


def test_options_may_stand_before_the_command(store: Path) -> None:
    after = run("dump", "--data-dir", store)
    assert run("--data-dir", store, "dump") == after
    assert run("--json", f"--data-dir={store}", "dump") == after
    assert after.code == 0
    assert after.out


def test_a_file_named_like_a_command_is_a_path(tmp_path: Path) -> None:
    write(tmp_path / "dump", finished(1))
    answer = run("./dump", cwd=tmp_path)
    assert (answer.code, "project-1" in answer.out) == (0, True)
    answer = run("--once", "--", "dump", cwd=tmp_path)
    assert (answer.code, "project-1" in answer.out) == (0, True)


def test_the_dump_of_one_session(store: Path) -> None:
    found = rows(run("dump", "--session", sid_of(2), "--data-dir", store))
    everything = rows(run("dump", "--data-dir", store))
    assert {row["sid"] for row in found if "sid" in row} == {sid_of(2)}
    expected = [row for row in everything if row.get("sid") == sid_of(2)]
    assert [row for row in found if "sid" in row] == expected
    assert {row["kind"] for row in found} == {row["kind"] for row in everything}


def test_the_dump_with_its_text(store: Path) -> None:
    plain = rows(run("dump", "--data-dir", store))
    found = rows(run("dump", "--text", "--data-dir", store))
    texts = [row.pop("text") for row in found if row["kind"] in ("block", "tool_result")]
    assert found == plain
    assert "I look at đây 🎉." in texts
    assert '{"command":"ls"}' in texts
    assert "a\nb" in texts


def test_a_dump_does_not_depend_on_the_locale(store: Path) -> None:
    plain = run("dump", "--text", "--data-dir", store)
    assert run("dump", "--text", "--data-dir", store, env={"PYTHONIOENCODING": "ascii"}) == plain


def test_a_terminal_that_knows_only_ascii(log: Path, store: Path) -> None:
    answer = run("--once", log, "--data-dir", store, env={"PYTHONIOENCODING": "ascii"})
    assert (answer.code, answer.err) == (0, "")
    assert "project-1" in answer.out


def test_ingest_says_what_it_did(log: Path, tmp_path: Path) -> None:
    answer = run("ingest", log, "--data-dir", tmp_path / "store")
    assert (answer.code, answer.err) == (0, "")
    assert "sessions 2" in answer.out
    assert "tool results 2" in answer.out
    again = json.loads(run("ingest", log, "--json", "--data-dir", tmp_path / "store").out)
    assert again["bytes_read"] == 0
    assert again["counts"]["lines"] == len(log.read_bytes().splitlines())
    assert again["tables"]["sessions"] == 2
    assert again["sources"] == [str(log)]


def test_ingest_of_standard_input(log: Path, tmp_path: Path) -> None:
    answer = run("ingest", "-", "--data-dir", tmp_path / "store", stdin=log.read_bytes())
    assert answer.code == 0
    assert_same(rows(run("dump", "--data-dir", tmp_path / "store")), dump_of([log]))


def test_ingest_of_a_folder(tmp_path: Path) -> None:
    logs = [write(tmp_path / f"logs/{n}/sse_lines.jsonl", finished(n)) for n in (1, 2, 3)]
    answer = run("ingest", tmp_path / "logs", "--data-dir", tmp_path / "store")
    assert (answer.code, answer.err) == (0, "")
    assert_same(rows(run("dump", "--data-dir", tmp_path / "store")), dump_of(logs))


def test_a_reprocessing_alone(store: Path) -> None:
    answer = run("ingest", "--reprocess", "--json", "--data-dir", store)
    assert (answer.code, json.loads(answer.out)["tables"]["sessions"]) == (0, 2)


@pytest.mark.parametrize(
    "args", [("doctor",), ("config",), ("--once",), ("--demo",)], ids=lambda args: args[0]
)
def test_json_wherever_there_is_output(args: tuple[str, ...], store: Path) -> None:
    answer = run(*args, "--json", "--data-dir", store)
    assert answer.code == 0
    assert json.loads(answer.out)


# -- doctor and config


def test_doctor_ends_with_its_verdict(store: Path) -> None:
    well = run("doctor", "--data-dir", store)
    assert (well.code, well.err) == (0, "")
    (store / "agentmon.db").write_bytes(b"no database at all" * 100)
    ill = run("doctor", "--data-dir", store, "--json")
    assert (ill.code, ill.err) == (1, "")
    assert [check["name"] for check in json.loads(ill.out) if check["status"] == "fail"] == [
        "store"
    ]


def test_doctor_survives_a_bad_setting() -> None:
    answer = run("doctor", env={"AGENTMON_HEALTH__STALLED_AFTER": "soon"})
    assert answer.code == 1
    assert "soon" in answer.out
    assert "Traceback" not in answer.err


def origin_of(key: str, answer: Answer) -> tuple[object, str]:
    found = {row["key"]: row for row in json.loads(answer.out)["settings"]}
    return found[key]["value"], found[key]["origin"]


def test_flag_before_environment_before_file_before_default(
    scratch_home: Path, tmp_path: Path
) -> None:
    key, env = "store.data_dir", {"AGENTMON_STORE__DATA_DIR": str(tmp_path / "env")}
    assert origin_of(key, run("config", "--json")) == ("", "default")
    file = scratch_home / "config" / "agentmon" / "config.toml"
    file.parent.mkdir()
    file.write_text(f'[store]\ndata_dir = "{tmp_path}/file"\n[health]\nstalled_after = "2m"\n')
    found = run("config", "--json")
    assert origin_of(key, found) == (f"{tmp_path}/file", f"file {file}")
    assert origin_of("health.stalled_after", found) == (120.0, f"file {file}")
    value, origin = origin_of(key, run("config", "--json", env=env))
    assert (value, origin) == (f"{tmp_path}/env", "environment AGENTMON_STORE__DATA_DIR")
    found = run("config", "--json", "--data-dir", tmp_path / "flag", env=env)
    assert origin_of(key, found) == (f"{tmp_path}/flag", "flag")
    said = run("config", "--data-dir", tmp_path / "flag", env=env).out
    assert re.search(r"store\.data_dir = .*/flag'.*# flag", said)


def test_the_setting_is_what_counts(log: Path, tmp_path: Path) -> None:
    env = {"AGENTMON_STORE__DATA_DIR": str(tmp_path / "env")}
    assert run("ingest", log, env=env).code == 0
    assert (tmp_path / "env" / "agentmon.db").exists()


def test_an_unknown_setting_is_a_message_not_data(scratch_home: Path) -> None:
    file = scratch_home / "config" / "agentmon" / "config.toml"
    file.parent.mkdir()
    file.write_text("[health]\nstaled_after = 3\n")
    answer = run("config", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)
    assert "did you mean health.stalled_after" in answer.err


# -- what it loads, and what it says of itself


def test_the_version_is_told_at_once() -> None:
    assert run("--version") == Answer(0, f"agentmon {__version__}\n", "")


def modules(*args: object) -> set[str]:
    """What a command imports where everything is where it usually is."""
    argv = command(*args)
    usual = {key: text for key, text in environment().items() if not key.startswith("XDG_")}
    answer = ran([argv[0], "-X", "importtime", *argv[1:]], env=usual)
    assert answer.code == 0
    lines = [line for line in answer.err.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def imported(*args: object) -> set[str]:
    """The packages that a command imports."""
    return {name.partition(".")[0] for name in modules(*args)}


def test_the_version_loads_next_to_nothing() -> None:
    assert imported("--version").isdisjoint({*SCREEN, "click", "sqlite3", "msgspec"})


@pytest.mark.parametrize(
    "name", ["--once", *only_deep("dump", "ingest", "doctor", "config", "--demo")]
)
def test_the_screen_is_loaded_only_for_the_screen(name: str, log: Path, store: Path) -> None:
    args = (name, log) if name in ("--once", "ingest") else (name,)
    found = imported(*args, "--data-dir", store)
    assert "click" in found
    assert found.isdisjoint(SCREEN)


SLOW = {"msgspec", "pathlib", "platformdirs", "tempfile", "asyncio", "subprocess", "signal"}
"""What takes a tenth of Python's own start or more to import, and what sends does without."""


def test_what_hooks_call_imports_little(tmp_path: Path) -> None:
    modules("send", "web", "the store is made", "--data-dir", tmp_path)
    found = modules("send", "web", "hello", "--from", "api", "--data-dir", tmp_path)
    assert {"click", "sqlite3", "agentmon.collab.sending"} <= found
    ours = {name for name in found if name.startswith("agentmon.")}
    assert found.isdisjoint({*SCREEN, *SLOW})
    assert ours.isdisjoint({"agentmon.config.settings", "agentmon.store.migrations"})
    rooms = {name for name in ours if name.startswith("agentmon.commands.")}
    assert rooms <= {"agentmon.commands.messages", "agentmon.commands.options"}


@pytest.mark.deep
def test_imports_would_be_seen() -> None:
    answer = ran([sys.executable, "-X", "importtime", "-c", "import textual"], env=environment())
    assert " textual" in answer.err


@pytest.mark.parametrize("name", ["", "watch", "ingest", "dump", "doctor", "config"])
def test_help_has_an_example(name: str) -> None:
    answer = run(*[name] * bool(name), "--help")
    assert (answer.code, answer.err) == (0, "")
    words = "agentmon" if name in ("", "watch") else f"agentmon {name}"
    indented = [line for line in answer.out.splitlines() if line.startswith("  ")]
    assert any(re.match(rf" +(\S.*\| )?{words}\b", line) for line in indented), answer.out


def test_what_the_log_says_cannot_reach_the_terminal(tmp_path: Path) -> None:
    hostile = [line.replace(b"project-1", rb"\\u001b[2J\\u202e") for line in finished(1)]
    answer = run("--once", write(tmp_path / "log.jsonl", hostile))
    assert answer.code == 0
    assert "\x1b" not in answer.out
    assert "\u202e" not in answer.out
