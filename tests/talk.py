"""Processes that talk by Redis while it, and those who listen, are killed.

`python -m tests.talk send|listen STORE URL NAME [COUNT RECEIVER…]` is one of them. Senders share a
store and listeners another one, as on two machines: what the second one's archive holds came by
Redis.
"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from agentmon.collab.messaging import MessagingSystem
from agentmon.collab.redis_transport import RedisTransport
from agentmon.collab.transport import TransportDown
from agentmon.store import db
from tests.cli_run import Process, started

if TYPE_CHECKING:  # the processes need no pytest
    from tests.redis_server import Server

ROOT = Path(__file__).resolve().parents[1]
SENDERS = tuple(f"sender-{number}" for number in range(4))
LISTENERS = tuple(f"listener-{number}" for number in range(4))


async def send(store: Path, url: str, name: str, count: int, receivers: Sequence[str]) -> None:
    """So many messages in turn to the receivers, numbered; then until all are on the server."""
    async with MessagingSystem(name, data_dir=store, url=url) as system:
        for number in range(count):
            await patiently(system, receivers[number % len(receivers)], str(number))
        assert isinstance(system.transport, RedisTransport)
        while True:
            try:
                return await system.transport.flush()
            except TransportDown:
                await asyncio.sleep(0.05)


async def patiently(system: MessagingSystem, receiver: str, body: str) -> None:
    """A store that four others write may be busy for longer than a call waits."""
    while True:
        try:
            await system.send_message(receiver, body)
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorname != "SQLITE_BUSY":
                raise


async def listen(store: Path, url: str, name: str) -> None:
    """Writes each message it is handed into STORE/NAME.log, until it is killed."""
    path = store / f"{name}.log"
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    async with MessagingSystem(name, data_dir=store, url=url) as system:
        async for mail in system.listen():
            os.write(descriptor, f"{mail.sender} {mail.body}\n".encode())


class Told(Struct):
    """What a run came to. `archived` and `handed` are (sender, receiver) → numbers in order."""

    archived: dict[tuple[str, str], list[int]]
    handed: dict[tuple[str, str], list[int]]
    seconds: float
    server_kills: int
    listener_kills: int
    waited: int
    """The most messages that were in the senders' outbox when the server came back."""


