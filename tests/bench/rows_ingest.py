"""Decoding, folding, storing: how far the whole way is from the least that it could cost."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from tests.bench.bench import Bench, Sample, in_turn, medians, turns
from tests.bench.steps import log_sizes
from tests.bench.table import Line, Row, at_least, at_most

WHOLE = 0.35
NAIVE_TIMES = 20.0
SYNC_TIMES = 10.0
"""Against sqlite3 tuned for it (perf.md 9): without a thread hop and without waiting for the disk,
a commit per event is the least that the naive way can cost."""
NAIVE_EVENTS = 10_000
TURNS = 5
MEMORY_MB = 150.0
GROWTH = 1.3
HUGE_MB = 96
HUGE_EXTRA_MB = 32.0
DELTA_BYTES = 6.0


def _rate(sample: Sample) -> float:
    """Events per second of CPU."""
    return sample.facts["events"] / sample.cpu


def _ratios(taken: Sequence[Mapping[str, Sample]], one: str, other: str) -> list[float]:
    """How much faster one variant was than another, in each turn."""
    return [_rate(turn[one]) / _rate(turn[other]) for turn in taken]


def _shown(sample: Sample, ratios: Sequence[float]) -> str:
    wall = sample.facts["events"] / sample.wall
    rates = f"{_rate(sample) / 1000:,.1f}k/s CPU, {wall / 1000:,.1f}k/s wall"
    return f"{rates}, ratio {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def decode(bench: Bench) -> Row:
    """The ladder, and the naive way below it."""
    path = bench.log(bench.events)
    few = bench.log(min(bench.events, NAIVE_EVENTS))
    step = bench.step
    new_file = bench.wait_for_files()

    def naive(name: str) -> Sample:
        return step(name, few, bench.new_folder("naive"), NAIVE_EVENTS)

    taken = turns(
        {
            "both": lambda: step("decode_and_ingest", path, bench.new_folder("store")),
            "fold": partial(step, "fold", path),
            "sync": partial(naive, "naive_sync"),
            "default": partial(naive, "naive_default"),
            "async": partial(naive, "naive_async"),
        },
        TURNS,
    )
    for turn in taken:
        turn["decode"], turn["ingest"] = _parted(turn.pop("both"))
    found = medians(taken)
    ratios = {name: _ratios(taken, name, "decode") for name in ("decode", "fold", "ingest")}
    times = {name: _ratios(taken, "ingest", name) for name in ("async", "default", "sync")}
    shown = {name: _shown(found[name], of_turns) for name, of_turns in ratios.items()}
    whole = median(ratios["ingest"])
    return Row(
        "decode",
        [
            Line("decode only (msgspec, both levels)", shown["decode"]),
            Line("decode and fold", shown["fold"]),
            at_least("whole ingestion / decode only", whole, WHOLE, shown["ingest"]),
            Line("a new file, here", f"{new_file:.0f} µs CPU"),
            _naive("aiosqlite, WAL", found["async"], times["async"], NAIVE_TIMES),
            _naive("sqlite3, its defaults", found["default"], times["default"], None),
            _naive("sqlite3, WAL", found["sync"], times["sync"], SYNC_TIMES),
        ],
    )


def _parted(both: Sample) -> tuple[Sample, Sample]:
    """The decoding, and the ingestion. Raises ValueError if they took different lines."""
    facts = both.facts
    if facts["decoded"] != facts["events"]:
        raise ValueError(f"{facts['decoded']} lines decoded, {facts['events']} ingested")
    events = {"events": facts["events"]}
    whole = Sample(both.cpu, both.wall - facts["waited"], facts=events)
    return Sample(facts["decode_cpu"], facts["decode_wall"], facts=events), whole


def _naive(what: str, sample: Sample, ratios: Sequence[float], limit: float | None) -> Line:
    times = median(ratios)
    shown = f"{_rate(sample) / 1000:.1f}k/s CPU; the whole ingestion is {times:.1f}x that"
    what = f"naive way, {what}"
    return Line(what, shown) if limit is None else at_least(what, times, limit, shown)


def memory(bench: Bench) -> Row:
    """Peak memory of the command, over two sizes and one line that can't be held."""
    small = max(2_000, bench.events // 10)
    peaks = {
        "large": _peak(bench, bench.events, 0),
        "small": _peak(bench, small, 0),
        "huge": _peak(bench, small, HUGE_MB),
    }
    growth = peaks["large"] / peaks["small"]
    extra = peaks["huge"] - peaks["small"]
    events = f"{bench.events:,} events"
    return Row(
        "memory",
        [
            at_most(
                f"peak, {events}", peaks["large"], MEMORY_MB, f"{peaks['large']:.0f} MB", " MB"
            ),
            at_most(
                f"peak of {bench.events:,} / peak of {small:,} events",
                growth,
                GROWTH,
                f"{peaks['large']:.0f} / {peaks['small']:.0f} MB = {growth:.2f}",
                "x",
            ),
            at_most(f"a line of {HUGE_MB} MB adds", extra, HUGE_EXTRA_MB, f"{extra:.1f} MB", " MB"),
        ],
    )


def _peak(bench: Bench, events: int, huge_mb: int) -> float:
    path, folder = bench.log(events, huge_mb=huge_mb), bench.new_folder("store")
    return bench.step("command", "ingest", "--data-dir", folder, path).memory


def timing(bench: Bench) -> Row:
    """What it costs to know when each delta came."""
    path = bench.log(bench.events)
    folder = bench.new_folder("store")
    found = in_turn(
        {
            "with": lambda: bench.step("ingest", path, bench.new_folder("store")),
            "without": lambda: bench.step("ingest_without_log", path, bench.new_folder("store")),
        },
        3,
    )
    bench.step("ingest", path, folder)
    sizes = dict(log_sizes(folder))
    ratio = found["with"].cpu / found["without"].cpu
    each = (found["with"].cpu - found["without"].cpu) / bench.events * 1e6
    per_delta = sizes["per delta"]
    return Row(
        "timing",
        [
            at_most("delta_log per delta", per_delta, DELTA_BYTES, f"{per_delta:.2f} bytes", " B"),
            Line("CPU with / without delta_log", f"{ratio:.3f}, {each:.2f} µs per event"),
            Line("stream_log per line", f"{sizes['per line']:.2f} bytes"),
        ],
    )
