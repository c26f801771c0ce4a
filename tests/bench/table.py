"""What a row reports, and how the table looks."""

import textwrap
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tests.bench.bench import Sample


class Line(Struct):
    """One measured thing. `is_ok` None: for information, nothing is demanded of it."""

    what: str
    measured: str
    limit: str = ""
    is_ok: bool | None = None
    value: float | None = None
    """The number that was judged, for `--json`."""

    @property
    def verdict(self) -> str:
        return "" if self.is_ok is None else "ok" if self.is_ok else "MISSED"


class Row(Struct):
    """The lines of one row of the benchmark."""

    name: str
    lines: list[Line]


def at_least(what: str, value: float, limit: float, shown: str, unit: str = "x") -> Line:
    return Line(what, shown, f"≥ {limit:g}{unit}", value >= limit, value)


def at_most(what: str, value: float, limit: float, shown: str, unit: str = "") -> Line:
    return Line(what, shown, f"≤ {limit:g}{unit}", value <= limit, value)


NOMINAL = 0.19
"""Seconds to the first frame of a minimal Textual app on the machine whose limits these are."""


def soon(what: str, seconds: float, limit: float, minimal: float) -> Line:
    """A start, held against a minimal Textual app's in the same minute: a machine of half the speed
    has twice the time."""
    shown = f"{seconds:.2f} s, {seconds / minimal:.2f}x a minimal app ({minimal:.2f} s)"
    bound = f"≤ {limit:g} s, or {limit / NOMINAL:.2f}x"
    is_ok = seconds <= limit or seconds / minimal <= limit / NOMINAL
    return Line(what, shown, bound, is_ok, seconds)


PYTHON = 0.02
"""Seconds that `python -c pass` takes on that machine."""


def short(what: str, found: Mapping[str, Sample], limit: float | None = None) -> Line:
    """A process that is over at once, `found[what]`, held against `found["nothing"]`, Python's own
    start and end in the same minute: both by the clock and in CPU."""
    ours, bare = found[what], found["nothing"]
    times, of_cpu = ours.wall / bare.wall, ours.cpu / bare.cpu
    shown = (
        f"{ours.wall * 1000:.0f} ms, {times:.1f}x `python -c pass` ({bare.wall * 1000:.0f} ms);"
        f" {ours.cpu * 1000:.0f} ms of CPU, {of_cpu:.1f}x"
    )
    if limit is None:
        return Line(what, shown)
    most = limit / PYTHON
    is_ok = ours.wall <= limit or max(times, of_cpu) <= most
    return Line(what, shown, f"≤ {limit * 1000:g} ms, or {most:.1f}x", is_ok, ours.wall)


def equal(what: str, is_equal: bool, shown: str) -> Line:
    return Line(what, shown, "identical", is_equal, float(is_equal))


def failed(name: str, problem: Exception) -> Row:
    """A row that could not be measured has missed its limit."""
    reason = textwrap.shorten(f"{type(problem).__name__}: {problem}", 200)
    return Row(name, [Line("could not be measured", reason, "a number", False)])


def text(rows: Sequence[Row], width: int = 78) -> str:
    """All rows; long measurements go on below."""
    out = [f"{'row':<8} {'measured':<{width}} {'limit':<16} verdict"]
    for row in rows:
        for number, line in enumerate(row.lines):
            name = row.name if number == 0 else ""
            cells = textwrap.wrap(f"{line.what}: {line.measured}", width, subsequent_indent="  ")
            out.append(f"{name:<8} {cells[0]:<{width}} {line.limit:<16} {line.verdict}".rstrip())
            out.extend(f"{'':<8} {cell}" for cell in cells[1:])
    return "\n".join(out)


def all_reached(rows: Sequence[Row]) -> bool:
    return all(line.is_ok is not False for row in rows for line in row.lines)
