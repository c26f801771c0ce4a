"""The process table: which writers of sessions are gone, what living ones do, and what agentmon
itself uses.

The only module that talks to psutil. Times are epoch seconds; "now" is an argument.
"""

import re
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil
from msgspec import Struct, field
from msgspec.structs import replace

from agentmon.core.health import ProcessFact

LOOK_DISTANCE = 0.9
"""Seconds between two looks that both count: one glance can miss a process that is just forking."""

BIRTH_TOLERANCE = 2.0
"""Seconds a process may seem younger than its first event: the clock ticks of its birth are coarse,
and the wall clock may have been set."""

SAMPLE_SECONDS = 15.0
"""Seconds between two looks at what a process and its children do."""

SEARCH_SECONDS = 30.0
"""Seconds between two searches for the processes of sessions whose pid nobody names."""

SEARCHED_FOR = 600.0
"""Seconds since its last sign of life for which such a session is searched for."""

COMMAND_LENGTH = 200
"""Characters kept of a command line."""

NO_PROCESS = "no such process"
OTHER_PROCESS = "pid belongs to a process started later"


class Asked(Struct, frozen=True):
    """A process worth looking at."""

    seen: float
    """When it surely lived: the latest event that names it."""
    proc_start: int | None = None
    """Field 22 of its /proc/PID/stat, where a registry told it: exact against pid reuse."""
    details_from: float | None = None
    """From when on it is wanted what it does; None: never."""


class Wanted(Struct):
    """What a look at the process table is to find out."""

    pids: dict[int, Asked] = field(default_factory=dict[int, Asked])
    nameless: dict[str, float] = field(default_factory=dict[str, float])
    """Sessions (of Codex) whose pid nobody names → their last sign of life."""


class Doing(Struct, frozen=True):
    """What one process does."""

    pid: int
    command: str
    status: str
    """As psutil says: running, sleeping, disk-sleep, stopped, zombie, …"""
    started: float | None
    cpu_seconds: float | None
    """Of all cores, over its whole life."""
    cpu_percent: float | None = None
    """Of one core, since it was last looked at, else over its whole life."""


class Details(Struct, frozen=True):
    """A process and everything it started that still runs, as of `at`."""

    process: Doing
    children: list[Doing]
    at: float


class Seen(Struct):
    """What a look found out."""

    gone: list[ProcessFact] = field(default_factory=list[ProcessFact])
    details: dict[int, Details] = field(default_factory=dict[int, Details])
    found: dict[str, int] = field(default_factory=dict[str, int])
    """Nameless sessions → the process that has their file open."""


# -- asking the machine


def is_running(pid: int) -> bool:
    """Whether a process has this pid now. A zombie is gone; one we may not look at is there."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return False


def born_at(pid: int) -> float | None:
    """When the process with this pid was started; None where that cannot be known."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, OverflowError, ValueError):
        return None


