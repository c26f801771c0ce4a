"""What a recorder makes of requests and answers: prompts, rounds, results, beginnings and ends."""

import gzip
import json
import zlib
from pathlib import Path

import pytest

from agentmon.capture.envelope import envelope
from tests.captured import process, wire
from tests.differential import of_file
from tests.heard import OTHER, SID, Row, Tap, reply, result, stream, user


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    return Tap(tmp_path)


def test_turn_of_a_new_session(tap: Tap) -> None:
    tap.answer(tap.claude([user("fix it")]))
    lines = tap.said()
    assert [line.kind for line in lines] == [
        "session_start",
        "user_prompt",
        *(event["type"] for event in stream()),
        "stop",
    ]
    start, prompt, *answer = lines
    assert start.payload["source"] == "new"
    assert start.row["round"] == ""
    assert prompt.payload == {"type": "user_prompt", "prompt": "fix it"}
    assert {line.row["round"] for line in answer} == {prompt.row["round"]} != {""}
    assert [line.row["data_count"] for line in answer] == list(range(7))
    assert {line.row["flow_id"] for line in answer} == {"msg_1"}
    assert prompt.row["flow_id"].startswith("msg_in_")
    assert all(line.meta == {"ver": "2.1.330", "pid": 4_000, "cwd": "/home/u/p"} for line in lines)
    assert all(line.payload["request_id"] == "req_1" for line in answer[:-1])
    assert list(lines[0].row)[-1] == "sid"


def test_prompts_and_results_come_once(tap: Tap) -> None:
    said = [user("one")]
    tap.answer(tap.claude(said), stream("msg_1", "tool_use"))
    said += [reply(), user(result("t1"), result("t2", is_error=True))]
    tap.answer(tap.claude(said), stream("msg_2"))
    said += [reply(), user("two")]
    tap.claude(said).end("client_gone")
    tap.claude(said).end("client_gone")
    said += [reply(), user("two")]
    tap.claude(said)
    lines = tap.said()
    prompts = [line for line in lines if line.kind == "user_prompt"]
    results = [line for line in lines if line.kind == "tool_result"]
    assert [line.payload["prompt"] for line in prompts] == ["one", "two", "two"]
    assert [line.payload["tool_use_id"] for line in results] == ["t1", "t2"]
    assert results[0].payload == {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
    assert results[1].payload["is_error"] is True
    assert [line.row["data_count"] for line in results] == [0, 1]
    assert len({line.row["round"] for line in prompts}) == 3
    assert {line.row["round"] for line in results} == {prompts[0].row["round"]}
    assert sorted(line.row["round"] for line in prompts) == [line.row["round"] for line in prompts]


def test_results_of_a_request_that_was_missed_come_late(tap: Tap) -> None:
    tap.claude([user("one")])
    tap.said()
    tap.claude([user("one"), reply(), user(result("t1")), reply(), user(result("t2"))])
    assert tap.results() == ["t1", "t2"]


def test_more_results_than_are_remembered(tap: Tap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmon.capture.sessions.MAX_RESULTS", 4)
    said = [user("one")]
    for number in range(10):
        tap.claude(said)
        said += [reply(), user(result(f"t{number}"))]
        tap.claude(said)
        tap.claude(said)
    assert tap.results() == [f"t{number}" for number in range(10)]


@pytest.mark.parametrize(
    "text",
    [
        "<system-reminder>\nthe date</system-reminder>",
        "<task-notification>\n<task-id>a</task-id>",
        "[SYSTEM NOTIFICATION] done",
        "Your response above was cut off mid-stream. Resume directly",
        "Output token limit hit. Resume directly",
        "<local-command-stdout>ok</local-command-stdout>",
        "<command-name>/clear</command-name>",
        "This session is being continued from a previous conversation",
        "[Request interrupted by user]",
        "<ide_opened_file>a.py</ide_opened_file>",
        "Stop hook feedback:\nnot yet",
    ],
)
def test_what_nobody_typed_is_no_prompt(tap: Tap, text: str) -> None:
    tap.claude([user("one")])
    first = tap.said()[-1].row["round"]
    tap.answer(tap.claude([user("one"), reply(), user(text)]))
    lines = tap.said()
    assert "user_prompt" not in {line.kind for line in lines}
    assert {line.row["round"] for line in lines} == {first}


def test_cut_that_left_only_thinking_adds_to_the_prompt(tap: Tap) -> None:
    tap.claude([user("one")]).end("upstream_gone")
    cut = (
        "Your response above was cut off mid-stream. If none of it survived, answer from the start."
    )
    tap.claude([user("one\n", cut)])
    tap.claude([user(f"one\n{cut}")])
    assert tap.prompts() == ["one"]


def test_prompt_of_several_texts_is_one(tap: Tap) -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "aa"}}
    tap.claude([user("<system-reminder>x</system-reminder>", "look", image, "at this")])
    assert tap.prompts() == ["look\nat this"]


