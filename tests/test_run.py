"""`agentmon run`: the command is itself, its words are in the log, and nothing is left of it."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agentmon.capture import clients, running
from agentmon.capture.clients import Unclear
from agentmon.engine.feed import Status
from agentmon.report import capturing
from agentmon.ui import health, owner
from tests.cli_run import (
    PATIENCE,
    Answer,
    Running,
    assert_one_sentence,
    command,
    environment,
    run,
    run_anew,
    started,
)
from tests.model_server import model, serving
from tests.tapped import until

SID = "5b1d2c3e-0000-4000-8000-000000000001"
HERE = Path("/nowhere")

CLIENT = """
import json, os, sys, urllib.request
asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}],
         "tools": [{"name": "Bash"}]}
url = os.environ["ANTHROPIC_BASE_URL"]
request = urllib.request.Request(url + "/v1/messages", json.dumps(asked).encode(),
    {"Content-Type": "application/json", "X-Claude-Code-Session-Id": sys.argv[1],
     "User-Agent": "claude-cli/9.9.9 (external, cli)"})
body = urllib.request.urlopen(request).read()
print(url, os.getpid(), body.count(b"text_delta"))
sys.exit(7)
"""


async def ran(*args: str, env: dict[str, str] | None = None) -> tuple[int, Answer]:
    """Runs `agentmon run args…` beside this loop; its pid and how it ended."""
    process = started("run", *args, env=env)
    try:
        out, err = await asyncio.to_thread(lambda: process.communicate(timeout=PATIENCE))
    finally:
        process.kill()
    return process.pid, Answer(process.wait(), out.decode(), err.decode())


def rows_of(log: Path) -> list[dict[str, str]]:
    try:
        return [json.loads(line) for line in log.read_bytes().splitlines()]
    except FileNotFoundError:
        return []


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def listens(url: str) -> bool:
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


async def test_a_command_is_itself_recorded_and_nothing_is_left(
    scratch_home: Path, tmp_path: Path
) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    words = ["a ", "b ", "c "]
    async with serving(model(words, asks=False)) as server:
        given = ["--client", "claude", "--upstream", server.url, "--"]
        pid, done = await ran(*given, sys.executable, str(script), SID)
    assert done.code == 7, done
    url, client_pid, deltas = done.out.split()
    assert int(client_pid) == pid
    assert int(deltas) == len(words)
    assert len(done.err.splitlines()) == 1
    log = scratch_home / "state" / "agentmon" / "capture" / "sse_lines.jsonl"
    assert f"through {url}, recorded in {log}" in done.err
    await until(lambda: not listens(url))
    await until(lambda: "claude.session_end" in [row["event"] for row in rows_of(log)])
    rows = rows_of(log)
    assert {row["sid"] for row in rows} == {SID}
    assert {json.loads(row["metadata"])["pid"] for row in rows} == {pid}
    events = [row["event"] for row in rows]
    assert events[:2] == ["claude.session_start", "claude.user_prompt"]
    said = [json.loads(row["line"].removeprefix("data: "))["payload"] for row in rows]
    text = "".join(one["delta"].get("text", "") for one in said if "delta" in one)
    assert text == "".join(words)
    assert files_below(scratch_home) - {log} <= {log.parent.parent / "agentmon.log"}


async def test_it_ends_by_the_signal_that_ends_it_and_pipes_break_as_usual() -> None:
    shell = "yes | head -c 2 >/dev/null; kill -TERM $$"
    async with serving(model(["a"])) as server:
        given = ["--client", "claude", "--upstream", server.url, "--quiet", "--"]
        _, done = await ran(*given, "sh", "-c", shell)
        assert done == (-signal.SIGTERM, "", "")
        traps = "grep SigIgn /proc/self/status"
        if sys.platform == "linux":
            _, done = await ran(*given, "sh", "-c", traps)
            ignored = int(done.out.split()[1], 16)
            assert not ignored & 1 << signal.SIGPIPE - 1


async def test_the_terminal_is_the_commands(scratch_home: Path) -> None:
    """In its session, group and on its terminal; the tap is in none of them."""
    ours, theirs = pty.openpty()
    async with serving(model(["a"])) as server:
        given = ["--client", "claude", "--upstream", server.url, "--"]
        process = await asyncio.create_subprocess_exec(
            *command("run", *given, "sh", "-c", "test -t 0 && test -t 1 && echo here $$"),
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment(),
        )
        os.close(theirs)
        assert await process.wait() == 0
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        assert terminal.read(100).split() == [b"here", str(process.pid).encode()]


async def test_the_address_goes_where_it_is_asked_for() -> None:
    async with serving(model(["a"])) as server:
        given = ["--env", "MODEL_URL={url}/v1", "--env", "OTHER=x{url}", "--upstream", server.url]
        shown = 'echo $MODEL_URL $OTHER ${ANTHROPIC_BASE_URL:-no} "$NO_PROXY"'
        env = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "corp"}
        _, done = await ran(*given, "--", "sh", "-c", shown, env=env)
    one, two, three, direct = done.out.split()
    assert one == two.removeprefix("x") + "/v1"
    assert (three, direct) == ("no", "corp,127.0.0.1")


def test_a_running_tap_is_used(scratch_home: Path) -> None:
    given = ["--tap", "http://127.0.0.1:4711/", "--client", "claude"]
    done = run("run", *given, "--", "sh", "-c", "echo $ANTHROPIC_BASE_URL")
    assert (done.code, done.out) == (0, "http://127.0.0.1:4711\n")
    assert not (scratch_home / "state" / "agentmon").exists()


async def test_a_tap_that_runs_is_found(scratch_home: Path) -> None:
    """It is asked for the same model and records to the same log; one that is gone is not."""
    log = scratch_home / "state" / "agentmon" / "capture" / "sse_lines.jsonl"
    taken = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    path = running.announce(url, "https://api.anthropic.com", log)
    assert path.stat().st_mode & 0o777 == 0o600
    shown = ["--client", "claude", "--", "sh", "-c", "echo $ANTHROPIC_BASE_URL"]
    _, done = await ran(*shown)
    assert (done.code, done.out) == (0, f"{url}\n")
    assert running.find("https://api.openai.com", log) is None
    assert running.find("https://api.anthropic.com", log.with_name("other.jsonl")) is None
    taken.close()
    assert running.find("https://api.anthropic.com", log) is None
    row = json.loads(path.read_text())
    other = json.dumps({**row, "started": 1.0}), json.dumps({**row, "url": "http://8.8.8.8:1"})
    for text in (*other, "{}", "[]", '"x"', ""):
        path.write_text(text)
        assert running.find("https://api.anthropic.com", log) is None


async def test_a_command_within_another_is_recorded_once(scratch_home: Path) -> None:
    """The inner one inherits the outer one's tap as its model's address; a sibling does not."""
    inner = " ".join(command("run", "--client claude -- sh -c 'echo $ANTHROPIC_BASE_URL'"))
    async with serving(model(["a"])) as server:
        given = ["--client", "claude", "--upstream", server.url, "--"]
        _, done = await ran(*given, "sh", "-c", f"echo $ANTHROPIC_BASE_URL; {inner}")
    assert done.code == 0, done
    outer, same = done.out.split()
    assert outer == same
    await until(lambda: not listens(outer))
    folder = scratch_home / "state" / "agentmon" / "capture" / "taps"
    await until(lambda: list(folder.iterdir()) == [])
    path = running.announce(outer, "https://x", folder.with_name("log"), is_shared=False)
    assert running.find("https://x", folder.with_name("log")) is None
    path.unlink()


@pytest.mark.deep
async def test_what_could_not_be_recorded_is_told_by_doctor(
    scratch_home: Path, tmp_path: Path
) -> None:
    """The stream goes on; the terminal is the client's, so others are told."""
    script = tmp_path / "client.py"
    script.write_text(CLIENT + "\n")
    folder = tmp_path / "capture"
    (folder / "sse_lines.jsonl").mkdir(parents=True)
    env = {"AGENTMON_CAPTURE__FOLDER": str(folder)}
    client = f"{sys.executable} {script} {SID}; read line"
    async with serving(model(["a ", "b "])) as server:
        process = await asyncio.create_subprocess_exec(
            *command(
                "run", "--client", "claude", "--upstream", server.url, "--", "sh", "-c", client
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(env),
        )
        assert process.stdout is not None
        assert (await process.stdout.readline()).split()[2] == b"2"
        log = folder / "sse_lines.jsonl"
        await until(lambda: any(row["problem"] for row in running.rows(log)))
        (check,) = capturing.check_taps(folder)
        assert check.status == "warn"
        assert "not recorded" in check.message
        await process.communicate(b"\n")
    own = scratch_home / "state" / "agentmon" / "agentmon.log"
    assert "not recorded" in own.read_text()


async def test_a_tap_tells_that_it_runs(scratch_home: Path) -> None:
    folder = scratch_home / "state" / "agentmon" / "capture"
    async with serving(model(["a"])) as server:
        with Running("tap", "--upstream", server.url) as tap:
            url = await asyncio.to_thread(lambda: tap.line().decode().strip())
            await asyncio.to_thread(tap.line)
            assert running.find(server.url, folder / "sse_lines.jsonl") == url
            await asyncio.to_thread(tap.end, signal.SIGTERM)
    assert list((folder / "taps").iterdir()) == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--", "no-such-client"], 127, "no-such-client: command not found"),
        (["--", "/etc/passwd"], 126, "/etc/passwd: cannot be run"),
        (["--", "sh"], 2, "--env NAME={url}"),
        (["--env", "URL=x", "--", "sh"], 2, "give NAME={url}"),
        (["--env", "URL={url}", "--", "sh"], 2, "--upstream URL"),
        (["--client", "codex", "--", "sh"], 2, "name codex itself"),
        (["--client", "claude", "--upstream", "ftp://x", "--", "sh"], 2, "is no address"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(args: list[str], code: int, said: str) -> None:
    assert_one_sentence(run("run", *args), said, code=code)


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ImportError('gone', name='aiohttp')")
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = run_anew("run", "--client", "claude", "--", "true", env={"PYTHONPATH": path})
    assert_one_sentence(done, "agentmon[tap]")


# -- what each client is told


def led(
    *words: str, home: Path, cwd: Path = HERE, **environ: str
) -> tuple[str, list[str], dict[str, str]]:
    environ = {"CLAUDE_CONFIG_DIR": str(home), "CODEX_HOME": str(home), **environ}
    found = clients.way(words, environ, cwd)
    argv, told = found.lead("http://tap")
    return found.upstream, argv, told


@pytest.mark.parametrize(
    ("words", "client"),
    [
        ("claude -p hi", "claude"),
        ("/usr/local/bin/claude.exe", "claude"),
        ("npx -y @anthropic-ai/claude-code@latest -p hi", "claude"),
        ("env A=1 claude", "claude"),
        ("node /x/codex.js exec", "codex"),
        ("bunx @openai/codex", "codex"),
        ("python claude", None),
        ("vim claude", None),
        ("npx prettier claude", None),
    ],
)
def test_clients_are_known_by_their_names(words: str, client: str | None) -> None:
    found = clients.client_of(words.split())
    assert (found[0] if found else None) == client


def test_claude_keeps_the_gateway_that_it_has(tmp_path: Path) -> None:
    told = {"ANTHROPIC_BASE_URL": "http://tap"}
    assert led("claude", "-p", "hi", home=tmp_path) == (
        "https://api.anthropic.com",
        ["claude", "-p", "hi"],
        told,
    )
    gateway = "https://gateway.corp/llm"
    assert led("claude", home=tmp_path, ANTHROPIC_BASE_URL=gateway)[0] == gateway
    # a settings file goes before the environment, so does an argument before it
    (tmp_path / ".claude").mkdir()
    file = tmp_path / ".claude" / "settings.local.json"
    file.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": gateway, "A": 1}}))
    upstream, argv, env = led("claude", "-p", "hi", home=tmp_path, cwd=tmp_path)
    assert (upstream, env, argv[0], argv[3:]) == (gateway, told, "claude", ["-p", "hi"])
    assert argv[1] == "--settings"
    assert json.loads(argv[2]) == {"env": told}
    for words in (["claude", "--settings={}"], ["claude", "--settings", "x.json"]):
        with pytest.raises(Unclear, match="settings file of Claude Code"):
            led(*words, home=tmp_path, cwd=tmp_path)
    with pytest.raises(Unclear, match="CLAUDE_CODE_USE_BEDROCK"):
        led("claude", home=tmp_path, CLAUDE_CODE_USE_BEDROCK="1")


def test_codex_gets_a_provider_like_its_own(tmp_path: Path) -> None:
    upstream, argv, told = led("codex", "exec", "hi", home=tmp_path)
    assert (upstream, told) == ("https://api.openai.com/v1", {})
    assert argv[0] == "codex"
    assert argv[-2:] == ["exec", "hi"]
    options = dict(word.split("=", 1) for word in argv[2:-2:2])
    assert options["model_provider"] == '"agentmon"'
    assert options["model_providers.agentmon.base_url"] == '"http://tap"'
    assert options["model_providers.agentmon.requires_openai_auth"] == "true"
    assert set(argv[1:-2:2]) == {"-c"}
    (tmp_path / "auth.json").write_text('{"tokens": {"id_token": "x"}, "OPENAI_API_KEY": null}')
    assert led("codex", home=tmp_path)[0] == "https://chatgpt.com/backend-api/codex"


def test_codex_keeps_the_provider_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'model_provider = "corp"\n[model_providers.corp]\nbase_url = "https://corp/v1"\n'
        '[model_providers.other]\nbase_url = "https://other/v1"\n'
        '[profiles.mine]\nmodel_provider = "other"\n'
    )
    found = led("codex", home=tmp_path)
    assert found == (
        "https://corp/v1",
        ["codex", "-c", 'model_providers.corp.base_url="http://tap"'],
        {},
    )
    assert led("codex", "-p", "mine", home=tmp_path)[0] == "https://other/v1"
    assert led("codex", "-c", 'model_provider="other"', home=tmp_path)[0] == "https://other/v1"
    with pytest.raises(Unclear, match="ollama"):
        led("codex", "-c", "model_provider=ollama", home=tmp_path)


# -- taps beside the screen

BESIDE = """
import sys
from agentmon import config
from agentmon.commands.run import beside_the_screen
print(*beside_the_screen(config.Settings()), sep="\\n", flush=True)
sys.stdin.read()
"""


async def test_taps_beside_the_screen_end_with_it(scratch_home: Path) -> None:
    """Each client of this machine has one; what to paste is told."""
    log = scratch_home / "state" / "agentmon" / "capture" / "sse_lines.jsonl"
    async with serving(model(["a "])) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            BESIDE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment({"ANTHROPIC_BASE_URL": server.url}),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        claude, codex = [(await process.stdout.readline()).decode().split() for _ in range(2)]
        url, name = claude[0].removeprefix("ANTHROPIC_BASE_URL="), claude[1]
        assert name == "claude"
        assert codex[:3] == ["agentmon", "run", "--tap"]
        assert codex[4:] == ["--", "codex"]
        argv = [sys.executable, "-c", CLIENT, SID]
        client = await asyncio.create_subprocess_exec(
            *argv, env=environment({"ANTHROPIC_BASE_URL": url}), stdout=subprocess.DEVNULL
        )
        assert await client.wait() == 7
        await until(lambda: "claude.message_stop" in [row["event"] for row in rows_of(log)])
        assert listens(codex[3])
        process.stdin.close()
        assert await process.wait() == 0
    await until(lambda: not listens(url) and not listens(codex[3]))


def test_taps_need_a_screen() -> None:
    for args in (["--with-tap"], ["--with-tap", "--demo"], ["--with-tap", "--once"]):
        assert_one_sentence(run(*args), "needs a screen", code=2)


def test_what_to_paste_is_shown() -> None:
    status = Status(taps=("ANTHROPIC_BASE_URL=http://tap claude", "second"))
    shown = ["".join(part.text for part in line) for line in owner.hints(status)]
    assert shown[1:4] == [
        " Paste into another pane:",
        "   ANTHROPIC_BASE_URL=http://tap claude",
        "   second",
    ]
    facts = {fact.text for fact in health.answer(status, "~/x").facts}
    assert set(status.taps) <= facts
