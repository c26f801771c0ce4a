"""What changes in watched folders mean, and the thread that waits for them in watchfiles."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from agentmon.sources.identity import is_rotation_of
from agentmon.sources.shapes import may_be_log

STEP, DEBOUNCE, RUST_TIMEOUT = 25, 100, 1000
"""Timers of watchfiles in ms: changes are told when a step brings no new path, at the latest after
the debounce (its defaults hold them back for up to 1.6 s while new files appear)."""


class Wake(Struct, frozen=True):
    """Why `Watch.wait` returned.

    `paths` may have more to read; in `folders` there may be new files, or another entry of the
    registry. Neither: the timeout, or the end.
    """

    paths: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()

    @property
    def appeared(self) -> bool:
        """Whether there may be new files (`Expanded.rescan`)."""
        return bool(self.folders)

    def __or__(self, other: "Wake") -> "Wake":
        return Wake(self.paths | other.paths, self.folders | other.folders)


class Plan(Struct, frozen=True):
    """What is looked at, by path; see `Watch.update`."""

    files: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    resting: Mapping[str, float] = field(default_factory=dict[str, float])
    ignored: frozenset[str] = frozenset()


class Meaning:
    """Which change of which path is worth waking up for."""

    def __init__(
        self, plan: Plan, links: Mapping[str, str], aliases: Mapping[str, str] | None = None
    ) -> None:
        """`links`: for followed paths that are links, what they name. `aliases`: real folders that
        are watched under another name; some systems tell the real one."""
        self._plan = plan
        self._aliases = aliases or {}
        self._folders = frozenset(plan.folders)
        self._awaited = frozenset(plan.awaited)
        self._names = {target: path for path, target in links.items()}
        self._beside: dict[str, list[str]] = {}
        for path in plan.files:
            self._beside.setdefault(os.path.dirname(path), []).append(path)

    def of(self, changed: Iterable[str]) -> Wake:
        """Most changes in a busy folder mean nothing."""
        paths: set[str] = set()
        folders: set[str] = set()
        for told in changed:
            folder, base = os.path.split(told)
            folder = self._aliases.get(folder, folder)
            path = os.path.join(folder, base)
            name = self._names.get(told) or self._names.get(path, path)
            if name in self._plan.files or name in self._plan.resting:
                paths.add(name)
            elif path not in self._plan.ignored:
                paths.update(one for one in self._beside.get(folder, ()) if _is_older(path, one))
                if path in self._awaited or (folder in self._folders and _may_be_new(path)):
                    folders.add(folder)
        return Wake(frozenset(paths), frozenset(folders))


def _is_older(candidate: str, path: str) -> bool:
    """Whether a changed path is a followed one that was rotated away; its names begin alike."""
    stem = os.path.splitext(path)[0]
    return candidate.startswith(stem) and is_rotation_of(candidate, path)


def _may_be_new(path: str) -> bool:
    """Whether a path that is not followed may be one to be, or a folder that may hold some."""
    return may_be_log(os.path.basename(path)) or os.path.isdir(path)


class Notifier(threading.Thread):
    """Waits in watchfiles until told to stop; `failure` says why it could not."""

    def __init__(
        self, folders: Iterable[str], meaning: Meaning, tell: Callable[[Wake], None]
    ) -> None:
        super().__init__(name="agentmon-notify", daemon=True)
        self.failure: str | None = None
        self.stop = threading.Event()
        self.meaning = meaning
        """May be replaced at any time; the folders stay."""
        self._folders = sorted(folders)
        self._tell = tell

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
                wake = self.meaning.of(path for _, path in changes)
                if wake.paths or wake.folders:
                    self._tell(wake)
        except (OSError, RuntimeError) as error:
            self.failure = str(error)
