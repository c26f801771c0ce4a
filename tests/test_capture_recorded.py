"""A recorder that hears what real clients sent and got writes the log that was recorded of them.

Equal line by line, but for the ids that are made up: rounds, and the flows of what users sent.
"""

import json
import time
from pathlib import Path

import pytest

from agentmon.capture.log import CaptureLog
from tests.captured import SECRET, Clock, Line, lines, play

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
