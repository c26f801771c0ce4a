"""Sends the logs of this machine to a Redis stream, piece by piece, exactly once.

A position moves in the transaction that adds the pieces before it, and Redis keeps both: whoever
ships on after a kill, or after Redis itself lost its last second, goes on from there. What every
reader has is dropped from the stream, and one that comes later, or finds that something is missing,
asks for all of it again: a piece that is there already changes nothing. A stream that nobody reads
does not grow without end: then shipping waits.
"""

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentmon.collab.redis_client import Pause, answer, connect, why
from agentmon.logfile import log
from agentmon.sources.identity import ANCHOR
from agentmon.sources.paths import Expanded
from agentmon.sources.watch import Watch
from agentmon.store.remote import Piece

STREAM = "agentmon:lines"
READERS = "agentmon:readers"
DROPPED = "agentmon:dropped"
"""There where the stream no longer holds all that was ever sent."""
AGAIN = "agentmon:again"
"""How often somebody asked for everything again."""
PIECE = 256 << 10
"""Bytes of a piece."""
BATCH = 1 << 20
"""Bytes of one transaction."""
MAX_BYTES = 256 << 20
"""Size of the stream from which on shipping waits for its readers."""
_WEIGH_BYTES = 8 << 20
"""How much is sent between two looks at it."""
_ENTRY_BYTES = 256
"""What a piece takes besides its bytes."""
SILENT = 7 * 86_400.0
"""Seconds after which a reader that was never heard again is not waited for."""
READ_SECONDS = 1.0
LOOK_SECONDS = 5.0
_WEIGH_SECONDS = 0.25
"""Between two looks whether readers have read enough."""
_ASKED = "again"
"""The field among a host's positions that says up to which such request they were set back."""


def positions_key(host: str) -> str:
    return f"agentmon:shipped:{host}"


async def ask(redis: Redis, *words: Any, waits: float = 0.0) -> Any:
    """A command and its answer; `waits`: seconds that it may block. Raises RedisError, OSError."""
    return await answer(cast("Any", redis).execute_command(*words), waits)


class Position(Struct):
    """How far a file is sent. `anchor` are the bytes before it: a file that has others there was
    written anew."""

    offset: int = 0
    generation: int = 0
    anchor: bytes = b""


class Reader(Struct):
    """How far a store has read, and when it said so."""

    last: str
    at: float


class Shipped(Struct):
    """What was sent since the start."""

    pieces: int = 0
    bytes: int = 0
    problem: str | None = None
    """Why it waits, one sentence."""


