"""One open file read forward by byte offset, with every rewrite noticed (formats.md 0.8).

Reading runs ahead in memory; a `Chunk` carries the `SourceState` that becomes true once its lines
are committed. What the file is called is not looked at here.
"""

import os
import stat
from contextlib import suppress
from errno import EINVAL

from msgspec import Struct
from msgspec.structs import replace

from agentmon.core.events import Event
from agentmon.sources.identity import ANCHOR, HEAD, OpenFile, SourceState, head_digest, verified
from agentmon.sources.lines import LineSplitter, Piece, Rows

READ = 1 << 20
"""Bytes per read."""


class Label(Struct, frozen=True):
    """What the source of a chunk knows of its lines besides them."""

    format: str | None
    """None: its lines tell it."""
    received: float
    """When they were received, epoch seconds."""
    before: Event | None = None
    after: Event | None = None
    """What is said of them elsewhere: known from the first one on, and once the last one is read;
    only what is said `before` counts as an event."""


class Chunk(Struct, frozen=True):
    """What one read gave: whole lines (may be none), and the state once they are committed.

    `size` is the number of bytes read. Huge lines stay readable for as long as they are held.
    Without a `label` the first lines, and the clock, tell what it would say.
    """

    rows: Rows
    state: SourceState
    size: int
    label: Label | None = None

    @property
    def lines(self) -> list[Piece]:
        """The lines as objects, made anew."""
        return self.rows.pieces()


class FileReader:
    """Reads one open file, whatever it is called by now, from a state on.

    `lost` is the state before a restart from 0, until somebody takes it: what came after it may
    live on in a copy. Raises OSError when the file cannot be read at all.
    """

    def __init__(self, file: OpenFile, state: SourceState) -> None:
        info = os.fstat(file.fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(EINVAL, "not a regular file")
        self.state = replace(state, dev=info.st_dev, inode=info.st_ino, tail_bytes=0)
        self.lost: SourceState | None = None
        self._file = file
        self._splitter = LineSplitter(state.position, body=file)
        self._edge = state.anchor  # the bytes just before the next one to read
        self._stamp = (-1, -1)
        self._head = os.pread(file.fd, state.head_size, 0)
        if not verified(file.fd, state):
            self._restart()

    @property
    def torn(self) -> bytes:
        """The last line as far as it came without its newline."""
        return self._splitter.torn()

    @property
    def size_behind(self) -> int:
        """Bytes that are there and not read yet."""
        with suppress(OSError):
            return max(0, os.fstat(self._file.fd).st_size - self._splitter.end)
        return 0

    @property
    def mtime_ns(self) -> int:
        with suppress(OSError):
            return os.fstat(self._file.fd).st_mtime_ns
        return 0

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """The next bytes as a chunk; None when nothing is new. Raises OSError."""
        info = os.fstat(self._file.fd)
        stamp = (info.st_size, info.st_mtime_ns)
        if stamp == self._stamp and info.st_size == self._splitter.end:
            return None
        before = self.state
        data = self._next_bytes(max_bytes)
        edge, start = self._edge, self._splitter.end
        rows = self._splitter.rows(data)
        self._edge = _ending(edge, data, len(data))
        self._stamp = stamp
        self._advance(edge, data, start)
        if not data and self.state == before:
            return None
        return Chunk(rows, self.state, len(data))

    def _next_bytes(self, max_bytes: int) -> bytes:
        """The bytes after the edge, from further back where the edge is no longer there.

        That is looked at once they are read: then they are of the same file, or it is noticed."""
        for step_back in (self._reread_tail, self._restart, None):
            data = os.pread(self._file.fd, max_bytes, self._splitter.end)
            if step_back is None or (self._has_edge() and self._has_head()):
                return data
            step_back()
        return b""

    def _has_edge(self) -> bool:
        size = len(self._edge)
        return os.pread(self._file.fd, size, self._splitter.end - size) == self._edge

    def _has_head(self) -> bool:
        return os.pread(self._file.fd, len(self._head), 0) == self._head

    def _reread_tail(self) -> None:
        """Only the unfinished line may have been cut away: go back to where it began."""
        self._splitter.reset(self.state.position)
        self._edge = self.state.anchor

    def _restart(self) -> None:
        """Truncated in place or rewritten: from 0 again, as the next generation."""
        old = self.state
        self.lost = old
        self._splitter.reset(0)
        self._edge = self._head = b""
        generation = old.generation + 1
        self.state = SourceState(old.path, dev=old.dev, inode=old.inode, generation=generation)

    def _advance(self, edge: bytes, data: bytes, start: int) -> None:
        """Move the state on; `start` is the offset of the first byte of `data`, `edge` what is
        before that."""
        state, position = self.state, self._splitter.position
        if position != state.position:
            if len(self._head) < HEAD:
                self._head = os.pread(self._file.fd, min(HEAD, position), 0)
                head, size = head_digest(self._head), len(self._head)
                state = replace(state, head_hash=head, head_size=size)
            anchor = _ending(edge, data, position - start)
            state = replace(state, position=position, anchor=anchor)
        if self._splitter.tail_bytes != state.tail_bytes:
            state = replace(state, tail_bytes=self._splitter.tail_bytes)
        self.state = state


def _ending(edge: bytes, data: bytes, end: int) -> bytes:
    """What is right before a place in `data`, which comes after `edge`."""
    return data[end - ANCHOR : end] if end >= ANCHOR else (edge + data[:end])[-ANCHOR:]
