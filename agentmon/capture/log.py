"""The log that taps and hooks write to, together: appended whole, rotated, kept within a budget.

Only the standard library, for hooks. What can't be written is counted and forgotten: a full disk
must not reach the client whose words are recorded.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

NAME = "sse_lines.jsonl"
HOOKS = "hooks.jsonl"
"""The log beside it: what clients told their hooks."""

MAX_BYTES = 256 << 20
MAX_AGE = 7 * 86_400.0
KEEP_BYTES = 2 << 30
TAIL = 1 << 20
"""How far back `newest` looks, in bytes."""

_FIRST_TIME = rb'"t":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)'


class CaptureLog:
    """One log file, which others may write, rotate and delete meanwhile.

    `max_bytes` and `max_age` (seconds) say when a file is put aside as `sse_lines-<time>.jsonl`,
    `keep_bytes` how much those that were may take up together with the current one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        max_age: float = MAX_AGE,
        keep_bytes: int = KEEP_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.abspath(path)
        self.lost = 0
        """Lines that could not be written, or not whole."""
        self.problem: str | None = None
        """Why the last line could not be written; None while all is well."""
        self._max_bytes, self._max_age, self._keep_bytes = max_bytes, max_age, keep_bytes
        self._clock = clock
        self._fd = -1
        self._born = 0.0
        self._end = -1
        """The size after our last write; another one means that somebody else wrote."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Writes whole lines, each with its newline, at once. Never raises."""
        if not lines:
            return
        data = b"".join(lines)
        try:
            size = self._ready(len(data))
            if size and size != self._end and os.pread(self._fd, 1, size - 1) != b"\n":
                data = b"\n" + data
            written = os.write(self._fd, data)
        except OSError as error:
            self._failed(len(lines), error)
            return
        self._end = size + written
        if written == len(data):
            self.problem = None
            return
        self._end = -1  # a torn end: looked at before the next write
        whole = data[:written].count(b"\n") - data.startswith(b"\n")
        self._lose(len(lines) - max(whole, 0), f"{self.path}: the disk took a part of a line only")

    def find(self, event: str, sid: str) -> bytes | None:
        """The newest line of an event of a session, whoever wrote it, if it is not long ago."""
        head, end = b'{"event":"%s"' % event.encode(), b'"sid":"%s"}' % sid.encode()
        lines = newest(self.path)
        return next((one for one in lines if one.startswith(head) and one.endswith(end)), None)

    def close(self) -> None:
        """Lets go of the file; the next line opens it again."""
        fd, self._fd, self._end = self._fd, -1, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    # -- the file

    def _ready(self, more: int) -> int:
        """Opens, or moves on to, the file that is at the path now; its size. Raises OSError."""
        for _ in range(3):
            size = self._size()
            if size is None:
                self.close()
                self._open()
                size = os.fstat(self._fd).st_size
            age = self._clock() - self._born
            is_due = size and (size + more > self._max_bytes or age > self._max_age)
            if not is_due or not self._rotate():
                return size
        self._open()  # others fill each new file at once: it may grow beyond its size
        return os.fstat(self._fd).st_size

    def _size(self) -> int | None:
        """The size of the open file; None where none is open, or another is at the path."""
        if self._fd < 0:
            return None
        ours = os.fstat(self._fd)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return None
        return ours.st_size if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) else None

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        # O_NONBLOCK: a pipe that somebody put there must not stop us
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self.path, flags, 0o600)
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(0, "is no regular file")
        self._born = _born(self._fd, found.st_mtime if found.st_size else self._clock())

    def _rotate(self) -> bool:
        """Puts the open file aside; False where another tap is about to, or it can't be."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if self._size() is not None:  # nobody was quicker
            try:
                os.rename(self.path, self._free_name())
            except OSError:
                self._born = self._clock()  # again in a while
                with suppress(OSError):
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
                return False
        self.close()
        self._clear()
        return True

    def _free_name(self) -> str:
        stem, suffix = os.path.splitext(self.path)
        now = self._clock()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(now))
        micros = int(now * 1e6) % 1_000_000
        while os.path.lexists(name := f"{stem}-{stamp}.{micros:06d}{suffix}"):
            micros += 1
        return name

    def _clear(self) -> None:
        """Deletes the oldest of the files put aside, as far as they are beyond the budget."""
        left = self._keep_bytes - self._max_bytes
        for path in reversed(put_aside(self.path)):
            with suppress(OSError):
                left -= os.stat(path).st_size
                if left < 0:
                    os.unlink(path)

    # -- what went wrong

    def _failed(self, lines: int, error: OSError) -> None:
        self.close()
        self._lose(lines, f"{self.path}: {error.strerror or error}")

    def _lose(self, lines: int, problem: str) -> None:
        self.lost += lines
        self.problem = problem


def newest(path: str) -> Iterator[bytes]:
    """The last lines of a log without their newlines, newest first; none where it can't be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        tail = os.pread(fd, TAIL, max(0, os.fstat(fd).st_size - TAIL))
    except OSError:
        tail = b""
    finally:
        os.close(fd)
    yield from reversed(tail.split(b"\n"))


def put_aside(path: str) -> list[str]:
    """The files that were rotated away from a log, oldest first."""
    folder, name = os.path.split(os.path.abspath(path))
    stem, suffix = os.path.splitext(name)
    aside = re.compile(rf"{re.escape(stem)}-\d{{8}}T\d{{6}}\.\d+{re.escape(suffix)}")
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found: list[tuple[int, str]] = []
    for one in filter(aside.fullmatch, names):
        with suppress(OSError):
            whole = os.path.join(folder, one)
            found.append((os.stat(whole).st_mtime_ns, whole))
    return [one for _, one in sorted(found)]


def _born(fd: int, default: float) -> float:
    """When the first line of a file was written."""
    found = re.search(_FIRST_TIME, os.pread(fd, 512, 0))
    if found is None:
        return default
    try:
        return time.mktime(time.strptime(found[1].decode(), "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return default
