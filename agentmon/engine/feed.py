"""What a screen, or anything else that watches, gets from a runner."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct, field

from agentmon.core.health import Limits
from agentmon.core.landmarks import Landmark
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


class Mark(Struct, frozen=True):
    """A moment that a person wants to find again."""

    time: float
    number: int
    note: str = ""


class Transport(Protocol):
    """The tape deck of a replay or demo. Times are epoch seconds, numbers those of lines in the
    merged order of the recordings, from 1. Nothing raises for what is out of range: it is the
    nearest moment there is."""

    collapses_idle: bool
    """Whether a long time without any event passes in a second."""
    loop: tuple[float, float] | None
    """From where back to where is played again and again."""

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

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...

    @property
    def number(self) -> int:
        """Lines that are in the store now."""
        ...

    @property
    def total(self) -> int:
        """Lines there are, as far as is known."""
        ...

    @property
    def indexed(self) -> float | None:
        """How much is indexed, 0 to 1; None: all of it, or nothing ever will be."""
        ...

    @property
    def idle(self) -> float | None:
        """Seconds of the idle time that passes faster now; None: none does."""
        ...

    @property
    def landmarks(self) -> Sequence[Landmark]:
        """By time; those of what is indexed."""
        ...

    @property
    def marks(self) -> Sequence[Mark]:
        """By time."""
        ...

    def toggle(self) -> None: ...

    def faster(self) -> None: ...

    def slower(self) -> None: ...

    async def restart(self) -> None: ...

    async def seek(self, moment: float) -> None:
        """As of a moment: every line up to it, none after it. Goes on playing if it played."""
        ...

    async def seek_number(self, number: int) -> None:
        """As of a line, the last one that is in."""
        ...

    async def step(self, events: int) -> None:
        """So many lines on, or back; pauses."""
        ...

    async def step_block(self, direction: int) -> None:
        """To where the next content block is complete, or the last one was; pauses."""
        ...

    async def go(self, text: str) -> str | None:
        """Where a person says (`engine.moments`); a sentence where that can't be understood."""
        ...

    async def jump(self, kind: str, direction: int) -> str | None:
        """To the next (1) or last (-1) landmark of a kind, "" of any; a sentence where there is
        none."""
        ...

    async def find(self, text: str, direction: int) -> str | None:
        """To the next or last moment at which a text was there; a sentence where there is none."""
        ...

    def mark(self, note: str) -> None:
        """Notes the present moment."""
        ...


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
