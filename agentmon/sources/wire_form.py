"""Events written as lines of a wire log (formats.md A.1), for `sse_lines` to read again."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from agentmon.core.events import (
    BlockStart,
    BlockStop,
    Delta,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Meta,
    Notice,
    Ping,
    Prompt,
    SessionEnd,
    SessionStart,
    StreamError,
    ToolResults,
    TurnStop,
)
from agentmon.sources.decoding import mapping
from agentmon.sources.payloads import BUILDERS
from agentmon.sources.retold import NAMES, PREFIX, fields_of

Payload = dict[str, Any]

_encode = msgspec.json.Encoder().encode

_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}
_DELTAS = {"thinking": ("thinking_delta", "thinking"), "text": ("text_delta", "text")}
_CALL_DELTA = ("input_json_delta", "partial_json")


def json_line(event: Event) -> bytes:
    """The line of an event, with its newline."""
    found = _wire_payload(event) if _is_exact(event.time) else None
    if found is None:
        name = f"{PREFIX}{NAMES[type(event)]}"
        payload: Payload = fields_of(event)
        if not _is_exact(event.time):
            payload["time"] = event.time
    else:
        name, payload = f"claude.{found[0]}", found[1]
    kind = name.partition(".")[2]
    inner: Payload = {} if event.time is None else {"timestamp": f"{stamp(event.time)}Z"}
    inner |= {"type": "event_msg", "payload": {"type": kind, **payload}}
    return _envelope(name, event, inner)


def _envelope(name: str, event: Event, inner: Payload) -> bytes:
    row: Payload = {"event": name}
    if event.time is not None:
        row["t"] = stamp(event.time)
    row["line"] = "data: " + _encode(inner).decode()
    if event.round is not None:
        row["round"] = event.round
    row |= {"metadata": metadata(event.meta), "flow_id": event.flow}
    if event.count >= 0:
        row["data_count"] = event.count
    return _encode({**row, "sid": event.sid}) + b"\n"


def metadata(meta: Meta) -> str:
    """The `metadata` string that says who wrote a line."""
    said: Payload = {"ver": meta.version, "pid": meta.pid, "cwd": meta.cwd, "agent": meta.agent_id}
    said = {key: value for key, value in said.items() if value is not None}
    if (meta.agent, meta.kind) != ("claude", "wire"):
        said["agentmon"] = {"product": meta.agent, "kind": meta.kind}
    return _encode(said).decode()


def stamp(time: float) -> str:
    """The UTC time without its zone: to the millisecond, or the microsecond where it has some."""
    micros = round(time * 1_000_000)
    second, part = divmod(micros, 1_000_000)
    tail = f"{part // 1000:03d}" if part % 1000 == 0 else f"{part:06d}"
    return f"{_second(second)}.{tail}"


@lru_cache(256)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _is_exact(time: float | None) -> bool:
    """Whether a time is one of whole microseconds, which a stamp can say."""
    return time is None or round(time * 1_000_000) / 1_000_000 == time


# -- payloads, where the wire has a name for the event and says all of it


def _wire_payload(event: Event) -> tuple[str, Payload] | None:
    """(name, payload) of a `claude.` event; None where that would lose something."""
    write = _WRITERS.get(type(event))
    return write(event) if write is not None else None


def _requested(event: Any, payload: Payload) -> Payload:
    request: str | None = event.request_id
    return payload if request is None else {**payload, "request_id": request}


def _message_start(event: MessageStart) -> tuple[str, Payload]:
    message: Payload = {
        "id": event.message_id,
        "type": "message",
        "role": event.role,
        "model": event.model,
        "content": list[object](),
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(event.usage),
    }
    return "message_start", _requested(event, {"message": message})


def _usage(usage: dict[str, int]) -> dict[str, int]:
    return {_USAGE[name]: count for name, count in usage.items()}


def _block_start(event: BlockStart) -> tuple[str, Payload] | None:
    kind, named = event.block_type, (event.tool_use_id, event.tool_name)
    if event.item_id is not None:
        return None
    if kind in ("text", "thinking") and named == (None, None):
        block: Payload = {"type": kind, kind: event.text}
    elif kind.endswith("tool_use") and not event.text:
        block = {"type": kind, "id": named[0], "name": named[1], "input": {}}
    else:
        return None
    payload = {"index": event.index, "content_block": block}
    return "content_block_start", _requested(event, payload)


def _delta(event: Delta) -> tuple[str, Payload] | None:
    if event.cut:
        return None
    delta: Payload = {"type": "signature_delta", "signature": ""}
    if event.text is not None:
        delta = {"type": "text_delta", "text": event.text}
    return "content_block_delta", _requested(event, {"index": event.index, "delta": delta})


def _block_stop(event: BlockStop) -> tuple[str, Payload]:
    return "content_block_stop", _requested(event, {"index": event.index})


def _message_delta(event: MessageDelta) -> tuple[str, Payload]:
    delta = {"stop_reason": event.stop_reason, "stop_sequence": None}
    payload = {"delta": delta, "usage": _usage(event.usage)}
    return "message_delta", _requested(event, payload)


def _message_stop(event: MessageStop) -> tuple[str, Payload]:
    return "message_stop", _requested(event, {})


def _ping(event: Ping) -> tuple[str, Payload]:
    return "ping", _requested(event, {})


def _error(event: StreamError) -> tuple[str, Payload] | None:
    if not event.error_type:
        return None
    error = {"type": event.error_type, "message": event.message}
    return "error", _requested(event, {"error": error})


def _result(event: ToolResults) -> tuple[str, Payload] | None:
    if len(event.results) != 1:
        return None
    (one,) = event.results
    if one.is_error is None or one.is_summary:
        return None
    payload = {"tool_use_id": one.tool_use_id, "content": one.text, "is_error": one.is_error}
    return "tool_result", payload


def _prompt(event: Prompt) -> tuple[str, Payload] | None:
    if event.is_queued or "Your agent Id is: " in event.text:
        return None
    payload: Payload = {"prompt": event.text, "mode": "prompt"}
    return "user_prompt", payload | (
        {"message_uuid": event.message_uuid} if event.message_uuid else {}
    )


def _start(event: SessionStart) -> tuple[str, Payload]:
    return "session_start", {"source": event.source}


def _end(event: SessionEnd) -> tuple[str, Payload]:
    return "session_end", {"reason": event.reason}


def _stop(event: TurnStop) -> tuple[str, Payload] | None:
    if event.name not in ("stop", "turn_end"):
        return None
    tasks = [{"id": task, "status": "running"} for task in event.background]
    return event.name, {"is_subagent": event.is_subagent, "background_tasks": tasks}


def _notice(event: Notice) -> tuple[str, Payload] | None:
    """As it is kept, where the wire's reader makes the same of it."""
    if f"claude.{event.name}" not in BUILDERS:
        return None
    payload = mapping(msgspec.json.decode(event.data))
    is_plain = payload.get("type", event.name) == event.name
    return (event.name, payload) if payload and is_plain else None


