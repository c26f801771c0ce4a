"""Logs that were compressed after their end: `.jsonl.zst`, `.gz` (formats.md D.1).

Positions count decompressed bytes, so a file says the same about its lines whether it is compressed
or not. Nothing can be read from the middle: a restart decompresses up to its position and drops
that, unless the file is the same as when it was read to its end.
"""

import os
import stat
from errno import EINVAL
from hashlib import blake2b

from msgspec.structs import replace

from agentmon.compression import INSTALL
from agentmon.sources.follow import Register
from agentmon.sources.identity import (
    HEAD,
    OpenFile,
    Problem,
    SourceState,
    failure,
    head_digest,
    standard_path,
)
from agentmon.sources.inflate import (
    Damaged,
    InflatedFile,
    NoLibrary,
    compression_of,
    first_bytes,
)
from agentmon.sources.lines import LineSplitter, Rows
from agentmon.sources.pipe import SpooledLine
from agentmon.sources.reader import READ, Chunk

__all__ = ["CompressedFile", "compression_of", "first_bytes"]

SKIP = 8 << 20
"""Decompressed bytes that one read drops at most, on the way to the position."""

_SEAL = 16
"""Bytes of the state's anchor that say what the compressed end looked like; zeros before it."""

_EDGE = 48
"""Bytes before the position that are compared when it is reached again."""


