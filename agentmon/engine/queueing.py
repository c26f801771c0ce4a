"""Whose bytes are read next, which files are kept open, and which are left to rest.

A machine has thousands of logs and a handful that grow. What was active lately is read first, the
rest piecemeal behind it; a file that was read to its end and stays silent is closed and needs no
look of its own, until its folder tells that it grew. Pure: no I/O, no clock; times are epoch
seconds, told by the caller.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from agentmon.sources.paths import Found

SINCE = 86_400.0
"""Seconds: what was active in them is read before all else."""

REST_AFTER = 300.0
"""Seconds of silence after which a file that was read to its end is closed."""

AT_ONCE = 4
"""How many files of the backlog are read in turns: a huge one must not hold up the small ones."""

MOST_OPEN = 128
"""How many files stay open; beyond them those rest that were silent longest."""

LIVE = 60.0
"""Seconds since its last change in which a file counts as growing."""

LIVE_BYTES = 1 << 20
"""A growing file with more to read than this is backlog all the same."""

LIVE_TURNS = 4
"""Of so many turns the backlog gets one while files grow."""

REMIND, REMIND_OFTEN = 5.0, 1.0
"""Seconds after which an open file is read again though nothing was told of it: it may have been
replaced. Wire logs rotate, so they come more often."""


class Progress(Struct, frozen=True):
    """How far the reading of a backlog is; bytes as the files' sizes were when they were listed."""

    files: int
    files_total: int
    bytes_left: int
    bytes_total: int
    is_recent: bool
    """Some of what was active lately is not read yet."""

    @property
    def share(self) -> float:
        """The part that is read, 0 to 1."""
        return 1.0 - self.bytes_left / self.bytes_total if self.bytes_total else 1.0

    @property
    def words(self) -> str:
        which = "recent" if self.is_recent else "older"
        return f"reading {which} logs {self.files:,}/{self.files_total:,}"


def order(files: Iterable[Found], now: float, since: float = SINCE) -> list[Found]:
    """What was active in the last `since` seconds, then the rest; in both the wire logs, which say
    most, before all else, and the newest first."""
    return sorted(
        files, key=lambda one: (one.mtime < now - since, one.kind != "wire", -one.mtime, one.path)
    )


def unread(found: Found, size_read: int, last_read: float) -> int:
    """Bytes that are new since a file was last read; 0: it need not even be opened.

    `size_read` bytes of the file as it lies on the disk were digested (a line without its end
    counts; of a compressed file all or none), the last of them at `last_read`.
    """
    if found.size != size_read:
        return found.size - size_read if found.size > size_read else max(1, found.size)
    return 0 if found.mtime <= last_read else 1


class _Item(Struct):
    found: Found
    left: int = 0
    """Bytes of the backlog that are left in it."""
    heard: float = 0.0
    """When it last changed."""
    read_at: float = 0.0
    since: float = 0.0
    """When it was listed, or came to rest."""


