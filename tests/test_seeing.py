"""Through what sessions are seen, what that cannot show, and what doctor says of it."""

import json
from pathlib import Path

import pytest

from agentmon.capture import hook_settings, running
from agentmon.core.kinds import KIND_BIT
from agentmon.report import capturing, seeing
from agentmon.report.places import Check
from agentmon.store import db
from tests.cli_run import inside, run

SID = "5b1d2c3e-0000-4000-8000-00000000000%d"
T = "2026-11-21T10:00:0%d.000Z"


def kinds(*names: str) -> int:
    return sum(bit for name, bit in KIND_BIT.items() if name in names)


@pytest.mark.parametrize(
    ("of", "product", "word", "said"),
    [
        (["wire", "hook"], "claude", "wire", "wire, hook: live, each delta"),
        (
            ["transcript"],
            "claude",
            "transcript",
            "transcript: whole messages, once they are over (not words as they come, stalls"
            " between them, permission waits); see more by agentmon run -- claude and agentmon"
            " hooks install",
        ),
        (
            ["transcript", "registry"],
            "claude",
            "transcript",
            "transcript, registry: whole messages, once they are over (not words as they come,"
            " stalls between them); see more by agentmon run -- claude",
        ),
        (
            ["wire", "rollout"],
            "codex",
            "wire",
            "wire, rollout: live, each delta (not permission waits); see more by"
            " agentmon hooks install",
        ),
        (["stream"], "other", "stream", "stream: live, each delta (not permission waits)"),
        ([], "claude", "—", None),
    ],
)
def test_a_session_says_through_what_it_is_seen(
    of: list[str], product: str, word: str, said: str | None
) -> None:
    assert seeing.word(kinds(*of)) == word
    if said is not None:
        assert seeing.explained(kinds(*of), product) == said


def told(sid: str) -> list[str]:
    """A prompt and its answer, as Claude Code writes them down."""
    common = {"cwd": "/p", "version": "2.1.1", "sessionId": sid, "isSidechain": False}
    ask = {"type": "user", "uuid": "u1", "parentUuid": None, "timestamp": T % 1, **common}
    answer = {"type": "assistant", "uuid": "u2", "parentUuid": "u1", "timestamp": T % 2, **common}
    text = [{"type": "text", "text": "hello"}]
    message = {"id": "msg_1", "role": "assistant", "model": "m", "content": text}
    usage: dict[str, int] = {}
    rows = [
        {**ask, "message": {"role": "user", "content": "hi"}},
        {**answer, "message": {**message, "stop_reason": "end_turn", "usage": usage}},
    ]
    return [json.dumps(row) for row in rows]


def hooked(sid: str) -> list[str]:
    payload = {"session_id": sid, "cwd": "/q", "hook_event_name": "SessionStart"}
    row = {"t": 1795255201.0, "source": "claude", "payload": payload}
    return [json.dumps(row)]


def test_the_board_and_doctor_say_so(tmp_path: Path, scratch_home: Path) -> None:
    """What is in the capture folder is found without being named."""
    project = scratch_home / "claude" / "projects" / "-p"
    project.mkdir(parents=True)
    (project / f"{SID % 1}.jsonl").write_text("\n".join(told(SID % 1)) + "\n")
    folder = scratch_home / "state" / "agentmon" / "capture"
    folder.mkdir(parents=True)
    (folder / "hooks.jsonl").write_text("\n".join(hooked(SID % 2)) + "\n")
    data = str(tmp_path / "data")
    found = json.loads(inside("--once", "--json", "--since", "9000d", "--data-dir", data).out)
    assert {one["sid"]: one["told_by"] for one in found["agents"]} == {
        SID % 1: ["transcript"],
        SID % 2: ["hook"],
    }
    checks = json.loads(run("doctor", "--json", "--data-dir", data).out)
    by_name = {check["name"]: check for check in checks}
    place = by_name["source capture by agentmon"]["message"]
    assert "1 file" in place
    assert "hooks 1" in place
    assert "agentmon run -- claude" in by_name["capture"]["message"]
    assert "agentmon hooks install" in by_name["hooks claude"]["message"]


def test_doctor_counts_what_was_seen_live(tmp_path: Path) -> None:
    conn = db.create(tmp_path)
    for number, bits in enumerate(
        (kinds("wire", "transcript"), kinds("transcript"), kinds("hook"))
    ):
        conn.execute(
            "INSERT INTO sessions (sid, agent, last_time, kinds) VALUES (?, 'claude', ?, ?)",
            (SID % number, 1_000.0 + number, bits),
        )
    check = capturing.check_capture(conn, 1_001.0 + 86_400.0)
    assert check.values == {"live": 0, "sessions": 2}
    check = capturing.check_capture(conn, 2_000.0)
    assert check.message.startswith("1 of 3 sessions of the last day were seen live; agentmon run")
    conn.close()


def test_doctor_names_the_taps_that_run(tmp_path: Path) -> None:
    assert capturing.check_taps(tmp_path) == []
    log = tmp_path / "sse_lines.jsonl"
    path = running.announce("http://127.0.0.1:1", "https://api.anthropic.com", log)
    (check,) = capturing.check_taps(tmp_path)
    said = "http://127.0.0.1:1 to https://api.anthropic.com"
    assert (check.status, check.message) == ("ok", said)
    running.announce("http://127.0.0.1:1", "https://api.anthropic.com", log, problem="7 lost")
    (check,) = capturing.check_taps(tmp_path)
    assert (check.status, check.message) == ("warn", f"{said}; 7 lost")
    path.unlink()
    assert capturing.check_taps(tmp_path) == []


def hooks_check(home: Path) -> Check:
    environ = {"CLAUDE_CONFIG_DIR": str(home / "claude"), "CODEX_HOME": str(home / "none")}
    (check,) = capturing.check_hooks(environ, home)
    return check


def test_doctor_looks_at_the_hooks(scratch_home: Path) -> None:
    file = scratch_home / "claude" / "settings.json"
    assert hooks_check(scratch_home).status == "ok"
    hook_settings.install("claude", file, hook_settings.command("claude"))
    assert hooks_check(scratch_home).message == f"all of them in {file}"
    whole = file.read_text()
    file.write_text(whole.replace('"Stop"', '"Halt"'))
    check = hooks_check(scratch_home)
    assert (check.status, check.remedy) == ("warn", "agentmon hooks install")
    assert check.message.endswith("lacks Stop")
    file.write_text(whole.replace("{", '{"disableAllHooks": true,', 1))
    assert "switches them off" in hooks_check(scratch_home).message
    file.unlink()
    hook_settings.install("claude", file, "/gone/bin/agentmon hook claude || true")
    assert "/gone/bin/agentmon, which is not there" in hooks_check(scratch_home).message
    file.write_text("{")
    assert hooks_check(scratch_home).status == "warn"
