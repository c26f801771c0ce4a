"""A model's server and its client for the row `tap`: each delta carries the moment it was sent.

`python -m tests.bench.tap_model` serves, and prints its address. The moments are of a clock that
all processes of a machine share.
"""

import asyncio
import json
import re
import time
from urllib.parse import urlsplit

SID = "5b1d2c3e-0000-4000-8000-%012d"
AHEAD = 256
"""Deltas of an unpaced stream between two looks at whether the client keeps up."""

_SENT = re.compile(rb'"text":"(\d+) ')
_WORDS = "and then some words"


def _event(payload: str) -> bytes:
    kind = json.loads(payload)["type"]
    body = f"event: {kind}\ndata: {payload}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


def _delta() -> bytes:
    text = f"{time.monotonic_ns()} {_WORDS}"
    body = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}}\n\n' % text.encode()
    )
    return b"%x\r\n%b\r\n" % (len(body), body)


def _before(name: str) -> bytes:
    said: dict[str, object] = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
    }
    message = json.dumps({"type": "message_start", "message": {**said, "usage": {}}})
    block = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nrequest-id: req_1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    return head + _event(message) + _event(block)


_AFTER = (
    _event('{"type":"content_block_stop","index":0}')
    + _event(
        '{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}'
    )
    + _event('{"type":"message_stop"}')
    + b"0\r\n\r\n"
)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    number = 0
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(size))
            number += 1
            writer.write(_before(f"msg_{id(writer):x}{number}"))
            for at in range(asked["deltas"]):
                writer.write(_delta())
                if asked["pause"]:
                    await asyncio.sleep(asked["pause"])
                elif at % AHEAD == 0:
                    await writer.drain()
                    await asyncio.sleep(0)
            writer.write(_AFTER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(url: str, who: int, deltas: int, pause: float) -> list[float]:
    """One stream, read to its end: how many milliseconds each delta was on its way."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    asked: dict[str, object] = {"model": "m", "stream": True, "tools": [{"name": "Bash"}]}
    said = [{"role": "user", "content": f"stream {who}"}]
    body = json.dumps({**asked, "messages": said, "deltas": deltas, "pause": pause}).encode()
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nHost: model\r\nanthropic-version: 2023-06-01\r\n"
        b"X-Claude-Code-Session-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
        % ((SID % who).encode(), len(body), body)
    )
    delays: list[float] = []
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        data = await reader.read(1 << 16)
        if not data:
            raise RuntimeError("the stream was cut")
        now = time.monotonic_ns()
        rest += data
        last = 0
        for found in _SENT.finditer(rest):
            delays.append((now - int(found[1])) / 1e6)
            last = found.end()
        rest = rest[last:]
    writer.close()
    if len(delays) != deltas:
        raise RuntimeError(f"{len(delays)} of {deltas} deltas came")
    return delays


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
