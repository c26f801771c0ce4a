"""Messages by a real Redis server: between two stores, as of two machines, over crashes."""

import asyncio
import contextlib
import itertools
import json
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentmon.collab import archive, form, outbox, redis_inbox
from agentmon.collab.mail import Mail
from agentmon.collab.messaging import MessagingSystem
from agentmon.collab.redis_client import connect
from agentmon.collab.redis_transport import InboxFull, RedisTransport
from agentmon.logfile import log
from agentmon.store import db
from tests.redis_server import Server, running


@pytest.fixture
def server() -> Iterator[Server]:
    yield from running()


@contextlib.contextmanager
def reading(folder: Path) -> Generator[sqlite3.Connection]:
    conn = db.open_reading(folder)
    try:
        yield conn
    finally:
        conn.close()


async def until(asked: Callable[[], Awaitable[object]]) -> None:
    for _ in itertools.count():
        if await asked():
            return
        await asyncio.sleep(0.01)


async def is_empty(redis: Redis) -> bool:
    return not await redis.xlen(redis_inbox.key(b"inbox", "web"))


async def take(system: MessagingSystem, count: int) -> list[Mail]:
    found: list[Mail] = []
    async with contextlib.aclosing(system.listen()) as incoming:
        async for mail in incoming:
            found.append(mail)
            if len(found) == count:
                break
    return found


@contextlib.asynccontextmanager
async def pair(tmp_path: Path, url: str) -> AsyncGenerator[tuple[MessagingSystem, MessagingSystem]]:
    """api and web, on two machines."""
    async with (
        MessagingSystem("api", data_dir=tmp_path / "one", url=url) as api,
        MessagingSystem("web", data_dir=tmp_path / "two", url=url) as web,
    ):
        yield api, web


async def test_one_that_was_away_gets_what_it_missed_once(server: Server, tmp_path: Path) -> None:
    async with pair(tmp_path, server.url) as (api, web):
        sent = [await api.send_message("web", f"number {n}") for n in range(3)]
        assert api.trouble is None
        first = await take(web, 2)
        more = await api.send_message("web", {"content": {"subject": "s", "body": "\x1b[31m"}})
        found = [*first, *await take(web, 2)]
        assert [(mail.message_id, mail.body) for mail in found] == [
            (mail.message_id, mail.body) for mail in [*sent, more]
        ]
        assert {mail.origin for mail in found} == {"redis"}
        assert found[0].sent_at == sent[0].sent_at
        assert found[0].host
    with reading(tmp_path / "two") as conn:
        [*kept] = archive.recent(conn)
        assert [mail.deliveries[0].delivered_at is not None for mail in kept] == [True] * 4
        assert [mail.deliveries[0].receiver for mail in kept] == ["web"] * 4
    with reading(tmp_path / "one") as conn:
        assert outbox.backlogs(conn) == []
    async with connect(server.url) as redis:
        assert await redis.xlen(redis_inbox.key(b"inbox", "web")) == 0


async def test_agents_of_one_store_get_it_once_too(server: Server, tmp_path: Path) -> None:
    url = server.url
    async with (
        MessagingSystem("api", data_dir=tmp_path, url=url) as api,
        MessagingSystem("web", data_dir=tmp_path, url=url) as web,
        MessagingSystem("db", data_dir=tmp_path, url=url) as third,
    ):
        await api.send_message(["web", "db"], "to two")
        await take(web, 1)
        await api.send_message("*", "to all")
        assert [mail.body for mail in await take(third, 1)] == ["to two"]
        assert [mail.body for mail in await take(web, 1)] == ["to all"]
        last = await api.send_message("web", "the last")
        assert await take(web, 1) != []
        assert last.message_id
    with reading(tmp_path) as conn:
        assert len(archive.recent(conn)) == 3


async def test_everybody_on_all_machines(server: Server, tmp_path: Path) -> None:
    async with pair(tmp_path, server.url) as (api, web):
        waiting = asyncio.create_task(take(web, 1))
        async with connect(server.url) as redis:
            await until(lambda: redis.hexists(redis_inbox.AGENTS, "web"))
        sent = await api.send_message("*", "hello")
        assert [mail.message_id for mail in await waiting] == [sent.message_id]
        answer = await web.send_message(
            None, {"reply_to": sent.message_id, "content": {"body": "x"}}
        )
        [got] = await take(api, 1)
        assert (got.thread_id, got.reply_to) == (sent.thread_id, sent.message_id)
        assert got.message_id == answer.message_id