class Talk(Struct):
    """A run over `server`, with scratch stores below `folder`."""

    folder: Path
    server: "Server"
    messages: int
    seed: int = 5
    forked: bool = False
    """Whether its processes cost no start, where that is not measured."""
    listeners: dict[str, Process] = field(default_factory=dict[str, Process])
    senders: list[Process] = field(default_factory=list[Process])
    waited: int = 0
    listener_kills: int = 0

    @property
    def one(self) -> Path:
        return self.folder / "one"

    @property
    def two(self) -> Path:
        return self.folder / "two"

    def run(self, server_kills: int, listener_kills: int) -> Told:
        """The kills are spread over the messages. Raises RuntimeError, TimeoutError."""
        for store in (self.one, self.two):
            db.create(store).close()
        begun = time.perf_counter()
        try:
            for name in LISTENERS:
                self._start_listener(name)
            each = str(self.messages // len(SENDERS))
            self.senders = [
                self._start("send", self.one, name, each, *LISTENERS) for name in SENDERS
            ]
            self._kill_by_turns(server_kills, listener_kills)
            self._wait(lambda: self._archived() >= self.messages)
            for sender in self.senders:
                if sender.wait(120):
                    raise RuntimeError(f"a sender ended with {sender.returncode}")
            seconds = time.perf_counter() - begun
            self._wait(lambda: not self._undelivered())
        finally:
            for process in (*self.senders, *self.listeners.values()):
                process.kill()
                process.wait()
        return Told(
            self._numbers(),
            handed(self.two),
            seconds,
            server_kills,
            self.listener_kills,
            self.waited,
        )

    def _kill_by_turns(self, servers: int, listeners: int) -> None:
        """At random moments of the first four fifths; a killed listener starts again later."""
        chance = random.Random(self.seed)
        whats = ["server"] * servers + ["listener"] * listeners
        chance.shuffle(whats)
        for turn, what in enumerate(whats, 1):
            mark = int(self.messages * 0.8 * turn / (len(whats) + 1))
            self._wait(lambda mark=mark: self._archived() >= mark)
            if what == "server":
                self.server.kill()
                self._wait(lambda: self._waiting() > 0 or self._all_sent())
                self.waited = max(self.waited, self._waiting())
                self.server.start()
            else:
                name = chance.choice(LISTENERS)
                process = self.listeners[name]
                process.send_signal(signal.SIGKILL)
                process.wait()
                self.listener_kills += 1
                self._start_listener(name)

    def _start_listener(self, name: str) -> None:
        self.listeners[name] = self._start("listen", self.two, name)

    def _start(self, what: str, store: Path, *arguments: str) -> Process:
        return start(what, store, self.server.url, *arguments, forked=self.forked)

    def _wait(self, condition: Callable[[], bool], longest: float = 240.0) -> None:
        until = time.monotonic() + longest
        while not condition():
            for process in (*self.senders, *self.listeners.values()):
                if process.poll():
                    raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
            if time.monotonic() > until:
                raise TimeoutError(f"{self._archived()} of {self.messages} messages came")
            time.sleep(0.01)

    def _all_sent(self) -> bool:
        return all(sender.poll() is not None for sender in self.senders)

    def _archived(self) -> int:
        return ask(self.two, "SELECT COUNT(*) FROM agent_messages")

    def _undelivered(self) -> int:
        return ask(self.two, "SELECT COUNT(*) FROM agent_deliveries WHERE delivered_at IS NULL")

    def _waiting(self) -> int:
        return ask(self.one, "SELECT COUNT(*) FROM agent_outbox")

    def _numbers(self) -> dict[tuple[str, str], list[int]]:
        """Straight from the table, in the order of the archive."""
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        conn = sqlite3.connect(self.two / "agentmon.db")
        try:
            sql = """
            SELECT m.sender, d.receiver, m.body FROM agent_messages m
            JOIN agent_deliveries d ON d.seq = m.seq ORDER BY m.seq
            """
            for sender, receiver, body in conn.execute(sql):
                found[sender, receiver].append(int(body))
        finally:
            conn.close()
        return dict(found)


def ask(store: Path, sql: str) -> int:
    conn = sqlite3.connect(store / "agentmon.db", timeout=60)
    try:
        (found,) = conn.execute(sql).fetchone()
    finally:
        conn.close()
    return int(found)


def handed(store: Path) -> dict[tuple[str, str], list[int]]:
    """What listeners wrote down."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in LISTENERS:
        for line in (store / f"{name}.log").read_text().splitlines():
            sender, number = line.split()
            found[sender, name].append(int(number))
    return dict(found)


def expected(messages: int) -> dict[tuple[str, str], list[int]]:
    """What each sender sent to each receiver, in order."""
    numbers = range(messages // len(SENDERS))
    return {
        (sender, receiver): [*numbers[at :: len(LISTENERS)]]
        for sender in SENDERS
        for at, receiver in enumerate(LISTENERS)
    }


def handed_twice(told: Told) -> int:
    return sum(times - 1 for numbers in told.handed.values() for times in Counter(numbers).values())


def start(what: str, store: Path, url: str, *arguments: str, forked: bool = False) -> Process:
    words = [what, str(store), url, *arguments]
    if forked:
        return started(*words, module="tests.talk", stdout=None, stderr=None)
    command = [sys.executable, "-m", "tests.talk", *words]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)


def main() -> None:
    what, store, url, name, *rest = sys.argv[1:]
    if what == "send":
        asyncio.run(send(Path(store), url, name, int(rest[0]), rest[1:]))
    else:
        asyncio.run(listen(Path(store), url, name))


if __name__ == "__main__":
    main()
