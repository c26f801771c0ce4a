"""Records of a rollout around its responses, turned into events (formats.md D.2, D.4)."""

from collections.abc import Callable

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Notice,
    Other,
    Result,
    Retry,
    SessionEnd,
    StreamError,
    ToldBlock,
    ToolResults,
    TurnAborted,
    TurnStop,
)
from agentmon.sources import codex_items as codex
from agentmon.sources.codex_items import Item, text_of
from agentmon.sources.decoding import mapping
from agentmon.sources.payloads import Base, compact, optional_text
from agentmon.sources.rollout_thread import Thread

TURN_BEGINS = frozenset({"task_started", "turn_started"})
TURN_ENDS = frozenset({"task_complete", "turn_complete"})

_LOUD = frozenset(
    {
        "agent_message",
        "agent_reasoning",
        "agent_reasoning_raw_content",
        "agent_reasoning_section_break",
        "agent_message_delta",
        "agent_reasoning_delta",
        "agent_reasoning_raw_content_delta",
        "exec_command_output_delta",
        "item_started",
        "patch_apply_begin",
        "mcp_tool_call_begin",
        "web_search_begin",
        "web_search_end",
        "image_generation_end",
        "view_image_tool_call",
        "background_event",
        "turn_diff",
    }
)
"""Copies of text, and what only shows that the agent works."""

_QUIET = frozenset(
    {
        "thread_goal_updated",
        "session_configured",
        "warning",
        "context_compacted",
        "raw_response_item",
        "mcp_startup_update",
        "mcp_startup_complete",
    }
)

_SAID = {
    "thread_rolled_back": "turns taken back",
    "entered_review_mode": "review began",
    "exited_review_mode": "review ended",
}

_LOUD_ITEMS = frozenset(
    {
        "AgentMessage",
        "Reasoning",
        "Plan",
        "HookPrompt",
        "DynamicToolCall",
        "WebSearch",
        "ImageView",
        "ImageGeneration",
        "Extension",
        "EnteredReviewMode",
        "ExitedReviewMode",
        "ContextCompaction",
        "Sleep",
    }
)


def nickname(meta: Item) -> str | None:
    """What a subagent is called, or what it is for."""
    spawn = mapping(mapping(mapping(meta.get("source")).get("subagent")).get("thread_spawn"))
    for row in (meta, spawn):
        for name in ("agent_nickname", "agent_role", "agent_type"):
            found = optional_text(row.get(name))
            if found:
                return found
    return None


def settings(base: Base, body: Item) -> list[Event]:
    """`turn_context`, `thread_settings`: how the model is asked."""
    named = {
        "model": body.get("model"),
        "effort": body.get("effort", body.get("reasoning_effort")),
        "permission_mode": body.get("approval_policy"),
    }
    values: dict[str, object] = {
        name: value for name, value in named.items() if isinstance(value, str) and value
    }
    return [Facts(*base, values) if values else Other(*base)]


# -- turns


def turn_begun(thread: Thread, base: Base, body: Item) -> list[Event]:
    events: list[Event] = [Other(*base, is_alive=True, said="turn started")]
    values = codex.token_facts({"info": body})
    if values:
        events.append(Facts(*base, values))
    return [*events, *_agent_is(thread, base, "running")]


def turn_over(thread: Thread, base: Base, *, is_failed: bool) -> list[Event]:
    stop = TurnStop(*base, "turn_end", thread.agent_id is not None, [])
    return [stop, *_agent_is(thread, base, "failed" if is_failed else "completed")]


def turn_aborted(thread: Thread, base: Base, body: Item) -> list[Event]:
    reason = optional_text(body.get("reason"))
    aborted = TurnAborted(*base, has_end=True, reason=reason)
    return [aborted, *_agent_is(thread, base, "stopped")]


def _agent_is(thread: Thread, base: Base, status: str) -> list[Event]:
    if thread.agent_id is None:
        return []
    return [AgentSaid(*base, thread.agent_id, status=status)]