async def test_a_server_that_is_down_gets_it_later_in_order(server: Server, tmp_path: Path) -> None:
    async with pair(tmp_path, server.url) as (api, web):
        listening = asyncio.create_task(take(web, 12))
        for number in range(4):
            await api.send_message("web", f"{number}")
        server.kill()
        for number in range(4, 8):
            await api.send_message("web", f"{number}")
        assert api.trouble is not None
        assert "Redis at unix://" in api.trouble
        with reading(tmp_path / "one") as conn:
            [backlog] = outbox.backlogs(conn)
            assert backlog.count == 4
        server.start()
        for number in range(8, 12):
            await api.send_message("web", f"{number}")
        assert [mail.body for mail in await listening] == [str(number) for number in range(12)]


async def test_what_a_process_could_not_send_goes_with_the_next(
    server: Server, tmp_path: Path
) -> None:
    server.kill()
    async with MessagingSystem("api", data_dir=tmp_path / "one", url=server.url) as api:
        await api.send_message("web", "early")
        assert api.trouble is not None
    server.start()
    async with pair(tmp_path, server.url) as (api, web):
        await api.send_message("db", "later")
        assert [mail.body for mail in await take(web, 1)] == ["early"]


async def test_two_that_send_what_waits_do_not_double(server: Server, tmp_path: Path) -> None:
    server.kill()
    async with MessagingSystem("api", data_dir=tmp_path, url=server.url) as api:
        for number in range(150):
            await api.send_message("web", f"{number}")
    server.start()
    flushers = [RedisTransport(server.url, tmp_path) for _ in range(4)]
    await asyncio.gather(*(one.flush() for one in flushers))
    for one in flushers:
        await one.close()
    async with connect(server.url) as redis:
        assert await redis.xlen(redis_inbox.key(b"inbox", "web")) == 150
    async with MessagingSystem("web", data_dir=tmp_path / "two", url=server.url) as web:
        found = await web.inbox(limit=200)
        assert [mail.body for mail in found] == [str(number) for number in range(150)]


async def test_a_lost_answer_doubles_nothing(server: Server, tmp_path: Path) -> None:
    """The server took it, and the sender died before it knew."""
    async with pair(tmp_path, server.url) as (api, web):
        sent = await api.send_message("web", "once")
        conn = db.create(tmp_path / "one")
        outbox.put(conn, RedisTransport(server.url, tmp_path).address, sent.message_id, ["web"])
        conn.close()
        await api.send_message("web", "after")
        async with connect(server.url) as redis:
            assert await redis.xlen(redis_inbox.key(b"inbox", "web")) == 3
        assert [mail.body for mail in await take(web, 2)] == ["once", "after"]
    with reading(tmp_path / "two") as conn:
        assert len(archive.recent(conn)) == 2


async def test_a_full_inbox_is_told_before_and_loses_nothing(
    server: Server, tmp_path: Path
) -> None:
    told: list[str] = []
    async with pair(tmp_path, server.url) as (api, web):
        bounded = RedisTransport(server.url, api.data_dir, most=10, on_warning=told.append)
        api._transport = bounded  # pyright: ignore[reportPrivateUsage]
        for number in range(8):
            await api.send_message("web", f"{number}")
        assert told == []
        for number in range(8, 14):
            await api.send_message("web", f"{number}")
        assert len(told) == 1
        assert "'web'" in told[0]
        assert "9 of at most 10" in told[0]
        assert api.trouble is not None
        assert "full" in api.trouble
        await api.send_message("db", "another one")
        assert api.trouble is None
        with pytest.raises(InboxFull):
            await bounded.flush()
        assert [mail.body for mail in await take(web, 14)] == [str(n) for n in range(14)]


