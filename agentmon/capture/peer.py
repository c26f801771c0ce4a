"""Which process a client of the tap is: the owner of the other end of its connection."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from msgspec import Struct


class Peer(Struct, frozen=True):
    """The process at the other end, as it was when it was looked for."""

    pid: int
    cwd: str
    """"" where the system does not tell."""
    name: str
    started: float | None = None
    """Epoch seconds; tells a later process with the same pid from this one."""

    def is_alive(self) -> bool:
        """Whether it still runs. One that may not be looked at does."""
        try:
            process = psutil.Process(self.pid)
            same = self.started is None or process.create_time() == self.started
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            return False


Ends = tuple[int, int]
"""The ports a connection goes from and to."""


class Peers:
    """The owners of all connections as of the last look. One look (some ms, off the loop) serves
    whatever was connected before it."""

    def __init__(self, look: Callable[[], dict[Ends, set[int]]] | None = None) -> None:
        self._look = look or connections
        self._owners: dict[Ends, set[int]] = {}
        self._looked_at = float("-inf")

    def find(self, port: int, to: int, since: float) -> Peer | None:
        """Who connected from a local port, `since` a moment of `time.monotonic()`; None where it is
        on another machine, belongs to somebody else, or has ended.

        Where a client has handed its connection down to a child, the older one is meant.
        """
        if self._looked_at <= since:
            self._looked_at = time.monotonic()
            self._owners = self._look()
        pids = self._owners.get((port, to), ())
        found = [peer for pid in sorted(pids) if (peer := _peer(pid)) is not None]
        return min(found, key=lambda peer: peer.started or 0.0, default=None)


def find(port: int, to: int) -> Peer | None:
    """The same of one connection, now."""
    return Peers().find(port, to, time.monotonic())


def connections() -> dict[Ends, set[int]]:
    """The processes at each TCP connection of this machine, as far as they may be seen."""
    owners: dict[Ends, set[int]] = {}
    for pid, here, there in _rows():
        if here and there:
            owners.setdefault((here.port, there.port), set()).add(pid)
    return owners


def _rows() -> Iterator[tuple[int, Any, Any]]:
    try:
        rows = psutil.net_connections("tcp")
    except (psutil.Error, OSError, RuntimeError):
        yield from _one_by_one()
        return
    yield from ((row.pid, row.laddr, row.raddr) for row in rows if row.pid)


def _one_by_one() -> Iterator[tuple[int, Any, Any]]:
    """The same where the whole table is for the administrator only (macOS)."""
    for process in psutil.process_iter():
        try:
            rows = process.net_connections("tcp")
        except (psutil.Error, OSError, RuntimeError):
            continue
        yield from ((process.pid, row.laddr, row.raddr) for row in rows)


def _peer(pid: int) -> Peer | None:
    try:
        process = psutil.Process(pid)
        name, started = process.name(), process.create_time()
    except psutil.Error:
        return None
    try:
        cwd = process.cwd()
    except (psutil.Error, OSError):
        cwd = ""
    return Peer(pid, cwd, name, started)
