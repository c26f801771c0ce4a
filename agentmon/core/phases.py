"""What an agent does now, told by the events themselves (design.md 1).

Streams show what happens while it does; transcripts and rollouts tell it when it is over; hooks
and registries know of tools and of waiting for a person (`notices`).
"""

from agentmon.core import calls
from agentmon.core.calls import NoResult, adopt, block_completed
from agentmon.core.events import AgentSaid, Other, Prompt, Retry, Told, TurnAborted
from agentmon.core.health import BYTE_DUE
from agentmon.core.kinds import KIND_BIT
from agentmon.core.model import Block, Message, Session, Thread
from agentmon.core.notices import BACKGROUND, compacted, noticed, returned, wait_for_tools
from agentmon.core.state import State
from agentmon.core.threads import STILL_STREAMING, heard, mark, set_phase, streams

__all__ = ["adopt", "block_completed", "heard", "mark", "noticed", "set_phase"]

_TRAILING = 1.0
"""Seconds for which bytes may come in after a person has given a turn up."""

ASKS_ON = frozenset({"pause_turn", "max_tokens", "compaction"})
"""Stop reasons after which the client goes on by itself."""

_FINAL_ERRORS = {
    "claude": frozenset(
        {
            "authentication_error",
            "billing_error",
            "invalid_request_error",
            "not_found_error",
            "permission_error",
            "request_too_large",
        }
    ),
    "codex": frozenset(
        {
            "context_length_exceeded",
            "insufficient_quota",
            "invalid_prompt",
            "server_is_overloaded",
            "server_overloaded",
            "slow_down",
            "usage_not_included",
        }
    ),
}
"""Errors after which a client does not ask again (Codex gives up when overloaded, capture.md 4)."""


# -- what a stream shows

_BLOCK_PHASES = {
    "thinking": "thinking",
    "redacted_thinking": "thinking",
    "text": "writing",
    "compaction": "compacting",
}


def phase_of(block_type: str | None) -> str:
    """What an agent does while such a block streams."""
    kind = block_type or "text"
    return "calling" if kind.endswith("tool_use") else _BLOCK_PHASES.get(kind, "writing")


def _kind(message: Message) -> str:
    return message.meta.kind if message.meta is not None else "wire"


def message_started(
    state: State, message: Message, time: float, no_result: NoResult, kind: str = "wire"
) -> None:
    """A request was answered; every call of an earlier message of this thread has returned."""
    thread = message.thread
    if time > thread.last_byte:
        thread.last_byte = time
        mark(state, thread)
    if time > thread.last_start:
        thread.last_start = time
        thread.flow_id = message.flow_id
        mark(state, thread)
        if message.end_time is None:
            set_phase(state, thread, "writing", time, kind=kind)
    calls.returned_unseen(message.session, thread, time, no_result)


def _waits(thread: Thread, message_start: float | None) -> bool:
    """Whether a person is asked about a call of a message that still comes in: its bytes do not
    end that, the next message's do."""
    asked = thread.phase_since if thread.phase == "permission" else None
    return asked is not None and (message_start or 0.0) < asked


def block_started(state: State, thread: Thread, block: Block, time: float) -> None:
    thread.flow_id = block.message.flow_id
    if not _waits(thread, block.message.start_time):
        kind = _kind(block.message)
        set_phase(state, thread, phase_of(block.block_type), time, block.tool_name, kind)


def on_byte(state: State, thread: Thread, block_type: str | None, time: float) -> None:
    """Bytes of a newer message after a permission wait: it is over."""
    if not _waits(thread, thread.last_start):
        set_phase(state, thread, phase_of(block_type), time)


def message_ended(state: State, message: Message, time: float) -> None:
    """After a message: its tools run, or the turn is over, or the client asks on."""
    session, thread = message.session, message.thread
    if message.flow_id != thread.flow_id or message.is_broken:
        return
    if _waits(thread, message.start_time) and calls.calls_of(session, thread):
        return
    _after_message(state, message, message.stop_reason, time, _kind(message))


