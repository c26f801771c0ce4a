"""Chat completions in a tap's log: what clients of OpenAI's older API, and of many others, say."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentmon.capture.recorder import Exchange
from tests.differential import of_file
from tests.heard import Tap

Row = dict[str, Any]


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    return Tap(tmp_path)


def ask(tap: Tap, messages: Sequence[Row], **more: object) -> Exchange:
    body = {"model": "m", "messages": messages, "stream": True, **more}
    headers = [("User-Agent", "OpenAI/Python 1.2")]
    return tap.begin("/v1/chat/completions", headers, json.dumps(body).encode())


def chunk(delta: Row, finish: str | None = None, **more: object) -> Row:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "qwen"}
    return {**base, "choices": [choice], **more}


def call(index: int, name: str | None, arguments: str) -> Row:
    function = {"name": name, "arguments": arguments}
    begun: Row = {"id": f"call_{index}", "type": "function"} if name else {}
    return {"tool_calls": [{"index": index, **begun, "function": function}]}


USAGE: Row = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
TURN: list[Row] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Two "}),
    chunk({"reasoning_content": "calls."}),
    chunk({"content": "I lo"}),
    chunk({"content": "ok."}),
    chunk(call(0, "read", "")),
    chunk(call(0, None, '{"path"')),
    chunk(call(1, "list", "{}")),
    chunk(call(0, None, ':"a"}')),
    chunk({}, "tool_calls"),
    {**chunk({}), "choices": [], "usage": USAGE},
]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def answer(exchange: Exchange, chunks: Sequence[Row], end: bytes = b"data: [DONE]\n\n") -> None:
    exchange.response(200, [("Content-Type", "text/event-stream"), ("x-request-id", "req_1")])
    exchange.feed(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + end)
    exchange.end("complete")


def test_prompts_and_results(tap: Tap) -> None:
    said: list[Row] = [{"role": "system", "content": "Be good."}]
    said.append({"role": "user", "content": "one"})
    answer(ask(tap, said), TURN)
    said += [
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "call_0", "content": "A"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "B"}]},
    ]
    ask(tap, said)
    ask(tap, said)
    said += [
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image_url"}]},
    ]
    ask(tap, said)
    lines = tap.said()
    told = [line for line in lines if line.kind in ("user_prompt", "tool_result")]
    assert [line.payload.get("prompt", line.payload.get("tool_use_id")) for line in told] == [
        *("one", "call_0", "call_1", "two"),
    ]
    assert len({line.row["round"] for line in told[:3]}) == 1
    assert told[3].row["round"] != told[2].row["round"]
    assert {line.row["sid"] for line in lines} == {lines[0].row["sid"]}


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b""])
def test_program_reads_what_was_said(tap: Tap, tmp_path: Path, end: bytes) -> None:
    answer(ask(tap, [{"role": "user", "content": "one"}]), TURN, end)
    assert tap.kinds()[-1] == "response.completed"
    tap.recorder.tick(lambda pid: False)
    found = of_file(tmp_path / "store", Path(tap.log.path))
    (message,) = [row for row in found if row["kind"] == "message"]
    assert message["flow_id"] == "chatcmpl-1"
    assert (message["model"], message["input_tokens"], message["output_tokens"]) == ("qwen", 10, 4)
    blocks = [row for row in found if row["kind"] == "block"]
    assert [(row["block_type"], row["tool_name"], row["sha256"]) for row in blocks] == [
        ("thinking", None, digest("Two calls.")),
        ("text", None, digest("I look.")),
        ("tool_use", "read", digest('{"path":"a"}')),
        ("tool_use", "list", digest("{}")),
    ]
    assert [row["delta_count"] for row in blocks] == [2, 2, 2, 1]
    assert [row["tool_use_id"] for row in blocks[2:]] == ["call_0", "call_1"]


def test_answer_that_is_cut_off_has_no_end(tap: Tap) -> None:
    answer(ask(tap, [{"role": "user", "content": "one"}]), TURN[:5], b"")
    assert "response.completed" not in tap.kinds()


def test_answer_that_is_too_long(tap: Tap) -> None:
    answer(ask(tap, []), [chunk({"content": "x"}), chunk({}, "length")])
    last = tap.said()[-1]
    assert last.row["event"] == "codex.response.incomplete"
    assert last.payload["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_answer_without_streaming(tap: Tap) -> None:
    exchange = ask(tap, [{"role": "user", "content": "one"}], stream=False)
    exchange.response(200, [("content-type", "application/json")])
    message = {
        "role": "assistant",
        "content": "Hi",
        "tool_calls": call(0, "read", "{}")["tool_calls"],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}
    exchange.feed(json.dumps(whole).encode())
    exchange.end("complete")
    done = tap.said()[-1].payload["response"]
    assert [item["type"] for item in done["output"]] == ["message", "function_call"]


def test_errors(tap: Tap) -> None:
    answer(ask(tap, []), [chunk({"content": "x"}), {"error": {"code": "boom", "message": "no"}}])
    error = tap.said()[-1]
    assert (error.row["event"], error.payload["error"]["code"]) == ("codex.error", "boom")
    exchange = ask(tap, [])
    exchange.response(401, [("content-type", "application/json")])
    exchange.feed(b'{"error": {"code": "invalid_api_key", "message": "no"}}')
    exchange.end("complete")
    assert tap.said()[-1].payload["error"]["code"] == "invalid_api_key"
