"""What lies on the server: order, room, who reads, what a listener that died leaves behind."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from agentmon.collab import redis_client, redis_inbox
from agentmon.collab.redis_inbox import Parcel
from tests.redis_server import Server, running


@pytest.fixture
def server() -> Iterator[Server]:
    yield from running()


def parcels(*receivers: str, sender: str = "api", first: int = 0) -> list[Parcel]:
    found = enumerate(receivers, first)
    return [Parcel(receiver, sender, f"{number}".encode()) for number, receiver in found]


async def payloads(redis: Redis, agent: str, consumer: str = "one") -> list[bytes | None]:
    await redis_inbox.register(redis, agent)
    found = await redis_inbox.read(redis, agent, consumer, 100, 0.001)
    return [entry.payload for entry in found]


async def test_what_was_sent_before_the_agent_listened_is_there(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        names = ("web", "dB-\ud800 \x1b[31m:*", "web")
        posted = await redis_inbox.post(redis, parcels(*names), most=10)
        assert posted.late == [[], [], []]
        assert await payloads(redis, "web") == [b"0", b"2"]
        assert await payloads(redis, names[1]) == [b"1"]


async def test_everybody_is_who_took_part_but_the_sender(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        await redis_inbox.post(redis, parcels("*", sender="first"), most=10)
        await redis_inbox.register(redis, "web")
        await redis.hset(redis_inbox.AGENTS, "long gone", "1000")
        await redis_inbox.post(redis, parcels("*", sender="api", first=1), most=10)
        assert await payloads(redis, "web") == [b"1"]
        assert await payloads(redis, "first") == [b"1"]
        assert await payloads(redis, "api") == []
        assert await payloads(redis, "long gone") == []


async def test_a_full_inbox_loses_nothing_and_lets_nothing_overtake(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        await redis_inbox.register(redis, "web")
        await redis_inbox.register(redis, "db")
        sent = parcels("web", "web", "web", "*", "db")
        posted = await redis_inbox.post(redis, sent, most=2)
        assert posted.late == [[], [], ["web"], ["web"], []]
        assert posted.near == {"web": 2, "db": 2}
        entries = await redis_inbox.read(redis, "web", "one", 1, 0.001)
        await redis_inbox.finish(redis, "web", entries)
        again = await redis_inbox.post(redis, parcels("*"), most=9, full=["web"])
        assert again.late == [["web"]]  # there is room, but an earlier one waits
        assert await payloads(redis, "web") == [b"1"]


async def test_the_next_listener_gets_what_a_dead_one_left(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        await redis_inbox.register(redis, "web")
        await redis_inbox.post(redis, parcels("web", "web", "web"), most=10)
        first = await redis_inbox.read(redis, "web", "dead", 2, 0.001)
        await redis_inbox.finish(redis, "web", first[:1])
        following, left = await redis_inbox.claim(redis, "web", "next", "0-0", 10)
        assert (following, [entry.payload for entry in left]) == ("0-0", [b"1"])
        assert await payloads(redis, "web", "next") == [b"2"]
        await redis_inbox.forget_others(redis, "web", "next")
        consumers: Any = await redis.xinfo_consumers(redis_inbox.key(b"inbox", "web"), b"listeners")
        assert [found["name"] for found in consumers] == [b"next"]


async def test_one_listener_reads_at_a_time(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        take, leave = redis_inbox.take, redis_inbox.leave
        assert await take(redis, "web", "one", 60) == "one"
        assert await take(redis, "web", "two", 60) == "one"
        assert await take(redis, "db", "two", 60) == "two"
        await leave(redis, "web", "two")
        assert await take(redis, "web", "one", 60) == "one"
        assert await take(redis, "web", "two", 60, dead="three") == "one"
        assert await take(redis, "web", "two", 60, dead="one") == "two"
        await leave(redis, "web", "two")
        assert await take(redis, "web", "one", 60) == "one"


async def test_what_is_no_message_is_put_aside(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        await redis_inbox.post(redis, parcels("web"), most=10)
        await redis_inbox.register(redis, "web")
        entries = await redis_inbox.read(redis, "web", "one", 1, 0.001)
        await redis_inbox.finish(redis, "web", entries, [b"0"])
        assert await redis.xlen(redis_inbox.key(b"inbox", "web")) == 0
        refused: Any = await redis.xrange(redis_inbox.REFUSED)
        [(_, fields)] = refused
        assert fields == {b"receiver": b"web", b"message": b"0"}


async def test_a_command_that_is_cancelled_at_any_step_ends(server: Server) -> None:
    async with redis_client.connect(server.url) as redis:
        await redis_inbox.take(redis, "web", "one", 60)
        for steps in range(100):
            task = asyncio.create_task(redis_inbox.take(redis, "web", "one", 60))
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert steps > 1
