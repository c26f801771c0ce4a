"""The thread that looks with stat, and keeps a notifier at work over the folders that can have one.

Files that were active lately are looked at every second. What rests, and the folders, are left to
notification; a round that takes a few of them each second finds what no notification told.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, TypeAlias

from agentmon.sources.mounts import is_silent, mount_table
from agentmon.sources.notify import Meaning, Notifier, Plan, Wake

NET = 1.0
"""Seconds between two looks at the followed files."""

ROUND = 100
"""How many of the resting files and the folders are looked at with each of these."""

REVIEW = 5.0
"""Seconds between two reviews of what can be notified: links, mounts, replaced folders."""

FAST, SLOW, LIVELY = 0.025, 0.25, 2.0
"""Seconds between two looks where nothing notifies: while data came in the last `LIVELY` seconds,
and at most, backing off."""

SETTLE = 0.2
"""Seconds that a new notifier has to be at work."""

RETRY = 30.0
"""Seconds until notification is tried again after it failed."""

MOST_FOLDERS = 1_000
"""How many folders are notified of; those of the resting files come last."""

MARGIN = 2.0
"""Seconds that a file system's times of change may be coarse by."""

_Spot: TypeAlias = tuple[str, int, int]
"""A folder as it is named, its device and inode."""


class _Folder(NamedTuple):
    """What is known of a folder for as long as it is the same."""

    real: str
    can_notify: bool


Stamp: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time of change in ns; zeros where nothing is."""

_NOTHING: Stamp = (0, 0, 0, 0)


def _stamp(path: str) -> Stamp:
    with suppress(OSError):
        info = os.stat(path)
        return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns
    return _NOTHING


class Looker(threading.Thread):
    """Tells of changes until it is stopped, then that it ended."""

    def __init__(
        self, tell: Callable[[Wake], None], ended: Callable[[], None], slow: float
    ) -> None:
        super().__init__(name="agentmon-look", daemon=True)
        self.note: str | None = None
        self._slow = slow
        self._tell = tell
        self._ended = ended
        self._plan = Plan()
        self._nudge = threading.Event()
        self._stopping = False
        self._notifier: Notifier | None = None
        self._watched: set[_Spot] = set()
        self._retry_at = 0.0
        self._stamps: dict[str, Stamp] = {}
        self._silent: frozenset[str] = frozenset()
        self._mounts: list[tuple[str, str]] = []
        self._known: dict[_Spot, _Folder] = {}
        self._round: Iterator[str] = iter(())

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
            self._nudge.clear()
            plan = self._plan
            everything = now >= net_at or is_nudged
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

    # -- looking

    def _look(self, plan: Plan, silent: frozenset[str], *, everything: bool) -> bool:
        """Tell what changed since the last look; whether anything of what is silent did."""
        due = set(silent)
        if everything:
            due = {*plan.files, *plan.awaited, *self._next_of_round(plan)}
        changed = {path for path in due if self._is_new(path, plan)}
        if changed:
            paths = {path for path in changed if path in plan.files or path in plan.resting}
            folders = {
                os.path.dirname(path) if path in plan.awaited else path for path in changed - paths
            }
            self._tell(Wake(frozenset(paths), frozenset(folders)))
        return not changed.isdisjoint(silent)

    def _next_of_round(self, plan: Plan) -> list[str]:
        taken = list(islice(self._round, ROUND))
        if len(taken) < ROUND:
            known = {*plan.files, *plan.awaited, *plan.folders, *plan.resting}
            self._stamps = {path: self._stamps[path] for path in known & self._stamps.keys()}
            whole = [*plan.folders, *plan.resting]
            self._round = iter(whole)
            taken += islice(self._round, ROUND - len(taken))
        return taken

    def _is_new(self, path: str, plan: Plan) -> bool:
        stamp = _stamp(path)
        known = self._stamps.get(path)
        self._stamps[path] = stamp
        since = plan.resting.get(path)
        if known is None and since is not None:
            return stamp[3] / 1e9 > since - MARGIN
        return stamp != (known or _NOTHING)

    # -- notification

    def _keep_notified(self, plan: Plan, now: float) -> bool:
        """Have a notifier over the folders that can have one; whether it had to be started."""
        if self._notifier is not None and not self._notifier.is_alive():
            self._fail(self._notifier.failure or "it ended", now)
        links = {path: os.path.realpath(path) for path in plan.files if os.path.islink(path)}
        around = _around(plan, links)
        known = self._known_folders(_folders(plan, around))
        is_time = now >= self._retry_at
        able = {spot[0]: spot for spot, folder in known.items() if is_time and folder.can_notify}
        self._silent = frozenset(
            path for path, folders in around.items() if not folders <= able.keys()
        )
        aliases = {one.real: spot[0] for spot, one in known.items() if one.real != spot[0]}
        meaning = Meaning(plan, links, aliases)
        watched = set(able.values())
        if watched == self._watched:
            if self._notifier is not None:
                self._notifier.meaning = meaning
            return False
        self._watched = watched
        self._end_notifier()
        if able:
            self._notifier = Notifier(able, meaning, self._tell)
            self._notifier.start()
        return bool(able)

    def _known_folders(self, folders: Iterable[str]) -> dict[_Spot, _Folder]:
        """The folders that are there; each is examined once, unless the mounts have changed."""
        mounts = mount_table()
        if mounts != self._mounts:
            self._mounts, self._known = mounts, {}
        spots: list[_Spot] = [(folder, *_stamp(folder)[:2]) for folder in folders]
        self._known = {
            spot: self._known.get(spot) or _examined(spot[0], mounts) for spot in spots if spot[2]
        }
        return self._known

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


def _examined(folder: str, mounts: list[tuple[str, str]]) -> _Folder:
    real = os.path.realpath(folder)
    is_open = os.access(folder, os.R_OK | os.X_OK)
    return _Folder(real, is_open and not is_silent(real, mounts))


def _around(plan: Plan, links: dict[str, str]) -> dict[str, set[str]]:
    """For each followed file the folders in which a change of it shows; a link's target's, too."""
    around = {path: {os.path.dirname(path)} for path in plan.files}
    for path, target in links.items():
        around[path].add(os.path.dirname(target))
    return around


def _folders(plan: Plan, around: dict[str, set[str]]) -> list[str]:
    """The folders to be notified of, the dearest first."""
    dear = dict.fromkeys(folder for folders in around.values() for folder in sorted(folders))
    dear |= dict.fromkeys(map(os.path.dirname, plan.awaited))
    dear |= dict.fromkeys(plan.folders)
    dear |= dict.fromkeys(map(os.path.dirname, plan.resting))
    return list(dear)[:MOST_FOLDERS]
