"""A tap between a test's client and its server, and a recorder that remembers what it was told."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agentmon.capture.aside import Fields, Outcome
from agentmon.capture.peer import Peer
from agentmon.capture.proxy import Tap
from tests.model_server import ModelServer, Script, serving
from tests.raw_http import Client, request

PATIENCE = 60.0


async def until(holds: Callable[[], bool]) -> None:
    """Waits for something that nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@asynccontextmanager
async def started(
    url: str, asked: bytes | None = None, *, is_slow: bool = False
) -> AsyncGenerator[Client]:
    """A client whose answer has begun."""
    client = await Client.to(url, is_slow=is_slow)
    try:
        client.writer.write(asked or request())
        async with asyncio.timeout(PATIENCE):
            assert await client.head() is not None
        yield client
    finally:
        client.close()


class Told:
    """One exchange, as the recorder was told of it."""

    def __init__(self, method: str, path: str, headers: Fields, body: bytes) -> None:
        self.method, self.path, self.headers, self.request = method, path, headers, body
        self.peer: Peer | None = None
        self.status = 0
        self.fields: Fields = []
        self.body = b""
        self.outcome: Outcome | None = None

    def response(self, status: int, headers: Fields) -> None:
        self.status, self.fields = status, headers

    def feed(self, data: bytes) -> None:
        self.body += data

    def end(self, outcome: Outcome) -> None:
        assert self.outcome is None
        self.outcome = outcome


class Notes:
    """A recorder that only remembers."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.is_closed = False

    def begin(
        self,
        method: str,
        path: str,
        headers: Fields,
        body: bytes,
        peer: Peer | None,
    ) -> Told:
        told = Told(method, path, headers, body)
        told.peer = peer
        self.told.append(told)
        return told

    def tick(self, alive: Callable[[int], bool]) -> None:
        del alive

    def close(self) -> None:
        self.is_closed = True


class Hanging(Notes):
    """One whose disk does not come back before it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.comes_back = threading.Event()

    def begin(self, method: str, path: str, headers: Fields, body: bytes, peer: Any) -> Told:
        self.comes_back.wait()
        return super().begin(method, path, headers, body, peer)


class Failing(Notes):
    """One with a bug."""

    def begin(self, method: str, path: str, headers: Fields, body: bytes, peer: Any) -> Told:
        raise ZeroDivisionError


@asynccontextmanager
async def tapping(
    script: Script,
    recorder: Notes | None = None,
    *,
    grace: float = 0.05,
    host: str = "127.0.0.1",
) -> AsyncGenerator[tuple[ModelServer, Tap]]:
    """A server and a tap of it. At the end everything has been recorded."""
    async with serving(script) as server:
        tap = Tap(server.url, recorder or Notes(), grace=grace, host=host)
        await tap.start()
        try:
            yield server, tap
        finally:
            await tap.stop()
