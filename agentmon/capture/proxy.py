"""A reverse proxy for one upstream that a recorder looks into.

Loopback by default. It keeps no cookies, follows no redirects, changes no body, and goes nowhere
but to its upstream.
"""

import asyncio
import logging
import socket

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from msgspec import Struct

from agentmon.addresses import is_loopback
from agentmon.capture.aside import Aside, Copy, Moment, Recording
from agentmon.capture.passing import Passage
from agentmon.capture.upstream import certificates, parse, proxy_for

GRACE = 30.0
"""Seconds that running streams have to finish when a tap ends."""

CONNECTING = 30.0
"""Seconds for a connection to the upstream. There is no other limit: a silent stream may be one
that thinks, and the client has its own patience."""

LINE = 1 << 20
"""Bytes of a request line, and of a header field: the upstream says when it is too much."""

FIELDS = 1_000
BUFFER = 1 << 16
"""Bytes that are read ahead of who is slow."""

BACKLOG = 512

_silent = logging.Logger("agentmon.tap", logging.CRITICAL + 1)
"""What aiohttp says of bad requests holds what was sent: it is for nobody."""


class Status(Struct, frozen=True):
    """What a tap does now, and did."""

    url: str
    upstream: str
    running: int
    """Requests that are not answered to their end."""
    requests: int
    lost: int
    """Pieces that were passed on and not recorded, since the recorder did not keep up."""


class Tap:
    """One tap. It belongs to the loop that starts it. Raises ValueError: what `upstream` is not."""

    def __init__(
        self,
        upstream: str,
        recorder: Recording,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grace: float = GRACE,
        clock: Moment | None = None,
    ) -> None:
        self.upstream = parse(upstream)
        self.url = ""
        self._host, self._port, self._grace = host, port, grace
        self._aside = Aside(recorder, clock or Moment())
        self._requests = 0
        self._running: dict[asyncio.Task[object], tuple[web.RequestHandler, Passage]] = {}
        self._is_ending = False
        self._idle = asyncio.Event()
        self._hurried = asyncio.Event()
        self._session: ClientSession | None = None
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None

    async def start(self) -> str:
        """The address to give to clients. Raises OSError: it cannot be had; ValueError: the
        upstream is the tap itself."""
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=_silent,
            auto_decompress=False,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=FIELDS,
            read_bufsize=BUFFER,
        )
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            self._server, self._host, self._port, backlog=BACKLOG
        )
        try:
            self.url = self._address(self._listening.sockets[0])
            self._session = self._new_session()
        except BaseException:
            self._listening.close()
            raise
        self._aside.start()
        return self.url

    def _address(self, listening: socket.socket) -> str:
        host, port = listening.getsockname()[:2]
        if port == self.upstream.port and is_loopback(self.upstream.host) and is_loopback(host):
            raise ValueError("the upstream is the tap itself")
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _new_session(self) -> ClientSession:
        is_encrypted = self.upstream.scheme == "https"
        return ClientSession(
            connector=TCPConnector(limit=0, ssl=certificates() if is_encrypted else True),
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=ClientTimeout(total=None, sock_connect=CONNECTING),
            auto_decompress=False,
            proxy=proxy_for(self.upstream),
            read_bufsize=BUFFER,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=FIELDS,
        )

    async def stop(self) -> None:
        """Takes nothing new, lets what runs finish within the grace, and closes. What is still
        running then is broken off."""
        if self._listening is None or self._server is None:
            return
        self._is_ending = True
        self._listening.close()
        busy = {protocol for protocol, _ in self._running.values()}
        for _, passage in self._running.values():
            passage.is_last = True
        for protocol in self._server.connections:
            if protocol not in busy:
                protocol.force_close()
        await self._wait()
        for task in list(self._running):
            task.cancel()
        await self._server.shutdown(1.0)
        if self._session is not None:
            await self._session.close()
        await self._aside.close(self._hurried)
        self._listening = None

    async def _wait(self) -> None:
        if not self._running:
            return
        self._idle.clear()
        both = [asyncio.ensure_future(event.wait()) for event in (self._idle, self._hurried)]
        await asyncio.wait(both, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
        for waiting in both:
            waiting.cancel()

    def hurry(self) -> None:
        """Makes a tap that stops do so at once."""
        self._hurried.set()

    def status(self) -> Status:
        upstream = self.upstream.url
        return Status(self.url, upstream, len(self._running), self._requests, self._aside.lost)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        assert self._session is not None
        self._requests += 1
        passage = Passage(request, Copy(self._aside), self._aside.seat(request.transport))
        passage.is_last = self._is_ending
        self._running[task] = request.protocol, passage
        try:
            return await passage.run(self._session, self.upstream)
        finally:
            del self._running[task]
            if not self._running:
                self._idle.set()
