"""Messages by a Redis server, between stores on one machine or many.

A message is sent by the outbox: its row is written with the archive and goes when the server has
taken it, so whatever dies or is down meanwhile, it is sent later and in order. What may then be
sent twice (an answer that was lost) is known to its reader by its `message_id`.

A listener reads its inbox by a blocking XREADGROUP. That is woken by the server as a pub/sub
message would wake it, but cannot miss: after a lost connection the next read returns what came.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentmon import redis_url
from agentmon.collab import archive, form, outbox, receipts, redis_client, redis_inbox
from agentmon.collab.archive import Mail
from agentmon.collab.listening import listening_turn
from agentmon.collab.outbox import Late, Waiting
from agentmon.collab.patience import patient
from agentmon.collab.receipts import Due
from agentmon.collab.redis_inbox import Parcel
from agentmon.collab.redis_reader import STAND_BY_SECONDS, WAIT_SECONDS, Reader
from agentmon.collab.transport import TransportDown
from agentmon.logfile import log
from agentmon.store import db
from agentmon.store.async_store import AsyncStore, open_async

MOST = 10_000
"""Messages in one inbox on the server; what is beyond waits with its senders."""
FILLED_IN = 2048
"""Bytes by which a message may be larger than when it was sent: its thread's id is in it then."""

FLUSH_ROWS = 100
FLUSH_BYTES = 4 << 20
LOCK_PAUSE = 0.005
LONGEST_LOCK_PAUSE = 0.1


class InboxFull(TransportDown):
    """A receiver's inbox on the server takes no more: the message waits in the outbox."""


