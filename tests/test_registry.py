"""The live registry: which process a session runs in, and what it waits for."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.events import Event, Facts, Notice
from agentmon.sources.registry import Entry, Registry, read_registry
from tests.deep import examples

SID = "7c0ffee0-0000-4000-8000-0000000000aa"
NEXT = "7c0ffee0-0000-4000-8000-0000000000bb"
BUSY: dict[str, Any] = {
    "pid": 81551,
    "sessionId": SID,
    "cwd": "/home/ana/app",
    "startedAt": 1_795_289_844_000,
    "procStart": "379408",
    "version": "2.1.330",
    "kind": "interactive",
    "entrypoint": "cli",
    "tmux": "x:@0.%0",
    "name": "app-40",
    "nameSource": "derived",
    "status": "busy",
    "updatedAt": 1_795_289_850_500,
    "statusUpdatedAt": 1_795_289_850_250,
}


class Folder:
    """A sessions folder whose files were written long ago, as far as the clock says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 2_000_000_000.0
        self.registry = Registry(str(path), lambda: self.now)
        self.writes = 0

    def write(self, content: object, name: str = "81551.json") -> Path:
        path = self.path / name
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(raw)
        self.writes += 1
        os.utime(path, ns=(0, 10**18 + self.writes))
        return path

    def poll(self) -> list[Event]:
        return self.registry.poll()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_file_tells_status_and_facts(folder: Folder) -> None:
    path = folder.write({**BUSY, "status": "waiting", "waitingFor": "permission prompt"})
    notice, facts = read_registry(str(path), 7.0)
    assert isinstance(notice, Notice)
    assert isinstance(facts, Facts)
    assert (notice.name, notice.kind, notice.text) == ("status", "waiting", "permission prompt")
    assert (notice.sid, notice.time, facts.time) == (SID, 1_795_289_850.25, 1_795_289_850.5)
    assert notice.meta is facts.meta
    meta = notice.meta
    assert (meta.agent, meta.kind, meta.pid) == ("claude", "registry", 81551)
    assert (meta.cwd, meta.version) == ("/home/ana/app", "2.1.330")
    assert (notice.flow, notice.count, notice.digest) == (facts.flow, facts.count, facts.digest)
    assert facts.values == {
        "status": {"status": "waiting", "since": 1_795_289_850.25},
        "waiting_for": "permission prompt",
        "proc_start": "379408",
        "tmux": "x:@0.%0",
        "entrypoint": "cli",
        "kind": "interactive",
    }


def test_a_name_that_a_person_gave_is_a_title(folder: Folder) -> None:
    path = folder.write({**BUSY, "name": "my work", "nameSource": "user"})
    facts = read_registry(str(path), 7.0)[1]
    assert isinstance(facts, Facts)
    assert facts.values["title"] == "my work"


def test_without_a_status_there_are_facts_only(folder: Folder) -> None:
    path = folder.write({"pid": 5, "sessionId": SID, "procStart": 12})
    (facts,) = read_registry(str(path), 7.0)
    assert isinstance(facts, Facts)
    assert facts.time == 7.0
    assert facts.values == {"status": None, "waiting_for": None, "proc_start": "12"}


def test_only_what_changed_is_told_again(folder: Folder) -> None:
    folder.write(BUSY)
    first = folder.poll()
    assert [type(event) for event in first] == [Notice, Facts]
    assert folder.registry.entries == {81551: Entry(SID, "379408", "busy", 1_795_289_850.25)}
    assert folder.poll() == []
    folder.write({**BUSY, "updatedAt": 1_795_289_899_000})
    assert folder.poll() == [], "a sign of life is no news"
    folder.write({**BUSY, "status": "idle", "statusUpdatedAt": 1_795_289_900_000})
    (notice, _) = folder.poll()
    assert isinstance(notice, Notice)
    assert notice.kind == "idle"
    assert (notice.count, notice.digest) != (first[0].count, first[0].digest)
    assert folder.registry.entries[81551].status == "idle"
    again = Registry(str(folder.path), lambda: 0.0).poll()
    assert (again[0].count, again[0].digest) == (notice.count, notice.digest), "after a restart"