def test_command_is_told_as_it_was_typed(tap: Tap) -> None:
    command = (
        "<command-message>review</command-message>\n<command-name>/review</command-name>"
        "\n<command-args>the parser</command-args>"
    )
    tap.claude([user(command, "Look at the parser with care.", "and this")])
    assert tap.prompts() == ["/review the parser\nand this"]
    local = "<command-name>/model</command-name>\n<command-message>model</command-message>"
    out = "<local-command-stdout>Set</local-command-stdout>"
    tap.claude([user(command, "Look at the parser with care."), reply(), user(local, out, "on")])
    assert tap.prompts() == ["on"]


def test_prompt_after_an_interrupt_stands_for_itself(tap: Tap) -> None:
    tap.claude([user("one")]).end("client_gone")
    tap.claude([user("one", "[Request interrupted by user]", "two")])
    assert tap.prompts() == ["one", "two"]


def test_prompt_typed_while_tools_run_goes_on_with_the_round(tap: Tap) -> None:
    said = [user("one")]
    tap.claude(said)
    first = tap.said()[-1].row["round"]
    said += [reply(), user(result("t1"), "and this, too")]
    tap.claude(said)
    assert [(line.kind, line.row["round"]) for line in tap.said()] == [
        ("tool_result", first),
        ("user_prompt", first),
    ]
    said += [reply(), user(result("t2", is_error=True), "[Request interrupted by user", "no: that")]
    tap.claude(said)
    refused, prompt = tap.said()
    assert refused.row["round"] == prompt.row["round"] != first


@pytest.mark.parametrize("role", ["system", "user"])
def test_prompt_that_was_queued_is_handed_on_by_the_client(tap: Tap, role: str) -> None:
    said = [user("one")]
    tap.claude(said)
    first = tap.said()[-1].row["round"]
    queued = "The user sent a new message while you were working:\nand\n\nthis\n\nIMPORTANT: After"
    text = queued if role == "system" else f"<system-reminder>\n{queued}\n</system-reminder>"
    added = {"role": role, "content": [{"type": "text", "text": text}]}
    said += [reply(), user(result("t1")), added]
    tap.claude(said)
    tap.claude([*said, reply(), user("two")])
    lines = [line for line in tap.said() if line.kind == "user_prompt"]
    assert [line.payload["prompt"] for line in lines] == ["and\n\nthis", "two"]
    assert [line.row["round"] == first for line in lines] == [True, False]


def test_what_the_client_says_as_the_system_is_no_prompt(tap: Tap) -> None:
    tap.claude([user("one"), {"role": "system", "content": "Today is Monday."}])
    assert tap.prompts() == ["one"]


def test_summary_keeps_what_was_told(tap: Tap) -> None:
    said = [user("one"), reply(), user("two"), reply(), user("three")]
    for end in (1, 3, 5):
        tap.claude(said[:end])
    assert tap.prompts() == ["one", "two", "three"]
    summary = "This session is being continued from a previous conversation."
    tap.claude([user(summary, "three"), reply(), user("four")])
    tap.claude([user(summary), reply(), user("five")])
    assert tap.prompts() == ["four", "five"]


