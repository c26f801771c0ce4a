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
    """The process of a session."""

    pid: int
    seen: float
    """When it surely lived: the latest event that names it."""
    proc_start: int | None = None
    """Field 22 of its /proc/PID/stat, where a registry told it: exact against pid reuse."""
    details_from: float | None = None
    """From when on it is wanted what it does; None: never."""


class Wanted(Struct):
    """What a look at the process table is to find out, by session: two may name one pid, long
    after each other."""

    named: dict[str, Asked] = field(default_factory=dict[str, Asked])
    nameless: dict[str, float] = field(default_factory=dict[str, float])
    """Sessions (of Codex) that name no pid → their last sign of life."""


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
    """What a look found out, by session."""

    gone: dict[str, ProcessFact] = field(default_factory=dict[str, ProcessFact])
    details: dict[str, Details] = field(default_factory=dict[str, Details])
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
    """A process that was missed: at the first look, at the last, and why."""

    pid: int
    first: float
    last: float
    reason: str
    alive_at: float | None


class Processes:
    """Looks at the processes of sessions again and again, remembers since when each is missing.

    A process is missing when nothing runs under its pid, or when what runs is another one: one with
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
        self._missing: dict[str, _Missing] = {}
        self._alive: dict[str, tuple[int, float]] = {}
        """Session → its pid and the last look that saw it."""
        self._sampled: dict[str, Details] = {}
        self._searched_at = float("-inf")
        self._itself = psutil.Process()

    def look(self, wanted: Wanted, now: float) -> Seen:
        """`gone_since` is the first look that missed a process. Sessions that are not asked for
        again are forgotten."""
        missing: dict[str, _Missing] = {}
        alive: dict[str, tuple[int, float]] = {}
        for sid, asked in wanted.named.items():
            reason = self.why_missing(asked) if asked.pid > 0 else ""
            last = self._alive.get(sid)
            if reason:
                missing[sid] = self._missed(sid, asked.pid, reason, now)
                if last is not None and last[0] == asked.pid:
                    alive[sid] = last
            elif asked.pid > 0:
                alive[sid] = asked.pid, now
        self._missing, self._alive = missing, alive
        gone = {
            sid: ProcessFact(missed.pid, missed.first, missed.reason, missed.alive_at)
            for sid, missed in missing.items()
            if missed.last - missed.first >= LOOK_DISTANCE
        }
        return Seen(gone, self._details(wanted, now), self._found(wanted, now))

    @property
    def suspects(self) -> bool:
        """Whether the last look missed anybody: only then a second one can tell more."""
        return bool(self._missing)

    def _missed(self, sid: str, pid: int, reason: str, now: float) -> _Missing:
        known = self._missing.get(sid)
        # a clock set back starts the distance anew
        if known is None or known.pid != pid or now < known.first:
            last = self._alive.get(sid)
            alive_at = last[1] if last is not None and last[0] == pid else None
            return _Missing(pid, now, now, reason, alive_at)
        known.last = now
        return known

    def why_missing(self, asked: Asked) -> str:
        """What one look says of a process; "" where it is there."""
        pid = asked.pid
        if not self._pid_exists(pid):
            return NO_PROCESS
        ticks = self._ticks(pid) if asked.proc_start is not None else None
        if ticks is not None:
            return OTHER_PROCESS if ticks != asked.proc_start else ""
        born = self._create_time(pid)
        return OTHER_PROCESS if born is not None and born > asked.seen + BIRTH_TOLERANCE else ""

    def _details(self, wanted: Wanted, now: float) -> dict[str, Details]:
        """Of those wanted that live, not older than `SAMPLE_SECONDS`; and, of those that are gone,
        what they did last, with the children that they left running."""
        self._sampled = {
            sid: self._left(sample) if sid in self._missing else sample
            for sid, sample in self._sampled.items()
            if sid in wanted.named and wanted.named[sid].pid == sample.process.pid
        }
        due: dict[str, int] = {
            sid: asked.pid
            for sid, asked in wanted.named.items()
            if asked.details_from is not None
            and now >= asked.details_from
            and sid in self._alive
            and sid not in self._missing
            and (sid not in self._sampled or now - self._sampled[sid].at >= SAMPLE_SECONDS)
        }
        found = self._look_into(set(due.values())) if due else {}
        for sid, pid in due.items():
            if pid in found:
                before = self._sampled.get(sid)
                self._sampled[sid] = _sample(*found[pid], before, now)
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
