"""What agents are in, remembered while it cannot change much: most of a board is over for long.

Of each line the glyph, the words and the age were worked out anew every second, only to find that
they read as before: a third of what a screen costs that nothing happens on.
"""

from msgspec import Struct

from agentmon.core.health import Limits
from agentmon.report import render
from agentmon.report.board import Thread
from agentmon.report.render import State

STILL_AFTER = 3600.0
"""Seconds without a sign of life after which an agent with no call under way is still: its age is
told in hours."""

GOOD_FOR = 10.0
"""Seconds after which the state of a still agent is looked at again: a limit may be longer."""

_MOST = 2_000


class _Known(Struct):
    thread: Thread
    limits: Limits
    state: State
    since: float
    until: float
    """It is good before; and at `since`, since a picture asks for each state several times."""


class States:
    """The states of threads; that of a still one stays the same object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, bool], _Known] = {}

    def of(self, thread: Thread, now: float, limits: Limits, *, ascii: bool = False) -> State:
        """As `render.state`; of a still thread, as of some seconds ago."""
        key = thread.row.sid, thread.row.agent_id, ascii
        known = self._known.get(key)
        if (
            known is not None
            and known.thread is thread
            and (now == known.since or known.since < now < known.until)
            and known.limits == limits
        ):
            return known.state
        if len(self._known) >= _MOST:
            self._known.clear()
        state = render.state(thread, now, limits, ascii=ascii)
        until = now + GOOD_FOR if _is_still(thread, now) else now
        self._known[key] = _Known(thread, limits, state, now, until)
        return state


def _is_still(thread: Thread, now: float) -> bool:
    last = render.heard(thread)
    return not thread.pending and last is not None and now - last >= STILL_AFTER
