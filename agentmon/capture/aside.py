"""Recording beside the streams: in a thread of its own, which may wait for a disk as long as it
likes.

Streams hand over what passes and go on. What would fill memory while the disk does not come back
is not kept, and counted.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Literal, Protocol
from weakref import WeakKeyDictionary

from agentmon.capture.peer import Peer, Peers
from agentmon.logfile import log

ROOM = 64 << 20
"""Bytes that may wait to be recorded."""

WEIGHT = 512
"""Bytes that handing over costs, however small the piece is."""

TICK = 2.0
"""Seconds between two looks at which clients still live."""

PATIENCE = 5.0
"""Seconds that an ending tap gives what waits to be recorded."""

HURRY = 0.5
"""The same of one that is to end at once."""

GIVES_WAY = 0.0005
"""Seconds after which the recorder's thread lets a stream that has something go before it."""

Outcome = Literal["complete", "client_gone", "upstream_gone"]
Fields = Sequence[tuple[str, str]]


class Exchange(Protocol):
    """One request and its answer, as a recorder follows it."""

    def response(self, status: int, headers: Fields) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


class Recording(Protocol):
    """What makes a log of what passes: `capture.recorder.Recorder`."""

    def begin(
        self, method: str, path: str, headers: Fields, body: bytes, peer: Peer | None
    ) -> Exchange: ...
    def tick(self, alive: Callable[[int], bool]) -> None: ...
    def close(self) -> None: ...


class Moment:
    """The clock of a recorder that works aside: when what it records passed, not when it came to
    it."""

    def __init__(self) -> None:
        self.now: float | None = None

    def __call__(self) -> float:
        return time.time() if self.now is None else self.now


class Seat:
    """One connection of a client. Who it is is found out once, aside."""

    def __init__(self, peers: Peers, port: int | None, to: int | None) -> None:
        self._peers = peers
        self._ends = None if port is None or to is None else (port, to)
        self._since = time.monotonic()
        self._is_known = False
        self._peer: Peer | None = None

    def peer(self) -> Peer | None:
        if not self._is_known and self._ends is not None:
            self._peer = self._peers.find(*self._ends, self._since)
        self._is_known = True
        return self._peer


class Copy:
    """What is handed over of one exchange."""

    def __init__(self, aside: "Aside") -> None:
        self._aside = aside
        self._exchange: Exchange | None = None
        self._is_cut = False
        """A piece of it was not kept: what follows would make no sense."""

    def begin(self, method: str, path: str, headers: Fields, body: bytes, seat: Seat) -> None:
        def work() -> None:
            peer = seat.peer()
            self._aside.known_as(peer)
            self._exchange = self._aside.recorder.begin(method, path, headers, body, peer)

        self._hand_over(work, len(body))

    def response(self, status: int, headers: Fields) -> None:
        def work() -> None:
            if self._exchange is not None:
                self._exchange.response(status, headers)

        self._hand_over(work, 0)

    def feed(self, data: bytes) -> None:
        def work() -> None:
            if self._exchange is not None:
                self._exchange.feed(data)

        self._hand_over(work, len(data))

    def end(self, outcome: Outcome) -> None:
        def work() -> None:
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.end("upstream_gone" if self._is_cut else outcome)

        self._aside.put(work, 0)

    def _hand_over(self, work: Callable[[], object], size: int) -> None:
        if self._is_cut or not self._aside.put(work, size):
            self._is_cut = True
            self._aside.lost += 1


class Aside:
    """The thread and what waits for it. All but the work itself belongs to the loop's thread."""

    def __init__(self, recorder: Recording, clock: Moment, *, room: int = ROOM) -> None:
        self.recorder = recorder
        self.lost = 0
        """Pieces of what passed that were not kept."""
        self._clock = clock
        self._room = room
        self._queue: SimpleQueue[tuple[Callable[[], object], int, float] | None] = SimpleQueue()
        self._came = 0
        self._went = 0
        self._peers: dict[int, Peer] = {}
        self._table = Peers()
        self._seats: WeakKeyDictionary[asyncio.BaseTransport, Seat] = WeakKeyDictionary()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), GIVES_WAY))
        self._thread.start()

    def put(self, work: Callable[[], object], size: int) -> bool:
        """Whether there was room. Never waits."""
        if size and self._came - self._went + size > self._room:
            return False
        size += WEIGHT
        self._came += size
        self._queue.put((work, size, time.time()))
        return True

    async def close(self, hurried: asyncio.Event) -> None:
        """Waits for what is still to be recorded, but not for ever: a disk may hang. What is not
        recorded then goes with the process."""
        self._queue.put(None)
        begun = time.monotonic()
        while self._thread.is_alive():
            if time.monotonic() - begun > (HURRY if hurried.is_set() else PATIENCE):
                self.lost += self._queue.qsize()
                log.warning("tap: the recorder does not come to an end")
                return
            await asyncio.sleep(0.005)

    def known_as(self, peer: Peer | None) -> None:
        """Remembers which process a pid meant. In the recorder's thread."""
        if peer is not None:
            self._peers[peer.pid] = peer

    def seat(self, transport: asyncio.BaseTransport | None) -> Seat:
        """That of a client's connection; at its first request it is looked for."""
        if transport is None:
            return Seat(self._table, None, None)
        seat = self._seats.get(transport)
        if seat is None:
            peer, here = (transport.get_extra_info(name) for name in ("peername", "sockname"))
            ends = (peer[1], here[1]) if peer and here else (None, None)
            seat = self._seats[transport] = Seat(self._table, *ends)
            self.put(seat.peer, 0)
        return seat

    # -- in the thread

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            try:
                item = self._queue.get(timeout=TICK)
                if item is None:
                    break
                self._do(*item)
            except Empty:
                pass
            if time.monotonic() - looked >= TICK:
                looked = time.monotonic()
                self._safely(lambda: self.recorder.tick(self._is_alive))
        self._safely(self.recorder.close)

    def _do(self, work: Callable[[], object], size: int, at: float) -> None:
        self._clock.now = at
        self._safely(work)
        self._clock.now = None
        self._went += size

    def _is_alive(self, pid: int) -> bool:
        peer = self._peers.get(pid) or Peer(pid, "", "")
        alive = peer.is_alive()
        if not alive:
            self._peers.pop(pid, None)
        return alive

    @staticmethod
    def _safely(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as problem:  # the recorder promises not to; a stream is no place to learn
            log.warning("recording failed: %s", type(problem).__name__)
