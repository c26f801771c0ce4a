"""What hooks and registries say: tools, waiting for a person, compaction, subagents.

A permission wait ends by the result of what was asked about, a later byte, the hook after the
tool, a denial, or a registry that is busy or idle again.
"""

from typing import Any

import msgspec

from agentmon.core import calls
from agentmon.core.calls import NoResult
from agentmon.core.events import Notice
from agentmon.core.model import Session, Thread
from agentmon.core.state import State
from agentmon.core.threads import STILL_STREAMING, heard, mark, set_phase, streams

_WAITS = frozenset({"permission_prompt", "agent_needs_input", "elicitation_dialog"})
_RETURNS = frozenset({"post_tool_use", "post_tool_use_failure", "permission_denied"})
_STREAMING = frozenset({"thinking", "writing", "calling"})
_ASKABLE = _STREAMING | {"tool"}

BACKGROUND = "in the background"
"""How the detail of an idle agent ends whose tasks go on."""

_LEAVING = 1.0
"""Seconds after its end for which a session's process may still change its status."""


def noticed(
    state: State,
    session: Session,
    thread: Thread,
    event: Notice,
    time: float,
    no_result: NoResult,
) -> None:
    """A hook ran, a registry's status changed, a person was asked."""
    name, kind = event.name, event.meta.kind
    if not streams(thread, kind):  # it is no byte of the API
        heard(state, thread, time, kind)
    waits = name in ("permission_request", "elicitation") or (
        name == "notification" and event.kind in _WAITS
    )
    if name == "status":
        _status(state, session, thread, event, time, no_result)
    elif waits and thread.phase not in ("idle", "ended"):
        asked = _said(event, "tool_name") or calls.running(session, thread)
        _ask(state, thread, time, asked or thread.phase_detail, kind)
    elif name == "pre_tool_use":
        _tool_begins(state, session, thread, event, time)
    elif name in _RETURNS:
        _tool_returns(state, session, thread, event, time, no_result)
    elif name == "pre_compact":
        set_phase(state, thread, "compacting", time, _said(event, "trigger"), kind)
    elif name in ("post_compact", "compact_boundary") and thread.phase == "compacting":
        compacted(state, thread, time, kind)
    elif name == "subagent_stop" and thread.agent_id not in ("", "side"):
        set_phase(state, thread, "idle", time, kind=kind)


def _said(event: Notice, name: str) -> str | None:
    """A text field of a hook's payload."""
    try:
        found = msgspec.json.decode(event.data, type=dict[str, Any]).get(name)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, str) and found else None


# -- a registry


def _status(
    state: State,
    session: Session,
    thread: Thread,
    event: Notice,
    time: float,
    no_result: NoResult,
) -> None:
    """idle, busy or waiting, told by its own time; gone: the process names the session no more."""
    if time < thread.status_time:
        return
    thread.status_time = time
    mark(state, thread)
    kind, phase, since = event.meta.kind, thread.phase, thread.phase_since or 0.0
    if phase == "ended" and time < since + _LEAVING:
        return
    match event.kind:
        case "waiting":
            asked = thread.phase_detail if phase == "permission" else event.text
            _ask(state, thread, time, asked, kind)
        case "idle":
            if phase == "idle" and (thread.phase_detail or "").endswith(BACKGROUND):
                thread.phase_detail = None  # it is busy for as long as anything goes on there
            if phase == "idle" or set_phase(state, thread, "idle", time, kind=kind):
                calls.end_calls_before(session, thread, time, no_result)
        case "busy" if phase == "permission" and calls.calls_of(session, thread):
            names = calls.running(session, thread)
            set_phase(state, thread, "tool", time, names, kind)
        case "busy" if phase in ("idle", "ended", "permission"):
            set_phase(state, thread, "prompting", time, kind=kind)
        case "requesting" if phase in ("idle", "retrying", "compacting"):
            set_phase(state, thread, "prompting", time, kind=kind)
        case "compacting":
            set_phase(state, thread, "compacting", time, kind=kind)
        case "gone":
            set_phase(state, thread, "ended", time, kind=kind)
            calls.end_calls_before(session, thread, time, no_result)
        case _:
            return


# -- waiting for a person


def _ask(state: State, thread: Thread, time: float, detail: str | None, kind: str) -> None:
    """A person is asked. That is told late, or while the message with the call still comes in: it
    holds then from the last that is known, unless a newer message shows that it is over."""
    if thread.phase in _ASKABLE and thread.last_start <= time:
        time = max(time, thread.last_byte, thread.phase_since or time)
    set_phase(state, thread, "permission", time, detail, kind)


# -- tools


def wait_for_tools(state: State, session: Session, thread: Thread, time: float, kind: str) -> None:
    """Calls are pending: they run, or one of them is a question to a person."""
    question = calls.asked_of_a_person(session, thread)
    if question is not None:
        set_phase(state, thread, "permission", time, question, kind)
    else:
        set_phase(state, thread, "tool", time, calls.running(session, thread), kind)


def returned(
    state: State, session: Session, thread: Thread, name: str | None, time: float, kind: str
) -> None:
    if thread.phase not in ("tool", "permission"):
        return
    if not calls.calls_of(session, thread):
        set_phase(state, thread, "prompting", time, kind=kind)
    elif thread.phase == "tool" or name in (thread.phase_detail or "").split(", "):
        # what a person is asked about is not settled by another tool's result
        wait_for_tools(state, session, thread, time, kind)


def _tool_begins(
    state: State, session: Session, thread: Thread, event: Notice, time: float
) -> None:
    """A tool is about to run. While the message that called it goes on, its stream says more."""
    kind = event.meta.kind
    is_shown = streams(thread, thread.phase_kind) and thread.phase in _STREAMING
    if thread.phase == "permission" or (is_shown and thread.last_byte >= time - STILL_STREAMING):
        return
    if calls.calls_of(session, thread):
        wait_for_tools(state, session, thread, time, kind)
        return
    name = _said(event, "tool_name")
    phase = "permission" if calls.asks_a_person(name) else "tool"
    set_phase(state, thread, phase, time, name, kind)


def _tool_returns(
    state: State,
    session: Session,
    thread: Thread,
    event: Notice,
    time: float,
    no_result: NoResult,
) -> None:
    """A tool is over; its result comes later, with the next request."""
    call = session.calls.pop(event.tool_use_id or "", None)
    name = _said(event, "tool_name")
    if call is not None:
        no_result(call.tool_use_id, time)
        name = call.tool_name
        thread = session.threads.get(call.agent_id, thread)
    returned(state, session, thread, name, time, event.meta.kind)


# -- compaction


def compacted(state: State, thread: Thread, time: float, kind: str) -> None:
    """A compaction that nobody asked for came in the middle of a turn, which goes on."""
    phase = "prompting" if thread.phase_detail == "auto" else "idle"
    set_phase(state, thread, phase, time, kind=kind)
