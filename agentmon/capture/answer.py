"""What a model answers: the payloads of an event stream as they come, or of a whole answer."""

from collections.abc import Sequence
from uuid import uuid4

from agentmon.capture import decoding
from agentmon.capture.asked import (
    MAX_BODY,
    Object,
    header,
    mapping,
    read,
)
from agentmon.capture.chat import Chat
from agentmon.capture.sse import SseReader

MAX_TYPE = 100
SHOWN = 1_000
"""Characters kept of an answer that is no JSON."""

_REQUEST_ID = ("request-id", "x-request-id", "x-amzn-requestid", "cf-ray")


class Answer:
    """One response, as its bytes come. Gives payloads of events, each with its `type`."""

    def __init__(
        self,
        product: str,
        status: int,
        headers: Sequence[tuple[str, str]],
        *,
        is_chat: bool = False,
    ) -> None:
        self.request_id = _request_id(headers)
        self._chat = Chat() if is_chat else None
        self._product, self._status = product, status
        self._is_stream = header(headers, "content-type").lower().startswith("text/event-stream")
        self._reader = SseReader()
        self._body = bytearray()
        try:
            self._decoder = decoding.decoder(header(headers, "content-encoding"))
        except decoding.Undecodable:
            self._decoder = None

    @property
    def passed_over(self) -> int:
        """Events too long to be recorded; all of them where the encoding is unknown."""
        return self._reader.passed_over + (self._decoder is None)

    def feed(self, data: bytes) -> list[Object]:
        """The payloads that became whole."""
        out: list[Object] = []
        if self._decoder is None:
            return out
        try:
            for piece in self._decoder.feed(data):
                out += self._plain(piece)
        except decoding.Undecodable:
            self._decoder = None
        return out

    def _plain(self, piece: bytes) -> list[Object]:
        if self._is_stream:
            events = self._reader.feed(piece)
            return [one for name, data in events for one in self._event(name, data)]
        if len(self._body) <= MAX_BODY:
            self._body += piece
        return []

    def _event(self, name: str, data: bytes) -> list[Object]:
        is_end = data == b"[DONE]"
        if self._chat is None:
            return [] if is_end else [_payload(name, data)]
        return self._chat.end() if is_end else self._chat.chunk(mapping(read(data)))

    def end(self, *, is_whole: bool) -> list[Object]:
        """The payloads of an answer that is no stream, or that did not say its end."""
        body, self._body = bytes(self._body), bytearray()
        if self._is_stream:
            return self._chat.end() if self._chat is not None else []
        if not is_whole or len(body) > MAX_BODY:
            return []
        row = mapping(read(body))
        if self._status >= 400:
            return [_error(row, body, self._status)]
        if self._chat is not None and row:
            return [*self._chat.chunk(row), *self._chat.end()]
        if row.get("type") == "message" and self._product == "claude":
            return [row]
        if row.get("object") == "response":
            return [{"type": "response.completed", "response": row}]
        return []


def unreachable() -> Object:
    """The payload for an upstream that did not answer at all."""
    return {
        "type": "error",
        "error": {"type": "connection_error", "message": "the upstream did not answer"},
    }


def _request_id(headers: Sequence[tuple[str, str]]) -> str:
    for name in _REQUEST_ID:
        if found := header(headers, name):
            return found[:200]
    return f"req_tap_{uuid4().hex[:20]}"


def _payload(name: str, data: bytes) -> Object:
    payload = mapping(read(data))
    if not payload:
        return {"type": "unknown", "data": data.decode("utf-8", "replace")}
    kind = payload.get("type")
    if isinstance(kind, str) and 0 < len(kind) <= MAX_TYPE:
        return payload
    return {**payload, "type": name[:MAX_TYPE] or "unknown"}


def _error(row: Object, body: bytes, status: int) -> Object:
    if isinstance(row.get("error"), dict):
        return {**row, "type": "error"}
    text = body[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN].strip()
    return {"type": "error", "error": {"type": f"http_{status}", "message": text}}
