"""A recorder under test: clients ask it, models answer it, the log is read again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentmon.capture.log import CaptureLog
from agentmon.capture.peer import Peer
from agentmon.capture.recorder import Exchange, Recorder
from tests.captured import Clock, Headers, Line, lines, process, wire

Row = dict[str, Any]

SID = "5b1d2c3e-0000-4000-8000-000000000001"
OTHER = "5b1d2c3e-0000-4000-8000-000000000002"
TOOLS = [{"name": "Bash", "description": "runs"}]


def user(*parts: str | Row) -> Row:
    """A user's message of texts and other parts."""
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": one} if isinstance(one, str) else one for one in parts
        ],
    }


def reply(text: str = "Well.") -> Row:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def result(call: str, content: object = "ok", **more: object) -> Row:
    return {"type": "tool_result", "tool_use_id": call, "content": content, **more}


def stream(message: str = "msg_1", stop: str | None = "end_turn", text: str = "Hi") -> list[Row]:
    start: Row = {
        "id": message,
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
    }
    block = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": text}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]


class Tap:
    """A recorder with a log of its own; time goes on by itself."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.clock.now = 1_800_000_000.0
        self.log = CaptureLog(folder / "sse_lines.jsonl", clock=self.clock)
        self.recorder = Recorder(self.log, self.clock)
        self._told = 0

    def claude(
        self,
        messages: Sequence[Row],
        *,
        sid: str | None = SID,
        agent: str = "",
        tools: Sequence[Row] = TOOLS,
        client: str = "claude-cli/2.1.330 (external, cli)",
        peer: Peer | None = None,
        **more: object,
    ) -> Exchange:
        headers = [("User-Agent", client)]
        if sid is not None:
            headers.append(("X-Claude-Code-Session-Id", sid))
        if agent:
            headers.append(("x-claude-code-agent-id", agent))
        body = {"model": "m", "messages": messages, "tools": tools, "stream": True, **more}
        return self.begin("/v1/messages?beta=true", headers, json.dumps(body).encode(), peer)

    def begin(self, path: str, headers: Headers, body: bytes, peer: Peer | None = None) -> Exchange:
        self.clock.now += 1
        return self.recorder.begin("POST", path, headers, body, peer or process(4_000, "/home/u/p"))

    def answer(self, exchange: Exchange, events: Sequence[Row] | None = None) -> None:
        """A stream, whole."""
        exchange.response(200, [("Content-Type", "text/event-stream"), ("request-id", "req_1")])
        for event in stream() if events is None else events:
            self.clock.now += 0.01
            exchange.feed(wire(event))
        exchange.end("complete")

    def said(self) -> list[Line]:
        """What came into the log since it was last asked; nothing was lost, nothing went wrong."""
        assert (self.recorder.faults, self.log.lost) == (0, 0)
        found = lines(Path(self.log.path)) if Path(self.log.path).exists() else []
        told, self._told = self._told, len(found)
        return found[told:]

    def kinds(self) -> list[str]:
        """The same, only what happened; a stream in one word."""
        out: list[str] = []
        for line in self.said():
            kind = "stream" if line.kind.startswith(("message_", "content_")) else line.kind
            if kind != "stream" or not out or out[-1] != "stream":
                out.append(kind)
        return out

    def prompts(self) -> list[str]:
        return [line.payload["prompt"] for line in self.said() if line.kind == "user_prompt"]

    def results(self) -> list[str]:
        return [line.payload["tool_use_id"] for line in self.said() if line.kind == "tool_result"]
