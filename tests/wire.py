"""Writes lines as the patched client and the recording proxy do: a small pen for tests."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Payload = dict[str, Any]
Form = Literal["current", "old", "two-line"]

SID = "5b1d2c3e-0000-4000-8000-000000000001"
START = 1_763_730_000_000  # 2025-11-21T13:00:00Z in milliseconds
_LOCAL = timedelta(hours=7)


def stamp(ms: int) -> str:
    """`2025-11-21T13:00:00.000` of epoch milliseconds."""
    moment = datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


_ANY = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
_LONE = re.compile("[\ud800-\udfff]")


def encoded(value: object, *, ascii_only: bool = False) -> str:
    return (_ASCII if ascii_only else _ANY).encode(value)


def as_bytes(text: str) -> bytes:
    """UTF-8; a lone surrogate as the JSON escape that stands for it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


@dataclass
class Pen:
    """Writes the lines of one process; keeps its counters (`data_count` per written flow)."""

    sid: str = SID
    pid: int = 81551
    cwd: str = "/home/u/p"
    version: str = "claude-code-2.0.42"
    form: Form = "current"
    counters: dict[str, int] = field(default_factory=lambda: dict[str, int]())

    def line(
        self,
        name: str,
        ms: int,
        payload: Mapping[str, Any],
        *,
        flow: str = "unknown",
        round_id: str | None = None,
        agent: str | None = None,
        count: int | None = None,
        ascii_only: bool = False,
    ) -> bytes:
        """One event (two lines in the two-line form), `ms` after START."""
        inner = {
            "timestamp": stamp(START + ms) + "Z",
            "type": "event_msg",
            "payload": {"type": name, **payload},
        }
        text = "data: " + encoded(inner, ascii_only=ascii_only)
        row = self._row(name, ms, flow, round_id, agent, text, count)
        if self.form != "two-line":
            return as_bytes(encoded(row, ascii_only=ascii_only))
        first = {**row, "line": f"event: claude.{name}"}
        row["data_count"] = self._count(flow, None)
        return as_bytes(encoded(first)) + b"\n" + as_bytes(encoded(row, ascii_only=ascii_only))

    def _row(
        self,
        name: str,
        ms: int,
        flow: str,
        round_id: str | None,
        agent: str | None,
        text: str,
        count: int | None,
    ) -> Payload:
        at = stamp(START + ms + _LOCAL // timedelta(milliseconds=1))
        number = self._count(flow, count)
        if self.form == "current":
            meta = {"ver": self.version, "pid": self.pid, "cwd": self.cwd}
            row = {"event": f"claude.{name}", "t": at, "line": text}
            row |= {} if round_id is None else {"round": round_id}
            row["metadata"] = encoded(meta | ({} if agent is None else {"agent": agent}))
            return {**row, "flow_id": flow, "data_count": number, "sid": self.sid}
        row = {"event": f"claude.{name}"} if self.form == "old" else {}
        row |= {"t": at, "flow_id": flow, "sid": self.sid, "line": text}
        return {**row, "data_count": number, "cwd": self.cwd, "pid": str(self.pid)}

    def _count(self, flow: str, count: int | None) -> int:
        number = self.counters.get(flow, 0) if count is None else count
        self.counters[flow] = number + 1
        return number


def message(flow: str, *, model: str = "claude-x", **usage: int) -> Payload:
    """A `message_start`'s message."""
    body: Payload = {
        "id": flow,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
    }
    return {**body, "stop_reason": None, "stop_sequence": None, "usage": usage}


def tool_result(tool_use_id: str, content: object, **more: object) -> Payload:
    """A `tool_result` in the client's form, wrapped in a user message."""
    part = {"tool_use_id": tool_use_id, "type": "tool_result", "content": content, **more}
    return {"message": {"role": "user", "content": [part]}}


TEXT: Payload = {"type": "text", "text": ""}


class Talk(Pen):
    """Shorthands for one stream, its flow `m<n>` and its request `r<n>`."""

    def start(self, n: int, ms: int, **more: Any) -> bytes:
        body = {"message": message(f"m{n}", input_tokens=4, output_tokens=1)}
        return self.stream("message_start", n, ms, body, **more)

    def stream(self, name: str, n: int, ms: int, payload: Mapping[str, Any], **more: Any) -> bytes:
        return self.line(
            name, ms, {**payload, "request_id": f"r{n}"}, flow=more.pop("flow", f"m{n}"), **more
        )

    def begin(
        self, n: int, ms: int, block: Mapping[str, Any], index: int = 0, **more: Any
    ) -> bytes:
        payload = {"index": index, "content_block": block}
        return self.stream("content_block_start", n, ms, payload, **more)

    def text(self, n: int, ms: int, text: str, index: int = 0, **more: Any) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return self.stream("content_block_delta", n, ms, {"index": index, "delta": delta}, **more)

    def json(self, n: int, ms: int, text: str, index: int = 0) -> bytes:
        delta = {"type": "input_json_delta", "partial_json": text}
        return self.stream("content_block_delta", n, ms, {"index": index, "delta": delta})

    def end(self, n: int, ms: int, index: int = 0) -> bytes:
        return self.stream("content_block_stop", n, ms, {"index": index})

    def reason(self, n: int, ms: int, stop_reason: str | None, **usage: int) -> bytes:
        payload = {"delta": {"stop_reason": stop_reason}, "usage": usage}
        return self.stream("message_delta", n, ms, payload)

    def stop(self, n: int, ms: int) -> bytes:
        return self.stream("message_stop", n, ms, {})

    def prompt(self, ms: int, text: str, uuid: str = "", **more: Any) -> bytes:
        payload = {"prompt": text, "mode": "prompt"} | ({"message_uuid": uuid} if uuid else {})
        return self.line("user_prompt", ms, payload, **more)
