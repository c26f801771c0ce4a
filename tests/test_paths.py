"""Which files given paths mean, at first and later."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmon.sources.paths import expand
from tests.follower import add, row


def test_expand_finds_each_log_once(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    deep = folder / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    too_deep = deep / "e"
    too_deep.mkdir()
    names = ["sse_lines.jsonl", "sse_lines-old.jsonl", "sessions.jsonl"]
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
        str(deep / "sse_lines-old.jsonl"),
        str(deep / "sse_lines.jsonl"),
        str(folder / "sse_lines-old.jsonl"),
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
