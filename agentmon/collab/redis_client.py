"""A connection to a Redis server (Valkey and others that speak the same): how it is made, how long
one waits for it, and what may be said when it fails."""

import asyncio
import builtins
import random
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    MaxConnectionsError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from agentmon import redis_url

T = TypeVar("T")

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0


def connect(url: str) -> Redis:
    """A client of a server; nothing is sent before the first command, and each is awaited by
    `answer`. Raises ValueError that tells nothing of the URL."""
    redis_url.shown(url)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": None,  # see `answer`
        "retry": Retry(NoBackoff(), 0),
        "client_name": "agentmon",
    }
    try:
        client: Redis = cast("Any", Redis).from_url(url.strip(), **options)
        client.connection_pool.make_connection()  # as each is made: options are looked at there
    except (ValueError, TypeError, RedisError):
        raise ValueError("an option in the address is none that is known, or wrong") from None
    return client


async def answer(coming: Awaitable[T], waits: float = 0.0) -> T:
    """What a command gives; `waits` is how long, in seconds, it may block. Raises TimeoutError.

    Not redis-py's own `socket_timeout`: that sends in `asyncio.wait_for`, which in Python 3.11
    loses a cancellation that comes just then (python/cpython 86296).
    """
    async with asyncio.timeout(ANSWER_SECONDS + waits):
        return await coming


def why(problem: BaseException, url: str) -> str:
    """What went wrong, in a few words, with nothing secret: the server's own texts are told only
    where they are short, and never with a part of the URL in them."""
    if isinstance(problem, AuthenticationError | AuthorizationError):
        return "the server refused the user or the password"
    if isinstance(problem, MaxConnectionsError):
        return "the server takes no more connections"
    if isinstance(problem, TimeoutError | builtins.TimeoutError):
        return "no answer in time"
    if isinstance(problem, BusyLoadingError):
        return "the server is reading its data"
    text = " ".join(str(problem).split())[:160] or type(problem).__name__
    if isinstance(problem, ResponseError) and text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return "the server refused the user or the password"
    return _without_secrets(text, url).rstrip(".")


def _without_secrets(text: str, url: str) -> str:
    for secret in redis_url.secrets(url):
        text = text.replace(secret, "***")
    return text


class Pause:
    """How long to wait before the next attempt, in seconds: longer each time, never the same for
    two programs, so that not all come back at once."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def reset(self) -> None:
        self._next = FIRST_PAUSE

    def next(self) -> float:
        found = self._next
        self._next = min(found * 2, LONGEST_PAUSE)
        return found * random.uniform(0.5, 1.0)
