"""Which files are meant by given paths and known places, now and as more of them appear."""

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from agentmon.core.events import Kind
from agentmon.sources.identity import Identity, Problem, failure, standard_path
from agentmon.sources.shapes import COMPRESSED, Shape, below, guess, seen_as, takes

DEPTH = 4
"""How many levels of folders below a given one are looked into."""

KNOWN_DEPTH = 6
"""The same below a folder whose insides are known: projects, slug, session, subagents,
workflows, wf_…"""

MAX_FOLDERS = 20_000
"""How many folders are looked into at all; those that lie deepest are left out."""

MAX_PLACES = 1_000
"""How many folders are watched for new files; those that were silent longest are left out."""

LIVELY = 86_400.0
"""Seconds since the last change of a session in which its own folders are watched. An older one
that goes on is heard by its transcript."""

UNSURE_NS = 2_000_000_000
"""A folder that changed so short a time before it was listed may have changed after that without
another time of change (ticks of a kernel, seconds of some file systems)."""

STDIN = "-"


class Found(Struct, frozen=True):
    """A file that may be a log, as it was at the last look. Times in epoch seconds."""

    path: str
    mtime: float = 0.0
    size: int = 0
    identity: Identity = (0, 0)
    product: str = ""
    """By its place and name; "" where its content decides."""
    kind: Kind | None = None
    is_given: bool = False
    """Named by its own path: a person should hear if it is no log. Others are passed over."""
    is_pipe: bool = False


class Root(Struct, frozen=True):
    """A path to look at: a file, or a folder of a shape. It may not exist yet."""

    path: str
    shape: Shape = "any"
    is_given: bool = False


class _Spot(Struct):
    """A folder that was listed."""

    path: str
    shape: Shape
    depth: int
    heard: float = 0.0
    """When it, or the session whose folder it is, was last changed."""
    stamp: tuple[int, int, int] = (0, 0, 0)
    """Device, inode and time of change (0: unsure) when it was listed."""
    files: tuple[str, ...] = ()


