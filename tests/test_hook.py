"""`agentmon hook`: one line per event, and never anything that could disturb an agent."""

import json
import os
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from agentmon import config
from agentmon.capture import hook
from agentmon.core.events import Notice, SessionEnd
from agentmon.sources.decoding import Context
from agentmon.sources.hooks import HookDecoder
from tests.cli_run import command, environment, run
from tests.deep import only_deep

SID = "5b1d2c3e-0000-4000-8000-000000000001"
EVENT: dict[str, object] = {
    "session_id": SID,
    "cwd": "/home/u/p",
    "hook_event_name": "PermissionRequest",
    "tool_name": "Bash",
    "tool_input": {"command": "rm x"},
}


def log_of(home: Path) -> Path:
    return home / "state" / "agentmon" / "capture" / "hooks.jsonl"


def rows_of(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log_of(home).read_bytes().splitlines()]


def tell(given: bytes, *args: str, env: dict[str, str] | None = None) -> None:
    """Runs the hook, which says nothing whatever happens."""
    done = run("hook", *args, stdin=given, env=env)
    assert done == (0, "", ""), done


def test_an_event_becomes_a_line_that_the_decoder_knows(scratch_home: Path) -> None:
    """A shell stands between, as with Claude Code."""
    before = time.time()
    pretty = json.dumps(EVENT, indent=2, ensure_ascii=False).encode()
    shell = ["sh", "-c", f"{' '.join(command('hook', 'claude'))} || true"]
    subprocess.run(shell, input=pretty, env=environment(), check=True)
    (row,) = rows_of(scratch_home)
    assert list(row) == ["t", "source", "parents", "payload"]
    assert row["payload"] == EVENT
    assert row["source"] == "claude"
    assert isinstance(row["t"], float)
    assert before <= row["t"] <= time.time()
    parents = row["parents"]
    assert isinstance(parents, list)
    above = cast("list[tuple[int, str]]", parents)
    assert os.getpid() in [pid for pid, _ in above]
    assert stat.S_IMODE(log_of(scratch_home).stat().st_mode) == 0o600
    assert stat.S_IMODE(log_of(scratch_home).parent.stat().st_mode) == 0o700
    notice, *_ = HookDecoder(Context("", time.time)).record(row, b"", 0)
    assert isinstance(notice, Notice)
    assert notice.meta.kind == "hook"


def test_the_client_above_the_hook_is_its_pid() -> None:
    parents = [(30, "sh"), (20, "claude.exe"), (10, "tmux: server")]
    assert hook.client_of(parents) == "claude"
    line = hook.line(
        b'{"hook_event_name": "SessionEnd", "session_id": "%s"}' % SID.encode(),
        client="claude",
        now=5.0,
        parents=parents,
    )
    (event, *_) = HookDecoder(Context("", time.time)).record(json.loads(line), line, 0)
    assert isinstance(event, SessionEnd)
    assert (event.meta.pid, event.time) == (20, 5.0)
    assert hook.client_of([(30, "sh"), (20, "node")]) is None


def test_ancestors_are_those_of_the_process_table() -> None:
    found = hook.ancestors(os.getpid())
    assert found[0][0] == os.getpid()
    assert found[1][0] == os.getppid()
    table = hook._table()  # pyright: ignore[reportPrivateUsage]
    assert table[os.getpid()][0] == os.getppid()


@pytest.mark.parametrize(
    "given", [b"", b"{", b"[1]", b"null", b"{} {}", b"\xff\xfe", b"[" * 100_000], ids=repr
)
def test_what_is_no_event_is_passed_over(scratch_home: Path, given: bytes) -> None:
    tell(given)
    assert not log_of(scratch_home).exists()


def test_odd_text_is_kept_on_one_line(scratch_home: Path) -> None:
    tell(b'{"hook_event_name": "Stop", "a": "\\ud83d \xff \x1b[2J\n"}')
    (row,) = rows_of(scratch_home)
    assert row["payload"] == {"hook_event_name": "Stop", "a": "\ud83d � \x1b[2J\n"}