def test_client_that_writes_what_came_before_anew(tap: Tap) -> None:
    """Some put a map of the files first, which is another one each time."""
    for number, text in enumerate(["one", "two", "two", "three"]):
        before = [user(f"map {number}"), reply("Ok."), user("0"), reply()]
        tap.claude([*before, user(text)], client="aider/1")
    assert tap.prompts() == ["one", "two", "three"]


def test_taken_back_and_said_again_or_otherwise(tap: Tap) -> None:
    said = [user("one"), reply(), user("two"), reply(), user("three")]
    for end in (1, 3, 5):
        tap.claude(said[:end])
    tap.said()
    tap.claude([*said[:2], user("2")])
    assert tap.prompts() == ["2"]
    tap.claude(said[:1])
    assert tap.prompts() == ["one"]


def test_session_that_was_there_before_the_tap(tap: Tap) -> None:
    said = [user("old"), reply(), user(result("t0")), reply(), user("new")]
    tap.answer(tap.claude(said))
    start, prompt = tap.said()[:2]
    assert start.payload["source"] == "resume"
    assert prompt.payload["prompt"] == "new"
    tap.claude([*said, reply(), user(result("t1"))])
    assert tap.results() == ["t1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.",
        "Your task is to create a detailed summary of the conversation so far",
        "[SUGGESTION MODE: Suggest what the user might type next]",
        "Warmup",
    ],
)
def test_side_requests_are_nobodys_turn(tap: Tap, text: str) -> None:
    said_last = {"role": "system", "content": "Today is Monday."}
    tap.answer(
        tap.claude([user("x"), reply(), user(result("t1")), reply(), user(text), said_last])
        if text
        else tap.claude([user("a title for: x")], tools=[])
    )
    first, *lines = tap.said()
    assert first.kind == "session_start"
    assert [line.kind for line in lines] == [event["type"] for event in stream()]
    assert {line.agent for line in lines} == {"side"}
    assert {line.row["round"] for line in lines} == {""}
    tap.claude([user("x")])
    assert tap.prompts() == ["x"]


def test_subagent_shares_session_and_round(tap: Tap) -> None:
    tap.answer(tap.claude([user("one")]), stream("msg_1", "tool_use"))
    round_id = tap.said()[-1].row["round"]
    said = [user("count the files")]
    tap.answer(tap.claude(said, agent="a1"), stream("msg_2", "tool_use"))
    tap.answer(tap.claude([*said, reply(), user(result("t1"))], agent="a1"), stream("msg_3"))
    lines = tap.said()
    assert {(line.row["sid"], line.row["round"], line.agent) for line in lines} == {
        (SID, round_id, "a1")
    }
    assert [line.kind for line in lines if line.kind in ("user_prompt", "tool_result", "stop")] == [
        "tool_result"
    ]


def test_stop_names_subagents_that_go_on(tap: Tap) -> None:
    tap.claude([user("count")], agent="a1")
    tap.claude([user("count")], agent="a2").end("client_gone")
    tap.answer(tap.claude([user("count")], agent="a3"))
    tap.answer(tap.claude([user("one")]))
    tasks = tap.said()[-1].payload["background_tasks"]
    assert [(task["id"], task["status"]) for task in tasks] == [
        ("a1", "running"),
        ("a2", "running"),
    ]


@pytest.mark.parametrize("stop", ["tool_use", "max_tokens", "pause_turn", None])
def test_answer_after_which_a_client_goes_on_is_no_stop(tap: Tap, stop: str | None) -> None:
    tap.answer(tap.claude([user("one")]), stream("msg_1", stop))
    assert tap.kinds() == ["session_start", "user_prompt", "stream"]