def _after_message(
    state: State, message: Message, stop_reason: str | None, time: float, kind: str
) -> None:
    session, thread = message.session, message.thread
    if calls.calls_of(session, thread):
        wait_for_tools(state, session, thread, time, kind)
    elif stop_reason == "tool_use" and session.kinds != KIND_BIT["sse"]:
        set_phase(state, thread, "tool", time, kind=kind)
    elif stop_reason in ASKS_ON:
        set_phase(state, thread, "prompting", time, kind=kind)
    else:
        set_phase(state, thread, "idle", time, kind=kind)


def error_words(error_type: str) -> str:
    """ "overloaded" of "overloaded_error"."""
    return error_type.removesuffix("_error").replace("_", " ")


def failed(
    state: State, thread: Thread, error_type: str, time: float, agent: str = "claude"
) -> None:
    """A stream ended in an error: the client asks again, or gives the turn up."""
    heard(state, thread, time)
    is_final = error_type in _FINAL_ERRORS.get(agent, ())
    words = error_words(error_type)
    if is_final:
        set_phase(state, thread, "idle", time, f"failed: {words}")
    else:
        set_phase(state, thread, "retrying", time, words)


# -- prompts and results, from any source


def prompted(state: State, thread: Thread, time: float, event: Prompt | None = None) -> None:
    """A prompt was sent; one typed while bytes came or tools ran is queued and changes nothing."""
    kind = event.meta.kind if event is not None else "wire"
    session = state.sessions.get(thread.sid)
    runs = thread.phase in BYTE_DUE or thread.phase == "tool"
    is_queued = runs and thread.last_byte >= time - STILL_STREAMING
    if event is not None and not streams(thread, kind) and session is not None:
        is_queued = is_queued or event.is_queued or bool(calls.calls_of(session, thread))
    if not is_queued:
        set_phase(state, thread, "prompting", time, kind=kind)
    heard(state, thread, time, kind)


def result_came(
    state: State,
    session: Session,
    thread: Thread,
    tool_use_id: str,
    time: float,
    kind: str = "wire",
) -> None:
    """When the last result is in, it goes out with the next request."""
    call = session.calls.pop(tool_use_id, None)
    heard(state, thread, time, kind)
    returned(state, session, thread, call.tool_name if call is not None else None, time, kind)


# -- messages told when they are over


def told(
    state: State,
    message: Message,
    event: Told,
    time: float,
    *,
    is_new: bool = True,
    no_result: NoResult,
) -> None:
    """Blocks of a message that is over, or whose next block nobody will see before it is."""
    thread, session, kind = message.thread, message.session, event.meta.kind
    heard(state, thread, time, kind)
    if message.is_started and time <= thread.last_byte + STILL_STREAMING:
        return  # its stream tells it better
    start = message.start_time or time
    if start > thread.last_start:
        thread.last_start, thread.flow_id = start, message.flow_id
        mark(state, thread)
        if thread.phase == "idle":  # it was at work since
            set_phase(state, thread, "prompting", start, kind=kind)
        calls.returned_unseen(session, thread, start, no_result)
    if message.flow_id != thread.flow_id:
        return
    stop = event.stop_reason or message.told_stop
    results = [b.result_time for b in message.blocks.values() if b.result_time is not None]
    if event.error is not None:
        set_phase(state, thread, "idle", time, "failed", kind)
    elif calls.calls_of(session, thread):
        if thread.phase in BYTE_DUE and not streams(thread, thread.phase_kind):
            # told after a newer result of another call: it runs all the same
            time = max(time, thread.phase_since or time)
        wait_for_tools(state, session, thread, time, kind)
    elif results:
        set_phase(state, thread, "prompting", max(time, *results), kind=kind)
    elif stop is not None or event.is_done:
        _after_message(state, message, stop, time, kind)
    elif thread.agent_id == "side":
        # nobody's turn, such as a warm-up run: old versions never say that it is over
        set_phase(state, thread, "idle", time, kind=kind)
    elif is_new and event.blocks:
        is_thought = phase_of(event.blocks[-1].block_type) == "thinking"
        set_phase(state, thread, "thinking" if is_thought else "writing", time, kind=kind)


