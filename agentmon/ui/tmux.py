"""From a process to its tmux pane: pid → terminal → pane. Blocking; run it in a thread."""

import os
import subprocess

import psutil

LIST = ("tmux", "list-panes", "-a", "-F", "#{pane_tty} #{pane_id} #{session_name}:#{window_index}")
TIMEOUT = 3.0
"""Seconds a tmux command may take."""


class NotFound(Exception):
    """Why the pane cannot be shown, in one sentence."""


def jump(pid: int | None) -> str:
    """Shows the pane in which a process runs and returns its name. Raises NotFound."""
    if pid is None:
        raise NotFound("the pid of this agent is not known")
    if not os.environ.get("TMUX"):
        raise NotFound("agentmon does not run inside tmux")
    terminal = terminal_of(pid)
    for line in _run(LIST).splitlines():
        tty, _, rest = line.partition(" ")
        pane, _, place = rest.partition(" ")
        if tty == terminal:
            _run(("tmux", "switch-client", "-t", pane))
            return place
    raise NotFound(f"{terminal} of pid {pid} is no pane of this tmux server")


def terminal_of(pid: int) -> str:
    """The terminal of a process or of its nearest ancestor with one. Raises NotFound."""
    try:
        process: psutil.Process | None = psutil.Process(pid)
        while process is not None:
            terminal = process.terminal()
            if terminal:
                return terminal
            process = process.parent()
    except psutil.NoSuchProcess:
        raise NotFound(f"process {pid} is gone") from None
    except psutil.AccessDenied:
        raise NotFound(f"process {pid} may not be looked at") from None
    raise NotFound(f"process {pid} has no terminal")


def _run(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise NotFound("tmux is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotFound("tmux does not answer") from None
    if done.returncode:
        raise NotFound(f"tmux says: {done.stderr.strip()[:120]}")
    return done.stdout
