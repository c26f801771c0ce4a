"""Speakers that talk onto a tape, in the form of a wire log (formats.md A.1).

Deterministic: the same story and seed give the same bytes.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

OPUS = "claude-opus-5-5"
SONNET = "claude-sonnet-5"
HAIKU = "claude-haiku-5"

START = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
ZONE = timedelta(hours=7)
"""What the writers' local clock is ahead of UTC."""

Json = dict[str, object]
Part = str | float
"""Streamed text, or seconds of silence in the middle of it."""


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Tape:
    """What was recorded so far, and where ids come from."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._rows: list[tuple[int, int, Json]] = []

    def hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(digits * 4):0{digits}x}"

    def uuid(self) -> str:
        return f"{self.hex(8)}-{self.hex(4)}-4{self.hex(3)}-a{self.hex(3)}-{self.hex(12)}"

    def round_id(self, seconds: float) -> str:
        """A UUIDv7, which begins with its time."""
        stamp = f"{int((START.timestamp() + seconds) * 1000):012x}"
        return f"{stamp[:8]}-{stamp[8:]}-7{self.hex(3)}-b{self.hex(3)}-{self.hex(12)}"

    def add(self, seconds: float, envelope: Callable[[datetime], Json]) -> None:
        stamp = round(seconds * 1000)
        row = envelope(START + timedelta(milliseconds=stamp))
        self._rows.append((stamp, len(self._rows), row))

    def lines(self) -> Iterator[bytes]:
        for _, _, row in sorted(self._rows, key=lambda entry: entry[:2]):
            yield compact(row).encode() + b"\n"


class Thinking:
    """A thinking block."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts


