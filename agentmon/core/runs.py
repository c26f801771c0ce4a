"""The short way of plain deltas: from the first one of a block on, up to the next other event.

Nine lines of ten go on where the line before left off: the same writer, stream and block, the
next counter. What such a line changes beyond the block's new text are sums and latest times, so a
lane notes the line and settles the rest once: before anything else looks at its session, and at
the end of a batch. The loop that notes them is the decoder's: a call for each would cost more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from agentmon.core.events import Delta
    from agentmon.core.model import Block, Counts, Message, Session, Stream
    from agentmon.core.state import State


class Lane:
    """A run of deltas of one block. No Struct: setting a field of one costs thrice as much."""

    __slots__ = (
        "block",
        "first_count",
        "flow",
        "index",
        "message",
        "meta",
        "metadata",
        "millis",
        "next_count",
        "request_id",
        "sid",
        "stream",
        "texts",
    )

    def __init__(self, message: Message, block: Block, stream: Stream, last: Delta) -> None:
        self.message, self.block, self.stream = message, block, stream
        self.request_id = last.request_id
        self.sid, self.meta, self.flow, self.index = last.sid, last.meta, last.flow, last.index
        self.metadata: str | None = None
        """How the source writes `meta`; None until it says so: nobody goes on before that."""
        self.first_count = self.next_count = last.count + 1
        self.texts, self.millis = block.fresh.texts, block.fresh.millis

    def settle(self, counts: Counts) -> None:
        """Brings everything above the deltas up to date, as if each had been folded alone."""
        size = self.next_count - self.first_count
        if not size:
            return
        message, block, stream = self.message, self.block, self.stream
        texts, millis = self.texts[-size:], self.millis[-size:]
        stream.digests.extend(map(crc32, map(str.encode, texts), millis))  # see `delta_digest`
        stream.top, stream.next_count = self.next_count - 1, self.next_count
        block.fresh.counts.extend(range(self.first_count, self.next_count))
        block.delta_count += size
        counts.lines += size
        counts.events += size
        time, first = max(millis) / 1000, min(millis) / 1000
        if message.session.first_time is None or first < message.session.first_time:
            message.session.first_time = first
        if time > message.last_time:
            message.last_time = block.last_time = time
            session, thread = message.session, message.thread
            session.meta_time = max(session.meta_time, time)
            session.resumed_at = max(session.resumed_at, time)
            thread.last_byte = max(thread.last_byte, time)


def delta_digest(text: str, millis: int) -> int:
    """The checksum of a text delta: its time and text stand for its `line`, which costs five
    times as much to go through."""
    return crc32(text.encode(), millis)


def open_lane(state: State, message: Message, block: Block, event: Delta) -> None:
    """After a delta that was folded with care: the ones behind it may take the short way.

    Not where a delta says more than that bytes came: of another writer than the last one of its
    session, or after a wait for a person.
    """
    stream, session, request_id = message.stream, message.session, event.request_id
    if (
        stream is not None
        and stream.seen is None
        and stream.next_count == event.count + 1
        and session.meta is event.meta
        and request_id is not None
        and message.request_id == request_id
        and message.thread.phase != "permission"
    ):
        lane = state.lanes[request_id] = Lane(message, block, stream, event)
        session.lanes.append(lane)


def close_lane(state: State, lane: Lane) -> None:
    del state.lanes[lane.request_id]
    lane.message.session.lanes.remove(lane)
    lane.settle(state.counts)


def close_lanes(state: State, session: Session) -> None:
    """Before an event that may look at anything of the session."""
    for lane in session.lanes:
        del state.lanes[lane.request_id]
        lane.settle(state.counts)
    session.lanes.clear()


def close_all_lanes(state: State) -> None:
    """At the end of a batch."""
    for lane in state.lanes.values():
        lane.settle(state.counts)
        lane.message.session.lanes.clear()
    state.lanes.clear()
