"""How durations spread: mean, median, p95, and counts in log-scaled buckets. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

BOUNDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Seconds between two buckets: two a decade. A duration on a bound counts above it."""

EMPTY_BUCKETS = (0,) * (len(BOUNDS) + 1)


class Spread(Struct, frozen=True):
    """Durations in seconds, in numbers. Without any all but `count` are None; of a single one
    mean, median and p95 are that one."""

    count: int = 0
    mean: float | None = None
    median: float | None = None
    p95: float | None = None


def spread(ordered: Sequence[float]) -> Spread:
    """Of values in rising order."""
    if not ordered:
        return Spread()
    mean = sum(ordered) / len(ordered)
    return Spread(len(ordered), mean, quantile(ordered, 0.5), quantile(ordered, 0.95))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share (0 to 1) of values in rising order lies; between the two
    nearest ones where none is there. Raises IndexError without values."""
    return quantile_of(ordered.__getitem__, len(ordered), share)


def quantile_of(nth: Callable[[int], float], count: int, share: float) -> float:
    """The same of `count` values of which `nth` gives the one at a place in rising order."""
    place = share * (count - 1)
    below = int(place)
    low, high = nth(below), nth(min(below + 1, count - 1))
    return low + (high - low) * (place - below)


def buckets(ordered: Sequence[float]) -> tuple[int, ...]:
    """How many of the values in rising order lie in each bucket between `BOUNDS`."""
    places = [0, *(bisect_left(ordered, bound) for bound in BOUNDS), len(ordered)]
    return tuple(end - start for start, end in pairwise(places))