def error_words(error: object) -> str:
    """ "server_overloaded: Selected model is at capacity." """
    kind, message = _error(error)
    return f"{kind}: {message}" if message else kind


def failed(base: Base, error: object) -> Event:
    """A turn that ended in an error before its response had any item."""
    kind, message = _error(error)
    return StreamError(*base, None, kind, message)


def _error(error: object) -> tuple[str, str]:
    if isinstance(error, str):
        return "error", error
    row = mapping(error)
    info = row.get("codex_error_info")
    kind = text_of(info) or next(iter(mapping(info)), "")  # with details: its name is the only key
    return kind or "error", text_of(row.get("message"))


# -- calls and subagents


def called(thread: Thread, base: Base, block: ToldBlock, item: Item) -> list[Event]:
    """What a call tells besides itself: the plan, or that a subagent is to be started."""
    thread.note_call(block.tool_use_id or "")
    if block.tool_name == codex.SPAWN:
        arguments = codex.json_object(item.get("arguments"))
        thread.note_spawn(block.tool_use_id or "", codex.asked_of(arguments))
    elif block.tool_name == "update_plan":
        todo = codex.plan(codex.json_object(item.get("arguments")).get("plan"))
        if todo is not None:
            return [Facts(*base, {"todo": todo})]
    return []


def spawned(thread: Thread, base: Base, result: Result) -> list[Event]:
    """Which subagent a call has started, told by its output."""
    call = result.tool_use_id
    if call not in thread.spawns:
        return []
    asked = thread.spawns.pop(call)
    agent_id, name = codex.agent_of(result.text)
    return [AgentSaid(*base, agent_id, call, name, asked)] if agent_id else []


def _activity(thread: Thread, base: Base, item: Item, call: str | None) -> list[Event]:
    """`SubAgentActivity`, `sub_agent_activity`: the life of a subagent as its parent sees it."""
    thread_id = optional_text(item.get("agent_thread_id")) or ""
    agent_id = optional_text(item.get("agent_path")) or thread.agents.get(thread_id) or thread_id
    if not agent_id:
        return [Other(*base)]
    if thread_id:
        thread.note_agent(thread_id, agent_id)
    is_start = item.get("kind") == "started" and call in thread.calls
    status = codex.agent_status(item.get("kind"))
    asked = thread.spawns.get(call or "") if is_start else None
    return [AgentSaid(*base, agent_id, call if is_start else None, None, asked, status)]


def _collab(thread: Thread, base: Base, item: Item) -> list[Event]:
    """`CollabAgentToolCall`: a call that concerns other agents, and how they are."""
    is_spawn = text_of(item.get("tool")).startswith("spawn")
    call = optional_text(item.get("id")) if is_spawn else None
    asked = codex.short(text_of(item.get("prompt"))) if is_spawn else None
    states = mapping(item.get("agents_states"))
    names = {
        text_of(row.get("thread_id")): optional_text(row.get("agent_nickname"))
        for row in map(mapping, codex.items(item.get("receiver_agents")))
    }
    receivers = [one for one in codex.items(item.get("receiver_thread_ids")) if text_of(one)]
    events: list[Event] = [
        AgentSaid(
            *base,
            thread.agents.get(one, one),
            call,
            names.get(one),
            asked,
            codex.agent_status(mapping(states.get(one)).get("status")),
        )
        for one in map(text_of, dict.fromkeys([*receivers, *states]))
    ]
    return events or [Other(*base, is_alive=True)]


def said_between(base: Base, item: Item) -> list[Event]:
    """`agent_message`: what another agent wrote to this one, as it came into its context."""
    data = compact({name: item.get(name) for name in ("id", "author", "recipient", "content")})
    return [
        Other(*base, said="message between agents"),
        Notice(*base, "agent_message", data),
    ]


# -- what is told when something has ended


