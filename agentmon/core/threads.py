"""A thread of a session: since when it is at what, and when it was last heard of.

A phase never steps back in payload time, so lines that arrive late do not make it flicker. What a
stream shows goes before what other sources tell: those count only where they are newer than its
last byte (capture.md 4 says what each source can see).
"""

from agentmon.core.model import Thread
from agentmon.core.state import State

_STREAMS = frozenset({"wire", "sse"})
"""Kinds of sources that show bytes as they come. A stream-json does once it has shown some."""

STILL_STREAMING = 2.0
"""Seconds: what other sources tell this close behind a byte says nothing of the stream's state; a
prompt so close behind one was queued."""


def mark(state: State, thread: Thread) -> None:
    if not thread.is_dirty:
        thread.is_dirty = True
        state.changes.threads.append(thread)


def streams(thread: Thread, kind: str) -> bool:
    """Whether a kind of source shows the bytes of a thread as they come."""
    return kind in _STREAMS or (kind == "stream" and thread.last_byte > 0)


def set_phase(
    state: State,
    thread: Thread,
    phase: str,
    time: float,
    detail: str | None = None,
    kind: str = "wire",
) -> bool:
    """False where something newer is known. The same phase told again keeps its beginning, and its
    detail where none is told."""
    since = thread.phase_since
    if since is not None and time < since:
        return False
    is_shown = streams(thread, kind)
    if not is_shown and time < thread.last_byte:
        return False
    if thread.phase != phase or since is None:
        thread.phase_since, thread.phase_kind = time, kind
        thread.phase_detail, thread.due_at = detail, None
    elif is_shown or detail is not None:
        thread.phase_detail = detail
    thread.phase = phase
    mark(state, thread)
    return True


def heard(state: State, thread: Thread, time: float, kind: str = "wire") -> None:
    """A sign of life: a byte, or a source that tells things when they are over."""
    if streams(thread, kind):
        if time > thread.last_byte:
            thread.last_byte = time
            mark(state, thread)
    elif time > thread.last_told:
        thread.last_told = time
        mark(state, thread)
