"""One listener of an agent's inbox on a server: what comes is archived in the store here, and only
then acknowledged. Handing it to the agent is the archive's matter, not this one's."""

import os
import secrets
import sqlite3
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from agentmon.collab import form, receipts, redis_inbox
from agentmon.collab.patience import patient
from agentmon.collab.receiving import Arrival, keep
from agentmon.collab.redis_inbox import Entry
from agentmon.logfile import log
from agentmon.sources import procs
from agentmon.store import db
from agentmon.store.async_store import AsyncStore

BATCH = 50
TURN_SECONDS = 15.0
"""So long a listener that says nothing still counts as the one that reads; one on this machine that
is gone is noticed at once."""
WAIT_SECONDS = 4.0
"""The longest blocking read: within it the turn is prolonged."""
STAND_BY_SECONDS = 0.5


def machine() -> str:
    """What pids are unique in: this boot, this container. "" where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def token() -> str:
    """Names a listener: where it runs and as which process, so that others see that it is gone."""
    pid = os.getpid()
    parts = (machine(), str(pid), str(procs.start_ticks(pid)), secrets.token_hex(8))
    return " ".join(parts)


def is_gone(holder: str) -> bool:
    """Whether a listener ran on this machine and its process is no more; False if that is not
    known."""
    parts = holder.split(" ")
    if len(parts) != 4 or not parts[0] or parts[0] != machine() or not parts[1].isdecimal():
        return False
    pid = int(parts[1])
    return not procs.is_running(pid) or str(procs.start_ticks(pid)) != parts[2]


class Reader:
    """Brings an agent's mail from its inbox into the archive. Raises RedisError, OSError from
    `bring`: then begin anew with `reset`."""

    def __init__(
        self,
        redis: Redis,
        store: AsyncStore,
        agent: str,
        transport: str,
        limit_bytes: int,
        wait: float = WAIT_SECONDS,
    ) -> None:
        """`wait`: seconds, above 0, that one look waits where there is nothing."""
        self._redis = redis
        self._store = store
        self._agent = agent
        self._transport = transport
        self._limit = limit_bytes
        self._wait = wait
        self.is_empty = False
        """Whether the last look found nothing more."""
        self._token = token()
        self._had_turn = False
        self._is_reading = False
        self._claim_from: str | None = "0-0"

    def reset(self) -> None:
        """After a failure: whose turn it is, and what was given to us, is not known any more."""
        self._is_reading = False
        self._claim_from = "0-0"

    async def bring(self) -> bool:
        """One batch, or one wait for it. Whether it is this listener's turn."""
        holder = await redis_inbox.take(self._redis, self._agent, self._token, TURN_SECONDS)
        if holder != self._token and is_gone(holder):
            holder = await redis_inbox.take(
                self._redis, self._agent, self._token, TURN_SECONDS, dead=holder
            )
        self._had_turn = holder == self._token
        if not self._had_turn:
            self.reset()
            return False
        if not self._is_reading:
            await redis_inbox.register(self._redis, self._agent)
            self._is_reading = True
        is_claiming = self._claim_from is not None
        try:
            entries = await self._next()
        except ResponseError as problem:
            if "NOGROUP" not in str(problem):
                raise
            self.reset()  # the server lost its data: the inbox is made anew
            return True
        self.is_empty = not entries and self._claim_from is None and not is_claiming
        if entries:
            await self._archive(entries)
        return True

    async def _next(self) -> list[Entry]:
        """First what was given to any listener before and never acknowledged, then what is new."""
        if self._claim_from is None:
            return await redis_inbox.read(self._redis, self._agent, self._token, BATCH, self._wait)
        start, entries = await redis_inbox.claim(
            self._redis, self._agent, self._token, self._claim_from, BATCH
        )
        self._claim_from = start
        if start == "0-0":
            self._claim_from = None
            await redis_inbox.forget_others(self._redis, self._agent, self._token)
        return entries

    async def _archive(self, entries: list[Entry]) -> None:
        arrivals: list[Arrival] = []
        refused: list[bytes] = []
        decoded = [receipts.decode(entry.receipt) for entry in entries if entry.receipt]
        told = [receipt for receipt in decoded if receipt is not None]
        for entry in entries:
            if entry.payload is None:
                continue
            try:
                arrivals.append(Arrival(form.parse(entry.payload, self._limit), entry.host))
            except form.MessageError as problem:
                log.warning("an entry in an inbox on Redis was refused: %r", problem.field)
                refused.append(entry.payload)

        def put(conn: sqlite3.Connection) -> None:
            with db.transaction(conn):
                keep(conn, self._transport, self._agent, arrivals)
                receipts.take(conn, self._agent, told)

        if arrivals or told:
            await patient(self._store, put)
        await redis_inbox.finish(self._redis, self._agent, entries, refused)

    async def leave(self) -> None:
        """Gives the turn up. Raises RedisError, OSError."""
        if self._had_turn:
            await redis_inbox.leave(self._redis, self._agent, self._token)
