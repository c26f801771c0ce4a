"""What agentmon could see of agents, and through what: for `agentmon doctor`."""

import os
import shlex
import shutil
import sqlite3
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from agentmon.capture import hook_settings, running
from agentmon.capture.hook_settings import CLIENTS, Client, Found, Refused
from agentmon.core.kinds import STREAMING
from agentmon.report.places import Check
from agentmon.report.words import counted
from agentmon.store import read_told

RUN = "agentmon run -- claude"
INSTALL = "agentmon hooks install"
EXTRA = "python3 -m pip install 'agentmon[tap]'"
DAY = 86_400.0


def check_capture(conn: sqlite3.Connection | None, now: float) -> Check:
    """Whether deltas can be seen, and of how many of the last day's sessions they were."""
    name = "capture"
    has_extra = find_spec("aiohttp") is not None
    how = f"{RUN} (or codex) shows its words as they come"
    if not has_extra:
        how += f", once the extra is there: {EXTRA}"
    if conn is None:
        return Check(name, "ok", how)
    live, total = read_told.seen_live(conn, STREAMING, now - DAY)
    if not total:
        return Check(name, "ok", how)
    said = f"{live} of {counted(total, 'session')} of the last day were seen live"
    values = {"live": live, "sessions": total}
    return Check(name, "ok", said if live == total else f"{said}; {how}", values=values)


def check_taps(folder: Path) -> list[Check]:
    """The taps that run; nothing where none does."""
    found = list(running.rows(folder / "sse_lines.jsonl"))
    if not found:
        return []
    said = ", ".join(f"{row.get('url')} to {row.get('upstream')}" for row in found)
    problems = [str(row["problem"]) for row in found if row.get("problem")]
    if problems:
        return [Check("taps", "warn", f"{said}; {'; '.join(problems)}", "make room there")]
    return [Check("taps", "ok", said)]


def check_hooks(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    """Whether the clients of this machine tell of permission waits and ends."""
    return [
        _check_client(client, environ, cwd)
        for client in CLIENTS
        if hook_settings.has_home(client, environ)
    ]


def _check_client(client: Client, environ: Mapping[str, str], cwd: Path) -> Check:
    name = f"hooks {client}"
    path = hook_settings.settings_file(client, "user", environ, cwd)
    try:
        found = hook_settings.examine(client, path)
        if found.state == "absent":
            project = hook_settings.settings_file(client, "project", environ, cwd)
            found = hook_settings.examine(client, project)
    except (Refused, OSError) as problem:
        return Check(name, "warn", str(problem), "correct this file")
    if found.state == "absent":
        told = f"none: permission waits and tool starts are told by {INSTALL}"
        return Check(name, "ok", told)
    if found.is_off:
        return Check(name, "warn", f"{found.path} switches them off", "remove disableAllHooks")
    if found.state == "partly":
        missing = ", ".join(found.missing)
        return Check(name, "warn", f"{found.path} lacks {missing}", INSTALL)
    if gone := _gone(found):
        return Check(name, "warn", f"{found.path} runs {gone}, which is not there", INSTALL)
    return Check(name, "ok", f"all of them in {found.path}")


def _gone(found: Found) -> str:
    """A program that the hooks run and that is not there any more."""
    for command in found.commands:
        program = next((word for word in shlex.split(command) if os.path.isabs(word)), None)
        if program is not None and shutil.which(program) is None:
            return program
    return ""