class RedisTransport:
    """One server, for the agents of one store. `address` is what may be shown of its URL.

    Raises ValueError for a URL that is none, telling no part of it. `on_warning` gets sentences for
    a person (agentmon's log unless given); `most` bounds each inbox.
    """

    name = "redis"

    def __init__(
        self,
        url: str,
        data_dir: Path,
        *,
        most: int = MOST,
        limit_bytes: int = form.LIMIT_BYTES,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.address = redis_url.shown(url)
        self._url = url
        self._data_dir = data_dir
        self._most = most
        self._limit_bytes = limit_bytes
        self._tell = on_warning or log.warning
        self._redis = redis_client.connect(url)
        self._store: AsyncStore | None = None
        self._opening = asyncio.Lock()
        self._flushing = asyncio.Lock()
        self._pause = redis_client.Pause()
        self._down_until = 0.0
        self._down_because = ""
        self._retrying: asyncio.Task[None] | None = None
        self._warned: set[str] = set()
        self._readers: set[Redis] = set()
        self._closed = False
        self.is_standby = False
        """Another listener of the agent, in this store, takes its messages now."""

    # -- sending

    def keep(self, conn: sqlite3.Connection, mail: Mail) -> None:
        """Makes sure that a message will be sent; belongs into the transaction that archives it."""
        outbox.put(conn, self.address, mail.message_id, mail.receivers)

    async def deliver(self, mail: Mail) -> None:
        """Sends a message that was kept, after what waits before it. Raises TransportDown where the
        server does not take it now: it will be sent later, by this object or another one."""
        await self.flush(mail.message_id)

    async def flush(self, message_id: str | None = None) -> None:
        """Sends what waits, oldest first; with an id only until that one is sent. Raises
        TransportDown where something still waits then, and goes on trying by itself."""
        store = await self._open()
        async with self._flushing:
            if time.monotonic() < self._down_until:
                self._retry_later()
                raise TransportDown(self._down_because)
            try:
                await self._flush(store, message_id)
                await self._tell_marks(self._redis, store)
            except (RedisError, OSError) as problem:
                self._is_down(problem)
                self._retry_later()
                raise TransportDown(self._down_because) from None
            self._is_up()
            if await store.run(lambda conn: self._waits(conn, message_id)):
                self._retry_later()
                raise InboxFull(f"an inbox on {self.address} is full: the message waits")

    def _waits(self, conn: sqlite3.Connection, message_id: str | None) -> bool:
        return outbox.is_waiting(conn, self.address, message_id)

    async def _flush(self, store: AsyncStore, message_id: str | None) -> None:
        """Alone among all processes; another one that is at it takes our rows along."""
        lock, pause = outbox.turn(self._data_dir), LOCK_PAUSE
        while await store.run(lambda conn: self._waits(conn, message_id)):
            if lock.acquire():
                try:
                    return await self._empty(store)
                finally:
                    lock.release()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOCK_PAUSE)

    async def _empty(self, store: AsyncStore) -> None:
        after, full = (0, 0), set[str]()
        while batch := await store.run(lambda conn, after=after: self._batch(conn, after)):
            rows = [row for row, _ in batch]
            posted = await redis_inbox.post(
                self._redis, [parcel for _, parcel in batch], most=self._most, full=full
            )
            outcomes = [Late(row, late) for row, late in zip(rows, posted.late, strict=True)]
            await patient(store, lambda conn, done=outcomes: self._settle(conn, done))
            full.update(name for late in posted.late for name in late)
            self._warn_of(posted.near, {row.receiver for row in rows})
            after = (rows[-1].seq, rows[-1].outbox_id)

    def _batch(
        self, conn: sqlite3.Connection, after: tuple[int, int]
    ) -> list[tuple[Waiting, Parcel]]:
        found: list[tuple[Waiting, Parcel]] = []
        size = 0
        for row in outbox.waiting(conn, self.address, limit=FLUSH_ROWS, after=after):
            mail = archive.get(conn, row.message_id)
            if mail is None or size > FLUSH_BYTES:
                break
            payload = form.encode(archive.message_of(mail))
            size += len(payload)
            found.append((row, Parcel(row.receiver, mail.sender, payload)))
        return found

    def _settle(self, conn: sqlite3.Connection, outcomes: list[Late]) -> None:
        with db.transaction(conn):
            outbox.settle(conn, self.address, outcomes)

    def _warn_of(self, near: dict[str, int], receivers: set[str]) -> None:
        """Once for each inbox that fills up, until it has room again."""
        for name in near.keys() - self._warned:
            self._tell(
                f"the inbox of {name!r} on {self.address} holds {near[name]:,} of at most"
                f" {self._most:,} messages: nothing in it is lost, what is beyond waits here"
            )
        self._warned = (self._warned - receivers) | near.keys()

    # -- a server that is down

    def _is_down(self, problem: BaseException) -> None:
        because = self._why(problem)
        if not self._down_because:
            self._tell(f"{because}; messages wait in the outbox")
        self._down_because = because
        self._down_until = time.monotonic() + self._pause.next()

    def _why(self, problem: BaseException) -> str:
        return f"Redis at {self.address}: {redis_client.why(problem, self._url)}"

    def _is_up(self) -> None:
        self._pause.reset()
        self._down_until, self._down_because = 0.0, ""

    def _retry_later(self) -> None:
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        """Until nothing waits any more."""
        pause = redis_client.Pause()
        while True:
            await asyncio.sleep(max(self._down_until - time.monotonic(), pause.next()))
            try:
                return await self.flush()
            except TransportDown:
                continue
            except (db.StoreError, sqlite3.Error) as problem:
                log.warning("the outbox could not be sent: %s", problem)

    # -- listening

    async def listen(self, agent: str) -> AsyncGenerator[Mail, None]:
        """See `Transport.listen`; goes on over lost connections, in which what comes from agents of
        this store is still handed on. Raises StoreError."""
        self._retry_later()  # what an earlier process could not send
        turn = listening_turn(self._data_dir, agent, lambda: self._closed, self._stand_by)
        async with turn:
            if self._closed:  # while it stood by: it has no turn
                return
            store = await open_async(lambda: db.create(self._data_dir))
            try:
                async with contextlib.aclosing(self._coming(store, agent)) as coming:
                    async for mail in coming:
                        yield mail
            finally:
                await store.close()

    async def fetch(self, agent: str) -> None:
        """Brings what waits for an agent into the archive, without handing it on: for who looks
        into an inbox and does not listen. Where another one listens, that brings it. Raises
        TransportDown."""
        store = await self._open()
        reader = self._reader(self._redis, store, agent, wait=0.001)
        try:
            while await reader.bring() and not reader.is_empty:
                continue
            await reader.leave()
            await self._tell_marks(self._redis, store)
        except (RedisError, OSError) as problem:
            raise TransportDown(self._why(problem)) from None

    def _stand_by(self, is_standby: bool) -> None:
        self.is_standby = is_standby

    async def _coming(self, store: AsyncStore, agent: str) -> AsyncGenerator[Mail, None]:
        given = set[int]()
        async with contextlib.aclosing(self._rounds(agent, store)) as rounds:
            async for _ in rounds:
                while fresh := await store.run(lambda conn: _undelivered(conn, agent, given)):
                    for mail in fresh:
                        given.add(mail.seq)
                        yield mail

    async def _rounds(self, agent: str, store: AsyncStore) -> AsyncGenerator[None, None]:
        """Yields each time the archive may hold something for the agent that it did not."""
        pause, is_down = redis_client.Pause(), False
        async with contextlib.AsyncExitStack() as closing:
            redis = redis_client.connect(self._url)
            closing.push_async_callback(redis.aclose)
            self._readers.add(redis)
            closing.callback(self._readers.discard, redis)
            reader = self._reader(redis, store, agent)
            closing.push_async_callback(_leave, reader)
            yield  # what came while nobody listened
            while not self._closed:
                try:
                    await self._tell_marks(redis, store)
                    is_ours = await reader.bring()
                except (RedisError, OSError) as problem:
                    reader.reset()
                    if not (is_down or self._closed):
                        self._tell(f"{self._why(problem)}; listening goes on when it is back")
                    is_down = True
                    yield
                    await asyncio.sleep(pause.next())
                    continue
                is_down = False
                pause.reset()
                if is_ours:
                    yield
                else:
                    await asyncio.sleep(STAND_BY_SECONDS)

    async def _tell_marks(self, redis: Redis, store: AsyncStore) -> None:
        """Tells other stores what became here of what they sent, also where the first of them have
        no room for it."""
        full, is_first = set[str](), True
        while is_first or full:
            due = await store.run(lambda conn: receipts.due(conn, self.address, full))
            if not due:
                return
            encoded = [(one.sender, msgspec.json.encode(one.receipt)) for one in due]
            went = await redis_inbox.tell(redis, encoded, most=self._most)
            told = [one for one, has_room in zip(due, went, strict=True) if has_room]
            await patient(store, lambda conn, told=told: _settle_marks(conn, told))
            full.update(one.sender for one, has_room in zip(due, went, strict=True) if not has_room)
            is_first = False

    # -- its parts

    def _reader(
        self, redis: Redis, store: AsyncStore, agent: str, wait: float = WAIT_SECONDS
    ) -> Reader:
        return Reader(redis, store, agent, self.address, self._limit_bytes + FILLED_IN, wait)

    async def _open(self) -> AsyncStore:
        async with self._opening:
            if self._store is None:
                self._store = await open_async(lambda: db.create(self._data_dir))
            return self._store

    async def close(self) -> None:
        """Ends the attempts and the connections; what waits stays in the outbox."""
        self._closed = True
        for redis in tuple(self._readers):
            await redis.connection_pool.disconnect()
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
        if self._store is not None:
            await self._store.close()
            self._store = None
        await self._redis.aclose()


def _settle_marks(conn: sqlite3.Connection, told: list[Due]) -> None:
    with db.transaction(conn):
        receipts.settle(conn, told)


async def _leave(reader: Reader) -> None:
    with contextlib.suppress(RedisError, OSError):
        await reader.leave()


def _undelivered(conn: sqlite3.Connection, agent: str, given: set[int]) -> list[Mail]:
    """What was not given yet. Not by a `seq` to go on from: what another agent here got before may
    come for this one, too."""
    found = archive.undelivered(conn, agent)
    given &= {mail.seq for mail in found}
    return [mail for mail in found if mail.seq not in given]
