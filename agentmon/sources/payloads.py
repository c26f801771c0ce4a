"""Payloads of the Anthropic stream and its neighbours, turned into events (formats.md A.2, F.1, G).

Each builder gets the head of an event and its payload, and answers None for a shape that it can't
use: the event is then kept whole as unknown, so nothing is lost.
"""

import re
from collections.abc import Callable
from typing import Any, cast

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
    Result,
    SessionEnd,
    SessionStart,
    StreamError,
    ToolResults,
    TurnStop,
    WholeBlock,
    WholeMessage,
)

Base = tuple[str, Meta, str, int, str | None, float | None, int]
Payload = dict[str, Any]


class Head(Struct):
    """What is known of an event before its payload; `base` are the fields of `Event`."""

    name: str | None
    base: Base


_SURROGATES = re.compile("[\ud800-\udfff]")


def scrub(value: object) -> object:
    """A decoded JSON value with each lone surrogate as one U+FFFD (design.md 7)."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [scrub(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {_SURROGATES.sub("\ufffd", key): scrub(item) for key, item in items}
    return value


def optional_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def compact(value: object) -> str:
    """JSON without blanks, non-ASCII raw, keys in input order."""
    return msgspec.json.encode(value).decode()


def _mapping(value: object) -> Payload | None:
    return cast(Payload, value) if isinstance(value, dict) else None


def _index(payload: Payload) -> int | None:
    value = payload.get("index")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**31 and value == int(value) else None


_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


def usage(value: object) -> dict[str, int]:
    """Token counts by our names; absent and null ones are left out."""
    found = _mapping(value) or {}
    return {
        ours: int(found[theirs])
        for theirs, ours in _USAGE.items()
        if isinstance(found.get(theirs), int | float) and 0 <= found[theirs] < 2**53
    }


_DELTA_TEXT = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
    "compaction_delta": "content",
}
_TEXTLESS = {"signature_delta", "citations_delta"}


def delta_text(delta: Payload) -> tuple[bool, str | None]:
    """(known, text): the text a delta carries, None for one that carries none."""
    kind = delta.get("type")
    if kind in _TEXTLESS:
        return True, None
    key = _DELTA_TEXT.get(kind) if isinstance(kind, str) else None
    return (True, optional_text(delta.get(key)) or "") if key else (False, None)


def _delta(head: Head, payload: Payload) -> Event | None:
    index, delta = _index(payload), _mapping(payload.get("delta"))
    if index is None or delta is None:
        return None
    known, text = delta_text(delta)
    if not known:
        return None
    return Delta(*head.base, optional_text(payload.get("request_id")), index, text)


def _message_start(head: Head, payload: Payload) -> Event | None:
    message = _mapping(payload.get("message"))
    message_id = optional_text(message.get("id")) if message else None
    if message is None or not message_id:
        return None
    return MessageStart(
        *head.base,
        optional_text(payload.get("request_id")),
        message_id,
        optional_text(message.get("role")),
        optional_text(message.get("model")),
        usage(message.get("usage")),
    )


def _block(content: Payload) -> WholeBlock | None:
    kind = optional_text(content.get("type"))
    if kind is None:
        return None
    text = ""
    if kind in ("text", "thinking"):
        text = optional_text(content.get(kind)) or ""
    elif kind == "compaction":
        text = optional_text(content.get("content")) or ""
    elif kind.endswith("tool_use"):
        given = content.get("input")
        text = compact(given) if given not in ({}, None, "") else ""
    tool = kind.endswith("tool_use")
    return WholeBlock(
        kind,
        optional_text(content.get("id")) if tool else None,
        optional_text(content.get("name")) if tool else None,
        text,
    )


def _block_start(head: Head, payload: Payload) -> Event | None:
    index, content = _index(payload), _mapping(payload.get("content_block"))
    block = _block(content) if content is not None else None
    if index is None or block is None:
        return None
    return BlockStart(
        *head.base,
        optional_text(payload.get("request_id")),
        index,
        block.block_type,
        block.tool_use_id,
        block.tool_name,
        block.text,
    )


def _block_stop(head: Head, payload: Payload) -> Event | None:
    index = _index(payload)
    if index is None:
        return None
    return BlockStop(*head.base, optional_text(payload.get("request_id")), index)


def _message_delta(head: Head, payload: Payload) -> Event | None:
    delta = _mapping(payload.get("delta")) or {}
    return MessageDelta(
        *head.base,
        optional_text(payload.get("request_id")),
        optional_text(delta.get("stop_reason")),
        usage(payload.get("usage")),
    )


def _message_stop(head: Head, payload: Payload) -> Event:
    return MessageStop(*head.base, optional_text(payload.get("request_id")))


def _ping(head: Head, payload: Payload) -> Event:
    return Ping(*head.base, optional_text(payload.get("request_id")))


def _error(head: Head, payload: Payload) -> Event:
    error = _mapping(payload.get("error")) or {}
    return StreamError(
        *head.base,
        optional_text(payload.get("request_id")),
        optional_text(error.get("type")) or "error",
        optional_text(error.get("message")) or "",
    )


def _whole_message(head: Head, payload: Payload) -> Event | None:
    message = _mapping(payload.get("message")) or payload
    message_id = optional_text(message.get("id"))
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not message_id or not isinstance(content, list):
        return None
    parts = [_mapping(part) for part in cast("list[object]", content)]
    blocks = [_block(part) if part is not None else None for part in parts]
    return WholeMessage(
        *head.base,
        optional_text(payload.get("request_id")),
        message_id,
        optional_text(message.get("role")),
        optional_text(message.get("model")),
        optional_text(message.get("stop_reason")),
        usage(message.get("usage")),
        [block for block in blocks if block is not None],
    )


def result_text(content: object) -> str:
    """A tool result's text: its string; of parts the `text` ones, any other as compact JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return compact(content)
    texts: list[str] = []
    for part in cast("list[object]", content):
        found = _mapping(part)
        text = optional_text(found.get("text")) if found else None
        is_text = found is not None and found.get("type") == "text" and text is not None
        texts.append(text if is_text and text is not None else compact(part))
    return "\n".join(texts)