def retried(state: State, thread: Thread, event: Retry, time: float) -> None:
    """The client says that it will ask again, and perhaps when."""
    kind = event.meta.kind
    heard(state, thread, time, kind)
    detail = error_words(event.error_type)
    if event.delay is not None:
        detail += f", again in {event.delay:.0f} s" if event.delay >= 1 else ", again at once"
    if event.attempt is not None:
        of = f"/{event.max_attempts}" if event.max_attempts is not None else ""
        detail += f" ({event.attempt}{of})"
    if set_phase(state, thread, "retrying", time, detail, kind) and event.delay is not None:
        thread.due_at = time + event.delay


# -- what the client, its hooks and its registry say


def session_started(
    state: State, thread: Thread, source: str, time: float, kind: str = "wire"
) -> None:
    """A process began or took a session up again: whatever ran before does not."""
    heard(state, thread, time, kind)
    if source == "compact" and thread.phase == "compacting":
        compacted(state, thread, time, kind)
    elif source in ("compact", "resume") or thread.phase in ("ended", "idle", "compacting"):
        set_phase(state, thread, "idle", time, kind=kind)


def session_ended(
    state: State, session: Session, time: float, no_result: NoResult, kind: str = "wire"
) -> None:
    for thread in session.threads.values():
        set_phase(state, thread, "ended", time, kind=kind)
    over = [call.tool_use_id for call in session.calls.values() if call.called_at <= time]
    calls.end_calls(session, over, time, no_result)


def turn_stopped(
    state: State,
    session: Session,
    thread: Thread,
    background: list[str],
    time: float,
    no_result: NoResult,
    kind: str = "wire",
) -> None:
    """The main turn is over; subagents in the background go on with their own calls."""
    detail = f"{len(background)} {BACKGROUND}" if background else None
    set_phase(state, thread, "idle", time, detail, kind)
    heard(state, thread, time, kind)
    calls.end_calls_before(session, thread, time, no_result)


def agent_stopped(state: State, thread: Thread, time: float, kind: str = "wire") -> None:
    """A subagent's turn is over."""
    heard(state, thread, time, kind)
    set_phase(state, thread, "idle", time, kind=kind)


def agent_said(state: State, thread: Thread, event: AgentSaid, time: float) -> None:
    """A subagent that runs or is over; bytes of it that are newer say better."""
    kind = event.meta.kind
    if event.status == "running" and thread.phase_since is None:
        set_phase(state, thread, "prompting", time, kind=kind)
    elif event.status in ("completed", "failed", "stopped"):
        detail = event.status if event.status != "completed" else None
        set_phase(state, thread, "idle", time, detail, kind)


def aborted(
    state: State,
    session: Session,
    thread: Thread,
    time: float,
    no_result: NoResult,
    event: TurnAborted | None = None,
) -> None:
    """A person gave the turn up, and with it the subagents that it waited for."""
    kind = event.meta.kind if event is not None else "wire"
    reason = (event.reason if event is not None else None) or "interrupted"
    heard(state, thread, time, kind)
    waited_for = {call.tool_use_id for call in calls.calls_of(session, thread)}
    given_up = [t for t in session.threads.values() if t.parent_tool_use_id in waited_for]
    for each in [thread, *given_up]:
        last = each.last_byte
        at = last if time < last <= time + _TRAILING else time
        phase = "prompting" if reason == "replaced" and each is thread else "idle"
        set_phase(state, each, phase, at, reason, kind)
        calls.end_calls_before(session, each, at, no_result)


def alive(state: State, thread: Thread, time: float, event: Other | None = None) -> None:
    """The agent works. That a request went out is known where nobody shows its bytes."""
    kind = event.meta.kind if event is not None else "wire"
    heard(state, thread, time, kind)
    asks = event is not None and "request" in (event.said or "")
    if asks and thread.phase in ("idle", "retrying"):
        set_phase(state, thread, "prompting", time, kind=kind)
