"""Which files given paths mean, at first and later."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmon.sources import paths
from agentmon.sources.paths import Expanded, Root, expand
from agentmon.sources.shapes import Shape
from tests.follower import add, row

SID = "0b1d2c3e-0000-4000-8000-00000000000%d"
DAY = 86_400.0


def test_expand_finds_each_log_once(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    deep = folder / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    too_deep = deep / "e"
    too_deep.mkdir()
    names = ["sse_lines.jsonl", "sse_lines-old.jsonl", "sessions.txt"]
    for place in (folder, deep, too_deep):
        for name in names:
            add(place / name, row(1))
    (folder / "a" / "ring").symlink_to(folder)
    (tmp_path / "link").symlink_to(folder / "sse_lines.jsonl")
    os.link(folder / "sse_lines.jsonl", tmp_path / "hard")
    given = [str(tmp_path / "link"), str(tmp_path / "hard"), str(folder), str(folder) + "/", "-"]
    found = expand([*given, "-", str(tmp_path / "later")], follow=True)
    assert found.files == [
        "-",
        str(tmp_path / "link"),
        str(folder / "sse_lines-old.jsonl"),
        str(deep / "sse_lines-old.jsonl"),
        str(deep / "sse_lines.jsonl"),
    ]
    assert found.folders == [str(folder)]
    assert found.missing == [str(tmp_path / "later")]
    assert found.problems == []


def test_relative_paths_are_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path / "a.jsonl", row(1))
    monkeypatch.chdir(tmp_path)
    assert expand(["a.jsonl", "./a.jsonl", str(tmp_path / "a.jsonl")], follow=True).files == [
        str(tmp_path / "a.jsonl")
    ]


def test_rescan_gives_what_appeared(tmp_path: Path) -> None:
    later, folder = tmp_path / "later", tmp_path / "folder"
    found = expand([str(later), str(folder)], follow=True)
    assert found.missing == [str(later), str(folder)]
    assert found.rescan() == []
    add(later, row(1))
    folder.mkdir()
    assert found.rescan() == [str(later)]
    assert found.missing == []
    log = folder / "sse_lines.jsonl"
    add(log, row(1))
    assert found.rescan() == [str(log)]
    assert found.rescan() == []
    log.rename(folder / "sse_lines-1.jsonl")
    info = (folder / "sse_lines-1.jsonl").stat()
    assert found.rescan(held={(info.st_dev, info.st_ino)}) == []
    assert found.rescan() == [str(folder / "sse_lines-1.jsonl")]


def test_a_missing_file_is_a_problem_where_nobody_waits(tmp_path: Path) -> None:
    found = expand([str(tmp_path / "absent")], follow=False)
    assert [problem.message for problem in found.problems] == [f"{tmp_path}/absent does not exist"]


def test_a_device_is_neither_file_nor_folder() -> None:
    (problem,) = expand(["/dev/null"], follow=True).problems
    assert problem.message == "/dev/null is neither a file nor a folder nor a pipe"


def test_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    (problem,) = expand([str(tmp_path)], follow=True).problems
    assert problem.message == f"cannot read {tmp_path}: permission denied"


def touch(path: Path, age: float) -> None:
    moment = time.time() - age
    os.utime(path, (moment, moment))


def make(folder: Path, *names: str, age: float = 0.0) -> None:
    """Logs below a folder, changed so many seconds ago."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        add(path, row(1))
        touch(path, age)


def settle(*folders: Path) -> None:
    """As if the folders had not changed lately, which makes a look at them sure."""
    for top in folders:
        for folder, _, _ in os.walk(top):
            touch(Path(folder), 10 * DAY)


def names(found: Expanded, below: Path) -> set[str]:
    return {os.path.relpath(path, below) for path in found.files}


