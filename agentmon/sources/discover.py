"""Where agents leave their wire logs on this machine.

Only looks; nothing is opened or created. What is missing now may appear later, so the places
are told too.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

LOG_NAME = "sse_lines.jsonl"


class Place(Struct, frozen=True):
    """A place that was looked at: what would be there, where, and whether it is."""

    what: str
    where: str
    is_found: bool

    @property
    def line(self) -> str:
        """For people: "the log of Claude Code: ~/… (not there)"."""
        return f"{self.what}: {self.where} ({'found' if self.is_found else 'not there'})"


class Discovery(Struct, frozen=True):
    """What is there, and everything that was looked for.

    `found` are files and folders to follow, each real file once. `missing` are paths that would
    be followed if they appeared; `watched` are folders in which new logs may appear.
    """

    found: tuple[Path, ...]
    missing: tuple[Path, ...]
    watched: tuple[Path, ...]
    looked_for: tuple[Place, ...]


def discover(
    environ: Mapping[str, str], home: Path, state_dir: Path, paths: Iterable[str] = ()
) -> Discovery:
    """Looks at every place that is known for logs, and at the configured `paths`.

    `state_dir` is agentmon's own state folder, below which it captures. A "~" in `paths` is
    `home`.
    """
    single = [("configured path", _under_home(path, home)) for path in paths]
    if folder := environ.get("CLAUDE_CODE_LOG_DIR"):
        single.append(("log in $CLAUDE_CODE_LOG_DIR", _under_home(folder, home) / LOG_NAME))
    single.append(("capture by agentmon", state_dir / "capture" / LOG_NAME))
    central = home / "centralized-logs"
    logs = sorted(path for path in _children(central) if _exists(path / LOG_NAME))

    places = [Place(what, _short(path, home), _exists(path)) for what, path in single]
    places.append(Place("centralized logs", _short(central / "*" / LOG_NAME, home), bool(logs)))
    found = [path for _, path in single if _exists(path)] + [path / LOG_NAME for path in logs]
    return Discovery(
        found=tuple(_once(found)),
        missing=tuple(path for _, path in single if not _exists(path)),
        watched=(central,) if _exists(central) else (),
        looked_for=tuple(places),
    )


def _under_home(path: str, home: Path) -> Path:
    """The path with a leading "~" as `home`; Path.expanduser would ask the real environment."""
    if path == "~" or path.startswith("~/"):
        return home / path[2:]
    return Path(path)


def _short(path: Path, home: Path) -> str:
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _exists(path: Path) -> bool:
    """Whether something is there; what may not be looked at is not there for us."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _once(paths: Iterable[Path]) -> list[Path]:
    """Each real file once, under the first name that leads to it."""
    by_target: dict[Path, Path] = {}
    for path in paths:
        by_target.setdefault(path.resolve(), path)
    return list(by_target.values())
