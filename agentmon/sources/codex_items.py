"""Codex's and the Responses API's own words, in ours (formats.md B, D.3, D.4, F.2).

Pure functions: what an item, an output, a count or a plan is as a block, a result or a fact. The
wire log, the rollout and the raw stream hold the same items, so they are read in one place.
"""

from contextlib import suppress
from typing import Any, cast

import msgspec

from agentmon.core.events import Result, ToldBlock
from agentmon.sources.decoding import mapping
from agentmon.sources.envelopes import integer
from agentmon.sources.payloads import compact, optional_text

Item = dict[str, Any]

_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "mcp_call": "arguments",
    "tool_search_call": "arguments",
    "local_shell_call": "action",
    "shell_call": "action",
    "computer_call": "action",
    "apply_patch_call": "operation",
}
"""Items that call a tool, and the field with its input."""

_NAMELESS = {
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "computer_call": "computer",
    "apply_patch_call": "apply_patch",
    "tool_search_call": "tool_search",
}
"""What a call without a name of its own is called."""

OUTPUTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
        "computer_call_output",
        "tool_search_output",
    }
)
"""Items that answer a call."""

_BLOCKS = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "image_generation_call",
        "code_interpreter_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "compaction",
        "compaction_summary",
        "context_compaction",
    }
)
"""What else a model's response is made of; none of it has text of its own."""

_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "Text"})

SPAWN = "spawn_agent"
"""The tool whose call starts a subagent."""

_DESCRIPTION = 200
"""Characters kept of what a subagent was asked to do."""


def items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def index_of(value: object) -> int | None:
    """A place in a list: `output_index`, `sequence_number`, `ordinal`."""
    number = integer(value) if isinstance(value, int | float) else None
    return number if number is not None and 0 <= number < 2**31 else None


# -- items as blocks


def kind_of(item: Item) -> str:
    """The type of an item; very old files leave it out of messages."""
    return text_of(item.get("type")) or ("message" if "role" in item else "")


def is_output_of_model(item: Item) -> bool:
    """Whether the model made the item: it is a block of a response."""
    kind = kind_of(item)
    if kind == "message":
        return item.get("role", "assistant") == "assistant"
    return kind == "reasoning" or kind in _CALLS or kind in _BLOCKS


def described(item: Item) -> tuple[str, str | None, str | None]:
    """(block type, tool_use_id, tool name) of an item that a response is made of."""
    kind = kind_of(item)
    if kind in _CALLS:
        call = optional_text(item.get("call_id")) or None
        if call is None and kind in ("mcp_call", "local_shell_call"):
            call = optional_text(item.get("id")) or None
        if call is not None:
            return "tool_use", call, optional_text(item.get("name")) or _NAMELESS.get(kind, kind)
    return {"message": "text", "reasoning": "thinking"}.get(kind, kind), None, None


def item_text(item: Item) -> str:
    """The text of a finished item, as its deltas add up to it."""
    kind = kind_of(item)
    if kind == "message":
        return content_text(item.get("content"))
    if kind == "reasoning":
        return _parts(item.get("summary")) or _parts(item.get("content"))
    given = item.get(_CALLS.get(kind, ""))
    if given is None:
        return ""
    return given if isinstance(given, str) else compact(given)


def is_exact(item: Item) -> bool:
    """Whether `item_text` is surely what was streamed: of reasoning both forms may have been."""
    return not (kind_of(item) == "reasoning" and item.get("summary") and item.get("content"))


def told_block(
    item: Item, index: int | None, item_id: str | None, *, exact: bool = False
) -> ToldBlock:
    block_type, tool_use_id, tool_name = described(item)
    return ToldBlock(
        index,
        block_type,
        tool_use_id,
        tool_name,
        item_text(item),
        item_id,
        exact and is_exact(item),
    )


def content_text(content: object) -> str:
    """The text of a message: its string, or its text parts (and a refusal) joined by ""."""
    return content if isinstance(content, str) else _parts(content)


def _parts(value: object) -> str:
    found: list[str] = []
    for part in items(value):
        if isinstance(part, str):
            found.append(part)
        else:
            row = mapping(part)
            found.append(text_of(row.get("text")) or text_of(row.get("refusal")))
    return "".join(found)


# -- results


def output_text(output: object) -> str:
    """A result's text: its string; of parts the text ones and any other as compact JSON, joined
    by "" (design.md 7, "A codex message")."""
    if output is None:
        return ""
    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        content = mapping(cast("object", output)).get("content")
        return content if isinstance(content, str) else compact(cast("object", output))
    if not isinstance(output, list):
        return compact(output)
    return "".join(map(_part_text, cast("list[object]", output)))


def _part_text(part: object) -> str:
    row = mapping(part)
    text = row.get("text")
    is_text = text_of(row.get("type")) in _TEXT_PARTS
    return text if is_text and isinstance(text, str) else compact(part)


def output_result(item: Item) -> Result | None:
    """The result in a `*_output` item."""
    call = optional_text(item.get("call_id"))
    output: object = item.get("output", item.get("tools"))
    return result(call, output) if call else None


def result(call: str, output: object) -> Result:
    """Only very old outputs say whether they are an error: `{content, success}`, or a string that
    holds `{"output": …, "metadata": {"exit_code": …}}`."""
    row = mapping(output)
    if isinstance(output, str) and output.startswith('{"output":'):
        row = mapping(json_object(output).get("metadata"))
    return Result(call, _is_failed(row), output_text(output))