CLAUDE = [
    f"projects/-home-u-api/{SID % 1}.jsonl",
    f"projects/-home-u-api/{SID % 1}/subagents/agent-0123abcd.jsonl",
    f"projects/-home-u-api/{SID % 1}/subagents/workflows/wf_1/agent-0123abce.jsonl",
    "projects/-home-u-web/agent-0123abc.jsonl",
]
NOT_CLAUDE = [
    "history.jsonl",
    "plugins/notes.jsonl",
    "sessions/4711.json",
    "sessions/4711.0123.key",
    "projects/stray.jsonl",
    f"projects/-home-u-api/{SID % 1}/stray.jsonl",
    f"projects/-home-u-api/{SID % 1}/tool-results/big.jsonl",
    f"projects/-home-u-api/{SID % 1}/subagents/agent-0123abcd.meta.json",
    f"projects/-home-u-api/{SID % 1}/subagents/workflows/wf_1/journal.jsonl",
]
CODEX = [
    f"sessions/2026/11/21/rollout-2026-11-21T10-00-00-{SID % 2}.jsonl",
    f"sessions/2026/11/20/rollout-2026-11-20T10-00-00-{SID % 3}.jsonl.zst",
    f"archived_sessions/rollout-2026-10-20T10-00-00-{SID % 4}.jsonl",
]
NOT_CODEX = [
    "session_index.jsonl",
    "history.jsonl",
    "log/codex-tui.jsonl",
    "sessions/2026/11/21/notes.jsonl",
    f"sessions/2026/11/21/rollout-2026-11-21T10-00-00-{SID % 2}.jsonl.zst",
]


@pytest.mark.parametrize(
    ("home", "given", "wanted"),
    [
        (".claude", "", CLAUDE),
        (".claude", "projects", CLAUDE),
        (".claude", "projects/-home-u-api", CLAUDE[:3]),
        (".claude", f"projects/-home-u-api/{SID % 1}", CLAUDE[1:3]),
        ("elsewhere", "", CLAUDE),
        (".codex", "", CODEX),
        (".codex", "sessions", CODEX[:2]),
        (".codex", "archived_sessions", CODEX[2:]),
        ("deep/in/the/woods/claude", "../../../..", CLAUDE),
    ],
)
def test_folders_of_the_products(tmp_path: Path, home: str, given: str, wanted: list[str]) -> None:
    top = tmp_path / home
    is_codex = home == ".codex"
    make(top, *(CODEX if is_codex else CLAUDE))
    make(top, *(NOT_CODEX if is_codex else NOT_CLAUDE))
    found = expand([str(top / given)], follow=True)
    assert names(found, top) == set(wanted)


def test_what_a_file_is_by_its_place(tmp_path: Path) -> None:
    make(tmp_path / ".claude", CLAUDE[0])
    make(tmp_path / ".codex", CODEX[1])
    make(tmp_path, "logs/sse_lines-1.jsonl", "logs/hooks.jsonl", f"logs/{SID % 5}.jsonl")
    found = expand([str(tmp_path)], follow=True).found
    said = {os.path.basename(path): (one.product, one.kind) for path, one in found.items()}
    assert said == {
        os.path.basename(CLAUDE[0]): ("claude", "transcript"),
        os.path.basename(CODEX[1]): ("codex", "rollout"),
        "sse_lines-1.jsonl": ("", "wire"),
        "hooks.jsonl": ("", None),
        f"{SID % 5}.jsonl": ("claude", "transcript"),
    }
    assert not any(one.is_given or one.is_pipe for one in found.values())
    one = found[str(tmp_path / "logs" / "hooks.jsonl")]
    info = os.stat(one.path)
    assert (one.mtime, one.size) == (info.st_mtime, info.st_size)
    assert one.identity == (info.st_dev, info.st_ino)


def test_a_pipe_and_a_given_file_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe")
    found = expand([str(tmp_path / "a.txt"), str(tmp_path / "pipe"), "-"], follow=True).found
    assert [(one.is_given, one.is_pipe) for one in found.values()] == [
        (True, True),
        (True, False),
        (True, True),
    ]


