"""Real upstreams: what was recorded of models, encryption, proxies, answers that come early."""

import asyncio
import gzip
import json
import ssl
import subprocess
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import pytest

from agentmon.capture import upstream
from agentmon.capture.log import CaptureLog
from agentmon.capture.proxy import Tap
from agentmon.capture.recorder import Recorder
from tests import model_server as model
from tests.captured import lines, wire
from tests.deep import some_of
from tests.model_server import Step, serving
from tests.raw_http import Client, ask, request
from tests.tapped import Notes, started, tapping

SHARED = Path(__file__).parents[1].parent / "shared"
SCENES = sorted(path.parent for path in SHARED.glob("captures/*/sse_lines.jsonl"))
SOME = ("claude-cut", "claude-overloaded", "claude-wait", "codex-spawn")
SID = "5b1d2c3e-0000-4000-8000-000000000001"


@pytest.mark.skipif(not SCENES, reason="the recordings are not here")
@pytest.mark.parametrize("scene", some_of(SCENES, *SOME), ids=lambda scene: scene.name)
async def test_recorded_streams_come_as_they_were_and_are_recorded_again(
    scene: Path, tmp_path: Path
) -> None:
    said: dict[str, list[dict[str, object]]] = {}
    for line in lines(scene / "sse_lines.jsonl"):
        if "request_id" in line.payload and not line.is_hook:
            said.setdefault(line.payload["request_id"], []).append(line.payload)
    is_claude = scene.name.startswith("claude")
    path = "/v1/messages?" if is_claude else "/v1/responses?"

    def script(asked: model.Request) -> list[Step]:
        body = b"".join(wire(payload) for payload in said[asked.path.partition("?")[2]])
        fields = [("Content-Type", "text/event-stream"), ("request-id", asked.path.split("?")[1])]
        return model.streamed(model.cut_anywhere(body, [3, 100, 4000, 17]), fields)

    log = CaptureLog(tmp_path / "sse_lines.jsonl")
    body = b'{"model":"m","stream":true,"tools":[{"name":"Bash"}],"messages":[],"input":[]}'
    fields = [("X-Claude-Code-Session-Id", SID), ("session-id", SID)]
    async with serving(script) as server:
        tap = Tap(server.url, Recorder(log))
        url = await tap.start()
        for one in said:
            asked = request(path=path + one, body=body, fields=fields)
            direct = await ask(server.url, asked)
            tapped = await ask(url, asked)
            assert (tapped.body, tapped.end) == (direct.body, "whole")
        await tap.stop()
    again = [line.payload for line in lines(Path(log.path)) if "request_id" in line.payload]
    assert again == [payload for payloads in said.values() for payload in payloads]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_what_comes_compressed_all_the_same_is_recorded_plain(
    encoding: str, tmp_path: Path
) -> None:
    stream = b"".join(model.message(["a", "b"]))
    packed = gzip.compress(stream) if encoding == "gzip" else zlib.compress(stream)
    fields = [("Content-Type", "text/event-stream"), ("Content-Encoding", encoding)]
    log = CaptureLog(tmp_path / "sse_lines.jsonl")
    body = gzip.compress(b'{"model":"m","stream":true,"tools":[{}],"messages":[]}')
    asked = [("X-Claude-Code-Session-Id", SID), ("Content-Encoding", "gzip")]
    pieces = model.cut_anywhere(packed, [7, 30])
    async with serving(lambda _: model.streamed(pieces, fields)) as server:
        tap = Tap(server.url, Recorder(log))
        reply = await ask(await tap.start(), request(body=body, fields=asked))
        await tap.stop()
    assert reply.body == packed
    events = [line.kind for line in lines(Path(log.path)) if "request_id" in line.payload]
    said = [event.partition(b"data: ")[2] for event in model.message(["a", "b"])]
    assert events == [json.loads(payload)["type"] for payload in said]