def _result(part: object) -> Result | None:
    found = _mapping(part)
    tool_use_id = optional_text(found.get("tool_use_id")) if found else None
    if found is None or not tool_use_id:
        return None
    return Result(tool_use_id, found.get("is_error") is True, result_text(found.get("content")))


def _tool_result(head: Head, payload: Payload) -> Event | None:
    message = _mapping(payload.get("message"))
    content: object = message.get("content") if message is not None else [payload]
    if not isinstance(content, list):
        return None
    results = [_result(part) for part in cast("list[object]", content)]
    kept = [result for result in results if result is not None]
    return ToolResults(*head.base, kept) if kept else None


_AGENT_ID = re.compile(r"\n?Your agent Id is: [^\n]*\Z")
"""What the patched client appends to the first prompt of a session."""


def _prompt(head: Head, payload: Payload) -> Event:
    text = payload.get("prompt")
    given = text if isinstance(text, str) else "" if text is None else compact(text)
    given = _AGENT_ID.sub("", given)
    return Prompt(*head.base, given, optional_text(payload.get("message_uuid")) or None)


def _session_start(head: Head, payload: Payload) -> Event:
    return SessionStart(*head.base, optional_text(payload.get("source")) or "")


def _session_end(head: Head, payload: Payload) -> Event:
    return SessionEnd(*head.base, optional_text(payload.get("reason")))


def _stop(head: Head, payload: Payload) -> Event:
    tasks = payload.get("background_tasks")
    running = [
        str(found.get("id"))
        for task in (cast("list[object]", tasks) if isinstance(tasks, list) else [])
        if (found := _mapping(task)) is not None and found.get("status") == "running"
    ]
    name = (head.name or "").removeprefix("claude.")
    return TurnStop(*head.base, name, payload.get("is_subagent") is True, running)


def build_hook(head: Head, payload: Payload) -> Event:
    """A hook, a notification, a queue operation: kept with its payload."""
    kind = payload.get("operation") or payload.get("notification_type")
    return Notice(
        *head.base,
        (head.name or "").removeprefix("claude."),
        compact(payload),
        optional_text(payload.get("tool_use_id")),
        optional_text(payload.get("content")),
        optional_text(kind),
    )


_EVENTS = {
    "content_block_delta": _delta,
    "message_start": _message_start,
    "content_block_start": _block_start,
    "content_block_stop": _block_stop,
    "message_delta": _message_delta,
    "message_stop": _message_stop,
    "ping": _ping,
    "error": _error,
    "message": _whole_message,
    "tool_result": _tool_result,
    "user_prompt": _prompt,
    "session_start": _session_start,
    "session_end": _session_end,
    "stop": _stop,
    "turn_end": _stop,
}

_HOOKS = frozenset(
    {
        "queue_operation",
        "notification",
        "user_prompt_submit",
        "user_prompt_expansion",
        "pre_tool_use",
        "permission_request",
        "permission_denied",
        "post_tool_use",
        "post_tool_use_failure",
        "post_tool_batch",
        "stop_failure",
        "subagent_start",
        "subagent_stop",
        "pre_compact",
        "post_compact",
        "pre_model_switch",
        "post_model_switch",
        "setup",
        "teammate_idle",
        "task_created",
        "task_completed",
        "elicitation",
        "elicitation_result",
        "config_change",
        "worktree_create",
        "worktree_remove",
        "instructions_loaded",
        "cwd_changed",
        "file_changed",
        "directory_added",
        "message_display",
    }
)
"""Hook events by the name a recording proxy gives them (formats.md G), and queue operations."""

Builder = Callable[[Head, Payload], Event | None]

BUILDERS: dict[str, Builder] = {
    **{f"claude.{kind}": builder for kind, builder in _EVENTS.items()},
    **{f"claude.{kind}": build_hook for kind in _HOOKS},
}
"""Every event that this version knows, by its name on the wire."""
