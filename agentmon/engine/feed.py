"""What a screen, or anything else that watches, gets from a runner."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct, field

from agentmon.core.health import Limits
from agentmon.store.sizes import Sizes

T = TypeVar("T")


class Status(Struct):
    """How the followed inputs and agentmon itself are doing."""

    title: str = "wire"
    lag_ms: float | None = None
    """Behind the source; None: nothing came yet, so nobody knows."""
    rss_mb: float = 0.0
    cpu_percent: float = 0.0
    files: int = 0
    note: str | None = None
    problem: str | None = None
    """One sentence, shown until it is None again."""
    backlog: float | None = None
    """How much of the old content is read, 0 to 1; None: all of it."""
    store: Sizes | None = None
    """What the store takes; None: not looked at yet."""
    weighed_ago: float | None = None
    """Seconds since its texts were measured."""
    looked_for: list[str] = field(default_factory=list[str])
    """Where inputs were searched, in words, for the empty state."""
    taps: tuple[str, ...] = ()
    """Lines to paste into another pane: clients that are started so speak through our taps."""


class Transport(Protocol):
    """The tape deck of a replay or demo."""

    @property
    def playing(self) -> bool: ...

    @property
    def speed(self) -> float:
        """Virtual seconds per second; infinity: as fast as it goes."""
        ...

    @property
    def position(self) -> float:
        """Played part, 0 to 1."""
        ...

    @property
    def ended(self) -> bool: ...

    def toggle(self) -> None: ...

    def faster(self) -> None: ...

    def slower(self) -> None: ...

    async def restart(self) -> None: ...


class Feed(Protocol):
    """The seam between engine and screen."""

    @property
    def revision(self) -> int:
        """One more after every commit."""
        ...

    @property
    def data_dir(self) -> Path: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def transport(self) -> Transport | None:
        """Only in replay and demo."""
        ...

    def now(self) -> float:
        """Epoch seconds: the wall clock live, the virtual clock in replay."""
        ...

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Runs reads on a read-only connection, off the event loop, in one hop."""
        ...

    def read_text(self, sid: str, flow_id: str, index: int, start: int, end: int) -> bytes:
        """Bytes [start, end) of a block's text; fewer where the file is shorter. Cheap."""
        ...

    def status(self) -> Status: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