async def test_a_path_below_which_everything_is() -> None:
    async with serving(lambda _: model.whole(b"ok")) as server:
        tap = Tap(f"{server.url}/backend/api/", Notes())
        url = await tap.start()
        await ask(url, request(path="/responses?a=b"))
        await tap.stop()
        assert [seen.path for seen in server.requests] == ["/backend/api/responses?a=b"]


async def test_an_answer_may_come_before_the_request_is_whole() -> None:
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(impatient, "127.0.0.1", 0)
    tap = Tap(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", Notes(), grace=0.05)
    client = await Client.to(await tap.start())
    reply = await client.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{")
    assert (reply.line, reply.body) == (b"HTTP/1.1 413 Too Large", b"big")
    client.close()
    await tap.stop()
    server.close()


# -- encryption, and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of localhost, signed by itself: the certificate and its key."""
    program = which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "made.pem", folder / "key.pem"
    how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(made)]
    subprocess.run([program, *how.split(), *names], check=True, capture_output=True)
    return made, key


@asynccontextmanager
async def encrypted(certificate: tuple[Path, Path]) -> AsyncGenerator[int]:
    """A server that speaks TLS; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def a_proxy(port: int, asked: list[bytes]) -> AsyncGenerator[str]:
    """A proxy that leads every tunnel to one port; its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        tasks.add(asyncio.ensure_future(copy(reader, there[1])))
        tasks.add(asyncio.ensure_future(copy(there[0], writer)))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    try:
        yield f"http://user:word@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_upstream_whose_certificate_nobody_trusts(
    certificate: tuple[Path, Path],
) -> None:
    async with encrypted(certificate) as port:
        tap = Tap(f"https://localhost:{port}", Notes())
        reply = await ask(await tap.start(), request())
        await tap.stop()
    assert reply.line == b"HTTP/1.1 502 Bad Gateway"
    assert "certificate" in json.loads(reply.body)["error"]["message"]


async def test_a_certificate_that_the_clients_trust_is_trusted(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(certificate[0]))
    async with encrypted(certificate) as port:
        tap = Tap(f"https://localhost:{port}", Notes())
        reply = await ask(await tap.start(), request())
        await tap.stop()
    assert reply.body == b"secret"


async def test_the_way_to_the_upstream_may_lead_through_a_proxy(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(certificate[0]))
    monkeypatch.setattr(upstream, "is_loopback", lambda host: False)  # type: ignore[misc]
    asked: list[bytes] = []
    async with encrypted(certificate) as port, a_proxy(port, asked) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        tap = Tap("https://localhost", Notes())
        reply = await ask(await tap.start(), request(fields=[("Authorization", "Bearer mine")]))
        await tap.stop()
    assert reply.body == b"secret"
    assert asked[0].startswith(b"CONNECT localhost:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in asked[0]
    assert b"mine" not in asked[0]


async def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "is_loopback", lambda host: False)  # type: ignore[misc]
    refusal = model.whole(b"", [], 407, "Proxy Authentication Required")
    async with serving(lambda _: refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        tap = Tap("https://model.example", Notes())
        reply = await ask(await tap.start(), request())
        await tap.stop()
    assert b"model.example cannot be reached: the proxy answered 407" in reply.body


async def test_certificates_that_cannot_be_read_are_passed_over_as_node_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "nowhere"))
    tap = Tap("https://api.anthropic.com", Notes())
    assert await tap.start()
    await tap.stop()


async def test_a_silent_stream_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock of the tap ends what only thinks: an hour passes at once."""
    goes_on = asyncio.Event()
    first, *rest = model.streamed(model.message(["a"]))
    steps: list[Step] = [first, rest[0], goes_on, *rest[1:]]
    async with tapping(lambda _: steps) as (_, tap), started(tap.url) as client:
        loop = asyncio.get_running_loop()
        real = loop.time
        with monkeypatch.context() as later:
            later.setattr(loop, "time", lambda: real() + 3600)
            for _ in range(100):
                await asyncio.sleep(0)
            goes_on.set()
            assert await client.chunks() == (b"".join(model.message(["a"])), "whole")