class Expanded:
    """What the given paths are at the moment.

    `files` are to be followed (also FIFOs, and "-" for standard input), each once however it was
    named; `found` tells more of each. `folders` are the roots that are folders, `registries` those
    with a `<pid>.json` per process, `places` the folders where new files may appear. `missing`
    paths are waited for. `problems` and `gone` (transcripts that were deleted) are of the last
    look.
    """

    def __init__(self, roots: Iterable[Root], clock: Callable[[], float] = time.time) -> None:
        self.files: list[str] = []
        self.found: dict[str, Found] = {}
        self.folders: list[str] = []
        self.places: list[str] = []
        self.problems: list[Problem] = []
        self.gone: list[str] = []
        self.passed_over: set[str] = set()
        self._clock = clock
        self._roots = {root.path: root for root in roots}
        self._waited = list(self._roots)
        self._spots: dict[str, _Spot] = {}
        self._listed: dict[Identity, str] = {}
        self._taken: dict[Identity, str] = {}
        self._fresh: list[str] = []
        self._is_full = False

    # -- what is known

    @property
    def missing(self) -> list[str]:
        return list(self._waited)

    @property
    def registries(self) -> list[str]:
        return [spot.path for spot in self._spots.values() if spot.shape == "registry"]

    def below(self, folder: str) -> list[Found]:
        """What was found in a folder and below it, or at this path."""
        start = os.path.join(folder, "")
        return [one for path, one in self.found.items() if path == folder or path.startswith(start)]

    # -- looking

    def rescan(
        self, held: Container[Identity] = (), within: Iterable[str] | None = None
    ) -> list[str]:
        """Look again; the files that appeared, which are in `files` from now on.

        Looks into every folder that has changed, or only into those of `within` that are known.
        A file whose identity is `held` (`Register.held`) is being read under another name.
        """
        self.problems, self.gone, self._fresh = [], [], []
        due = self._changed() if within is None else self._named(within)
        waited, self._waited = self._waited, []
        for path in waited:
            self._look_at(self._roots[path], due, held)
        while due:
            self._list(due.popleft(), due, held)
        self._forget(self.gone)
        self.places = self._watched()
        return self._fresh

    def pass_over(self, path: str) -> None:
        """It is no log: it is not given again."""
        self.passed_over.add(path)
        self._forget([path])

    def _watched(self) -> list[str]:
        """Roots and the like first; folders of sessions that were active lately, newest first."""
        since = self._clock() - LIVELY
        lasting: list[str] = []
        lively: list[_Spot] = []
        for spot in self._spots.values():
            if spot.shape not in ("session", "agents", "workflows"):
                lasting.append(spot.path)
            elif spot.heard >= since:
                lively.append(spot)
        lively.sort(key=lambda spot: -spot.heard)
        return [*lasting, *(spot.path for spot in lively)][:MAX_PLACES]

    def _changed(self) -> deque[_Spot]:
        return deque(spot for spot in self._spots.values() if _stamp(spot.path) != spot.stamp)

    def _named(self, within: Iterable[str]) -> deque[_Spot]:
        return deque(spot for path in within if (spot := self._spots.get(path)) is not None)

    def _look_at(self, root: Root, due: deque[_Spot], held: Container[Identity]) -> None:
        """A root that was not there until now."""
        path = root.path
        try:
            info = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._waited.append(path)
        except (OSError, ValueError) as error:
            if root.is_given and isinstance(error, OSError):
                self.problems.append(failure(path, error))
            self._waited.append(path)
        else:
            if stat.S_ISDIR(info.st_mode):
                if path not in self.folders:
                    self.folders.append(path)
                depth = DEPTH if root.shape == "any" else KNOWN_DEPTH
                due.append(_Spot(path, root.shape, depth))
            elif stat.S_ISREG(info.st_mode) or stat.S_ISFIFO(info.st_mode):
                self._take(_found(path, root.shape, info, is_given=root.is_given), held)
            else:
                message = f"{path} is neither a file nor a folder nor a pipe"
                self.problems.append(Problem(path, message))

    def _list(self, spot: _Spot, due: deque[_Spot], held: Container[Identity]) -> None:
        """Takes what is in a folder; what is below comes after all that lies as high as this."""
        stamp = _stamp(spot.path)
        identity = stamp[:2]
        other = self._listed.get(identity, spot.path)
        if other != spot.path and _stamp(other)[:2] == identity:
            return  # links may form a ring, and two roots may be one folder
        self._listed[identity] = spot.path
        try:
            with os.scandir(spot.path) as entries:
                inside = list(entries)
        except OSError as error:
            self._listed.pop(identity, None)
            self._lose(spot, error)
            return
        self._spots[spot.path] = spot
        is_sure = time.time_ns() - stamp[2] > UNSURE_NS
        spot.stamp = stamp if is_sure else (*identity, 0)
        files, folders = _sorted_out(inside)
        shape = spot.shape
        if shape == "any":
            shape = seen_as(os.path.basename(spot.path), folders.keys(), files.keys())
        self._take_files(spot, shape, files, held)
        for name, path in folders.items():
            self._enter(spot, shape, name, path, due)
        if shape == "registry":
            spot.shape = shape

    def _take_files(
        self,
        spot: _Spot,
        shape: Shape,
        files: dict[str, os.DirEntry[str]],
        held: Container[Identity],
    ) -> None:
        taken: list[str] = []
        spot.heard = max(spot.heard, spot.stamp[2] / 1e9)
        for name in sorted(files):
            is_twin = name.endswith(COMPRESSED) and os.path.splitext(name)[0] in files
            if is_twin or not takes(shape, name):
                continue
            with suppress(OSError):
                one = _found(files[name].path, shape, files[name].stat())
                spot.heard = max(spot.heard, one.mtime)
                taken.append(one.path)
                if not self._take(one, held):
                    spot.stamp = (*spot.stamp[:2], 0)
        there = set(taken)  # folders may hold a hundred thousand files
        self.gone += [path for path in spot.files if path not in there and self._may_go(path)]
        spot.files = tuple(taken)

    def _enter(self, spot: _Spot, shape: Shape, name: str, path: str, due: deque[_Spot]) -> None:
        """Looks into a subfolder that was not looked into, if it is worth it."""
        inside = below(shape, name)
        is_known = inside is not None and inside != "any"
        depth = KNOWN_DEPTH if spot.shape == "any" and is_known else spot.depth - 1
        if inside is None or depth < 0:
            return
        heard = spot.heard if shape in ("session", "agents", "workflows") else 0.0
        if shape == "slug" and (main := self.found.get(f"{path}.jsonl")) is not None:
            heard = main.mtime
        known = self._spots.get(path)
        if known is not None:
            self._hear(known, heard)
        elif len(self._spots) + len(due) < MAX_FOLDERS:
            due.append(_Spot(path, inside, depth, heard))
        elif not self._is_full:
            self._is_full = True
            message = f"more than {MAX_FOLDERS:,} folders below {spot.path}: name fewer of them"
            self.problems.append(Problem(spot.path, message))

    def _hear(self, spot: _Spot, heard: float) -> None:
        """A session that goes on makes its folders worth watching again, and what is in them."""
        if heard > spot.heard:
            spot.heard = heard
            start = os.path.join(spot.path, "")
            for inner in self._spots.values():
                if inner.path.startswith(start):
                    inner.heard = max(inner.heard, heard)

    def _lose(self, spot: _Spot, error: OSError) -> None:
        """A folder that can't be listed: gone, which is waited for if it was named, or closed."""
        self._spots.pop(spot.path, None)
        is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        if not is_gone:
            self.problems.append(failure(spot.path, error))
        if spot.path in self._roots:
            self._waited.append(spot.path)
        self.gone += [path for path in spot.files if is_gone and self._may_go(path)]

    # -- files

    def _take(self, one: Found, held: Container[Identity]) -> bool:
        """False: it is followed under another name now, and may be new when that is over."""
        path = one.path
        if path in self.found:
            self.found[path] = replace(one, is_given=self.found[path].is_given)
        elif path not in self.passed_over:
            if one.identity in held or self._is_taken(one.identity):
                return False
            self._taken[one.identity] = path
            self.found[path] = one
            self.files.append(path)
            self._fresh.append(path)
        return True

    def _is_taken(self, identity: Identity) -> bool:
        """Whether another path that is followed names this file; one that named it may be gone."""
        other = self._taken.get(identity)
        if other is None:
            return False
        with suppress(OSError):
            info = os.stat(other)
            return (info.st_dev, info.st_ino) == identity
        return False

    def _may_go(self, path: str) -> bool:
        """A wire log that is gone was rotated and comes back; a transcript that is gone is not
        waited for."""
        one = self.found.get(path)
        return one is not None and one.kind in ("transcript", "rollout") and not one.is_given

    def _forget(self, paths: Iterable[str]) -> None:
        left: set[str] = set()
        for path in paths:
            one = self.found.pop(path, None)
            if one is not None:
                self._taken.pop(one.identity, None)
                left.add(path)
        if left:
            self.files[:] = [path for path in self.files if path not in left]


