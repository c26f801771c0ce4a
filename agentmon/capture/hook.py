"""`agentmon hook`: what a client tells its hooks becomes a line of `hooks.jsonl` (formats.md G).

A client waits for its hooks, and one that fails may stop a tool: so nothing is imported that this
does not need, nothing is printed, and the exit code is 0 whatever happens.
"""

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from agentmon.capture.log import CaptureLog
from agentmon.folders import usual

NAME = "hooks.jsonl"

_PLAIN = (
    rb"(?m)^\[capture\][ \t]*\n(?:(?!\[|folder\b).*\n)*folder[ \t]*=[ \t]*"
    rb"""["']([^"'\\\n]+)["'][ \t]*$"""
)
_LONG = rb"""\"{3}|'{3}"""
"""The setting as most people write it, and strings of several lines, which may hold anything."""

_ANCESTORS = 8
_CLIENTS = ("claude", "codex")


def folder(environ: Mapping[str, str]) -> str | None:
    """Where agentmon captures, as `config.capture_dir` would say; None where there is no home.

    Read without the settings' own machinery, whose imports take longer than a hook may.
    """
    given = environ.get("AGENTMON_CAPTURE__FOLDER") or _configured(environ)
    if given:
        return _absolute(os.path.expanduser(given))
    return _absolute(os.path.join(usual("STATE", environ), "capture"))


def _absolute(path: str) -> str | None:
    return path if os.path.isabs(path) else None


def _configured(environ: Mapping[str, str]) -> str | None:
    try:
        with open(os.path.join(usual("CONFIG", environ), "config.toml"), "rb") as file:
            data = file.read()
        if b"capture" not in data or b"folder" not in data:
            return None
        if (plain := re.search(_PLAIN, data)) and not re.search(_LONG, data):
            return plain[1].decode()
        import tomllib  # it takes longer than the rest together

        given = tomllib.loads(data.decode()).get("capture", {}).get("folder")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return given if isinstance(given, str) else None


def line(given: bytes, *, client: str | None, now: float, parents: Sequence[object]) -> bytes:
    """The log's line for what a hook was given. Raises ValueError where that is no JSON object."""
    payload: object = json.loads(given.decode("utf-8", "replace"), strict=False)
    if not isinstance(payload, dict):
        raise ValueError("no object")
    row: dict[str, object] = {"t": now, "parents": parents, "payload": payload}
    if client is not None:
        row = {"t": now, "source": client, **row}
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, from a text cut in its middle
        return json.dumps(row).encode() + b"\n"


def ancestors(pid: int) -> list[tuple[int, str]]:
    """A process and those above it, nearest first, with their names; pid 1 is nobody's client."""
    look = _from_proc if os.path.exists("/proc/self/stat") else _table().get
    found: list[tuple[int, str]] = []
    while pid > 1 and len(found) < _ANCESTORS:
        entry = look(pid)
        if entry is None:
            break
        above, name = entry
        found.append((pid, name))
        pid = above
    return found


def _from_proc(pid: int) -> tuple[int, str] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            said = file.read()
        name, _, rest = said.partition(b"(")[2].rpartition(b")")
        return int(rest.split()[1]), name.decode("utf-8", "replace")
    except (OSError, ValueError, IndexError):
        return None


def _table() -> dict[int, tuple[int, str]]:
    """All processes, where there is no /proc; `subprocess` takes longer to import than to ask."""
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)]
    argv = ["ps", "-A", "-o", "pid=,ppid=,comm="]
    child = os.posix_spawnp("ps", argv, os.environ, file_actions=actions)
    os.close(writing)
    said = _all(reading)
    os.close(reading)
    os.waitpid(child, 0)
    rows = (row.split(None, 2) for row in said.decode("utf-8", "replace").splitlines())
    return {int(row[0]): (int(row[1]), os.path.basename(row[2])) for row in rows if len(row) == 3}


def client_of(parents: Sequence[tuple[int, str]]) -> str | None:
    """The product whose process is nearest above a hook, by its name."""
    names = (name.removesuffix(".exe") for _, name in parents)
    return next((name for name in names if name in _CLIENTS), None)


def _all(file: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(file, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def record(client: str | None) -> None:
    """What stands on standard input, into the log. Raises whatever goes wrong."""
    now = time.time()
    if os.isatty(0):
        return
    where = folder(os.environ)
    if where is None:
        return
    parents = ancestors(os.getppid())
    data = line(_all(0), client=client or client_of(parents), now=now, parents=parents)
    CaptureLog(os.path.join(where, NAME)).append([data])


def main(arguments: Sequence[str]) -> None:
    """The command itself. Does not return."""
    with suppress(BaseException):  # Ctrl+C as well: nothing of it may reach the agent
        record(arguments[0] if arguments else None)
    os._exit(0)
