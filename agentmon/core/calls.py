"""Pending tool calls: which there are, whose they are, and when they must have returned."""

from collections.abc import Callable, Iterable

from agentmon.core.kinds import KIND_BIT
from agentmon.core.model import Block, Call, Session, Thread

NoResult = Callable[[str, float], None]
"""Told of a call that has returned at that time though its result was not seen (yet)."""

_SPAWNING = frozenset({"Agent", "Task"})
"""Tools whose call runs a subagent (formats.md A.3.8)."""

_ASKING = frozenset({"AskUserQuestion", "ExitPlanMode", "request_user_input"})
"""Tools that wait for a person by their nature, whatever else is said."""


def calls_of(session: Session, thread: Thread) -> list[Call]:
    return [call for call in session.calls.values() if call.agent_id == thread.agent_id]


def running(session: Session, thread: Thread) -> str | None:
    """The names of the tools that run."""
    return ", ".join(call.tool_name or "tool" for call in calls_of(session, thread)) or None


def asks_a_person(tool_name: str | None) -> bool:
    """Whether a tool is a question."""
    return tool_name in _ASKING


def asked_of_a_person(session: Session, thread: Thread) -> str | None:
    """The name of a pending tool that is a question."""
    names = (call.tool_name for call in calls_of(session, thread))
    return next((name for name in names if name in _ASKING), None)


def adopt(session: Session, thread: Thread) -> None:
    """A new subagent belongs to the oldest pending call that spawns one and has none yet: they
    start in the order in which they were asked for."""
    if not thread.agent_id or thread.agent_id == "side":
        return
    taken = {other.parent_tool_use_id for other in session.threads.values()}
    free = [
        call
        for call in session.calls.values()
        if call.tool_name in _SPAWNING and call.tool_use_id not in taken
    ]
    if free:
        thread.parent_tool_use_id = min(free, key=lambda call: call.called_at).tool_use_id


def returned_unseen(session: Session, thread: Thread, time: float, no_result: NoResult) -> None:
    """Results go into the next request, so a later message is evidence (formats.md A.4).

    Where no agent ids are written, a message that starts while a subagent may run could be the
    subagent's: then it is evidence only for calls made inside that subagent's time.
    """
    mine = calls_of(session, thread)
    spawning = [call for call in mine if call.tool_name in _SPAWNING]
    if len(spawning) > 1:
        return
    floor = spawning[0].message_start if spawning else float("-inf")
    over = [call.tool_use_id for call in mine if floor < call.message_start < time]
    end_calls(session, over, time, no_result)


def end_calls(
    session: Session, tool_use_ids: Iterable[str], time: float, no_result: NoResult
) -> None:
    for tool_use_id in tool_use_ids:
        del session.calls[tool_use_id]
        no_result(tool_use_id, time)


def end_calls_before(session: Session, thread: Thread, time: float, no_result: NoResult) -> None:
    """The turn was over at that time, and so were its calls."""
    mine = calls_of(session, thread)
    over = [call.tool_use_id for call in mine if call.called_at <= time]
    end_calls(session, over, time, no_result)


def block_completed(block: Block, no_result: NoResult) -> None:
    """A finished tool_use block is a call: pending until its result, or evidence of it."""
    message = block.message
    session, thread = message.session, message.thread
    call_id, called = block.tool_use_id, block.complete_time
    if block.block_type != "tool_use" or call_id is None:
        return
    if called is None:
        session.calls.pop(call_id, None)
        return
    if block.result_time is not None or block.no_result_at is not None:
        return
    if session.kinds == KIND_BIT["sse"]:
        no_result(call_id, called)  # a raw capture of the API never has what the client answers
        return
    start = message.start_time or called
    session.calls[call_id] = Call(
        call_id,
        block.tool_name,
        thread.agent_id,
        message.round_id,
        message.flow_id,
        block.index,
        called,
        start,
    )
    if thread.last_start > start:
        returned_unseen(session, thread, thread.last_start, no_result)
