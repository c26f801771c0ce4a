"""`agentmon tap` as a process, and who may use it for what."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentmon.capture import headers, upstream
from tests import model_server as model
from tests.cli_run import ROOT, Running, assert_one_sentence, command, environment, inside, ran
from tests.model_server import Step, serving
from tests.raw_http import Reply, ask, request
from tests.tapped import Notes, free_port, started, tapping, until

SID = "5b1d2c3e-0000-4000-8000-000000000001"
BODY = b'{"model":"m","stream":true,"tools":[{"name":"Bash"}],"messages":[]}'
ASKED = request(body=BODY, fields=[("X-Claude-Code-Session-Id", SID)])


@asynccontextmanager
async def running(*words: object) -> AsyncGenerator[tuple[Running, str]]:
    """The command and its address."""
    with Running("tap", *words) as tap:
        url = (await asyncio.to_thread(tap.line)).decode().strip()
        yield tap, url


def held(goes_on: asyncio.Event) -> list[Step]:
    """A stream that waits after its first event."""
    first, *rest = model.streamed(model.message(["a"]))
    return [first, rest[0], goes_on, *rest[1:]]


async def test_from_its_start_to_its_end(tmp_path: Path) -> None:
    log, address, goes_on = tmp_path / "log.jsonl", tmp_path / "address", asyncio.Event()
    async with serving(lambda _: held(goes_on)) as server:
        given = ("--upstream", server.url, "--log", log, "--port-file", address)
        async with running(*given) as (tap, url):
            assert (await asyncio.to_thread(tap.line)).decode().strip() == str(log)
            await until(address.exists)
            assert address.read_text() == f"{url}\n"
            async with started(url, ASKED) as client:
                tap.process.send_signal(signal.SIGTERM)
                assert tap.process.stderr is not None
                said = await asyncio.to_thread(tap.process.stderr.readline)
                assert said.startswith(b"agentmon: waiting for 1 running stream")
                goes_on.set()
                assert await client.chunks() == (b"".join(model.message(["a"])), "whole")
            answer = await asyncio.to_thread(tap.end)
    assert (answer.code, answer.err) == (0, "")
    assert not address.exists()
    assert log.stat().st_mode & 0o777 == 0o600
    assert "claude.message_stop" in events(log)


def events(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_bytes().splitlines()]


async def test_a_second_signal_ends_at_once() -> None:
    async with (
        serving(lambda _: held(asyncio.Event())) as server,
        running("--upstream", server.url, "--grace", "1h") as (tap, url),
        started(url, ASKED) as client,
    ):
        tap.process.send_signal(signal.SIGINT)
        assert tap.process.stderr is not None
        await asyncio.to_thread(tap.process.stderr.readline)
        answer = await asyncio.to_thread(tap.end, signal.SIGTERM)
        assert (await client.chunks())[1] == "closed"
    assert answer.code == 130


async def test_killed_it_closes_the_connection_and_its_log_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    steps: list[Step] = [*model.streamed(model.message(["a"] * 9))[:-1], asyncio.Event()]
    async with (
        serving(lambda _: steps) as server,
        running("--upstream", server.url, "--log", log) as (tap, url),
        started(url, ASKED) as client,
    ):
        await until(lambda: log.exists() and b"message_stop" in log.read_bytes())
        tap.process.kill()
        body, end = await client.chunks()
    assert body == b"".join(model.message(["a"] * 9))
    assert end in ("closed", "reset")
    assert events(log).count("claude.content_block_delta") == 9 + 4


async def test_what_could_not_be_recorded_is_told() -> None:
    async with serving(model.model(["a"])) as server:
        for more, is_told in (((), True), (("--quiet",), False)):
            given = ("--upstream", server.url, "--log", "/dev/full", *more)
            async with running(*given) as (tap, url):
                assert (await ask(url, ASKED)).body == b"".join(model.message(["a"]))
                answer = await asyncio.to_thread(tap.end, signal.SIGTERM)
            assert ("events were passed on and not recorded: /dev/full" in answer.err) is is_told


async def test_no_credential_is_in_any_file(scratch_home: Path, tmp_path: Path) -> None:
    secrets = ["sk-ant-api03-SECRETSECRET", "Bearer-SECRETSECRET", "cookie-SECRETSECRET"]
    fields = [
        ("X-Claude-Code-Session-Id", SID),
        ("x-api-key", secrets[0]),
        ("Authorization", f"Bearer {secrets[1]}"),
        ("Cookie", f"session={secrets[2]}"),
    ]
    answer = model.streamed(model.message(["a"]), [*model.SSE, ("Set-Cookie", f"a={secrets[2]}")])
    async with (
        serving(lambda _: answer) as server,
        running("--upstream", server.url, "--record-requests") as (tap, url),
    ):
        await ask(url, request(body=BODY, fields=fields))
        await ask(url, request("GET", f"/v1/models?key={secrets[0]}", b"", fields))
        await ask(url, request(body=BODY, fields=fields).replace(b"Content-Length", b"Content Len"))
        await ask(url, b"GET / HTTP/1.1\r\nx-api-key : %b\r\n\r\n" % secrets[0].encode())
        said = await asyncio.to_thread(tap.end, signal.SIGTERM)
        seen = [server.requests[0].field(name) for name in ("x-api-key", "authorization", "cookie")]
    assert seen == [secrets[0], f"Bearer {secrets[1]}", f"session={secrets[2]}"]
    files = [path for base in (scratch_home, tmp_path) for path in base.rglob("*")]
    written = [path for path in files if path.is_file()]
    assert {path.name for path in written} >= {"sse_lines.jsonl", "requests.jsonl"}
    everything = [said.out, said.err, *(path.read_text("latin-1") for path in written)]
    assert not [text for text in everything if "SECRETSECRET" in text]


def test_bad_arguments_are_one_sentence() -> None:
    for given, said in (
        (("--listen", "here"), "HOST:PORT"),
        (("--upstream", "ftp://x"), "no address"),
        (("--upstream", "https://a:b@example.com"), "no password"),
        (("--upstream", "https://example.com/?a=b"), "a query"),
        (("--upstream", "https://example.com:x"), "ort"),
        (("--upstream", "https://exa mple.com"), "no spaces"),
        (("--grace", "soon"), "--grace"),
    ):
        assert_one_sentence(inside("tap", *given), said, code=2)


def test_an_address_that_cannot_be_had_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_sentence(inside("tap", "--listen", f"127.0.0.1:{port}"), "cannot listen")
    port = free_port()
    itself = ("--listen", f"127.0.0.1:{port}", "--upstream", f"http://localhost:{port}")
    assert_one_sentence(inside("tap", *itself), "is the tap itself")


def test_without_its_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('no', name='aiohttp')")
    env = environment({"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert_one_sentence(ran(command("tap"), env=env), "agentmon[tap]")


async def test_it_says_so_when_others_can_reach_it(scratch_home: Path, tmp_path: Path) -> None:
    folder = scratch_home / "config" / "agentmon"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[capture]\nfolder = "{tmp_path}"\n')
    async with running("--listen", "0.0.0.0:0", "--upstream", "http://example.com") as (tap, url):
        log = (await asyncio.to_thread(tap.line)).decode().strip()
        answer = await asyncio.to_thread(tap.end, signal.SIGTERM)
    assert url.startswith("http://0.0.0.0:")
    assert log == f"{tmp_path}/sse_lines.jsonl"
    reached, plain = answer.err.splitlines()
    assert reached.startswith("agentmon: 0.0.0.0 is reached from other machines")
    assert plain.startswith("agentmon: what goes to http://example.com is not encrypted")


# -- only its upstream, and only what both ends read alike


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


NOT_FOR_US = {
    "another server": head("GET http://example.com/ HTTP/1.1", "Host: example.com"),
    "encrypted": head("GET https://example.com/ HTTP/1.1", "Host: example.com"),
    "a tunnel": head("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443"),
    "no path": head("OPTIONS * HTTP/1.1", "Host: x"),
    "a fragment": head("GET /#x HTTP/1.1", "Host: x"),
}
AMBIGUOUS = {
    "two ways to its end": head(
        "POST / HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked"
    )
    + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "two lengths": head("POST / HTTP/1.1", "Host: x", "Content-Length: 4", "Content-Length: 5")
    + b"abcde",
    "a signed length": head("POST / HTTP/1.1", "Host: x", "Content-Length: +4") + b"abcd",
    "a space before the colon": head("POST / HTTP/1.1", "Host: x", "Content-Length : 4") + b"abcd",
    "a folded line": head("POST / HTTP/1.1", "Host: x", "X: a", " b", "Content-Length: 0"),
    "another coding": head("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked, x")
    + b"0\r\n\r\n",
    "a bad chunk": head("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked")
    + b"0x3\r\nabc\r\n0\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


async def refused(asked: bytes) -> tuple[Reply, list[model.Request]]:
    async with tapping(lambda _: model.whole(b"passed on")) as (server, tap):
        return await ask(tap.url, asked), server.requests


@pytest.mark.parametrize("name", NOT_FOR_US)
async def test_it_goes_nowhere_but_to_its_upstream(name: str) -> None:
    reply, requests = await refused(NOT_FOR_US[name])
    assert reply.line.startswith(b"HTTP/1.1 400 ")
    assert not requests


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_is_not_passed_on(name: str) -> None:
    reply, requests = await refused(AMBIGUOUS[name])
    assert reply.line.split(b" ")[1:2] in ([b"400"], [])
    assert not [request for request in requests if request.body or "smuggled" in request.line]


@pytest.mark.parametrize("path", ["//example.com/x", "/\\example.com", "/@example.com", "/..//x"])
async def test_no_path_leads_elsewhere(path: str) -> None:
    asked = head(f"GET {path} HTTP/1.1", "Host: example.com", "X-Forwarded-Host: example.com")
    async with tapping(lambda _: model.whole(b"here")) as (server, tap):
        assert (await ask(tap.url, asked)).body == b"here"
        [seen] = server.requests
        assert seen.path == path
        assert seen.field("host") == server.url.removeprefix("http://")


async def test_redirects_and_cookies_are_the_clients() -> None:
    other = "http://127.0.0.1:9/elsewhere"
    fields = [("Location", other), ("Set-Cookie", "a=1")]
    notes = Notes()
    async with tapping(lambda _: model.whole(b"", fields, 302, "Found"), notes) as (server, tap):
        for _ in range(2):
            reply = await ask(tap.url, request("GET", body=b""))
            assert reply.field("location") == other.encode()
        assert [seen.field("cookie") for seen in server.requests] == [None, None]


def test_no_field_is_named_away_that_says_where_a_body_ends() -> None:
    raw = [(b"Connection", b"x-a, content-length"), (b"X-A", b"1"), (b"Content-Length", b"3")]
    assert headers.passed_on(raw) == [(b"Content-Length", b"3")]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com"),
        ("https://api.anthropic.com:443/", "https://api.anthropic.com"),
        ("HTTP://Example.COM:8080/a/b/", "http://example.com:8080/a/b"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_upstreams(given: str, url: str) -> None:
    assert upstream.parse(given).url == url


def test_the_proxy_of_the_machine_is_used_for_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example.com")
    proxies = {
        given: upstream.proxy_for(upstream.parse(given))
        for given in ("https://a.example.com", "https://internal.example.com", "http://127.0.0.1")
    }
    assert [*proxies.values()] == ["http://proxy:3128", None, None]
