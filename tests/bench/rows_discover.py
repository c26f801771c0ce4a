"""Finding what is there by itself: thousands of old transcripts, and a screen that does not wait
for them."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from tests.bench import transcripts
from tests.bench.bench import ROOT, Bench, Sample, in_turn
from tests.bench.press import Cursor, percentile, press
from tests.bench.rows_start import MINIMAL, PANEL, agentmon
from tests.bench.screen import Screen
from tests.bench.table import Line, Row, at_most, soon
from tests.bench.transcripts import Home

FILES = 2_000
SHORT_BYTES = 200 << 20
FULL_BYTES = 1 << 30
DISCOVERY_SECONDS = 0.2
USEFUL_SECONDS = 1.0
USEFUL = 5
"""How many of the newest sessions are to be on the screen before it is useful."""
PRESS_SECONDS = 8.0
KEY_GAP = 0.13
KEY_MS = 100.0
CURSOR_LINES = 8
"""Lines below the panel's title and head in which the highlight is looked for."""

WORDS = 5
HEARD_SECONDS = 1.0
LOST_SECONDS = 10.0

QUIET_FILES = 500
QUIET_SECONDS = 10.0
IDLE_PERCENT = 3.0
SETTLE_SECONDS = 3.0

LOOK = """
import os, time
from pathlib import Path
from agentmon.sources.discover import discover
begun = time.perf_counter()
found = discover(os.environ, Path.home(), Path.home() / "state")
print(time.perf_counter() - begun, len(found.files))
"""


def discover(bench: Bench) -> Row:
    """Without being told a path: what is found how fast, what a person waits for, what it costs."""
    size = FULL_BYTES if bench.full else SHORT_BYTES
    home = transcripts.write(bench.new_folder("home"), FILES, size, now=time.time())
    what = f"{home.files:,} files, {home.bytes / 1e9:.2f} GB"
    seconds = median(_look(bench, home) for _ in range(5))
    found = in_turn(
        {
            "minimal": lambda: _until(bench, home, [sys.executable, "-c", MINIMAL], "minimal-app"),
            "useful": lambda: _useful(bench, home),
        },
        3,
    )
    useful, minimal = found["useful"].wall, found["minimal"].wall
    lines = [
        at_most(f"looking at {what}", seconds, DISCOVERY_SECONDS, f"{seconds * 1000:.0f} ms", " s"),
        soon(f"{USEFUL} newest sessions on the screen", useful, USEFUL_SECONDS, minimal),
        *_while_loading(bench, home),
        *_quiet(bench),
    ]
    return Row("discover", lines)


def _at_home(home: Home, command: list[str]) -> list[str]:
    """The command with the environment of that home."""
    return ["env", *(f"{name}={value}" for name, value in home.environ().items()), *command]


