"""Files followed by byte offset: nothing lost, nothing counted twice (formats.md 0.8, design.md 3).

Reading runs ahead in memory; a `Chunk` carries the `SourceState` that becomes true once its lines
are committed, so the store alone says how far a restart goes on from. Where a rewrite is noticed,
reading starts again at 0 under the next generation, and the dedupe keys of the fold drop what was
known.

Synchronous; no decoding; the only clock is the one that times the silence of a file without a name.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from agentmon.sources.identity import (
    HEAD,
    Identity,
    OpenFile,
    Problem,
    Sibling,
    SourceState,
    begins_as_log,
    failure,
    is_rotation_of,
    looks_binary,
    siblings,
    standard_path,
    verified,
)
from agentmon.sources.reader import READ, Chunk, FileReader

__all__ = [
    "Chunk",
    "FileReader",
    "FollowedFile",
    "Problem",
    "Register",
    "SourceState",
    "looks_binary",
    "resume",
]

LINGER = 600.0
"""Seconds of silence after which a file that lost its name is let go: a writer that still has it
open may think for minutes between two lines."""


CLOCK_STEP = 20_000_000
"""Nanoseconds by which a file's time may lie behind the clock: kernels stamp files by ticks."""


class HasState(Protocol):
    """Something that reads a file and knows how far it is."""

    @property
    def state(self) -> SourceState: ...


class Register:
    """Which files were read how far, and which are being read: none twice, none forgotten.

    One register serves all followed files of an engine. `known` is what the store remembers.
    """

    def __init__(self, known: Iterable[SourceState] = ()) -> None:
        known = list(known)
        files = [state for state in known if state.kind == "file"]
        self._pipes = {state.path: state for state in known if state.kind == "pipe"}
        self.held: set[Identity] = set()
        self._states = {state.identity: state for state in files}
        # Device numbers of network and container file systems change with a reboot.
        self._moved = {(state.path, state.inode): state for state in files}
        self._inodes: dict[str, set[Identity]] = {}
        for state in files:
            self._inodes.setdefault(state.path, set()).add(state.identity)

    def open(self, path: str) -> FileReader | None:
        """A reader for what has the path, from what is known of it on; None if it is read already.

        Raises OSError.
        """
        file = OpenFile(path)
        info = os.fstat(file.fd)
        identity = info.st_dev, info.st_ino
        state = self._states.get(identity) or self._moved.get((path, info.st_ino))
        return self.reader(file, replace(state, path=path) if state else SourceState(path))

    def reader(self, file: OpenFile, state: SourceState) -> FileReader | None:
        """A reader from a state on; None when the file is being read already. Raises OSError."""
        reader = FileReader(file, state)
        if reader.state.identity in self.held:
            return None
        self.held.add(reader.state.identity)
        return reader

    def release(self, reader: "HasState") -> None:
        """Let a file go; it is known how far it was read."""
        self.held.discard(reader.state.identity)
        self._states[reader.state.identity] = reader.state
        self._inodes.setdefault(reader.state.path, set()).add(reader.state.identity)

    def state_of(self, identity: Identity) -> SourceState | None:
        return self._states.get(identity)

    def pipe_state(self, path: str) -> SourceState | None:
        return self._pipes.get(path)

    def identities_of(self, path: str) -> set[Identity]:
        """Every file that was read under this path."""
        return self._inodes.get(path, set())


