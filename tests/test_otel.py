"""OpenTelemetry: what a real receiver gets is what the log said, once, whatever happens between."""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentmon.cli import main
from agentmon.core.redact import Redactor
from agentmon.report.otel.exporting import LONGEST_PAUSE, SETTLE, Exporter, Summary, Wanted, follow
from agentmon.report.otel.names import NAMES, Version
from agentmon.report.otel.sending import Sender
from agentmon.report.otel.spans import Measure
from agentmon.report.otel.state import State
from agentmon.report.otel.totals import MOST_SERIES, grown
from agentmon.store import db
from tests import golden
from tests.cli_run import Running, assert_one_sentence, command, environment, ran
from tests.collector import Collector, collecting
from tests.deep import only_deep
from tests.demo_store import DEMO, demo_store
from tests.differential import ingest
from tests.feeds import Scene, answering, asking, finished, sid_of, wait_for, write
from tests.otel_oracle import Expected, nanoseconds
from tests.wire import START, Talk

Span = dict[str, Any]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def export(data_dir: Path, collector: Collector, **wanted: Any) -> Summary:
    version: Version = wanted.get("version", "0.1")
    sender = Sender(collector.url, NAMES[version], timeout=5)
    state = State(data_dir, collector.url, again=wanted.pop("again", False))
    conn = db.open_reading(data_dir)
    now = wanted.pop("now", None)
    clock = time.time if now is None else lambda: now
    try:
        return Exporter(data_dir, state, sender, Wanted(**wanted), clock).run(conn)
    finally:
        conn.close()
        state.close()
        sender.close()


def stored(tmp_path: Path, log: Path) -> Path:
    if log == DEMO:
        return demo_store(tmp_path / "data")
    ingest(tmp_path / "data", [log])
    return tmp_path / "data"


def by_name(spans: list[Span], operation: str) -> list[Span]:
    return [s for s in spans if s["attributes"].get("gen_ai.operation.name") == operation]


def one(spans: list[Span], name: str, value: object) -> Span:
    (found,) = [span for span in spans if span["attributes"].get(name) == value]
    return found


# -- values


@pytest.mark.parametrize("scene", ["demo", *only_deep("claude-full", "claude-wait")])
def test_spans_are_what_the_log_says(
    scene: str, tmp_path: Path, collector: Collector, request: pytest.FixtureRequest
) -> None:
    log = DEMO
    if scene != "demo":
        shared: Path = request.getfixturevalue("shared")
        log = shared / "captures" / scene / "sse_lines.jsonl"
    expected = Expected(log)
    export(stored(tmp_path, log), collector)
    spans = collector.spans()
    assert len({span["id"] for span in spans}) == len(spans)
    chats, calls = by_name(spans, "chat"), by_name(spans, "execute_tool")
    agents = by_name(spans, "invoke_agent")
    assert len([span for span in agents if not span["parent"]]) == len(expected.rounds)
    told: Counter[str] = Counter()
    for round_ in expected.rounds:
        root = one(agents, "agentmon.round.id", round_["round_id"])
        session = expected.sessions[round_["sid"]]
        assert root["name"] == f"invoke_agent {os.path.basename(session['cwd'])}"
        assert (root["start"], root["end"]) == (
            nanoseconds(round_["start_time"]),
            nanoseconds(round_["end_time"]),
        )
        assert root["attributes"]["gen_ai.conversation.id"] == round_["sid"]
        assert root["resource"]["service.name"] == "claude"
        assert root["resource"]["session.id"] == round_["sid"]
        for message in expected.of(round_):
            parent, began = root, None
            if message["agent_id"]:
                parent = one(agents, "agentmon.subagent.id", message["agent_id"])
                call = one(
                    calls, "gen_ai.tool.call.id", parent["attributes"]["agentmon.subagent.call"]
                )
                assert parent["parent"] == call["id"]
                assert call["attributes"]["gen_ai.tool.name"] in ("Agent", "Task")
                assert parent["start"] == call["start"]
                began = call["start"] / 1e9
                told["subagent"] += 1
            if message["is_complete"]:
                chat = one(chats, "gen_ai.response.id", message["flow_id"])
                _check_chat(chat, message, expected, began)
                assert chat["parent"] == parent["id"]
                assert chat["trace"] == root["trace"]
                told["chat"] += 1
            for block, result in expected.calls(message):
                call = one(calls, "gen_ai.tool.call.id", block["tool_use_id"])
                assert call["name"] == f"execute_tool {block['tool_name']}"
                assert call["parent"] == parent["id"]
                assert call["start"] == nanoseconds(block["complete_time"])
                assert call["end"] == max(call["start"], nanoseconds(result["result_time"]))
                assert (call["status"] == 2) == bool(result["is_error"])
                assert ("error.type" in call["attributes"]) == bool(result["is_error"])
                told["call"] += 1
    broken = [span for span in chats if span["status"] == 2]
    assert (len(chats) - len(broken), len(calls)) == (told["chat"], told["call"])
    assert told["subagent"]
    assert {span["schema_url"] for span in spans} == {NAMES["0.1"].schema_url}
    _check_metrics(collector, chats, calls, agents)