async def test_what_is_no_message_is_passed_over(server: Server, tmp_path: Path) -> None:
    junk = [b"", b"\xff", b"[]", b"{}", b'{"message_id":"x"}', b"9" * 5000]
    async with pair(tmp_path, server.url) as (api, web), connect(server.url) as redis:
        inbox = redis_inbox.key(b"inbox", "web")
        for payload in junk:
            await redis.xadd(inbox, {"message": payload})
        await redis.xadd(inbox, {"other": "field"})
        await api.send_message("web", "sound")
        assert [mail.body for mail in await take(web, 1)] == ["sound"]
        assert await redis.xlen(inbox) == 0
        assert await redis.xlen(redis_inbox.REFUSED) == len(junk)


async def test_the_largest_message_arrives(server: Server, tmp_path: Path) -> None:
    given: dict[str, Any] = {"message_id": "m", "from": "api", "to": ["web"], "type": "message"}
    given |= {"timestamp": 5.0, "content": {"subject": "", "body": ""}}
    room = form.LIMIT_BYTES - len(form.encode(form.parse(given)))
    async with pair(tmp_path, server.url) as (api, web):
        given["content"]["body"] = "x" * room
        sent = await api.send_message(None, given)
        assert [mail.body for mail in await take(web, 1)] == [sent.body]


async def test_a_server_that_lost_its_data_is_listened_to_again(
    server: Server, tmp_path: Path
) -> None:
    async with pair(tmp_path, server.url) as (api, web), connect(server.url) as redis:
        listening = asyncio.create_task(take(web, 2))
        await api.send_message("web", "before")
        await until(lambda: is_empty(redis))
        await redis.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType]
        await api.send_message("web", "after")
        assert [mail.body for mail in await listening] == ["before", "after"]


def marks(folder: Path, message_id: str) -> list[tuple[object, ...]]:
    with reading(folder) as conn:
        mail = archive.get(conn, message_id)
    assert mail is not None
    return [
        (one.receiver, *(at is not None for at in (one.delivered_at, one.read_at, one.acked_at)))
        for one in mail.deliveries
    ]


async def test_the_sender_hears_what_became_of_it(server: Server, tmp_path: Path) -> None:
    one = tmp_path / "one"
    async with pair(tmp_path, server.url) as (api, web):
        sent = await api.send_message("web", {"content": {"body": "x"}, "ack_required": True})
        assert marks(one, sent.message_id) == [("web", False, False, False)]
        await take(web, 1)
        await web.inbox()  # tells
        await api.inbox()  # hears
        assert marks(one, sent.message_id) == [("web", True, False, False)]
        await web.acknowledge(sent.message_id)
        await web.send_message("db", "something else")
        await api.inbox()
        assert marks(one, sent.message_id) == [("web", True, True, True)]
        everybody = await api.send_message("*", "to all")
        assert marks(one, everybody.message_id) == []  # web is not known on this machine
        await take(web, 1)
        await web.inbox()
        await api.inbox()
        assert marks(one, everybody.message_id) == [("web", True, False, False)]
        async with connect(server.url) as redis:
            assert await redis.xlen(redis_inbox.key(b"inbox", "api")) == 0


