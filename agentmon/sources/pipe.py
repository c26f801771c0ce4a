"""FIFOs and standard input: bytes that can be read once only.

Positions count the bytes read. Nothing can be read again after a restart, so each run is a new
generation. Lines beyond the cap are spooled to a nameless file, so that they decode like those of
a file and nothing stays behind, even after kill -9.
"""

import os
import select
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress

from msgspec.structs import replace

from agentmon.sources.follow import FollowedFile, Register
from agentmon.sources.identity import (
    ANCHOR,
    Problem,
    SourceState,
    failure,
    read_pieces,
    standard_path,
)
from agentmon.sources.lines import LineSplitter
from agentmon.sources.reader import READ, Chunk

STDIN = "-"


class SpooledLine:
    """The bytes of one line in a file without a name (mode 0600), gone with its last user.

    A write that fails (disk full) is told to `report`; the line is then not to be had again.
    """

    def __init__(self, folder: str | None, report: Callable[[OSError], None]) -> None:
        self._report = report
        self._fd: int | None = None
        try:
            self._fd, name = tempfile.mkstemp(prefix="agentmon-", suffix=".line", dir=folder)
            os.unlink(name)
        except OSError as error:
            report(error)

    def __del__(self) -> None:
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)

    def write(self, data: bytes) -> None:
        if self._fd is None:
            return
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._report(error)
            os.close(self._fd)
            self._fd = None

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield the line's `size` bytes; its offset in the pipe does not matter here."""
        if self._fd is not None:
            yield from read_pieces(self._fd, 0, size)


class PipeSource:
    """Reads a FIFO, or standard input where the path is "-", without ever blocking.

    In follow mode a FIFO whose writer leaves is not at its end: the next writer may come. Otherwise
    `ended` turns true when the last writer has gone; standard input ends in any case. `torn` is
    then the last line without its newline. `known` is the stored state of an earlier run, `spool`
    the folder for over-long lines (None: the system's), `stdin` the descriptor that "-" means.
    """

    def __init__(
        self,
        path: str,
        known: SourceState | None = None,
        *,
        follow: bool = True,
        spool: str | None = None,
        stdin: int = 0,
    ) -> None:
        self._stdin = stdin
        self.path = path if path == STDIN else standard_path(path)
        self.ended = False
        self.problem: Problem | None = None
        self.state = SourceState(
            self.path, "pipe", generation=0 if known is None else known.generation + 1
        )
        self._fd: int | None = None
        self._follow = follow
        self._splitter = LineSplitter(spool=lambda: SpooledLine(spool, self._fail))
        self._edge = b""

    def __del__(self) -> None:
        self.close()

    @property
    def torn(self) -> bytes:
        return self._splitter.torn()

    @property
    def size_behind(self) -> int:
        """Always 0: what waits in a pipe is at most its buffer."""
        return 0

    def fileno(self) -> int:
        """The descriptor to wait on; -1 while there is none."""
        if self._fd is None and not self.ended:
            self._open()
        return -1 if self._fd is None else self._fd

    def read(self, max_bytes: int = READ) -> Chunk | None:
        """What waits in the pipe, as a chunk; None when nothing does."""
        self.problem = None
        fd = self.fileno()
        if fd < 0:
            return None
        try:
            data = self._take(fd, max_bytes)
        except OSError as error:
            self._fail(error)
            self.close()
            return None
        if not data:
            return None
        return Chunk(self._splitter.rows(data), self._advance(data), len(data))

    def close(self) -> None:
        """Let the pipe go; nothing more is read."""
        self.ended = True
        if self._fd is not None and self.path != STDIN:
            with suppress(OSError):
                os.close(self._fd)
        self._fd = None

    def _fail(self, error: OSError) -> None:
        self.problem = failure(self.path, error)

    def _open(self) -> None:
        if self.path == STDIN:
            self._fd = self._stdin
            return
        # With a writer of its own a FIFO never reports its end.
        mode = os.O_RDWR if self._follow else os.O_RDONLY
        try:
            self._fd = os.open(self.path, mode | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._fail(error)

    def _take(self, fd: int, max_bytes: int) -> bytes:
        """Polled rather than non-blocking: standard input's flags belong to others, too."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        ready = poll.poll(0)
        if not ready:
            return b""
        data = os.read(fd, max_bytes)
        if not data:
            self.close()
        return data

    def _advance(self, data: bytes) -> SourceState:
        recent = self._edge + data
        start = self._splitter.end - len(recent)
        position = self._splitter.position
        anchor = self.state.anchor
        if position != self.state.position:
            anchor = recent[max(0, position - ANCHOR - start) : position - start]
        self._edge = recent[-ANCHOR:]
        self.state = replace(
            self.state, position=position, anchor=anchor, tail_bytes=self._splitter.tail_bytes
        )
        return self.state


Source = FollowedFile | PipeSource


def open_source(
    path: str,
    register: Register,
    *,
    follow: bool = True,
    spool: str | None = None,
    stdin: int = 0,
) -> Source:
    """Follow what is at `path`: a FIFO, standard input ("-"), else a file, present or to come.

    A regular file on standard input is followed as that file where its path can be told.
    """
    if path == STDIN:
        named = _stdin_file(stdin)
        if named is not None:
            return FollowedFile(named, register)
        known = register.pipe_state(path)
        return PipeSource(path, known, follow=follow, spool=spool, stdin=stdin)
    with suppress(OSError):
        if stat.S_ISFIFO(os.stat(path).st_mode):
            known = register.pipe_state(standard_path(path))
            return PipeSource(path, known, follow=follow, spool=spool)
    return FollowedFile(path, register)


def _stdin_file(stdin: int) -> str | None:
    with suppress(OSError):
        info = os.fstat(stdin)
        if stat.S_ISREG(info.st_mode):
            path = os.readlink(f"/proc/self/fd/{stdin}")
            if os.path.samestat(info, os.stat(path)):
                return path
    return None
