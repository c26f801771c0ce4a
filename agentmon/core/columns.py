"""What is kept of deltas until their batch is written, and of the open end of each block's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import sub

from msgspec import Struct, field


class Columns(Struct, eq=False):
    """What is kept of deltas besides their text, in arrival order. Column by column, and in small
    numbers: a batch of events as they are, or of times as such, is more than a core's cache."""

    counts: list[range] = []
    """Their counters, those that go up by one in one piece."""
    times: list[int] = []
    """Whole milliseconds since the delta before; those of the first since the epoch."""
    last: int = 0
    """The time of the last one."""
    chars: list[int] = []

    def __len__(self) -> int:
        return len(self.chars)

    def add(self, count: int, millis: int, chars: int) -> None:
        self._add_counts(range(count, count + 1))
        self.times.append(millis - self.last)
        self.last = millis
        self.chars.append(chars)

    def add_run(self, counts: range, millis: Sequence[int], chars: Iterable[int]) -> None:
        """The same for at least one delta."""
        self._add_counts(counts)
        self.times += map(sub, millis, [self.last, *millis])
        self.last = millis[-1]
        self.chars += chars

    def extend(self, more: Columns) -> None:
        """Takes what came after, which is at least one delta."""
        for counts in more.counts:
            self._add_counts(counts)
        more.times[0] -= self.last
        self.times += more.times
        self.last = more.last
        self.chars += more.chars

    def parted(self, first: int, size: int) -> Iterator[Columns]:
        """The same in parts: at most so many in the first, and in each of the others. Both numbers
        are positive."""
        if len(self) <= first:
            if self.chars:
                yield self
            return
        counts = self.counts[::-1]
        begin, end, time = 0, first, 0
        while begin < len(self):
            part = Columns(times=self.times[begin:end], chars=self.chars[begin:end])
            part.times[0] += time
            time = part.last = sum(part.times)
            left = len(part)
            while left:
                some = counts.pop()
                if len(some) > left:
                    counts.append(some[left:])
                    some = some[:left]
                part.counts.append(some)
                left -= len(some)
            yield part
            begin, end = end, end + size

    def _add_counts(self, counts: range) -> None:
        if self.counts and self.counts[-1].stop == counts.start:
            self.counts[-1] = range(self.counts[-1].start, counts.stop)
        else:
            self.counts.append(counts)


class DeltaTail(Struct, eq=False):
    """The open chunk of a block's delta log: where each delta stood, when it came, how long."""

    chunk: int = 0
    columns: Columns = field(default_factory=Columns)
    flows: list[str] = []
    """As written; empty where all are the message's own. A text under several flows, or in
    another order, is always logged anew as a whole."""


class Fresh(Struct, eq=False):
    """Deltas of a block since the last batch."""

    columns: Columns = field(default_factory=Columns)
    texts: list[str] = []
    """Their text, in pieces of one or several."""
    flows: dict[int, str] = {}
    """Position → flow id as written, where that is not the message's own."""

    def pieces(self) -> Iterator[str]:
        """The text of each delta."""
        text, at = "".join(self.texts), 0
        for chars in self.columns.chars:
            yield text[at : at + chars]
            at += chars
