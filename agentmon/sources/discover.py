"""Where agents leave their logs on this machine (formats.md A, C.1, D.1).

Only looks; nothing is opened or created. What is missing now may appear later, so the places are
told too.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from agentmon.sources.formats import LOG_NAME
from agentmon.sources.paths import Expanded, Found, Root
from agentmon.sources.shapes import Shape


class Place(Struct, frozen=True):
    """A place that was looked at: what would be there, where, and what is. `files` are the newest
    first; a folder of the registry has entries, which are no logs."""

    what: str
    where: str
    is_found: bool
    path: str = ""
    is_registry: bool = False
    files: tuple[Found, ...] = ()
    filled: str = ""
    """Who fills it, and when it is missing."""

    @property
    def newest(self) -> float | None:
        """When a file there was last changed, in epoch seconds."""
        return self.files[0].mtime if self.files else None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)

    @property
    def state(self) -> str:
        if not self.is_found:
            return "not there"
        if self.is_registry:
            return "found"
        count = len(self.files)
        return f"{count:,} file{'' if count == 1 else 's'}" if count else "empty"

    @property
    def line(self) -> str:
        """For people: "Claude Code transcripts: ~/.claude/projects/*/*.jsonl (312 files)"."""
        return f"{self.what}: {self.where} ({self.state})"


class Discovery(Struct, frozen=True):
    """What is there, and everything that was looked for.

    `files` are what may be logs, newest first, each real file once. `roots` are the places
    themselves, there or not; `inputs` is the look that was taken at them, which knows where new
    files may appear.
    """

    files: tuple[Found, ...]
    roots: tuple[Root, ...]
    inputs: Expanded
    looked_for: tuple[Place, ...]


class _Known(Struct, frozen=True):
    """A place to look at; `names` shows what is looked for in it. `filled`: see `Place`."""

    what: str
    root: Root
    names: str = ""
    filled: str = ""


def discover(
    environ: Mapping[str, str], home: Path, state_dir: Path, paths: Iterable[str] = ()
) -> Discovery:
    """Looks at every place that is known for logs, and at the configured `paths`.

    `state_dir` is agentmon's own state folder, below which it captures. A "~" in `paths` is
    `home`.
    """
    known = [
        *(_Known("configured path", _root(_under_home(path, home), given=True)) for path in paths),
        *_wire_logs(environ, home, state_dir),
        *_of_products(environ, home),
    ]
    inputs = Expanded(known_one.root for known_one in known)
    inputs.rescan()
    return Discovery(
        files=tuple(_newest_first(inputs.found.values())),
        roots=tuple(known_one.root for known_one in known),
        inputs=inputs,
        looked_for=tuple(_place(known_one, home, inputs) for known_one in known),
    )


def _wire_logs(environ: Mapping[str, str], home: Path, state_dir: Path) -> list[_Known]:
    known: list[_Known] = []
    if folder := environ.get("CLAUDE_CODE_LOG_DIR"):
        log = _root(_under_home(folder, home) / LOG_NAME, "log")
        known.append(_Known("log in $CLAUDE_CODE_LOG_DIR", log))
    capture = _root(state_dir / "capture", "log")
    central = _root(home / "centralized-logs", "logs")
    return [
        *known,
        _Known("capture by agentmon", capture, LOG_NAME, "nothing was captured yet"),
        _Known("centralized logs", central, f"*/{LOG_NAME}", "no client or proxy logs the wire"),
    ]


def _of_products(environ: Mapping[str, str], home: Path) -> list[_Known]:
    """What Claude Code and Codex write by themselves."""
    claude = _under_home(environ.get("CLAUDE_CONFIG_DIR") or "~/.claude", home)
    codex = _under_home(environ.get("CODEX_HOME") or "~/.codex", home)
    projects, registry = _root(claude / "projects", "projects"), claude / "sessions"
    sessions, archived = codex / "sessions", codex / "archived_sessions"
    no_claude = "Claude Code never ran as this user, or its CLAUDE_CONFIG_DIR is elsewhere"
    no_codex = "Codex never ran as this user, or its CODEX_HOME is elsewhere"
    none_runs = "no Claude Code that is recent enough ran yet"
    days, names = "*/*/*/rollout-*.jsonl", "rollout-*.jsonl"
    return [
        _Known("Claude Code transcripts", projects, "*/*.jsonl", no_claude),
        _Known("Claude Code processes", _root(registry, "registry"), "<pid>.json", none_runs),
        _Known("Codex rollouts", _root(sessions, "rollouts"), days, no_codex),
        _Known("Codex archived rollouts", _root(archived, "rollouts"), names, "nothing archived"),
    ]


def _place(known: _Known, home: Path, inputs: Expanded) -> Place:
    root = known.root
    where = _short(Path(root.path), home)
    return Place(
        known.what,
        f"{where}/{known.names}" if known.names else where,
        root.path not in inputs.missing,
        root.path,
        root.shape == "registry",
        tuple(_newest_first(inputs.below(root.path))),
        known.filled,
    )


def _newest_first(files: Iterable[Found]) -> list[Found]:
    return sorted(files, key=lambda one: (-one.mtime, one.path))


def _root(path: Path, shape: Shape = "any", *, given: bool = False) -> Root:
    return Root(str(path), shape, given)


def _under_home(path: str, home: Path) -> Path:
    """The absolute path, with a leading "~" as `home`; Path.expanduser would ask the real
    environment."""
    found = home / path[2:] if path == "~" or path.startswith("~/") else Path(path)
    return found.absolute()


def _short(path: Path, home: Path) -> str:
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
