"""When to look: wakes the engine as soon as something may have been written.

A hint only: what is new is decided by reading (`follow`), never by what a notification says. Two
threads feed the loop: one waits in watchfiles over the folders (a file is never watched by its own
path, it may be replaced), the other looks with stat: once a second at everything, because
notifications get lost, and often where none come.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import Struct

from agentmon.sources.identity import is_rotation_of
from agentmon.sources.mounts import is_silent, mount_table
from agentmon.sources.paths import PATTERN

NET = 1.0
"""Seconds between two looks at everything."""

REVIEW = 5.0
"""Seconds between two reviews of what can be notified: links, mounts, replaced folders."""

FAST, SLOW, LIVELY = 0.025, 0.25, 2.0
"""Seconds between two looks where nothing notifies: while data came in the last `LIVELY` seconds,
and at most, backing off."""

STEP, DEBOUNCE, RUST_TIMEOUT = 25, 100, 1000
"""Timers of watchfiles in ms: changes are told when a step brings no new path, at the latest after
the debounce (its defaults hold them back for up to 1.6 s while new files appear)."""

SETTLE = 0.2
"""Seconds that a new notifier has to be at work."""

RETRY = 30.0
"""Seconds until notification is tried again after it failed."""

Stamp: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time of change; zeros where nothing is."""

_NOTHING: Stamp = (0, 0, 0, 0)


class Wake(Struct, frozen=True):
    """Why `Watch.wait` returned.

    `paths` may have more to read; with `appeared` there may be new files (`Expanded.rescan`).
    Neither: the timeout, or the end.
    """

    paths: frozenset[str] = frozenset()
    appeared: bool = False


class Plan(Struct, frozen=True):
    """What is looked at, by path."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()

    def places(self) -> dict[str, frozenset[str]]:
        """For each path the folders in which a change of it shows; a link's target's, too."""
        spots = {path: {path, os.path.realpath(path)} for path in self.files | self.awaited}
        found = {path: frozenset(map(os.path.dirname, both)) for path, both in spots.items()}
        return found | {folder: frozenset([folder]) for folder in self.folders}


def _stamp(path: str) -> Stamp:
    with suppress(OSError):
        info = os.stat(path)
        return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns
    return _NOTHING


class _Notifier(threading.Thread):
    """Waits in watchfiles until told to stop; `failure` says why it could not."""

    def __init__(self, folders: Iterable[str], plan: Plan, tell: Callable[[Wake], None]) -> None:
        super().__init__(name="agentmon-notify", daemon=True)
        self.failure: str | None = None
        self.stop = threading.Event()
        self._folders = sorted(folders)
        self._tell = tell
        self.set_plan(plan)

    def set_plan(self, plan: Plan) -> None:
        """What changes mean from now on; the folders stay."""
        paths = {os.path.realpath(path): path for path in plan.files}
        self._meaning = plan, paths | {path: path for path in plan.files}

    def run(self) -> None:
        from watchfiles import watch  # 0.1 s to import, and not needed by every command

        try:
            for changes in watch(
                *self._folders,
                watch_filter=None,
                debounce=DEBOUNCE,
                step=STEP,
                stop_event=self.stop,
                rust_timeout=RUST_TIMEOUT,
                yield_on_timeout=True,
                recursive=False,
                ignore_permission_denied=True,
            ):
                wake = self._judge(path for _, path in changes)
                if wake.paths or wake.appeared:
                    self._tell(wake)
        except (OSError, RuntimeError) as error:
            self.failure = str(error)

    def _judge(self, changed: Iterable[str]) -> Wake:
        """What the changes mean; most of a busy folder's mean nothing."""
        plan, known = self._meaning
        paths: set[str] = set()
        appeared = False
        for path in changed:
            if path in known:
                paths.add(known[path])
            else:
                paths |= {each for each in plan.files if is_rotation_of(path, each)}
                appeared = appeared or _may_be_new(path, plan)
        return Wake(frozenset(paths), appeared)


def _may_be_new(path: str, plan: Plan) -> bool:
    """Whether a path that is not followed is one to be, or a folder that may hold some."""
    if path in plan.awaited:
        return True
    folder, name = os.path.split(path)
    return folder in plan.folders and (fnmatchcase(name, PATTERN) or os.path.isdir(path))


