"""The process table: which writers of sessions are gone, and what agentmon itself uses.

The only module that talks to psutil. Times are epoch seconds; "now" is an argument.
"""

import re
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from agentmon.core.health import ProcessFact

LOOK_DISTANCE = 1.0
"""Seconds between two looks that both count: one glance can miss a process that is just forking."""

BIRTH_TOLERANCE = 2.0
"""Seconds a process may seem younger than its first event: the clock ticks of its birth are coarse,
and the wall clock may have been set."""

NO_PROCESS = "no such process"
OTHER_PROCESS = "pid belongs to a process started later"


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


class Processes:
    """Looks at pids again and again and remembers since when each is missing.

    A pid is missing when nothing runs under it, or when what runs was started after the session
    was last heard from it (pid reuse, formats.md A.3.11). It is gone once two looks in a row, at
    least `LOOK_DISTANCE` apart, miss it.
    """

    def __init__(
        self,
        pid_exists: Callable[[int], bool] = is_running,
        create_time: Callable[[int], float | None] = born_at,
    ) -> None:
        self._pid_exists = pid_exists
        self._create_time = create_time
        self._missing: dict[int, tuple[float, float, str]] = {}  # first look, last look, reason
        self._itself = psutil.Process()

    def look(self, pids: Mapping[int, float], now: float) -> list[ProcessFact]:
        """The pids that are gone; `gone_since` is the first look that missed them.

        `pids` gives for each pid a time at which its session's process surely lived: the latest
        event that names it is best, the session's first event will do. Pids that are not asked
        for again are forgotten.
        """
        self._missing = {
            pid: self._looked(pid, reason, now)
            for pid, seen in pids.items()
            if pid > 0 and (reason := self._why_missing(pid, seen))
        }
        return [
            ProcessFact(pid, first, reason)
            for pid, (first, last, reason) in self._missing.items()
            if last - first >= LOOK_DISTANCE
        ]

    @property
    def suspects(self) -> bool:
        """Whether the last look missed anybody: only then a second one can tell more."""
        return bool(self._missing)

    def _looked(self, pid: int, reason: str, now: float) -> tuple[float, float, str]:
        first = self._missing.get(pid, (now, now, reason))[0]
        return (min(first, now), now, reason)  # a clock set back starts the distance anew

    def _why_missing(self, pid: int, seen: float) -> str:
        if not self._pid_exists(pid):
            return NO_PROCESS
        born = self._create_time(pid)
        return OTHER_PROCESS if born is not None and born > seen + BIRTH_TOLERANCE else ""

    def self_usage(self) -> tuple[float, float]:
        """agentmon's own memory in MiB and its share of one core in percent since the last call
        (0 at the first)."""
        with self._itself.oneshot():
            resident = self._itself.memory_info().rss / 1_048_576
            return resident, self._itself.cpu_percent()
