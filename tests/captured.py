"""Recordings of real clients, played to a recorder as the bytes that were on the wire.

A recording's wire log holds what the server sent, event by event; the clients' own files hold the
conversation that each request repeated. Nothing here uses the program to read them.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from agentmon.capture.log import CaptureLog
from agentmon.capture.peer import Peer
from agentmon.capture.recorder import Exchange, Outcome, Recorder

Row = dict[str, Any]
Headers = list[tuple[str, str]]

SECRET = "sk-ant-api03-" + "Zq9" * 20
"""A credential that every request carries, and no file may."""

_OUTCOMES: dict[str, Outcome] = {
    "complete": "complete",
    "client gone": "client_gone",
    "upstream cut": "upstream_gone",
}


class Line(Struct):
    """A line of a wire log, opened."""

    raw: bytes
    row: Row
    payload: Row
    meta: Row
    time: float

    @property
    def kind(self) -> str:
        return self.payload["type"]

    @property
    def agent(self) -> str:
        return self.meta.get("agent", "")

    @property
    def is_hook(self) -> bool:
        return "hook_event_name" in self.payload


def process(pid: int, cwd: str = "/p") -> Peer:
    """A client."""
    return Peer(pid, cwd, "claude")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def lines(log: Path) -> list[Line]:
    out: list[Line] = []
    for raw in log.read_bytes().split(b"\n"):
        if raw:
            row = json.loads(raw)
            inner = json.loads(row["line"].removeprefix("data: "))
            time = datetime.fromisoformat(inner["timestamp"]).timestamp()
            out.append(Line(raw, row, inner["payload"], json.loads(row["metadata"]), time))
    return out


def wire(payload: Row) -> bytes:
    """An event as the recorded server wrote it, without what the recording added."""
    sent = dict(payload)
    if sent["type"] != "error":
        sent.pop("request_id", None)
    data = json.dumps(sent, ensure_ascii=False)
    return f"event: {sent['type']}\ndata: {data}\n\n".encode()


def play(
    scene: Path, log: CaptureLog, clock: Clock, cut: int, *, has_hooks: bool = True
) -> Recorder:
    """Plays a recording; each event comes in two pieces, the second `cut` bytes long."""
    recorder = Recorder(log, clock)
    recorded = lines(scene / "sse_lines.jsonl")
    talk = _Claude(scene) if scene.name.startswith("claude") else _Codex(scene, recorded)
    ends = {row["request_id"]: row for row in rows(scene / "tap.jsonl")}
    last = {line.payload["request_id"]: line for line in recorded if "request_id" in line.payload}
    begun: dict[tuple[str, str], Exchange] = {}
    running: dict[str, Exchange] = {}
    sent: dict[str, bytearray] = {}
    inputs: set[str] = set()

    def begin(line: Line) -> Exchange:
        path, headers, body = talk.request(line)
        peer = process(line.meta["pid"], line.meta["cwd"])
        headers = [*headers, ("x-api-key", SECRET), ("Authorization", f"Bearer {SECRET}")]
        return recorder.begin("POST", path, headers, body, peer)

    for line in recorded:
        clock.now = line.time
        request, whose = line.payload.get("request_id"), (line.row["sid"], line.agent)
        if line.is_hook:
            if has_hooks:
                log.append([line.raw + b"\n"])
        elif request is None:
            if line.row["flow_id"] not in inputs:
                inputs.add(line.row["flow_id"])
                begun[whose] = begin(line)
        else:
            exchange = running.get(request)
            if exchange is None:
                exchange = running[request] = begun.pop(whose, None) or begin(line)
                head = [("Content-Type", "text/event-stream"), ("request-id", request)]
                exchange.response(200, head)
                sent[request] = bytearray()
            data = wire(line.payload)
            sent[request] += data
            exchange.feed(data[:-cut])
            exchange.feed(data[-cut:])
            if last[request] is line:
                exchange.end(_OUTCOMES[ends[request]["outcome"]])
    found = {request: hashlib.sha256(data).hexdigest() for request, data in sent.items()}
    assert found == {request: ends[request]["sha256"] for request in sent}, "not what was sent"
    return recorder


class _Claude:
    """What Claude Code sent: its transcripts say when it asked, and what had come before."""

    def __init__(self, scene: Path) -> None:
        self._left: dict[tuple[str, str], Iterator[list[Row]]] = {}
        for path in scene.glob("claude/projects/*/*.jsonl"):
            self._left[path.stem, ""] = _histories(path)
        for path in scene.glob("claude/projects/*/*/subagents/*.jsonl"):
            sid, agent = path.parts[-3], path.stem.removeprefix("agent-")
            self._left[sid, agent] = _histories(path)

    def request(self, line: Line) -> tuple[str, Headers, bytes]:
        sid, agent = line.row["sid"], line.agent
        user = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": sid})
        body: Row = {"model": "claude-opus-5-5", "metadata": {"user_id": user}, "stream": True}
        headers = [
            ("User-Agent", f"claude-cli/{line.meta['ver']} (external, cli)"),
            ("X-Claude-Code-Session-Id", sid),
        ]
        if agent == "side" and line.row["data_count"] == 0:
            return "/v1/messages?beta=true", headers, json.dumps({**body, **_side(line)}).encode()
        if agent:
            headers.append(("x-claude-code-agent-id", agent))
        messages = next(self._left[sid, agent])
        whole = {**body, "messages": messages, "tools": [{"name": "Bash"}]}
        return "/v1/messages?beta=true", headers, json.dumps(whole, ensure_ascii=False).encode()


def _side(line: Line) -> Row:
    """A title is asked for without tools, a summary with them and the whole conversation."""
    tokens = line.payload["message"]["usage"]["input_tokens"]
    if tokens < 20:
        return {"messages": [{"role": "user", "content": "a title for: e2e:hello"}], "tools": []}
    messages = [
        {"role": "user", "content": "e2e:full@0.02 give me a tour of this project, please"},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
        {"role": "user", "content": "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."},
    ]
    return {"messages": messages, "tools": [{"name": "Bash"}]}


def _histories(transcript: Path) -> Iterator[list[Row]]:
    """The messages of each request, as the API wants them: turns of one role are one message."""
    messages: list[Row] = []
    for record in rows(transcript):
        kind = record.get("type")
        if kind in ("user", "assistant"):
            _add(messages, kind, record["message"]["content"])
        elif kind == "attachment":
            for one in record.get("rendered", []):
                _add(messages, record.get("renderedRole", "user"), one["content"])
        elif kind == "api-request":
            yield json.loads(json.dumps(messages))


def _add(messages: list[Row], role: str, content: Any) -> None:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += parts
    else:
        messages.append({"role": role, "content": list(parts)})


class _Codex:
    """What Codex sent: all items of its rollout up to the first one of the answer."""

    def __init__(self, scene: Path, recorded: list[Line]) -> None:
        self._items: dict[str, list[Row]] = {}
        self._threads: dict[str, str] = {}
        for path in sorted(scene.glob("codex/sessions/*/*/*/*.jsonl")):
            found = rows(path)
            meta = found[0]["payload"]
            agent = meta.get("agent_path", "")
            self._items[agent] = [row["payload"] for row in found if row["type"] == "response_item"]
            self._threads[agent] = meta["id"]
        self._answers: dict[str, dict[str, set[str]]] = {}
        """What each response added, by agent and response."""
        for line in recorded:
            if line.kind == "response.created":
                self._answers.setdefault(line.agent, {})[line.row["flow_id"]] = set()
            elif line.kind == "response.output_item.done":
                item = line.payload["item"]
                ids = self._answers[line.agent][line.row["flow_id"]]
                ids.add(item.get("call_id") or item["id"])

    def request(self, line: Line) -> tuple[str, Headers, bytes]:
        answers = self._answers[line.agent]
        ids = answers.pop(next(iter(answers)))
        items: list[Row] = []
        for item in self._items[line.agent]:
            is_result = item["type"].endswith("_output")
            if not is_result and (item.get("call_id") or item.get("id")) in ids:
                break
            items.append(item)
        told = {
            "session_id": line.row["sid"],
            "thread_id": self._threads[line.agent],
            "agent_name": line.agent or "/root",
            "thread_source": "subagent" if line.agent else "user",
        }
        headers = [
            ("User-Agent", f"codex_exec/{line.meta['ver']} (Linux)"),
            ("session-id", line.row["sid"]),
            ("x-codex-turn-metadata", json.dumps(told)),
        ]
        if line.agent:
            headers.append(("x-openai-subagent", "collab_spawn"))
        body = {"model": "gpt-6", "input": items, "stream": True}
        return "/v1/responses", headers, json.dumps(body).encode()
