"""What a recorder makes of the Responses API as Codex uses it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentmon.capture.recorder import Exchange
from tests.captured import wire
from tests.heard import OTHER, SID, Tap

Row = dict[str, Any]

CONTEXT = (
    "<environment_context>\n  <cwd>/home/u/p</cwd>\n  <shell>bash</shell>\n</environment_context>"
)


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    return Tap(tmp_path)


def message(role: str, *texts: str) -> Row:
    kind = "output_text" if role == "assistant" else "input_text"
    return {
        "type": "message",
        "role": role,
        "content": [{"type": kind, "text": text} for text in texts],
    }


def call(name: str) -> Row:
    return {"type": "function_call", "call_id": name, "name": "exec_command", "arguments": "{}"}


def output(name: str, text: object = "ok", kind: str = "function_call_output") -> Row:
    return {"type": kind, "call_id": name, "output": text}


def ask(tap: Tap, items: Sequence[Row] | str, *, sid: str = SID, **told: object) -> Exchange:
    turn = {"session_id": sid, "thread_id": sid, "thread_source": "user", "agent_name": "/root"}
    headers = [
        ("User-Agent", "codex-tui/0.169.0 (Linux)"),
        ("session-id", sid),
        ("x-codex-turn-metadata", json.dumps({**turn, **told})),
    ]
    body = {"model": "gpt-6", "input": items, "stream": True}
    return tap.begin("/v1/responses", headers, json.dumps(body).encode())


def stream(name: str = "resp_1", *items: Row) -> list[Row]:
    response = {"id": name, "object": "response", "model": "gpt-6"}
    items = items or (message("assistant", "Hi"),)
    rows: list[Row] = [{"type": "response.created", "response": response}]
    for index, item in enumerate(items):
        rows.append({"type": "response.output_item.done", "output_index": index, "item": item})
    done = {**response, "status": "completed", "output": list(items)}
    rows.append({"type": "response.completed", "response": done})
    return [{**row, "sequence_number": number} for number, row in enumerate(rows)]


def test_turn(tap: Tap) -> None:
    developer = message("developer", "You are Codex")
    said = [developer, message("user", CONTEXT), message("user", "fix it")]
    tap.answer(ask(tap, said), stream("resp_1", call("c1"), call("c2")))
    said += [call("c1"), call("c2"), output("c1"), output("c2", kind="custom_tool_call_output")]
    tap.answer(ask(tap, said), stream("resp_2"))
    lines = tap.said()
    assert [line.row["event"] for line in lines] == [
        "codex.user_prompt",
        "codex.response.created",
        "codex.response.output_item.done",
        "codex.response.output_item.done",
        "codex.response.completed",
        "codex.tool_result",
        "codex.tool_result",
        "codex.response.created",
        "codex.response.output_item.done",
        "codex.response.completed",
    ]
    assert lines[0].payload == {"type": "user_prompt", "prompt": "fix it"}
    assert lines[5].payload == {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
    assert [line.row["flow_id"] for line in lines[1:5]] == ["resp_1"] * 4
    assert [line.row["data_count"] for line in lines[1:5]] == [0, 1, 2, 3]
    assert len({line.row["round"] for line in lines}) == 1
    assert lines[0].meta == {"ver": "0.169.0", "pid": 4_000, "cwd": "/home/u/p"}


def test_end_says_that_the_last_turn_was_over(tap: Tap) -> None:
    tap.answer(ask(tap, "one"), stream())
    over, round_id = tap.clock.now, tap.said()[-1].row["round"]
    tap.clock.now += 60
    tap.recorder.tick(lambda pid: False)
    stop, end = tap.said()
    assert (stop.row["event"], end.row["event"]) == ("codex.stop", "codex.session_end")
    assert abs(stop.time - over) < 0.002
    assert abs(end.time - over - 60) < 0.002
    assert stop.row["round"] == end.row["round"] == round_id


@pytest.mark.parametrize("is_asked_again", [False, True])
def test_a_process_that_goes_within_a_turn_is_no_end(tap: Tap, is_asked_again: bool) -> None:
    tap.answer(ask(tap, "one"), stream("resp_1", *([] if is_asked_again else [call("c1")])))
    if is_asked_again:
        ask(tap, [message("user", "one"), message("assistant", "Hi"), message("user", "two")])
    tap.said()
    tap.recorder.tick(lambda pid: False)
    assert tap.kinds() == []


def test_subagents_and_the_clients_own_requests(tap: Tap) -> None:
    tap.answer(ask(tap, "one"), stream("resp_1", call("c1")))
    round_id = tap.said()[-1].row["round"]
    counter = {"thread_source": "subagent", "agent_name": "/root/counter", "thread_id": OTHER}
    tap.answer(ask(tap, "count", **counter), stream("resp_2"))
    tap.answer(ask(tap, "a title", sid=OTHER, thread_source="thread_title"), stream("resp_3"))
    lines = tap.said()
    tap.answer(ask(tap, "sum up", request_kind="compaction"), stream("resp_4"))
    assert {(line.agent, line.row["sid"], line.row["round"]) for line in tap.said()} == {
        ("side", SID, "")
    }
    assert {(line.agent, line.row["sid"], line.row["round"]) for line in lines} == {
        ("/root/counter", SID, round_id),
        ("side", OTHER, ""),
    }
    assert {line.kind for line in lines} == {event["type"] for event in stream()}
    tap.answer(ask(tap, "two"), stream("resp_5"))
    tap.said()
    tap.recorder.tick(lambda pid: False)
    assert {line.row["sid"] for line in tap.said()} == {SID}


def test_request_that_only_adds_to_the_last_one(tap: Tap) -> None:
    headers = [("session-id", SID)]
    for previous, text in ((None, "go on"), ("resp_1", "go on")):
        body = {"input": [message("user", text)], "previous_response_id": previous}
        tap.begin("/v1/responses", headers, json.dumps(body).encode())
    assert tap.prompts() == ["go on", "go on"]


@pytest.mark.parametrize(
    "text",
    [
        CONTEXT,
        "# AGENTS.md instructions for /p",
        "<user_instructions>x</user_instructions>",
        "<turn_aborted>\nThe user interrupted",
        "<subagent_notification>x</subagent_notification>",
    ],
)
def test_what_nobody_typed_is_no_prompt(tap: Tap, text: str) -> None:
    ask(tap, [message("user", text), message("user", "one")])
    assert tap.prompts() == ["one"]


def test_errors(tap: Tap) -> None:
    failed = {"type": "response.failed", "response": {"id": "resp_1", "error": {"code": "x"}}}
    tap.answer(ask(tap, "one"), [stream()[0], failed])
    assert tap.said()[-1].row["event"] == "codex.response.failed"
    exchange = ask(tap, "one")
    exchange.response(429, [("content-type", "application/json"), ("x-request-id", "req_3")])
    exchange.feed(b'{"error": {"code": "rate_limit_exceeded", "message": "slow down"}}')
    exchange.end("complete")
    (error,) = tap.said()
    assert error.row["event"] == "codex.error"
    assert error.payload["error"]["code"] == "rate_limit_exceeded"
    assert error.payload["request_id"] == "req_3"


def test_answer_without_streaming(tap: Tap) -> None:
    exchange = ask(tap, "one")
    exchange.response(200, [("content-type", "application/json")])
    exchange.feed(json.dumps(stream()[-1]["response"]).encode())
    exchange.end("complete")
    line = tap.said()[-1]
    assert (line.row["event"], line.row["flow_id"]) == ("codex.response.completed", "resp_1")


def test_end_of_an_openai_stream_is_no_event(tap: Tap) -> None:
    exchange = ask(tap, "one")
    exchange.response(200, [("content-type", "text/event-stream")])
    exchange.feed(wire(stream()[0]) + b"data: [DONE]\n\n")
    exchange.end("complete")
    assert tap.kinds() == ["user_prompt", "response.created"]