def _summary(make: Callable[[str, Item], Result]) -> "_Record":
    """The end of a call of the model's; of one that a script of its made there is no block."""

    def record(thread: Thread, base: Base, row: Item) -> list[Event]:
        call = optional_text(row.get("call_id")) or optional_text(row.get("id"))
        if call in thread.calls:
            return [ToolResults(*base, [make(call or "", row)])]
        return [Other(*base, is_alive=True, said=_ran(row))]

    return record


def _ran(row: Item) -> str | None:
    command = [text for text in codex.items(row.get("command")) if isinstance(text, str)]
    return codex.short(f"ran {command[-1]}") if command else None


def event(thread: Thread, kind: str, base: Base, body: Item) -> list[Event] | None:
    """An `event_msg` that needs nothing but itself; None for one that nobody knows."""
    if kind in _LOUD:
        return [Other(*base, is_alive=True)]
    if kind in _QUIET or kind in _SAID:
        return [Other(*base, said=_SAID.get(kind))]
    handler = _EVENTS.get(kind)
    return handler(thread, base, body) if handler is not None else None


def completed(thread: Thread, base: Base, item: Item) -> list[Event] | None:
    """The item of an `item_completed`; None for one that nobody knows."""
    kind = text_of(item.get("type"))
    if kind in _LOUD_ITEMS:
        return [Other(*base, is_alive=True)]
    handler = _ITEMS.get(kind)
    return handler(thread, base, item) if handler is not None else None


def _applied(thread: Thread, base: Base, body: Item) -> list[Event]:
    values = mapping(body.get("thread_settings"))
    thread.model = optional_text(values.get("model")) or thread.model
    return settings(base, values)


def _titled(thread: Thread, base: Base, body: Item) -> list[Event]:
    del thread
    title = optional_text(body.get("thread_name"))
    return [Facts(*base, {"title": title}) if title else Other(*base)]


def _planned(thread: Thread, base: Base, body: Item) -> list[Event]:
    del thread
    todo = codex.plan(body.get("plan"))
    return [Facts(*base, {"todo": todo}) if todo is not None else Other(*base)]


def _began(thread: Thread, base: Base, body: Item) -> list[Event]:
    del thread
    return [Other(*base, is_alive=True, said=_ran(body))]


def _failed(thread: Thread, base: Base, body: Item) -> list[Event]:
    del thread
    return [failed(base, body)]


def _retried(thread: Thread, base: Base, body: Item) -> list[Event]:
    del thread
    kind, message = _error(body)
    return [Retry(*base, kind, message)]


def _shut(thread: Thread, base: Base, body: Item) -> list[Event]:
    del body
    if thread.agent_id is not None:
        return [Other(*base)]
    return [SessionEnd(*base, "shutdown_complete")]


def _event_activity(thread: Thread, base: Base, body: Item) -> list[Event]:
    return _activity(thread, base, body, optional_text(body.get("event_id")))


def _item_activity(thread: Thread, base: Base, item: Item) -> list[Event]:
    return _activity(thread, base, item, optional_text(item.get("id")))


_Record = Callable[[Thread, Base, Item], list[Event]]

_EVENTS: dict[str, _Record] = {
    "thread_settings_applied": _applied,
    "thread_name_updated": _titled,
    "plan_update": _planned,
    "exec_command_begin": _began,
    "exec_command_end": _summary(codex.command_summary),
    "patch_apply_end": _summary(codex.change_summary),
    "mcp_tool_call_end": _summary(codex.mcp_summary),
    "sub_agent_activity": _event_activity,
    "error": _failed,
    "stream_error": _retried,
    "shutdown_complete": _shut,
}

_ITEMS: dict[str, _Record] = {
    "CommandExecution": _summary(codex.command_summary),
    "FileChange": _summary(codex.change_summary),
    "McpToolCall": _summary(codex.mcp_summary),
    "SubAgentActivity": _item_activity,
    "CollabAgentToolCall": _collab,
}