def expand(given: Sequence[str | Root], *, follow: bool) -> Expanded:
    """Look at the given paths. Without `follow`, a missing one is a problem of its own."""
    roots = [
        one if isinstance(one, Root) else Root(standard_path(one), is_given=True)
        for one in given
        if one != STDIN
    ]
    found = Expanded(roots)
    if STDIN in given:
        found.found[STDIN] = Found(STDIN, is_given=True, is_pipe=True)
        found.files.append(STDIN)
    found.rescan()
    if not follow:
        named = {root.path for root in roots if root.is_given}
        gone = [path for path in found.missing if path in named]
        known = {problem.path for problem in found.problems}
        found.problems += [
            Problem(path, f"{path} does not exist") for path in gone if path not in known
        ]
    return found


def _found(path: str, shape: Shape, info: os.stat_result, *, is_given: bool = False) -> Found:
    product, kind = guess(shape, os.path.basename(path))
    identity = info.st_dev, info.st_ino
    is_pipe = stat.S_ISFIFO(info.st_mode)
    return Found(path, info.st_mtime, info.st_size, identity, product, kind, is_given, is_pipe)


def _sorted_out(
    entries: Iterable[os.DirEntry[str]],
) -> tuple[dict[str, os.DirEntry[str]], dict[str, str]]:
    """Regular files and folders by name; what a link names counts."""
    files: dict[str, os.DirEntry[str]] = {}
    folders: dict[str, str] = {}
    for entry in entries:
        with suppress(OSError):
            if entry.is_dir():
                folders[entry.name] = entry.path
            elif entry.is_file():
                files[entry.name] = entry
    return files, dict(sorted(folders.items()))


def _stamp(path: str) -> tuple[int, int, int]:
    with suppress(OSError):
        info = os.stat(path)
        return info.st_dev, info.st_ino, info.st_mtime_ns
    return (0, 0, 0)
