"""Takes the lines of other machines out of a Redis stream and lays them down as files here.

How far it has read is kept beside the files, after they are written: a piece that comes again is
written again at its place, and nothing is doubled. Who begins to read, or gets a piece whose
beginning never came, asks for everything again.
"""

import asyncio
import contextlib
import os
import time
import uuid
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import RedisError

from agentmon.collab.redis_client import Pause, connect, why
from agentmon.config import Settings
from agentmon.engine.shipping import AGAIN, DROPPED, READERS, STREAM, Reader, ask
from agentmon.logfile import log
from agentmon.store import db, remote
from agentmon.store.remote import Piece

_AT_ONCE = 200
"""Pieces of one read."""
_BLOCK_MS = 1000
_ASK_SECONDS = 60.0
"""Shortest time between two requests for everything."""
_NOTE_SECONDS = 60.0
"""Between two signs of life while nothing comes."""


class _Read(Struct):
    reader: str
    """Names this store among those that read the stream."""
    last: str = "0-0"


class Mirror:
    """Reads a stream into the data folder. `problem` says in a sentence what keeps it."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.problem: str | None = None
        self.bad = 0
        """Entries of the stream that are no pieces of a log."""
        self._redis, self._url = connect(url), url
        self._data_dir = data_dir
        name = blake2b(url.encode("utf-8", "replace"), digest_size=8).hexdigest()
        self._file = remote.folder(data_dir) / f"{name}.json"
        self.folder = str(remote.folder(data_dir).absolute())
        """Where the lines lie."""
        self._is_new = not self._file.exists()
        self._read = self._load()
        self._noted = self._may_ask_at = 0.0

    @classmethod
    def at(cls, url: str, data_dir: Path) -> "Mirror":
        """Raises StoreError: no address of a server, or no place for its lines."""
        try:
            remote.folder(data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(url, data_dir)
        except ValueError as problem:
            raise db.StoreError(f"--redis: {problem}") from problem
        except OSError as problem:
            raise db.StoreError(db.cannot(data_dir, "write to", problem)) from problem

    def take_all(self) -> None:
        """Takes what other machines have shipped so far. Raises StoreError, OSError."""

        async def take() -> None:
            try:
                await self.run(once=True)
            finally:
                await self.close()

        try:
            asyncio.run(take())
        except (RedisError, TimeoutError) as problem:
            raise db.StoreError(f"Redis: {why(problem, self._url)}") from None

    def with_paths(
        self, settings: Settings, paths: tuple[str, ...]
    ) -> tuple[Settings, tuple[str, ...]]:
        """The same with where the lines of other machines lie: besides the paths, else besides
        what is found on this machine."""
        if paths:
            return settings, (*paths, self.folder)
        return replace(settings, paths=(*settings.paths, self.folder)), ()

    def _load(self) -> _Read:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Read)
        except (OSError, msgspec.DecodeError):
            return _Read(uuid.uuid4().hex)

    async def run(self, *, once: bool = False) -> None:
        """Until cancelled, or with `once` until the stream is read. Redis is tried again while it
        does not answer; with `once` RedisError is raised. Raises OSError: no place to write."""
        pause = Pause()
        is_known = False
        while True:
            try:
                if not is_known:
                    await self._note()
                    if self._is_new and await ask(self._redis, "EXISTS", DROPPED):
                        await self._ask_for_all()
                    is_known = True
                found = await self._take(None if once else _BLOCK_MS)
            except (RedisError, TimeoutError) as problem:
                if once:
                    raise
                self.problem = f"Redis: {why(problem, self._url)}"
                is_known = False
                await asyncio.sleep(pause.next())
                continue
            self.problem = None
            pause.reset()
            if once and not found:
                return

    async def close(self) -> None:
        """Ends the connection."""
        await self._redis.aclose()

    async def _take(self, block: int | None) -> int:
        blocks = () if block is None else ("BLOCK", block)
        words = ("COUNT", _AT_ONCE, *blocks, "STREAMS", STREAM, self._read.last)
        waits = (block or 0) / 1000
        entries = _entries(await ask(self._redis, "XREAD", *words, waits=waits))
        if not entries:
            if time.monotonic() - self._noted >= _NOTE_SECONDS:
                await self._note()
            return 0
        if not await asyncio.to_thread(self._write, entries):
            await self._ask_for_all()
        self._read.last = entries[-1][0].decode()
        await asyncio.to_thread(self._save)
        await self._note()
        return len(entries)

    def _write(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> bool:
        """False where the beginning of something never came."""
        is_whole = True
        for _, fields in entries:
            piece = _piece(fields)
            try:
                if piece is None:
                    raise ValueError("not a piece of a log")
                is_whole = remote.write(self._data_dir, piece) and is_whole
            except ValueError as problem:
                self.bad += 1
                log.warning("redis: %s", problem)
        return is_whole

    async def _ask_for_all(self) -> None:
        if time.monotonic() >= self._may_ask_at:
            await ask(self._redis, "INCR", AGAIN)
            self._may_ask_at = time.monotonic() + _ASK_SECONDS

    def _save(self) -> None:
        """Whole or not at all."""
        fresh = self._file.with_suffix(".new")
        with open(fresh, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(msgspec.json.encode(self._read))
        fresh.replace(self._file)

    async def _note(self) -> None:
        """Lets the shippers drop what is read here."""
        said = msgspec.json.encode(Reader(self._read.last, time.time()))
        await ask(self._redis, "HSET", READERS, self._read.reader, said)
        self._noted = time.monotonic()


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Of the one stream that was asked for."""
    return [(entry_id, fields or {}) for entry_id, fields in answer[0][1]] if answer else []


def _piece(fields: dict[bytes, bytes]) -> Piece | None:
    with contextlib.suppress(KeyError, ValueError, UnicodeDecodeError):
        return Piece(
            fields[b"host"].decode(),
            fields[b"source"].decode(),
            fields[b"path"].decode("utf-8", "surrogateescape"),
            int(fields[b"offset"]),
            fields[b"data"],
        )
    return None
