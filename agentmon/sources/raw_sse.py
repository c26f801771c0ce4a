"""Raw captures of a model API's event stream: Anthropic Messages, OpenAI Responses (formats.md F).

Lines of `text/event-stream`, or only the JSON of each event per line. A capture is one session:
it has no id and no times, so its id is made of its first message and its times are the receipt's.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import Struct, field

from agentmon.core.events import Event, Kind, Meta, Unknown
from agentmon.sources import codex_responses
from agentmon.sources.decoding import (
    Context,
    Decoded,
    Format,
    Record,
    line_key,
    malformed,
    mapping,
    objects,
)
from agentmon.sources.payloads import Base, optional_text
from agentmon.sources.stream_records import API_EVENTS, api_event

_KIND: Kind = "sse"
_FIELD = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:|:|HTTP/")
"""Lines that frame the data: names, comments, and the lines of HTTP before the stream."""

_PENDING = 1 << 20
"""Bytes of an event's data over several lines that are held until it is whole."""

_MESSAGES = 1_000


class _Memory(Struct):
    """What a decoder remembers of its capture."""

    sid: str = ""
    agent: str = "anthropic"
    message_id: str = ""
    """The message under way."""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """Events so far, by message."""
    pending: bytes = b""
    """Data lines of one event that are no JSON yet, and where the first began."""
    pending_at: int = 0
    process: codex_responses.Process = field(default_factory=codex_responses.Process)
    """The responses of an OpenAI stream."""


class RawSseDecoder:
    """Decodes the lines of one capture."""

    def __init__(self, context: Context) -> None:
        self._receipt = context.receipt
        self._memory = _Memory()
        if context.state:
            with suppress(msgspec.DecodeError):
                self._memory = msgspec.json.decode(context.state, type=_Memory)
        self._metas: dict[str, Meta] = {}

    def decode(self, data: bytes, offset: int = 0) -> list[Decoded]:
        """The events of a line. Lines that only frame the data are none."""
        line = data.strip(b" \t\r\0").removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"data:"):
            return self._data(line[5:].strip(), offset)
        out = self._give_up() if self._memory.pending else []
        if line.startswith(b"{"):
            for found in objects(line, offset):
                if isinstance(found, tuple):
                    out += self.record(*found, offset)
                else:
                    out.append(found)
        elif line and not _FIELD.match(line):
            out.append(malformed("not a line of an event stream", line, offset))
        return out

    def _data(self, body: bytes, offset: int) -> list[Decoded]:
        """What an event carries; over several lines until it is whole."""
        memory = self._memory
        if body in (b"", b"[DONE]"):
            return self._give_up() if body else []
        if memory.pending:
            whole = _event_of(memory.pending + b"\n" + body)
            if whole is not None:
                at, memory.pending = memory.pending_at, b""
                return self.record(*whole, at)
        alone = _event_of(body)
        if alone is not None:
            return [*self._give_up(), *self.record(*alone, offset)]
        if not memory.pending:
            memory.pending_at = offset
        memory.pending = memory.pending + b"\n" + body if memory.pending else body
        return self._give_up() if len(memory.pending) > _PENDING else []

    def _give_up(self) -> list[Decoded]:
        """What was held is no event."""
        memory = self._memory
        if not memory.pending:
            return []
        data, memory.pending = memory.pending, b""
        return [malformed("not JSON", data, memory.pending_at)]

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of an event's data that is parsed already."""
        kind = optional_text(row.get("type")) or ""
        if kind == "ping" and not self._memory.sid:
            return []  # it may come before the first message, which names the session
        base = self._base(kind, row, raw)
        events = self._events(kind, row, base)
        if events is None:
            return [Unknown(*base, kind or None, raw, len(raw), offset)]
        return list(events)

    def _base(self, kind: str, row: Record, raw: bytes) -> Base:
        """A message begins its own count: so it is the same in a copy that begins elsewhere."""
        memory = self._memory
        whole = mapping(row.get("message" if kind == "message_start" else "response"))
        name = optional_text(whole.get("id")) or ""
        if kind == "message_start" and name:
            memory.message_id = name
            memory.counts.pop(name, None)
        if not memory.sid:
            what = name or blake2b(raw, digest_size=16).hexdigest()
            memory.sid = str(uuid5(NAMESPACE_URL, f"agentmon:sse:{what}"))
        if _is_openai(kind, row):
            memory.agent = "openai"
        flow = memory.message_id
        count = memory.counts.get(flow, 0)
        memory.counts[flow] = count + 1
        while len(memory.counts) > _MESSAGES:
            del memory.counts[next(iter(memory.counts))]
        _, digest = line_key(raw)
        return memory.sid, self._meta(), flow, count, None, self._receipt(), digest

    def _meta(self) -> Meta:
        agent = self._memory.agent
        meta = self._metas.get(agent)
        if meta is None:
            meta = self._metas[agent] = Meta(agent, kind=_KIND)
        return meta

    def _events(self, kind: str, row: Record, base: Base) -> Sequence[Event] | None:
        memory = self._memory
        if _is_openai(kind, row) or (kind == "error" and memory.agent == "openai"):
            # what its rows are written under is the session: they name their response, or none
            under = (*base[:2], base[0], *base[3:])
            return codex_responses.events(memory.process, kind, under, self._renamed(kind, row))
        request_id = f"sse:{memory.message_id}" if memory.message_id else None
        found = api_event(base, row, request_id)
        return None if found is None else [found]

    def _renamed(self, kind: str, row: Record) -> Record:
        """Some proxies give a response another id in each event; only its start names it."""
        process, response = self._memory.process, mapping(row.get("response"))
        is_new = kind == "response.created" or response.get("id") in process.responses
        if is_new or "id" not in response or process.current not in process.responses:
            return row
        return {**row, "response": {**response, "id": process.current}}

    def save(self) -> bytes:
        """The session's id, the message under way, and what is not whole yet."""
        memory = self._memory
        return msgspec.json.encode(memory) if memory.sid or memory.pending else b""


def _is_openai(kind: str, row: Record) -> bool:
    return kind.startswith("response.") or (kind == "error" and "error" not in row)


def _event_of(data: bytes) -> tuple[Record, bytes] | None:
    """The one object that the data is, whole."""
    found = list(objects(data, 0))
    only = found[0] if len(found) == 1 else None
    return only if isinstance(only, tuple) else None


_CHAT = "chat.completion.chunk"


def _knows(rows: Sequence[Record]) -> bool:
    return any(map(_is_ours, rows))


def _is_ours(row: Record) -> bool:
    kind = row.get("type")
    if "session_id" in row or not isinstance(kind, str):
        return row.get("object") == _CHAT
    is_api = kind in API_EVENTS and kind != "error"
    return is_api or kind.startswith("response.") or (kind == "error" and "error" in row)


FORMAT = Format(
    "sse", _KIND, "event stream of the Anthropic or the OpenAI API", _knows, RawSseDecoder
)
