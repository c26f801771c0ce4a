"""What an agent does now, told by the events themselves; and which calls are pending.

A phase never steps back in payload time, so lines that arrive late do not make it flicker.
"""

from collections.abc import Callable

from agentmon.core.events import Notice
from agentmon.core.health import BYTE_DUE
from agentmon.core.model import Block, Call, Message, Session, Thread
from agentmon.core.state import State

NoResult = Callable[[str, float], None]

_SPAWNING = frozenset({"Agent", "Task"})
"""Tools whose call runs a subagent (formats.md A.3.8)."""

_STILL_STREAMING = 2.0
"""Seconds: a prompt that comes this close behind a byte was queued and interrupts nothing."""


def mark(state: State, thread: Thread) -> None:
    if not thread.is_dirty:
        thread.is_dirty = True
        state.changes.threads.append(thread)


def adopt(session: Session, thread: Thread) -> None:
    """A new subagent belongs to the newest pending call that spawns one and has none yet."""
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


def set_phase(
    state: State, thread: Thread, phase: str, time: float, detail: str | None = None
) -> None:
    if thread.phase_since is not None and time < thread.phase_since:
        return
    if thread.phase != phase or thread.phase_since is None:
        thread.phase_since = time
    thread.phase, thread.phase_detail = phase, detail
    mark(state, thread)


def heard(state: State, thread: Thread, time: float) -> None:
    if time > thread.last_byte:
        thread.last_byte = time
        mark(state, thread)


def prompted(state: State, thread: Thread, time: float) -> None:
    """A prompt was sent; one typed while bytes came is queued and changes nothing."""
    streams = thread.phase in BYTE_DUE or thread.phase == "tool"
    if not (streams and thread.last_byte >= time - _STILL_STREAMING):
        set_phase(state, thread, "prompting", time)
    heard(state, thread, time)


_BLOCK_PHASES = {
    "thinking": "thinking",
    "redacted_thinking": "thinking",
    "text": "writing",
    "compaction": "compacting",
}


def _phase_of(block_type: str | None) -> str:
    kind = block_type or "text"
    return "calling" if kind.endswith("tool_use") else _BLOCK_PHASES.get(kind, "writing")


def block_started(state: State, thread: Thread, block: Block, time: float) -> None:
    thread.flow_id = block.message.flow_id
    set_phase(state, thread, _phase_of(block.block_type), time, block.tool_name)


def on_byte(state: State, thread: Thread, block_type: str | None, time: float) -> None:
    """Bytes after a permission wait: it is over."""
    set_phase(state, thread, _phase_of(block_type), time)


def message_started(state: State, message: Message, time: float, no_result: NoResult) -> None:
    """A request was answered; every call of an earlier message of this thread has returned."""
    thread, session = message.thread, message.session
    heard(state, thread, time)
    if time > thread.last_start:
        thread.last_start = time
        thread.flow_id = message.flow_id
        mark(state, thread)
        if message.end_time is None:
            set_phase(state, thread, "writing", time)
    _returned_unseen(session, thread, time, no_result)


def _returned_unseen(session: Session, thread: Thread, time: float, no_result: NoResult) -> None:
    """Results go into the next request, so a later message is evidence (formats.md A.4).

    Where no agent ids are written, a message that starts while a subagent may run could be the
    subagent's: then it is evidence only for calls made inside that subagent's time.
    """
    mine = [call for call in session.calls.values() if call.agent_id == thread.agent_id]
    spawning = [call for call in mine if call.tool_name in _SPAWNING]
    if len(spawning) > 1:
        return
    floor = spawning[0].message_start if spawning else float("-inf")
    for call in mine:
        if floor < call.message_start < time:
            del session.calls[call.tool_use_id]
            no_result(call.tool_use_id, time)


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
        _returned_unseen(session, thread, thread.last_start, no_result)


def message_ended(state: State, message: Message, time: float) -> None:
    """After a message: its tools run, or the turn is over, or the client asks on."""
    thread = message.thread
    if message.flow_id != thread.flow_id or message.is_broken:
        return
    if _has_calls(message.session, thread) or message.stop_reason == "tool_use":
        set_phase(state, thread, "tool", time, _running(message.session, thread))
    elif message.stop_reason in ("pause_turn", "max_tokens", "compaction"):
        set_phase(state, thread, "prompting", time)
    else:
        set_phase(state, thread, "idle", time)


def _has_calls(session: Session, thread: Thread) -> bool:
    return any(call.agent_id == thread.agent_id for call in session.calls.values())


def _running(session: Session, thread: Thread) -> str | None:
    names = [
        call.tool_name or "tool"
        for call in session.calls.values()
        if call.agent_id == thread.agent_id
    ]
    return ", ".join(names) or None


def result_came(
    state: State, session: Session, thread: Thread, tool_use_id: str, time: float
) -> None:
    """When the last result is in, it goes out with the next request."""
    session.calls.pop(tool_use_id, None)
    heard(state, thread, time)
    if thread.phase in ("tool", "permission"):
        if _has_calls(session, thread):
            set_phase(state, thread, "tool", time, _running(session, thread))
        else:
            set_phase(state, thread, "prompting", time)


def failed(state: State, thread: Thread, error_type: str, time: float) -> None:
    heard(state, thread, time)
    set_phase(state, thread, "retrying", time, error_type)


def session_started(state: State, thread: Thread, source: str, time: float) -> None:
    """A process began or took a session up again: whatever ran before does not."""
    heard(state, thread, time)
    if source in ("compact", "resume") or thread.phase in ("ended", "idle", "compacting"):
        set_phase(state, thread, "idle", time)


def session_ended(state: State, session: Session, time: float, no_result: NoResult) -> None:
    for thread in session.threads.values():
        set_phase(state, thread, "ended", time)
    for call_id in [c.tool_use_id for c in session.calls.values() if c.called_at <= time]:
        del session.calls[call_id]
        no_result(call_id, time)


def turn_stopped(
    state: State,
    session: Session,
    thread: Thread,
    background: list[str],
    time: float,
    no_result: NoResult,
) -> None:
    """The main turn is over; subagents in the background go on with their own calls."""
    detail = f"{len(background)} in the background" if background else None
    set_phase(state, thread, "idle", time, detail)
    heard(state, thread, time)
    for call in list(session.calls.values()):
        if call.agent_id == thread.agent_id and call.called_at <= time:
            del session.calls[call.tool_use_id]
            no_result(call.tool_use_id, time)


_WAITS = frozenset({"permission_prompt", "agent_needs_input", "elicitation_dialog"})


def noticed(state: State, session: Session, thread: Thread, event: Notice, time: float) -> None:
    """What hooks say of waiting for a person, of compaction, and of subagents that are over."""
    waits = event.name in ("permission_request", "elicitation") or (
        event.name == "notification" and event.kind in _WAITS
    )
    if waits and thread.phase not in ("idle", "ended"):
        names = _running(session, thread)
        set_phase(state, thread, "permission", time, names or thread.phase_detail)
    elif event.name in ("post_tool_use", "post_tool_use_failure", "permission_denied"):
        if thread.phase == "permission":
            set_phase(state, thread, "tool", time, _running(session, thread))
    elif event.name == "pre_compact":
        set_phase(state, thread, "compacting", time)
    elif event.name == "post_compact" or (
        event.name == "subagent_stop" and thread.agent_id not in ("", "side")
    ):
        set_phase(state, thread, "idle", time)
