"""What an agent does now, which calls are pending, and events that become known later."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmon.core.model import RECENT_PROMPTS
from agentmon.engine import core
from agentmon.engine.ingest import Ingestion
from agentmon.sources import payloads
from agentmon.sources.follow import FollowedFile
from tests.deep import only_deep, some_of
from tests.differential import Row, assert_same, dumped, ingest
from tests.feeds import Scene, add, answering, asking, call_block, write
from tests.generate import scenario
from tests.wire import SID, START, TEXT, Talk, message, tool_result

# -- phases and pending calls, in one run or with a restart after every line

SUB = "a1"


@pytest.fixture(params=[False, True], ids=["one run", "restarts"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Scene(tmp_path, restarts=request.param) as found:
        yield found


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_the_phases_of_a_round(scene: Scene, talk: Talk) -> None:
    seen: list[str] = []
    for line in [*asking(talk), *answering(talk)]:
        scene.say(line)
        phase = scene.agent(SID).phase
        if seen[-1:] != [phase]:
            seen.append(phase)
    assert seen == ["prompting", "writing", "calling", "tool", "prompting", "writing", "idle"]


def test_thinking_is_a_phase(scene: Scene, talk: Talk) -> None:
    scene.say(talk.prompt(0, "?"), talk.start(1, 10))
    scene.say(talk.begin(1, 20, {"type": "thinking", "thinking": "", "signature": ""}))
    assert scene.agent(SID).phase == "thinking"


def test_a_phase_keeps_its_beginning(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk)[:3])
    since = scene.agent(SID).phase_since
    scene.say(*asking(talk)[3:5])
    assert (scene.agent(SID).phase_since, scene.agent(SID).phase) == (since, "writing")


def test_pending_from_completion_to_result(scene: Scene, talk: Talk) -> None:
    pending: list[int] = []
    for line in [*asking(talk), *answering(talk)]:
        scene.say(line)
        pending.append(len(scene.pending()))
    completed, returned = 9, 12
    assert pending == [int(completed <= at < returned) for at in range(len(pending))]


def test_a_result_that_comes_first_leaves_nothing_pending(scene: Scene, talk: Talk) -> None:
    scene.say(answering(talk)[0], *asking(talk))
    assert scene.pending() == []


def test_a_call_whose_stop_comes_before_its_start_is_one(scene: Scene, talk: Talk) -> None:
    lines = asking(talk)
    scene.say(*lines[:6], lines[9], *lines[6:9], *lines[10:])
    assert scene.pending() == ["toolu_1"]
    scene.say(talk.start(2, 900))
    assert scene.pending() == []
    assert block_row(scene, "m1", 1)["no_result_at"] == (START + 900) / 1000


def test_a_later_message_of_the_thread_is_evidence_of_a_result(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk))
    assert scene.pending() == ["toolu_1"]
    scene.say(talk.start(2, 900))
    assert scene.pending() == []
    assert block_row(scene, "m1", 1)["no_result_at"] == (START + 900) / 1000


def test_the_end_of_the_round_is_evidence_of_a_result(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk), talk.line("stop", 900, {"agent_id": SID}, round_id="round-1"))
    assert scene.pending() == []
    assert block_row(scene, "m1", 1)["no_result_at"] == (START + 900) / 1000
    assert scene.agent(SID).phase == "idle"


def test_a_subagents_message_is_no_evidence(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk, name="Agent"))
    scene.say(talk.start(2, 900, agent=SUB), talk.begin(2, 910, TEXT, agent=SUB))
    assert scene.pending() == ["toolu_1"]
    assert (scene.agent(SID).phase, scene.agent(SID, SUB).phase) == ("tool", "writing")
    assert scene.agent(SID, SUB).parent_tool_use_id == "toolu_1"


def test_parallel_calls_are_pending_each_for_itself(scene: Scene, talk: Talk) -> None:
    lines = asking(talk)
    second = [talk.begin(1, 181, call_block("toolu_b", "Read"), index=2), talk.end(1, 182, index=2)]
    scene.say(*lines[:10], *second, *lines[10:])
    assert scene.pending() == ["toolu_1", "toolu_b"]
    scene.say(talk.line("tool_result", 900, tool_result("toolu_1", "x")))
    assert (scene.pending(), scene.agent(SID).phase) == (["toolu_b"], "tool")
    scene.say(talk.line("tool_result", 901, tool_result("toolu_b", "x")))
    assert (scene.pending(), scene.agent(SID).phase) == ([], "prompting")


def test_waiting_for_a_person_and_back(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk))
    scene.say(talk.line("permission_request", 400, {"tool_name": "Bash"}))
    assert scene.agent(SID).phase == "permission"
    scene.say(talk.line("post_tool_use", 800, {"tool_name": "Bash"}))
    assert (scene.agent(SID).phase, scene.pending()) == ("tool", ["toolu_1"])
    scene.say(*answering(talk)[:1])
    assert (scene.agent(SID).phase, scene.pending()) == ("prompting", [])


def test_a_result_ends_the_wait_for_a_person(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk), talk.line("permission_request", 400, {"tool_name": "Bash"}))
    scene.say(*answering(talk)[:1])
    assert scene.agent(SID).phase == "prompting"


def test_an_error_is_retried(scene: Scene, talk: Talk) -> None:
    error = {"error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r1"}
    scene.say(*asking(talk)[:4], talk.line("error", 300, error, flow="m1"))
    row = scene.agent(SID)
    assert (row.phase, row.phase_detail) == ("retrying", "overloaded")
    scene.say(talk.start(2, 900), talk.begin(2, 910, TEXT))
    assert scene.agent(SID).phase == "writing"


def test_an_ended_session_and_its_resume(scene: Scene, talk: Talk) -> None:
    scene.say(*asking(talk), talk.line("session_end", 500, {"reason": "other"}))
    assert (scene.agent(SID).phase, scene.pending()) == ("ended", [])
    scene.say(talk.line("session_start", 900, {"source": "resume"}))
    assert scene.agent(SID).phase == "idle"


def test_a_late_line_does_not_turn_a_phase_back(scene: Scene, talk: Talk) -> None:
    lines = asking(talk)
    scene.say(*lines[:3], *lines[6:], lines[5], lines[4])
    assert scene.agent(SID).phase == "tool"


def block_row(scene: Scene, flow_id: str, index: int) -> dict[str, Any]:
    from agentmon.store import db, read

    conn = db.open_reading(scene.data_dir)
    try:
        row = read.block(conn, flow_id, index)
    finally:
        conn.close()
    assert row is not None
    return {name: getattr(row, name) for name in row.__struct_fields__}


# -- events that become known later


def reprocessed(folder: Path, lines: list[bytes], name: str) -> list[Row]:
    """The dump after ingesting with an event unknown, then known, then `--reprocess`."""
    log = write(folder / f"{name}.jsonl", lines)
    data = folder / f"later-{name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(payloads.BUILDERS, f"claude.{name}")
        if name == "content_block_delta":
            patch.setattr("agentmon.sources.sse_lines.PLAIN", "no short way")
        ingest(data, [log])
        unknown = dumped(data)[-1]["unknown_events"]
    assert unknown > 0
    with Ingestion(data) as run:
        assert run.reprocess() == unknown
        assert run.reprocess() == 0
    return dumped(data)


EVENTS = (
    *("content_block_delta", "message_start", "content_block_start", "content_block_stop"),
    *("message_delta", "message_stop", "ping", "error", "message", "tool_result", "user_prompt"),
    *("session_start", "session_end", "stop", "turn_end", "permission_request"),
)


def one_of_each() -> list[bytes]:
    talk = Talk()
    error = {"error": {"type": "overloaded_error"}, "request_id": "r1001"}
    return [
        talk.line("session_start", 0, {"source": "startup"}),
        *asking(talk, 10),
        talk.line("permission_request", 300, {"tool_name": "Bash"}),
        *answering(talk)[:-4],
        talk.line("ping", 1125, {"request_id": "r1001"}, flow="m1001"),
        talk.line("error", 1126, error, flow="m1001"),
        *answering(talk)[-4:],
        talk.line("turn_end", 1300, {}, round_id="round-1"),
        talk.line("message", 1400, {"message": {**message("mw"), "content": "whole"}}),
        talk.line("session_end", 2000, {"reason": "other"}),
    ]


@pytest.fixture(scope="module")
def always_known(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    folder = tmp_path_factory.mktemp("known")
    ingest(folder / "s", [write(folder / "known.jsonl", one_of_each())])
    return dumped(folder / "s")


SOME = ("content_block_start", "message_stop", "user_prompt", "stop", "permission_request")


@pytest.mark.parametrize("name", some_of(EVENTS, *SOME))
def test_reprocessed_events_count_as_if_always_known(
    name: str, always_known: list[Row], tmp_path: Path
) -> None:
    assert_same(reprocessed(tmp_path, one_of_each(), name), always_known)


@pytest.mark.parametrize("name", ["tool_result", *only_deep("user_prompt", "message_stop")])
def test_reprocessing_defective_logs(name: str, tmp_path: Path) -> None:
    lines = scenario(random.Random(4), sessions=2, rounds=3, misattributed=0.4, lag=0.5)
    ingest(tmp_path / "known", [write(tmp_path / "known.jsonl", lines)])
    assert_same(reprocessed(tmp_path, lines, name), dumped(tmp_path / "known"))


@pytest.mark.parametrize("is_new_run", [True, *only_deep(False)])
def test_the_end_of_a_round_that_left_memory_long_ago(
    is_new_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of the round comes back from the store, and is not begun anew."""
    monkeypatch.setattr(core, "BATCH_LINES", 10)
    monkeypatch.setattr(FollowedFile.read, "__defaults__", (1 << 10,))
    talk, count = Talk(), 5 * RECENT_PROMPTS
    lines: list[bytes] = []
    for n in range(count):
        name = f"r-{n}"
        lines += [
            talk.prompt(1000 * n, f"ask {n}", f"u{n}", round_id=name),
            talk.start(n, 1000 * n + 10, round_id=name),
            talk.stop(n, 1000 * n + 60),
            *([talk.line("stop", 1000 * n + 70, {}, round_id=name)] if n else []),
        ]
    log = write(tmp_path / "log.jsonl", lines)
    late = [talk.line("stop", 1000 * count, {}, round_id="r-0")]
    if is_new_run:
        ingest(tmp_path / "data", [log])
    add(log, late)
    ingest(tmp_path / "data", [log])
    rounds = [row for row in dumped(tmp_path / "data") if row["kind"] == "round"]
    assert [row["user_prompt"] for row in rounds] == [f"ask {n}" for n in range(count)]
    assert (rounds[0]["duration_ms"], rounds[1]["duration_ms"]) == (1000 * count, 70)
