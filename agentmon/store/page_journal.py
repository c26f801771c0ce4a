"""Every version of every page of a database, so that it can be put back as it was at any commit.

A commit puts whole pages into the write-ahead log. `PageWriter` copies them from there into a
journal, `pages`, slot after slot, and notes which page each slot is of, in `pages.map`. A database
as of a commit is, of each page, the last slot before the end of that commit. `Pages` writes only
the pages that differ from what a file holds already.

https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from errno import EIO, ENOSPC
from pathlib import Path
from struct import Struct as Layout

from msgspec import Struct

PAGES = "pages"
MAP = "pages.map"

FULL_WAL = 4000
"""Frames from which on the log is written back into the database and begins again."""

_HEADER = Layout(">4sIIIIIII")  # magic, version, page size, sequence, two salts, two checksums
_FRAME = Layout(">IIIIII")  # page, size of the database at a commit, two salts, two checksums
_AT_ONCE = 1024
"""Most pages of one write (and IOV_MAX)."""

_NONE = 0xFFFFFFFF


class Extent(Struct, frozen=True):
    """A database after a commit: slots used so far, and its size in pages."""

    slots: int
    size: int


def _frames(
    wal: int, at: int, salts: tuple[int, int], page_size: int
) -> Iterator[tuple[int, int, int]]:
    """(page, size at a commit or 0, offset of its image) of each valid frame from an offset on."""
    step = _FRAME.size + page_size
    while data := os.pread(wal, step * 64, at):
        for start in range(0, len(data) - step + 1, step):
            page, size, *found = _FRAME.unpack_from(data, start)
            if (found[0], found[1]) != salts:
                return
            yield page, size, at + start + _FRAME.size
        if len(data) < step * 64:
            return
        at += len(data)


class PageWriter:
    """Notes what each commit of a connection changed. Nobody else writes that database, and its
    log is written back by `take` alone. Raises OSError (a full disk)."""

    def __init__(self, conn: sqlite3.Connection, database: Path, folder: Path) -> None:
        self._conn = conn
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        (self._page_size,) = conn.execute("PRAGMA page_size").fetchone()
        # what the schema needs is there from the beginning, perhaps written back already
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._wal_path = f"{database}-wal"
        self._wal = -1
        self._salts = (-1, -1)
        self._at = 0
        self._slots = 0
        self._pages = open(folder / PAGES, "wb", buffering=0)  # noqa: SIM115
        self._map = open(folder / MAP, "wb", buffering=0)  # noqa: SIM115
        size = database.stat().st_size // self._page_size
        with database.open("rb") as handle:
            images = {page: handle.read(self._page_size) for page in range(1, size + 1)}
        self._append(images)
        self.extent = Extent(self._slots, size)

    def take(self) -> Extent:
        """After a commit: what the database is now."""
        if self._wal < 0:
            self._wal = os.open(self._wal_path, os.O_RDONLY | os.O_CLOEXEC)
        header = os.pread(self._wal, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return self.extent
        _, _, _, _, *salts, _, _ = _HEADER.unpack(header)
        if (salts[0], salts[1]) != self._salts:
            self._salts, self._at = (salts[0], salts[1]), _HEADER.size
        places: dict[int, int] = {}
        size = self.extent.size
        for page, total, at in _frames(self._wal, self._at, self._salts, self._page_size):
            places[page] = at
            size = total or size
            self._at = at + self._page_size
        self._append(
            {page: os.pread(self._wal, self._page_size, places[page]) for page in sorted(places)}
        )
        self.extent = Extent(self._slots, size)
        if self._at > FULL_WAL * (self._page_size + _FRAME.size):
            self._conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return self.extent

    def _append(self, images: dict[int, bytes]) -> None:
        data = [*images.values()]
        for start in range(0, len(data), _AT_ONCE):
            piece = data[start : start + _AT_ONCE]
            done = os.writev(self._pages.fileno(), piece)
            if done < sum(map(len, piece)):
                self._pages.write(b"".join(piece)[done:])
        self._map.write(array("I", images).tobytes())
        self._slots += len(images)

    def close(self) -> None:
        self._pages.close()
        self._map.close()
        if self._wal >= 0:
            os.close(self._wal)


class Pages:
    """Puts a database file as it was at a commit. `forget` what else was written into it first."""

    def __init__(self, folder: Path, page_size: int = 4096) -> None:
        self._folder = folder
        self._page_size = page_size
        self._map = array("I")
        self._held = array("I")
        """Of each page of the file, the slot it is from."""
        self._stages: list[tuple[int, array[int]]] = [(0, array("I"))]
        """(slots, the slot of each page then), rising."""

    def forget(self, touched: set[int] | None) -> None:
        """Pages of the file that somebody else has written; None: nobody knows which."""
        if touched is None:
            self._held = array("I")
            return
        for page in touched:
            if page <= len(self._held):
                self._held[page - 1] = _NONE

    def put(self, database: Path, extent: Extent) -> int:
        """Makes the file what the database was; how many pages had to be written. Nobody may have
        it open. Raises OSError."""
        wanted = self._wanted(extent)
        held = self._held
        size, common = self._page_size, min(len(held), len(wanted))
        differ = [at for at in range(common) if held[at] != wanted[at]]
        differ += range(common, len(wanted))
        # a page that was free from its first day on was never written, and holds nothing
        differ = [at for at in differ if wanted[at] != _NONE]
        self._held = array("I")  # until it is whole
        fd = os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with (self._folder / PAGES).open("rb") as handle:
                self._write(fd, handle.fileno(), differ, wanted)
            os.ftruncate(fd, extent.size * size)
        finally:
            os.close(fd)
        self._held = wanted
        return len(differ)

    def _write(self, fd: int, journal: int, differ: list[int], wanted: "array[int]") -> None:
        size = self._page_size
        buffer = memoryview(bytearray(min(len(differ), _AT_ONCE) * size))
        for run in _runs(differ):
            # slots follow each other, too, where pages were new in one commit
            at = 0
            for slots in _runs(wanted[run[0] : run[-1] + 1]):
                end = at + len(slots) * size
                if os.preadv(journal, [buffer[at:end]], slots[0] * size) < end - at:
                    raise OSError(EIO, "the page journal is cut short")
                at = end
            if os.pwrite(fd, buffer[:at], run[0] * size) < at:
                raise OSError(ENOSPC, "no room for the pages of a checkpoint")

    def _wanted(self, extent: Extent) -> "array[int]":
        slots, known = next(stage for stage in reversed(self._stages) if stage[0] <= extent.slots)
        if len(self._map) < extent.slots:
            with (self._folder / MAP).open("rb") as handle:
                handle.seek(len(self._map) * self._map.itemsize)
                self._map.frombytes(handle.read((extent.slots - len(self._map)) * 4))
        pages = self._map[slots : extent.slots]
        found = known[:]
        longest = max(max(pages, default=0), extent.size)
        found.extend([_NONE] * (longest - len(found)))
        for slot, page in enumerate(pages, slots):
            found[page - 1] = slot
        if extent.slots - self._stages[-1][0] > 8 * max(1, extent.size):
            self._stages.append((extent.slots, found[:]))
        return found[: extent.size]


def _runs(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Consecutive numbers together, at most as many as can be written at once."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1 or at - start >= _AT_ONCE:
            yield numbers[start:at]
            start = at


def touched_pages(database: Path) -> set[int] | None:
    """The pages that were written since the database was opened without a log; None: its log began
    again meanwhile, or can't be read."""
    try:
        wal = os.open(f"{database}-wal", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        header = os.pread(wal, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return set()
        _, _, page_size, sequence, *salts, _, _ = _HEADER.unpack(header)
        if sequence:
            return None
        return {page for page, _, _ in _frames(wal, _HEADER.size, (salts[0], salts[1]), page_size)}
    finally:
        os.close(wal)
