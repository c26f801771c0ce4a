"""What each record of a Claude Code transcript means: events, by record type (formats.md C).

Every reader takes the line at hand and adds to its events and facts; `read` picks the reader.
"""

from collections.abc import Callable

from agentmon.core.events import Notice
from agentmon.sources import transcript_records as records
from agentmon.sources import transcript_turns as turns
from agentmon.sources.decoding import mapping
from agentmon.sources.payloads import compact
from agentmon.sources.transcript_memory import AI_TITLE, CUSTOM_TITLE, Row
from agentmon.sources.transcript_records import number_field, text_field
from agentmon.sources.transcript_tasks import notified

_QUIET = frozenset(
    {
        "agent-color",
        "agent-name",
        "agent-setting",
        "api-request-blob",
        "api-request-shape",
        "atis-latch",
        "bridge-session",
        "content-replacement",
        "continued-in",
        "file-history-delta",
        "file-history-snapshot",
        "fork-context-ref",
        "frame-link",
        "last-prompt",
        "mode",
        "model_changed",
        "pr-link",
        "relocated",
        "tag",
        "tools-used",
        "worktree-state",
    }
)
"""Records of book-keeping that change nothing (formats.md C.6, capture.md 2)."""

_WORKING_HOOKS = ("PreToolUse", "PostToolUse", "UserPromptSubmit")
"""Hooks that run inside a turn only."""


def read(row: Row, kind: str) -> bool:
    """Adds the events of a record; False if its type is not known."""
    reader = _READERS.get(kind)
    if reader is not None:
        return reader(row)
    if kind in _QUIET or kind.startswith("artifact-"):
        row.other(kind)
        return True
    return False


def _attachment(row: Row) -> bool:
    attachment = mapping(row.record.get("attachment"))
    kind = text_field(attachment, "type") or "attachment"
    if kind == "queued_command":
        text = records.plain_text(attachment.get("prompt")) or ""
        row.dequeue(text)
        if not notified(row, text):
            data = compact(attachment)
            row.events.append(Notice(*row.base, "queue_operation", data, None, text, kind))
    elif kind == "task_status" and attachment.get("taskType") == "local_agent" and row.is_turn:
        task = text_field(attachment, "taskId")
        status = records.AGENT_STATUS.get(text_field(attachment, "status") or "")
        if task is not None:
            row.say_agent(task, description=text_field(attachment, "description"), status=status)
    if not row.events:
        row.other(kind)
    return True


def _progress(row: Row) -> bool:
    """`agent_progress` repeats the subagent's own records, but tells which call started it."""
    data = mapping(row.record.get("data"))
    kind = text_field(data, "type") or "progress"
    agent_id = text_field(data, "agentId")
    is_news = agent_id is not None and agent_id not in row.known.agents
    if kind == "agent_progress" and agent_id is not None and is_news and row.is_turn:
        parent = text_field(row.record, "parentToolUseID")
        about = records.first_line(text_field(data, "prompt") or "") or None
        row.say_agent(agent_id, parent=parent, description=about)
    hook = text_field(data, "hookEvent") or ""
    row.other(kind, is_alive=kind != "hook_progress" or hook.startswith(_WORKING_HOOKS))
    return True


def _api_request(row: Row) -> bool:
    row.other("api-request", is_alive=True)
    return True


def _queue_operation(row: Row) -> bool:
    record = row.record
    operation = text_field(record, "operation")
    text = records.plain_text(record.get("content"))
    is_task = notified(row, text or "")
    if operation == "enqueue":
        row.enqueue(text or "", is_prompt=not is_task)
    elif operation == "popAll":
        row.dequeue_all()
    elif operation is not None:
        row.dequeue(text)
    row.events.append(Notice(*row.base, "queue_operation", compact(record), None, text, operation))
    return True


def _summary(row: Row) -> bool:
    """A title, perhaps of another session: it is of the one that has the record it names."""
    title, leaf = text_field(row.record, "summary"), text_field(row.record, "leafUuid")
    if title is not None and leaf is not None:
        row.summary(leaf, title, is_ours=text_field(row.record, "sessionId") is not None)
    row.other("summary")
    return True


def _custom_title(row: Row) -> bool:
    row.say_title(text_field(row.record, "customTitle"), CUSTOM_TITLE)
    return True


def _ai_title(row: Row) -> bool:
    row.say_title(text_field(row.record, "aiTitle"), AI_TITLE)
    return True


def _permission_mode(row: Row) -> bool:
    row.say_text("permission_mode", row.record.get("permissionMode"))
    return True


def _cost_state(row: Row) -> bool:
    cost = number_field(row.record, "totalCostUSD")
    if cost is not None:
        row.say("cost_usd", cost)
    return True


_READERS: dict[str, Callable[[Row], bool]] = {
    "user": turns.user,
    "assistant": turns.assistant,
    "system": turns.system,
    "attachment": _attachment,
    "progress": _progress,
    "api-request": _api_request,
    "queue-operation": _queue_operation,
    "summary": _summary,
    "custom-title": _custom_title,
    "ai-title": _ai_title,
    "permission-mode": _permission_mode,
    "cost-state": _cost_state,
}

CHAINED = frozenset({"user", "assistant", "system", "attachment", "progress"})
"""Records of the conversation: they name their session (formats.md C.2)."""

KNOWN = frozenset({*_READERS, *_QUIET})
"""All record types that this version knows."""
