"""The index of a replay, as its player sees it: checkpoints of a child process, and going to one.

The child's folder holds a store with all of the recordings, which answers what is asked of all of
them; its page journal; and texts that were replaced later. A store at a checkpoint is its database
as it was, over the texts of that folder: longer ones are cut by what the rows say, and those that
took another shape since are there as they were.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from agentmon.core.landmarks import Landmark
from agentmon.engine.children import Child, child
from agentmon.engine.reeling import Checkpoint, Landmarks, Order
from agentmon.logfile import log
from agentmon.store import db
from agentmon.store.async_store import AsyncStore, open_async
from agentmon.store.deltas import BELOW, make_folders
from agentmon.store.page_journal import Pages

T = TypeVar("T")


class Timeline:
    """`folder` is where the index is made. `on_change` is called with all that comes of it."""

    def __init__(
        self, folder: Path, order: Order, on_change: Callable[[Checkpoint | Landmarks], None]
    ) -> None:
        self.folder = folder
        self.checkpoints: list[Checkpoint] = []
        self.landmarks: list[Landmark] = []
        self.problem: str | None = None
        self.news = asyncio.Event()
        """Set, and then another one, whenever there is more."""
        self.done = asyncio.Event()
        """Everything is indexed and found, or nothing more will be."""
        self._order = order
        self._on_change = on_change
        self._pages = Pages(folder)
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._reader: AsyncStore | None = None
        self._opening = asyncio.Lock()

    # -- life

    async def start(self) -> None:
        """Begins to index, beside everything else."""
        self._reading = asyncio.create_task(self._read(), name="agentmon-timeline")

    async def stop(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        async with self._opening:
            reader, self._reader = self._reader, None
            if reader is not None:
                await reader.close()

    async def _read(self) -> None:
        indexing = child(
            *(sys.executable, "-m", "agentmon.engine.reeling"),
            msgspec.json.encode(self._order).decode(),
            is_killed=True,
        )
        try:
            async with indexing as process:
                await self._listen(process)
        finally:
            self.done.set()
            self._tell()

    async def _listen(self, process: Child) -> None:
        async for line in process.lines():
            found = msgspec.json.decode(line, type=Checkpoint | Landmarks)
            if isinstance(found, Landmarks):
                self.landmarks = found.found
            else:
                self.checkpoints.append(found)
            self._on_change(found)
            self._tell()
        if await process.code():
            log.error("indexing ended: %s", process.words())
            last = process.words().rpartition("\n")[2]
            self.problem = f"the replay could not be indexed to its end: {last}"

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    # -- what is known

    @property
    def share(self) -> float | None:
        """How much is indexed; None: all that will be."""
        if self.problem is not None or self.is_whole:
            return None
        return self.checkpoints[-1].share if self.checkpoints else 0.0

    @property
    def is_whole(self) -> bool:
        return bool(self.checkpoints) and self.checkpoints[-1].is_last

    @property
    def total(self) -> int:
        return self.checkpoints[-1].number if self.checkpoints else 0

    def before(self, *, time: float | None = None, number: int | None = None) -> Checkpoint | None:
        """The last checkpoint with no line after a time, or a number."""
        if number is not None:
            at = bisect_right(self.checkpoints, number, key=lambda one: one.number)
        else:
            at = bisect_right(self.checkpoints, time or 0.0, key=lambda one: one.time)
        return self.checkpoints[at - 1] if at else None

    async def ask(self, fn: Callable[[sqlite3.Connection, Path], T]) -> T:
        """Asks the store of all that is indexed, which has to be there. Raises what `fn` does."""
        async with self._opening:
            if self._reader is None:
                self._reader = await open_async(lambda: db.open_reading(self.folder))
        return await self._reader.run(lambda conn: fn(conn, self.folder))

    # -- going there

    def forget(self, touched: set[int] | None) -> None:
        """Pages that were written into the store that was put somewhere last; None: any."""
        self._pages.forget(touched)

    def put(self, checkpoint: Checkpoint, data_dir: Path) -> None:
        """Makes a folder a store as of a checkpoint: its database may be there as it was put before
        and written since (`forget`), but no text. Raises OSError."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = db.database(data_dir)
        if not database.exists():
            self._pages.forget(None)
        self._pages.put(database, checkpoint.extent)
        below = data_dir / BELOW
        if not below.is_symlink():
            below.symlink_to(self.folder)
        at = self.checkpoints.index(checkpoint)
        self.lend(self.checkpoints[at + 1 :], data_dir)

    def lend(self, later: Sequence[Checkpoint], data_dir: Path) -> None:
        """Texts that took another shape at later checkpoints, as they were before."""
        seen: set[str] = set()
        for checkpoint in later:
            for path, old in checkpoint.kept:
                if path not in seen:
                    seen.add(path)
                    _link(self.folder / old, data_dir / path)


def _link(target: Path, path: Path) -> None:
    """Not over what is there: it was written since, or lent already."""
    with suppress(FileExistsError):
        try:
            path.symlink_to(target)
        except FileNotFoundError:
            make_folders(os.fspath(path.parent))
            path.symlink_to(target)


def sweep(data_dir: Path) -> list[Path]:
    """Takes everything but the database out of a store's folder: what has to be deleted, moved
    beside it, since that takes a while."""
    gone: list[Path] = []
    for entry in [*data_dir.iterdir()]:
        if entry.name == db.DB_NAME or entry.name == BELOW:
            continue
        if entry.is_dir() and not entry.is_symlink():
            away = data_dir.with_name(f"gone-{data_dir.name}-{entry.name}")
            entry.rename(away)
            gone.append(away)
        else:
            entry.unlink(missing_ok=True)
    return gone


def delete(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
