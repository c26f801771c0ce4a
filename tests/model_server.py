"""A model's server that does as it is told, on the level of bytes; and streams as the Anthropic and
OpenAI APIs send them.

`python -m tests.model_server [--port N] [--deltas N] [--pause SECONDS]` serves both for trials by
hand.
"""

import argparse
import asyncio
import json
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, NamedTuple

Step = bytes | float | asyncio.Event | Literal["cut", "reset"]
"""Bytes to send, seconds or an event to wait for, and two ways to go away."""

SSE = [("Content-Type", "text/event-stream; charset=utf-8"), ("request-id", "req_011Test")]


class Request(NamedTuple):
    """A request as it came."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)


Script = Callable[[Request], Sequence[Step]]


class ModelServer:
    """Plays `script` to every request; remembers them, and whether clients hung up."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        """A client went away before its answer was played to the end."""
        self.sent = 0
        """Bytes that were given to the system."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, limit=1 << 20, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await self._read(reader, writer)) is not None:
                self.requests.append(request)
                if not await self._play(self.script(request), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        except asyncio.CancelledError:
            return  # the server stops
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        line, *rest = head[:-4].decode("latin-1").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (row.partition(":") for row in rest)]
        request = Request(line, fields, b"")
        if (request.field("expect") or "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request._replace(body=await self._body(request, reader))

    async def _body(self, request: Request, reader: asyncio.StreamReader) -> bytes:
        if "chunked" not in (request.field("transfer-encoding") or ""):
            return await reader.readexactly(int(request.field("content-length") or 0))
        pieces: list[bytes] = []
        while size := int(await reader.readline(), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(pieces)

    async def _play(
        self, steps: Sequence[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection goes on."""
        listening = asyncio.ensure_future(reader.read(1))
        try:
            for step in steps:
                if not await self._step(step, writer, listening):
                    return False
            await writer.drain()
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await listening
        return "close" not in (steps_end(steps)) and not writer.is_closing()

    async def _step(
        self, step: Step, writer: asyncio.StreamWriter, listening: "asyncio.Future[bytes]"
    ) -> bool:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
            self.sent += len(step)
        elif step == "reset":
            reset(writer)
            return False
        elif step == "cut":
            return False
        else:
            wait = asyncio.sleep(step) if isinstance(step, float | int) else _wait(step)
            waiting = asyncio.ensure_future(wait)
            await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if listening.done() and listening.result() == b"":
            self.hung_up.set()
            return False
        return True


async def _wait(event: str | asyncio.Event) -> None:
    assert isinstance(event, asyncio.Event)
    await event.wait()


def steps_end(steps: Sequence[Step]) -> str:
    """`close` where the answer ends by closing, as its head says."""
    first = steps[0] if steps else b""
    return "close" if isinstance(first, bytes) and b"\r\nConnection: close" in first else ""


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection in bad order."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@asynccontextmanager
async def serving(script: Script) -> AsyncGenerator[ModelServer]:
    """A server for as long as the block lasts."""
    server = ModelServer(script)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


# -- answers


def head(fields: Iterable[tuple[str, str]] = (), status: int = 200, reason: str = "OK") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(
    body: bytes,
    fields: Iterable[tuple[str, str]] = (),
    status: int = 200,
    reason: str = "OK",
) -> list[Step]:
    """An answer of known length."""
    return [head([*fields, ("Content-Length", str(len(body)))], status, reason), body]


def closing(body: bytes, fields: Iterable[tuple[str, str]] = ()) -> list[Step]:
    """An answer that ends when the connection does."""
    return [head([*fields, ("Connection", "close")]), body]


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def streamed(
    pieces: Iterable[bytes], fields: Iterable[tuple[str, str]] = SSE, pause: float = 0.0
) -> list[Step]:
    """An answer in chunks, one write each."""
    steps: list[Step] = [head([*fields, ("Transfer-Encoding", "chunked")])]
    for piece in pieces:
        steps.append(chunk(piece))
        if pause:
            steps.append(pause)
    return [*steps, b"0\r\n\r\n"]


def cut_anywhere(body: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces of these sizes, over and over."""
    pieces: list[bytes] = []
    at = turn = 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        pieces.append(body[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


# -- what models say


def sse(payload: Mapping[str, Any]) -> bytes:
    return f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n".encode()


def message(words: Sequence[str], *, name: str = "msg_01Test", asks: bool = True) -> list[bytes]:
    """The events of an Anthropic message: a thought, a text of these deltas, and if it `asks` for
    something, a call of a tool."""
    start: dict[str, Any] = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": "claude-test-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    out: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    call: dict[str, Any] = {"type": "tool_use", "id": "toolu_01Test", "name": "Bash", "input": {}}
    said = [{"type": "text_delta", "text": word} for word in words]
    asked = [{"type": "input_json_delta", "partial_json": part} for part in ("", '{"a"', ":1}")]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({"type": "thinking", "thinking": ""}, [{"type": "thinking_delta", "thinking": "hm"}]),
        ({"type": "text", "text": ""}, said),
        (call, asked),
    ]
    for index, (block, deltas) in enumerate(blocks if asks else blocks[:2]):
        out.append({"type": "content_block_start", "index": index, "content_block": block})
        out.extend(
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        )
        out.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use" if asks else "end_turn", "stop_sequence": None}
    out.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": len(words)}})
    out.append({"type": "message_stop"})
    return [sse(event) for event in out]


def response(words: Sequence[str], *, name: str = "resp_01Test") -> list[bytes]:
    """The events of an answer of the OpenAI Responses API: one text of these deltas."""
    base: dict[str, Any] = {"id": name, "object": "response", "model": "gpt-test", "output": []}
    item: dict[str, Any] = {"id": "item_1", "type": "message", "role": "assistant", "content": []}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    full = {**part, "text": "".join(words)}
    at = {"output_index": 0, "item_id": "item_1", "content_index": 0}
    done = {**item, "content": [full], "status": "completed"}
    out: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**base, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **at, "part": part},
        *({"type": "response.output_text.delta", **at, "delta": word} for word in words),
        {"type": "response.output_text.done", **at, "text": full["text"]},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {
            "type": "response.completed",
            "response": {**base, "status": "completed", "output": [done]},
        },
    ]
    return [sse({**event, "sequence_number": number}) for number, event in enumerate(out)]


OVERLOADED = json.dumps(
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
).encode()


def model(words: Sequence[str], pause: float = 0.0, *, asks: bool = True) -> Script:
    """Both APIs, as a client would find them."""

    def play(request: Request) -> Sequence[Step]:
        path = request.path.partition("?")[0]
        if request.method == "HEAD":
            return [head([("Content-Length", "0")])]
        if path.endswith("/responses"):
            return streamed(response(words), pause=pause)
        if path.endswith("/messages"):
            asked = json.loads(request.body or b"{}")
            if asked.get("stream", True):
                return streamed(message(words, asks=asks), pause=pause)
            said = {"type": "text", "text": "".join(words)}
            whole_message = {
                "id": "msg_01Whole",
                "type": "message",
                "role": "assistant",
                "model": "claude-test-1",
                "content": [said],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 3, "output_tokens": len(words)},
            }
            fields = [("Content-Type", "application/json"), ("request-id", "req_011Test")]
            return whole(json.dumps(whole_message).encode(), fields)
        return whole(b'{"type":"error"}', [("Content-Type", "application/json")], 404, "Not Found")

    return play


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.model_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--deltas", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.05)
    given = parser.parse_args()
    words = [f"word{number} " for number in range(given.deltas)]
    server = ModelServer(model(words, given.pause, asks=False))
    await server.start(given.port)
    print(server.url, flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
