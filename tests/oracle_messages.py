"""The oracle's messages, content blocks and tool results."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tests.oracle_lines import (
    STREAM,
    Entry,
    Object,
    integer,
    list_of,
    message_body,
    message_id,
    object_of,
    text_or_none,
)

Row = dict[str, object]

_SURROGATE = re.compile("[\ud800-\udfff]")
_PLACEHOLDERS = ("", "unknown", "idle")
_MAKES_A_MESSAGE = STREAM - {"error"}
_DELTA_TEXT = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
    "compaction_delta": "content",
}
_START_TEXT = {"text": "text", "thinking": "thinking", "compaction": "content"}


def scalar(value: object) -> object:
    """What a store can hold of a value: text without lone surrogates."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def stored(text: str) -> bytes:
    """A piece of text as UTF-8, each lone surrogate one U+FFFD."""
    return _SURROGATE.sub("\ufffd", text).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass
class Delta:
    entry: Entry
    text: str


@dataclass
class Block:
    """A content block; times in milliseconds."""

    index: int
    value: Object  # content_block as it started
    start: int
    complete: int | None
    deltas: list[Delta] = field(default_factory=lambda: list[Delta]())

    def text(self) -> bytes:
        text = b"".join(stored(delta.text) for delta in in_order(self.deltas))
        name = _START_TEXT.get(str(self.value.get("type")))
        if name is not None:
            return stored(text_or_none(self.value.get(name)) or "") + text
        known_input = self.value.get("input")
        return text or (stored(compact(known_input)) if known_input else b"")


def in_order(deltas: Sequence[Delta]) -> list[Delta]:
    """Emission order: by written flow, a new group where a counter value comes again."""
    groups: list[list[Delta]] = []
    current: dict[str, list[Delta]] = {}
    for delta in sorted(deltas, key=lambda delta: delta.entry.seq):
        group = current.get(delta.entry.flow)
        if group is None or any(delta.entry.count == other.entry.count for other in group):
            group = current[delta.entry.flow] = []
            groups.append(group)
        group.append(delta)
    groups.sort(key=lambda group: min(delta.entry.key for delta in group))
    return [
        delta
        for group in groups
        for delta in sorted(group, key=lambda delta: (delta.entry.count or 0, delta.entry.key))
    ]


@dataclass
class Message:
    """One message and the events that are its own; times in milliseconds."""

    sid: str
    flow: str
    entries: list[Entry]  # by payload time

    @property
    def opening(self) -> Entry | None:
        """Its `message_start`, or the `claude.message` that is all of it."""
        found = [entry for entry in self.entries if entry.name in ("message_start", "message")]
        return found[0] if found else None

    @property
    def is_whole(self) -> bool:
        return self.opening is not None and self.opening.name == "message"

    @property
    def first(self) -> Entry:
        return self.opening or next(e for e in self.entries if e.name in _MAKES_A_MESSAGE)

    @property
    def start(self) -> int:
        return self.first.time

    @property
    def body(self) -> Object:
        return message_body(self.opening) if self.opening else {}

    @property
    def request(self) -> str | None:
        return self.first.request

    @property
    def agent(self) -> str | None:
        return next((entry.agent for entry in self.entries if entry.agent), None)

    @property
    def reattributed(self) -> int:
        moved = [entry for entry in self.entries if entry.flow != self.flow]
        return sum(entry.name in STREAM and not entry.is_repeat for entry in moved)

    def of(self, name: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.name == name]

    @property
    def stop_reason(self) -> str | None:
        said = [self.body, *[object_of(e.payload.get("delta")) for e in self.of("message_delta")]]
        reasons = [text_or_none(one.get("stop_reason")) for one in said]
        return next((reason for reason in reversed(reasons) if reason is not None), None)

    @property
    def end(self) -> int | None:
        ends = [entry.time for entry in self.of("message_stop")]
        return max(ends, default=self.start if self.is_whole else None)

    def tokens(self, name: str) -> int | None:
        usages = [self.body, *[entry.payload for entry in self.of("message_delta")]]
        values = [integer(object_of(one.get("usage")).get(name)) for one in usages]
        return max((value for value in values if value is not None), default=None)

    def blocks(self) -> list[Block]:
        return self._whole_blocks() if self.is_whole else self._streamed_blocks()

    def _whole_blocks(self) -> list[Block]:
        content = self.body.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        at = self.start
        return [Block(i, object_of(part), at, at) for i, part in enumerate(list_of(parts))]

    def _streamed_blocks(self) -> list[Block]:
        by_index: dict[int, list[Entry]] = {}
        for entry in self.entries:
            index = integer(entry.payload.get("index"))
            if entry.name.startswith("content_block_") and index is not None:
                by_index.setdefault(index, []).append(entry)
        blocks = [_block(index, by_index[index]) for index in sorted(by_index)]
        for number, block in enumerate(blocks):
            if block.complete is None:
                following = blocks[number + 1 : number + 2]
                block.complete = following[0].start if following else self.end
        return blocks