def start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat: clock ticks from boot to its start; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (OSError, ValueError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def look_into(pids: Iterable[int]) -> dict[int, tuple[Doing, list[Doing]]]:
    """What processes and their descendants do; those that are gone are left out. A few ms."""
    below: dict[int, list[psutil.Process]] = {}
    table: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            below.setdefault(process.ppid(), []).append(process)
        except psutil.Error:
            continue
        table[process.pid] = process
    found: dict[int, tuple[Doing, list[Doing]]] = {}
    for pid in pids:
        process = table.get(pid)
        doing = _doing(process) if process is not None else None
        if doing is not None:
            children = [_doing(child) for child in _descendants(pid, below)]
            found[pid] = (doing, [child for child in children if child is not None])
    return found


def _descendants(pid: int, below: Mapping[int, list[psutil.Process]]) -> Iterable[psutil.Process]:
    for child in below.get(pid, ()):
        yield child
        yield from _descendants(child.pid, below)


def _doing(process: psutil.Process) -> Doing | None:
    try:
        with process.oneshot():
            words = process.cmdline() or [process.name()]
            used, started = process.cpu_times(), process.create_time()
            spent = used.user + used.system
            command = " ".join(words)[:COMMAND_LENGTH]
            return Doing(process.pid, command, process.status(), started, spent)
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return Doing(process.pid, "", "", None, None)


def with_share(doing: Doing, before: Doing | None, since: float, now: float) -> Doing:
    """The same with its share of a core since it was looked at `before`, at `since`."""
    spent, started = doing.cpu_seconds, doing.started
    if spent is None or started is None:
        return doing
    if before is not None and before.started == started and before.cpu_seconds is not None:
        spent, started = spent - before.cpu_seconds, since
    share = 100 * spent / max(0.1, now - started)
    return replace(doing, cpu_percent=round(max(0.0, share), 1))


_UUID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_ROLLOUT = re.compile(rf"/rollout-[^/]*-{_UUID}\.jsonl$|/{_UUID}\.lock$")


def rollouts() -> dict[str, int]:
    """Sessions whose rollout, or its lock, a Codex process has open → that process (capture.md 4:
    the child `codex` keeps it open, its wrapper `node` does not)."""
    found: dict[str, int] = {}
    for process in psutil.process_iter(["name"]):
        name = str(process.info.get("name") or "")
        if not name.startswith("codex"):
            continue
        is_child = name == "codex"  # and not one of its helpers
        try:
            paths = [file.path for file in process.open_files()]
        except psutil.Error:
            continue
        for path in paths:
            match = _ROLLOUT.search(path)
            if match is not None and (is_child or (match[1] or match[2]) not in found):
                found[match[1] or match[2]] = process.pid
    return found


def peak_memory() -> float:
    """The most memory this process ever had, in MiB.

    From /proc where there is one: `getrusage` starts at the peak of the process that forked us.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        scale = 1024 if sys.platform != "darwin" else 1024 * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found.group(1)) / 1024 if found is not None else 0.0


# -- looking again and again


def _sample(process: Doing, children: list[Doing], last: Details | None, now: float) -> Details:
    before = {doing.pid: doing for doing in (last.process, *last.children)} if last else {}
    since = last.at if last is not None else now

    def shared(doing: Doing) -> Doing:
        return with_share(doing, before.get(doing.pid), since, now)

    return Details(shared(process), [shared(child) for child in children], now)


class _Missing(Struct):
    """A pid that was missed: at the first look, at the last, and why."""

    first: float
    last: float
    reason: str
    alive_at: float | None


class Processes:
    """Looks at pids again and again and remembers since when each is missing.

    A pid is missing when nothing runs under it, or when what runs is another process: one with
    other start ticks than the registry told, or one started after the session was last heard from
    it (pid reuse, formats.md A.3.11). It is gone once two looks in a row, at least `LOOK_DISTANCE`
    apart, miss it.
    """

    def __init__(
        self,
        pid_exists: Callable[[int], bool] = is_running,
        create_time: Callable[[int], float | None] = born_at,
        ticks: Callable[[int], int | None] = start_ticks,
        details: Callable[[Iterable[int]], dict[int, tuple[Doing, list[Doing]]]] = look_into,
        search: Callable[[], dict[str, int]] = rollouts,
    ) -> None:
        self._pid_exists = pid_exists
        self._create_time = create_time
        self._ticks = ticks
        self._look_into = details
        self._search = search
        self._missing: dict[int, _Missing] = {}
        self._alive: dict[int, float] = {}
        self._sampled: dict[int, Details] = {}
        self._searched_at = float("-inf")
        self._itself = psutil.Process()

    def look(self, wanted: Wanted, now: float) -> Seen:
        """`gone_since` is the first look that missed a pid. Pids that are not asked for again are
        forgotten."""
        missing: dict[int, _Missing] = {}
        for pid, asked in wanted.pids.items():
            reason = self._why_missing(pid, asked) if pid > 0 else ""
            if reason:
                missing[pid] = self._missed(pid, reason, now)
            elif pid > 0:
                self._alive[pid] = now
        self._missing = missing
        self._alive = {pid: at for pid, at in self._alive.items() if pid in wanted.pids}
        gone = [
            ProcessFact(pid, missed.first, missed.reason, missed.alive_at)
            for pid, missed in missing.items()
            if missed.last - missed.first >= LOOK_DISTANCE
        ]
        return Seen(gone, self._details(wanted, now), self._found(wanted, now))

    @property
    def suspects(self) -> bool:
        """Whether the last look missed anybody: only then a second one can tell more."""
        return bool(self._missing)

    def _missed(self, pid: int, reason: str, now: float) -> _Missing:
        known = self._missing.get(pid)
        if known is None or now < known.first:  # a clock set back starts the distance anew
            return _Missing(now, now, reason, self._alive.get(pid))
        known.last = now
        return known

    def _why_missing(self, pid: int, asked: Asked) -> str:
        if not self._pid_exists(pid):
            return NO_PROCESS
        ticks = self._ticks(pid) if asked.proc_start is not None else None
        if ticks is not None:
            return OTHER_PROCESS if ticks != asked.proc_start else ""
        born = self._create_time(pid)
        return OTHER_PROCESS if born is not None and born > asked.seen + BIRTH_TOLERANCE else ""

    def _details(self, wanted: Wanted, now: float) -> dict[int, Details]:
        """Of those wanted that live, not older than `SAMPLE_SECONDS`; and, of those that are gone,
        what they did last, with the children that they left running."""
        self._sampled = {
            pid: self._left(sample) if pid in self._missing else sample
            for pid, sample in self._sampled.items()
            if pid in wanted.pids
        }
        due = [
            pid
            for pid, asked in wanted.pids.items()
            if asked.details_from is not None
            and pid in self._alive
            and pid not in self._missing
            and now >= asked.details_from
            and (pid not in self._sampled or now - self._sampled[pid].at >= SAMPLE_SECONDS)
        ]
        if due:
            for pid, (process, children) in self._look_into(due).items():
                before = self._sampled.get(pid)
                self._sampled[pid] = _sample(process, children, before, now)
        return dict(self._sampled)

    def _found(self, wanted: Wanted, now: float) -> dict[str, int]:
        lively = [sid for sid, last in wanted.nameless.items() if now - last <= SEARCHED_FOR]
        if not lively or 0 <= now - self._searched_at < SEARCH_SECONDS:
            return {}
        self._searched_at = now
        found = self._search()
        return {sid: found[sid] for sid in lively if sid in found}

    def _left(self, sample: Details) -> Details:
        left = [
            doing
            for doing in sample.children
            if self._pid_exists(doing.pid)
            and (doing.started is None or self._create_time(doing.pid) == doing.started)
        ]
        return Details(sample.process, left, sample.at)

    def self_usage(self) -> tuple[float, float]:
        """agentmon's own memory in MiB and its share of one core in percent since the last call
        (0 at the first)."""
        with self._itself.oneshot():
            resident = self._itself.memory_info().rss / 1_048_576
            return resident, self._itself.cpu_percent()