class Text:
    """A text block."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts


@dataclass
class Call:
    """A tool call; `label` is what the story calls it when its result comes."""

    label: str
    name: str
    input: Mapping[str, object]


BlockSpec = Thinking | Text | Call


@dataclass
class Session:
    """What all threads of a session share."""

    sid: str
    pid: int
    cwd: str
    model: str
    round_id: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    calls: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])


class Speaker:
    """A thread of a session with its own clock, in seconds since the start of the recording."""

    def __init__(
        self, tape: Tape, session: Session, clock: float, context: int, agent: str | None = None
    ) -> None:
        self.tape = tape
        self.session = session
        self.clock = clock
        self.agent = agent
        self.pace = 1.0
        self._context = context
        self._input = 0
        self._fresh = 900 + tape.random.randrange(1_800)

    def until(self, seconds: float) -> None:
        self.clock = max(self.clock, seconds)

    def subagent(self, agent: str, context: int) -> "Speaker":
        return Speaker(self.tape, self.session, self.clock, context, agent)

    def _emit(self, flow_id: str, kind: str, **payload: object) -> None:
        session = self.session
        meta: Json = {"ver": "2.1.330", "pid": session.pid, "cwd": session.cwd}
        if self.agent:
            meta["agent"] = self.agent
        count = session.counts.get(flow_id, 0)
        session.counts[flow_id] = count + 1

        def envelope(now: datetime) -> Json:
            stamp = now.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
            inner = {
                "timestamp": stamp,
                "type": "event_msg",
                "payload": {"type": kind, **payload},
            }
            return {
                "event": f"claude.{kind}",
                "t": (now + ZONE).isoformat(timespec="milliseconds").removesuffix("+00:00"),
                "line": f"data: {compact(inner)}",
                "round": session.round_id,
                "metadata": compact(meta),
                "flow_id": flow_id,
                "data_count": count,
                "sid": session.sid,
            }

        self.tape.add(self.clock, envelope)

    def _aside(self, kind: str, **payload: object) -> None:
        """An event of the user's side: it has a flow of its own."""
        self._emit(f"msg_in_{self.tape.hex(12)}", kind, **payload)

    def _hook(self, kind: str, name: str, **fields: object) -> None:
        common: Json = {
            "session_id": self.session.sid,
            "cwd": self.session.cwd,
            "hook_event_name": name,
        }
        self._aside(kind, **common, **fields)

    def start(self, source: str = "startup") -> None:
        self._hook("session_start", "SessionStart", source=source, model=self.session.model)
        self.clock += 0.4

    def end(self, reason: str) -> None:
        self._hook("session_end", "SessionEnd", reason=reason)

    def prompt(self, text: str) -> None:
        self.session.round_id = self.tape.round_id(self.clock)
        uuid = self.tape.uuid()
        self._aside("user_prompt", prompt=text, mode="prompt", message_uuid=uuid)
        self._fresh += len(text) // 3 + 40

    def queue(self, operation: str, seconds: float, text: str = "") -> None:
        """A prompt typed while the agent works, at its own time."""
        at, self.clock = self.clock, seconds
        content: Json = {"content": text} if text else {}
        self._aside("queue_operation", operation=operation, **content)
        self.clock = at

    def permission(self, label: str, name: str, tool_input: Mapping[str, object]) -> None:
        """The client asks, and reminds six seconds later."""
        _, called = self.session.calls[label]
        self.clock = called + 0.31
        self._hook("permission_request", "PermissionRequest", tool_name=name, tool_input=tool_input)
        self.clock += 6.02
        message = f"Claude needs your permission to use {name}"
        self._hook(
            "notification", "Notification", message=message, notification_type="permission_prompt"
        )

    def compaction(self, seconds: float, summary: str) -> None:
        self._hook("pre_compact", "PreCompact", trigger="auto", custom_instructions=None)
        self.clock += seconds
        self._hook("post_compact", "PostCompact", trigger="auto", compact_summary=summary)
        self._context, self._fresh = 15_200, len(summary) * 4
        self.clock += 0.1
        self.start("compact")

    def stop(self) -> None:
        self.clock += 0.07
        self._aside("stop", agent_id=self.session.sid, is_subagent=False)
        self.clock += 0.03
        self._aside("turn_end")

    def subagent_stop(self, agent_type: str) -> None:
        self.clock += 0.05
        self._hook(
            "subagent_stop",
            "SubagentStop",
            stop_hook_active=False,
            agent_id=self.agent,
            agent_type=agent_type,
        )

    def result(self, label: str, seconds: float, content: str, *, error: bool = False) -> None:
        """What a call returned, so many seconds after it was complete."""
        call_id, called = self.session.calls[label]
        self.clock = max(self.clock, called + seconds)
        flag: Json = {"is_error": True} if error else {}
        self._aside("tool_result", tool_use_id=call_id, content=content, **flag)
        self._fresh += len(content) // 3 + 120

    def say(self, *blocks: BlockSpec, error: str = "", cut: bool = False) -> None:
        """A message. `error` ends its stream, and with `cut` the client dies in the middle."""
        self.clock += self.tape.random.uniform(1.1, 2.6)
        flow_id, request = f"msg_01{self.tape.hex(12)}", f"req_01{self.tape.hex(10)}"
        self._input = self.tape.random.randrange(3, 12)
        self._message_start(flow_id, request)
        written = 0
        for index, block in enumerate(blocks):
            dies = (cut or bool(error)) and index == len(blocks) - 1
            written += self._block(flow_id, request, index, block, dies)
        if error:
            self.clock += 0.4
            problem = {"type": error, "message": "Overloaded"}
            self._emit(flow_id, "error", error=problem, request_id=request)
        elif not cut:
            calls = any(isinstance(block, Call) for block in blocks)
            self._message_end(flow_id, request, "tool_use" if calls else "end_turn", written)

    def _usage(self, output: int) -> Json:
        return {
            "input_tokens": self._input,
            "cache_creation_input_tokens": self._fresh,
            "cache_read_input_tokens": self._context,
            "output_tokens": output,
        }

    def _message_start(self, flow_id: str, request: str) -> None:
        message: Json = {
            "id": flow_id,
            "type": "message",
            "role": "assistant",
            "model": self.session.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(self.tape.random.randrange(1, 5)),
        }
        self._emit(flow_id, "message_start", message=message, request_id=request)
        self.clock += 0.012
        if self.agent is None:
            self._emit(flow_id, "ping", request_id=request)

    def _message_end(self, flow_id: str, request: str, reason: str, written: int) -> None:
        output = round(written / 3.4) + 11
        delta = {"stop_reason": reason, "stop_sequence": None}
        self.clock += 0.03
        usage = self._usage(output)
        self._emit(flow_id, "message_delta", delta=delta, usage=usage, request_id=request)
        self.clock += 0.004
        self._emit(flow_id, "message_stop", request_id=request)
        self._context += self._fresh
        self._fresh = output

    def _block(self, flow_id: str, request: str, index: int, block: BlockSpec, dies: bool) -> int:
        """Start, deltas and stop of a block; how many characters it has."""
        self.clock += self.tape.random.uniform(0.02, 0.2)
        match block:
            case Thinking():
                start: Json = {"type": "thinking", "thinking": "", "signature": ""}
                kind, parts = "thinking", block.parts
            case Text():
                start = {"type": "text", "text": ""}
                kind, parts = "text", block.parts
            case Call():
                call_id = f"toolu_01{self.tape.hex(12)}"
                start = {"type": "tool_use", "id": call_id, "name": block.name, "input": {}}
                kind, parts = "input_json", ("", json.dumps(block.input, ensure_ascii=False))
        where: Json = {"index": index, "request_id": request}
        self._emit(flow_id, "content_block_start", content_block=start, **where)
        self._stream(flow_id, kind, parts, where)
        if not dies:
            if kind == "thinking":
                signature = {"type": "signature_delta", "signature": self.tape.hex(24)}
                self._emit(flow_id, "content_block_delta", delta=signature, **where)
            self._emit(flow_id, "content_block_stop", **where)
        if isinstance(block, Call):
            self.session.calls[block.label] = (str(start["id"]), self.clock)
        return sum(len(part) for part in parts if isinstance(part, str))

    def _stream(self, flow_id: str, kind: str, parts: tuple[Part, ...], where: Json) -> None:
        """Deltas in bursts, 20–60 ms apart, with a breath between two bursts."""
        chance = self.tape.random
        name = "partial_json" if kind == "input_json" else kind
        for part in parts:
            if not isinstance(part, str):
                self.clock += part
                continue
            burst = 0
            for piece in pieces(part, chance):
                if not burst:
                    self.clock += chance.uniform(0.3, 0.9) * self.pace
                    burst = chance.randrange(2, 7)
                burst -= 1
                self.clock += chance.uniform(0.02, 0.06)
                delta = {"type": f"{kind}_delta", name: piece}
                self._emit(flow_id, "content_block_delta", delta=delta, **where)


def pieces(text: str, chance: random.Random) -> Iterator[str]:
    """The text as tokens might come: 3 to 15 characters, ends of words where possible."""
    if not text:
        yield ""
    piece = ""
    wanted = chance.randrange(11, 16)
    for token in re.findall(r"\s*\S{1,4}", text) + re.findall(r"\s+\Z", text):
        if piece and len(piece) + len(token) > wanted:
            yield piece
            piece, wanted = "", chance.randrange(11, 16)
        while len(token) > 15:
            yield token[:15]
            token = token[15:]
        piece += token
    if piece:
        yield piece