class FollowedFile:
    """Follows a path through growth, truncation, rotation, deletion and return.

    `read` gives the unread rest of older files of this path first, then the file that has the path
    now. A file that lost its name is read on until it was silent for `linger` seconds. `problem`
    says what is wrong at the moment, if anything; nothing raises.
    """

    def __init__(
        self,
        path: str,
        register: Register | None = None,
        *,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = standard_path(path)
        self.problem: Problem | None = None
        self._register = register or Register()
        self._linger = linger
        self._clock = clock
        self._current: FileReader | None = None
        self._older: dict[FileReader, float] = {}  # → when it was last heard, oldest file first
        self._begun = False
        self._folder_stamp = 0
        self._waiting_since: int | None = None

    @property
    def state(self) -> SourceState | None:
        """The state of the file that has the path now, as far as it was read."""
        return self._current.state if self._current else None

    @property
    def torn(self) -> bytes:
        """The last line of the current file as far as it came without its newline."""
        return self._current.torn if self._current else b""

    @property
    def size_behind(self) -> int:
        """Bytes that are there and not read yet, in all files of this path."""
        self._begin()
        return sum(reader.size_behind for reader in self._readers())

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """The next bytes as a chunk; None when nothing is new (then `problem` may say why)."""
        self._begin()
        self.problem = None
        while True:
            for reader in self._readers():
                chunk = self._read_from(reader, max_bytes)
                if chunk is not None:
                    return chunk
            self._let_go()
            if not (self._open() if self._has_moved() else self._has_skipped()):
                return None

    def close(self) -> None:
        for reader in self._readers():
            self._register.release(reader)
        self._older.clear()
        self._current = None

    def _readers(self) -> list[FileReader]:
        return [*self._older, *([self._current] if self._current else [])]

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._open()
            self._add_rotated()
            self._waiting_since = time.time_ns() - CLOCK_STEP

    def _read_from(self, reader: FileReader, max_bytes: int) -> Chunk | None:
        try:
            chunk = reader.read(max_bytes)
        except OSError as error:
            self.problem = failure(self.path, error)
            return None
        if chunk is not None and reader in self._older:
            self._older[reader] = self._clock()
        self._take_lost(reader)
        return chunk

    def _has_moved(self) -> bool:
        """Whether the path names another file than the one being read, and that is to be opened."""
        try:
            info = os.stat(self.path)
        except FileNotFoundError:
            what = "was deleted" if self._current else "does not exist"
            self.problem = Problem(self.path, f"{self.path} {what}; waiting for it to appear")
            return False
        except OSError as error:
            self.problem = failure(self.path, error)
            return False
        identity = info.st_dev, info.st_ino
        if self._current is not None and identity == self._current.state.identity:
            return False
        self._take_back(identity)
        return identity not in self._register.held

    def _take_back(self, identity: Identity) -> None:
        """An older file that got its name again is the current one."""
        for reader in list(self._older):
            if reader.state.identity == identity:
                del self._older[reader]
                self._retire()
                self._current = reader

    def _retire(self) -> None:
        if self._current is not None:
            self._older[self._current] = self._clock()
            self._current = None

    def _open(self) -> bool:
        """Open what the path names now; an older file is kept. False where that fails."""
        try:
            reader = self._register.open(self.path)
        except OSError as error:
            self.problem = failure(self.path, error)
            return False
        if reader is None:
            return False
        since_ns = self._last_change()
        self._retire()
        self._current = reader
        self._add_skipped(since_ns)
        return True

    def _let_go(self) -> None:
        now = self._clock()
        for reader, heard in list(self._older.items()):
            if now - heard >= self._linger:
                del self._older[reader]
                self._register.release(reader)

    # Older files of this path: what was written to them must not be lost.

    def _add_rotated(self) -> None:
        """Files read under this path before, now under another name in the same folder, and those
        that had the path since."""
        reader = self._current
        before = self._register.identities_of(self.path) - self._register.held
        renamed = [one for one in siblings(self.path) if one.identity in before] if before else []
        for one in renamed:
            state = self._register.state_of(one.identity)
            if state is not None and (one.size > state.position or one is renamed[-1]):
                self._add_older(one, None)
        if renamed:
            # where the newest is another file by the same inode number, the known one was deleted,
            # and nobody knows since when others had its name
            self._add_skipped(renamed[-1].mtime_ns if self._is_known(renamed[-1]) else 0)
        elif reader is not None and reader.lost is not None:
            # what was read is no more, though the file that has the path now may have its number;
            # copies of it go on where the reading stood
            self._take_lost(reader)
            self._add_skipped(0)
        elif before and not (reader is not None and reader.state.position):
            self._add_skipped(0)  # what was read is nowhere

    def _is_known(self, one: Sibling) -> bool:
        """Whether it is the file that was read under this identity."""
        known = self._register.state_of(one.identity)
        with suppress(OSError):
            file = OpenFile(one.path)
            return known is not None and verified(file.fd, known)
        return False

    def _last_change(self) -> int | None:
        """The last write, in ns, to what had this path last, else since when that is waited for."""
        readers = [self._current] if self._current else self._older
        return max((reader.mtime_ns for reader in readers), default=self._waiting_since)

    def _add_skipped(self, since_ns: int | None) -> None:
        """Files that had this path later than that and lost it before anybody looked."""
        if since_ns is None:
            return
        for one in siblings(self.path):
            if one.mtime_ns >= since_ns and is_rotation_of(one.path, self.path):
                self._add_older(one, SourceState(self.path))

    def _has_skipped(self) -> bool:
        """While nothing has the path: whether another file had it since the current one."""
        if os.path.lexists(self.path):
            return False
        with suppress(OSError):
            stamp = os.stat(os.path.dirname(self.path)).st_mtime_ns
            if stamp != self._folder_stamp:
                self._folder_stamp = stamp
                known = len(self._older)
                self._add_skipped(self._last_change())
                return len(self._older) > known
        return False

    def _take_lost(self, reader: FileReader) -> None:
        """Copies made before a truncation in place; they go on where the reading stood."""
        lost, reader.lost = reader.lost, None
        if lost is None or not lost.position:
            return
        for one in siblings(self.path):
            if one.size > lost.position:
                self._add_older(one, lost)

    def _add_older(self, one: Sibling, start: SourceState | None) -> None:
        """Read a sibling too, from what is known of it, else from `start` if it agrees."""
        if one.identity in self._register.held:
            return
        known = self._register.state_of(one.identity)
        with suppress(OSError):
            file = OpenFile(one.path)
            if known is not None and verified(file.fd, known):
                start = known
            elif start is None or not _continues(file, start):
                return
            else:  # the inode number may have belonged to a file that is gone
                start = replace(start, generation=known.generation + 1 if known else 0)
            # It keeps the path that it had: a later start finds it by that.
            reader = self._register.reader(file, replace(start, path=self.path))
            if reader is not None:
                self._older[reader] = self._clock()


def _continues(file: OpenFile, state: SourceState) -> bool:
    return begins_as_log(os.pread(file.fd, HEAD, 0)) and verified(file.fd, state)


def resume(path: str, known: Sequence[SourceState]) -> FollowedFile:
    """Follow a path from what the store remembers, under whatever name it remembers it.

    The file of this path goes on from its position if it is the one known by (device, inode), first
    bytes and anchor; files that had this path and were renamed inside the folder are read to their
    end first.
    """
    return FollowedFile(path, Register(known))