def test_hooks_say_beginning_turns_and_end(tap: Tap) -> None:
    def hook(kind: str) -> None:
        payload = {"type": kind, "hook_event_name": kind, "source": "startup"}
        line = envelope(
            f"claude.{kind}",
            payload,
            time=tap.clock.now,
            flow_id="msg_in_x",
            count=0,
            sid=SID,
            metadata="{}",
        )
        tap.log.append([line])

    hook("session_start")
    tap.answer(tap.claude([user("one")]))
    assert tap.kinds() == ["session_start", "user_prompt", "stream"]
    tap.clock.now += 1
    hook("session_end")
    tap.recorder.tick(lambda pid: False)
    assert tap.kinds() == ["session_end"]
    tap.answer(tap.claude([user("one"), reply(), user("two")]))  # and then no hook any more
    tap.recorder.tick(lambda pid: False)
    assert tap.kinds() == ["user_prompt", "stream", "session_end"]


def test_a_client_that_is_killed_has_no_end_and_an_interrupted_one_has(tap: Tap) -> None:
    """What goes within a turn is told of by the process table alone, as in the recordings."""
    tap.claude([user("one")]).end("client_gone")
    tap.answer(tap.claude([user("one")], sid=OTHER, peer=process(2, "/b")), stream(stop="tool_use"))
    tap.said()
    tap.recorder.tick(lambda pid: False)
    assert tap.kinds() == []
    tap.claude([user("one"), user("two")]).end("client_gone")
    tap.said()
    tap.recorder.tick(lambda pid: True)  # it hung up, and lives on
    tap.recorder.tick(lambda pid: False)
    assert tap.kinds() == ["session_end"]


def test_end_that_a_hook_told_is_not_told_again(tap: Tap, tmp_path: Path) -> None:
    tap.answer(tap.claude([user("one")]))
    tap.answer(tap.claude([user("one")], sid=OTHER, peer=process(2, "/b")))
    tap.said()
    ends = [
        {"t": tap.clock.now + 1, "payload": {"hook_event_name": "SessionEnd", "session_id": SID}},
        {"t": tap.clock.now - 9, "payload": {"hook_event_name": "SessionEnd", "session_id": OTHER}},
    ]
    (tmp_path / "hooks.jsonl").write_text("".join(json.dumps(end) + "\n" for end in ends) + "{")
    tap.recorder.tick(lambda pid: False)
    assert [line.row["sid"] for line in tap.said()] == [OTHER]


def test_process_that_is_gone_ends_its_sessions_once(tap: Tap) -> None:
    tap.answer(tap.claude([user("one")], peer=process(1, "/a")))
    tap.answer(tap.claude([user("one")], sid=OTHER, peer=process(2, "/b")))
    tap.said()
    tap.recorder.tick(lambda pid: pid != 2)
    tap.recorder.tick(lambda pid: pid != 2)
    (end,) = tap.said()
    assert (end.kind, end.row["sid"], end.payload["reason"]) == (
        "session_end",
        OTHER,
        "process_exit",
    )
    assert end.row["round"] != ""
    tap.recorder.close(lambda pid: True)
    assert tap.said() == []


@pytest.mark.parametrize("way", ["clear", "resume"])
def test_session_left_for_another_within_its_process(tap: Tap, way: str) -> None:
    tap.answer(tap.claude([user("one")]))
    tap.said()
    before = [user("old"), reply()] if way == "resume" else []
    tap.answer(tap.claude([*before, user("two")], sid=OTHER))
    end, start, *_ = tap.said()
    assert (end.row["sid"], end.payload) == (SID, {"type": "session_end", "reason": way})
    assert (start.kind, start.row["sid"]) == ("session_start", OTHER)
    tap.answer(tap.claude([user("one"), reply(), user("back")]))
    assert tap.kinds() == ["user_prompt", "stream", "stop"]


