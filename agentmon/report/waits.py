"""Calls for which a person was asked, and until when."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from msgspec import Struct

from agentmon.core.calls import asks_a_person
from agentmon.report.roundtree import SLACK, Asking
from agentmon.store.read_landmarks import Part


class Wait(Struct, frozen=True):
    """A call that waited for a person. `end` None: it still does."""

    part: Part
    start: float
    end: float | None


class Waits:
    """Of one thread: what hooks said of permissions, and calls that are questions by nature.

    A wait ends with a denial, else with the result of what was asked about (so that what ran after
    a yes counts too), as in `report.roundtree`.
    """

    def __init__(self, askings: Iterable[Asking]) -> None:
        told = sorted(askings, key=lambda asking: asking.time)
        self._denied = [one.time for one in told if one.name == "permission_denied"]
        self._asked = [one for one in told if one.name != "permission_denied"]
        self._times = [one.time for one in self._asked]
        self.used: set[float] = set()
        """Times of hooks that a call was found for."""

    def of_message(self, parts: Sequence[Part]) -> list[Wait]:
        """The waits for a message's calls."""
        calls = [part for part in parts if part.is_call]
        found: dict[int, Wait] = {}
        if not calls:
            return []
        for asking in self._between(calls):
            waiting = [call for call in calls if _runs(call, asking.time)]
            if not waiting:
                continue
            self.used.add(asking.time)
            if asking.name == "notification" and any(call.index in found for call in waiting):
                continue
            call = _asked_about(asking, [one for one in waiting if one.index not in found])
            if call is not None:
                found[call.index] = Wait(call, asking.time, self._answer(call, asking.time))
        for call in calls:
            if asks_a_person(call.tool_name) and call.index not in found:
                found[call.index] = Wait(call, call.end or 0.0, returned(call))
        return list(found.values())

    @property
    def unused(self) -> list[Asking]:
        """Hooks whose call nobody told."""
        return [one for one in self._asked if one.time not in self.used]

    def _between(self, calls: Sequence[Part]) -> list[Asking]:
        if not self._asked:
            return []
        first = min(call.end or 0.0 for call in calls) - SLACK
        ends = [returned(call) for call in calls]
        last = max([float("inf") if end is None else end for end in ends])
        return self._asked[bisect_left(self._times, first) : bisect_left(self._times, last)]

    def _answer(self, call: Part, asked: float) -> float | None:
        denied = self._denied[bisect_left(self._denied, asked) :][:1]
        back = returned(call)
        return min([*denied, *([] if back is None else [back])], default=None)


def returned(call: Part) -> float | None:
    """When a call came back, seen or unseen; None: it is pending."""
    known = call.result_time if call.result_time is not None else call.lost_at
    return None if known is None else max(known, call.end or known)


def _runs(call: Part, time: float) -> bool:
    back = returned(call)
    return (call.end or 0.0) <= time + SLACK and (back is None or back >= time)


def _asked_about(asking: Asking, calls: Sequence[Part]) -> Part | None:
    """The call that a hook asks about: of that tool and those arguments, else the oldest."""
    of_tool = [call for call in calls if asking.tool in (None, call.tool_name)]
    exact = [call for call in of_tool if asking.preview and call.preview == asking.preview]
    return next(iter([*exact, *of_tool]), None)
