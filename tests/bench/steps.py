"""The measured work itself: `python -m tests.bench.steps NAME ARGUMENT…` prints one sample.

Each runs in a process of its own. Time counts from after the imports; peak memory is `VmHWM`,
since `ru_maxrss` of a child begins at what its parent had.
"""

import asyncio
import contextlib
import io
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click
import msgspec

from agentmon.cli import main as agentmon
from agentmon.core.columns import Fresh
from agentmon.core.fold import Fold
from agentmon.core.runs import Run
from agentmon.core.state import State
from agentmon.engine.core import BATCH_LINES
from agentmon.engine.ingest import Ingestion
from agentmon.sources.lines import HugeLine, LineSplitter, data_of
from agentmon.sources.reader import READ
from agentmon.sources.sse_lines import Decoder
from agentmon.sources.steps import Odd
from agentmon.store import texts
from tests.bench import decoding, naive, seeking
from tests.bench.bench import Sample


def peak_memory(pid: int | str = "self") -> float:
    """The most memory that a process ever held, in MB; 0.0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measured(work: Callable[[], dict[str, float]]) -> Sample:
    cpu, wall = time.process_time(), time.perf_counter()
    facts = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Sample(cpu, wall, peak_memory(), facts)


# -- the ladder


def decode(path: str) -> dict[str, float]:
    """Both JSON levels, nothing kept: what the whole way is compared to."""
    return {"events": decoding.decode_file(path)}


def fold(path: str) -> dict[str, float]:
    """The decoder and the fold, nothing stored."""
    decoder, state = Decoder(), State()
    folding = Fold(state)
    splitter = LineSplitter()
    count, due = 0, BATCH_LINES
    with open(path, "rb", buffering=0) as handle:
        while data := handle.read(READ):
            steps = decoder.steps(splitter.rows(data).parts)
            count += steps.lines
            for step in steps.found:
                if type(step) is Run:
                    folding.run(step)
                elif isinstance(step, Odd):
                    assert not isinstance(step.row, HugeLine)
                    folding.line(decoder.decode(data_of(step.row)))
                else:
                    folding.one(step)
            if count >= due:
                due = count + BATCH_LINES
                _forget(state)
    return {"events": count}


def _forget(state: State) -> None:
    """What a commit would have done to memory."""
    number = state.batch
    for block in state.take_changes().blocks:
        block.fresh = Fresh()
    state.evict(number)


def ingest(path: str, folder: str) -> dict[str, float]:
    """The whole way, into SQLite and delta files."""
    with Ingestion(Path(folder)) as run:
        run.read_all([path])
        return {"events": run.summary().counts["events"]}


def decode_on_request(path: str) -> dict[str, float]:
    """For each number of lines that stands on standard input: decodes up to there, and says how
    many lines, and seconds of CPU and wall, it has taken so far."""
    parts = decoding.decode_parts(path)
    done, cpu, wall = 0, 0.0, 0.0
    for wanted in sys.stdin:
        begun = time.process_time(), time.perf_counter()
        while done < int(wanted) and (count := next(parts, 0)):
            done += count
        cpu += time.process_time() - begun[0]
        wall += time.perf_counter() - begun[1]
        print(done, cpu, wall, flush=True)
    return {}


class _Alternating(Ingestion):
    """After each commit another process decodes as many lines as were taken: it has nothing of how
    this one keeps its memory."""

    def __init__(self, folder: Path, path: str) -> None:
        super().__init__(folder)
        self.decoded: tuple[float, ...] = (0.0, 0.0, 0.0)
        """Lines, seconds of CPU, of wall."""
        command = [sys.executable, "-m", "tests.bench.steps", "decode_on_request", path]
        pipe = subprocess.PIPE
        self._decoder = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        begun = time.perf_counter()
        self._decode_to(0)  # it has started
        self.waited = time.perf_counter() - begun

    def commit(self, extra: tuple[str, list[tuple[int]]] | None = None) -> None:
        super().commit(extra)
        begun = time.perf_counter()
        self._decode_to(self.engine.state.counts.lines)
        self.waited += time.perf_counter() - begun

    def _decode_to(self, lines: int) -> None:
        assert self._decoder.stdin is not None
        assert self._decoder.stdout is not None
        print(lines, file=self._decoder.stdin, flush=True)
        self.decoded = tuple(map(float, self._decoder.stdout.readline().split()))

    def close(self) -> None:
        super().close()
        self._decoder.communicate()


def decode_and_ingest(path: str, folder: str) -> dict[str, float]:
    """Both in turns of a batch, which is a fraction of a second: a machine may be twice as fast in
    one second as in the next. The sample is that of the ingestion."""
    with _Alternating(Path(folder), path) as run:
        run.read_all([path])
        events = run.summary().counts["events"]
    lines, decode_cpu, decode_wall = run.decoded
    return {
        "events": events,
        "decoded": lines,
        "decode_cpu": decode_cpu,
        "decode_wall": decode_wall,
        "waited": run.waited,
    }


def ingest_without_log(path: str, folder: str) -> dict[str, float]:
    """The whole way, but for the times of deltas."""
    with mock.patch.object(texts, "log_rows", return_value=[]):
        return ingest(path, folder)


def naive_sync(path: str, folder: str, events: str) -> dict[str, float]:
    return {"events": naive.ingest(Path(path), Path(folder), int(events))}


def naive_default(path: str, folder: str, events: str) -> dict[str, float]:
    return {"events": naive.ingest(Path(path), Path(folder), int(events), wal=False)}


def naive_async(path: str, folder: str, events: str) -> dict[str, float]:
    return {"events": asyncio.run(naive.ingest_async(Path(path), Path(folder), int(events)))}


# -- commands


class _FirstWrite(io.RawIOBase):
    """Where what is printed goes, and when the first of it came."""

    def __init__(self) -> None:
        self.at: float | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        size = len(memoryview(data))
        if self.at is None and size:
            self.at = time.perf_counter()
        return size


def questions(folder: str, empty: str, commands: str) -> dict[str, float]:
    """Commands one after the other over a store; milliseconds to the first word and to the end.

    The first is asked of an empty store before: what is imported for it is no part of the question.
    """
    taken: dict[str, float] = {}
    asked = msgspec.json.decode(commands, type=list[list[str]])
    with contextlib.suppress(click.ClickException), mock.patch.object(sys, "stdout", io.StringIO()):
        agentmon([asked[0][0], "--data-dir", empty, *asked[0][1:]], standalone_mode=False)
    for at, words in enumerate(asked):
        out = _FirstWrite()
        with mock.patch.object(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(out))):
            begun = time.perf_counter()
            agentmon([words[0], "--data-dir", folder, *words[1:]], standalone_mode=False)
            sys.stdout.flush()
            ended = time.perf_counter()
        taken[f"first {at}"] = ((out.at or ended) - begun) * 1000
        taken[f"whole {at}"] = (ended - begun) * 1000
    return taken


def command(*arguments: str) -> dict[str, float]:
    """An agentmon command, as the console script runs it."""
    out = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # the sample alone goes to standard output
    try:
        agentmon(list(arguments), standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as problem:
        raise SystemExit(problem.format_message()) from problem
    finally:
        os.dup2(out, 1)
        os.close(out)
        os.close(null)
    return {}


STEPS: dict[str, Callable[..., dict[str, float]]] = {
    "decode": decode,
    "decode_and_ingest": decode_and_ingest,
    "decode_on_request": decode_on_request,
    "fold": fold,
    "ingest": ingest,
    "ingest_without_log": ingest_without_log,
    "naive_sync": naive_sync,
    "naive_default": naive_default,
    "naive_async": naive_async,
    "index": seeking.index,
    "seek": seeking.seek,
    "command": command,
    "questions": questions,
}


def log_sizes(folder: Path) -> Iterator[tuple[str, float]]:
    """What the store spends on the times of deltas and on the keys of duplicates, in bytes."""
    conn = sqlite3.connect(folder / "agentmon.db")
    try:
        (log, deltas) = conn.execute(
            "SELECT SUM(LENGTH(data)), SUM(deltas) FROM delta_log"
        ).fetchone()
        (streams,) = conn.execute("SELECT SUM(LENGTH(data)) FROM stream_log").fetchone()
        (lines,) = conn.execute("SELECT value FROM counts WHERE name = 'lines'").fetchone()
    finally:
        conn.close()
    yield "per delta", log / deltas
    yield "per line", streams / lines


if __name__ == "__main__":
    step = STEPS[sys.argv[1]]
    sample = measured(lambda: step(*sys.argv[2:]))
    print(msgspec.json.encode(sample).decode())
