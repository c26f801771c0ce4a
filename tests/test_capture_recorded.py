"""A recorder that hears what real clients sent and got writes the log that was recorded of them.

Equal line by line, but for the ids that are made up: rounds, and the flows of what users sent.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agentmon.capture.log import CaptureLog
from agentmon.capture.recorder import Recorder
from tests.captured import SECRET, Clock, Line, lines, play, process, wire
from tests.deep import each_nth, only_deep
from tests.differential import assert_same, of_file

SHARED = Path(__file__).parents[1].parent / "shared"
SCENES = sorted(path.parent for path in SHARED.glob("captures/*/sse_lines.jsonl"))

each_scene = pytest.mark.parametrize("scene", each_nth(SCENES, 3), ids=lambda scene: scene.name)
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
@pytest.mark.parametrize("name", ["claude-wait", "codex-spawn", *only_deep("claude-tui")])
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
@pytest.mark.parametrize("name", ["claude-full", "claude-overloaded", *only_deep("claude-tui")])
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


def events_of(sample: Path) -> Iterator[dict[str, Any]]:
    """The events in a public sample: lines of an event stream, or only the JSON of each."""
    for line in sample.read_text("utf-8").split("\n"):
        with suppress(ValueError):  # one of them is broken
            event = json.loads(line.removeprefix("data:"))
            if isinstance(event, dict) and "type" in event:
                yield event


@needs_shared
@pytest.mark.parametrize("every", [4, *only_deep(1)])
@pytest.mark.parametrize(
    ("folder", "path"), [("anthropic_sse", "/v1/messages"), ("openai_sse", "/v1/responses")]
)
def test_public_samples_come_into_the_log_as_they_are(
    folder: str, path: str, every: int, tmp_path: Path
) -> None:
    samples = sorted((SHARED / "samples" / folder).glob("*.txt"))
    assert len(samples) > 30
    log = CaptureLog(tmp_path / "sse_lines.jsonl")
    recorder, sent = Recorder(log), list[dict[str, Any]]()
    for number, sample in enumerate(samples[::every]):
        events = list(events_of(sample))
        exchange = recorder.begin("POST", path, [], b"{}", process(number + 1))
        exchange.response(200, [("content-type", "text/event-stream"), ("request-id", "r")])
        data = b"".join(map(wire, events))
        for start in range(0, len(data), 4_099):
            exchange.feed(data[start : start + 4_099])
        exchange.end("complete")
        sent += events
    assert (recorder.faults, recorder.passed_over, log.lost) == (0, 0, 0)
    made_up = ("session_start", "stop")
    found = [line.payload for line in lines(Path(log.path)) if line.kind not in made_up]
    assert found == [{**event, "request_id": event.get("request_id", "r")} for event in sent]
    dumped = of_file(tmp_path / "store", Path(log.path))
    (counts,) = [row for row in dumped if row["kind"] == "counts"]
    assert counts["bad_lines"] == counts["torn"] == 0
