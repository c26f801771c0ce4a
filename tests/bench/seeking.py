"""Seeking about in a replay, as a step of the benchmark: until all is as of a moment."""

import asyncio
import contextlib
import io
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from agentmon.core.health import Limits
from agentmon.engine import reeling
from agentmon.engine.playback import Playback
from agentmon.report import board

SEEKS = 100
STEPS = 30


def index(path: str, folder: str) -> dict[str, float]:
    """The index run alone, as the child does it."""
    with open(os.devnull, "w", encoding="utf-8") as null, mock.patch.object(sys, "stdout", null):
        reeling.run(reeling.Order([path], folder, f"{folder}/tapes"))
    return {
        "events": float(_lines(Path(path))),
        "journal_mb": os.stat(f"{folder}/pages").st_size / (1 << 20),
    }


def seek(path: str) -> dict[str, float]:
    """Seeks to random moments, and steps back, once all is indexed. Milliseconds."""
    return asyncio.run(_seek(path))


async def _seek(path: str) -> dict[str, float]:
    played = Playback([path], Limits())
    deck = played.deck
    await played.start()
    try:
        played.pause()
        begun = time.perf_counter()
        await played.timeline.done.wait()
        indexed = time.perf_counter() - begun
        rng = random.Random(1)
        ways: dict[str, list[float]] = {"forward": [], "backward": [], "back": []}
        cpu = time.process_time()
        for _ in range(SEEKS):
            moment = deck.start + (deck.end - deck.start) * rng.random()
            way = ways["forward" if moment > played.now() else "backward"]
            begun = time.perf_counter()
            await deck.seek(moment)
            way.append(time.perf_counter() - begun)
        cpu = time.process_time() - cpu
        for _ in range(STEPS):
            begun = time.perf_counter()
            await deck.step(-1)
            ways["back"].append(time.perf_counter() - begun)
        shown = await played.query(board.load)
        return {
            "indexed": indexed,
            "agents": float(len(shown.threads)),
            "cpu": 1000 * cpu / SEEKS,
            **{f"{name} p50": 1000 * at(times, 0.5) for name, times in ways.items()},
            **{f"{name} p95": 1000 * at(times, 0.95) for name, times in ways.items()},
        }
    finally:
        with contextlib.redirect_stderr(io.StringIO()):
            await played.stop()


def at(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _lines(path: Path) -> int:
    with path.open("rb") as handle:
        return sum(piece.count(b"\n") for piece in iter(lambda: handle.read(1 << 20), b""))