class CompressedFile:
    """Follows a compressed file: to its end, and on when it grows or is replaced.

    `problem` says what is wrong at the moment, if anything; nothing raises. `spool` is the folder
    for over-long lines (None: the system's). Of the state, `head_hash` is of compressed bytes, and
    `anchor` is a seal of the compressed end, once that was reached, and the bytes before the
    position.
    """

    def __init__(
        self, path: str, register: Register | None = None, *, spool: str | None = None
    ) -> None:
        self.path = standard_path(path)
        self.problem: Problem | None = None
        self.state = SourceState(self.path)
        self._register = register or Register()
        self._spool = spool
        self._file: OpenFile | None = None
        self._stream: InflatedFile | None = None
        self._splitter = self._new_splitter()
        self._skip_to = 0
        self._edge = b""
        self._stamp: tuple[int, int] = (-1, -1)
        self._is_at_end = False
        self._trouble: Problem | None = None
        """What is wrong until the file changes."""

    @property
    def torn(self) -> bytes:
        """The last line as far as it came without its newline."""
        return self._splitter.torn()

    @property
    def size_behind(self) -> int:
        """Compressed bytes that are there and not read yet."""
        file = self._file or self._open()
        if file is None or (self._trouble is not None and not self._is_at_end):
            return 0
        if self._stream is None:
            return 0 if self._is_at_end else _stamp(file)[0]
        return max(0, _stamp(file)[0] - self._stream.offset)

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """The next lines as a chunk; None when nothing is new (then `problem` may say why)."""
        self.problem = None
        try:
            return self._read(max_bytes)
        except NoLibrary:
            reason = f"there is no library for zstd here; {INSTALL} brings it"
        except Damaged:
            reason = "its compressed data are damaged"
        except OSError as error:
            self.problem = failure(self.path, error)
            return None
        self.problem = self._trouble = Problem(self.path, f"cannot read {self.path}: {reason}")
        return None

    def close(self) -> None:
        self._let_go()

    def _read(self, max_bytes: int) -> Chunk | None:
        file = self._current()
        if file is None:
            return None
        stamp = _stamp(file)
        if stamp != self._stamp:
            if not self._goes_on(file, stamp[0]):
                self._restart()
            self._stamp, self._trouble = stamp, None
            self._is_at_end = self._is_sealed(file)  # touched, and no more
        if self._is_at_end or self._trouble is not None:
            self.problem = self._trouble
            return None
        if self._stream is None:
            self._stream = InflatedFile(file)
        if self._splitter.end < self._skip_to:
            return self._skip(self._stream)
        return self._take(self._stream, max_bytes)

    # -- which file

    def _current(self) -> OpenFile | None:
        """What has the path now, or the file that had it until that is read."""
        try:
            info = os.stat(self.path)
        except FileNotFoundError:
            if self._file is not None and not self._is_read:
                return self._file
            if self.state.inode:
                self._let_go()  # a log that was restored, or taken away: it is all there was
            else:
                message = f"{self.path} does not exist; waiting for it to appear"
                self.problem = Problem(self.path, message)
            return None
        if self._file is not None and (info.st_dev, info.st_ino) != self.state.identity:
            if not self._is_read:
                return self._file
            self._let_go()
        return self._file or self._open()

    @property
    def _is_read(self) -> bool:
        return self._is_at_end or self._trouble is not None

    def _open(self) -> OpenFile | None:
        try:
            file = OpenFile(self.path)
            info = os.fstat(file.fd)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(EINVAL, "not a regular file")
            identity = info.st_dev, info.st_ino
            if identity in self._register.held:
                return None
            self._resume(file, self._register.state_of(identity) or SourceState(self.path))
        except OSError as error:
            self.problem = failure(self.path, error)
            return None
        self._register.held.add(identity)
        self._file = file
        return file

    def _resume(self, file: OpenFile, known: SourceState) -> None:
        """Goes on from what is known of the file, if it is still the one. Raises OSError."""
        info = os.fstat(file.fd)
        same = bool(known.position) and _begins_like(file, known)
        state = known if same else SourceState(self.path)
        generation = known.generation + bool(known.position and not same)
        self._begin(
            replace(
                state,
                path=self.path,
                dev=info.st_dev,
                inode=info.st_ino,
                tail_bytes=0,
                generation=generation,
            )
        )
        self._trouble = None
        self._is_at_end = self._is_sealed(file)
        self._stamp = _stamp(file)

    def _begin(self, state: SourceState) -> None:
        self.state = state
        self._skip_to = state.position
        self._edge = b""
        self._stream = None
        self._splitter = self._new_splitter()

    def _goes_on(self, file: OpenFile, size: int) -> bool:
        """Whether a file that has changed has only grown."""
        read = self._stream.offset if self._stream is not None else 0
        is_sound = self._trouble is None or self._is_at_end
        return is_sound and size >= read and _begins_like(file, self.state)

    def _is_sealed(self, file: OpenFile) -> bool:
        """Whether a file is as it was when it was read to its end. Raises OSError."""
        return self.state.anchor[:_SEAL] == _seal(file)

    def _restart(self) -> None:
        """Rewritten, or not what it was taken for: from 0, as the next generation."""
        old = self.state
        generation = old.generation + 1
        self._begin(SourceState(self.path, dev=old.dev, inode=old.inode, generation=generation))

    def _let_go(self) -> None:
        if self._file is not None:
            # the register asks for nothing but the state
            self._register.release(self)
        self._file = self._stream = None
        self._is_at_end = False

    def _new_splitter(self) -> LineSplitter:
        return LineSplitter(spool=lambda: SpooledLine(self._spool, self._fail))

    def _fail(self, error: OSError) -> None:
        self.problem = failure(self.path, error)

    # -- its bytes

    def _skip(self, stream: InflatedFile) -> Chunk:
        """Drops what was read before; an empty chunk, since there is more to come."""
        size = 0
        while self._splitter.end < self._skip_to and size < SKIP:
            data = stream.read(min(READ, self._skip_to - self._splitter.end))
            if not data:
                break
            size += len(data)
            self._edge = (self._edge + data)[-_EDGE:]
            self._splitter.reset(self._splitter.end + len(data))
        is_there = self._splitter.end == self._skip_to
        is_shorter = size < SKIP and not is_there
        if is_shorter or (is_there and not self._edge.endswith(self.state.anchor[_SEAL:])):
            self._restart()
        return Chunk(Rows(self._splitter.end, []), self.state, size)

    def _take(self, stream: InflatedFile, max_bytes: int) -> Chunk | None:
        before = self.state
        data = stream.read(max_bytes)
        rows = self._splitter.rows(data)
        self._advance(data)
        if not data:
            self._end(stream)
            if self.state == before:
                return None
        return Chunk(rows, self.state, len(data))

    def _advance(self, data: bytes) -> None:
        recent = self._edge + data
        start = self._splitter.end - len(recent)
        position, state = self._splitter.position, self.state
        if position != state.position:
            before = recent[max(0, position - _EDGE - start) : position - start]
            state = replace(state, position=position, anchor=bytes(_SEAL) + before)
        if state.head_size < HEAD and self._file is not None:
            head = os.pread(self._file.fd, HEAD, 0)
            state = replace(state, head_size=len(head), head_hash=head_digest(head))
        self._edge = recent[-_EDGE:]
        self.state = replace(state, tail_bytes=self._splitter.tail_bytes)

    def _end(self, stream: InflatedFile) -> None:
        """All there is was read."""
        self._is_at_end = True
        if not stream.is_whole:
            message = f"{self.path} ends within its compressed data; waiting for the rest"
            self.problem = self._trouble = Problem(self.path, message)
        elif self._file is not None and self.state.position:
            anchor = _seal(self._file) + self.state.anchor[_SEAL:]
            self.state = replace(self.state, anchor=anchor)


def _stamp(file: OpenFile) -> tuple[int, int]:
    info = os.fstat(file.fd)
    return info.st_size, info.st_mtime_ns


def _begins_like(file: OpenFile, state: SourceState) -> bool:
    return head_digest(os.pread(file.fd, state.head_size, 0)) == state.head_hash


def _seal(file: OpenFile) -> bytes:
    """What the compressed end of a file looks like."""
    size = os.fstat(file.fd).st_size
    end = os.pread(file.fd, HEAD, max(0, size - HEAD))
    return blake2b(b"%d:" % size + end, digest_size=_SEAL).digest()
