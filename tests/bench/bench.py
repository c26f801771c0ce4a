"""What every row is measured with: a scratch folder, logs made once, fresh processes."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from tests.bench import load

ROOT = Path(__file__).resolve().parents[2]
STEP_SECONDS = 1800.0
FILES_SECONDS = 600.0
DEAR_FILE_US = 50.0
CALM = 3
"""How often in a row new files have to be cheap again, where they were not."""


class Sample(Struct):
    """One measurement in a process of its own. Seconds and MB (1024²); memory is the peak."""

    cpu: float
    wall: float
    memory: float = 0.0
    facts: dict[str, float] = msgspec.field(default_factory=dict[str, float])


class Bench:
    """Paths and processes of one run. Nothing is deleted before the end: a file system that has
    just had many files deleted makes new ones slowly (perf.md 2)."""

    def __init__(self, events: int, *, full: bool = False, keep: Path | None = None) -> None:
        self.events = events
        self.full = full
        self._kept = keep is not None
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="agentmon-bench-", dir=keep))
        self._folders = 0

    def close(self) -> None:
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def new_folder(self, name: str) -> Path:
        """A folder that was never used before."""
        self._folders += 1
        path = self.folder / f"{name}-{self._folders}"
        path.mkdir()
        return path

    def creation_us(self, files: int = 4_000) -> float:
        """Microseconds of CPU that a new file costs here now: a part of each ingestion that depends
        on the file system and its last minutes, not on agentmon."""
        folder = self.new_folder("creation")
        begun = time.process_time()
        for number in range(files):
            os.close(os.open(f"{folder}/{number}.0.txt", os.O_CREAT | os.O_WRONLY))
        return (time.process_time() - begun) / files * 1e6

    def wait_for_files(self) -> float:
        """Waits until a new file costs here what it usually does; what it costs, in microseconds.

        ext4 without a journal goes past inodes that were deleted in the last minutes, one by one: a
        test run that clears up thousands of files makes new ones forty times as dear, here and
        there, and a measurement one of the file system. Where they stay that dear, it goes on after
        a while.
        """
        until = time.monotonic() + FILES_SECONDS
        cost, calm = self.creation_us(), CALM
        while calm < CALM or cost > DEAR_FILE_US:
            if time.monotonic() > until:
                break
            print(f"waiting: a new file costs {cost:.0f} µs here", file=sys.stderr, flush=True)
            time.sleep(20.0)
            cost = self.creation_us()
            calm = 0 if cost > DEAR_FILE_US else calm + 1
        return cost

    def log(self, events: int, *, huge_mb: int = 0) -> Path:
        """A generated log; made at its first use."""
        path = self.folder / f"load-{events}-{huge_mb}.jsonl"
        if not path.exists():
            load.write(path, events, huge_mb=huge_mb)
        return path

    def environ(self) -> dict[str, str]:
        """No settings, store or agents of this machine, and the package of this checkout."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("AGENTMON_", "XDG_"))}
        for name in ("NO_COLOR", "TMUX", "CLAUDE_CODE_LOG_DIR"):
            environ.pop(name, None)
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
        for name in (*names, "CLAUDE_CONFIG_DIR", "CODEX_HOME"):
            environ[name] = str(home)
        environ["PYTHONPATH"] = str(ROOT)
        if environ.pop("PYTHONDONTWRITEBYTECODE", ""):
            # what is installed is compiled: a start that compiles takes three times as long
            environ["PYTHONPYCACHEPREFIX"] = str(self.folder / "bytecode")
        return environ

    def run(self, command: Sequence[str], given: bytes = b"") -> Sample:
        """A command from its start to its end, with something on its standard input. Raises
        RuntimeError where it fails."""
        begun, before = time.perf_counter(), _children()
        done = subprocess.run(
            command,
            input=given,
            env=self.environ(),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        sample = Sample(_children() - before, time.perf_counter() - begun)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
        return sample

    def step(self, name: str, *arguments: object) -> Sample:
        """Runs a step of `tests.bench.steps` in a fresh process. Raises RuntimeError."""
        command = [sys.executable, "-m", "tests.bench.steps", name, *map(str, arguments)]
        done = subprocess.run(
            command,
            env=self.environ(),
            cwd=ROOT,
            capture_output=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise RuntimeError(f"{name} ended with {done.returncode}: {' '.join(last)}")
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Sample)


def _children() -> float:
    """Seconds of CPU, user and system, of all processes that were waited for so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_turn(variants: Mapping[str, Callable[[], Sample]], times: int) -> dict[str, Sample]:
    """Medians of variants that are measured A B C, A B C, …, so that another job on the machine
    slows all of them down and not one."""
    return medians(turns(variants, times))


def turns(variants: Mapping[str, Callable[[], Sample]], times: int) -> list[dict[str, Sample]]:
    """The same, turn by turn: where a machine is twice as fast in one minute as in the next, only
    what was measured right after each other can be compared."""
    return [{name: measure() for name, measure in variants.items()} for _ in range(times)]


def medians(taken: Sequence[Mapping[str, Sample]]) -> dict[str, Sample]:
    """Of each variant that of all turns."""
    return {name: _median([turn[name] for turn in taken]) for name in taken[0]}


def _median(samples: Sequence[Sample]) -> Sample:
    names = samples[0].facts
    return Sample(
        median(s.cpu for s in samples),
        median(s.wall for s in samples),
        median(s.memory for s in samples),
        {name: median(s.facts[name] for s in samples) for name in names},
    )
