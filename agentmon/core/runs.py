"""The short way of plain deltas: those of one block that follow each other are taken at once.

Nine lines of ten go on where the line before left off: the same writer, stream and block, the
next counter. What such a line changes beyond the block's new text are sums and latest times. So a
decoder gathers them, and the fold takes each such run in one go.
"""

from collections.abc import Iterator
from typing import final
from zlib import crc32

from agentmon.core.events import Delta, Event, Meta


@final
class Run:
    """Plain deltas of one block whose counters go up by one, column by column; no other line of
    their session is between. No Struct: setting a field of one costs thrice as much."""

    __slots__ = (
        "first_count",
        "flow",
        "index",
        "meta",
        "metadata",
        "millis",
        "next_count",
        "request_id",
        "round",
        "sid",
        "texts",
    )

    def __init__(
        self,
        sid: str,
        meta: Meta,
        metadata: str,
        flow: str,
        round: str | None,
        count: int,
        request_id: str | None,
        index: int,
        text: str,
        millis: int,
    ) -> None:
        self.sid, self.meta, self.flow, self.round = sid, meta, flow, round
        self.metadata = metadata
        """How the source writes `meta`."""
        self.first_count, self.next_count = count, count + 1
        self.request_id, self.index = request_id, index
        self.texts, self.millis = [text], [millis]

    @property
    def counts(self) -> range:
        return range(self.first_count, self.next_count)

    def digests(self) -> Iterator[int]:
        """See `delta_digest`."""
        return map(crc32, map(str.encode, self.texts), self.millis)

    def events(self) -> Iterator[Delta]:
        """The deltas one by one. `round` is that of the first: only a message's first event is
        asked for it."""
        for count, text, millis in zip(self.counts, self.texts, self.millis, strict=True):
            yield Delta(
                self.sid,
                self.meta,
                self.flow,
                count,
                self.round,
                millis / 1000,
                delta_digest(text, millis),
                self.request_id,
                self.index,
                text,
            )


class Gathering:
    """The runs that may go on, while rows are gone through."""

    def __init__(self) -> None:
        self.runs: dict[str | None, Run] = {}
        """By request id."""
        self._of_session: dict[str, list[str | None]] = {}

    def begin(self, run: Run) -> Run:
        self.runs[run.request_id] = run
        self._of_session.setdefault(run.sid, []).append(run.request_id)
        return run

    def end(self, event: Event | None) -> None:
        """Something else was said: of a session, or (None) of nobody knows which."""
        if event is None:
            self.runs.clear()
            self._of_session.clear()
            return
        for request_id in self._of_session.pop(event.sid, ()):
            self.runs.pop(request_id, None)


def delta_digest(text: str, millis: int) -> int:
    """The checksum of a text delta: its time and text stand for its `line`, which costs five
    times as much to go through."""
    return crc32(text.encode(), millis)
