"""The index run of a replay, a process of its own: reads the recordings once, as fast as it can,
and notes again and again what the store was; then finds what happened in them.

Started by `timeline` with one JSON argument; says one JSON line on standard output for each
checkpoint. It ends with whoever started it: then nobody hears its next word.
"""

import os
import sys
from math import inf
from pathlib import Path

import msgspec
from msgspec import Struct

from agentmon.collab import observed_messages
from agentmon.collab.deriving import catch_up
from agentmon.core.health import Limits
from agentmon.core.landmarks import Landmark
from agentmon.engine.ingest import Ingestion, hard_work
from agentmon.report.landmarks import landmarks
from agentmon.sources.clock import VirtualClock
from agentmon.sources.tapes import Cue, Tapes
from agentmon.store import db
from agentmon.store.deltas import TEXTS, DeltaFiles
from agentmon.store.page_journal import Extent, PageWriter

LINES = 4_000
"""Lines between two checkpoints: what a seek has to fold at most, some 20 ms. Each of them writes
most pages of the indexes, whose keys come in no order."""

BYTES = 4 << 20
"""The same in bytes, where lines are long."""

KEPT = "kept"
"""Where texts lie that took another shape later."""


class Order(Struct, frozen=True):
    """What is to be read, and the folder that all of it goes to."""

    paths: list[str]
    folder: str
    spool: str
    """As of the player's `Tapes`: where copies lie."""
    format: str | None = None
    limits: Limits = Limits()
    lines: int = LINES
    """From one checkpoint to the next."""


class Landmarks(Struct, frozen=True, tag="landmarks"):
    """The landmarks of all of it, by time."""

    found: list[Landmark]


class Checkpoint(Struct, frozen=True, tag="checkpoint"):
    """The store after some lines: it, and where reading goes on."""

    time: float
    """Of the last line."""
    cue: Cue
    extent: Extent
    kept: list[tuple[str, str]] = []
    """Texts as they were before this checkpoint: path in the store, path of the old text."""
    share: float = 1.0
    """Read so far, 0 to 1."""
    is_last: bool = False

    @property
    def number(self) -> int:
        return self.cue.number


class KeptFiles(DeltaFiles):
    """Delta files of which nothing is ever lost: what is replaced or deleted is put aside."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._count = 0
        self._kept: list[tuple[str, str]] = []

    def take(self) -> list[tuple[str, str]]:
        """What was put aside since the last time."""
        kept, self._kept = self._kept, []
        return kept

    def append(self, path: str, at: int, data: bytes) -> None:
        if not at and path not in self._open:
            self._keep(path)
        super().append(path, at, data)

    def write_whole(self, path: str, data: bytes) -> None:
        self._keep(path)
        super().write_whole(path, data)

    def _move(self, source: str, target: str) -> None:
        if os.path.exists(source):
            self._keep(os.path.relpath(target, self._root))
        super()._move(source, target)

    def _remove(self, target: str) -> None:
        self._keep(target)
        super()._remove(target)

    def _keep(self, path: str) -> None:
        if not path.startswith(f"{TEXTS}/"):
            return
        self.close(path)
        self._count += 1
        old = f"{KEPT}/{self._count}.txt"
        try:
            os.rename(self._full(path), self._full(old))
        except FileNotFoundError:
            return
        self._kept.append((path, old))


def run(order: Order) -> None:
    """Reads all, and says each checkpoint. Raises StoreError, OSError, sqlite3.Error."""
    folder = Path(order.folder)
    (folder / KEPT).mkdir(parents=True, exist_ok=True)
    clock = VirtualClock(0.0, inf)
    clock.pause()
    clock.be_led(True)
    tapes = Tapes(order.paths, clock, spool=Path(order.spool), format=order.format)
    files = KeptFiles(folder)
    with Ingestion(folder, files=files) as work, hard_work():
        work.conn.execute("PRAGMA synchronous = OFF")  # nobody needs it after a crash
        pages = PageWriter(work.conn, db.database(folder), folder)
        engine = work.engine
        engine.add_input(tapes)
        say(Checkpoint(tapes.start, tapes.at, pages.extent, share=0.0))
        while True:
            tapes.limit, begun = tapes.number + order.lines, engine.bytes_read
            while engine.bytes_read - begun < BYTES and engine.pump(LINES):
                continue
            while not engine.is_whole:
                engine.pump(LINES)
            is_last = tapes.ended
            work.commit()
            share = min(1.0, engine.bytes_read / tapes.size) if tapes.size else 1.0
            latest = max(tapes.at.latest)
            say(Checkpoint(latest, tapes.at, pages.take(), files.take(), share, is_last))
            if is_last:
                break
        pages.close()
        work.conn.execute("PRAGMA wal_autocheckpoint = 4000")
    catch_up(folder, (observed_messages.RULE,))
    conn = db.open_reading(folder)
    say(Landmarks(landmarks(conn, folder, limits=order.limits)))
    conn.close()


def say(word: Checkpoint | Landmarks) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    os.nice(5)  # a person looks at the player
    try:
        run(msgspec.json.decode(sys.argv[1], type=Order))
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)