class _Looker(threading.Thread):
    """Looks with stat, and keeps a notifier at work over the folders that can have one."""

    def __init__(
        self, tell: Callable[[Wake], None], ended: Callable[[], None], slow: float
    ) -> None:
        super().__init__(name="agentmon-look", daemon=True)
        self._slow = slow
        self.note: str | None = None
        self._tell = tell
        self._ended = ended
        self._plan = Plan()
        self._nudge = threading.Event()
        self._stopping = False
        self._notifier: _Notifier | None = None
        self._watched: set[tuple[str, int, int]] = set()
        self._retry_at = 0.0
        self._stamps: dict[str, Stamp] = {}
        self._silent: frozenset[str] = frozenset()
        self._mounts: list[tuple[str, str]] = []

    def set_plan(self, plan: Plan) -> None:
        self._plan = plan
        self._nudge.set()

    def stop(self) -> None:
        self._stopping = True
        self._nudge.set()

    def run(self) -> None:
        try:
            self._run()
        finally:
            self._end_notifier()
            self._ended()

    def _run(self) -> None:
        net_at, review_at, lively_at, pause = 0.0, 0.0, 0.0, self._slow
        while not self._stopping:
            now = time.monotonic()
            is_nudged = self._nudge.is_set()
            everything = now >= net_at or is_nudged
            self._nudge.clear()
            plan = self._plan
            if everything:
                net_at = now + NET
                is_dead = self._notifier is not None and not self._notifier.is_alive()
                if is_nudged or is_dead or now >= review_at:
                    review_at = now + REVIEW
                    if self._keep_notified(plan, now):
                        # What came before a new notifier was ready is found soon after.
                        net_at = now + SETTLE
            if self._look(plan, self._silent, everything=everything):
                lively_at = now
            pause = FAST if now - lively_at < LIVELY else min(self._slow, pause * 1.5)
            self._nudge.wait(pause if self._silent else max(0.0, net_at - time.monotonic()))

    def _look(self, plan: Plan, silent: frozenset[str], *, everything: bool) -> bool:
        """Tell what changed since the last look; whether anything of what is silent did."""
        paths = plan.files | plan.folders | plan.awaited
        if everything:
            self._stamps = {path: self._stamps[path] for path in paths & self._stamps.keys()}
        changed = {path for path in (paths if everything else paths & silent) if self._is_new(path)}
        if changed:
            self._tell(Wake(plan.files & changed, bool(changed - plan.files)))
        return bool(changed & silent)

    def _is_new(self, path: str) -> bool:
        stamp = _stamp(path)
        is_new = stamp != self._stamps.get(path, _NOTHING)
        self._stamps[path] = stamp
        return is_new

    def _keep_notified(self, plan: Plan, now: float) -> bool:
        """Have a notifier over the folders that can have one; whether it had to be started."""
        if self._notifier is not None and not self._notifier.is_alive():
            self._fail(self._notifier.failure or "it ended", now)
        self._mounts = mount_table()
        places = plan.places()
        folders = {folder for around in places.values() for folder in around}
        able = {folder for folder in folders if now >= self._retry_at and self._can_notify(folder)}
        self._silent = frozenset(path for path, around in places.items() if not around <= able)
        watched = {(folder, *_stamp(folder)[:2]) for folder in able}
        if watched == self._watched:
            if self._notifier is not None:
                self._notifier.set_plan(plan)
            return False
        self._watched = watched
        self._end_notifier()
        if able:
            self._notifier = _Notifier(able, plan, self._tell)
            self._notifier.start()
        return bool(able)

    def _can_notify(self, folder: str) -> bool:
        return os.access(folder, os.R_OK | os.X_OK) and not is_silent(folder, self._mounts)

    def _fail(self, reason: str, now: float) -> None:
        self.note = f"no change notification ({reason.lower()}); files are polled instead"
        self._notifier = None
        self._watched = set()
        self._retry_at = now + RETRY

    def _end_notifier(self) -> None:
        if self._notifier is not None:
            self._notifier.stop.set()
            self._notifier.join()
            self._notifier = None


