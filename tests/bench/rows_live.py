"""A screen that follows: what it costs when nothing happens, and what a person waits for when
everything does."""

import subprocess
import sys
from statistics import median

from tests.bench.bench import ROOT, Bench
from tests.bench.feeder import MARK_FOLDER, SESSIONS
from tests.bench.load import Load
from tests.bench.press import Cursor, Watcher, latencies, percentile, press
from tests.bench.rows_start import agentmon, stored_lines
from tests.bench.screen import Screen
from tests.bench.table import Line, Row, at_most

QUIET_FILES = 50
QUIET_SECONDS = 10.0
IDLE_PERCENT = 2.0
SETTLE_SECONDS = 3.0

LIVE_SECONDS = 20.0
FULL_RATE, LOW_RATE = 10_000, 200
MARKS = 7.0
"""Words a second: not a multiple of the screen's own rhythm."""
KEY_GAP = 0.13
KEY_MS = 100.0
APPEND_MS = 250.0


# -- idle


def idle(bench: Bench) -> Row:
    """Many logs that nobody writes: sessions that are over, with nothing pending."""
    folder = bench.new_folder("quiet")
    load = Load(seed=5, live=1)
    for number in range(QUIET_FILES):
        path = folder / f"agent-{number:02d}" / "sse_lines.jsonl"
        path.parent.mkdir()
        path.write_text("".join(load.session(f"/home/u/quiet-{number:02d}").lines(1)))
    command = agentmon("--data-dir", bench.new_folder("store"), folder)
    with Screen(bench, command) as screen:
        screen.wait_for_word("quiet-")
        screen.run_for(SETTLE_SECONDS)
        percents = [_percent(screen, QUIET_SECONDS) for _ in range(3)]
        written = screen.bytes_out
    percent = median(percents)
    shown = f"{percent:.2f} % of a core ({', '.join(f'{p:.2f}' for p in percents)})"
    return Row(
        "idle",
        [
            at_most(f"{QUIET_FILES} quiet files", percent, IDLE_PERCENT, shown, " %"),
            Line("written to the terminal in all", f"{written / 1024:.0f} KiB"),
        ],
    )


def _percent(screen: Screen, seconds: float) -> float:
    before = screen.cpu
    screen.run_for(seconds)
    return (screen.cpu - before) / seconds * 100


# -- keys and words under load


class Fed:
    """A log that a feeder writes, shown by agentmon. Use it as a context manager."""

    def __init__(self, bench: Bench, rate: float, marks: float) -> None:
        self.folder = bench.new_folder("store")
        self.path = bench.new_folder("fed") / "sse_lines.jsonl"
        self.marks: dict[str, float] = {}
        """Word → the moment it was written."""
        self.lines = 0
        given = [str(self.path), str(rate), str(LIVE_SECONDS), str(marks)]
        self._feeder = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.feeder", *given],
            env=bench.environ(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read_until("begun")
        self.screen = Screen(bench, agentmon("--data-dir", self.folder, self.path))

    def __enter__(self) -> "Fed":
        self.screen.wait_for_word(MARK_FOLDER)
        self.screen.run_for(SETTLE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._feeder.kill()
        self._feeder.communicate()
        self.screen.end()

    def go(self) -> None:
        """Lets the feeder begin; it writes for `LIVE_SECONDS`."""
        if self._feeder.stdin is not None:
            self._feeder.stdin.write("\n")
            self._feeder.stdin.flush()

    def finish(self) -> float:
        """Waits for the feeder; the share of its lines that is in the store by then."""
        self._read_until("written")
        return stored_lines(self.folder) / self.lines

    def _read_until(self, last: str) -> None:
        """Takes what the feeder says. Raises RuntimeError if it ends early."""
        while self._feeder.stdout is not None and (line := self._feeder.stdout.readline()):
            word, value = line.split()
            if word == "written":
                self.lines = int(value)
            elif word != "begun":
                self.marks[word] = float(value)
            if word == last:
                return
        raise RuntimeError("the feeder ended too early")


def keys(bench: Bench) -> Row:
    """Keys under load; words of the shown agent under load, and at an ordinary rate."""
    return Row("keys", [*_keys(bench), *_words(bench, LOW_RATE), *_words(bench, FULL_RATE)])


def _shares(values: list[float]) -> str:
    shares = [f"{percentile(values, share):.0f}" for share in (0.5, 0.9, 0.99)]
    return f"p50/p90/p99 {' / '.join(shares)} ms of {len(values)}"


def _keys(bench: Bench) -> list[Line]:
    with Fed(bench, FULL_RATE, 0) as fed:
        screen = fed.screen
        place = screen.terminal.find(MARK_FOLDER)
        if place is None:
            raise RuntimeError("the agents are not on the screen")
        cursor = Cursor(screen, place[0], SESSIONS + 1)
        quiet = press(screen, cursor, LIVE_SECONDS / 4, KEY_GAP)
        fed.go()
        cpu = screen.cpu
        taken = press(screen, cursor, LIVE_SECONDS - 1, KEY_GAP)
        cpu = (screen.cpu - cpu) / (LIVE_SECONDS - 1) * 100
        kept = fed.finish()
    what = f"key to paint at {FULL_RATE:,}/s"
    return [
        Line("key to paint, nothing fed", _shares(quiet)),
        at_most(what, percentile(taken, 0.99), KEY_MS, _shares(taken), " ms"),
        Line("meanwhile", f"{cpu:.0f} % of a core, {kept:.1%} of the lines stored at the end"),
    ]


def _words(bench: Bench, rate: float) -> list[Line]:
    with Fed(bench, rate, MARKS) as fed:
        watcher = Watcher(fed.screen)
        fed.go()
        watcher.watch(LIVE_SECONDS + 1)
        kept = fed.finish()
        taken = latencies(fed.marks, watcher.seen)
    lost = len(set(fed.marks) - set(watcher.seen))
    shown = f"{_shares(taken)}, {lost} never seen, {kept:.1%} of the lines stored"
    p50 = percentile(taken, 0.5)
    return [at_most(f"append to screen at {rate:,.0f}/s", p50, APPEND_MS, shown, " ms")]
