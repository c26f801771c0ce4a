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
from pathlib import Path

import pytest

from agentmon.core.health import Limits
from agentmon.engine import judging
from agentmon.engine.live import Live
from agentmon.sources import procs
from agentmon.sources.procs import Processes
from agentmon.store import read
from agentmon.store.rows import VerdictRow
from tests.feeds import sid_of
from tests.live_feed import running

LIMITS = Limits(stalled_after=1.0, overdue_after=1.0)
SOON = 3.0
"""Seconds after a fact within which its verdict must be there."""

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

    def kill(self, name: str) -> float:
        """By SIGKILL, and only itself; when."""
        self.started[name].kill()
        return time.time()

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


async def verdict(live: Live, sid: str, word: str, fact: float) -> VerdictRow:
    """The verdict once it is there, soon after the fact."""
    while True:
        for row in await live.query(read.open_verdicts):
            if (row.sid, row.verdict) == (sid, word):
                return row
        assert time.time() - fact < SOON, f"no {word} after {SOON} s"
        await asyncio.sleep(0.05)


async def all_there(live: Live, count: int) -> None:
    for _ in range(400):
        if len(await live.query(read.sessions)) == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the players never began")


def evidence(row: VerdictRow) -> dict[str, object]:
    return json.loads(row.evidence)


async def test_the_verdict_is_there_soon_after_the_fact(
    players: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "DETAILS_AFTER", 0.2)
    later: set[int] = set()

    def born(pid: int) -> float | None:
        """Its pid was given to another process, as far as anybody can see."""
        return time.time() if pid in later else procs.born_at(pid)

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
    table = Processes(create_time=born)
    live = Live(tmp_path / "s", [str(players.log)], LIMITS, poll=0.02, processes=table)
    async with running(live):
        await all_there(live, len(sids))
        await asyncio.sleep(1.2)  # so that it is seen what they do
        facts = {name: players.kill(name) for name in sids if name.startswith("killed")}
        later.add(players.started["pid used again"].pid)
        facts["pid used again"] = facts["silent"] = facts["hung"] = time.time()
        expected = {
            "killed in stream": "orphaned",
            "killed in tool": "orphaned",
            "killed at rest": "dead",
            "pid used again": "dead",
            "silent": "stalled",
            "hung": "overdue",
        }
        rows = await asyncio.gather(
            *(verdict(live, sids[name], word, facts[name]) for name, word in expected.items())
        )
        found = dict(zip(expected, map(evidence, rows), strict=True))
        open_ones = {row.sid for row in await live.query(read.open_verdicts)}
    assert open_ones == {sids[name] for name in expected}  # and nobody else
    assert found["killed in stream"]["process"] == procs.NO_PROCESS
    assert found["pid used again"]["process"] == procs.OTHER_PROCESS
    assert "sleep 60" in str(found["hung"]["children"])
    assert "sleep 60" in str(found["killed in tool"]["left_running"])
    assert found["silent"]["shown_by"] == "stream"
    assert "tests.player" in str(found["silent"]["process_info"])