class Watch:
    """Wakes one asyncio task when files grow, appear or are replaced, or a pipe has something.

    Use as `async with`, or `start` and `stop`; `update` says what to look at, any time. After
    `stop` no thread, task or reader is left.
    """

    def __init__(self, slow: float = SLOW) -> None:
        """`slow`: longest pause between two looks where nothing notifies, in seconds."""
        self._slow = slow
        self._event = asyncio.Event()
        self._looker_ended = asyncio.Event()
        self._wake = Wake()
        self._plan = Plan()
        self._looker: _Looker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipes: dict[int, str] = {}
        self._armed: set[int] = set()
        self._unwatchable: set[int] = set()
        self._stopped = False

    @property
    def note(self) -> str | None:
        """One sentence where notification failed and polling took its place."""
        return self._looker.note if self._looker is not None else None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._looker = _Looker(self._tell_from_thread, self._end_from_thread, self._slow)
        self._looker.set_plan(self._plan)
        self._looker.start()

    async def stop(self) -> None:
        """End both threads, which takes about 20 ms, and every `wait`."""
        self._stopped = True
        self._event.set()
        self.set_pipes({})
        looker, self._looker = self._looker, None
        if looker is not None:
            looker.stop()
            await self._looker_ended.wait()
            looker.join()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def update(
        self,
        files: Iterable[str] = (),
        folders: Iterable[str] = (),
        awaited: Iterable[str] = (),
    ) -> None:
        """Look at these from now on; what is no absolute path ("-") is left out.

        Followed files; folders that new ones may appear in (not those below them:
        `Expanded.places`); paths that do not exist yet (`Expanded.missing`).
        """
        plan = Plan(
            *(frozenset(filter(os.path.isabs, paths)) for paths in (files, folders, awaited))
        )
        if plan != self._plan:
            self._plan = plan
            if self._looker is not None:
                self._looker.set_plan(plan)

    def set_pipes(self, pipes: Mapping[str, int]) -> None:
        """Wait for these descriptors, too, by path."""
        for fd in self._armed - set(pipes.values()):
            self._disarm(fd)
        self._pipes = {fd: path for path, fd in pipes.items() if fd >= 0}
        self._unwatchable &= self._pipes.keys()

    async def wait(self, seconds: float | None = None) -> Wake:
        """Return as soon as there is a reason, or after so many seconds without one.

        All reasons since the last call are gathered in the one returned.
        """
        self._arm()
        pause = seconds
        if self._unwatchable:
            pause = FAST if seconds is None else min(FAST, seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._event.wait()
        if not self._stopped:
            self._event.clear()
        wake, self._wake = self._wake, Wake()
        always = frozenset(self._pipes[fd] for fd in self._unwatchable)
        return Wake(wake.paths | always, wake.appeared) if always else wake

    async def wakes(self, seconds: float | None = None) -> AsyncIterator[Wake]:
        """Every wake until `stop`; an empty one after so many seconds without."""
        while not self._stopped:
            yield await self.wait(seconds)

    def _arm(self) -> None:
        """A pipe is told once per wait: one that is not read at once must not spin the loop."""
        if self._loop is None or self._stopped:
            return
        for fd in self._pipes.keys() - self._armed - self._unwatchable:
            try:
                self._loop.add_reader(fd, self._pipe_ready, fd)
            except (OSError, NotImplementedError):  # epoll takes no regular file
                self._unwatchable.add(fd)
            else:
                self._armed.add(fd)

    def _disarm(self, fd: int) -> None:
        self._armed.discard(fd)
        if self._loop is not None:
            self._loop.remove_reader(fd)

    def _pipe_ready(self, fd: int) -> None:
        self._disarm(fd)
        self._tell(Wake(frozenset([self._pipes[fd]])))

    def _tell(self, wake: Wake) -> None:
        old = self._wake
        self._wake = Wake(old.paths | wake.paths, old.appeared or wake.appeared)
        self._event.set()

    def _tell_from_thread(self, wake: Wake) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._tell, wake)

    def _end_from_thread(self) -> None:
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._looker_ended.set)
