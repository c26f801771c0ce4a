"""Payloads as they should be: one typed decoder per frequent event.

A short way only. What does not fit a type here, or is more than the usual, goes through `payloads`,
which knows every shape; a test holds the two together.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from agentmon.core.events import (
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Result,
    ToolResults,
)
from agentmon.sources.payloads import Base

P = TypeVar("P")
_Index: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Tokens: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Usage(Struct, gc=False):
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    cache_read_tokens: _Tokens | None = field(default=None, name="cache_read_input_tokens")
    cache_write_tokens: _Tokens | None = field(default=None, name="cache_creation_input_tokens")


class _Message(Struct, gc=False):
    id: str
    role: str | None = None
    model: str | None = None
    usage: _Usage | None = None


class _MessageStart(Struct, gc=False):
    message: _Message
    request_id: str | None = None


class _Content(Struct, gc=False, tag_field="type"):
    """The start of a block that streams all of its text."""


class _Text(_Content, tag="text"):
    text: Literal[""] = ""


class _Thinking(_Content, tag="thinking"):
    thinking: Literal[""] = ""


class _Empty(Struct, gc=False, forbid_unknown_fields=True):
    pass


class _ToolUse(_Content, tag="tool_use"):
    id: str | None = None
    name: str | None = None
    input: _Empty | None = None


class _BlockStart(Struct, gc=False):
    index: _Index
    content_block: _Text | _Thinking | _ToolUse
    request_id: str | None = None


class _BlockStop(Struct, gc=False):
    index: _Index
    request_id: str | None = None


class _Reason(Struct, gc=False):
    stop_reason: str | None = None


class _MessageDelta(Struct, gc=False):
    delta: _Reason
    usage: _Usage | None = None
    request_id: str | None = None


class _MessageStop(Struct, gc=False):
    request_id: str | None = None


class _Result(Struct, gc=False):
    tool_use_id: str
    content: str
    is_error: bool = False


class _Results(Struct, gc=False):
    content: list[_Result]


class _ToolResult(Struct, gc=False):
    message: _Results


def _usage(found: _Usage | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    if found is None:
        return counts
    if found.input_tokens is not None:
        counts["input_tokens"] = found.input_tokens
    if found.output_tokens is not None:
        counts["output_tokens"] = found.output_tokens
    if found.cache_read_tokens is not None:
        counts["cache_read_tokens"] = found.cache_read_tokens
    if found.cache_write_tokens is not None:
        counts["cache_write_tokens"] = found.cache_write_tokens
    return counts


def _message_start(base: Base, payload: _MessageStart) -> Event | None:
    message = payload.message
    if not message.id:
        return None
    usage = _usage(message.usage)
    return MessageStart(*base, payload.request_id, message.id, message.role, message.model, usage)


def _block_start(base: Base, payload: _BlockStart) -> Event:
    block = payload.content_block
    if type(block) is _ToolUse:
        kind, tool_use_id, tool_name = "tool_use", block.id, block.name
    else:
        kind, tool_use_id, tool_name = "text" if type(block) is _Text else "thinking", None, None
    return BlockStart(*base, payload.request_id, payload.index, kind, tool_use_id, tool_name, "")


def _block_stop(base: Base, payload: _BlockStop) -> Event:
    return BlockStop(*base, payload.request_id, payload.index)


def _message_delta(base: Base, payload: _MessageDelta) -> Event:
    usage = _usage(payload.usage)
    return MessageDelta(*base, payload.request_id, payload.delta.stop_reason, usage)


def _message_stop(base: Base, payload: _MessageStop) -> Event:
    return MessageStop(*base, payload.request_id)


def _tool_result(base: Base, payload: _ToolResult) -> Event | None:
    results = [
        Result(part.tool_use_id, part.is_error, part.content)
        for part in payload.message.content
        if part.tool_use_id
    ]
    return ToolResults(*base, results) if results else None


class Inner(Struct, gc=False):
    """The second JSON level, of which `payload` is typed by the subclasses made below."""

    timestamp: str


Typed: TypeAlias = tuple[Callable[[bytes], Any], Callable[[Base, Any], Event | None]]


def _typed(payload: type[P], build: Callable[[Base, P], Event | None]) -> Typed:
    inner = msgspec.defstruct("inner", [("payload", payload)], bases=(Inner,), gc=False)
    return msgspec.json.Decoder(inner).decode, build


TYPED: dict[str, Typed] = {
    "claude.message_start": _typed(_MessageStart, _message_start),
    "claude.content_block_start": _typed(_BlockStart, _block_start),
    "claude.content_block_stop": _typed(_BlockStop, _block_stop),
    "claude.message_delta": _typed(_MessageDelta, _message_delta),
    "claude.message_stop": _typed(_MessageStop, _message_stop),
    "claude.tool_result": _typed(_ToolResult, _tool_result),
}
"""(decoder of the second level, builder of the event) by event name. The decoder raises, and the
builder answers None, where `payloads` has to look."""