def test_nothing_on_standard_input_no_home_no_room(scratch_home: Path, tmp_path: Path) -> None:
    event = json.dumps(EVENT).encode()
    argv = command("hook")
    closed = subprocess.run(
        ["sh", "-c", f"{' '.join(argv)} <&-"], env=environment(), capture_output=True, check=False
    )
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, b"", b"")
    tell(event, env={"XDG_STATE_HOME": "", "HOME": "/proc/nobody"})
    tell(event, env={"XDG_STATE_HOME": "/dev/full"})
    file = tmp_path / "file"
    file.write_text("")
    tell(event, env={"AGENTMON_CAPTURE__FOLDER": str(file)})
    tell(event, env={"AGENTMON_CAPTURE__FOLDER": "here"})
    assert not log_of(scratch_home).exists()


def test_a_line_that_the_disk_had_no_room_for_is_ended_by_the_next(scratch_home: Path) -> None:
    """A limit on the size of files stands for a full disk: the write is cut short."""
    event = json.dumps(EVENT).encode()
    tell(event)
    whole = log_of(scratch_home).stat().st_size

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 40, whole + 40))

    argv = command("hook")
    # the limit holds for bytecode as well
    env = {**environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        argv, input=event, env=env, preexec_fn=small, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert log_of(scratch_home).stat().st_size == whole + 40
    tell(event)
    first, torn, last = log_of(scratch_home).read_bytes().splitlines()
    assert json.loads(first)["payload"] == json.loads(last)["payload"] == EVENT
    assert len(torn) == 40


@pytest.mark.parametrize("count", [4, *only_deep(16)])
def test_many_hooks_at_once_write_whole_lines(count: int, scratch_home: Path) -> None:
    texts = [f"{number}" * 20_000 for number in range(count)]
    running = [
        subprocess.Popen(command("hook"), stdin=subprocess.PIPE, env=environment()) for _ in texts
    ]
    for process, text in zip(running, texts, strict=True):
        assert process.stdin is not None
        process.stdin.write(json.dumps({"hook_event_name": "Stop", "a": text}).encode())
        process.stdin.close()
    assert [process.wait() for process in running] == [0] * len(texts)
    # who looks while another writes takes the end for a torn one, and begins with an empty line
    lines = [line for line in log_of(scratch_home).read_bytes().splitlines() if line]
    payloads = [json.loads(line)["payload"] for line in lines]
    assert sorted(str(payload) for payload in payloads) == sorted(
        str({"hook_event_name": "Stop", "a": text}) for text in texts
    )


def test_the_folder_is_that_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both() -> tuple[str | None, str]:
        settings = config.load({}, os.environ).settings
        return hook.folder(os.environ), str(config.capture_dir(settings, os.environ))

    found = {both()}
    monkeypatch.delenv("XDG_STATE_HOME")
    found.add(both())
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    found.add(both())
    file = config.config_file(os.environ)
    file.parent.mkdir(parents=True)
    file.write_text('[capture]\nfolder = "~/seen"\n')
    found.add(both())
    monkeypatch.setenv("AGENTMON_CAPTURE__FOLDER", str(tmp_path))
    found.add(both())
    assert len(found) == 4
    for ours, theirs in found:
        assert ours == theirs
    monkeypatch.delenv("AGENTMON_CAPTURE__FOLDER")
    for text in (
        "capture.folder = '/a'",
        'capture = { folder = "/b" }',
        '[capture]\nmax_bytes = 9\n# why\nfolder = "/c"\n[ui]\nascii = true\n',
        "[capture]\nmax_age = 9\n[store]\ndata_dir = '/d'\n",
        '[capture]\nfolder = "/e\\u0066"  # odd\n',
        'paths = ["""\n[capture]\nfolder = "/no"\n"""]\n[capture]\nfolder = "/g"\n',
        '[capture]\r\nfolder = "/h"\r\n',
    ):
        file.write_bytes(text.encode())
        ours, theirs = both()
        assert ours == theirs, text
    file.write_text("[capture\nfolder")
    assert hook.folder(os.environ) == str(Path.home() / ".local/state/agentmon/capture")


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['agentmon', 'hook']\n"
        "import os; os._exit = lambda code: print(*sorted(sys.modules))\n"
        "from agentmon.capture import hook; hook.main([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b"{}",
        env=environment(),
        capture_output=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.decode().split()}
    assert not loaded & {"click", "msgspec", "asyncio", "subprocess", "tempfile", "textual"}
    assert not {"agentmon.config", "pathlib", "tomllib"} & set(done.stdout.decode().split())
