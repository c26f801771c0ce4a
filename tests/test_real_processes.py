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
from agentmon.engine import judging
from agentmon.engine.live import Live
from agentmon.engine.overseeing import JUDGE_SECONDS
from agentmon.sources import procs
from agentmon.sources.procs import Processes, Seen, Wanted
from agentmon.store import read
from agentmon.store.rows import VerdictRow
from tests.feeds import sid_of
from tests.live_feed import running, until

LIMITS = Limits(stalled_after=3.0, overdue_after=3.0)
LOOKS = 3
"""Looks at the process table, one a second, within which the verdict over a fact must be there: not
seconds of the clock, which a busy machine stretches."""

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
        """By SIGKILL, and only itself."""
        self.started[name].kill()

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
        return time.time() if pid in self.later else procs.born_at(pid)


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


async def test_the_verdict_is_there_soon_after_the_fact(
    players: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "DETAILS_AFTER", 0.2)
    monkeypatch.setattr(procs, "SAMPLE_SECONDS", 0.5)
    assert JUDGE_SECONDS * LOOKS <= 3.0
    sids = {
        name: players.start(name, role)
        for name, role in {
            "killed in stream": "writes",
            "killed in tool": "holds a tool",
            "killed at rest": "rests",
            "pid used again": "rests",
            "silent": "falls silent",
            "hung": "holds a tool",
            "well": "writes",
        }.items()
    }
    table = Counted()
    live = Live(tmp_path / "s", [str(players.log)], LIMITS, poll=0.02, processes=table)
    async with running(live):
        await they_are_at_it(live, players, tools=2)
        began, looks = time.time(), table.looks
        await until(lambda: table.looks >= looks + 2)  # so that it is seen what they do
        facts = {name: table.looks for name in sids if name.startswith("killed")}
        for name in facts:
            players.kill(name)
        facts["pid used again"] = table.looks
        table.later.add(players.started["pid used again"].pid)
        expected = {
            "killed in stream": "orphaned",
            "killed in tool": "orphaned",
            "killed at rest": "dead",
            "pid used again": "dead",
        }
        rows = [
            await verdict(live, table, sids[name], word, facts[name])
            for name, word in expected.items()
        ]
        await until(lambda: time.time() - began >= LIMITS.stalled_after)
        fact, late = table.looks, {"silent": "stalled", "hung": "overdue"}
        rows += [await verdict(live, table, sids[name], word, fact) for name, word in late.items()]
        found = dict(zip((*expected, *late), map(evidence, rows), strict=True))
        open_ones = {row.sid for row in await live.query(read.open_verdicts)}
        if longest_pause(players.log, sids["well"]) >= LIMITS.stalled_after / 2:
            open_ones.discard(sids["well"])  # it had no time to write: that is a silence
    assert open_ones == {sids[name] for name in found}  # and nobody else
    assert found["killed in stream"]["process"] == procs.NO_PROCESS
    assert found["pid used again"]["process"] == procs.OTHER_PROCESS
    assert "sleep 60" in str(found["hung"]["children"])
    assert "sleep 60" in str(found["killed in tool"]["left_running"])
    assert found["silent"]["shown_by"] == "stream"
    assert "tests.player" in str(found["silent"]["process_info"])