def test_a_torn_file_is_read_again(folder: Folder) -> None:
    folder.write(BUSY)
    folder.poll()
    whole = json.dumps({**BUSY, "status": "idle"}).encode()
    path = folder.write(whole[:90])
    stamp = path.stat().st_mtime_ns
    assert folder.poll() == []
    assert folder.registry.entries[81551].status == "busy"
    path.write_bytes(whole)
    os.utime(path, ns=(0, stamp))
    assert len(folder.poll()) == 2


def test_a_file_written_just_now_may_change_within_its_time_stamp(folder: Folder) -> None:
    path = folder.write(BUSY)
    stamp = path.stat().st_mtime_ns
    folder.now = stamp / 1e9 + 0.01
    assert len(folder.poll()) == 2
    path.write_bytes(json.dumps({**BUSY, "status": "idle"}).encode())
    os.utime(path, ns=(0, stamp))
    assert len(folder.poll()) == 2
    assert folder.registry.entries[81551].status == "idle"


def test_a_session_that_was_left_has_no_status(folder: Folder) -> None:
    path = folder.write(BUSY)
    folder.poll()
    folder.write({**BUSY, "sessionId": NEXT})
    *_, left = folder.poll()
    assert isinstance(left, Facts)
    assert (left.sid, left.values) == (SID, {"status": None, "waiting_for": None})
    assert folder.registry.entries[81551].sid == NEXT
    path.unlink()
    said, gone = folder.poll()
    assert isinstance(said, Notice)
    assert (said.sid, said.name, said.kind) == (NEXT, "status", "gone")
    assert isinstance(gone, Facts)
    assert (gone.sid, gone.values["status"], gone.time) == (NEXT, None, folder.now)
    assert folder.registry.entries == {}
    assert folder.poll() == []


def test_other_files_are_never_opened(folder: Folder) -> None:
    folder.write(b"secret", "81551.abc.key")
    folder.write(BUSY, "notes.json")
    os.mkfifo(folder.path / "7.json")
    (folder.path / "8.json").mkdir()
    (folder.path / "9.json").symlink_to(folder.path / "nowhere")
    assert folder.poll() == []
    assert folder.registry.entries == {}


def test_a_missing_folder_is_no_trouble(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "none"))
    assert registry.poll() == []
    (tmp_path / "file").write_text("x")
    assert Registry(str(tmp_path / "file")).poll() == []
    assert read_registry(str(tmp_path / "none.json"), 0.0) == []


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@settings(max_examples=examples(33, 100), deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted([*BUSY, "waitingFor"])), _VALUES, max_size=6),
    st.integers(0, 400),
)
def test_any_content_is_read(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "1.json"
    path.write_bytes(json.dumps({**BUSY, **fields}).encode()[: size or None])
    assert len(read_registry(str(path), 1.0)) <= 2


def test_files_of_real_runs(shared: Path) -> None:
    paths = sorted(shared.glob("captures/claude-*/claude/sessions/*.json"))
    for path in paths:
        notice, facts = read_registry(str(path), 0.0)
        assert isinstance(notice, Notice)
        assert isinstance(facts, Facts)
        assert notice.kind == "busy", "left behind by a kill"
        assert "title" not in facts.values
        assert path.name == f"{notice.meta.pid}.json"
    assert len(paths) == 2


def test_waits_of_a_real_run(shared: Path, folder: Folder) -> None:
    seen: list[tuple[str | None, str | None]] = []
    snapshots = shared / "captures" / "claude-permission" / "snapshots.jsonl"
    for line in snapshots.read_bytes().splitlines():
        for name, content in json.loads(line)["sessions"].items():
            folder.write(content, name)
        seen += [(e.kind, e.text) for e in folder.poll() if isinstance(e, Notice)]
    assert ("waiting", "permission prompt") in seen
    assert ("waiting", "input needed") in seen
    assert seen[-1] == ("idle", None)