def _look(bench: Bench, home: Home) -> float:
    """Seconds of discovery alone, in a fresh process."""
    command = _at_home(home, [sys.executable, "-c", LOOK])
    done = subprocess.run(
        command, env=bench.environ(), cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, count = done.stdout.split()
    if int(count) != home.files:
        raise RuntimeError(f"{count} of {home.files} files were found")
    return float(seconds)


def _until(bench: Bench, home: Home, command: list[str], word: str) -> Sample:
    with Screen(bench, _at_home(home, command)) as screen:
        return Sample(0.0, screen.wait_for_word(word) - screen.started)


def _useful(bench: Bench, home: Home) -> Sample:
    """From the start of the process until the newest sessions can be read, on an empty store."""
    command = agentmon("--data-dir", bench.new_folder("store"))
    with Screen(bench, _at_home(home, command)) as screen:
        return Sample(0.0, _wait_for_newest(screen, home) - screen.started)


def _wait_for_newest(screen: Screen, home: Home) -> float:
    """The moment when the last of them was first seen."""
    wanted = set(home.fresh[:USEFUL])

    def seen() -> bool:
        shown = screen.terminal.text()
        wanted.difference_update([name for name in wanted if name in shown])
        return not wanted

    return screen.wait_for(seen)


# -- while the rest is read


def _while_loading(bench: Bench, home: Home) -> list[Line]:
    """Keys while old logs are read; how long that takes."""
    store = bench.new_folder("store")
    with Screen(bench, _at_home(home, agentmon("--data-dir", store))) as screen:
        _wait_for_newest(screen, home)
        cpu = screen.cpu
        begun = time.monotonic()
        taken = _press(screen, PRESS_SECONDS)
        cpu = (screen.cpu - cpu) / (time.monotonic() - begun) * 100
        read = _sources(store)
        heard = median(_heard(screen, home, number) for number in range(WORDS))
        while _sources(store) < home.files and time.monotonic() - screen.started < 900:
            screen.run_for(0.5)
        seconds = time.monotonic() - screen.started
    if read >= home.files:
        raise RuntimeError("all was read before the keys were pressed: more bytes are needed")
    shares = " / ".join(f"{percentile(taken, share):.0f}" for share in (0.5, 0.9, 0.99))
    shown = f"p50/p90/p99 {shares} ms of {len(taken)}"
    return [
        at_most("key to paint while they are read", percentile(taken, 0.99), KEY_MS, shown, " ms"),
        at_most(
            "a prompt written meanwhile to its place on the screen",
            heard,
            HEARD_SECONDS,
            f"{heard:.2f} s",
            " s",
        ),
        Line("meanwhile", f"{cpu:.0f} % of a core; all of it is read after {seconds:.0f} s"),
    ]


def _heard(screen: Screen, home: Home, number: int) -> float:
    """Seconds from a prompt's line in the newest transcript until it is read on the screen."""
    word = f"ask-{number:02}"
    home.ask(word)
    written = time.monotonic()
    try:
        return screen.wait_for_word(word, LOST_SECONDS) - written
    except TimeoutError:
        return LOST_SECONDS


def _press(screen: Screen, seconds: float) -> list[float]:
    """Moves through the sessions; milliseconds from each key to the moved highlight."""
    title = screen.terminal.find(PANEL)
    if title is None:
        raise RuntimeError("the sessions are not on the screen")
    screen.send("g")
    screen.run_for(1.0)
    taken = press(screen, Cursor(screen, title[0] + 2, CURSOR_LINES), seconds, KEY_GAP)
    if not taken:
        raise RuntimeError("the highlight was not found")
    return taken


def _sources(store: Path) -> int:
    """How many files are in a store."""
    try:
        conn = sqlite3.connect(f"file:{store / 'agentmon.db'}?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    try:
        (count,) = conn.execute("SELECT COUNT(*) FROM sources WHERE position > 0").fetchone()
    except sqlite3.Error:
        return 0
    finally:
        conn.close()
    return int(count)


# -- when all is read


def _quiet(bench: Bench) -> list[Line]:
    """Many transcripts that nobody writes any more, some of them changed lately."""
    size = QUIET_FILES * 20_000
    home = transcripts.write(
        bench.new_folder("home"), QUIET_FILES, size, now=time.time(), recent=50, seed=2
    )
    store = bench.new_folder("store")
    with Screen(bench, _at_home(home, agentmon("--data-dir", store))) as screen:
        deadline = time.monotonic() + 120
        while _is_read_in(store, home) and time.monotonic() < deadline:
            screen.run_for(0.5)
        screen.run_for(SETTLE_SECONDS)
        percents = [_percent(screen) for _ in range(3)]
        fds = len(list(Path(f"/proc/{screen.process.pid}/fd").iterdir()))
    percent = median(percents)
    shown = f"{percent:.2f} % of a core ({', '.join(f'{one:.2f}' for one in percents)})"
    return [
        at_most(f"{home.files} quiet files", percent, IDLE_PERCENT, shown, " %"),
        Line("open descriptors meanwhile", str(fds)),
    ]


def _is_read_in(store: Path, home: Home) -> bool:
    """Whether files are still read, or their texts still go into the index of search."""
    if _sources(store) < home.files:
        return True
    with closing(sqlite3.connect(store / "agentmon.db")) as conn:
        return conn.execute("SELECT 1 FROM search_queue").fetchone() is not None


def _percent(screen: Screen) -> float:
    before = screen.cpu
    screen.run_for(QUIET_SECONDS)
    return (screen.cpu - before) / QUIET_SECONDS * 100
