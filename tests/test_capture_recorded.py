"""A recorder that hears what real clients sent and got writes the log that was recorded of them.

Equal line by line, but for the ids that are made up: rounds, and the flows of what users sent.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from agentmon.capture.log import CaptureLog
from tests.captured import SECRET, Clock, Line, lines, play
from tests.differential import assert_same, of_file

SHARED = Path(__file__).parents[1].parent / "shared"
SCENES = sorted(path.parent for path in SHARED.glob("captures/*/sse_lines.jsonl"))

each_scene = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
needs_shared = pytest.mark.skipif(not SCENES, reason="the recordings are not here")


@pytest.fixture(autouse=True)
def where_it_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def plain(found: list[Line]) -> list[str]:
    """The lines with made-up ids by their order."""
    rounds, flows = {"": ""}, dict[str, str]()
    out: list[str] = []
    for line in found:
        row = dict(line.row)
        if not line.is_hook:  # hooks are whoever wrote them
            row["round"] = rounds.setdefault(row["round"], f"round {len(rounds)}")
            if row["flow_id"].startswith("msg_in_"):
                flow = flows.setdefault(row["flow_id"], f"in {len(flows)}")
                row["flow_id"] = flow
        out.append(json.dumps(row))
    return out


@needs_shared
@each_scene
def test_log_is_what_was_recorded(scene: Path, tmp_path: Path) -> None:
    log = CaptureLog(tmp_path / "capture" / "sse_lines.jsonl")
    recorder = play(scene, log, Clock(), cut=7)
    recorder.close(lambda pid: True)
    assert (recorder.faults, log.lost, recorder.passed_over) == (0, 0, 0)
    written = Path(log.path)
    assert plain(lines(written)) == plain(lines(scene / "sse_lines.jsonl"))
    assert SECRET.encode() not in written.read_bytes()


def dump(folder: Path, log: Path) -> list[dict[str, Any]]:
    """What the program says of a log, with rounds by their number in their session."""
    found = of_file(folder, log)
    rounds = [row for row in found if row["kind"] == "round"]
    names = {row["round_id"]: f"{row['sid']} {row['round_number']}" for row in rounds}
    for row in found:
        if "round_id" in row:
            row["round_id"] = names.get(row["round_id"], row["round_id"])
    return found


@needs_shared
@pytest.mark.parametrize("name", ["claude-tui", "claude-wait", "codex-spawn"])
def test_program_says_the_same_of_both(name: str, tmp_path: Path) -> None:
    scene = SHARED / "captures" / name
    log = CaptureLog(tmp_path / "capture" / "sse_lines.jsonl")
    play(scene, log, Clock(), cut=1).close(lambda pid: True)
    written, data = Path(log.path), Path(log.path).read_bytes()
    for ours, theirs in zip(lines(written), lines(scene / "sse_lines.jsonl"), strict=True):
        if theirs.row["round"]:  # hooks name the rounds that were made up then
            data = data.replace(theirs.row["round"].encode(), ours.row["round"].encode())
    written.write_bytes(data)
    found = dump(tmp_path / "ours", written)
    assert_same(found, dump(tmp_path / "theirs", scene / "sse_lines.jsonl"))


@needs_shared
@pytest.mark.parametrize("name", ["claude-tui", "claude-full", "claude-overloaded"])
def test_without_hooks_only_beginnings_and_ends_are_at_other_times(
    name: str, tmp_path: Path
) -> None:
    """What hooks say of sessions and turns, the tap alone says when it can know."""
    scene = SHARED / "captures" / name
    log, clock = CaptureLog(tmp_path / "capture" / "sse_lines.jsonl"), Clock()
    recorder = play(scene, log, clock, cut=1, has_hooks=False)
    clock.now += 1
    recorder.tick(lambda pid: False)
    ours = dump(tmp_path / "ours", Path(log.path))
    theirs = dump(tmp_path / "theirs", scene / "sse_lines.jsonl")
    for row in [*ours, *theirs]:
        if row["kind"] in ("session", "round"):
            for key in ("start_time", "end_time", "duration_ms", "end_reason"):
                row[key] = row.get(key) is not None
    assert_same(
        [row for row in ours if row["kind"] != "counts"],
        [row for row in theirs if row["kind"] != "counts"],
    )
