"""Recordings before they are played: which files are meant, what they are, from when to when.

What can't be read twice, or not from the middle (standard input, FIFOs, compressed files), is
first copied into a spool folder; who opens the same recordings over the same folder finds it there.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from errno import EINVAL
from pathlib import Path

from msgspec import Struct

from agentmon.compression import INSTALL
from agentmon.core.events import AgentSaid
from agentmon.sources import formats
from agentmon.sources.agent_meta import about_agent
from agentmon.sources.identity import OpenFile, SourceState, looks_binary
from agentmon.sources.inflate import Damaged, InflatedFile, NoLibrary, compression_of
from agentmon.sources.lines import LineSplitter, Piece
from agentmon.sources.paths import STDIN, Found, expand
from agentmon.sources.reader import READ
from agentmon.sources.times import MomentOf, head_of, reader_of, to_milliseconds

_TAIL = 256 << 10
"""Bytes of a file's end that are first looked at for its last time. Where a line before them tells
a later one, that is learned when it is read."""

_NO_LOG = "is no log to replay: {}"


class NothingToPlay(OSError):
    """No recording has anything to play; the message says which, and why."""


class Reel(Struct, frozen=True):
    """A recording, as it was when it was opened. Times in epoch seconds."""

    path: str
    body: str
    """The file that its lines are read from: itself, or its copy."""
    state: SourceState
    format: str
    """"" while it holds no line."""
    received: float
    """When it was last written: what formats without times go by."""
    start: float
    end: float
    size: int
    moment_of: MomentOf | None
    has_lines: bool = False
    agent: AgentSaid | None = None
    """What lies beside the transcript of a subagent."""


class Reels(Struct, frozen=True):
    """All of them, in the order in which lines of one time come."""

    reels: tuple[Reel, ...]
    notes: tuple[str, ...]
    """What a person should know of them, a sentence each."""

    @property
    def start(self) -> float:
        return min(reel.start for reel in self.reels if reel.has_lines)

    @property
    def end(self) -> float:
        return max(reel.end for reel in self.reels if reel.has_lines)


def open_reels(
    paths: Sequence[str], spool: Path, *, forced: str | None = None, stdin: int = 0
) -> Reels:
    """Looks at files, folders, FIFOs and "-" (the descriptor `stdin`), whose end is waited for.

    Raises OSError for what can't be read and was named; NothingToPlay where no line has a time.
    """
    for path in paths:
        if path != STDIN:
            os.stat(path)  # one that is missing says so
    expanded = expand(paths, follow=False)
    notes = [problem.message for problem in expanded.problems]
    reels: list[Reel] = []
    reason = "holds no log to replay"
    for order, path in enumerate(sorted(expanded.files)):
        found = expanded.found[path]
        said: list[str] = []
        try:
            reel = _open(found, spool / f"{order}.lines", forced, stdin, said.append)
        except OSError as problem:
            if found.is_given:
                raise
            said, reel = [f"can't be read: {(problem.strerror or str(problem)).lower()}"], None
        if reel is not None:
            reels.append(reel)
        notes += [f"{os.path.basename(path)} {reason}" for reason in said]
        reason = said[-1] if said else reason
    if not any(reel.has_lines for reel in reels):
        is_one = len(paths) == len(expanded.files) == 1
        why = reason if is_one else "; ".join(["nothing to replay", *notes])
        raise NothingToPlay(EINVAL, why, ", ".join(paths))
    return Reels(tuple(reels), tuple(notes))


def _open(
    found: Found, copy: Path, forced: str | None, stdin: int, note: Callable[[str], None]
) -> Reel | None:
    """The recording; None: it is no log, which is noted where somebody asked for it by name."""
    path = found.path
    body, state = _body(found, copy, stdin, note)
    file = OpenFile(body)
    info = os.fstat(file.fd)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(EINVAL, "not a regular file", path)
    if looks_binary(os.pread(file.fd, 64 << 10, 0)):
        return note(_NO_LOG.format("it looks like a binary file")) if found.is_given else None
    rows = _first_rows(file)
    received = _written(found, info)
    if not rows:
        if not info.st_size and not found.is_given:
            return None
        note("holds no whole line yet" if info.st_size else "is empty")
        return Reel(path, body, state, "", received, 0.0, 0.0, info.st_size, reader_of(""))
    known = formats.of_input(rows, path, is_given=found.is_given, forced=forced)
    if known is None:
        return None
    moment_of = reader_of(known.name)
    start = _first_time(file, moment_of) if moment_of is not None else None
    end = _last_time(file, moment_of, info.st_size) if start is not None else None
    if start is None:
        if not forced and formats.recognise(formats.sample(rows), strict=True) is None:
            return note(_NO_LOG.format("no line tells a time")) if found.is_given else None
        note("tells no times: all of it comes at once")
        start = received
    end = start if end is None else max(start, end)
    agent = about_agent(path)
    size = info.st_size
    return Reel(path, body, state, known.name, received, start, end, size, moment_of, True, agent)


def _written(found: Found, info: os.stat_result) -> float:
    """As the time of a file that is followed is taken: the original's, not that of a copy."""
    return to_milliseconds(info.st_mtime if found.is_pipe else found.mtime)