def _check_chat(chat: Span, message: Span, expected: Expected, began: float | None) -> None:
    asked = expected.asked(message, began)
    attributes = chat["attributes"]
    start = message["start_time"]
    assert chat["name"] == f"chat {message['model']}"
    assert chat["kind"] == 3  # client
    assert chat["start"] == nanoseconds(start if asked is None else asked)
    assert chat["end"] == nanoseconds(message["end_time"])
    assert attributes["gen_ai.provider.name"] == "anthropic"
    assert attributes["gen_ai.response.finish_reasons"] == [message["stop_reason"]]
    assert attributes["gen_ai.usage.input_tokens"] == expected.input_tokens(message)
    assert attributes["gen_ai.usage.output_tokens"] == message["output_tokens"]
    assert attributes.get("gen_ai.usage.cache_read.input_tokens") == message["cache_read_tokens"]
    first = attributes.get("gen_ai.response.time_to_first_chunk")
    assert (first is None) == (asked is None)
    assert asked is None or abs(first - (start - asked)) < 1e-5


def _check_metrics(
    collector: Collector, chats: list[Span], calls: list[Span], agents: list[Span]
) -> None:
    """The totals are what the spans add up to."""
    metrics = collector.last_metrics()
    for kind, short in (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens")):
        told = sum(p["value"] for p in metrics[f"gen_ai.client.inference.usage.{kind}"])
        assert told == sum(s["attributes"].get(f"gen_ai.usage.{short}", 0) for s in chats)
    for name, spans in (
        ("gen_ai.client.inference.duration", chats),
        ("gen_ai.execute_tool.duration", calls),
        ("gen_ai.invoke_agent.duration", agents),
    ):
        points = metrics[name]
        assert sum(point["count"] for point in points) == len(spans)
        assert sum(sum(point["buckets"]) for point in points) == len(spans)
        seconds = sum(span["end"] - span["start"] for span in spans) / 1e9
        assert abs(sum(point["sum"] for point in points) - seconds) < 1e-3


def test_a_permission_wait_is_a_span_below_its_call(tmp_path: Path, collector: Collector) -> None:
    export(stored(tmp_path, DEMO), collector)
    spans = collector.spans()
    (wait,) = [span for span in spans if span["name"] == "permission Edit"]
    (call,) = [span for span in spans if span["id"] == wait["parent"]]
    asked = [
        json.loads(line)
        for line in DEMO.read_text("utf-8").splitlines()
        if '"claude.permission_request"' in line
    ]
    inner = json.loads(asked[0]["line"].removeprefix("data: "))
    assert call["name"] == "execute_tool Edit"
    assert wait["end"] == call["end"]
    assert inner["timestamp"].startswith(_clock(wait["start"]))


def _clock(nanos: int) -> str:
    return datetime.fromtimestamp(nanos / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_stall_is_a_span_below_its_message(tmp_path: Path, collector: Collector) -> None:
    data_dir = stored(tmp_path, DEMO)
    message = Expected(DEMO).messages[3]
    conn = db.create(data_dir)
    begun, over = message["start_time"] + 0.25, message["start_time"] + 0.5
    conn.execute(
        "INSERT INTO verdicts (sid, agent_id, verdict, since, until, evidence)"
        " VALUES (?, ?, 'stalled', ?, ?, '{}')",
        (message["sid"], message["agent_id"] or "", begun, over),
    )
    conn.close()
    export(data_dir, collector)
    spans = collector.spans()
    (stall,) = [span for span in spans if span["name"] == "stalled"]
    chat = one(spans, "gen_ai.response.id", message["flow_id"])
    assert stall["parent"] == chat["id"]
    assert (stall["start"], stall["end"]) == (nanoseconds(begun), nanoseconds(over))


# -- names and content


def test_the_older_names(tmp_path: Path, collector: Collector) -> None:
    export(stored(tmp_path, DEMO), collector, version="1.36")
    spans, metrics = collector.spans(), collector.last_metrics()
    chats = by_name(spans, "chat")
    assert {span["attributes"]["gen_ai.system"] for span in chats} == {"anthropic"}
    assert not any("gen_ai.provider.name" in span["attributes"] for span in spans)
    assert {span["schema_url"] for span in spans} == {"https://opentelemetry.io/schemas/1.36.0"}
    usage = metrics["gen_ai.client.token.usage"]
    assert {point["attributes"]["gen_ai.token.type"] for point in usage} == {"input", "output"}
    assert "gen_ai.client.operation.duration" in metrics
    assert not any("inference" in name for name in metrics)


SECRET = "ghp_" + "Zk3vQ9tLw8RbX2nYp7McJd5sHf4gTa6eQ1w2"


@pytest.mark.parametrize("scene", ["claude-wait", "codex-spawn"])
def test_without_content_no_word_of_a_prompt_leaves(
    scene: str, tmp_path: Path, collector: Collector, shared: Path
) -> None:
    """Also not as what a subagent is said to be for."""
    folder = shared / "captures" / scene
    ingest(tmp_path / "data", [folder / "sse_lines.jsonl", *folder.glob("c*/**/*.jsonl")])
    export(tmp_path / "data", collector)
    spans = collector.spans()
    assert any("agentmon.subagent.id" in span["attributes"] for span in spans)
    assert not re.search("e2e:|Count", str(spans))
    export(tmp_path / "data", collector, with_content=True, again=True)
    assert "Count" in str(collector.spans()[len(spans) :])


def _talk_of_secrets() -> tuple[Talk, list[bytes]]:
    talk = Talk(sid_of(1), pid=4_000_001, cwd="/home/ana/app")
    lines = asking(talk)
    lines[0] = talk.prompt(0, f"use {SECRET} in /home/ana/app", "u1", round_id="round-1")
    return talk, [*lines, *answering(talk, content=f"token {SECRET}\n/home/ana/app")]


@pytest.mark.parametrize("with_content", [False, True])
def test_content_is_there_on_request_only_and_redacted(
    with_content: bool, tmp_path: Path, collector: Collector
) -> None:
    with Scene(tmp_path) as scene:
        scene.say(*_talk_of_secrets()[1])
    export(scene.data_dir, collector, with_content=with_content, redact=Redactor())
    sent = str(collector.spans())
    assert SECRET not in sent
    assert "/home/ana" not in sent
    assert ("I look at đây" in sent) == with_content
    assert ("[redacted:github]" in sent) == with_content
    if with_content:
        spans = collector.spans()
        call = one(spans, "gen_ai.tool.call.id", "toolu_1")["attributes"]
        assert call["gen_ai.tool.call.result"] == "token [redacted:github]\n~/app"
        assert json.loads(call["gen_ai.tool.call.arguments"]) == {"command": "ls"}
        root = one(spans, "agentmon.round.id", "round-1")["attributes"]
        (asked,) = json.loads(root["gen_ai.input.messages"])
        assert asked["parts"] == [{"type": "text", "content": "use [redacted:github] in ~/app"}]
        (said,) = json.loads(root["gen_ai.output.messages"])
        assert said["parts"][-1]["content"] == "Two files."


# -- once, whatever happens


def test_exporting_twice_sends_nothing_new(tmp_path: Path, collector: Collector) -> None:
    data_dir = stored(tmp_path, DEMO)
    first = export(data_dir, collector)
    spans, asked = collector.spans(), collector.asked
    second = export(data_dir, collector)
    assert (first.spans, second.spans) == (len(spans), 0)
    assert second.known == first.rounds
    assert (collector.spans(), collector.asked) == (spans, asked)


def test_another_endpoint_gets_the_same_ids(tmp_path: Path, collector: Collector) -> None:
    data_dir = stored(tmp_path, DEMO)
    export(data_dir, collector)
    with collecting() as other:
        export(data_dir, other)
        assert _ids(other.spans()) == _ids(collector.spans())


def _ids(spans: list[Span]) -> list[tuple[str, str, str]]:
    return sorted((span["trace"], span["id"], span["parent"]) for span in spans)


def test_a_refused_export_is_not_remembered(tmp_path: Path, collector: Collector) -> None:
    data_dir = stored(tmp_path, DEMO)
    collector.refuse = 400
    failed = export(data_dir, collector)
    assert (failed.spans, bool(failed.failure)) == (0, True)
    answer = said("--endpoint", collector.url, "--data-dir", data_dir)
    assert answer.exit_code == 1
    assert f"agentmon: {collector.url} did not take it: " in answer.stderr
    assert "400" in answer.stderr
    collector.refuse = 200
    assert export(data_dir, collector).spans == len(collector.spans()) > 90


def test_killed_before_the_answer_is_remembered(tmp_path: Path, collector: Collector) -> None:
    """What was taken but not remembered comes again with its ids, and counts once."""
    data_dir = stored(tmp_path, DEMO)
    with Running("otel", "--endpoint", collector.url, "--data-dir", data_dir) as exporter:
        collector.on_traces = lambda: os.kill(exporter.process.pid, signal.SIGKILL)
        assert exporter.end().code == -signal.SIGKILL
    collector.on_traces = None
    killed = collector.spans()
    assert killed
    assert not collector.metrics
    summary = export(data_dir, collector)
    spans = collector.spans()[len(killed) :]
    assert summary.spans == len(spans)
    assert _ids(spans) == _ids(killed)
    points = collector.last_metrics()["gen_ai.execute_tool.duration"]
    assert sum(p["count"] for p in points) == len(by_name(spans, "execute_tool"))


def test_totals_go_on_where_they_were(tmp_path: Path, collector: Collector) -> None:
    talk = Talk(sid_of(1), pid=4_000_001)
    with Scene(tmp_path) as scene:
        scene.say(*asking(talk), *answering(talk))
        export(scene.data_dir, collector)
        (before,) = collector.last_metrics()["gen_ai.invoke_agent.duration"]
        scene.say(*asking(talk, 5000, n=2), *answering(talk, 6000, n=2))
        export(scene.data_dir, collector)
    (after,) = collector.last_metrics()["gen_ai.invoke_agent.duration"]
    assert (before["count"], after["count"]) == (1, 2)
    assert before["start"] == after["start"] <= before["time"] <= after["time"]
    assert len(_ids(collector.spans())) == len(set(_ids(collector.spans())))


def test_a_late_message_comes_below_what_was_sent(tmp_path: Path, collector: Collector) -> None:
    talk = Talk(sid_of(1), pid=4_000_001)
    with Scene(tmp_path) as scene:
        scene.say(*asking(talk), *answering(talk))
        export(scene.data_dir, collector)
        before = collector.spans()
        late = [talk.start(7, 3000, round_id="round-1"), talk.reason(7, 3100, "end_turn")]
        scene.say(*late, talk.stop(7, 3200))
        export(scene.data_dir, collector)
    (chat,) = collector.spans()[len(before) :]
    (root,) = [span for span in before if not span["parent"]]
    assert (chat["attributes"]["gen_ai.response.id"], chat["parent"]) == ("m7", root["id"])
    assert chat["trace"] == root["trace"]


def test_a_round_that_has_just_ended_settles_first(tmp_path: Path, collector: Collector) -> None:
    """A notification may go on with it: its end is not told before that is over."""
    talk = Talk(sid_of(1), pid=4_000_001)
    with Scene(tmp_path) as scene:
        scene.say(*asking(talk), *answering(talk))
    ended = START / 1000 + 1.2
    soon = export(scene.data_dir, collector, now=ended + SETTLE - 0.1)
    assert (soon.settling, soon.spans, collector.spans()) == (1, 0, [])
    assert export(scene.data_dir, collector, now=ended + SETTLE).spans == 4


def test_series_stay_few() -> None:
    measures = [Measure("tool_duration", 1.0, {"tool": f"t{n}"}) for n in range(MOST_SERIES + 9)]
    found = grown([], measures)
    assert len(found) == MOST_SERIES + 1
    assert (found[-1].attributes, found[-1].count) == ({"tool": "other"}, 9)
    assert len(grown(found, measures)) == MOST_SERIES + 1


def test_a_running_round_waits(tmp_path: Path, collector: Collector) -> None:
    talk = Talk(sid_of(1), pid=4_000_001)
    with Scene(tmp_path) as scene:
        scene.say(*asking(talk))
    summary = export(scene.data_dir, collector)
    assert (summary.spans, summary.waiting, collector.spans()) == (0, 1, [])


# -- following


def test_rounds_are_exported_as_they_finish(tmp_path: Path, collector: Collector) -> None:
    talk = Talk(sid_of(1), pid=4_000_001)
    with Scene(tmp_path) as scene:
        args = ("otel", "--follow", "--endpoint", collector.url, "--data-dir", scene.data_dir)
        with Running(*args) as exporter:
            scene.say(*asking(talk), *answering(talk))
            wait_for(lambda: _roots(collector) == 1)
            scene.say(*asking(talk, 5000, n=2))
            scene.say(*answering(talk, 6000, n=2))
            wait_for(lambda: _roots(collector) == 2)
            answer = exporter.end(signal.SIGTERM)
    assert (answer.code, answer.err) == (0, "")
    assert "rounds 1, spans 4" in answer.out
    assert len(_ids(collector.spans())) == len(set(_ids(collector.spans()))) == 8


def _roots(collector: Collector) -> int:
    return sum(not span["parent"] for span in collector.spans())


@pytest.mark.deep
def test_a_collector_that_is_down_gets_it_when_it_is_up(tmp_path: Path) -> None:
    data_dir = stored(tmp_path, DEMO)
    with collecting() as before:
        port, url = before.port, before.url
    args = ("otel", "--follow", "--endpoint", url, "--data-dir", data_dir, "--timeout", "1s")
    with Running(*args) as exporter:
        assert exporter.process.stderr is not None
        said = exporter.process.stderr.readline().decode()
        assert said.startswith(f"agentmon: {url} did not take it: ")
        assert said.endswith("; trying on\n")
        with collecting(port) as collector:
            wait_for(lambda: bool(collector.metrics))
            assert exporter.end(signal.SIGTERM).code == 0
            assert len(set(_ids(collector.spans()))) == len(collector.spans()) > 90


def test_pauses_grow_and_end_with_the_trouble() -> None:
    now, started = [0.0], list[float]()
    failing = ["no"] * 9 + ["", ""]

    def attempt() -> Summary:
        started.append(now[0])
        if len(started) > len(failing):
            raise KeyboardInterrupt
        return Summary(failure=failing[len(started) - 1], settling=1)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(KeyboardInterrupt):
        follow(attempt, lambda: True, lambda summary: None, sleep=sleep, clock=lambda: now[0])
    pauses = [later - earlier for earlier, later in pairwise(started)]
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, *[LONGEST_PAUSE] * 3]
    assert pauses[9:] == [0.5, 0.5]


# -- trouble


def test_without_the_sdk_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    data_dir = stored(tmp_path, DEMO)
    blocked = tmp_path / "opentelemetry"
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise ImportError('blocked')\n")
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"
    answer = ran(command("otel", "--data-dir", data_dir), env=env)
    assert_one_sentence(answer, "pip install 'agentmon[otel]'")


def said(*args: object) -> Result:
    return CliRunner().invoke(main, ["otel", *map(str, args)])


def test_bad_requests(tmp_path: Path, collector: Collector) -> None:
    data_dir = stored(tmp_path, DEMO)
    at = ("--endpoint", collector.url, "--data-dir", data_dir)
    for args, code, sentence in (
        (("--data-dir", tmp_path / "none"), 1, "no store"),
        (("nobody", *at), 1, "nobody"),
        (("--endpoint", "x:1", "--data-dir", data_dir), 2, "x:1"),
        (("--header", "novalue", *at), 2, "NAME=VALUE"),
        (("--timeout", "soon", *at), 2, "a time above zero"),
    ):
        answer = said(*args)
        assert (answer.exit_code, answer.stdout) == (code, "")
        assert sentence in answer.stderr
    state = State(data_dir, collector.url)
    try:
        assert "another agentmon exports" in said(*at).stderr
    finally:
        state.close()
    assert collector.asked == 0


def test_the_summary_is_pinned(tmp_path: Path, collector: Collector) -> None:
    ingest(tmp_path / "data", [write(tmp_path / "log", finished(1))])
    args = ("--json", "--header", "x-team=a b", "--data-dir", tmp_path / "data")
    answer = said("--endpoint", f"{collector.url}/v1/traces", *args)
    summary = json.loads(answer.stdout)
    assert summary.pop("endpoint") == collector.url
    assert collector.headers[0]["x-team"] == "a b"
    golden.check("otel", summary)
