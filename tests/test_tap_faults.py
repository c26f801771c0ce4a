"""What goes wrong around a tap: clients that leave, upstreams that break, disks that hang."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp.http import StreamWriter

from agentmon.capture import decoding
from agentmon.capture.aside import Aside, Copy, Moment
from agentmon.capture.log import CaptureLog
from agentmon.capture.peer import Peers
from agentmon.capture.proxy import Tap
from agentmon.capture.recorder import Recorder
from tests import model_server as model
from tests.model_server import Step, serving
from tests.raw_http import Client, ask, request
from tests.tapped import PATIENCE, Failing, Hanging, Notes, free_port, started, tapping, until

BIG = b"x" * (1 << 16)


# -- clients


@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_client_that_leaves_ends_the_upstream_at_once(how: str) -> None:
    never = asyncio.Event()
    steps: list[Step] = [*model.streamed(model.message(["a"]))[:5], never]
    notes = Notes()
    async with tapping(lambda _: steps, notes) as (server, tap):
        async with started(tap.url) as client:
            if how == "resets":
                model.reset(client.writer)
        async with asyncio.timeout(PATIENCE):
            await server.hung_up.wait()
        await until(lambda: tap.status().running == 0)
    assert [told.outcome for told in notes.told] == ["client_gone"]


async def test_a_client_that_leaves_while_nothing_is_answered_yet() -> None:
    never = asyncio.Event()
    notes = Notes()
    async with tapping(lambda _: [never], notes) as (server, tap):
        client = await Client.to(tap.url)
        client.writer.write(request())
        await until(lambda: len(server.requests) == 1)
        client.close()
        async with asyncio.timeout(PATIENCE):
            await server.hung_up.wait()
    assert [told.outcome for told in notes.told] == ["client_gone"]


async def test_who_reads_slowly_slows_the_upstream_down() -> None:
    whole = 256 * (1 << 20)
    pieces: list[Step] = [model.head([("Content-Length", str(whole))]), *[BIG] * (whole >> 16)]
    async with tapping(lambda _: pieces) as (server, tap), started(tap.url, is_slow=True):
        sent = -1
        while not sent or sent != server.sent:  # until nothing moves any more
            sent = server.sent
            await asyncio.sleep(0.2)
        assert sent < whole // 4


async def test_an_upload_goes_only_as_fast_as_it_is_taken() -> None:
    over = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        await over.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024)
    port = server.sockets[0].getsockname()[1]
    tap = Tap(f"http://127.0.0.1:{port}", Notes(), grace=0.05)
    url = await tap.start()
    client = await Client.to(url)
    client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
    sent, whole = 0, 256 << 20
    with suppress(TimeoutError):
        while sent < whole:
            client.writer.write(BIG)
            async with asyncio.timeout(0.2):
                await client.writer.drain()
            sent += len(BIG)
    assert sent < whole
    client.close()
    await tap.stop()
    over.set()
    server.close()


# -- upstreams


async def test_a_reset_is_no_end() -> None:
    head, *rest = model.closing(b"half of it")
    async with tapping(lambda _: [head, *rest, 0.05, "reset"]) as (server, tap):
        direct = await ask(server.url, request())
        tapped = await ask(tap.url, request())
    assert direct.end == tapped.end == "reset"


async def test_a_reset_within_chunks_is_no_end() -> None:
    steps: list[Step] = [*model.streamed([b"abc"])[:-1], 0.05, "reset"]
    notes = Notes()
    async with tapping(lambda _: steps, notes) as (_, tap):
        reply = await ask(tap.url, request())
    assert reply.body == b"abc"
    assert reply.end in ("closed", "reset")
    assert notes.told[0].outcome == "upstream_gone"


async def test_what_came_before_a_cut_comes_to_a_slow_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slowly(writer: StreamWriter) -> None:
        del writer
        await asyncio.sleep(0.2)  # meanwhile comes what is left, and the cut

    monkeypatch.setattr(StreamWriter, "drain", slowly)
    head = model.head([("Content-Length", "100")])
    async with tapping(lambda _: [head + b"one ", 0.05, b"two ", "cut"]) as (_, tap):
        reply = await ask(tap.url, request(body=b""))
    assert (reply.body, reply.end) == (b"one two ", "closed")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("/v1/messages", {"type": "error"}), ("/v1/responses", {})],
    ids=["anthropic", "openai"],
)
async def test_an_upstream_that_is_down_is_told_in_the_form_of_the_api(
    path: str, wanted: dict[str, str]
) -> None:
    notes = Notes()
    tap = Tap(f"http://127.0.0.1:{free_port()}", notes)
    url = await tap.start()
    asked = request(path=path) if wanted else request(path=path).replace(b"anthropic", b"x")
    reply = await ask(url, asked)
    await tap.stop()
    assert reply.line == b"HTTP/1.1 502 Bad Gateway"
    said = json.loads(reply.body)
    assert said.items() >= wanted.items()
    assert "cannot be reached" in said["error"]["message"]
    told = notes.told[0]
    assert (told.status, told.body, told.outcome) == (502, reply.body, "complete")


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n"])
async def test_an_upstream_that_speaks_something_else(garbage: bytes) -> None:
    async with tapping(lambda _: [garbage, "cut"]) as (_, tap):
        reply = await ask(tap.url, request())
    assert reply.line == b"HTTP/1.1 502 Bad Gateway"
    assert b"no HTTP" in reply.body


# -- recording


@pytest.mark.parametrize("recorder", [Failing, Hanging])
async def test_a_recorder_in_trouble_is_no_trouble_of_the_client(
    recorder: type[Failing | Hanging],
) -> None:
    made = recorder()
    async with serving(lambda _: model.streamed(model.message(["a"] * 50))) as server:
        tap = Tap(server.url, made)
        url = await tap.start()
        for _ in range(3):
            assert (await ask(url, request())).body == b"".join(model.message(["a"] * 50))
        stopping = asyncio.ensure_future(tap.stop())
        if isinstance(made, Hanging):
            made.comes_back.set()
        await stopping


async def test_a_disk_that_hangs_for_ever_does_not_keep_it_from_ending() -> None:
    notes = Hanging()
    async with serving(lambda _: model.whole(b"ok")) as server:
        tap = Tap(server.url, notes)
        assert (await ask(await tap.start(), request())).body == b"ok"
        tap.hurry()
        await tap.stop()
    notes.comes_back.set()
    await until(lambda: notes.is_closed)
    assert [told.outcome for told in notes.told] == ["complete"]


async def test_what_does_not_fit_while_the_disk_hangs_is_counted() -> None:
    notes = Hanging()
    lot = Aside(notes, Moment(), room=10_000)
    lot.start()
    copy = Copy(lot)
    copy.begin("POST", "/", [], b"{}", lot.seat(None))
    copy.response(200, [])
    for _ in range(100):
        copy.feed(b"x" * 1000)
    copy.end("complete")
    notes.comes_back.set()
    await lot.close(asyncio.Event())
    [told] = notes.told
    assert told.outcome == "upstream_gone"
    assert 0 < len(told.body) < 10_000
    assert lot.lost == 100 - len(told.body) // 1000


async def test_a_log_that_cannot_be_written_and_then_can(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    log = CaptureLog(folder / "sse_lines.jsonl")
    fields = [("X-Claude-Code-Session-Id", "5b1d2c3e-0000-4000-8000-000000000001")]
    body = b'{"model":"m","stream":true,"tools":[{"name":"Bash"}],"messages":[]}'
    async with serving(model.model(["a", "b"])) as server:
        tap = Tap(server.url, Recorder(log))
        url = await tap.start()
        asked = request(body=body, fields=fields)
        expected = b"".join(model.message(["a", "b"]))
        assert (await ask(url, asked)).body == expected
        await until(lambda: log.lost >= len(model.message(["a", "b"])))
        folder.unlink()
        assert (await ask(url, asked)).body == expected
        await tap.stop()
    lines = [json.loads(line) for line in (folder / "sse_lines.jsonl").read_bytes().splitlines()]
    events = [line["event"].removeprefix("claude.") for line in lines]
    sent = [
        json.loads(event.partition(b"data: ")[2])["type"] for event in model.message(["a", "b"])
    ]
    assert [event for event in events if event in sent] == sent


def test_what_unfolds_without_end_is_not_kept() -> None:
    import zlib

    packer = zlib.compressobj(1)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(70)) + packer.flush()
    with pytest.raises(decoding.Undecodable):
        decoding.decoded(bomb, "deflate")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "zstd"])
def test_bodies_are_decoded_in_any_pieces(encoding: str) -> None:
    import gzip
    import zlib

    body = b"".join(b"%d " % number for number in range(5_000))
    raw = zlib.compressobj(wbits=-15)
    if encoding == "zstd":
        library = pytest.importorskip("backports.zstd")
        packed = library.compress(body)
    else:
        packed = {
            "gzip": gzip.compress(body[:100]) + gzip.compress(body[100:]),
            "deflate": zlib.compress(body),
            "raw deflate": raw.compress(body) + raw.flush(),
        }[encoding]
    for size in (1, 1000, len(packed)):
        decoder = decoding.decoder(encoding.removeprefix("raw "))
        pieces = [p for part in model.cut_anywhere(packed, [size]) for p in decoder.feed(part)]
        assert b"".join(pieces) == body


def test_one_look_serves_all_that_were_connected_before_it() -> None:
    looks: list[int] = []

    def look() -> dict[tuple[int, int], set[int]]:
        looks.append(1)
        return {}

    peers = Peers(look)
    since = time.monotonic()
    assert [peers.find(port, 1, since) for port in range(100)] == [None] * 100
    assert len(looks) == 1
    peers.find(1, 1, time.monotonic())
    assert len(looks) == 2


# -- its end


async def test_what_runs_may_finish_and_nothing_new_begins() -> None:
    goes_on = asyncio.Event()
    first, *rest = model.streamed(model.message(["a"]))
    steps: list[Step] = [first, rest[0], goes_on, *rest[1:]]
    async with tapping(lambda _: steps, grace=PATIENCE) as (_, tap):
        idle = await Client.to(tap.url)
        async with started(tap.url) as client:
            stopping = asyncio.ensure_future(tap.stop())
            assert await idle.reader.read() == b""
            idle.close()
            with pytest.raises(OSError):  # noqa: PT011
                await Client.to(tap.url)
            goes_on.set()
            assert await client.chunks() == (b"".join(model.message(["a"])), "whole")
            assert await client.reader.read() == b""
            await stopping


@pytest.mark.parametrize("hurried", [True, False])
async def test_what_does_not_finish_is_broken_off(hurried: bool) -> None:
    steps: list[Step] = [*model.streamed([b"abc"])[:-1], asyncio.Event()]
    notes = Notes()
    grace = PATIENCE if hurried else 0.01
    async with (
        tapping(lambda _: steps, notes, grace=grace) as (_, tap),
        started(tap.url) as client,
    ):
        stopping = asyncio.ensure_future(tap.stop())
        if hurried:
            tap.hurry()
        assert await client.chunks() == (b"abc", "closed")
        await stopping
    assert notes.told[0].outcome == "client_gone"
    assert notes.is_closed
