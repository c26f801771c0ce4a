"""One request on its way to the upstream, and its answer on the way back, byte for byte.

aiohttp parses both ends and sends the request. The answer's head and its chunks are written here:
aiohttp's own answers bring header fields of their own. Pieces go on as they come, each end only as
fast as the other takes them. Nothing here waits for what is recorded.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncGenerator
from typing import Literal

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    HttpVersion11,
    web,
)
from aiohttp.client_exceptions import (
    ClientConnectorError,
    ClientHttpProxyError,
    ConnectionTimeoutError,
)
from multidict import CIMultiDict
from yarl import URL

from agentmon.capture import headers
from agentmon.capture.aside import Copy, Outcome, Seat
from agentmon.capture.upstream import Upstream

BODY_KEPT = 64 << 20
"""Bytes of a request's body that are kept for the recorder; a longer one is passed on all the
same."""

NO_BODY = (204, 304)

Framing = Literal["none", "length", "chunked", "close"]
"""How the end of a body is told: there is none, by its length, by a last chunk, by closing."""


class Answered(web.StreamResponse):
    """An answer that has been written already: aiohttp only keeps the connection, or closes it."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        del request

    async def write_eof(self, data: bytes = b"") -> None:
        del data


class Refused(Exception):
    """A request that is not passed on: status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Broken(Exception):
    """The upstream ended an answer before its end. `is_reset`: not even in good order."""

    def __init__(self, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset


def target(request: web.BaseRequest, upstream: Upstream) -> URL:
    """What is asked of the upstream. Raises Refused: another server is meant, or none."""
    path = request.raw_path
    if request.method == "CONNECT" or not path.startswith("/") or "#" in path:
        raise Refused(400, "this is a tap of one server: ask it for a path, such as /v1/messages")
    url = URL(upstream.url + path, encoded=True)
    if (url.scheme, url.host, url.port) != (upstream.scheme, upstream.host, upstream.port):
        raise Refused(400, "no path of the upstream")
    return url


class Passage:
    """One exchange. `run` passes it on; what it raises has ended the connection."""

    def __init__(self, request: web.BaseRequest, copy: Copy, seat: Seat) -> None:
        self._request = request
        self._copy = copy
        self._seat = seat
        self._transport = request.transport
        self._kept: list[bytes] = []
        self._size = 0
        self._has_begun = False
        self._is_bad = False
        """Whether the client's own body could not be read."""
        self._framing: Framing = "none"
        self._has_head = False
        self.is_last = False
        """Whether the connection ends after this answer."""

    async def run(self, session: ClientSession, upstream: Upstream) -> Answered:
        outcome: Outcome = "client_gone"
        try:
            keep = await self._run(session, upstream)
            outcome = "complete"
            return Answered(keep and not self.is_last)
        except Refused as problem:
            outcome = "complete"
            self._say(problem.status, str(problem))
            return Answered(keep=False)
        except Broken as problem:
            outcome = "client_gone" if self._is_client_gone() else "upstream_gone"
            self._break_off(problem.is_reset)
            return Answered(keep=False)
        except BaseException:
            self._break_off(is_reset=False)
            raise
        finally:
            self._copy.end(outcome)

    async def _run(self, session: ClientSession, upstream: Upstream) -> bool:
        url = target(self._request, upstream)
        response = await self._ask(session, url)
        try:
            self._begin()
            return await self._answer(response)
        except (ClientError, OSError) as problem:
            raise Broken(_is_reset(problem)) from problem
        finally:
            response.close()  # does nothing to one that is complete

    # -- the request

    async def _ask(self, session: ClientSession, url: URL) -> ClientResponse:
        request = self._request
        raw = headers.passed_on(request.raw_headers, without=(b"host", b"expect"))
        if request.method == "POST":
            raw = headers.uncompressed(raw)
        try:
            return await session.request(
                request.method,
                url,
                headers=CIMultiDict(headers.spelt_alike(headers.text(raw))),
                data=self._body() if request.body_exists else None,
                allow_redirects=False,
            )
        except (ClientConnectorError, ConnectionTimeoutError, ClientHttpProxyError) as problem:
            raise Refused(502, f"{url.host} cannot be reached: {_reason(problem)}") from problem
        except (ClientError, OSError, ValueError) as problem:
            if self._is_bad:
                raise Refused(400, "the body of the request is not as its header says") from problem
            if isinstance(problem, ValueError):
                raise Refused(400, "the request cannot be passed on as it is") from problem
            if isinstance(problem, ClientResponseError):
                raise Refused(502, f"{url.host} answered what is no HTTP") from problem
            raise Broken(_is_reset(problem)) from problem

    async def _body(self) -> AsyncGenerator[bytes]:
        expected = headers.value(self._request.raw_headers, b"expect").lower()
        if expected == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async for piece in self._request.content.iter_any():
                self._size += len(piece)
                if self._size <= BODY_KEPT:
                    self._kept.append(piece)
                yield piece
        except Exception:
            self._is_bad = True
            raise
        self._begin()

    def _begin(self) -> None:
        """Hands the request over, once: when it is whole, or when it is answered before."""
        if self._has_begun:
            return
        self._has_begun = True
        body = b"".join(self._kept) if self._size <= BODY_KEPT else b""
        self._kept.clear()
        request = self._request
        fields = headers.text(request.raw_headers)
        self._copy.begin(request.method, request.raw_path, fields, body, self._seat)

    # -- the answer

    async def _answer(self, response: ClientResponse) -> bool:
        self._framing = framing = self._framing_of(response)
        keep = self._request.keep_alive and framing != "close" and not self.is_last
        raw = response.raw_headers
        self._write(self._head(response, keep))
        self._has_head = True
        self._copy.response(response.status, headers.text(raw))
        await self._pass_body(response)
        if framing == "chunked":
            self._write(b"0\r\n\r\n")
        await self._request.writer.drain()
        return keep

    def _framing_of(self, response: ClientResponse) -> Framing:
        if self._request.method == "HEAD" or response.status in NO_BODY:
            return "none"
        if _is_chunked(response.raw_headers):
            return "chunked" if self._request.version >= HttpVersion11 else "close"
        return "length" if headers.value(response.raw_headers, b"content-length") else "close"

    def _head(self, response: ClientResponse, keep: bool) -> bytes:
        reason = (response.reason or "").encode("utf-8", "surrogateescape")
        lines = [b"HTTP/1.1 %d %b" % (response.status, reason)]
        raw = response.raw_headers
        is_chunked = _is_chunked(raw)
        stays = is_chunked and self._framing in ("chunked", "none")
        fields = headers.passed_on(
            raw,
            without=[b"content-length"] if is_chunked else [],
            keeping=[b"transfer-encoding"] if stays else [],
        )
        lines += [b"%b: %b" % field for field in fields]
        if not keep:
            lines.append(b"Connection: close")
        elif self._request.version < HttpVersion11:
            lines.append(b"Connection: keep-alive")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    async def _pass_body(self, response: ClientResponse) -> None:
        closed = _closing(response)
        drain = self._request.writer.drain
        try:
            async for piece in response.content.iter_any():
                self._pass_piece(piece)
                await drain()
        except ClientError as problem:
            if not self._is_client_gone():
                self._pass_rest(response)
            raise Broken(_was_reset(closed)) from problem
        if self._framing == "close" and _was_reset(closed):
            raise Broken(is_reset=True)

    def _pass_rest(self, response: ClientResponse) -> None:
        """What had come before the cut and was not read yet: an error stands before it."""
        content = response.content
        content.set_exception(None)  # type: ignore[arg-type]  # pyright: ignore
        if not content.is_eof():
            content.feed_eof()
        if piece := content.read_nowait(-1):
            self._pass_piece(piece)

    def _pass_piece(self, piece: bytes) -> None:
        is_chunked = self._framing == "chunked"
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        self._copy.feed(piece)

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)

    def _is_client_gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    # -- when it is not as it should be

    def _say(self, status: int, why: str) -> None:
        """An error of the tap itself, in the form of errors of the API."""
        body = error_body(self._request, why)
        phrase = {400: "Bad Request", 502: "Bad Gateway"}[status]
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields)]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        if self._is_client_gone():
            return
        self._write(head if self._request.method == "HEAD" else head + body)
        if status == 502:
            self._begin()
            self._copy.response(status, fields)
            self._copy.feed(body)

    def _break_off(self, is_reset: bool) -> None:
        """Ends the connection so that nobody takes it for the end of the answer. What was written
        still goes out; where only closing tells an end, it is a reset."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._framing == "close" or (is_reset and not self._has_head):
            connection = transport.get_extra_info("socket")
            if connection is not None:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.close()


def _is_chunked(raw: headers.Raw) -> bool:
    return b"chunked" in headers.value(raw, b"transfer-encoding").lower()


def _closing(response: ClientResponse) -> "asyncio.Future[None] | None":
    """Tells how the connection to the upstream ended; None: it has passed it all already."""
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    closed = protocol.closed if protocol is not None else None
    if closed is not None:
        closed.remove_done_callback(_look_at)
        closed.add_done_callback(_look_at)
    return closed


def _look_at(closed: "asyncio.Future[None]") -> None:
    """An exception that nobody looks at would be complained of."""
    if not closed.cancelled():
        closed.exception()


def _was_reset(closed: "asyncio.Future[None] | None") -> bool:
    is_told = closed is not None and closed.done() and not closed.cancelled()
    return is_told and closed is not None and closed.exception() is not None


def _is_reset(problem: BaseException) -> bool:
    return isinstance(problem, OSError) and problem.errno is not None


def _reason(problem: BaseException) -> str:
    if isinstance(problem, ClientConnectorError):
        inner = problem.os_error
        return inner.strerror or str(inner)
    if isinstance(problem, ClientHttpProxyError):
        return f"the proxy answered {problem.status}"
    return "it does not answer"


def error_body(request: web.BaseRequest, why: str) -> bytes:
    """As the API that the client speaks says that it failed."""
    why = f"agentmon tap: {why}"
    if "anthropic-version" in request.headers or "/messages" in request.raw_path:
        said = {"type": "error", "error": {"type": "api_error", "message": why}}
    else:
        code = "upstream_unreachable"
        said = {"error": {"message": why, "type": "server_error", "param": None, "code": code}}
    return json.dumps(said).encode()
