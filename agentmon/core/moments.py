"""Spans of time as sets of moments. Pure. A span is (start, end), half open."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Span = tuple[float, float]


def due(sent: Sequence[float], starts: Sequence[float]) -> list[Span]:
    """From what a thread was sent last to the start of the message that answers it; both in order.
    What a message before has answered is not answered again."""
    found: list[Span] = []
    before = float("-inf")
    for start in starts:
        at = bisect_right(sent, start) - 1
        if at >= 0 and sent[at] > before:
            found.append((sent[at], start))
        before = start
    return found


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not touch, in order; empty ones are left out."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def without(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """What of some spans is in none of the others; both as `union` gives them."""
    found: list[Span] = []
    at = 0
    for begun, end in spans:
        start = begun
        while at < len(others) and others[at][1] <= start:
            at += 1
        here = at
        while here < len(others) and others[here][0] < end:
            if others[here][0] > start:
                found.append((start, others[here][0]))
            start = max(start, others[here][1])
            here += 1
        if start < end:
            found.append((start, end))
    return found


def clipped(spans: Iterable[Span], since: float, until: float) -> list[Span]:
    """What of some spans is within another."""
    cut = ((max(start, since), min(end, until)) for start, end in spans)
    return [(start, end) for start, end in cut if start < end]


def seconds(spans: Iterable[Span]) -> float:
    """How long they are together."""
    return round(sum(end - start for start, end in spans), 6)
