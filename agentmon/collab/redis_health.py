"""How a Redis server is, for `agentmon doctor`: whether it answers, and keeps what it is given."""

import asyncio
import time
from typing import Any, cast

from msgspec import Struct
from redis.exceptions import RedisError

from agentmon import redis_url
from agentmon.collab import redis_client, redis_inbox
from agentmon.collab.redis_client import answer

LEAST = (6, 2)
"""Streams can be claimed automatically since then."""


class Health(Struct):
    """`problem`: why there is no answer; else what it answered. `seconds` is a round trip."""

    address: str
    problem: str = ""
    seconds: float = 0.0
    version: str = ""
    agents: int = 0
    refused: int = 0
    flaws: list[tuple[str, str]] = []
    """What may lose messages, and what to do about it."""


def examine(url: str) -> Health:
    """Asks a server; waits for it as long as a connection may take. Never raises."""
    return asyncio.run(_examine(url))


async def _examine(url: str) -> Health:
    address = redis_url.safely_shown(url)
    try:
        redis = redis_client.connect(url)
    except ValueError as problem:
        return Health(address, problem=str(problem))
    try:
        await answer(redis.hlen(redis_inbox.AGENTS))  # connected now
        begun = time.perf_counter()
        agents = await answer(redis.hlen(redis_inbox.AGENTS))
        seconds = time.perf_counter() - begun
        refused = await answer(redis.xlen(redis_inbox.REFUSED))
        told: dict[str, Any] = await answer(cast("Any", redis).info())
    except (RedisError, OSError) as problem:
        return Health(address, problem=redis_client.why(problem, url))
    finally:
        await redis.aclose()
    version = str(told.get("redis_version", "?"))
    return Health(address, "", seconds, version, agents, refused, _flaws(version, told))


def _flaws(version: str, told: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    numbers = [int(part) if part.isdecimal() else 0 for part in version.split(".")[:2]]
    if tuple(numbers) < LEAST:
        found.append((f"its version {version} is too old", "use 6.2 or newer"))
    if not told.get("aof_enabled"):
        found.append(("what it has not delivered is lost when it stops", "set appendonly yes"))
    policy = told.get("maxmemory_policy", "noeviction")
    if told.get("maxmemory") and policy != "noeviction":
        found.append(
            (f"it drops keys when its memory is full ({policy})", "set maxmemory-policy noeviction")
        )
    return found
