"""Transcript lines made on the spot, and their events."""

import json
from typing import Any, TypeVar

from agentmon.core.events import Event
from agentmon.sources.decoding import Context, Decoded
from agentmon.sources.transcripts import TranscriptDecoder

SID = "7c0ffee0-0000-4000-8000-0000000000aa"
Row = dict[str, Any]
T = TypeVar("T", bound=Event)


class Feed:
    """A decoder and a file that grows; every record gets a uuid and a later second."""

    def __init__(self, path: str = f"/p/{SID}.jsonl") -> None:
        self.decoder = TranscriptDecoder(Context(path, lambda: 0.0))
        self.offset = self.count = 0

    def __call__(self, kind: str, **fields: Any) -> list[Decoded]:
        self.count += 1
        row: Row = {
            "type": kind,
            "uuid": f"u{self.count}",
            "sessionId": SID,
            "timestamp": f"2026-01-01T00:00:{self.count:02d}.000Z",
            **fields,
        }
        return self.line({key: value for key, value in row.items() if value != "absent"})

    def line(self, row: object) -> list[Decoded]:
        raw = json.dumps(row).encode()
        events = self.decoder.decode(raw, self.offset)
        self.offset += len(raw) + 1
        return events

    def user(self, content: object, **fields: Any) -> list[Decoded]:
        return self("user", message={"role": "user", "content": content}, **fields)

    def told(self, content: object, message_id: str = "m1", **fields: Any) -> list[Decoded]:
        message: Row = {"id": message_id, "role": "assistant", "model": "opus", "content": content}
        for name in ("stop_reason", "stop_details", "usage", "model"):
            if name in fields:
                message[name] = fields.pop(name)
        return self("assistant", message=message, requestId="req_1", **fields)

    def result(self, tool: str = "toolu_1", **fields: Any) -> list[Decoded]:
        block = {"type": "tool_result", "tool_use_id": tool, "content": "ok"}
        return self.user([block], **fields)


def text(value: str) -> list[Row]:
    return [{"type": "text", "text": value}]


def call(name: str = "Bash", tool: str = "toolu_1", **given: Any) -> list[Row]:
    return [{"type": "tool_use", "id": tool, "name": name, "input": given}]


def one(kind: type[T], events: list[Decoded]) -> T:
    """The only event of a kind among those of a line."""
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def kinds(events: list[Decoded]) -> list[str]:
    return [type(event).__name__ for event in events]