def test_error_of_the_stream_and_of_the_server(tap: Tap) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    tap.answer(tap.claude([user("one")]), [*stream()[:3], overloaded])
    assert tap.said()[-1].payload["error"]["type"] == "overloaded_error"
    exchange = tap.claude([user("one")])
    exchange.response(529, [("content-type", "application/json")])
    whole = json.dumps({**overloaded, "request_id": "req_9"}).encode()
    exchange.feed(whole[:10])
    exchange.feed(whole[10:])
    exchange.end("complete")
    (error,) = tap.said()
    assert error.payload == {**overloaded, "request_id": "req_9"}
    assert error.row["event"] == "claude.error"
    assert error.row["round"] != ""
    exchange = tap.claude([user("one")])
    exchange.response(502, [("content-type", "text/html")])
    exchange.feed(b"<h1>Bad gateway</h1>")
    exchange.end("complete")
    (error,) = tap.said()
    assert error.payload["error"] == {"type": "http_502", "message": "<h1>Bad gateway</h1>"}
    tap.claude([user("one")]).end("upstream_gone")
    (error,) = tap.said()
    assert error.payload["error"]["type"] == "connection_error"
    tap.claude([user("one")]).end("client_gone")
    assert tap.said() == []


def test_answer_without_streaming_is_a_message(tap: Tap) -> None:
    tap.claude([user("one")]).end("client_gone")
    tap.said()
    exchange = tap.claude([user("one")], stream=False)
    exchange.response(200, [("content-type", "application/json"), ("request-id", "req_2")])
    answer = {
        "id": "msg_9",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Late."}],
        "stop_reason": "end_turn",
    }
    exchange.feed(json.dumps(answer).encode())
    exchange.end("complete")
    message, stop = tap.said()
    assert message.row["event"] == "claude.message"
    assert message.payload == {**answer, "request_id": "req_2"}
    assert (message.row["flow_id"], message.row["data_count"]) == ("msg_9", 0)
    assert stop.kind == "stop"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
def test_encoded_answer_is_decoded_or_counted(tap: Tap, encoding: str) -> None:
    data = b"".join(map(wire, stream()))
    if encoding == "zstd":
        zstd = pytest.importorskip("backports.zstd")
        packed: bytes = zstd.compress(data)
    else:
        packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(data)
    exchange = tap.claude([user("one")])
    exchange.response(200, [("content-type", "text/event-stream"), ("content-encoding", encoding)])
    for start in range(0, len(packed), 10):
        exchange.feed(packed[start : start + 10])
    exchange.end("complete")
    is_read = encoding != "br"
    assert ("stream" in tap.kinds()) is is_read
    assert tap.recorder.passed_over == (0 if is_read else 1)


def test_encoded_request(tap: Tap) -> None:
    body = gzip.compress(json.dumps({"messages": [user("one")], "tools": [{}]}).encode())
    headers = [("X-Claude-Code-Session-Id", SID), ("content-encoding", "gzip")]
    tap.begin("/v1/messages", headers, body)
    assert tap.prompts() == ["one"]


def test_session_by_the_body_alone(tap: Tap) -> None:
    for number, user_id in enumerate(
        [json.dumps({"device_id": "d", "session_id": SID}), f"user_ab_account__session_{OTHER}"]
    ):
        body: Row = {"messages": [user("one")], "metadata": {"user_id": user_id}, "tools": [{}]}
        peer = process(number, "/p")
        tap.begin("/v1/messages", [("user-agent", "x/1")], json.dumps(body).encode(), peer)
    assert [line.row["sid"] for line in tap.said() if line.kind == "user_prompt"] == [SID, OTHER]


def test_client_that_names_no_session_has_one_per_process(tap: Tap) -> None:
    for pid in (7, 8, 7):
        peer = process(pid, "/p")
        tap.claude([user(f"of {pid}")], sid=None, client="python-httpx/0.27", tools=[], peer=peer)
    sids = {line.row["sid"]: line.meta["pid"] for line in tap.said()}
    assert sorted(sids.values()) == [7, 8]


