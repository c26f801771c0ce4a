"""The inputs of an engine: which there are, which is read next, which are open.

Two thousand transcripts must not mean two thousand descriptors: an input that is read to its end
and stays quiet is closed, and opened again when it grows (see `queueing`).
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from agentmon.core.events import Event
from agentmon.engine.queueing import SINCE, Progress, Queue, unread
from agentmon.sources.agent_meta import about_agent
from agentmon.sources.compressed import CompressedFile, compression_of
from agentmon.sources.follow import Register
from agentmon.sources.identity import Problem, looks_binary
from agentmon.sources.paths import STDIN, Expanded, Found
from agentmon.sources.pipe import open_source
from agentmon.sources.reader import Chunk
from agentmon.sources.registry import Registry
from agentmon.sources.times import to_milliseconds
from agentmon.store.statements import SourceValues

_BINARY_SAMPLE = 64 << 10

AT_A_TIME = 64
"""Files without anything new that are looked at in one go: a few milliseconds."""

LARGE = 64 << 20
"""Bytes from which a transcript is a backlog of its own."""


class Input(Protocol):
    """Something that gives chunks of lines: a followed file, a pipe, a recording."""

    def read(self, max_bytes: int = ...) -> Chunk | None: ...
    def close(self) -> None: ...


class Reading(Struct):
    """An input and the chunk of it that is being folded."""

    path: str
    source: Input
    chunk: Chunk | None = None
    at: int = 0


class Inputs:
    """Opens, orders and closes. `problems` gets one sentence for each path that can't be read."""

    def __init__(
        self,
        register: Register,
        known: Iterable[SourceValues],
        spool: Path,
        problems: dict[str, str],
    ) -> None:
        self.problems = problems
        self.folders: list[str] = []
        """Folders in which something new may appear."""
        self.missing: list[str] = []
        self.ignored: frozenset[str] = frozenset()
        self.expanded = Expanded(())
        self.has_more = False
        """Whether the last look at what is next was cut short."""
        self.received = 0.0
        """When the bytes of the chunk at hand were received, epoch seconds."""
        self._register = register
        self._known = {(values.dev, values.inode): values for values in known}
        self._spool = spool
        self._queue = Queue()
        self._open: dict[str, Reading] = {}
        self._extra: list[Reading] = []
        self._turn = 0
        self._registries: dict[str, Registry] = {}
        self._said: list[Event] = []
        self._read_here: dict[str, int] = {}
        """Bytes read since the store was asked, by path."""
        self._follow, self._stdin = False, 0
        self._since, self._only_recent = SINCE, False

    # -- what there is

    def add_paths(
        self,
        expanded: Expanded,
        *,
        follow: bool,
        stdin: int = 0,
        since: float = SINCE,
        only_recent: bool = False,
    ) -> None:
        """Takes what was looked at. What changed in the last `since` seconds is read first, or
        alone (`only_recent`), unless a person named it."""
        self._follow, self._stdin = follow, stdin
        self._since, self._only_recent = since, only_recent
        self._queue = Queue(since)
        self._read_here = {}
        self.expanded = expanded
        self._note(expanded.problems)
        self._add(expanded.files)
        self._refresh()

    def add(self, source: Input) -> None:
        """An input of its own kind, which is read in turn with others of that sort."""
        self._extra.append(Reading(getattr(source, "path", ""), source))

    def look_again(self, within: Iterable[str] | None = None) -> bool:
        """Takes what has appeared since; True if there was anything."""
        found = self.expanded.rescan(self._register.held, within)
        self._note(self.expanded.problems)
        for path in self.expanded.gone:
            self._queue.forget(path)
            self._let_go(path)
        for path in found:
            self.problems.pop(path, None)
        self._add(found)
        self._refresh()
        return bool(found)

    def _refresh(self) -> None:
        """What is watched stays the same object while it is the same: then nothing is done."""
        expanded = self.expanded
        folders = [*expanded.places, *expanded.registries]
        if folders != self.folders:
            self.folders = folders
        if expanded.missing != self.missing:
            self.missing = expanded.missing
        if len(expanded.passed_over) != len(self.ignored):
            self.ignored = frozenset(expanded.passed_over)

    def _note(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.problems[problem.path] = problem.message

    def _add(self, paths: Iterable[str]) -> None:
        now = time.time()
        found = [self.expanded.found[path] for path in paths if path in self.expanded.found]
        if self._only_recent:
            found = [one for one in found if one.is_given or one.mtime >= now - self._since]
        self._queue.add(found, now, self._unread)

    def recent_backlog(self) -> tuple[list[str], int]:
        """Large files that were active lately and are not read yet, and how many bytes that is.

        Transcripts are many and small: they are read between two turns of whoever asks, so that
        what grows meanwhile is heard at once.
        """
        since = time.time() - self._since
        found = [
            one
            for one in self.expanded.found.values()
            if not one.is_pipe
            and (one.is_given or one.mtime >= since)
            and (one.kind not in ("transcript", "rollout") or one.size >= LARGE)
        ]
        here = self._read_here
        sizes = {one.path: max(0, self._unread(one) - here.get(one.path, 0)) for one in found}
        return [path for path, size in sizes.items() if size], sum(sizes.values())

    def _unread(self, found: Found) -> int:
        values = self._known.get(found.identity)
        if values is None:
            return max(1, found.size)
        if _is_packed(found.path):
            return 0 if found.mtime <= values.last_read else max(1, found.size)
        return unread(found, values.position + values.tail_bytes, values.last_read)

    def is_given(self, path: str) -> bool:
        """Whether a person named it, by its own path or as standard input."""
        found = self.expanded.found.get(path)
        return found is None or found.is_given

    def pass_over(self, path: str) -> None:
        """It is no log."""
        self.expanded.pass_over(path)
        self._queue.forget(path)
        self._let_go(path)
        self._refresh()

    # -- what is said beside the lines

    def said(self) -> list[Event]:
        """What registries and descriptions of subagents say now, as far as it is new."""
        said, self._said = self._said, []
        for folder in self.expanded.registries:
            if folder not in self._registries:
                self._registries[folder] = Registry(folder)
        for registry in self._registries.values():
            said += registry.poll()
        return said

    # -- which is next

    def next(self) -> Reading | None:
        """The input whose next chunk is to be folded, with that chunk; None: nothing to read, or,
        where `has_more`, only files without anything new so far."""
        for _ in range(len(self._extra)):
            self._turn = (self._turn + 1) % len(self._extra)
            reading = self._extra[self._turn]
            if self._read(reading):
                return reading
        self.has_more = False
        for _ in range(AT_A_TIME):
            path = self._queue.next(time.time())
            if path is None:
                return None
            reading = self._open.get(path) or self._begin(path)
            if reading is None:
                continue
            if self._read(reading) and reading.chunk is not None:
                self._queue.took(path, reading.chunk.size, time.time())
                self._read_here[path] = self._read_here.get(path, 0) + reading.chunk.size
                return reading
            if self._queue.ended(path, time.time()):
                self._let_go(path)
        self.has_more = True
        return None

    def _begin(self, path: str) -> Reading | None:
        if path != STDIN and _is_binary(path):
            self.problems[path] = f"{path} is not a log of JSON lines: it looks like a binary file"
            self.expanded.pass_over(path)
            self._queue.forget(path)
            return None
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        source: Input
        if compression_of(path) is not None:
            source = CompressedFile(path, self._register, spool=str(self._spool))
        else:
            source = open_source(
                path, self._register, follow=self._follow, spool=str(self._spool), stdin=self._stdin
            )
        about = about_agent(path)
        if about is not None:
            self._said.append(about)
        reading = self._open[path] = Reading(path, source)
        return reading

    def _read(self, reading: Reading) -> bool:
        chunk = reading.source.read()
        problem: Problem | None = getattr(reading.source, "problem", None)
        if problem is not None:
            self.problems[problem.path] = problem.message
        elif self.problems:
            self.problems.pop(reading.path, None)
        reading.chunk, reading.at = chunk, 0
        if chunk is None:
            return False
        label = chunk.label
        self.received = _changed(reading.path) if label is None else label.received
        return True

    def _let_go(self, path: str) -> None:
        reading = self._open.pop(path, None)
        if reading is not None:
            reading.source.close()

    # -- waiting

    def rest(self) -> None:
        """Before a wait: closes what stays quiet, reminds of what was not looked at for long."""
        now = time.time()
        for path in self._queue.tired(now):
            self._let_go(path)
        self._queue.remind(now)

    def woke(self, paths: Iterable[str]) -> set[str]:
        """Something was written to these; the folders of those that rested."""
        rested = self._queue.woke(paths, time.time())
        return {os.path.dirname(path) for path in rested}

    @property
    def hot(self) -> frozenset[str]:
        """Paths worth looking at every second."""
        return self._queue.hot

    @property
    def resting(self) -> Mapping[str, float]:
        """Paths to look at seldom → since when they are known to be unchanged."""
        return self._queue.resting

    @property
    def progress(self) -> Progress | None:
        """How far the reading of what was there at the start is; None: through."""
        return self._queue.progress(time.time())

    @property
    def size_behind(self) -> int:
        """Bytes that are there and not read yet."""
        found = self._queue.progress(time.time())
        known = sum(_behind(reading.source) for reading in self._all())
        return known if found is None else max(known, found.bytes_left)

    @property
    def count(self) -> int:
        return len(self._extra) + len(self.expanded.files)

    @property
    def has_ended(self) -> bool:
        """Whether every input is a pipe whose writers have gone."""
        paths = set(self.expanded.files)
        return paths <= set(self._open) and all(
            getattr(reading.source, "ended", False) for reading in self._all()
        )

    def pipes(self) -> dict[str, int]:
        """Descriptors to wait on besides the watched files, by path."""
        return {
            reading.path: number
            for reading in self._all()
            if not getattr(reading.source, "ended", True)
            and (number := _descriptor(reading.source)) >= 0
        }

    def _all(self) -> Iterator[Reading]:
        yield from self._extra
        yield from self._open.values()

    def close(self) -> None:
        for reading in self._all():
            reading.source.close()


def _behind(source: Input) -> int:
    return int(getattr(source, "size_behind", 0))


def _descriptor(source: Input) -> int:
    fileno = getattr(source, "fileno", None)
    return int(fileno()) if fileno is not None else -1


def _changed(path: str) -> float:
    """When what was read now was written, as well as can be known."""
    with suppress(OSError, ValueError):
        if path != STDIN and os.path.isfile(path):
            return to_milliseconds(min(time.time(), os.stat(path).st_mtime))
    return to_milliseconds(time.time())


def _is_packed(path: str) -> bool:
    return path.endswith((".zst", ".gz")) and compression_of(path) is not None


def _is_binary(path: str) -> bool:
    """Whether a regular file is no log at all; a FIFO is not opened for that."""
    try:
        if _is_packed(path) or not os.path.isfile(path):
            return False
        with open(path, "rb") as handle:
            return looks_binary(handle.read(_BINARY_SAMPLE))
    except OSError:
        return False
