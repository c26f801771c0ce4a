"""What a transcript tells of background tasks: subagents and commands that outlive their call."""

from agentmon.sources import transcript_records as records
from agentmon.sources.decoding import Record, mapping
from agentmon.sources.transcript_memory import Row
from agentmon.sources.transcript_records import text_field

_SPAWNING = frozenset({"Agent", "Task"})
"""Tools whose call runs a subagent (formats.md C.8)."""


def read_call(row: Row, tool_use_id: str, name: str | None, given: Record) -> None:
    """What the input of a tool call tells besides: a subagent asked for, to-dos."""
    if name in _SPAWNING:
        kind, about = text_field(given, "subagent_type"), text_field(given, "description")
        row.spawned(tool_use_id, kind, about)
    elif name == "TodoWrite":
        todos = records.todo_list(given.get("todos"))
        if todos is not None:
            row.say("todo", todos)


def read_outcome(row: Row, outcome: Record, parent: str | None) -> None:
    """The structured result of a tool: subagents, background tasks, to-dos."""
    todos = records.todo_list(outcome.get("newTodos"))
    if todos is not None:
        row.say("todo", todos)
    if not row.is_turn:
        return
    agent_id = text_field(outcome, "agentId")
    if agent_id is not None:
        status = records.AGENT_STATUS.get(text_field(outcome, "status") or "")
        if status is None and outcome.get("isAsync") is True:
            status = "running"
        row.say_agent(
            agent_id,
            parent=parent,
            kind=text_field(outcome, "agentType"),
            description=text_field(outcome, "description"),
            status=status,
        )
        if status == "running":
            row.started(agent_id, is_agent=True)
        elif status is not None:
            row.ended(agent_id)
    background = text_field(outcome, "backgroundTaskId")
    if background is not None:
        row.started(background, is_agent=False)
    if text_field(outcome, "message") is not None:
        row.ended(text_field(outcome, "task_id"))
        row.ended(text_field(outcome, "shell_id"))
    task = mapping(outcome.get("task"))
    task_id, how = text_field(task, "task_id"), text_field(task, "status")
    if task_id is not None and how is not None and how != "running":
        _task_ended(row, task_id, None, how)


def _task_ended(row: Row, task_id: str, parent: str | None, status: str | None) -> None:
    known = row.known
    if known.running.get(task_id) or task_id in known.agents:
        row.say_agent(task_id, parent=parent, status=records.AGENT_STATUS.get(status or ""))
    row.ended(task_id)


def notified(row: Row, text: str) -> bool:
    """Whether a text is the news of a background task that stopped."""
    found = records.read_notification(text)
    if found is None:
        return False
    if row.is_turn:
        _task_ended(row, found.task_id, found.tool_use_id, found.status)
    return True
