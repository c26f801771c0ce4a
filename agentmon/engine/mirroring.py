"""Takes the lines of other machines out of a Redis stream and lays them down as files here.

How far it has read is kept beside the files, after they are written: a piece that comes again is
written again at its place, and nothing is doubled.
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
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentmon.config import Settings
from agentmon.engine.shipping import READERS, RETRY, STREAM, Reader, ask, connect
from agentmon.logfile import log
from agentmon.store import db, remote
from agentmon.store.remote import Piece

_AT_ONCE = 200
"""Pieces of one read."""
_BLOCK_MS = 1000
_NOTE_SECONDS = 60.0
"""Between two signs of life while nothing comes."""


class _Read(Struct):
    reader: str
    """Names this store among those that read the stream."""
    last: str = "0-0"


class Mirror:
    """Reads a stream into the data folder. `problem` says in a sentence what keeps it."""

    def __init__(self, redis: "Redis", data_dir: Path, url: str) -> None:
        self.problem: str | None = None
        self.pieces = self.bad = 0
        self._redis = redis
        self._data_dir = data_dir
        name = blake2b(url.encode("utf-8", "replace"), digest_size=8).hexdigest()
        self._file = remote.folder(data_dir) / f"{name}.json"
        self.folder = str(remote.folder(data_dir).absolute())
        """Where the lines lie."""
        self._read = self._load()
        self._noted = 0.0

    @classmethod
    def at(cls, url: str, data_dir: Path) -> "Mirror":
        """Raises StoreError: no address of a server, or no place for its lines."""
        try:
            remote.folder(data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(connect(url), data_dir, url)
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
        except RedisError as problem:
            raise db.StoreError(f"Redis does not answer ({type(problem).__name__})") from problem

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
        pause = RETRY[0]
        is_known = False
        while True:
            try:
                if not is_known:
                    await self._note()
                    is_known = True
                found = await self._take(None if once else _BLOCK_MS)
            except RedisError as problem:
                if once:
                    raise
                self.problem = f"Redis does not answer: {type(problem).__name__}"
                is_known = False
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY[1])
                continue
            self.problem, pause = None, RETRY[0]
            if once and not found:
                return

    async def close(self) -> None:
        """Ends the connection."""
        await self._redis.aclose()

    async def _take(self, block: int | None) -> int:
        waits = () if block is None else ("BLOCK", block)
        words = ("COUNT", _AT_ONCE, *waits, "STREAMS", STREAM, self._read.last)
        entries = _entries(await ask(self._redis, "XREAD", *words))
        if not entries:
            if time.monotonic() - self._noted >= _NOTE_SECONDS:
                await self._note()
            return 0
        await asyncio.to_thread(self._write, entries)
        self._read.last = entries[-1][0].decode()
        await asyncio.to_thread(self._save)
        await self._note()
        return len(entries)

    def _write(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for _, fields in entries:
            piece = _piece(fields)
            try:
                if piece is None:
                    raise ValueError("not a piece of a log")
                if not remote.write(self._data_dir, piece):
                    raise ValueError("a piece whose beginning never came")
            except ValueError as problem:
                self.bad += 1
                log.warning("redis: %s", problem)
            else:
                self.pieces += 1

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
