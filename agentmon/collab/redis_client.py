"""A connection to a Redis server (Valkey and others that speak the same): how it is made, how long
one waits for it, and what may be said when it fails."""

import random
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,
    MaxConnectionsError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from agentmon import redis_url

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0

DOWN = (ConnectionError, TimeoutError, OSError, BusyLoadingError, ReadOnlyError, TryAgainError)
"""What passes by itself: one goes on trying."""


def connect(url: str, *, waits: float = 0.0) -> Redis:
    """A client of a server; nothing is sent before the first command. `waits` is how long, in
    seconds, commands may block. Raises ValueError that tells nothing of the URL."""
    redis_url.shown(url)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS + waits,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "agentmon",
    }
    try:
        client: Redis = cast("Any", Redis).from_url(url.strip(), **options)
        client.connection_pool.make_connection()  # as each is made: options are looked at there
    except (ValueError, TypeError, RedisError):
        raise ValueError("an option in the address is none that is known, or wrong") from None
    return client


def why(problem: BaseException, url: str) -> str:
    """What went wrong, in a few words, with nothing secret: the server's own texts are told only
    where they are short, and never with a part of the URL in them."""
    if isinstance(problem, AuthenticationError | AuthorizationError):
        return "the server refused the user or the password"
    if isinstance(problem, MaxConnectionsError):
        return "the server takes no more connections"
    if isinstance(problem, TimeoutError):
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
