"""Where trouble is: errors, stalls, waits for a person, and going round them."""

from agentmon.core.health import Limits
from agentmon.report import render
from agentmon.report.board import Board, Thread
from agentmon.report.known import name_of
from agentmon.store.read import PendingRow
from agentmon.ui.sites import Site

STALLS = ("stalled", "overdue", "orphaned")
WORDS = {"error": "error", "stall": "stalled agent", "permission": "agent that waits for you"}
"""What a kind of site is called when there is none."""


def board_sites(board: Board, kind: str, now: float, limits: Limits) -> list[Site]:
    """Threads that are stalled (or worse), or that wait for a person.

    What can still be helped comes first, then the longest.
    """
    sites: list[tuple[int, Site]] = []
    for thread in board.threads:
        shown = render.state(thread, now, limits)
        word = shown.word
        if word in STALLS if kind == "stall" else word == "permission":
            row = thread.row
            since = thread.last if thread.last is not None else (row.phase_since or 0.0)
            note = f"{name_of(thread)}: {shown.label}"
            call = waiting_call(thread, word)
            site = Site(
                kind,
                row.sid,
                row.agent_id,
                since,
                call.round_id if call is not None else None,
                call.flow_id if call is not None else None,
                call.index if call is not None else None,
                note,
                is_live=True,
            )
            sites.append((STALLS.index(word) if word in STALLS else 0, site))
    return [site for _, site in sorted(sites, key=lambda pair: (pair[0], pair[1].time))]


def waiting_call(thread: Thread, word: str) -> PendingRow | None:
    """The call that a thread waits for: the oldest that is overdue, the one a person is asked
    about. A stall is not about a call."""
    calls = sorted(thread.pending, key=lambda call: call.called_at)
    if not calls or word not in ("overdue", "permission"):
        return None
    if word == "overdue":
        return calls[0]
    asked = [call for call in calls if call.tool_name == thread.row.phase_detail]
    return (asked or calls)[-1]


class Tour:
    """Goes round a list of sites; remembers by site, so a list that grew keeps the place."""

    def __init__(self) -> None:
        self._last: dict[str, Site] = {}

    def step(self, kind: str, sites: list[Site], step: int) -> tuple[Site, int] | None:
        """The next (1) or previous (-1) site and its place; the first at first; None: no site."""
        if not sites:
            return None
        places = {_place(site): number for number, site in enumerate(sites)}
        last = self._last.get(kind)
        number = places.get(_place(last)) if last is not None else None
        if number is None:
            number = 0 if step > 0 else len(sites) - 1
        else:
            number = (number + step) % len(sites)
        self._last[kind] = sites[number]
        return sites[number], number


def _place(site: Site) -> tuple[object, ...]:
    return site.sid, site.agent_id, site.flow_id, site.index