def server_result(item: Item) -> Result | None:
    """The result of a call that the API ran itself, in the call's own finished item."""
    if kind_of(item) != "mcp_call" or item.get("status") not in (None, "completed", "failed"):
        return None
    _, call, _ = described(item)
    error = item.get("error")
    if call is None:
        return None
    return Result(call, error is not None, output_text(error or item.get("output")))


_FAILED = frozenset({"failed", "declined", "interrupted"})


def _is_failed(row: Item) -> bool | None:
    """By exit code, success or status; None where none of them is told."""
    code, success = integer(row.get("exit_code")), row.get("success")
    status = text_of(row.get("status"))
    if code is not None:
        return code != 0
    if isinstance(success, bool):
        return not success
    if status == "completed" or status in _FAILED:
        return status != "completed"
    return None


def command_summary(call: str, row: Item) -> Result:
    """What the end of a command tells beside its result: the exit code."""
    text = text_of(row.get("aggregated_output")) or text_of(row.get("formatted_output"))
    return Result(call, _is_failed(row), text or _streams(row), is_summary=True)


def change_summary(call: str, row: Item) -> Result:
    """The same of a patch that was applied, or not."""
    return Result(call, _is_failed(row), _streams(row), is_summary=True)


def _streams(row: Item) -> str:
    return text_of(row.get("stdout")) + text_of(row.get("stderr"))


def mcp_summary(call: str, row: Item) -> Result:
    """The same of an MCP call: `result` is `{Ok: …}` or `{Err: …}`, or bare beside an `error`."""
    result = mapping(row.get("result"))
    error: object = result.get("Err", row.get("error"))
    if error is not None:
        message = mapping(error).get("message", error)
        return Result(call, True, output_text(message), is_summary=True)
    inner = mapping(result.get("Ok", result))
    failed = inner.get("isError", inner.get("is_error"))
    is_error = failed if isinstance(failed, bool) else _is_failed(row)
    return Result(call, is_error, output_text(inner.get("content")), is_summary=True)


# -- facts


_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_write_tokens",
}
_DETAILS = {"cached_tokens": "cache_read_tokens", "cache_write_tokens": "cache_write_tokens"}


def usage(value: object) -> dict[str, int]:
    """Token counts by our names, as the API gives them or as Codex writes them down."""
    row = mapping(value)
    found = {_USAGE[name]: row.get(name) for name in _USAGE}
    for name, ours in _DETAILS.items():
        if found[ours] is None:
            found[ours] = mapping(row.get("input_tokens_details")).get(name)
    return {name: count for name, given in found.items() if (count := _count(given)) is not None}


def _count(value: object) -> int | None:
    number = integer(value) if isinstance(value, int | float) else None
    return number if number is not None and 0 <= number < 2**53 else None


def token_facts(payload: Item) -> dict[str, object]:
    """What a `token_count` tells besides usage: the context and the limits of the account."""
    values: dict[str, object] = {}
    info = mapping(payload.get("info"))
    held = _count(mapping(info.get("last_token_usage")).get("total_tokens"))
    window = _count(info.get("model_context_window"))
    if held is not None:
        values["context_tokens"] = held
    if window is not None:
        values["context_window"] = window
    limits = rate_limit(payload.get("rate_limits"))
    if limits is not None:
        values["rate_limit"] = limits
    return values


def rate_limit(value: object) -> Item | None:
    """The limits as they are told, without what is null; None where no window is known."""
    known = {name: part for name, part in mapping(value).items() if part is not None}
    has_window = isinstance(known.get("primary"), dict) or isinstance(known.get("secondary"), dict)
    return known if has_window or "rate_limit_reached_type" in known else None


def plan(value: object) -> list[object] | None:
    """The steps of `update_plan` as a todo list."""
    if not isinstance(value, list):
        return None
    rows = [mapping(step) for step in items(cast("object", value))]
    return [
        {"text": text_of(row.get("step")), "status": text_of(row.get("status"))}
        for row in rows
        if row
    ]


# -- subagents


def short(text: str) -> str | None:
    """What a subagent was asked to do, in one line; None where nothing is said."""
    line = " ".join(text[: 4 * _DESCRIPTION].split())
    return line[:_DESCRIPTION] or None


def asked_of(arguments: Item) -> str | None:
    """The task in the arguments of a `spawn_agent` call."""
    for name in ("message", "prompt", "task", "task_name"):
        found = short(text_of(arguments.get(name)))
        if found is not None:
            return found
    return None


def json_object(value: object) -> Item:
    """An object, also one that is written as JSON in a string; else an empty one."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with suppress(msgspec.DecodeError, RecursionError):
            return mapping(msgspec.json.decode(value))
    return mapping(value)


def agent_of(output: str) -> tuple[str | None, str | None]:
    """(id, nickname) of the subagent that a `spawn_agent` call has started, by its output: a path
    like "/root/helper" in `task_name`, in older versions a thread id."""
    row = json_object(output)
    agent_id = optional_text(row.get("task_name")) or optional_text(row.get("agent_id"))
    return agent_id or None, optional_text(row.get("nickname")) or None


_STATUS = {
    "started": "running",
    "pending_init": "running",
    "running": "running",
    "completed": "completed",
    "errored": "failed",
    "failed": "failed",
    "not_found": "failed",
    "interrupted": "stopped",
    "shutdown": "stopped",
}


def agent_status(value: object) -> str | None:
    """Ours for Codex's name of a subagent's state; None where it tells none."""
    return _STATUS.get(value) if isinstance(value, str) else None
