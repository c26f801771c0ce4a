"""What the client tells of itself in stream-json: its `system` records and a few beside them
(formats.md E.1, E.2).
"""

from collections.abc import Callable

from agentmon.core.events import AgentSaid, Event, Facts, Notice, Other, Retry, SessionStart
from agentmon.sources.decoding import Record, mapping
from agentmon.sources.payloads import Base, compact, optional_text
from agentmon.sources.stream_records import Memory, items, number, whole_number
from agentmon.sources.transcript_records import AGENT_STATUS

_ALIVE = frozenset(
    {
        "hook_started",
        "hook_progress",
        "hook_response",
        "thinking_tokens",
        "control_request_progress",
        "elicitation_complete",
        "local_command_output",
        "memory_recall",
    }
)
"""They tell that the agent works, and nothing else."""

_QUIET = frozenset(
    {
        "plugin_install",
        "commands_changed",
        "files_persisted",
        "worker_shutting_down",
    }
)

_NOTICES = frozenset(
    {
        "permission_denied",
        "informational",
        "notification",
        "model_refusal_fallback",
        "model_refusal_no_fallback",
        "mirror_error",
        "session_writes_lost",
    }
)
"""What a person may want to read."""

_STATES = {"idle": "idle", "running": "busy", "requires_action": "waiting"}

_TASK_STATUS = {**AGENT_STATUS, "pending": "running", "paused": "running"}

_SOURCES = {"startup": "new"}


def events(memory: Memory, subtype: str, row: Record, base: Base) -> list[Event] | None:
    """The events of one record; None for a subtype that this version does not know."""
    builder = _BUILDERS.get(subtype)
    if builder is not None:
        return builder(memory, row, base)
    if subtype in _NOTICES:
        text = next((t for t in map(row.get, ("message", "content", "text")) if t), None)
        tool_use_id = optional_text(row.get("tool_use_id"))
        return [Notice(*base, subtype, compact(row), tool_use_id, optional_text(text))]
    if subtype in _ALIVE or subtype in _QUIET:
        if subtype == "hook_started":
            _note_source(memory, row)
        said = "control" if subtype.startswith("control") else subtype
        return [Other(*base, is_alive=subtype in _ALIVE, said=said)]
    return None


def _note_source(memory: Memory, row: Record) -> None:
    """Only the name of a hook that runs at the start tells how the session began."""
    name = optional_text(row.get("hook_name")) or ""
    if name.startswith("SessionStart:"):
        source = name.removeprefix("SessionStart:")
        memory.source = _SOURCES.get(source, source)


def _init(memory: Memory, row: Record, base: Base) -> list[Event]:
    """Sent at the beginning of every turn; a session begins with its first."""
    out: list[Event] = []
    if base[0] not in memory.started:
        memory.started = [*memory.started[-15:], base[0]]
        out.append(SessionStart(*base, memory.source))
        memory.source = ""
    values = {
        "model": optional_text(row.get("model")),
        "permission_mode": optional_text(row.get("permissionMode")),
        "effort": optional_text(row.get("effort")),
    }
    said: dict[str, object] = {name: value for name, value in values.items() if value}
    out.append(Facts(*base, said) if said else Other(*base, is_alive=True, said="init"))
    return out


def _status(memory: Memory, row: Record, base: Base) -> list[Event]:
    out: list[Event] = []
    status, mode = row.get("status"), optional_text(row.get("permissionMode"))
    if mode:
        out.append(Facts(*base, {"permission_mode": mode}))
    if status == "compacting":
        out.append(Notice(*base, "pre_compact", compact(row)))
    elif "compact_result" in row or "compact_error" in row:
        error = optional_text(row.get("compact_error"))
        out.append(Notice(*base, "post_compact", compact(row), None, error))
    else:
        out.append(Other(*base, is_alive=status is not None, said=optional_text(status)))
    return out


