"""Through a tap comes exactly what would have come directly, and what is recorded is just that."""

import asyncio
import gzip
import os
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import model_server as model
from tests.deep import examples, only_deep
from tests.model_server import Step, serving
from tests.raw_http import Client, Reply, ask, request
from tests.tapped import Notes, tapping, until

WORDS = ["Hel", "lo ", "wörld \u2028", "\x1b[31m", "x" * 200_000]
STREAM = b"".join(model.message(WORDS))
HOSTILE = bytes(range(256)) * 40 + b"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
JSON = [("Content-Type", "application/json")]

ODD = [
    ("X-Double", "1"),
    ("sEt-cOOkie", "a=1"),
    ("X-Between", ""),
    ("Set-Cookie", "b=2; Path=/"),
    ("X-Double", "2"),
    ("X-Latin", "caf\xe9"),
    ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("Server", "model/1"),
]

ANSWERS: dict[str, Sequence[Step]] = {
    "events": model.streamed(model.message(WORDS)),
    "responses": model.streamed(model.response(WORDS)),
    "odd pieces": model.streamed(model.cut_anywhere(STREAM, [1, 7, 3, 4096])),
    "one byte a piece": model.streamed(model.cut_anywhere(STREAM[:3000], [1])),
    "known length": model.whole(STREAM, model.SSE),
    "until closed": model.closing(STREAM, model.SSE),
    "hostile": model.streamed(model.cut_anywhere(HOSTILE, [17, 255])),
    "hostile of known length": model.whole(HOSTILE),
    "hostile until closed": model.closing(HOSTILE),
    "gzip": model.whole(gzip.compress(STREAM), [("Content-Encoding", "gzip"), *model.SSE]),
    "deflate in pieces": model.streamed(
        model.cut_anywhere(zlib.compress(STREAM), [5, 900]), [("Content-Encoding", "deflate")]
    ),
    "overloaded": model.whole(model.OVERLOADED, JSON, 529, "Overloaded"),
    "no reason": model.whole(b"?", [], 500, ""),
    "odd head": model.whole(b"{}", ODD, 299, "Quite  fine"),
    "nothing": [model.head([("X-A", "1")], 204, "No Content")],
    "not modified": [model.head([("Content-Length", "12"), ("ETag", '"1"')], 304, "Not Modified")],
    "empty": model.whole(b""),
    "empty stream": model.streamed([]),
    "moved": model.whole(b"", [("Location", "https://example.com/")], 307, "Temporary Redirect"),
    "unknown coding": model.whole(b"?????", [("Content-Encoding", "rot13")]),
    "cut in a chunk": [*model.streamed([b"abc"])[:-1], b"40\r\nshort", "cut"],
    "cut between chunks": [*model.streamed([b"abc", b"def"])[:-1], "cut"],
    "cut in a length": [model.head([("Content-Length", "1000")]), b"x" * 10, "cut"],
    "cut before the answer": ["cut"],
    "cut in the head": [b"HTTP/1.1 200 OK\r\nContent-", "cut"],
}
WHOLE = [name for name in ANSWERS if not name.startswith("cut")]


async def both(steps: Sequence[Step], asked: bytes) -> tuple[Reply, Reply, Notes]:
    """What comes directly and through a tap."""
    notes = Notes()
    is_head = asked.startswith(b"HEAD")
    async with tapping(lambda _: steps, notes) as (server, tap):
        direct = await ask(server.url, asked, is_head=is_head)
        tapped = await ask(tap.url, asked, is_head=is_head)
    return direct.from_end_to_end(), tapped.from_end_to_end(), notes


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_comes_is_what_would_have_come(name: str) -> None:
    direct, tapped, notes = await both(ANSWERS[name], request())
    assert tapped == direct
    [told] = notes.told or [None]
    if told is None:
        assert name in ("cut before the answer", "cut in the head")
        return
    assert told.outcome == ("complete" if name in WHOLE else "upstream_gone")
    assert told.request == b'{"stream":true}'
    assert told.body == direct.body
    if told.status:
        assert told.status == int(direct.line.split()[1])


