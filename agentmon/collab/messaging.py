"""Messages between agents: the API.

    async with MessagingSystem("api") as system:
        await system.send_message("web", "the endpoint is ready")
        async for mail in system.listen():
            print(mail.sender, mail.body)
            await system.mark_read(mail.message_id)

Without a `url` the store of this machine carries them and nothing else has to run; with one
(`redis://…`) agents on many machines talk, and the store keeps all of it.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from agentmon import config
from agentmon.collab import archive, form, sending
from agentmon.collab.local import LocalTransport
from agentmon.collab.mail import Mail
from agentmon.collab.transport import Transport, TransportDown
from agentmon.store import db
from agentmon.store.async_store import AsyncStore, open_async

T = TypeVar("T")

Callback = Callable[[Mail], Awaitable[object] | object]


class MessagingSystem:
    """What one agent sends and gets. Use as `async with`; not from several event loops."""

    def __init__(
        self,
        agent_id: str,
        *,
        data_dir: Path | None = None,
        url: str | None = None,
        limit_bytes: int = form.LIMIT_BYTES,
        max_inbox: int = 10_000,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        """`data_dir`: where the store is, else where agentmon keeps it. `limit_bytes`: of one
        message. `max_inbox`: messages in one inbox on a server. `on_warning` hears of a server
        that is down, of inboxes that fill up and of a listener that has to stand by (else
        agentmon's log has the first two). Raises MessageError for a name that no agent can have,
        ConfigError.
        """
        self.agent_id = form.agent_name(agent_id, "agent_id")
        self.data_dir = data_dir or _default_folder()
        self.trouble: str | None = None
        """Why what was sent last waits in the store; None: it went."""
        self._url = url
        self._limit = limit_bytes
        self._max_inbox = max_inbox
        self._on_warning = on_warning
        self._store: AsyncStore | None = None
        self._transport: Transport | None = None
        self._in_hand: set[str] = set()
        self._listeners: set[asyncio.Task[None]] = set()
        self._loops: set[_Loop] = set()

    async def __aenter__(self) -> Self:
        """Raises StoreError; ValueError for a URL that can't be used."""
        self._store = await open_async(lambda: db.create(self.data_dir))
        try:
            self._transport = self._new_transport()
            await self._write(lambda conn: archive.register(conn, self.agent_id, time.time()))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the listeners. What a listener had in hand counts as delivered, unless an error
        leaves this way: then it comes again. Raises what a callback raised."""
        if error is not None:
            self._in_hand.clear()
        try:
            for task in self._listeners:
                task.cancel()
            ended = await asyncio.gather(*self._listeners, return_exceptions=True)
            await self._delivered(*self._in_hand)
            for loop in tuple(self._loops):
                await loop.leave()
        finally:
            self._in_hand.clear()
            await self._close()
        for problem in ended:
            if error is None and isinstance(problem, Exception):
                raise problem

    @property
    def transport(self) -> Transport:
        """What carries the messages. Raises RuntimeError outside `async with`."""
        if self._transport is None:
            raise RuntimeError("a MessagingSystem is used in `async with`")
        return self._transport

    # -- sending

    async def send_message(
        self, to: str | Iterable[str] | None, message: str | Mapping[str, object]
    ) -> Mail:
        """Sends to an agent, to several, to everybody ("*"), or (None, with `thread_id` or
        `reply_to` in the message) to a thread or the one who is answered.

        `message` is its body, or an object of the form (see `form`) in which `message_id`, `from`,
        `to`, `type`, `timestamp` and the subject may be left out. Returns it as archived; where the
        server can't be reached it waits in the store (`trouble` says why) and goes later. Raises
        MessageError, naming the field, for what is no message; sqlite3.Error.
        """
        transport = self.transport
        given = list(to) if isinstance(to, Iterable) and not isinstance(to, str) else to
        mail = await self._run(
            lambda conn: sending.send(
                conn,
                self.agent_id,
                given,
                message,
                limit_bytes=self._limit,
                origin=transport.name,
                keep=transport.keep,
            )
        )
        self.trouble = None
        try:
            await transport.deliver(mail)
        except TransportDown as problem:
            self.trouble = str(problem)
        return mail

    # -- listening

    def listen(self) -> AsyncGenerator[Mail, None]:
        """Messages for this agent: what came while nobody listened, then each as it comes.

        A message counts as delivered when the next one is asked for, or the loop is left without an
        error (by `aclosing` with any end). One that is in hand when the process is killed, or that
        was given back (`give_back`), comes again, by the same `message_id`.
        """
        loop = _Loop()
        coming = self._listen(loop)
        loop.generator = weakref.ref(coming)
        return coming

    async def _listen(self, loop: "_Loop") -> AsyncGenerator[Mail, None]:
        self._loops.add(loop)
        try:
            async with contextlib.aclosing(self._incoming()) as incoming:
                async for mail in incoming:
                    self._in_hand.add(mail.message_id)
                    try:
                        yield mail
                    except GeneratorExit:
                        if mail.message_id in self._in_hand:
                            await self._delivered(mail.message_id)
                        raise
                    await self._delivered(mail.message_id)
        finally:
            self._loops.discard(loop)
            loop.is_over.set()

    def give_back(self, message_id: str) -> None:
        """The message that `listen` gave last was not taken: the next listener gets it again. For
        who leaves the loop then."""
        self._in_hand.discard(message_id)

    def start_listening(self, callback: Callback) -> asyncio.Task[None]:
        """Calls (and awaits) `callback` with each message, one after the other, until the task is
        cancelled or the system is closed. A message whose callback raises was not delivered; the
        task ends with what it raised."""
        task = asyncio.get_running_loop().create_task(self._call(callback))
        self._listeners.add(task)
        return task

    async def _call(self, callback: Callback) -> None:
        async with contextlib.aclosing(self._incoming()) as incoming:
            async for mail in incoming:
                found = callback(mail)
                if isinstance(found, Awaitable):
                    await found
                await self._delivered(mail.message_id)

    def _incoming(self) -> AsyncGenerator[Mail, None]:
        return self.transport.listen(self.agent_id)

    # -- marks and questions

    async def mark_read(self, *message_ids: str) -> int:
        """Marks messages as read by this agent; how many were not yet."""
        return await self._mark(message_ids, read=time.time())

    async def acknowledge(self, *message_ids: str) -> int:
        """Marks messages as acknowledged (and read); how many were not yet."""
        return await self._mark(message_ids, acked=time.time())

    async def inbox(self, *, unread: bool = True, limit: int = 50) -> list[Mail]:
        """What this agent has yet to read, or the newest it ever got; oldest first. A server is
        asked first; where it can't be reached (`trouble`), it is what came before."""
        self.trouble = None
        try:
            await self.transport.fetch(self.agent_id)
        except TransportDown as problem:
            self.trouble = str(problem)
        return await self._run(
            lambda conn: archive.inbox(conn, self.agent_id, unread=unread, limit=limit)
        )

    async def conversation_history(self, a: str, b: str, limit: int = 50) -> list[Mail]:
        """The last messages between two agents, oldest first."""
        return await self._run(lambda conn: archive.conversation_history(conn, a, b, limit))

    async def thread(self, thread_id: str) -> list[Mail]:
        """The messages of a thread, oldest first."""
        return await self._run(lambda conn: archive.thread(conn, thread_id))

    async def search(self, query: str, limit: int = 50) -> list[Mail]:
        """The newest messages that have the words (`archive.search`)."""
        return await self._run(lambda conn: archive.search(conn, query, limit))

    # -- the store

    async def _delivered(self, *message_ids: str) -> None:
        self._in_hand.difference_update(message_ids)
        await self._mark(message_ids, delivered=time.time())

    async def _mark(
        self,
        message_ids: Iterable[str],
        *,
        delivered: float | None = None,
        read: float | None = None,
        acked: float | None = None,
    ) -> int:
        wanted = list(message_ids)
        if not wanted:
            return 0
        return await self._write(
            lambda conn: archive.mark(
                conn, self.agent_id, wanted, delivered=delivered, read=read, acked=acked
            )
        )

    async def _write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        def write(conn: sqlite3.Connection) -> T:
            with db.transaction(conn):
                return fn(conn)

        return await self._run(write)

    async def _run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        if self._store is None:
            raise RuntimeError("a MessagingSystem is used in `async with`")
        return await self._store.run(fn)

    def _new_transport(self) -> Transport:
        if self._url is None:
            return LocalTransport(self.data_dir, self._on_warning)
        from agentmon.collab.redis_transport import RedisTransport

        return RedisTransport(
            self._url,
            self.data_dir,
            most=self._max_inbox,
            limit_bytes=self._limit,
            on_warning=self._on_warning,
        )

    async def _close(self) -> None:
        try:
            if self._transport is not None:
                await self._transport.close()
        finally:
            store, self._store = self._store, None
            if store is not None:
                await store.close()


class _Loop:
    """An `async for` over what comes. One that is left by `break` goes on closing in a task of its
    event loop, which nobody awaits."""

    def __init__(self) -> None:
        self.generator: Callable[[], AsyncGenerator[Mail, None] | None] = lambda: None
        self.is_over = asyncio.Event()

    async def leave(self) -> None:
        """Closes it, or waits until it has closed; one that somebody iterates ends by itself."""
        generator = self.generator()
        if generator is None:
            await self.is_over.wait()
            return
        with contextlib.suppress(RuntimeError):  # it is running
            await generator.aclose()


def _default_folder() -> Path:
    return config.data_dir(config.load({}, os.environ).settings, os.environ)