def test_the_registry_is_a_folder_of_its_own(tmp_path: Path) -> None:
    make(tmp_path / "claude", *CLAUDE, "sessions/4711.json")
    registry = str(tmp_path / "claude" / "sessions")
    for given in (tmp_path, tmp_path / "claude", tmp_path / "claude" / "sessions"):
        found = expand([str(given)], follow=True)
        assert found.registries == [registry]
        assert registry in found.places
        assert registry not in found.files


def test_an_unrecognised_file_is_not_given_again(tmp_path: Path) -> None:
    make(tmp_path, "notes.jsonl", "hooks.jsonl")
    found = expand([str(tmp_path)], follow=True)
    notes = str(tmp_path / "notes.jsonl")
    found.pass_over(notes)
    assert names(found, tmp_path) == {"hooks.jsonl"}
    add(tmp_path / "notes.jsonl", row(2))
    assert found.rescan() == []
    assert found.passed_over == {notes}


def test_a_look_within_some_folders(tmp_path: Path) -> None:
    for name in ("a/x.jsonl", "b/x.jsonl"):
        make(tmp_path, name)
    found = expand([str(tmp_path)], follow=True)
    make(tmp_path, "a/y.jsonl", "b/y.jsonl", "b/deep/y.jsonl")
    assert found.rescan(within=[str(tmp_path / "b"), "/unknown"]) == [
        str(tmp_path / "b" / "y.jsonl"),
        str(tmp_path / "b" / "deep" / "y.jsonl"),
    ]
    assert found.rescan(within=[]) == []
    assert found.rescan() == [str(tmp_path / "a" / "y.jsonl")]


