"""The tape deck of a replay: steps, moments that people name, landmarks, marks, texts, loops."""

import asyncio
from pathlib import Path

import pytest

from agentmon.engine import deck as engine_deck
from agentmon.engine import playback
from agentmon.engine.playback import Playback
from agentmon.report.words import clock_text
from tests.feeds import finished, write
from tests.live_feed import LIMITS, running, until
from tests.test_seek import indexed, split
from tests.wire import START


@pytest.fixture(autouse=True)
def index_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "INDEX_AFTER", 0.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three finished sessions, a long silence, and a fourth."""
    said = [line for n in range(3) for line in finished(n, 2000 * n)]
    return write(tmp_path / "log.jsonl", [*said, *finished(3, 600_000, content="a needle here")])


async def test_steps(log: Path) -> None:
    async with running(Playback([str(log)], LIMITS)) as played:
        deck = played.deck
        await indexed(played)
        await deck.seek_number(30)
        await deck.step(1)
        assert (deck.number, deck.playing) == (31, False)
        await asyncio.gather(*(deck.step(-1) for _ in range(5)))
        assert deck.number == 26
        await deck.step(-1000)
        assert (deck.number, played.now()) == (0, deck.start)
        await deck.step(10_000)
        assert deck.number == deck.total == len(split(log))
        await deck.seek(deck.start)
        await deck.step_block(1)
        assert played.now() == (START + 140) / 1000
        await deck.step_block(1)
        assert played.now() == (START + 180) / 1000
        await deck.step_block(-1)
        assert played.now() == (START + 140) / 1000


async def test_going_where_a_person_says(log: Path) -> None:
    async with running(Playback([str(log)], LIMITS)) as played:
        deck = played.deck
        deck.toggle()
        await indexed(played)
        for text, moment in (
            ("50%", (deck.start + deck.end) / 2),
            ("+3s", (deck.start + deck.end) / 2 + 3),
            ("-2m", (deck.start + deck.end) / 2 - 117),
            ("100 %", deck.end),
            ("+10h", deck.end),
            ("round-2", (START + 4000) / 1000),
            (clock_text(deck.start + 60), float(int(deck.start + 60))),
        ):
            assert await deck.go(text) is None
            assert abs(played.now() - moment) < 0.001, text
        assert await deck.go("#7") is None
        assert deck.number == 7
        for text in ("", "25:00", "+soon", "nobody's round", "2026-99-01"):
            assert await deck.go(text)
        assert deck.number == 7


async def test_landmarks_marks_and_texts(log: Path) -> None:
    async with running(Playback([str(log)], LIMITS)) as played:
        deck = played.deck
        deck.toggle()
        await indexed(played)
        await deck.seek(deck.start)
        prompts = [START / 1000 + seconds for seconds in (2.0, 4.0, 600.0)]
        for moment in prompts:
            assert await deck.jump("prompt", 1) is None
            assert played.now() == moment
        assert await deck.jump("prompt", 1)
        assert await deck.jump("", -1) is None
        assert played.now() == prompts[1]
        for moment in (4_130, 600_130):
            assert await deck.find("AT ĐÂY", 1) is None
            assert played.now() == (START + moment) / 1000
        assert await deck.find("needle", 1) is None
        assert played.now() == (START + 601_000) / 1000
        assert await deck.find("needle", 1)
        assert await deck.find("i look at", -1) is None
        assert played.now() == (START + 600_130) / 1000
        assert await deck.find("i look at", -1) is None
        assert played.now() == (START + 4_130) / 1000
        deck.mark("here")
        await deck.seek(deck.start)
        deck.mark("")
        assert [mark.note for mark in deck.marks] == ["", "here"]


async def test_a_loop_and_idle_time(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Playback([str(log)], LIMITS)) as played:
        deck = played.deck
        await indexed(played)
        deck.loop = (deck.start, deck.start + 1)
        await deck.seek(deck.start + 0.9)
        await until(lambda: played.now() < deck.start + 0.8)
        monkeypatch.setattr(engine_deck, "IDLE_PLAYS", 0.2)
        deck.loop = None
        deck.collapses_idle = True
        await deck.seek(deck.start + 6)
        await until(lambda: deck.idle is not None)
        assert deck.idle is not None
        assert 580 < deck.idle < 600
        await until(lambda: played.now() >= deck.start + 600)
        deck.toggle() if deck.playing else None
        assert deck.number > 60