@pytest.mark.deep
async def test_a_sender_that_never_looks_keeps_no_mark_from_others(
    server: Server, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    async with (
        pair(tmp_path, server.url) as (api, web),
        MessagingSystem("hook", data_dir=one, url=server.url) as hook,
        MessagingSystem("web", data_dir=two, url=server.url, max_inbox=4) as narrow,
    ):
        for number in range(205):
            await hook.send_message("web", str(number))
        sent = await api.send_message("web", "x")
        found = await web.inbox(limit=300)
        transport = narrow.transport
        assert isinstance(transport, RedisTransport)
        await narrow.mark_read(*(mail.message_id for mail in found))
        await transport.flush()
        await api.inbox()
        assert marks(one, sent.message_id) == [("web", True, True, False)]
        async with connect(server.url) as redis:
            assert await redis.xlen(redis_inbox.key(b"inbox", "hook")) == 2
        await hook.inbox()
        await transport.flush()
        await hook.inbox()
        with reading(one) as conn:
            assert archive.counts(conn).unread == 205 - 4  # nothing is lost: the rest is due


async def test_receipts_of_others_mark_nothing(server: Server, tmp_path: Path) -> None:
    async with pair(tmp_path, server.url) as (api, web), connect(server.url) as redis:
        sent = await api.send_message("web", "x")
        inbox = redis_inbox.key(b"inbox", "web")
        told = {"agent": "web", "message_id": sent.message_id, "read": 5.0}
        receipts: list[object] = [
            told,
            {**told, "read": -1},
            {**told, "more": 1},
            [],
            "\x00",
            {"agent": 5},
        ]
        for receipt in receipts:
            await redis.xadd(inbox, {"receipt": json.dumps(receipt)})
        await redis.xadd(inbox, {"receipt": b"\xff{"})
        assert [mail.body for mail in await take(web, 1)] == ["x"]
        assert marks(tmp_path / "two", sent.message_id) == [("web", True, False, False)]


async def test_a_receipt_of_no_agent_adds_no_reader(server: Server, tmp_path: Path) -> None:
    async with pair(tmp_path, server.url) as (api, _), connect(server.url) as redis:
        sent = await api.send_message("*", "x")
        for name in ("", "*", "a\nb", "\ud800", "x" * 201, "docs"):
            receipt = {"agent": name, "message_id": sent.message_id, "read": 5.0}
            await redis.xadd(redis_inbox.key(b"inbox", "api"), {"receipt": json.dumps(receipt)})
        await api.inbox()
        assert marks(tmp_path / "one", sent.message_id) == [("docs", True, True, False)]


async def test_one_that_stood_by_hands_on_nothing_when_it_is_closed(
    server: Server, tmp_path: Path
) -> None:
    first, second = (RedisTransport(server.url, tmp_path) for _ in range(2))
    async with MessagingSystem("api", data_dir=tmp_path, url=server.url) as api:
        await api.send_message("web", "in hand")
    async with contextlib.aclosing(first.listen("web")) as coming:
        assert (await anext(coming)).body == "in hand"

        async def listen() -> list[str]:
            return [mail.body async for mail in second.listen("web")]

        task = asyncio.create_task(listen())
        while not second.is_standby:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await second.close()
        assert await task == []
    await first.close()


async def test_what_is_logged_of_a_refused_entry_is_one_line(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.addHandler(caplog.handler)
    try:
        async with pair(tmp_path, server.url) as (_, web), connect(server.url) as redis:
            payload = json.dumps({"from\n\x1b[31m\ud800": 1})
            await redis.xadd(redis_inbox.key(b"inbox", "web"), {"message": payload})
            await web.inbox()
    finally:
        log.removeHandler(caplog.handler)
    (text,) = caplog.messages
    assert text.isprintable()


async def test_closing_ends_a_listener(server: Server, tmp_path: Path) -> None:
    transport = RedisTransport(server.url, tmp_path)

    async def listen() -> list[Mail]:
        return [mail async for mail in transport.listen("web")]

    task = asyncio.create_task(listen())
    async with connect(server.url) as redis:
        await until(lambda: redis.exists(redis_inbox.key(b"reader", "web")))
        await transport.close()
        assert await task == []
        assert not await redis.exists(redis_inbox.key(b"reader", "web"))


def holds(folder: Path, secret: bytes) -> bool:
    return any(secret in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def locked() -> Iterator[Server]:
    yield from running(password="hunter2", tcp=True)


async def test_no_secret_is_told_or_kept(locked: Server, tmp_path: Path) -> None:
    told: list[str] = []
    wrong = locked.url.replace("hunter2", "hunter3")
    for url in (locked.url, wrong, locked.url.replace(":hunter2@", "")):
        transport = RedisTransport(url, tmp_path, on_warning=told.append)
        async with MessagingSystem("api", data_dir=tmp_path, url=url) as api:
            api._transport = transport  # pyright: ignore[reportPrivateUsage]
            await api.send_message("web", "hello")
            told.append(str(api.trouble))
    assert [text for text in told if "refused the user or the password" in text]
    assert "hunter" not in " ".join(told)
    assert not holds(tmp_path, b"hunter")
    with reading(tmp_path) as conn:
        assert [one.transport for one in outbox.backlogs(conn)] == [
            f"redis://127.0.0.1:{locked.port}/0"
        ]
