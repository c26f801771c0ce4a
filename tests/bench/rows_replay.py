"""Replays: how fast a recording is indexed, and how long a seek takes then."""

from functools import partial

from tests.bench.bench import Bench, in_turn
from tests.bench.table import Line, Row, at_least, at_most

INDEX = 0.5
SEEK_MS = 300.0
MEMORY_MB = 400.0
NOMINAL_RATE = 130_000.0
"""Lines per second of CPU that are ingested on the machine whose limits these are."""


def index(bench: Bench) -> Row:
    """Against whole ingestion of the same log, in turn with it."""
    path = bench.log(bench.events)
    found = in_turn(
        {
            "ingest": lambda: bench.step("ingest", path, bench.new_folder("store")),
            "index": lambda: bench.step("index", path, bench.new_folder("index")),
        },
        2,
    )
    rates = {name: sample.facts["events"] / sample.cpu for name, sample in found.items()}
    made = found["index"]
    wall = made.facts["events"] / made.wall / 1000
    shown = (
        f"{rates['index'] / 1000:,.1f}k/s CPU, {wall:,.1f}k/s wall,"
        f" ratio {rates['index'] / rates['ingest']:.2f}"
    )
    return Row(
        "index",
        [
            at_least("index / whole ingestion", rates["index"] / rates["ingest"], INDEX, shown),
            at_most("memory", made.memory, MEMORY_MB, f"{made.memory:.0f} MB", " MB"),
            Line("page journal", f"{made.facts['journal_mb']:,.0f} MB"),
        ],
    )


def seek(bench: Bench) -> Row:
    """To random moments both ways. A machine of half the speed has twice the time: what counts
    besides is how many lines would have been ingested meanwhile, in the same minute."""
    path = bench.log(bench.events)
    found = in_turn(
        {
            "ingest": lambda: bench.step("ingest", path, bench.new_folder("store")),
            "seek": partial(bench.step, "seek", path),
        },
        1,
    )
    rate = found["ingest"].facts["events"] / found["ingest"].wall
    facts, lines = found["seek"].facts, [*_ways(found["seek"].facts, rate)]
    memory = found["seek"].memory
    lines += [
        Line("CPU of a seek", f"{facts['cpu']:.0f} ms"),
        at_most("memory of the player", memory, MEMORY_MB, f"{memory:.0f} MB", " MB"),
        Line("indexed beside a player that stands", f"{facts['indexed']:.1f} s"),
    ]
    return Row("seek", lines)


def _ways(facts: dict[str, float], rate: float) -> list[Line]:
    most = SEEK_MS / 1000 * NOMINAL_RATE
    lines: list[Line] = []
    for way in ("forward", "backward", "back"):
        p50, p95 = facts[f"{way} p50"], facts[f"{way} p95"]
        worth = p95 / 1000 * rate
        what = "one line back" if way == "back" else f"seek {way}"
        shown = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, in which {worth:,.0f} lines are ingested"
        is_ok = p95 <= SEEK_MS or worth <= most
        lines.append(Line(what, shown, f"≤ {SEEK_MS:g} ms, {most:,.0f} lines", is_ok, p95))
    return lines
