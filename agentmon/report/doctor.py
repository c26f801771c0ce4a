"""What is found, what is wrong and how to mend it, for `agentmon doctor`.

Looks only; prints nothing and changes nothing. What the inside of the store is like is told by
the caller, so that nothing of it is known here.
"""

import os
import shutil
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import watchfiles
from msgspec import Struct

from agentmon.config import ConfigError, Loaded
from agentmon.core.text import clean, one_line, wrap
from agentmon.report.places import Check, Status, check_places
from agentmon.report.table import Cell, Painter
from agentmon.report.words import size
from agentmon.sources import procs
from agentmon.sources.discover import Discovery
from agentmon.store.sizes import files_below

SMALLEST = (40, 10)
"""Columns and lines below which the screen only says that it is too small."""

SQLITE_NEEDED = (3, 31, 0)
"""Generated columns, which `schema.sql` uses, came with this version."""

LITTLE_SPACE = 1 << 30
NO_SPACE = 64 << 20
FEW_WATCHES = 1024
FEW_INSTANCES = 8
INOTIFY = Path("/proc/sys/fs/inotify")

_COUNT_FILES = 100_000


class Terminal(Struct, frozen=True):
    """What is known of the terminal; `size` is columns and lines, None without one."""

    size: tuple[int, int] | None
    encoding: str
    term: str
    colors: str
    in_tmux: bool


def terminal(environ: Mapping[str, str], encoding: str, descriptor: int | None) -> Terminal:
    """The terminal behind an open descriptor, None where output goes elsewhere."""
    found: tuple[int, int] | None = None
    if descriptor is not None and os.isatty(descriptor):
        columns, lines = os.get_terminal_size(descriptor)
        found = (columns, lines)
    term = environ.get("TERM", "")
    return Terminal(found, encoding, term, _colors(environ, term), bool(environ.get("TMUX")))


def _colors(environ: Mapping[str, str], term: str) -> str:
    if environ.get("NO_COLOR"):
        return "no colours (NO_COLOR)"
    if environ.get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct"):
        return "16 million colours"
    return "256 colours" if "256color" in term else "16 colours"


def examine(
    *,
    terminal: Terminal,
    settings: Loaded | ConfigError,
    discovery: Discovery,
    data_dir: Path,
    store: Callable[[Path], Check],
    inotify: Path = INOTIFY,
    now: float | None = None,
) -> list[Check]:
    """Every check, in the order they are shown. `now` (epoch seconds) is the clock's unless given.

    `store` is asked about the inside of the store only where its folder exists; it returns its
    own check.
    """
    checks = [
        check_python(),
        check_terminal(terminal),
        check_settings(settings),
        *check_places(discovery, time.time() if now is None else now),
        check_folder(data_dir),
        check_space(data_dir),
    ]
    if data_dir.is_dir():
        checks.append(store(data_dir))
    return [*checks, check_processes(), check_notification(_standing(data_dir), inotify)]


def has_failed(checks: Sequence[Check]) -> bool:
    """Whether the command ends with a non-zero exit code."""
    return any(check.status == "fail" for check in checks)


def check_python(sqlite: tuple[int, int, int] = sqlite3.sqlite_version_info) -> Check:
    python = ".".join(map(str, sys.version_info[:3]))
    message = f"Python {python}, SQLite {'.'.join(map(str, sqlite))}, {sys.platform}"
    if sqlite < SQLITE_NEEDED:
        needed = ".".join(map(str, SQLITE_NEEDED))
        remedy = f"use a Python with SQLite {needed} or newer"
        return Check("python", "fail", message, remedy)
    return Check("python", "ok", message)


def check_terminal(found: Terminal) -> Check:
    if found.size is None:
        return Check("terminal", "ok", "none here: the screen commands print the board once")
    columns, lines = found.size
    parts = [f"{columns}x{lines}", found.colors, found.encoding, found.term or "no $TERM"]
    message = ", ".join(parts + ["in tmux"] * found.in_tmux)
    remedies: list[str] = []
    if columns < SMALLEST[0] or lines < SMALLEST[1]:
        remedies.append(f"make it {SMALLEST[0]}x{SMALLEST[1]} or larger")
    if found.encoding.lower().replace("-", "") not in ("utf8", "utf8sig"):
        remedies.append("use a UTF-8 locale (LANG=C.UTF-8) or --ascii")
    if found.term in ("", "dumb"):
        remedies.append("set TERM, for example xterm-256color")
    return Check("terminal", "warn" if remedies else "ok", message, "; ".join(remedies))


def check_settings(settings: Loaded | ConfigError) -> Check:
    if isinstance(settings, ConfigError):
        return Check("settings", "fail", str(settings), "correct this value")
    if settings.warnings:
        remedy = "rename or remove them; agentmon config lists the known ones"
        return Check("settings", "warn", "; ".join(settings.warnings), remedy)
    changed = [key for key, origin in settings.origins.items() if origin != "default"]
    return Check("settings", "ok", f"set: {', '.join(changed)}" if changed else "all defaults")


def _standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))


