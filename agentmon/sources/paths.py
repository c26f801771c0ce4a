"""Which files are meant by the paths on the command line, now and as more of them appear."""

import os
import stat
from collections.abc import Container
from contextlib import suppress
from fnmatch import fnmatchcase

from msgspec import Struct, field

from agentmon.sources.identity import Identity, Problem, failure, standard_path

PATTERN = "sse_lines*.jsonl"
"""What is read in a folder; a file given by its own path may be called anything."""

DEPTH = 4
"""How many levels of folders below a given one are looked into."""

MAX_PLACES = 2_000
"""How many folders are watched for new files; those that lie deepest are left out."""

STDIN = "-"


class Expanded(Struct):
    """What the given paths are at the moment.

    `files` are to be followed (also FIFOs, and "-" for standard input), each once however it was
    named, in the order given and sorted within a folder. `folders` are those given, `places` those
    and the ones below, where new files may appear. `missing` paths are waited for. `problems` are
    of the last look.
    """

    files: list[str] = field(default_factory=list[str])
    folders: list[str] = field(default_factory=list[str])
    places: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])

    def rescan(self, held: Container[Identity] = ()) -> list[str]:
        """Look again; the files that appeared, which are in `files` from now on.

        A file whose identity is `held` (`Register.held`) is being read under another name.
        """
        self.problems = []
        waited, self.missing = self.missing, []
        known = len(self.files)
        taken = {identity for path in self.files if (identity := _identity(path))}
        for path in waited:
            self._add(path, taken, held)
        self.places = []
        for folder in self.folders:
            logs, places = _logs_below(folder, self.problems)
            self._add_files(logs, taken, held)
            self.places += places
        del self.places[MAX_PLACES:]
        return self.files[known:]

    def _add(self, path: str, taken: set[Identity], held: Container[Identity]) -> None:
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            if path not in self.missing:
                self.missing.append(path)
        except OSError as error:
            self.problems.append(failure(path, error))
            if path not in self.missing:
                self.missing.append(path)
        else:
            if stat.S_ISDIR(mode):
                if path not in self.folders:
                    self.folders.append(path)
            elif stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
                self._add_files([path], taken, held)
            else:
                message = f"{path} is neither a file nor a folder nor a pipe"
                self.problems.append(Problem(path, message))

    def _add_files(self, paths: list[str], taken: set[Identity], held: Container[Identity]) -> None:
        for path in paths:
            identity = _identity(path)
            if identity is None or identity in taken or identity in held:
                continue
            taken.add(identity)
            if path not in self.files:
                self.files.append(path)


def expand(paths: list[str], *, follow: bool) -> Expanded:
    """Look at the given paths. Without `follow`, a missing one is a problem of its own."""
    found = Expanded()
    for path in paths:
        if path == STDIN:
            if STDIN not in found.files:
                found.files.append(STDIN)
        else:
            found.missing.append(standard_path(path))
    found.rescan()
    if not follow:
        gone = [Problem(path, f"{path} does not exist") for path in found.missing]
        known = {problem.path for problem in found.problems}
        found.problems += [problem for problem in gone if problem.path not in known]
    return found


def _identity(path: str) -> Identity | None:
    with suppress(OSError):
        info = os.stat(path)
        return info.st_dev, info.st_ino
    return None


def _logs_below(folder: str, problems: list[Problem]) -> tuple[list[str], list[str]]:
    """Logs, and folders looked into, level by level: a folder is met at its least depth.

    Links may form a ring.
    """
    logs: list[str] = []
    places: list[str] = []
    seen: set[Identity] = set()
    level = [folder]
    for _ in range(DEPTH + 1):
        below: list[str] = []
        for one in level:
            identity = _identity(one)
            if identity is not None and identity not in seen:
                seen.add(identity)
                places.append(one)
                _list(one, logs, below, problems)
        level = sorted(below)
    return sorted(logs), places


def _list(folder: str, logs: list[str], below: list[str], problems: list[Problem]) -> None:
    try:
        with os.scandir(folder) as entries:
            inside = list(entries)
    except OSError as error:
        problems.append(failure(folder, error))
        return
    for entry in inside:
        with suppress(OSError):
            if entry.is_dir():
                below.append(entry.path)
            elif fnmatchcase(entry.name, PATTERN) and entry.is_file():
                logs.append(entry.path)