class Queue:
    """The files of an engine, each in one of four states: it waits, is read as backlog, is open and
    followed, or rests. Open ones that may have more are read first."""

    def __init__(
        self,
        since: float = SINCE,
        *,
        rest_after: float = REST_AFTER,
        at_once: int = AT_ONCE,
        most_open: int = MOST_OPEN,
    ) -> None:
        self._since = since
        self._rest_after = rest_after
        self._at_once = at_once
        self._most_open = most_open
        self._items: dict[str, _Item] = {}
        self._waiting: deque[str] = deque()
        self._reading: deque[str] = deque()
        self._open: dict[str, None] = {}
        self._woken: OrderedDict[str, None] = OrderedDict()
        self._resting: set[str] = set()
        self._turns = 0
        self._reminded_at = 0.0
        self._done = self._total = self._bytes_left = self._bytes_total = 0
        self._watched: tuple[frozenset[str], Mapping[str, float]] | None = None

    # -- what there is

    def add(self, files: Iterable[Found], now: float, unread: Callable[[Found], int]) -> None:
        """Takes files in; `unread` says how much of one is new. What is all read rests at once,
        what grows is read at once, all else waits for its turn."""
        for found in files:
            path = found.path
            if path in self._items:
                continue
            item = self._items[path] = _Item(found, heard=found.mtime, since=now)
            if found.is_pipe:
                self._follow(path)
                continue
            left = unread(found)
            if left == 0:
                self._resting.add(path)
            elif left <= LIVE_BYTES and found.mtime >= now - LIVE:
                self._follow(path)
            else:
                item.left = left
                self._waiting.append(path)
                self._total += 1
                self._bytes_left += left
                self._bytes_total += left
        self._watched = None
        self._sort(now)

    def forget(self, path: str) -> None:
        """It is no log, or gone."""
        item = self._items.pop(path, None)
        if item is None:
            return
        if path in self._waiting or path in self._reading:
            self._total -= 1
            self._bytes_left -= item.left
            self._bytes_total -= item.left
        for line in (self._waiting, self._reading):
            if path in line:
                line.remove(path)
        self._woken.pop(path, None)
        self._open.pop(path, None)
        self._resting.discard(path)
        self._watched = None

    def _sort(self, now: float) -> None:
        """The waiting in the order of their turns."""
        waiting = [self._items[path].found for path in self._waiting]
        self._waiting = deque(found.path for found in order(waiting, now, self._since))

    def _follow(self, path: str) -> None:
        """It is open from now on, and may have something to read."""
        self._open[path] = None
        self._woken.setdefault(path)
        self._watched = None

    # -- reading

    def next(self, now: float) -> str | None:
        """Whose next chunk is to be read; None: nobody's. They take turns."""
        self._fill(now)
        self._turns += 1
        is_backlogs = not self._woken or self._turns % LIVE_TURNS == 0
        if is_backlogs and self._reading:
            path = self._reading[0]
            self._reading.rotate(-1)
            return path
        if not self._woken:
            return None
        path = next(iter(self._woken))
        self._woken.move_to_end(path)
        return path

    def _fill(self, now: float) -> None:
        """Begins with those that wait; old ones only when all recent ones are read."""
        while self._waiting and len(self._reading) < self._at_once:
            is_old = not self._is_recent(self._waiting[0], now)
            if is_old and any(self._is_recent(path, now) for path in self._reading):
                return
            self._reading.append(self._waiting.popleft())

    def _is_recent(self, path: str, now: float) -> bool:
        return self._items[path].found.mtime >= now - self._since

    def took(self, path: str, size: int, now: float) -> None:
        """So many bytes of a file were read."""
        item = self._items.get(path)
        if item is None:
            return
        if path in self._open:
            item.heard = now
        else:
            self._lessen(item, min(size, item.left))

    def _lessen(self, item: _Item, size: int) -> None:
        item.left -= size
        self._bytes_left -= size

    def ended(self, path: str, now: float) -> bool:
        """A file was read to its present end. True: it is to be closed now, it rests."""
        item = self._items.get(path)
        if item is None:
            return True
        item.read_at = now
        self._woken.pop(path, None)
        if path in self._reading:
            self._reading.remove(path)
            self._lessen(item, item.left)
            self._done += 1
            self._open[path] = None
            self._watched = None
        if not self._waiting and not self._reading:
            self._done = self._total = self._bytes_left = self._bytes_total = 0
        if self._is_tired(item, now):
            self._rest(path, now)
            return True
        return False

    # -- following

    def woke(self, paths: Iterable[str], now: float) -> list[str]:
        """These have changed: they are read again. Those of them that had rested, or waited."""
        risen: list[str] = []
        for path in paths:
            item = self._items.get(path)
            if item is None or path in self._reading:
                continue
            item.heard = now
            if path in self._waiting:
                item.found = replace(item.found, mtime=now)
                risen.append(path)
                continue
            if path in self._resting:
                self._resting.discard(path)
                risen.append(path)
            self._follow(path)
        if risen and self._waiting:
            self._sort(now)
        return risen

    def remind(self, now: float) -> None:
        """What is open is read again from time to time, whatever was told."""
        if now - self._reminded_at < REMIND_OFTEN:
            return
        self._reminded_at = now
        for path in self._open:
            item = self._items[path]
            pause = REMIND_OFTEN if item.found.kind == "wire" else REMIND
            if now - item.read_at >= pause and not item.found.is_pipe:
                self._woken.setdefault(path)

    def tired(self, now: float) -> list[str]:
        """Open files that are to be closed now: silent for long, or too many. They rest."""
        idle = [path for path in self._open if path not in self._woken]
        idle = [path for path in idle if not self._items[path].found.is_pipe]
        idle.sort(key=lambda path: self._items[path].heard)
        too_many = max(0, len(self._open) - self._most_open)
        tired = [
            path
            for number, path in enumerate(idle)
            if number < too_many or self._is_tired(self._items[path], now)
        ]
        for path in tired:
            self._rest(path, now)
        return tired

    def _is_tired(self, item: _Item, now: float) -> bool:
        """A wire log may be rotated, and what is still written to the old file is heard only while
        that is open: it rests when it is no longer recent."""
        found = item.found
        after = self._since if found.kind == "wire" else self._rest_after
        return not found.is_pipe and item.heard < now - max(after, self._rest_after)

    def _rest(self, path: str, now: float) -> None:
        self._items[path].since = now
        self._open.pop(path, None)
        self._resting.add(path)
        self._watched = None

    # -- what is to be watched, and what to tell

    @property
    def hot(self) -> frozenset[str]:
        """Files to look at often; the same object while they are the same."""
        return self._watch()[0]

    @property
    def resting(self) -> Mapping[str, float]:
        """Files to look at seldom, each with the time since which it is known to be unchanged."""
        return self._watch()[1]

    def _watch(self) -> tuple[frozenset[str], Mapping[str, float]]:
        if self._watched is None:
            quiet = {path: one.since for path, one in self._items.items() if path not in self._open}
            self._watched = frozenset(self._open), quiet
        return self._watched

    def progress(self, now: float) -> Progress | None:
        """How far the backlog is; None: there is none."""
        due = [*self._reading, *islice(self._waiting, 1)]
        if not due:
            return None
        is_recent = any(self._is_recent(path, now) for path in due)
        return Progress(self._done, self._total, self._bytes_left, self._bytes_total, is_recent)