def test_folders_that_did_not_change_are_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/x.jsonl", "b/x.jsonl")
    settle(tmp_path)
    found = expand([str(tmp_path)], follow=True)
    listed: list[str] = []
    real = os.scandir

    def counted(path: str) -> Iterator[os.DirEntry[str]]:
        listed.append(os.path.basename(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert found.rescan() == []
    make(tmp_path, "b/y.jsonl")
    assert found.rescan() == [str(tmp_path / "b" / "y.jsonl")]
    assert listed == ["b"]
    assert found.rescan() == []
    assert listed == ["b", "b"]  # it changed a moment ago, and may have changed since


def test_deleted_transcripts_are_gone_and_rotated_logs_are_not(tmp_path: Path) -> None:
    make(tmp_path / ".claude", *CLAUDE)
    make(tmp_path, "logs/sse_lines.jsonl")
    found = expand([str(tmp_path)], follow=True)
    os.unlink(tmp_path / ".claude" / CLAUDE[3])
    os.rename(tmp_path / "logs" / "sse_lines.jsonl", tmp_path / "logs" / "old")
    assert found.rescan() == []
    assert found.gone == [str(tmp_path / ".claude" / CLAUDE[3])]
    assert names(found, tmp_path) == {f".claude/{one}" for one in CLAUDE[:3]} | {
        "logs/sse_lines.jsonl"
    }
    make(tmp_path / ".claude", CLAUDE[3])
    assert found.rescan() == [str(tmp_path / ".claude" / CLAUDE[3])]
    assert found.gone == []


def test_a_rollout_that_was_compressed_changes_its_name(tmp_path: Path) -> None:
    make(tmp_path / ".codex", CODEX[0])
    found = expand([str(tmp_path / ".codex")], follow=True)
    plain = tmp_path / ".codex" / CODEX[0]
    add(Path(f"{plain}.zst"), row(1))
    assert found.rescan() == []
    plain.unlink()
    assert found.rescan() == [f"{plain}.zst"]
    assert found.gone == [str(plain)]


def test_a_folder_that_comes_back_is_looked_into_again(tmp_path: Path) -> None:
    make(tmp_path, "logs/deep/a.jsonl", f"logs/-home-u/{SID % 1}.jsonl")
    found = expand([str(tmp_path / "logs")], follow=True)
    os.rename(tmp_path / "logs", tmp_path / "away")
    assert found.rescan() == []
    assert found.problems == []
    assert found.missing == [str(tmp_path / "logs")]
    assert found.gone == [str(tmp_path / "logs" / "-home-u" / f"{SID % 1}.jsonl")]
    make(tmp_path, "logs/deep/b.jsonl")
    assert found.rescan() == [str(tmp_path / "logs" / "deep" / "b.jsonl")]
    os.rename(tmp_path / "away", tmp_path / "logs" / "back")
    assert found.rescan() == [
        str(tmp_path / "logs" / "back" / "-home-u" / f"{SID % 1}.jsonl"),
        str(tmp_path / "logs" / "back" / "deep" / "a.jsonl"),
    ]


def test_only_lively_sessions_are_watched(tmp_path: Path) -> None:
    slug = tmp_path / "projects" / "-home-u-api"
    for number, age in ((1, 10 * DAY), (2, 60.0)):
        make(slug, f"{SID % number}.jsonl", f"{SID % number}/subagents/agent-a.jsonl", age=age)
    settle(tmp_path)
    root = Root(str(tmp_path / "projects"), "projects")
    found = expand([root], follow=True)
    assert len(found.files) == 4
    lively = [str(slug / (SID % 2)), str(slug / (SID % 2) / "subagents")]
    assert found.places[:2] == [root.path, str(slug)]
    assert set(found.places[2:]) == set(lively)
    make(slug, f"{SID % 1}.jsonl")  # resumed: one more line
    assert found.rescan(within=[str(slug)]) == []
    risen = [str(slug / (SID % 1)), str(slug / (SID % 1) / "subagents")]
    assert set(found.places[2:4]) == set(risen)
    assert set(found.places[4:]) == set(lively)


def test_there_are_ends_to_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_FOLDERS", 5)
    monkeypatch.setattr(paths, "MAX_PLACES", 3)
    make(tmp_path, *(f"{number}/x.jsonl" for number in range(20)))
    found = expand([str(tmp_path)], follow=True)
    assert len(found.files) == 4
    assert len(found.places) == 3
    (problem,) = found.problems
    assert problem.message == f"more than 5 folders below {tmp_path}: name fewer of them"
    assert expand([str(tmp_path / "19")], follow=True).problems == []


@pytest.mark.parametrize("shape", ["projects", "rollouts", "registry", "logs", "log"])
def test_a_known_place_that_is_missing_is_no_problem(tmp_path: Path, shape: Shape) -> None:
    place = tmp_path / "none" / "here"
    found = expand([Root(str(place), shape)], follow=False)
    assert found.missing == [str(place)]
    assert found.problems == []
    place.mkdir(parents=True)
    found.rescan()
    assert found.missing == []
    assert found.places == [str(place)]


def test_the_recorded_scenes(shared: Path) -> None:
    """Every log of a scene, and hardly anything else; what is none, its content tells."""
    captures = shared / "captures"
    found = expand([str(captures)], follow=False)
    assert found.problems == []
    wanted = {
        str(path)
        for pattern in ("sse_lines.jsonl", "hooks.jsonl", "*.stream.jsonl")
        for path in captures.glob(f"*/{pattern}")
    }
    for pattern in ("claude/projects/**/*.jsonl", "codex/sessions/**/rollout-*.jsonl"):
        wanted |= {str(path) for path in captures.glob(f"*/{pattern}")}
    assert wanted <= set(found.files)
    rest = {os.path.basename(path) for path in set(found.files) - wanted}
    assert rest <= {"notes.jsonl", "seen.jsonl", "snapshots.jsonl", "tap.jsonl", "sent.jsonl"}
    assert all(os.path.isfile(path) for path in found.files)
    assert found.registries
