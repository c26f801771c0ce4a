"""Starting: the version, the first frame, and coming back to a log that was read before."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.bench.bench import Bench, Sample, in_turn
from tests.bench.screen import Screen
from tests.bench.table import Line, Row, at_most, equal, short, soon

HOOK_SECONDS = 0.06
HOOK = b'{"session_id": "s1", "hook_event_name": "PreToolUse", "tool_name": "Bash"}'
FRAME_SECONDS = 0.5
RESTART_SECONDS = 1.5
EXTRA_READ_MIB = 2.0
RESTART_EVENTS = 1_690_000
"""About 1 GB."""
SHORT_EVENTS = 200_000
SMALL_EVENTS = 2_000
PANEL = "Sessions"
"""The title of the board's first panel: part of the first frame."""

MINIMAL = """
from textual.app import App
from textual.widgets import Static
class Minimal(App):
    def compose(self):
        yield Static("minimal-app")
Minimal().run()
"""


def agentmon(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "agentmon", *map(str, arguments)]


# -- what is over at once


def version(bench: Bench) -> Row:
    """`--version` and what clients call on every turn, against an interpreter that does nothing;
    and what the version imports."""
    found = in_turn(
        {
            "nothing": lambda: bench.run([sys.executable, "-c", "pass"]),
            "agentmon --version": lambda: bench.run(agentmon("--version")),
            "agentmon hook": lambda: bench.run(agentmon("hook", "claude"), HOOK),
        },
        15,
    )
    imported = _imported(bench)
    shown = ", ".join(sorted(name for name in imported if name.partition(".")[0] == "textual")[:3])
    return Row(
        "version",
        [
            short("agentmon --version", found),
            short("agentmon hook", found, HOOK_SECONDS),
            equal("Textual is not imported", not shown, shown or f"{len(imported)} modules"),
        ],
    )


def _imported(bench: Bench) -> set[str]:
    """Names of the modules that `--version` imports."""
    command = [sys.executable, "-X", "importtime", "-m", "agentmon", "--version"]
    done = subprocess.run(
        command, env=bench.environ(), cwd=bench.folder, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


# -- the first frame


def frame(bench: Bench) -> Row:
    """From the start of the process to what a person can read."""
    path = bench.log(SMALL_EVENTS)
    found = in_turn(
        {
            "minimal": lambda: _until(bench, [sys.executable, "-c", MINIMAL], "minimal-app"),
            "agentmon": lambda: _first_frame(bench, path),
        },
        5,
    )
    first, names = found["agentmon"].wall, found["agentmon"].facts["names"]
    minimal = found["minimal"].wall
    return Row(
        "frame",
        [
            soon("first frame", first, FRAME_SECONDS, minimal),
            Line("agents of a fresh log on the screen", f"{names:.2f} s"),
        ],
    )


def _until(bench: Bench, command: list[str], word: str) -> Sample:
    with Screen(bench, command) as screen:
        return Sample(0.0, screen.wait_for_word(word) - screen.started)


def _first_frame(bench: Bench, path: Path) -> Sample:
    command = agentmon("--data-dir", bench.new_folder("store"), path)
    with Screen(bench, command) as screen:
        first = screen.wait_for_word(PANEL) - screen.started
        names = screen.wait_for(lambda: _has_agents(screen)) - screen.started
    return Sample(0.0, first, 0.0, {"names": names})


def _has_agents(screen: Screen) -> bool:
    """Whether one of the generated agents' folders is on the screen."""
    return screen.terminal.find("/home/u/") is not None


# -- restart


def restart(bench: Bench) -> Row:
    """A log that is all in the store: how soon it is live again, and what is read of it."""
    events = RESTART_EVENTS if bench.full else min(bench.events, SHORT_EVENTS)
    path, folder = bench.log(events), bench.new_folder("store")
    first = bench.step("command", "ingest", "--data-dir", folder, path)
    empty = bench.folder / "empty.jsonl"
    empty.touch()
    _start(bench, folder, path)  # the board's first look: the verdicts of all of it are stored
    found = in_turn(
        {
            "without": lambda: _start(bench, folder, empty),
            "with": lambda: _start(bench, folder, path),
        },
        5,
    )
    wall = found["with"].wall
    extra = (found["with"].facts["read"] - found["without"].facts["read"]) / (1 << 20)
    size = path.stat().st_size
    return Row(
        "restart",
        [
            at_most(
                f"live again on {size / 1e9:.2f} GB ({stored_lines(folder):,} lines)",
                wall,
                RESTART_SECONDS,
                f"{wall:.2f} s; {found['without'].wall:.2f} s without it; "
                f"{wall / first.wall:.3f} of its ingestion",
                " s",
            ),
            at_most("read of the log", extra, EXTRA_READ_MIB, f"{extra:.2f} MiB", " MiB"),
        ],
    )


def _start(bench: Bench, folder: Path, path: Path) -> Sample:
    """Until agents are on the screen; what was read until a second after."""
    with Screen(bench, agentmon("--data-dir", folder, path)) as screen:
        wall = screen.wait_for(lambda: _has_agents(screen)) - screen.started
        screen.run_for(1.5)
        read = float(screen.bytes_read)
    return Sample(0.0, wall, 0.0, {"read": read})


def stored_lines(folder: Path) -> int:
    conn = sqlite3.connect(folder / "agentmon.db")
    try:
        (count,) = conn.execute("SELECT value FROM counts WHERE name = 'lines'").fetchone()
    finally:
        conn.close()
    return int(count)
