"""kill -9 at random instants, and a restart each time: nothing may be lost or doubled."""

import hashlib
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct

from tests.bench.bench import ROOT, Bench
from tests.bench.table import Row, at_least, equal

EVENTS = 200_000
KILLS = 20
RESUMED = 5
"""So many runs at least must go on from where an earlier one was killed, or nothing is shown."""
SEED = 9
COMMITS = (0, 0, 1)
"""After which commit of a run the kill comes, at random, within the time to the next: all runs
together read most of the log, and rarely all of it."""


class Pace(Struct):
    """Seconds of an unbroken ingestion: until its first commit, and from one to the next."""

    first: float
    batch: float


def kill(bench: Bench) -> Row:
    """The store of an ingestion killed 20 times, against that of an unbroken one."""
    path = bench.log(min(bench.events, EVENTS))
    unbroken, broken = bench.new_folder("unbroken"), bench.new_folder("broken")
    pace = _ingest(bench, unbroken, path)
    landed, resumed = _kill_often(bench, broken, path, pace)
    reached = _position(broken) / path.stat().st_size
    _ingest(bench, broken, path)
    texts = files(unbroken), files(broken)
    dumps = dump(bench, unbroken), dump(bench, broken)
    return Row(
        "kill",
        [
            at_least("kills that hit a running process", landed, KILLS, f"{landed}", ""),
            at_least(
                "killed runs that began in the middle",
                resumed,
                RESUMED,
                f"{resumed}; {reached:.0%} was committed after the last",
                "",
            ),
            equal("dump", dumps[0] == dumps[1], f"{len(dumps[0]):,} lines, {_differ(dumps)}"),
            equal("delta files", texts[0] == texts[1], f"{len(texts[0]):,} files"),
        ],
    )


def _kill_often(bench: Bench, folder: Path, path: Path, pace: Pace) -> tuple[int, int]:
    """So many kills; how many did not come too late, and how many runs began in the middle."""
    random_ = random.Random(SEED)
    size = path.stat().st_size
    landed = resumed = 0
    for _ in range(KILLS):
        resumed += 0 < _position(folder) < size
        process = _start(bench, folder, path)
        commits = random_.choice(COMMITS)
        for _ in range(commits):
            _wait_for_commit(process)
        time.sleep(random_.uniform(0, pace.batch if commits else pace.first))
        landed += process.poll() is None
        process.kill()
        process.communicate()
    return landed, resumed


def _command(name: str, folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "agentmon", name, "--data-dir", str(folder), *arguments]


def _start(bench: Bench, folder: Path, path: Path) -> subprocess.Popen[bytes]:
    """An ingestion that writes a line after each of its commits."""
    return subprocess.Popen(
        _command("ingest", folder, "--progress", str(path)),
        env=bench.environ(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _wait_for_commit(process: subprocess.Popen[bytes]) -> bool:
    return process.stdout is not None and bool(process.stdout.readline())


def _ingest(bench: Bench, folder: Path, path: Path) -> Pace:
    """A whole ingestion. Raises RuntimeError."""
    moments = [time.perf_counter()]
    process = _start(bench, folder, path)
    while _wait_for_commit(process):
        moments.append(time.perf_counter())
    process.communicate()
    if process.returncode:
        raise RuntimeError(f"agentmon ingest ended with {process.returncode}")
    if len(moments) < 2:
        raise RuntimeError("agentmon ingest said nothing of a commit")
    batches = max(1, len(moments) - 2)
    return Pace(moments[1] - moments[0], (moments[-1] - moments[1]) / batches)


def dump(bench: Bench, folder: Path) -> list[bytes]:
    """The lines of `agentmon dump`."""
    done = subprocess.run(
        _command("dump", folder), env=bench.environ(), cwd=ROOT, capture_output=True, check=True
    )
    return done.stdout.splitlines()


def _differ(dumps: tuple[list[bytes], list[bytes]]) -> str:
    """How far apart two dumps are, in lines."""
    first, second = map(set, dumps)
    return f"{len(first ^ second)} lines differ"


def files(folder: Path) -> dict[str, str]:
    """Every file below the delta store, by its path, as a hash of its content."""
    root = folder / "delta_store"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def _position(folder: Path) -> int:
    """How far the log is committed, in bytes."""
    try:
        conn = sqlite3.connect(folder / "agentmon.db")
        try:
            (position,) = conn.execute("SELECT MAX(position) FROM sources").fetchone()
        finally:
            conn.close()
    except sqlite3.Error:
        return 0
    return int(position or 0)
