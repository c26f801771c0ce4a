"""What the records of a Claude Code transcript say, read field by field (formats.md C.3-C.6).

Pure functions from a record to plain values. Any field may be of any type.
"""

import re
from typing import cast

from msgspec import Struct

from agentmon.core.events import Result, ToldBlock
from agentmon.sources.decoding import Record, mapping
from agentmon.sources.payloads import compact, optional_text, result_text

Blocks = list[object]

SYNTHETIC_MODEL = "<synthetic>"
"""What the client writes as the model of a message that no model made."""

NOTHING_SAID = "No response requested."

TURN_ENDS = frozenset({"end_turn", "stop_sequence", "refusal"})
"""Stop reasons after which the client waits for its user (formats.md C.8)."""

INTERRUPTS = ("[Request interrupted by user]", "[Request interrupted by user for tool use]")

_INJECTED = ("<system-reminder>", "<ide_opened_file>", "<ide_selection>")
"""Texts put beside what the user typed, as blocks of their own."""

_COMMANDS = ("<command-name>", "<command-message>", "<command-args>", "<bash-input>")
_OUTPUTS = ("<local-command-", "<bash-stdout>", "<bash-stderr>", "Caveat: The messages below were")
_NOTIFICATION = "<task-notification>"
_CARRY_ON = (
    "Stop hook feedback:",
    "[SYSTEM NOTIFICATION",
    "Your response above was cut off mid-stream",
    "Output token limit hit",
)
_SUMMARY = "This session is being continued from a previous conversation"
_MEDIA = frozenset({"image", "document"})
_HUMAN = frozenset({"human", "sdk"})

AGENT_STATUS = {
    "completed": "completed",
    "async_launched": "running",
    "running": "running",
    "failed": "failed",
    "error": "failed",
    "stopped": "stopped",
    "killed": "stopped",
    "cancelled": "stopped",
    "canceled": "stopped",
    "interrupted": "stopped",
}
"""Words of the client for how a subagent is, by the four that events know."""


def text_field(record: Record, name: str) -> str | None:
    """A field that is a string with something in it."""
    value = record.get(name)
    return value if isinstance(value, str) and value else None


def number_field(record: Record, name: str) -> float | None:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -(2**63) < value < 2**63 else None


def count_field(record: Record, name: str) -> int | None:
    value = number_field(record, name)
    return int(value) if value is not None and 0 <= value < 2**53 else None


def content_blocks(record: Record) -> list[Record]:
    """The content of a message as blocks: a string, or a bare string in a list, is a text block."""
    content = mapping(record.get("message")).get("content")
    items = cast(Blocks, content) if isinstance(content, list) else [content]
    blocks: list[Record] = []
    for item in items:
        if isinstance(item, str):
            blocks.append({"type": "text", "text": item})
        elif isinstance(item, dict):
            blocks.append(cast(Record, item))
    return blocks


def block_texts(blocks: list[Record]) -> list[str]:
    """The texts of the text blocks."""
    texts = (block.get("text") for block in blocks if block.get("type") == "text")
    return [text for text in texts if isinstance(text, str)]


def plain_text(content: object) -> str | None:
    """The text of a content that is a string or blocks; None where there is none."""
    if isinstance(content, list):
        return "\n".join(block_texts(content_blocks({"message": {"content": content}})))
    return optional_text(content)


def told_block(block: Record) -> ToldBlock | None:
    """A block of an assistant record; its text is what the stream's deltas add up to."""
    kind = text_field(block, "type")
    if kind is None:
        return None
    tool_use_id = name = None
    text = ""
    if kind in ("text", "thinking"):
        text = optional_text(block.get(kind)) or ""
    elif kind == "compaction":
        text = optional_text(block.get("content")) or ""
    elif kind.endswith("tool_use"):
        given = block.get("input")
        text = compact(given) if given not in ({}, None, "") else ""
        tool_use_id, name = optional_text(block.get("id")), optional_text(block.get("name"))
    return ToldBlock(None, kind, tool_use_id, name, text)


def results_of(blocks: list[Record]) -> list[Result]:
    """The tool results among the blocks of a user record."""
    results: list[Result] = []
    for block in blocks:
        tool_use_id = text_field(block, "tool_use_id")
        if block.get("type") == "tool_result" and tool_use_id:
            is_error = block.get("is_error") is True
            results.append(Result(tool_use_id, is_error, result_text(block.get("content"))))
    return results