def _block(index: int, entries: list[Entry]) -> Block:
    """A block from its own events, complete so far only by its own stop."""
    starts = [entry for entry in entries if entry.name == "content_block_start"]
    stops = [entry.time for entry in entries if entry.name == "content_block_stop"]
    value = object_of(starts[0].payload.get("content_block")) if starts else {}
    block = Block(index, value, (starts or entries)[0].time, min(stops, default=None))
    for entry in entries:
        delta = object_of(entry.payload.get("delta"))
        text = delta.get(_DELTA_TEXT.get(str(delta.get("type")), ""))
        if entry.name == "content_block_delta" and isinstance(text, str):
            block.deltas.append(Delta(entry, text))
    return block


def messages_of(sid: str, entries: Sequence[Entry]) -> list[Message]:
    """The messages of a session: each stream event under the message of its request."""
    entries = sorted(entries, key=lambda entry: entry.key)
    owners = _Owners(entries)
    by_flow: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.name in STREAM or entry.name in ("message", "ping"):
            by_flow.setdefault(owners.of(entry), []).append(entry)
    real = _MAKES_A_MESSAGE | {"message"}
    return [
        Message(sid, flow, found)
        for flow, found in by_flow.items()
        if flow not in _PLACEHOLDERS and any(entry.name in real for entry in found)
    ]


class _Owners:
    """Which message an event belongs to; `entries` are of one session, by payload time."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.starts: dict[str | None, list[Entry]] = {}
        self.started: set[str] = set()
        self.unstarted: dict[str, str] = {}
        for entry in entries:
            if entry.name in ("message_start", "message"):
                self.started.add(message_id(entry))
            if entry.name == "message_start":
                self.starts.setdefault(entry.request, []).append(entry)
        written: dict[str, list[str]] = {}
        for entry in entries:
            if entry.name in _MAKES_A_MESSAGE and entry.request not in self.starts:
                written.setdefault(entry.request or "", []).append(entry.flow)
        self.anonymous = {message_id(entry) for entry in self.starts.get(None, [])}
        written.pop("", None)
        for request, flows in written.items():
            self.unstarted[request] = self._own_flow(request, flows)

    def _own_flow(self, request: str, flows: list[str]) -> str:
        taken = (self.started - self.anonymous) | set(self.unstarted.values())
        own = [flow for flow in flows if flow not in taken and flow not in _PLACEHOLDERS]
        return own[0] if own else request

    def of(self, entry: Entry) -> str:
        if entry.name in ("message_start", "message"):
            return message_id(entry)
        if entry.request is None:
            return entry.flow
        starts = self.starts.get(entry.request)
        if not starts:
            return self.unstarted.get(entry.request, entry.flow)
        before = [start for start in starts if start.time <= entry.time]
        return message_id(before[-1] if before else starts[0])


def results_of(entries: Sequence[Entry], messages: Sequence[Message]) -> tuple[list[Row], int]:
    """The results, and how many more came for an id that had one."""
    calls: dict[object, tuple[Message, Block]] = {}
    for message in messages:
        for block in message.blocks():
            calls.setdefault(block.value.get("id"), (message, block))
    found: dict[str, tuple[int, Row]] = {}
    ignored = 0
    for entry in sorted(entries, key=lambda entry: entry.key):
        for part in _result_parts(entry):
            tool_use_id = str(part["tool_use_id"])
            if tool_use_id in found:
                ignored += 1
            else:
                found[tool_use_id] = entry.time, _result(entry, part, calls.get(tool_use_id))
    in_time = sorted(found.items(), key=lambda item: (item[1][0], item[0]))
    return [row for _, (_, row) in in_time], ignored


def _result_parts(entry: Entry) -> list[Object]:
    if entry.name != "tool_result":
        return []
    whole = entry.payload.get("message")
    parts = list_of(object_of(whole).get("content")) if whole is not None else [entry.payload]
    return [part for part in map(object_of, parts) if isinstance(part.get("tool_use_id"), str)]


def _result(entry: Entry, part: Object, call: tuple[Message, Block] | None) -> Row:
    content = stored(_result_text(part.get("content")))
    called = call[1].complete if call else None
    return {
        "kind": "tool_result",
        "tool_use_id": part["tool_use_id"],
        "flow_id": call[0].flow if call else None,
        "index": call[1].index if call else None,
        "is_error": bool(part.get("is_error")),
        "content_size": len(content),
        "sha256": digest(content),
        "result_time": entry.time / 1000,
        "execution_duration_ms": None if called is None else max(0, entry.time - called),
    }


def _result_text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return compact(content)
    texts: list[str] = []
    for part in list_of(cast(object, content)):
        text = object_of(part).get("text") if object_of(part).get("type") == "text" else None
        texts.append(text if isinstance(text, str) else compact(part))
    return "\n".join(texts)