_WRITERS: dict[type[Event], Callable[[Any], tuple[str, Payload] | None]] = {
    MessageStart: _message_start,
    BlockStart: _block_start,
    Delta: _delta,
    BlockStop: _block_stop,
    MessageDelta: _message_delta,
    MessageStop: _message_stop,
    Ping: _ping,
    StreamError: _error,
    ToolResults: _result,
    Prompt: _prompt,
    SessionStart: _start,
    SessionEnd: _end,
    TurnStop: _stop,
    Notice: _notice,
}


# -- results that are too long to be held


class LongLine:
    """A line that is written in pieces: its text need not fit into memory. Gives them once."""

    def __init__(self, head: bytes, text: Iterable[str], tail: bytes) -> None:
        self._head, self._text, self._tail = head, text, tail

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for piece in self._text:
            yield _quoted(_text(piece)[1:-1])
        yield self._tail


_MARK = "\ue000agentmon\ue001"


def result_line(event: ToolResults, text: Iterable[str]) -> LongLine:
    """The line of an event with one result, whose text comes in pieces. It has the wire's own form,
    which is the one that is read without being held: whether it is an error has to be known."""
    (one,) = event.results
    one.text, one.is_error = _MARK, one.is_error is True
    head, _, tail = json_line(event).partition(_MARK.encode())
    return LongLine(head, text, tail)


# -- deltas, nine lines of ten


_DELTA = (
    b'{"event":"claude.content_block_delta","t":"%b",'
    b'"line":"data: {\\"timestamp\\":\\"%bZ%b%b%b%b%d%b'
)


class DeltaForm(Struct):
    """What all deltas of a block have in common, as bytes."""

    head: bytes
    key: bytes
    tail: bytes
    end: bytes


def delta_form(like: Delta, block_type: str | None) -> DeltaForm:
    """The form of the deltas of a block, of which `like` is one."""
    kind = block_type or "text"
    name, key = _CALL_DELTA if kind.endswith("tool_use") else _DELTAS.get(kind, _DELTAS["text"])
    request = "" if like.request_id is None else f',"request_id":{_text(like.request_id)}'
    head = (
        f'","type":"event_msg","payload":{{"type":"content_block_delta","index":{like.index},'
        f'"delta":{{"type":"{name}","{key}":'
    )
    tail = b"" if like.round is None else b',"round":' + _encode(like.round)
    tail += b',"metadata":' + _encode(metadata(like.meta)) + b',"flow_id":' + _encode(like.flow)
    return DeltaForm(
        _quoted(head),
        _quoted(f"}}{request}}}}}") + b'"',
        tail + b',"data_count":',
        b',"sid":' + _encode(like.sid) + b"}\n",
    )


def _text(value: str) -> str:
    return _encode(value).decode()


def _quoted(text: str) -> bytes:
    """JSON text as it stands within a JSON string."""
    return _encode(text)[1:-1]


class DeltaLines:
    """Writes deltas: what is the same for all of a second, or of a block, is made once."""

    def __init__(self) -> None:
        self._second, self._stamp = -1, b""

    def line(self, form: DeltaForm, millis: int, text: str, count: int) -> bytes:
        """The line of a delta that came at `millis` (epoch milliseconds)."""
        second, part = divmod(millis, 1000)
        if second != self._second:
            self._second, self._stamp = second, _second(second).encode()
        at = b"%b.%03d" % (self._stamp, part)
        said = _encode(_encode(text).decode())[1:-1]
        return _DELTA % (at, at, form.head, said, form.key, form.tail, count, form.end)
