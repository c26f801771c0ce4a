"""Things of several sources by their times, merged; a source begins when its time comes."""

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from math import inf
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Timed: TypeAlias = tuple[float, T]
Source: TypeAlias = tuple[float, int, Callable[[], Iterator[Timed[T]]]]
"""When it begins, at the latest by its first thing; its rank among those of one time; itself."""


def merged(sources: Iterable[Source[T]]) -> Iterator[Timed[T]]:
    """All things by time, of one time by rank. `sources` come in the order of their beginnings.

    Only the sources that have begun and are not through are held.
    """
    coming = iter(sources)
    following = next(coming, None)
    begun: list[tuple[float, int, int, Timed[T], Iterator[Timed[T]]]] = []
    number = 0
    while begun or following is not None:
        while following is not None and (not begun or following[0] <= begun[0][0]):
            things = following[2]()
            first = next(things, None)
            if first is not None:
                heappush(begun, (first[0], following[1], number, first, things))
                number += 1
            following = next(coming, None)
        if not begun:
            continue
        _, rank, mine, thing, things = heappop(begun)
        limit = min(begun[0][0] if begun else inf, following[0] if following is not None else inf)
        while True:
            yield thing
            after = next(things, None)
            if after is None:
                break
            if after[0] >= limit:
                heappush(begun, (after[0], rank, mine, after, things))
                break
            thing = after
