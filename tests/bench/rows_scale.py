"""A store that has grown for months: what a question costs, and how soon the screen is there."""

import random
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agentmon.store import db
from tests.bench import bigstore
from tests.bench.bench import Bench, Sample, in_turn
from tests.bench.press import percentile
from tests.bench.rows_start import PANEL, agentmon
from tests.bench.screen import Screen
from tests.bench.table import Line, Row, at_most

BLOCKS, SESSIONS = 1_000_000, 400
SHORT_BLOCKS, SHORT_SESSIONS = 100_000, 60
QUERY_MS = 100.0
OPEN_TIMES = 1.35
"""How much later the first frame may be than over an empty store: what differs between runs."""

ASKED = 20
"""How often each command is asked, of other sessions and rounds each time."""

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("tool", "CALL"),
    ("tool", "CALL", "--input"),
    ("tool", "CALL", "--result"),
    ("rounds", "SID"),
    ("show", "ROUND"),
    ("unbalanced",),
    ("pending",),
    ("stalled",),
    ("sessions",),
    ("stats", "SID"),
    ("compare", "SID", "OTHER"),
    ("rate", "ROUND"),
    ("parallel", "ROUND"),
    ("errors",),
    ("errors", "--since", "1d"),
    ("dashboard",),
    ("timeseries", "SID"),
    ("sql", "SELECT sid, COUNT(*) FROM rounds GROUP BY sid LIMIT 20"),
)


def scale(bench: Bench) -> Row:
    """Each command that asks, by the 95th percentile of its first row (imports apart); opening the
    screen."""
    is_full = bench.full or bench.events >= 1_000_000
    blocks, sessions = (BLOCKS, SESSIONS) if is_full else (SHORT_BLOCKS, SHORT_SESSIONS)
    folder = bench.new_folder("big")
    bigstore.fill(folder, blocks=blocks, sessions=sessions, now=time.time())
    size = (folder / "agentmon.db").stat().st_size / 1e6
    lines = [Line("a store of", f"{blocks:,} blocks, {sessions} sessions, {size:,.0f} MB")]
    lines += _questions(bench, folder, sessions, blocks // bigstore.BLOCKS_PER_ROUND)
    lines += _opening(bench, folder)
    return Row("scale", lines)


def _questions(bench: Bench, folder: Path, sessions: int, rounds: int) -> list[Line]:
    rng = random.Random(11)
    empty = bench.new_folder("empty")
    db.create(empty).close()
    lines: list[Line] = []
    for command in COMMANDS:
        asked = [_named(command, rng, sessions, rounds) for _ in range(ASKED)]
        text = msgspec.json.encode(asked).decode()
        found = bench.step("questions", folder, empty, text).facts
        first = percentile(_times(found, "first"), 0.95)
        whole = percentile(_times(found, "whole"), 0.95)
        shown = f"{first:.0f} ms, all of it {whole:.0f} ms"
        lines.append(at_most(" ".join(command[:3]), first, QUERY_MS, shown, " ms"))
    return lines


def _times(found: dict[str, float], which: str) -> list[float]:
    return [value for name, value in found.items() if name.startswith(which)]


def _named(command: Sequence[str], rng: random.Random, sessions: int, rounds: int) -> list[str]:
    """A command with things that there are in its placeholders."""
    number, other = rng.randrange(1, sessions), rng.randrange(1, sessions)
    each = (rounds - rounds // 10) // (sessions - 1)
    ordinal = rng.randrange(1, each)
    flow = rng.randrange(3, rounds) // 3 * 3 + 1
    names = {
        "SID": bigstore.sid_of(number),
        "OTHER": bigstore.sid_of(other),
        "ROUND": bigstore.round_of(number, ordinal),
        "CALL": f"toolu_{flow:012d}_2",
    }
    return [names.get(word, word) for word in command]


def _opening(bench: Bench, folder: Path) -> list[Line]:
    """The first frame and the first agents, over months of work and over nothing."""
    quiet = bench.folder / "quiet.jsonl"
    quiet.touch()
    found = in_turn(
        {
            "empty": lambda: _open(bench, bench.new_folder("store"), quiet, PANEL),
            "big": lambda: _open(bench, folder, quiet, PANEL),
            "agents": lambda: _open(bench, folder, quiet, "project-0000"),
        },
        5,
    )
    empty, big = found["empty"].wall, found["big"].wall
    shown = f"{big:.2f} s, over an empty store {empty:.2f} s: {big / empty:.2f}"
    return [
        at_most("first frame", big / empty, OPEN_TIMES, shown, "x"),
        Line("its agents on the screen", f"{found['agents'].wall:.2f} s"),
    ]


def _open(bench: Bench, folder: Path, log: Path, word: str) -> Sample:
    with Screen(bench, agentmon("--data-dir", folder, log)) as screen:
        return Sample(0.0, screen.wait_for_word(word) - screen.started)
