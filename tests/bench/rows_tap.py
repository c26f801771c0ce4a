"""What a tap costs: the delay it adds, how much it carries, its CPU and its memory."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench.bench import ROOT, Bench
from tests.bench.press import percentile
from tests.bench.table import Line, Row, at_most, equal
from tests.bench.tap_model import stream

PACED = 2_000
"""Deltas whose delay is measured, each way."""

PAUSE = 0.005
STREAMS = 200
SWARM_PAUSE = 0.05
"""Seconds between two deltas of a stream among many: 20 a second, as models write."""

GROWTH_MB = 16.0
WARM = 0.2
"""Share of the deltas after which memory is looked at first."""

AT_ONCE = 20
"""Streams that carry the deltas of the memory test."""

RATE = 4_000.0
"""Deltas a second that they carry together: twice the most that was ever seen of one machine."""


def tap(bench: Bench) -> Row:
    """The same streams directly and through a tap that records them, at the same time."""
    log = bench.new_folder("capture") / "sse_lines.jsonl"
    with _started(bench, "-m", "tests.bench.tap_model") as (_, direct):
        words = ("-m", "agentmon", "tap", "--upstream", direct, "--log", str(log))
        with _started(bench, *words) as (tapping, tapped):
            asyncio.run(_pair(direct, tapped, 100))  # imports, first connections
            plain, through = asyncio.run(_pair(direct, tapped, PACED))
            deltas = max(STREAMS, bench.events // 20)
            alone, _ = _carried(tapping, direct, STREAMS, deltas, 0.0)
            many, _ = _carried(tapping, tapped, STREAMS, deltas, 0.0)
            paced = STREAMS * 100
            _, used = _carried(tapping, tapped, STREAMS, paced, SWARM_PAUSE)
            before, after = _memory(tapping, tapped, bench.events)
    written = _deltas(log)
    sent = 100 + PACED + deltas + paced + bench.events
    return Row(
        "tap",
        [
            _added("delay added to a delta, p50", plain, through, 0.5, 1.0),
            _added("delay added to a delta, p99", plain, through, 0.99, 5.0),
            Line(
                f"{STREAMS} streams at full speed",
                f"{many:,.0f} deltas/s, {alone:,.0f} directly",
            ),
            Line(f"CPU for 1,000 deltas, {STREAMS} paced streams", f"{used:.0f} ms"),
            at_most(
                f"memory after {bench.events:,} deltas",
                after - before,
                GROWTH_MB,
                f"{after:.0f} MB, {before:.0f} MB after a fifth of them",
                " MB more",
            ),
            equal("deltas in the log", written == sent, f"{written:,} of {sent:,}"),
        ],
    )


@contextmanager
def _started(bench: Bench, *words: str) -> Generator[tuple[psutil.Process, str]]:
    process = subprocess.Popen(
        [sys.executable, *words], env=bench.environ(), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield psutil.Process(process.pid), process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _added(what: str, plain: list[float], through: list[float], share: float, limit: float) -> Line:
    direct, tapped = percentile(plain, share), percentile(through, share)
    shown = f"{tapped - direct:.2f} ms ({tapped:.2f} ms, {direct:.2f} ms directly)"
    return at_most(what, tapped - direct, limit, shown, " ms")


async def _pair(direct: str, tapped: str, deltas: int) -> tuple[list[float], list[float]]:
    plain, through = await asyncio.gather(
        stream(direct, 1, deltas, PAUSE), stream(tapped, 1, deltas, PAUSE)
    )
    return plain, through


def _carried(
    tapping: psutil.Process, url: str, streams: int, deltas: int, pause: float
) -> tuple[float, float]:
    """Deltas a second, and milliseconds of the tap's CPU for 1,000 of them."""
    used, begun = _cpu(tapping), time.perf_counter()
    asyncio.run(_swarm(url, streams, deltas // streams, pause))
    lasted = time.perf_counter() - begun
    _settled(tapping)
    return deltas / lasted, (_cpu(tapping) - used) / deltas * 1e6


async def _swarm(url: str, streams: int, deltas: int, pause: float) -> None:
    await asyncio.gather(*(stream(url, who, deltas, pause) for who in range(streams)))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _settled(process: psutil.Process) -> None:
    """Until what waits to be recorded is recorded."""
    last = -1.0
    while (now := _cpu(process)) - last > 0.02:
        last = now
        time.sleep(0.3)


def _memory(tapping: psutil.Process, url: str, deltas: int) -> tuple[float, float]:
    """MB after the first of them, and after all."""
    pause = AT_ONCE / RATE
    first = int(deltas * WARM)
    _carried(tapping, url, AT_ONCE, first, pause)
    before = tapping.memory_info().rss / 1e6
    _carried(tapping, url, AT_ONCE, deltas - first, pause)
    return before, tapping.memory_info().rss / 1e6


def _deltas(log: Path) -> int:
    logs = log.parent.glob("*.jsonl")
    return sum(
        json.loads(line)["event"] == "claude.content_block_delta"
        for path in logs
        for line in path.read_bytes().splitlines()
    )