class Said(Struct):
    """What the text of a user record is. `prompt` None: no user typed it."""

    prompt: str | None
    what: str = "prompt"
    is_alive: bool = False
    """Something that makes the agent work goes in with it."""


def read_user(record: Record, blocks: list[Record]) -> Said:
    """Tells a prompt from the texts that the client writes in the user's name (formats.md C.4).

    A slash command, its output and a summary are written after the fact: they tell of no work.
    """
    texts = block_texts(blocks)
    typed = [text for text in texts if not text.lstrip().startswith(_INJECTED)]
    text = "\n".join(typed)
    first = text.lstrip()
    if any(one.strip() in INTERRUPTS for one in texts):
        return Said(None, "interrupt")
    if record.get("isCompactSummary") is True or first.startswith(_SUMMARY):
        return Said(None, "summary")
    if first.startswith(_OUTPUTS):
        return Said(None, "command output")
    if first.startswith(_COMMANDS):
        return Said(None, "command")
    if first.startswith(_NOTIFICATION):
        return Said(None, "task notification", True)
    if first.startswith(_CARRY_ON) or record.get("isMeta") is True:
        return Said(None, "injected text", True)
    if is_warmup(record):
        return Said(None, "warm-up")
    if not _is_typed(record):
        return Said(None, "injected text", True)
    if not typed and not any(text_field(block, "type") in _MEDIA for block in blocks):
        return Said(None, "injected text", bool(texts))
    return Said(text)


def _is_typed(record: Record) -> bool:
    """Whether all fields that name an origin allow for a user."""
    origin = record.get("origin")
    kind = text_field(mapping(origin), "kind")
    turn = text_field(record, "turnOrigin")
    return (
        (kind is None or kind == "human")
        and (turn is None or turn in _HUMAN)
        and record.get("promptSource") != "system"
        and record.get("turnCompanion") is not True
        and record.get("isVisibleInTranscriptOnly") is not True
    )


def is_warmup(record: Record) -> bool:
    """Whether a record is the task of a run that only fills the cache (version 2.0)."""
    if record.get("type") != "user" or "promptId" in record:
        return False
    return (plain_text(mapping(record.get("message")).get("content")) or "").strip() == "Warmup"


class Notification(Struct):
    """A background task that stopped (`<task-notification>`)."""

    task_id: str
    tool_use_id: str | None
    status: str | None


_TAGS = {
    name: re.compile(rf"<{name}>([^<]{{1,200}})</{name}>")
    for name in ("task-id", "tool-use-id", "status")
}


def read_notification(text: str) -> Notification | None:
    """The head of a task notification; what the task said comes after it."""
    if not text.lstrip().startswith(_NOTIFICATION):
        return None
    head = text[:4000]
    found = {name: pattern.search(head) for name, pattern in _TAGS.items()}
    values = {name: match.group(1).strip() for name, match in found.items() if match}
    if not values.get("task-id"):
        return None
    return Notification(values["task-id"], values.get("tool-use-id"), values.get("status"))


def todo_list(value: object) -> list[dict[str, str]] | None:
    """A list of to-dos as (text, status); None where the value is no such list."""
    if not isinstance(value, list):
        return None
    found = [mapping(item) for item in cast(Blocks, value)]
    return [
        {
            "text": text_field(item, "content") or text_field(item, "text") or "",
            "status": text_field(item, "status") or "pending",
        }
        for item in found
        if item
    ]


_STATUS_ERRORS = {429: "rate_limit_error", 529: "overloaded_error"}


def api_error(error: object) -> tuple[str, str]:
    """(type, message) of the `error` of an api_error record, which nests in several ways."""
    found = mapping(error)
    inner = mapping(found.get("error"))
    innermost = mapping(inner.get("error"))
    kind = text_field(innermost, "type") or text_field(inner, "type")
    if kind is None or kind == "error":
        status = count_field(found, "status")
        code = text_field(mapping(found.get("connection")), "code")
        kind = _STATUS_ERRORS.get(status or 0) or code
        if kind is None:
            kind = "api_error" if status is None else f"http_{status}"
    messages = (text_field(part, "message") for part in (innermost, inner, found))
    message = text_field(found, "formatted") or next((text for text in messages if text), None)
    return kind, message or optional_text(error) or ""


def first_line(text: str, limit: int = 120) -> str:
    """A text in one line, for a list."""
    line = text.strip().split("\n", 1)[0].strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