def test_cwd_that_only_the_request_knows(tap: Tap) -> None:
    environment = {"role": "system", "content": "Primary working directory: /home/u/q\nmore"}
    body: Row = {"messages": [environment, user("one")], "tools": [{}]}
    headers = [("X-Claude-Code-Session-Id", SID)]
    tap.recorder.begin("POST", "/v1/messages", headers, json.dumps(body).encode(), None)
    assert {json.dumps(line.meta) for line in tap.said()} == {'{"ver": "", "cwd": "/home/u/q"}'}


def test_what_asks_no_model_is_not_recorded(tap: Tap) -> None:
    for method, path in (
        ("HEAD", "/api/hello"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/threads/thread_1/messages"),
    ):
        exchange = tap.recorder.begin(method, path, [], b"{}", None)
        exchange.response(200, [("content-type", "text/event-stream")])
        exchange.feed(wire(stream()[0]))
        exchange.end("complete")
    assert tap.said() == []
    assert tap.recorder.exchanges == 0


def test_pictures_in_results_are_told_by_their_size(tap: Tap) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}
    tap.claude([user(result("t1", [{"type": "image", "source": source}, "text"]))])
    (line,) = [line for line in tap.said() if line.kind == "tool_result"]
    assert len(line.raw) < 2_000
    assert line.payload["content"][0]["source"]["data"] == "[100000 bytes cut]"


def test_fault_of_ours_ends_one_recording(tap: Tap, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, other = tap.claude([user("one")]), tap.claude([user("one")], agent="a1")
    exchange.response(200, [("content-type", "text/event-stream")])

    def broken(data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(exchange, "_heard", broken)
    for event in stream():
        exchange.feed(wire(event))
    exchange.end("complete")
    assert tap.recorder.faults == 1
    tap.recorder.faults = 0
    tap.answer(other)
    assert {line.agent for line in tap.said() if line.kind == "message_stop"} == {"a1"}


def test_program_knows_every_line(tap: Tap, tmp_path: Path) -> None:
    """Errors, retries, a cut, silence that ends in an answer without streaming, a subagent."""
    said = [user("one")]
    refused = tap.claude(said)
    refused.response(529, [("content-type", "application/json")])
    refused.feed(
        b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    )
    refused.end("complete")
    cut = tap.claude(said)
    cut.response(200, [("content-type", "text/event-stream"), ("request-id", "req_2")])
    cut.feed(b"".join(map(wire, stream("msg_2")[:3])))
    cut.end("upstream_gone")
    tap.claude(said).end("upstream_gone")
    tap.answer(tap.claude([user("count")], agent="a1"), stream("msg_3"))
    whole = tap.claude(said, stream=False)
    whole.response(200, [("content-type", "application/json"), ("request-id", "req_4")])
    content = [{"type": "text", "text": "Late."}]
    answer = {"id": "msg_4", "type": "message", "role": "assistant", "content": content}
    whole.feed(json.dumps({**answer, "stop_reason": "end_turn"}).encode())
    whole.end("complete")
    tap.recorder.tick(lambda pid: False)
    assert tap.kinds() == [
        *("session_start", "user_prompt", "error", "stream", "error", "stream", "message", "stop"),
        "session_end",
    ]
    found = of_file(tmp_path / "store", Path(tap.log.path))
    of_kind = {kind: [row for row in found if row["kind"] == kind] for kind in KINDS}
    (counts,), (one,) = of_kind["counts"], of_kind["round"]
    assert (counts["unknown_events"], counts["bad_lines"], counts["duplicates"]) == (0, 0, 0)
    assert (one["user_prompt"], one["is_complete"]) == ("one", True)
    assert [row["flow_id"] for row in of_kind["message"]] == ["msg_2", "msg_3", "msg_4"]
    assert [row["agent_id"] for row in of_kind["message"]] == [None, "a1", None]


KINDS = ("counts", "round", "message")
