"""Being at any moment of a recording: however it is reached, it is as if only that was read."""

import random
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest

from agentmon.engine import reeling
from agentmon.engine.playback import Playback
from agentmon.report import board, known
from agentmon.report.render import board_json
from agentmon.sources.times import reader_of
from agentmon.store import db
from tests.differential import Row, assert_same, dumped, ingest
from tests.generate import DEFECTS, scenario
from tests.live_feed import LIMITS, running, until

State = tuple[list[Row], dict[str, Any]]


def due(lines: Sequence[bytes], moment: float) -> list[bytes]:
    """The lines of one file up to a moment: one without a time comes with the line before it."""
    latest, found = -inf, list[bytes]()
    moment_of = reader_of("sse-lines")
    assert moment_of is not None
    for line in lines:
        latest = max(latest, moment_of(line) or -inf)
        if latest > moment:
            break
        found.append(line)
    return found


def of_lines(folder: Path, lines: Sequence[bytes], now: float) -> State:
    """What a store says that was given only these lines."""
    log = folder / "log.jsonl"
    folder.mkdir(parents=True)
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    ingest(folder / "store", [log])
    conn = db.open_reading(folder / "store")
    try:
        shown = board.load(conn)
        facts = known.load(conn, shown)
    finally:
        conn.close()
    return plain(dumped(folder / "store")), board_json(shown, now, LIMITS, known=facts)


async def state_of(played: Playback) -> State:
    shown = await played.query(board.load)
    facts = await played.query(lambda conn: known.load(conn, shown))
    return plain(dumped(played.data_dir)), board_json(shown, played.now(), LIMITS, known=facts)


def plain(rows: list[Row]) -> list[Row]:
    """`torn` counts inputs that end in the middle of a line, which a part of one does not."""
    return [{name: value for name, value in row.items() if name != "torn"} for row in rows]


def assert_equal(found: State, expected: State) -> None:
    assert_same(found[0], expected[0])
    assert found[1] == expected[1]


def split(log: Path) -> list[bytes]:
    return log.read_bytes().split(b"\n")[:-1]


async def check(log: Path, folder: Path, rng: random.Random, moves: int) -> None:
    """Plays to a moment, seeks there from the beginning and from the end, and goes about."""
    lines = split(log)
    async with running(Playback([str(log)], LIMITS, speed=64.0)) as played:
        deck = played.deck
        await indexed(played)
        assert len(played.timeline.checkpoints) > len(lines) // 20
        assert deck.total == len(lines)
        await deck.seek(deck.start + (deck.end - deck.start) * rng.random())
        deck.toggle() if not deck.playing else None
        deck.toggle()
        here = played.now()
        await deck.seek(here)
        expected = of_lines(folder / "played", due(lines, here), here)
        assert_equal(await state_of(played), expected)
        for start in (deck.end, deck.start):
            await deck.seek(start)
            await deck.seek(here)
            assert_equal(await state_of(played), expected)
        for move in range(moves):
            number = rng.randint(0, len(lines))
            await deck.seek_number(number)
            assert deck.number == number
            expected = of_lines(folder / str(move), lines[:number], played.now())
            assert_equal(await state_of(played), expected)


async def indexed(played: Playback) -> None:
    await until(lambda: played.timeline.is_whole)


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that seeks go to one, and not only to the beginning."""
    monkeypatch.setattr(reeling, "LINES", 20)


@pytest.mark.parametrize("seed", [1, 2, 119])
async def test_made_up_logs(seed: int, tmp_path: Path) -> None:
    """119: a message that another took over on its request comes back into memory."""
    rng = random.Random(seed)
    chosen: dict[str, Any] = {name: rng.choice((0.1, 0.5)) for name in rng.sample(DEFECTS, 10)}
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(line + b"\n" for line in scenario(rng, **chosen)))
    await check(log, tmp_path, rng, 3)


@pytest.mark.parametrize("name", ["claude-full", "claude-stall", "claude-concurrent", "codex-full"])
async def test_captures(name: str, shared: Path, tmp_path: Path) -> None:
    log = shared / "captures" / name / "sse_lines.jsonl"
    if not log.exists():
        pytest.skip("not recorded as a wire log")
    await check(log, tmp_path, random.Random(name), 2)