def _compact_boundary(memory: Memory, row: Record, base: Base) -> list[Event]:
    memory.compactions += 1
    values: dict[str, object] = {"compactions": memory.compactions}
    left = whole_number(mapping(row.get("compact_metadata")).get("post_tokens"))
    if left is not None:
        values["context_tokens"] = left
    trigger = optional_text(mapping(row.get("compact_metadata")).get("trigger"))
    return [Facts(*base, values), Notice(*base, "compact_boundary", compact(row), kind=trigger)]


def _api_retry(memory: Memory, row: Record, base: Base) -> list[Event]:
    delay, status = number(row.get("retry_delay_ms")), whole_number(row.get("error_status"))
    error = optional_text(row.get("error")) or "unknown"
    message = "" if status is None else f"HTTP {status}"
    seconds = None if delay is None else max(0.0, delay / 1000)
    tries = whole_number(row.get("attempt")), whole_number(row.get("max_retries"))
    return [Retry(*base, error, message, seconds, *tries)]


def _state_changed(memory: Memory, row: Record, base: Base) -> list[Event] | None:
    kind = _STATES.get(str(row.get("state")))
    return None if kind is None else [Notice(*base, "status", compact(row), kind=kind)]


def _agent_task(memory: Memory, row: Record) -> str | None:
    """The task's id if the task is a subagent, which goes by that id everywhere."""
    task_id = optional_text(row.get("task_id"))
    is_agent = row.get("task_type") == "local_agent" or bool(row.get("subagent_type"))
    return task_id if is_agent or task_id in memory.agents.values() else None


def _task(memory: Memory, row: Record, base: Base) -> list[Event]:
    """Of a subagent: who it is and whether it runs. Other tasks are commands in the background."""
    agent_id = _agent_task(memory, row)
    patch = mapping(row.get("patch"))
    status = _TASK_STATUS.get(str(row.get("status") or patch.get("status")))
    if agent_id is None:
        said = f"task {status}" if status else "task"
        return [Other(*base, is_alive=True, said=said)]
    parent = optional_text(row.get("tool_use_id")) or None
    memory.agent_of(parent, agent_id)
    is_start = row.get("subtype") == "task_started"
    return [
        AgentSaid(
            *base,
            agent_id,
            parent,
            optional_text(row.get("subagent_type")),
            optional_text(row.get("description")) if is_start else None,
            "running" if is_start else status,
        )
    ]


def _background(memory: Memory, row: Record, base: Base) -> list[Event]:
    ids = [mapping(task).get("task_id") for task in items(row.get("tasks"))]
    memory.background = [task_id for task_id in ids if isinstance(task_id, str)][:100]
    return [Other(*base, said=f"{len(ids)} in the background")]


_BUILDERS: dict[str, Callable[[Memory, Record, Base], list[Event] | None]] = {
    "init": _init,
    "status": _status,
    "compact_boundary": _compact_boundary,
    "api_retry": _api_retry,
    "session_state_changed": _state_changed,
    "task_started": _task,
    "task_progress": _task,
    "task_updated": _task,
    "task_notification": _task,
    "background_tasks_changed": _background,
}


def rate_limit(row: Record, base: Base) -> list[Event]:
    return [Facts(*base, {"rate_limit": mapping(row.get("rate_limit_info")) or None})]


def tool_progress(row: Record, base: Base) -> list[Event]:
    tool = optional_text(row.get("tool_name"))
    return [Other(*base, is_alive=True, said=f"tool_progress {tool}" if tool else "tool_progress")]


def control_request(row: Record, base: Base) -> list[Event]:
    """`can_use_tool` waits for a person; every other one is between client and host."""
    request = mapping(row.get("request"))
    if request.get("subtype") != "can_use_tool":
        return [Other(*base, said="control")]
    return [
        Notice(
            *base,
            "permission_request",
            compact(request),
            optional_text(request.get("tool_use_id")),
            optional_text(request.get("tool_name")),
        )
    ]