@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE", "PUT", "OPTIONS", "PATCH"])
async def test_other_methods_and_paths(method: str) -> None:
    body = b"{}" if method in ("PUT", "PATCH") else b""
    asked = request(method, "/api/hello//a%2Fb/../c?x=%41&y=[1]", body, [("X-A", "1")])
    steps = [model.head([("Content-Length", "5"), ("X-B", "2")])]
    steps += [] if method == "HEAD" else [b"hello"]
    notes = Notes()
    async with tapping(lambda _: steps, notes) as (server, tap):
        is_head = method == "HEAD"
        direct = await ask(server.url, asked, is_head=is_head)
        assert await ask(tap.url, asked, is_head=is_head) == direct
        first, second = server.requests
    assert second.line == first.line
    assert second.body == first.body == body


@settings(max_examples=examples(10, 25), deadline=None)
@given(
    body=st.binary(max_size=5000),
    sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=6),
    form=st.sampled_from(["chunks", "length", "closing"]),
    writes=st.lists(st.integers(1, 700), min_size=1, max_size=4),
)
def test_any_bytes_in_any_pieces(
    body: bytes, sizes: list[int], form: str, writes: list[int]
) -> None:
    pieces = model.cut_anywhere(body, sizes)
    steps = {
        "chunks": model.streamed(pieces),
        "length": model.whole(body),
        "closing": model.closing(body),
    }[form]
    wire = b"".join(step for step in steps if isinstance(step, bytes))
    whole_head, rest = wire.split(b"\r\n\r\n", 1)
    again = [whole_head + b"\r\n\r\n", *model.cut_anywhere(rest, writes)]
    direct, tapped, notes = asyncio.run(both(again, request()))
    assert tapped == direct
    assert tapped.body == body == notes.told[0].body


