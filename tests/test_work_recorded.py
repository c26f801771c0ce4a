"""The work log over recordings of real agents: what is expected is written by hand, or told by the
recordings themselves (the patches that Claude Code keeps beside its results)."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from agentmon.collab import work_of_calls, worklog
from agentmon.collab.deriving import catch_up
from agentmon.collab.worklog import WorkEvent
from agentmon.store import db
from tests.differential import ingest

FOLDERS = (
    "samples/claude_transcripts",
    "samples/codex_rollouts",
    "samples/codex_exec",
    "captures/claude-permission/claude",
    "captures/codex-full/codex",
    "captures/codex-code/codex",
)


@pytest.fixture(scope="module")
def log(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    folder = tmp_path_factory.mktemp("work") / "store"
    ingest(folder, recordings(shared))
    assert catch_up(folder, [work_of_calls.RULE]) == 0
    conn = db.open_reading(folder)
    yield conn
    conn.close()


def recordings(shared: Path) -> list[Path]:
    return [path for name in FOLDERS for path in sorted((shared / name).rglob("*.jsonl"))]


def of(conn: sqlite3.Connection, kind: str, session: str) -> list[WorkEvent]:
    """Events of a session by the start of its id, oldest first."""
    found = worklog.recent(conn, kind=kind, limit=10_000)[::-1]
    return [event for event in found if (event.session_id or "").startswith(session)]


# By hand: (hash, lines added, deleted), None where the commit failed

COMMITS: dict[str, list[tuple[str, int, int] | None]] = {
    "fed8ce56": [None, ("5c1b231", 3289, 1)],
    "ae4a77f8": [
        None,
        ("12e2d10", 118, 1),
        ("461930e", 130, 31),
        *[None] * 7,
        ("d9e611e", 301, 74),
        ("a23908c", 58, 17),
        ("ad570ac", 153, 1),
        ("12fe57f", 242, 29),
    ],
    "fa812bfe": [
        ("dbe5100", 548, 1),
        ("66e1a0a", 502, 3),
        None,
        ("f0b86dd", 368, 0),
        None,
        ("22450e1", 155, 1),
        ("3114215", 155, 1),
    ],
    "4d5611e5": [None, None, None, ("64f1b9a", 1390, 303)],
}
TESTS: dict[str, list[tuple[int, int] | None]] = {
    "ae4a77f8": [None, None, (311, 0), (311, 0), (300, 11), *[(311, 0)] * 5, (323, 0)],
    "fa812bfe": [
        None,
        (31, 0),
        (387, 0),
        (12, 1),
        (13, 0),
        (393, 0),
        (7, 0),
        (400, 0),
        (18, 0),
        (403, 0),
    ],
    "4d5611e5": [
        None,
        (10, 0),
        (84, 0),
        (411, 0),
        (59, 0),
        (72, 0),
        (424, 0),
        (424, 0),
        (424, 0),
        (424, 0),
    ],
}


@pytest.mark.parametrize("session", COMMITS)
def test_commits(log: sqlite3.Connection, session: str) -> None:
    found = [
        (event.commit_hash, event.lines_added, event.lines_deleted) if event.is_success else None
        for event in of(log, "git_commit", session)
    ]
    assert found == COMMITS[session]


@pytest.mark.parametrize("session", TESTS)
def test_test_runs(log: sqlite3.Connection, session: str) -> None:
    runs = of(log, "test_run", session)
    found = [
        (e.metadata["passed"], e.metadata["failed"]) if "passed" in e.metadata else None
        for e in runs
    ]
    assert found == TESTS[session]
    for event, counts in zip(runs, TESTS[session], strict=True):
        assert event.is_success is (None if counts is None else counts[1] == 0)


def test_files_that_are_taken_away_or_moved(log: sqlite3.Connection) -> None:
    home = "/home/USER/projects/spotter-worktrees"
    deleted = [file.path for event in of(log, "file_deleted", "") for file in event.files]
    migration = "20260212165422_add_unique_index_messages_session_uuid.exs"
    assert deleted == [
        f"{home}/spotter-4te/.dialyzerignore",
        f"{home}/spotter-a0y/priv/repo/migrations/{migration}",
    ]
    (moved,) = of(log, "file_moved", "")
    assert [file.path for file in moved.files] == [
        f"{home}/spotter-a0y/priv/scripts/tail_wrapper.sh",
        f"{home}/spotter-a0y/scripts/tail_wrapper.sh",
    ]


def test_patches_of_codex(log: sqlite3.Connection) -> None:
    for call, path, added in (
        ("call_t2_0_cc5c0be6", "codex-full-x/patched.txt", 2),
        ("call_t3_0_f8cf200b", "codex-code-x/patched.txt", 1),
    ):
        (event,) = worklog.of_call(log, call)
        (file,) = event.files
        assert (event.kind, event.is_success, event.agent) == (
            "file_created", True, path.split("/")[0],
        )  # fmt: skip
        assert file.path.endswith(f"/{path}")
        assert (file.lines_added, file.lines_deleted) == (added, 0)


def told_edits(paths: list[Path]) -> dict[str, tuple[str, int, int]]:
    """What Claude Code's own patches say of its Edit calls: path, lines added and deleted."""
    found: dict[str, tuple[str, int, int]] = {}
    for line in (line for path in paths for line in path.read_bytes().splitlines()):
        try:
            record: Any = json.loads(line)
        except ValueError:
            continue
        entry = cast("dict[str, Any]", record) if isinstance(record, dict) else {}
        told: object = entry.get("toolUseResult")
        result = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        if "oldString" not in result or result.get("replaceAll"):
            continue
        (block,) = entry["message"]["content"]
        lines = [line for hunk in result["structuredPatch"] for line in hunk["lines"]]
        added, deleted = (sum(line.startswith(sign) for line in lines) for sign in "+-")
        found[block["tool_use_id"]] = (result["filePath"], added, deleted)
    return found


def test_edits_have_the_lines_that_claude_code_counted(
    log: sqlite3.Connection, shared: Path
) -> None:
    expected = told_edits(recordings(shared))
    assert len(expected) > 140
    for call, lines in expected.items():
        (event,) = worklog.of_call(log, call)
        (file,) = event.files
        assert (file.path, file.lines_added, file.lines_deleted) == lines, call
        assert event.is_success is True


def test_why_a_file_was_touched(log: sqlite3.Connection) -> None:
    path = "/Users/chip/dev/ai-music/requirements.txt"
    (touch,) = worklog.last_touched(log, path)
    assert (touch.event.agent, touch.lines_added, touch.lines_deleted) == ("ai-music", 7, 0)
    assert touch.round_number is not None
    assert touch.why
    assert worklog.paths_like(log, "ai-music/requirements.txt") == [path]
    last = worklog.last_touched(log, "/home/dev/agents/work/claude-permission-t/new.txt", 1)[0]
    assert last.event.summary == "Write"