# -- bytes


def _body(
    found: Found, copy: Path, stdin: int, note: Callable[[str], None]
) -> tuple[str, SourceState]:
    """The file to read from, and what the recording is known by. Raises OSError."""
    path = found.path
    if found.is_pipe:
        _copy(copy, _drained(path, stdin))
        return str(copy), SourceState(path, "pipe")
    dev, inode = found.identity
    state = SourceState(path, dev=dev, inode=inode)
    if compression_of(path) is None:
        return path, state
    problem = _copy(copy, _inflated(path))
    if problem:
        note(problem)
    return str(copy), state


def _copy(target: Path, pieces: Generator[bytes, None, str]) -> str:
    """Fills a file of the spool, unless that was done before; what was wrong with the original.
    Raises OSError."""
    told = target.with_suffix(".note")
    if target.exists():
        return told.read_text(encoding="utf-8")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as handle:
        while True:
            try:
                handle.write(next(pieces))
            except StopIteration as end:
                problem = str(end.value)
                break
    told.write_text(problem, encoding="utf-8")
    os.replace(part, target)
    return problem


def _drained(path: str, stdin: int) -> Generator[bytes, None, str]:
    fd = os.dup(stdin) if path == STDIN else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as handle:
        while data := handle.read(READ):
            yield data
    return ""


def _inflated(path: str) -> Generator[bytes, None, str]:
    stream = InflatedFile(OpenFile(path))
    try:
        while data := stream.read(READ):
            yield data
    except NoLibrary as problem:
        reason = f"there is no library for zstd here; {INSTALL} brings it"
        raise OSError(EINVAL, reason, path) from problem
    except Damaged:
        return "is damaged: it plays as far as its compressed data are whole"
    return "" if stream.is_whole else "ends within its compressed data"


# -- lines and times


def _lines(file: OpenFile) -> Iterator[bytes | Piece]:
    splitter = LineSplitter(body=file)
    while data := os.pread(file.fd, READ, splitter.end):
        yield from splitter.rows(data).items


def _first_rows(file: OpenFile) -> list[bytes | Piece]:
    """The lines of the first read that completes any."""
    splitter = LineSplitter(body=file)
    while data := os.pread(file.fd, READ, splitter.end):
        if found := splitter.rows(data).items:
            return found
    return []


def _first_time(file: OpenFile, moment_of: MomentOf) -> float | None:
    times = (moment_of(head_of(row)) for row in _lines(file))
    return next((moment for moment in times if moment is not None), None)


def _last_time(file: OpenFile, moment_of: MomentOf | None, size: int) -> float | None:
    """The latest time of the last whole lines that have any."""
    window = _TAIL
    while moment_of is not None:
        start = max(0, size - window)
        lines = os.pread(file.fd, window, start).split(b"\n")[1 if start else 0 : -1]
        times = [moment for line in lines if (moment := moment_of(line)) is not None]
        if times or not start:
            return max(times, default=None)
        window *= 4
    return None
