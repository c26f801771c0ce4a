"""Real processes that play agents, and the right verdict within seconds of the fact."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from agentmon.core.health import Limits
from agentmon.engine import judging, overseeing
from agentmon.engine.live import Live
from agentmon.sources import procs
from agentmon.sources.procs import Processes, Seen, Wanted
from agentmon.store import read
from agentmon.store.rows import VerdictRow
from tests.deep import only_deep
from tests.feeds import sid_of
from tests.live_feed import running, until

LIMITS = Limits(stalled_after=3.0, overdue_after=3.0)
LOOKS = 3
"""Looks at the process table, which a user has once a second, within which the verdict over a fact
must be there: not seconds of the clock, which a busy machine stretches."""

ROOT = Path(__file__).parents[1]


class Players:
    """Processes that play agents, each with a session of its own in one log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, role: str) -> str:
        """Its session."""
        sid = sid_of(len(self.started) + 1)
        words = [sys.executable, "-m", "tests.player", role, sid, str(self.log)]
        self.started[name] = subprocess.Popen(words, cwd=ROOT, start_new_session=True)
        return sid

    def kill(self, name: str) -> None:
        """By SIGKILL, and only itself; it has ended then, and nobody has asked how."""
        self.started[name].kill()
        os.waitid(os.P_PID, self.started[name].pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        for process in self.started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the tools that they left running
            process.wait()


@pytest.fixture
def players(tmp_path: Path) -> Iterator[Players]:
    found = Players(tmp_path / "sse_lines.jsonl")
    found.log.touch()
    yield found
    found.close()


class Counted(Processes):
    """Counts the looks; `later` are pids that were given to another process, as far as it sees."""

    def __init__(self) -> None:
        super().__init__(create_time=self._born)
        self.looks = 0
        self.later: set[int] = set()

    def look(self, wanted: Wanted, now: float) -> Seen:
        self.looks += 1
        return super().look(wanted, now)

    def _born(self, pid: int) -> float | None:
        is_later = pid in self.later
        return time.time() + procs.BIRTH_TOLERANCE if is_later else procs.born_at(pid)


async def verdict(live: Live, table: Counted, sid: str, word: str, fact: int) -> VerdictRow:
    """The verdict once it is there, few looks after the fact."""
    while True:
        is_late = table.looks > fact + LOOKS  # before the query: what a look finds is written later
        for row in await live.query(read.open_verdicts):
            if (row.sid, row.verdict) == (sid, word):
                return row
        assert not is_late, f"no {word} after {LOOKS} looks"
        await asyncio.sleep(0.02)


async def they_are_at_it(live: Live, players: Players, tools: int) -> None:
    """All of them have begun, and the tools that are called run."""

    def running_tools() -> int:
        found = [psutil.Process(one.pid).children() for one in players.started.values()]
        return sum(child.name() == "sleep" for children in found for child in children)

    for _ in range(6000):
        sessions, calls = await live.query(lambda c: (read.sessions(c), read.pending(c)))
        are_there = len(sessions) == len(players.started) and len(calls) == tools
        if are_there and running_tools() == tools:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the players never began")


def longest_pause(log: Path, sid: str) -> float:
    """Between two lines of a session, and from its last one until now; from the log itself."""
    lines = [line for line in log.read_text().splitlines() if sid in line]
    stamps = [json.loads(json.loads(line)["line"].removeprefix("data: ")) for line in lines]
    times = [datetime.fromisoformat(one["timestamp"]).timestamp() for one in stamps]
    return max(later - earlier for earlier, later in pairwise([*times, time.time()]))


def evidence(row: VerdictRow) -> dict[str, object]:
    return json.loads(row.evidence)


ROLES = {
    "killed in stream": "writes",
    "killed in tool": "holds a tool",
    "killed at rest": "rests",
    "pid used again": "rests",
    "silent": "falls silent",
    "hung": "holds a tool",
    "well": "writes",
}
GONE = {
    "killed in stream": "orphaned",
    "killed in tool": "orphaned",
    "killed at rest": "dead",
    "pid used again": "dead",
}
LATE = {"silent": "stalled", "hung": "overdue"}


@pytest.mark.parametrize(
    ("names", "pace"),
    [(["killed in tool", "pid used again", "well"], 0.2), *only_deep(([*ROLES], 1.0))],
)
async def test_the_verdict_is_there_soon_after_the_fact(
    names: list[str], pace: float, players: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pace`: of the looks, in seconds of those that a user has."""
    monkeypatch.setattr(judging, "DETAILS_AFTER", 0.2)
    monkeypatch.setattr(procs, "SAMPLE_SECONDS", 0.5 * pace)
    monkeypatch.setattr(procs, "LOOK_DISTANCE", procs.LOOK_DISTANCE * pace)
    assert overseeing.JUDGE_SECONDS * LOOKS <= 3.0
    monkeypatch.setattr(overseeing, "JUDGE_SECONDS", overseeing.JUDGE_SECONDS * pace)
    sids = {name: players.start(name, ROLES[name]) for name in names}
    gone = {name: word for name, word in GONE.items() if name in names}
    late = {name: word for name, word in LATE.items() if name in names}
    table = Counted()
    live = Live(tmp_path / "s", [str(players.log)], LIMITS, poll=0.02, processes=table)
    async with running(live):
        await they_are_at_it(live, players, [*map(ROLES.get, names)].count("holds a tool"))
        began, looks = time.time(), table.looks
        # so that it is seen what they do
        await until(lambda: table.looks >= looks + 2 and time.time() >= began + 0.4)
        facts = dict.fromkeys(gone, table.looks)
        for name in gone:
            if name.startswith("killed"):
                players.kill(name)
            else:
                table.later.add(players.started[name].pid)
        rows = [
            await verdict(live, table, sids[name], word, facts[name]) for name, word in gone.items()
        ]
        if late:
            await until(lambda: time.time() - began >= LIMITS.stalled_after)
        fact = table.looks
        rows += [await verdict(live, table, sids[name], word, fact) for name, word in late.items()]
        found = dict(zip((*gone, *late), map(evidence, rows), strict=True))
        open_ones = {row.sid for row in await live.query(read.open_verdicts)}
        if longest_pause(players.log, sids["well"]) >= LIMITS.stalled_after / 2:
            open_ones.discard(sids["well"])  # it had no time to write: that is a silence
    assert open_ones == {sids[name] for name in found}  # and nobody else
    for name, key, said in (
        ("killed in stream", "process", procs.NO_PROCESS),
        ("pid used again", "process", procs.OTHER_PROCESS),
        ("hung", "children", "sleep 60"),
        ("killed in tool", "left_running", "sleep 60"),
        ("silent", "shown_by", "stream"),
        ("silent", "process_info", "tests.player"),
    ):
        assert name not in names or said in str(found[name][key])