def check_folder(data_dir: Path) -> Check:
    """The folder of the store: there, ours alone, writable."""
    name = "data folder"
    try:
        found = data_dir.stat()
    except FileNotFoundError:
        above = _standing(data_dir)
        if os.access(above, os.W_OK | os.X_OK):
            return Check(name, "ok", f"{data_dir} will be made at the first start")
        remedy = "choose another folder with --data-dir"
        return Check(name, "fail", f"{data_dir} cannot be made: {above} is read-only", remedy)
    except OSError as problem:
        remedy = "choose another folder with --data-dir"
        return Check(name, "fail", f"{data_dir}: {problem.strerror}", remedy)
    if not stat.S_ISDIR(found.st_mode):
        remedy = "move it away or choose another folder with --data-dir"
        return Check(name, "fail", f"{data_dir} is not a folder", remedy)
    if not os.access(data_dir, os.W_OK | os.X_OK):
        return Check(name, "fail", f"{data_dir} is read-only", f"chmod 700 {data_dir}")
    if open_ones := _open_to_others(data_dir):
        message = "others may look into " + ", ".join(map(str, open_ones))
        return Check(name, "warn", message, f"chmod -R go-rwx {data_dir}")
    return Check(name, "ok", f"{data_dir}, {_weight(data_dir)}, yours alone")


def _open_to_others(data_dir: Path) -> list[Path]:
    """The folder and the database files in it that others may read or write."""
    mine = [data_dir, *sorted(data_dir.glob("*.db*"))]
    return [path for path in mine if path.stat().st_mode & 0o077]


def _weight(folder: Path) -> str:
    """Bytes below a folder; a lower bound where there are very many files."""
    total = 0
    for number, entry in enumerate(files_below(folder)):
        if number >= _COUNT_FILES:
            return f"more than {size(total)}"
        total += entry
    return size(total)


def check_space(data_dir: Path, free: int | None = None) -> Check:
    """Free space where the store is, in bytes; measured unless given."""
    if free is None:
        free = shutil.disk_usage(_standing(data_dir)).free
    message = f"{size(free)} free"
    if free < NO_SPACE:
        return Check("disk space", "fail", message, "make room: nothing can be stored soon")
    if free < LITTLE_SPACE:
        return Check(
            "disk space", "warn", message, "make room, or keep the store elsewhere (--data-dir)"
        )
    return Check("disk space", "ok", message)


def check_processes(
    is_running: Callable[[int], bool] = procs.is_running,
    born_at: Callable[[int], float | None] = procs.born_at,
) -> Check:
    """Whether the process table can be read: without it no agent is ever seen to be gone."""
    itself = os.getpid()
    if is_running(itself) and born_at(itself) is not None:
        return Check("processes", "ok", "the process table can be read")
    remedy = "mount /proc; until then agents whose process died are not marked"
    return Check("processes", "warn", "the process table cannot be read", remedy)


def try_notification(folder: Path) -> None:
    """Starts and ends a watch of one folder; raises OSError or RuntimeError where none starts."""
    over = threading.Event()
    over.set()
    for _ in watchfiles.watch(
        folder, stop_event=over, rust_timeout=10, recursive=False, raise_interrupt=False
    ):
        return


def check_notification(
    folder: Path, inotify: Path = INOTIFY, attempt: Callable[[Path], None] = try_notification
) -> Check:
    """Whether the system tells about changed files; agentmon polls where it does not."""
    name = "notification"
    try:
        attempt(folder)
    except (OSError, RuntimeError) as problem:
        remedy = "files are polled; raise fs.inotify.max_user_instances and max_user_watches"
        return Check(
            name, "warn", f"no watch can be started: {one_line(str(problem), 120)}", remedy
        )
    limits = {
        limit: _number(inotify / limit) for limit in ("max_user_watches", "max_user_instances")
    }
    known = [f"{limit} {number}" for limit, number in limits.items() if number is not None]
    message = ", ".join(["works", *known])
    for limit, least in (("max_user_watches", FEW_WATCHES), ("max_user_instances", FEW_INSTANCES)):
        number = limits[limit]
        if number is not None and number < least:
            return Check(name, "warn", message, f"sysctl fs.inotify.{limit}={least * 16}")
    return Check(name, "ok", message)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


_ROLES: Mapping[Status, tuple[str, str, str]] = {
    "ok": ("✓", "ok", "success"),
    "warn": ("▲", "warn", "warning"),
    "fail": ("✕", "FAIL", "error"),
}


def checks_text(
    checks: Sequence[Check], *, width: int = 80, ascii: bool = False, color: bool = False
) -> str:
    """The checks for a terminal or a pipe, each with its remedy below it where it needs one."""
    paint = Painter(ascii=ascii, color=color)
    lines: list[str] = []
    for check in checks:
        glyph, word, role = _ROLES[check.status]
        sign = word.ljust(4) if ascii else f"{glyph} {word:4}"
        body = wrap(clean(f"{check.name}: {check.message}"), max(width - 8, 20))
        lines.append(f"{paint(Cell(sign, role))}  {paint(Cell(body[0]))}")
        lines += [f"        {paint(Cell(line))}" for line in body[1:]]
        if check.remedy:
            mend = wrap(clean(f"{'->' if ascii else '→'} {check.remedy}"), max(width - 8, 20))
            lines += [f"        {paint(Cell(line, bold=True))}" for line in mend]
    return "\n".join(lines)