async def test_the_upstream_gets_what_the_client_sent() -> None:
    body = os.urandom(3_000_000)
    fields = [
        ("X-Api-Key", "sk-secret"),
        ("accept-encoding", "gzip, br"),
        ("X-Odd", "a, b"),
        ("x-odd", "c"),
        ("Content-Encoding", "br"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Cookie", "a=1; b=2"),
        ("X-Place", "caf\xe9"),
    ]
    asked = request(body=body, fields=fields)
    async with tapping(lambda _: model.whole(b"ok")) as (server, tap):
        await ask(server.url, asked)
        await ask(tap.url, asked)
        direct, tapped = server.requests
    assert tapped.body == direct.body == body
    assert tapped.line == direct.line
    gone = {"connection", "x-hop", "host"}
    kept = [field for field in direct.fields if field[0].lower() not in gone]
    plain = [(n, "identity" if n == "accept-encoding" else v) for n, v in kept]
    again = {"x-odd": "X-Odd", "caf\xe9": "caf\xe9".encode().decode("latin-1")}
    spelt = [(again.get(n, n), again.get(v, v)) for n, v in plain]
    assert [field for field in tapped.fields if field[0] != "Host"] == spelt
    assert tapped.field("host") == server.url.removeprefix("http://")


async def test_who_takes_nothing_plain_is_not_asked_to() -> None:
    fields = [("Accept-Encoding", "gzip, identity;q=0")]
    async with tapping(lambda _: model.whole(b"ok")) as (server, tap):
        await ask(tap.url, request(fields=fields))
        await ask(tap.url, request("GET", body=b"", fields=[("Accept-Encoding", "gzip")]))
        await ask(tap.url, request())
        asked = [request.field("accept-encoding") for request in server.requests]
    assert asked == ["gzip, identity;q=0", "gzip", None]


async def test_a_body_in_chunks_and_who_waits_to_send_it() -> None:
    async with tapping(lambda _: model.whole(b"ok")) as (server, tap):
        client = await Client.to(tap.url)
        client.writer.write(
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        found = await client.head()
        assert found == (b"HTTP/1.1 100 Continue", [])
        reply = await client.ask(b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n")
        client.close()
        assert reply.body == b"ok"
        assert server.requests[0].body == b"abcde"
        assert server.requests[0].field("expect") is None


async def test_a_compressed_request_goes_on_as_it_is() -> None:
    body = gzip.compress(b'{"stream":true,"model":"x"}')
    notes = Notes()
    async with tapping(lambda _: model.whole(b"ok"), notes) as (server, tap):
        await ask(tap.url, request(body=body, fields=[("Content-Encoding", "gzip")]))
        assert server.requests[0].body == body
    assert notes.told[0].request == body


async def test_connections_are_kept_at_both_ends() -> None:
    notes = Notes()
    async with tapping(lambda _: model.streamed([b"a", b"b"]), notes) as (server, tap):
        client = await Client.to(tap.url)
        for _ in range(5):
            assert (await client.ask(request())).body == b"ab"
        await until(lambda: len(notes.told) == 5)
        client.close()
        assert server.connections == 1
    assert {told.peer.pid if told.peer else None for told in notes.told} == {os.getpid()}


async def test_requests_in_one_go_are_answered_in_order() -> None:
    def script(asked: model.Request) -> list[Step]:
        return model.whole(asked.path.encode())

    async with tapping(script) as (_, tap):
        client = await Client.to(tap.url)
        client.writer.write(b"".join(request(path=f"/{number}") for number in range(5)))
        answers = [(await client.answer()).body for _ in range(5)]
        client.close()
    assert answers == [b"/0", b"/1", b"/2", b"/3", b"/4"]


async def test_who_would_rather_speak_otherwise_is_answered_as_it_is() -> None:
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "a")]
    async with tapping(lambda _: model.whole(b"no", [], 426, "Upgrade Required")) as (server, tap):
        client = await Client.to(tap.url)
        for _ in range(2):
            reply = await client.ask(request("GET", "/v1/responses", b"", fields))
            assert (reply.line, reply.body) == (b"HTTP/1.1 426 Upgrade Required", b"no")
        client.close()
        assert server.requests[0].field("upgrade") is None


async def test_an_older_client_is_told_the_end_by_closing() -> None:
    asked = b"GET / HTTP/1.0\r\n\r\n"
    async with tapping(lambda _: model.streamed([b"a", b"b"])) as (_, tap):
        reply = await ask(tap.url, asked)
    assert (reply.field("transfer-encoding"), reply.body) == (None, b"ab")


async def test_an_event_goes_on_before_the_next_is_there() -> None:
    goes_on = asyncio.Event()
    first, *rest = model.streamed(model.message(["a"]))
    steps: list[Step] = [first, rest[0], goes_on, *rest[1:]]
    async with tapping(lambda _: steps) as (_, tap):
        client = await Client.to(tap.url)
        client.writer.write(request())
        assert await client.head() is not None
        line = await client.reader.readline()
        piece = await client.reader.readexactly(int(line, 16))
        assert piece.startswith(b"event: message_start\n")
        goes_on.set()
        client.close()


@pytest.mark.parametrize("count", [40, *only_deep(400)])
async def test_many_streams_at_once(count: int) -> None:
    def script(asked: model.Request) -> list[Step]:
        return model.streamed(model.message([asked.path, *"abcdef"]), pause=0.001)

    notes = Notes()
    async with tapping(script, notes) as (_, tap):
        paths = [f"/v1/messages/{number}" for number in range(count)]
        replies = await asyncio.gather(*(ask(tap.url, request(path=path)) for path in paths))
    for path, reply in zip(paths, replies, strict=True):
        assert reply.body == b"".join(model.message([path, *"abcdef"]))
    assert {told.path: told.body for told in notes.told} == dict(
        zip(paths, (reply.body for reply in replies), strict=True)
    )


async def test_taps_may_stand_in_a_row() -> None:
    steps = ANSWERS["odd pieces"]
    async with serving(lambda _: steps) as server, tapping(lambda _: steps) as (_, near):
        direct = await ask(server.url, request())
        assert (await ask(near.url, request())).body == direct.body