class Shipper:
    """Follows files into a stream. `look` says which there are. Raises ValueError: no address of a
    server."""

    def __init__(
        self,
        url: str,
        host: str,
        look: Callable[[], Expanded],
        *,
        poll: float = 0.25,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.shipped = Shipped()
        self._redis, self._url = connect(url), url
        self._host = host
        self._poll = poll
        self._max_bytes = max_bytes
        self._unweighed = max_bytes
        self._positions: dict[str, Position] | None = None
        """By device and inode; None: Redis has to be asked."""
        self._asked = 0
        self._expanded = look()

    async def run(self, *, once: bool = False) -> None:
        """Ships until cancelled, or with `once` until all that is there is sent.

        Raises RedisError and OSError with `once`; else Redis is tried again.
        """
        expanded = self._expanded
        looked = asyncio.get_running_loop().time()
        pause = Pause()
        paths: Iterable[str] = expanded.files
        async with Watch(self._poll) as watch:
            while True:
                try:
                    await self._ship(paths)
                except (RedisError, OSError) as problem:
                    if once:
                        raise
                    self._positions, paths = None, expanded.files
                    self._complain(f"Redis: {why(problem, self._url)}")
                    await asyncio.sleep(pause.next())
                    continue
                pause.reset()
                if once:
                    return
                watch.update(expanded.files, expanded.places, expanded.missing)
                wake = await watch.wait(READ_SECONDS)
                now = asyncio.get_running_loop().time()
                paths = wake.paths
                if wake.folders or now - looked >= LOOK_SECONDS:
                    expanded.rescan()
                    paths, looked = expanded.files, now

    async def close(self) -> None:
        """Ends the connection."""
        await self._redis.aclose()

    def _complain(self, problem: str) -> None:
        if self.shipped.problem != problem:
            log.warning("ship: %s", problem)
        self.shipped.problem = problem

    async def _ship(self, paths: Iterable[str]) -> None:
        if self._positions is None:
            self._positions, self._asked = await self._known()
        asked = int(await ask(self._redis, "GET", AGAIN) or 0)
        if asked != self._asked:
            self._positions = await self._set_back(self._positions, asked)
            paths = self._expanded.files
        batch: list[Piece] = []
        moved: dict[str, Position] = {}
        size = 0
        for key, piece, position in self._unsent(paths, self._positions):
            batch.append(piece)
            moved[key] = position
            size += len(piece.data)
            if size >= BATCH:
                await self._send(batch, moved)
                batch, moved, size = [], {}, 0
        if batch:
            await self._send(batch, moved)

    async def _known(self) -> tuple[dict[str, Position], int]:
        """Positions, and the last request for everything that they heeded."""
        found = await ask(self._redis, "HGETALL", positions_key(self._host))
        known: dict[str, Position] = {}
        asked = 0
        for key, value in cast("dict[bytes, bytes]", found).items():
            try:
                if key == _ASKED.encode():
                    asked = int(value)
                else:
                    known[key.decode()] = msgspec.json.decode(value, type=Position)
            except (msgspec.DecodeError, ValueError):
                log.warning("ship: a position that cannot be read is begun again")
        return known, asked

    async def _set_back(self, known: dict[str, Position], asked: int) -> dict[str, Position]:
        """Everything from its start. Generations stay: other bytes have another place there."""
        back = {key: Position(generation=position.generation) for key, position in known.items()}
        values = {key: msgspec.json.encode(position) for key, position in back.items()}
        words = [word for pair in values.items() for word in pair]
        await ask(self._redis, "HSET", positions_key(self._host), _ASKED, asked, *words)
        self._asked = asked
        return back

    def _unsent(
        self, paths: Iterable[str], positions: dict[str, Position]
    ) -> Iterable[tuple[str, Piece, Position]]:
        """Pieces of what was written since, and the positions behind them."""
        for path in paths:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue  # gone, or not ours to read
            try:
                yield from self._unsent_of(fd, path, positions)
            except OSError as problem:
                log.warning("ship: cannot read %s: %s", path, problem.strerror)
            finally:
                os.close(fd)

    def _unsent_of(
        self, fd: int, path: str, positions: dict[str, Position]
    ) -> Iterable[tuple[str, Piece, Position]]:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return
        key = f"{info.st_dev:x}-{info.st_ino:x}"
        at = positions.get(key) or Position()
        if os.pread(fd, len(at.anchor), at.offset - len(at.anchor)) != at.anchor:
            at = Position(generation=at.generation + 1)
        while data := os.pread(fd, PIECE, at.offset):
            piece = Piece(self._host, f"{key}-{at.generation}", path, at.offset, data)
            anchor = (at.anchor + data)[-ANCHOR:]
            at = Position(at.offset + len(data), at.generation, anchor)
            yield key, piece, at

    async def _send(self, batch: list[Piece], moved: dict[str, Position]) -> None:
        await self._wait_for_readers()
        async with self._redis.pipeline(transaction=True) as pipe:
            for piece in batch:
                pipe.xadd(STREAM, cast("Any", msgspec.structs.asdict(piece)))
            values = {key: msgspec.json.encode(position) for key, position in moved.items()}
            pipe.hset(positions_key(self._host), mapping=cast("Any", values))
            await answer(pipe.execute())
        if self._positions is not None:
            self._positions.update(moved)
        size = sum(len(piece.data) for piece in batch)
        self.shipped.pieces += len(batch)
        self.shipped.bytes += size
        self._unweighed += size + _ENTRY_BYTES * len(batch)

    async def _wait_for_readers(self) -> None:
        """Drops what every reader has; waits while there is too much that one has not."""
        while self._unweighed >= min(_WEIGH_BYTES, self._max_bytes):
            await self._drop_what_is_read()
            held = await ask(self._redis, "MEMORY", "USAGE", STREAM, "SAMPLES", 5) or 0
            if held < self._max_bytes:
                self._unweighed = 0
                break
            self._complain(f"{held >> 20:,} MiB wait in Redis to be read (agentmon --redis)")
            await asyncio.sleep(_WEIGH_SECONDS)
        self.shipped.problem = None

    async def _drop_what_is_read(self) -> None:
        found = await ask(self._redis, "HGETALL", READERS)
        least: tuple[int, int] | None = None
        for name, value in cast("dict[bytes, bytes]", found).items():
            reader = msgspec.json.decode(value, type=Reader)
            if time.time() - reader.at > SILENT:
                log.warning("ship: a reader that was silent for a week is not waited for")
                await ask(self._redis, "HDEL", READERS, name)
                continue
            last = _order(reader.last)
            least = last if least is None else min(least, last)
        if least is not None:
            minid = f"{least[0]}-{least[1]}"
            if await ask(self._redis, "XTRIM", STREAM, "MINID", minid):
                await ask(self._redis, "SET", DROPPED, 1)


def _order(entry_id: str) -> tuple[int, int]:
    millis, _, number = entry_id.partition("-")
    return int(millis), int(number or "0")
