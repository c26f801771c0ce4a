"""From an agent to its tmux pane: pid → terminal → pane. Blocking: run it in a thread.

Pane and terminal names come from the tmux server that agentmon itself runs in ($TMUX): a pane of
another server cannot be shown by it.
"""

import os
import re
import subprocess
from collections.abc import Callable, Sequence

import psutil
from msgspec import Struct

TIMEOUT = 3.0
"""Seconds a tmux command may take."""

_FORMAT = "#{pane_id} #{pane_tty} #{window_index} #{session_name}"
_TOLD = re.compile(r"(?P<session>.*):@\d+\.(?P<pane>%\d+)", re.DOTALL)

Run = Callable[[Sequence[str]], str]
"""Runs a tmux command and returns its output. Raises NotFound."""


class NotFound(Exception):
    """Why the pane cannot be shown, in one sentence."""


class Pane(Struct, frozen=True):
    """A pane of the tmux server."""

    id: str
    terminal: str
    window: str
    session: str

    @property
    def place(self) -> str:
        return f"{self.session}:{self.window}"


def jump(pid: int | None, told: object = None, *, run: Run | None = None) -> str:
    """Shows the pane in which a process runs and returns its place ("work:2"). Raises NotFound.

    `told` is what the agent wrote down itself ("work:@3.%7", formats.md C.7); the terminal of the
    process goes before it, since pane ids mean nothing in another server.
    """
    if not os.environ.get("TMUX"):
        raise NotFound("agentmon does not run inside tmux")
    command = run or _run
    pane = find(pid, told, panes(command))
    command(("tmux", "select-window", "-t", pane.id, ";", "select-pane", "-t", pane.id))
    command(("tmux", "switch-client", "-t", pane.id))
    return pane.place


def panes(run: Run) -> list[Pane]:
    """All panes of the server. Raises NotFound."""
    found: list[Pane] = []
    for line in run(("tmux", "list-panes", "-a", "-F", _FORMAT)).splitlines():
        values = line.split(" ", 3)
        if len(values) == 4:
            found.append(Pane(*values))
    return found


def find(pid: int | None, told: object, known: Sequence[Pane]) -> Pane:
    """The pane of a process, by its terminals or else by what it wrote down. Raises NotFound."""
    reason = "the pid of this agent is not known"
    if pid is not None:
        try:
            terminals = terminals_of(pid)
        except NotFound as problem:
            reason = str(problem)
        else:
            for terminal in terminals:
                for pane in known:
                    if pane.terminal == terminal:
                        return pane
            # it is alive somewhere else: what it wrote down is of another server
            raise NotFound(f"{terminals[0]} of pid {pid} is no pane of this tmux server")
    match = _TOLD.fullmatch(told) if isinstance(told, str) else None
    if match is not None:
        for pane in known:
            if (pane.id, pane.session) == (match["pane"], match["session"]):
                return pane
    raise NotFound(reason)


def terminals_of(pid: int) -> list[str]:
    """The terminals of a process and its ancestors, its own first. Raises NotFound."""
    terminals: list[str] = []
    try:
        process: psutil.Process | None = psutil.Process(pid)
        while process is not None:
            terminal = process.terminal()
            if terminal and terminal not in terminals:
                terminals.append(terminal)
            process = process.parent()
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        if not terminals:
            raise NotFound(f"process {pid} is gone") from None
    except psutil.AccessDenied:
        if not terminals:
            raise NotFound(f"process {pid} may not be looked at") from None
    if not terminals:
        raise NotFound(f"process {pid} has no terminal")
    return terminals


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise NotFound("tmux is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotFound("tmux does not answer") from None
    if done.returncode:
        raise NotFound(f"tmux says: {done.stderr.strip()[:120]}")
    return done.stdout
