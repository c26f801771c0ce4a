"""A plain HTTP client on the level of bytes: what exactly came back, and how it ended."""

import asyncio
import socket
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

End = Literal["whole", "closed", "reset"]
"""The answer was whole by its own head; the connection was closed, or reset, before."""

PATIENCE = 60.0

OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


class Reply(NamedTuple):
    """An answer as it came."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    end: End

    def field(self, name: str) -> bytes | None:
        found = [value for key, value in self.fields if key.lower() == name.encode()]
        return found[0] if found else None

    def from_end_to_end(self) -> "Reply":
        """Without what is of one connection only."""
        kept = [
            (name, value)
            for name, value in self.fields
            if name.decode("latin-1").lower() not in OF_THE_CONNECTION
        ]
        return self._replace(fields=kept)


class Client:
    """One connection, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str, *, is_slow: bool = False) -> "Client":
        """One that is slow has the system take next to nothing for it."""
        parts = urlsplit(url)
        if not is_slow:
            return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20))
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((parts.hostname, parts.port))
        return cls(*await asyncio.open_connection(sock=connection, limit=4096))

    def close(self) -> None:
        self.writer.close()

    async def ask(self, request: bytes, *, is_head: bool = False) -> Reply:
        """Sends it, whatever it is, and reads the answer to its end."""
        self.writer.write(request)
        async with asyncio.timeout(PATIENCE):
            return await self.answer(is_head=is_head)

    async def head(self) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
        """The status line and the fields; None: it was closed before."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        line, *rest = head[:-4].split(b"\r\n")
        return line, [(n, v.strip()) for n, _, v in (row.partition(b":") for row in rest)]

    async def answer(self, *, is_head: bool = False) -> Reply:
        try:
            found = await self.head()
        except ConnectionError:
            return Reply(b"", [], b"", "reset")
        if found is None:
            return Reply(b"", [], b"", "closed")
        line, fields = found
        reply = Reply(line, fields, b"", "whole")
        if is_head or line.split(b" ")[1] in (b"204", b"304"):
            return reply
        body, end = await self._body(reply)
        return reply._replace(body=body, end=end)

    async def _body(self, reply: Reply) -> tuple[bytes, End]:
        if b"chunked" in (reply.field("transfer-encoding") or b""):
            return await self.chunks()
        size = reply.field("content-length")
        if size is not None:
            return await self._exactly(int(size))
        pieces: list[bytes] = []
        try:
            while piece := await self.reader.read(1 << 16):
                pieces.append(piece)
        except ConnectionError:
            return b"".join(pieces), "reset"
        return b"".join(pieces), "whole"

    async def _exactly(self, size: int) -> tuple[bytes, End]:
        pieces: list[bytes] = []
        try:
            while size:
                piece = await self.reader.read(min(size, 1 << 16))
                if not piece:
                    return b"".join(pieces), "closed"
                pieces.append(piece)
                size -= len(piece)
        except ConnectionError:
            return b"".join(pieces), "reset"
        return b"".join(pieces), "whole"

    async def chunks(self) -> tuple[bytes, End]:
        pieces: list[bytes] = []
        try:
            while True:
                line = await self.reader.readline()
                if not line.endswith(b"\n"):
                    return b"".join(pieces), "closed"
                size = int(line, 16)
                piece, end = await self._exactly(size)
                pieces.append(piece)
                if end != "whole" or await self.reader.readline() != b"\r\n":
                    return b"".join(pieces), "closed" if end == "whole" else end
                if size == 0:
                    return b"".join(pieces), "whole"
        except ConnectionError:
            return b"".join(pieces), "reset"


async def ask(url: str, request: bytes, *, is_head: bool = False) -> Reply:
    """On a connection of its own."""
    client = await Client.to(url)
    try:
        return await client.ask(request, is_head=is_head)
    finally:
        client.close()


def request(
    method: str = "POST",
    path: str = "/v1/messages?beta=true",
    body: bytes = b'{"stream":true}',
    fields: list[tuple[str, str]] | None = None,
) -> bytes:
    """As Claude Code would ask."""
    given = [("Host", "api.example.com"), ("anthropic-version", "2023-06-01"), *(fields or [])]
    if body:
        given.append(("Content-Length", str(len(body))))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
