"""What is found on a machine without being told anything, and what is said of it."""

import os
import time
from pathlib import Path

import pytest

from agentmon import config
from agentmon.engine.places import found_logs, inputs
from agentmon.sources import paths
from agentmon.sources.discover import Discovery, discover
from tests.follower import add, row

SID = "0b1d2c3e-0000-4000-8000-00000000000%d"


def make(path: Path, age: float = 0.0, size: int = 1) -> str:
    """A log that was changed so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    add(path, *[row(number) for number in range(size)])
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return str(path)


def look(home: Path, *configured: str, **environ: str) -> Discovery:
    return discover(environ, home, home / "state" / "capture", configured)


def test_everything_is_found_newest_first(tmp_path: Path) -> None:
    claude, codex = tmp_path / ".claude", tmp_path / ".codex"
    slug = claude / "projects" / "-home-u-api"
    wanted = [
        make(tmp_path / "logs" / "sse_lines.jsonl", 1),
        make(slug / f"{SID % 1}.jsonl", 2),
        make(slug / (SID % 1) / "subagents" / "agent-1.jsonl", 3),
        make(slug / "agent-2.jsonl", 4),
        make(codex / "sessions" / "2026" / "11" / "21" / f"rollout-x-{SID % 2}.jsonl.zst", 5),
        make(codex / "archived_sessions" / f"rollout-x-{SID % 3}.jsonl", 6),
        make(tmp_path / "state" / "capture" / "sse_lines.jsonl", 7),
        make(tmp_path / "state" / "capture" / "hooks.jsonl", 7.5),
        make(tmp_path / "centralized-logs" / "claude" / "sse_lines.jsonl", 8),
        make(tmp_path / "mine" / "run.jsonl", 9),
    ]
    make(tmp_path / "centralized-logs" / "claude" / "sessions.jsonl")
    make(tmp_path / "state" / "capture" / "notes.jsonl")
    make(claude / "history.jsonl")
    make(claude / "sessions" / "4711.json")
    make(claude / "sessions" / "4711.00ff.key")
    found = look(tmp_path, "~/mine", CLAUDE_CODE_LOG_DIR=str(tmp_path / "logs"))
    assert [one.path for one in found.files] == wanted
    assert set(found.inputs.files) == set(wanted)
    assert [one.product for one in found.files] == ["", *["claude"] * 3, *["codex"] * 2, *[""] * 4]
    assert [place.line for place in found.looked_for] == [
        "configured path: ~/mine (1 file)",
        "log in $CLAUDE_CODE_LOG_DIR: ~/logs/sse_lines.jsonl (1 file)",
        "capture by agentmon: ~/state/capture/{sse_lines.jsonl,hooks.jsonl} (2 files)",
        "centralized logs: ~/centralized-logs/*/sse_lines.jsonl (1 file)",
        "Claude Code transcripts: ~/.claude/projects/*/*.jsonl (3 files)",
        "Claude Code processes: ~/.claude/sessions/<pid>.json (found)",
        "Codex rollouts: ~/.codex/sessions/*/*/*/rollout-*.jsonl (1 file)",
        "Codex archived rollouts: ~/.codex/archived_sessions/rollout-*.jsonl (1 file)",
    ]
    transcripts = found.looked_for[4]
    assert [one.path for one in transcripts.files] == wanted[1:4]
    assert transcripts.newest == os.stat(wanted[1]).st_mtime
    assert transcripts.size == 3 * os.stat(wanted[1]).st_size
    assert found.inputs.registries == [str(claude / "sessions")]


def test_nothing_is_there_and_nothing_is_made(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert found.files == ()
    assert {place.state for place in found.looked_for} == {"not there"}
    assert {place.newest for place in found.looked_for} == {None}
    assert found.inputs.problems == []
    assert set(found.inputs.missing) == {root.path for root in found.roots}
    assert list(tmp_path.iterdir()) == []


def test_what_appears_later_is_found_then(tmp_path: Path) -> None:
    found = look(tmp_path)
    (tmp_path / ".claude" / "projects").mkdir(parents=True)
    assert found.inputs.rescan() == []
    log = make(tmp_path / ".claude" / "projects" / "-home-u" / f"{SID % 1}.jsonl")
    assert found.inputs.rescan() == [log]
    deeper = make(Path(log.removesuffix(".jsonl")) / "subagents" / "agent-1.jsonl")
    assert found.inputs.rescan() == [deeper]


def test_folders_of_the_products_may_be_elsewhere(tmp_path: Path) -> None:
    slug = tmp_path / "c" / "projects" / "-home-u"
    day = tmp_path / "x" / "sessions" / "2026" / "11" / "21"
    logs = [make(slug / f"{SID % 1}.jsonl", 1), make(day / f"rollout-x-{SID % 2}.jsonl", 2)]
    make(tmp_path / ".claude" / "projects" / "-home-u" / f"{SID % 3}.jsonl")
    found = look(tmp_path, CLAUDE_CONFIG_DIR="~/c", CODEX_HOME=str(tmp_path / "x"))
    assert [one.path for one in found.files] == logs
    assert found.looked_for[2].where == "~/c/projects/*/*.jsonl"


def test_a_file_with_two_names_is_one(tmp_path: Path) -> None:
    log = make(tmp_path / "logs" / "sse_lines.jsonl")
    central = tmp_path / "centralized-logs"
    central.mkdir()
    (central / "claude").symlink_to(tmp_path / "logs")
    found = look(tmp_path, "~/logs", CLAUDE_CODE_LOG_DIR=str(tmp_path / "logs"))
    assert len(found.files) == 1
    assert os.path.samefile(found.files[0].path, log)


def test_a_place_that_is_named_twice_is_looked_at_once(tmp_path: Path) -> None:
    log = make(tmp_path / ".claude" / "projects" / "-home-u" / f"{SID % 1}.jsonl")
    found = look(tmp_path, "~/.claude", str(tmp_path / ".claude" / "projects"), log)
    assert [one.path for one in found.files] == [log]


def test_a_place_that_may_not_be_looked_at_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make(tmp_path / ".codex" / "sessions" / f"rollout-x-{SID % 1}.jsonl")
    (tmp_path / ".claude" / "projects").mkdir(parents=True)
    real = os.scandir

    def refused(path: str) -> object:
        if path.endswith("projects"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = look(tmp_path)
    assert [one.path for one in found.files] == [log]
    (problem,) = found.inputs.problems
    assert problem.message == f"cannot read {tmp_path}/.claude/projects: permission denied"


def test_very_many_transcripts_cost_one_look_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is asked for twice, none is opened, and folders once (their own times apart)."""
    for number in range(200):
        slug = tmp_path / ".claude" / "projects" / f"-home-u-{number % 20}"
        make(slug / f"{SID[:-2]}{number:02x}.jsonl")
    asked: list[str] = []
    real = os.stat

    def counted(path: str, **more: bool) -> os.stat_result:
        asked.append(path)
        return real(path, **more)

    monkeypatch.setattr(paths.os, "stat", counted)
    found = look(tmp_path)
    assert len(found.files) == 200
    assert not [path for path in asked if path.endswith(".jsonl") and "projects" in path]
    assert len(asked) < 60


def test_the_settings_of_an_engine(scratch_home: Path) -> None:
    log = make(scratch_home / "claude" / "projects" / "-home-u" / f"{SID % 1}.jsonl")
    settings = config.Settings()
    assert [one.path for one in found_logs(settings).files] == [log]
    found = inputs(settings, [])
    assert found.expanded.files == [log]
    assert "Claude Code transcripts" in "\n".join(found.looked_for)
    given = inputs(settings, ["/none", log])
    assert given.expanded.files == [log]
    assert given.expanded.missing == ["/none"]
    assert given.looked_for == ["/none", log]


def test_odd_paths_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = look(tmp_path, "~/loop", "a\0b", "x" * 5_000)
    assert found.files == ()
    assert {place.state for place in found.looked_for} == {"not there"}
    assert len(found.inputs.problems) == 2
