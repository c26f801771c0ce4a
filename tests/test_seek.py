"""Being at any moment of a recording: however it is reached, it is as if only that was read."""

import json
import random
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest

from agentmon.engine import playback, reeling
from agentmon.engine.playback import Playback
from agentmon.engine.timeline import Timeline
from agentmon.report import board, known
from agentmon.report.render import board_json
from agentmon.sources.times import reader_of
from agentmon.store import db
from tests.cli_run import inside
from tests.deep import only_deep
from tests.differential import Row, assert_same, dumped, ingest
from tests.feeds import finished, write
from tests.generate import DEFECTS, scenario
from tests.live_feed import LIMITS, running, until, until_lines
from tests.wire import TEXT, Talk

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
    await played.timeline.done.wait()
    assert played.timeline.is_whole


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and so that seeks go to one, and not only to the beginning."""
    monkeypatch.setattr(playback, "INDEX_AFTER", 0.0)
    monkeypatch.setattr(reeling, "LINES", 20)


@pytest.mark.parametrize("seed", [119, *only_deep(*range(1, 10))])
async def test_made_up_logs(seed: int, tmp_path: Path) -> None:
    """119: a message that another took over on its request comes back into memory."""
    rng = random.Random(seed)
    chosen: dict[str, Any] = {name: rng.choice((0.1, 0.5)) for name in rng.sample(DEFECTS, 10)}
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(line + b"\n" for line in scenario(rng, **chosen)))
    await check(log, tmp_path, rng, 3)


@pytest.mark.parametrize(
    "name", ["codex-full", *only_deep("claude-concurrent", "claude-full", "claude-stall")]
)
async def test_captures(name: str, shared: Path, tmp_path: Path) -> None:
    log = shared / "captures" / name / "sse_lines.jsonl"
    if not log.exists():
        pytest.skip("not recorded as a wire log")
    await check(log, tmp_path, random.Random(name), 1)


@pytest.mark.parametrize("count", [2, *only_deep(6)])
async def test_several_files_are_one_run(count: int, tmp_path: Path) -> None:
    """Whatever the way to a line, the store has the same lines of each."""
    paths = [
        write(tmp_path / f"{n}.jsonl", [*finished(n, 500 * n), *finished(n + 10, 500 * n)])
        for n in range(3)
    ]
    async with running(Playback([str(path) for path in paths], LIMITS)) as played:
        deck = played.deck
        deck.toggle()
        await indexed(played)
        rng = random.Random(3)
        found: dict[int, State] = {}
        for number in (*rng.sample(range(deck.total), count), *range(40, 44)):
            await deck.seek_number(number)
            found[number] = await state_of(played)
            assert found[number][0][-1]["lines"] == number
        for number, state in sorted(found.items()):
            await deck.seek_number(number)
            assert_equal(await state_of(played), state)


async def test_it_plays_and_seeks_before_it_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log.jsonl", [line for n in range(6) for line in finished(n, 900 * n)])

    async def never(_: Timeline) -> None:
        return

    monkeypatch.setattr(Timeline, "start", never)
    lines = split(log)
    async with running(Playback([str(log)], LIMITS)) as played:
        deck = played.deck
        for number in (50, 20, 21, 70):
            await deck.seek_number(number)
            assert deck.number >= number
            deck.toggle() if deck.playing else None
            await deck.seek_number(number)
            expected = of_lines(tmp_path / str(number), lines[:number], played.now())
            assert_equal(await state_of(played), expected)


@pytest.mark.parametrize("is_short", [True, *only_deep(False)])
async def test_texts_that_were_repaired_later_are_as_they_were(
    is_short: bool, tmp_path: Path
) -> None:
    """A late delta puts a text in another order; before it, the text is the one that was there."""
    talk = Talk()
    said = [
        talk.prompt(0, "go", "u1", round_id="r1"),
        talk.start(1, 10, round_id="r1"),
        talk.begin(1, 20, TEXT),
        *(talk.text(1, 30 + n, f"part {n} ") for n in range(8)),
    ]
    late = said.pop(6)
    rest = [*finished(3, 2000), *finished(4, 4000)]
    log = write(tmp_path / "log.jsonl", [*said, *rest[:30], late, *rest[30:]])
    lines = split(log)
    before, after = len(said) + 5, len(lines) - 3
    async with running(Playback([str(log)], LIMITS)) as played:
        deck = played.deck
        deck.toggle()
        await indexed(played)
        assert any(checkpoint.kept for checkpoint in played.timeline.checkpoints)
        way = [after, before, after, before, len(said) + 29, after]
        for turn, number in enumerate(way[:3] if is_short else way):
            await deck.seek_number(number)
            expected = of_lines(tmp_path / str(turn), lines[:number], played.now())
            assert_equal(await state_of(played), expected)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three finished sessions, a long silence, and a fourth."""
    said = [line for n in range(3) for line in finished(n, 2000 * n)]
    return write(tmp_path / "log.jsonl", [*said, *finished(3, 600_000, content="a needle here")])


@pytest.mark.parametrize("speed", [inf, *only_deep(1.0)])
async def test_it_goes_on_from_where_it_was_put(speed: float, log: Path, tmp_path: Path) -> None:
    ingest(tmp_path / "ingested", [log])
    async with running(Playback([str(log)], LIMITS, speed=speed, at="#40")) as played:
        await indexed(played)
        await until(lambda: played.deck.number >= 40)
        await played.deck.seek(played.deck.end - 1)
        if not played.deck.playing:
            played.deck.toggle()  # it was at its end before
        await until_lines(played, len(split(log)))
        assert_same(plain(dumped(played.data_dir)), plain(dumped(tmp_path / "ingested")))


def test_without_a_screen(log: Path, tmp_path: Path) -> None:
    lines = split(log)
    now = float(json.loads(said("--replay", log, "--at", "#40", "--once", "--json"))["time"])
    shown = json.loads(said("--replay", log, "--at", "#40", "--once", "--json"))
    expected = of_lines(tmp_path / "40", lines[:40], now)[1]
    assert shown == json.loads(json.dumps(expected))
    events = said("--replay", log, "--at", "#40", "--events", "--json").splitlines()
    assert [json.loads(line)["number"] for line in events] == [*range(1, 41)]
    assert len(said("--replay", log, "--events").splitlines()) == len(lines)
    assert inside("--replay", log, "--at", "soon", "--once").code == 1
    assert inside("--replay", log, "--at", "+soon", "--once").code == 2
    assert inside("--at", "5s").code == 2


def said(*args: object) -> str:
    done = inside(*args)
    assert done.code == 0, done.err
    return done.out
