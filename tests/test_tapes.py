"""Recordings as one input: any format, several at once, in order of time, from any line on."""

import gzip
import os
import random
from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmon.engine import moving, reeling
from agentmon.engine.ingest import Ingestion
from agentmon.engine.moments import Moment
from agentmon.engine.playback import Playback, clock_over, read_until
from agentmon.sources import formats, tapes
from agentmon.sources.clock import VirtualClock
from agentmon.sources.lines import Line
from agentmon.sources.reels import NothingToPlay, open_reels
from agentmon.sources.tapes import Cue, Tapes
from agentmon.sources.times import reader_of
from tests.deep import examples, only_deep, seeds
from tests.differential import Row, assert_same, dumped, ingest
from tests.feeds import add, finished, sid_of, write
from tests.live_feed import LIMITS, running, until
from tests.test_compressed import Pack, zstd
from tests.wire import SID, START, Talk


class Ticker:
    """A clock hand that moves when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def at(ms: int) -> float:
    return (START + ms) / 1000


def played(data_dir: Path, paths: Sequence[Path]) -> list[Row]:
    names = [str(path) for path in paths]
    with Ingestion(data_dir) as run:
        clock = clock_over(names, data_dir / "tapes")
        read_until(run.engine, names, clock, clock.end)
        run.commit()
    return dumped(data_dir)


def over(paths: Iterable[Path], folder: Path, clock: VirtualClock | None = None) -> Tapes:
    names = [str(path) for path in paths]
    if clock is None:
        clock = VirtualClock(0, 0)
        clock.speed = inf
    return Tapes(names, clock, spool=folder / "spool")


def lines_of(source: Tapes, max_bytes: int = 1 << 20) -> list[bytes]:
    found: list[bytes] = []
    while (chunk := source.read(max_bytes)) is not None:
        found += [line.data for line in chunk.lines if isinstance(line, Line)]
    return found


# -- formats


@pytest.mark.parametrize("step", [40, *only_deep(1)])
def test_a_recording_plays_to_what_its_ingestion_gives(
    step: int, shared: Path, tmp_path: Path
) -> None:
    """Of the recordings one in `step`."""
    folders = [shared / "captures", shared / "samples"]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(files[::step]):
        try:
            open_reels([str(path)], tmp_path / "spool")
        except NothingToPlay:
            with path.open("rb") as handle:
                assert formats.recognise(handle.read(formats.SAMPLE), strict=True) is None, path
            continue
        ingest(tmp_path / f"{number}", [path])
        assert_same(played(tmp_path / f"{number}-played", [path]), dumped(tmp_path / f"{number}"))


def test_what_lies_beside_a_subagent_is_told_with_it(tmp_path: Path) -> None:
    """Its type at its first line, its end at its last, and neither counts twice."""
    folder = tmp_path / SID / "subagents"
    record = '{"type":"user","sessionId":"%s","uuid":"%s","timestamp":"%s","message":%s}'
    message = '{"role":"user","content":"look"}'
    lines = [
        record % (SID, f"00000000-0000-4000-8000-00000000000{n}", stamp, message)
        for n, stamp in ((1, "2025-11-21T13:00:00Z"), (2, "2025-11-21T13:00:09Z"))
    ]
    log = write(folder / "agent-a1.jsonl", [line.encode() for line in lines])
    meta = '{"agentType":"Explore","description":"look","toolUseId":"t1","finished":true}'
    (folder / "agent-a1.meta.json").write_text(meta)
    ingest(tmp_path / "ingested", [log])
    assert_same(played(tmp_path / "played", [log]), dumped(tmp_path / "ingested"))
    source = over([log], tmp_path)
    source.limit = 1
    chunk = source.read()
    assert chunk is not None
    assert chunk.label is not None
    assert (chunk.label.before is not None, chunk.label.after) == (True, None)
    source.limit = None
    chunk = source.read()
    assert chunk is not None
    assert chunk.label is not None
    assert (chunk.label.before, chunk.label.after is not None) == (None, True)


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gz", "zst"])
def test_compressed_ones(pack: Pack, tmp_path: Path) -> None:
    plain = write(tmp_path / "log.jsonl", [*finished(1), *finished(2, 5000)])
    packed = tmp_path / "packed.jsonl.x"
    packed.write_bytes(pack(plain.read_bytes()))
    assert_same(played(tmp_path / "b", [packed]), played(tmp_path / "a", [plain]))
    torn = tmp_path / "torn.jsonl.x"
    torn.write_bytes(packed.read_bytes() + packed.read_bytes()[:-20])
    assert "ends within its compressed data" in (over([torn], tmp_path / "t").note or "")
    os.chmod(packed, 0o400)
    again = over([packed], tmp_path / "t2")
    packed.unlink()
    assert len(lines_of(again)) == len(plain.read_bytes().splitlines())


def test_standard_input_and_pipes(tmp_path: Path) -> None:
    """They are read once; who opens the same over the same folder finds what they said."""
    lines = finished(1)
    reading, writing = os.pipe()
    os.write(writing, b"\n".join(lines) + b"\n")
    os.close(writing)
    clock = VirtualClock(0, 0, speed=inf)
    first = Tapes(["-"], clock, spool=tmp_path, stdin=reading)
    os.close(reading)
    assert lines_of(first) == lines
    assert lines_of(Tapes(["-"], clock, spool=tmp_path, stdin=-1)) == lines


# -- several


def test_several_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    one, two = Talk(sid_of(1)), Talk(sid_of(2))
    a = [one.prompt(ms, str(ms)) for ms in (0, 2000, 4000)]
    b = [two.prompt(ms, str(ms)) for ms in (1000, 2000, 5000)]
    logs = [write(tmp_path / "x.jsonl", b), write(tmp_path / "w.jsonl", a)]
    source = over(logs, tmp_path)
    assert (source.start, source.end) == (at(0), at(5000))
    merged = [a[0], b[0], a[1], b[1], a[2], b[2]]  # at one time by name, however they were given
    assert lines_of(source) == merged
    assert source.number == 6
    ingest(tmp_path / "ingested", logs)
    assert_same(played(tmp_path / "played", logs), dumped(tmp_path / "ingested"))
    folder = tmp_path / "folder"
    write(folder / "x.jsonl", b)
    write(folder / "deep" / "w.jsonl", a)
    write(folder / "notes.jsonl", [b'{"note":1}'])
    assert lines_of(over([folder], tmp_path)) == merged


def test_what_is_due(tmp_path: Path) -> None:
    talk, ticker = Talk(), Ticker()
    lines = [talk.prompt(ms, str(ms)) for ms in (0, 1000, 5000, 4000, 9000)]
    lines.insert(2, b"nonsense")
    log = write(tmp_path / "log.jsonl", lines)
    source = over([log], tmp_path, VirtualClock(at(0), at(9000), ticker=ticker))
    given: list[list[bytes]] = []
    for moment in (0.0, 1.0, 4.5, 5.0, 99.0):
        ticker.now = 100.0 + moment
        given.append(lines_of(source))
    # without a time, or older: right behind the line before
    assert given == [lines[:1], lines[1:3], [], lines[3:5], lines[5:]]
    assert source.next_time() is None
    assert source.ended


def test_a_limit_of_lines(tmp_path: Path) -> None:
    logs = [write(tmp_path / f"{n}.jsonl", finished(n, 100 * n)) for n in range(3)]
    whole = lines_of(over(logs, tmp_path))
    source = over(logs, tmp_path)
    given: list[bytes] = []
    for limit in (0, 1, 7, 7, 20, 10_000):
        source.limit = limit
        given += lines_of(source)
        assert source.number == len(given) == min(limit, len(whole))
    assert given == whole


# -- from any line on

_TIMES = st.lists(st.one_of(st.none(), st.integers(0, 20)), min_size=1, max_size=12)


@settings(
    max_examples=examples(6, 30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    files=st.lists(_TIMES, min_size=1, max_size=4),
    size=st.sampled_from([1, 300, 1 << 20]),
    data=st.data(),
)
def test_it_goes_on_from_any_line(
    files: list[list[int | None]], size: int, data: st.DataObject, tmp_path: Path
) -> None:
    """The same lines in the same order, whatever is read at once, from wherever it was cued."""
    logs: list[Path] = []
    for number, times in enumerate(files):
        talk = Talk(sid_of(number))
        lines = [
            b'{"sid":1,"line":"%d-%d"}' % (number, n) if s is None else talk.prompt(s * 1000, "x")
            for n, s in enumerate([3 * number, *times])
        ]
        logs.append(write(tmp_path / f"{number}.jsonl", lines))
    source = over(logs, tmp_path)
    places: list[Cue] = [source.at]
    whole: list[bytes] = []
    while (due := source.next_time()) is not None:
        source.limit = source.number + 1
        whole += lines_of(source, size)
        places.append(source.at)
        assert max(source.at.latest) == due
    assert [place.number for place in places] == list(range(len(whole) + 1))
    assert sorted(whole) == sorted(line for log in logs for line in log.read_bytes().splitlines())
    source.limit = None
    for place in [*data.draw(st.permutations(places)), None]:
        source.cue(place)
        number = 0 if place is None else place.number
        assert source.at == (place or places[0])
        assert lines_of(source, size) == whole[number:]
        assert source.at == places[-1]


def restarted(data_dir: Path, folder: Path, stops: Sequence[int]) -> list[Row]:
    """The dump after so many lines, with an end of the program at each stop."""
    place: Cue | None = None
    for stop in stops:
        with Ingestion(data_dir) as run:
            source = over([folder], data_dir)
            source.cue(place)
            source.limit = stop
            run.engine.add_input(source)
            while run.engine.pump(1000) or not run.engine.is_whole:
                continue
            run.commit()
            place = source.at
    return dumped(data_dir)


@pytest.mark.parametrize("number", seeds(1, 5))
@pytest.mark.parametrize("name", ["claude-cut", "codex-spawn", *only_deep("claude-concurrent")])
def test_several_sources_of_one_story_over_restarts(
    name: str, number: int, shared: Path, tmp_path: Path
) -> None:
    """Wire log, output, transcript and hooks of the same sessions, stopped in the middle of any."""
    folder = shared / "captures" / name
    total = len(lines_of(over([folder], tmp_path)))
    stops = sorted(random.Random(f"{name} {number}").sample(range(total), 12))
    found = restarted(tmp_path / "parts", folder, stops)
    assert_same(found, restarted(tmp_path / "whole", folder, stops[-1:]))


@pytest.mark.parametrize(
    ("name", "moves"), [("claude-full", 2), *only_deep(("claude-full", 4), ("claude-cut", 4))]
)
async def test_sources_of_any_format_are_wound_exactly(
    name: str, moves: int, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From checkpoints, forth and back: the store and the clock are as if read from the start."""
    monkeypatch.setattr(reeling, "LINES", 20)
    monkeypatch.setattr(moving, "FAR_LINES", 1)
    folder = str(shared / "captures" / name)
    rng = random.Random(name)
    async with running(Playback([folder], LIMITS, at="#1")) as deck:
        await until(lambda: deck.timeline.share is None)
        assert len(deck.timeline.checkpoints) > 2
        deck.pause()
        for move in range(moves):
            moment = Moment(number=rng.randrange(deck.timeline.total))
            await deck.go_to(moment)
            with Ingestion(tmp_path / f"{move}") as run:
                clock = clock_over([folder])
                read_until(run.engine, [folder], clock, moment)
                run.commit()
            assert deck.now() == clock.now()
            assert_same(dumped(deck.data_dir), dumped(tmp_path / f"{move}"))


# -- bad input


def test_nothing_that_is_bad_stops_the_others(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", [Talk().prompt(0, "x")])
    empty = write(tmp_path / "empty.jsonl", [])
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(b'{"sid":')
    other = write(tmp_path / "notes.jsonl", [b"{}"])
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(bytes(range(256)))
    source = over([good, empty, torn, other, binary], tmp_path)
    note = source.note or ""
    for said in ("empty.jsonl is empty", "torn.jsonl holds no whole line", "no log", "binary file"):
        assert said in note
    assert len(lines_of(source)) == 1
    assert source.start == source.end == at(0)
    for bad in (empty, torn, other, binary):
        with pytest.raises(NothingToPlay) as raised:
            over([bad], tmp_path)
        assert raised.value.filename == str(bad)
    with pytest.raises(NothingToPlay, match=r"nothing to replay; empty.jsonl is empty; torn"):
        over([empty, torn], tmp_path)
    with pytest.raises(FileNotFoundError):
        over([good, tmp_path / "missing.jsonl"], tmp_path)


def test_a_torn_end_is_counted(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", finished(1))
    with log.open("ab") as file:
        file.write(b'{"torn')
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(b'{"sid":')
    ingest(tmp_path / "ingested", [log, torn])
    assert_same(played(tmp_path / "played", [log, torn]), dumped(tmp_path / "ingested"))
    assert dumped(tmp_path / "played")[-1]["torn"] == 2


def test_times_that_step_back_are_told(tmp_path: Path) -> None:
    talk = Talk()
    lines = [talk.prompt(ms, str(ms)) for ms in (100_000, 0, 50_000)]
    source = over([write(tmp_path / "log.jsonl", lines)], tmp_path)
    assert source.note is None
    assert lines_of(source) == lines
    assert "log.jsonl steps back in time by up to 100 s" in (source.note or "")
    assert source.next_time() is None


def test_a_latest_time_far_from_the_end(tmp_path: Path) -> None:
    """The end of the clock moves when it is found, and everything is played."""
    talk = Talk()
    lines = [talk.prompt(n, "x" * 1000, f"u{n}") for n in range(300)]
    lines[1] = talk.prompt(90_000, "late")
    log = write(tmp_path / "log.jsonl", lines)
    assert clock_over([str(log)]).end < at(90_000)
    rows = played(tmp_path / "played", [log])
    assert rows[-1]["lines"] == len(lines)


def test_it_grows_and_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "LOOK_SECONDS", 0.0)
    talk = Talk()
    lines = [talk.prompt(ms, str(ms)) for ms in (0, 1000, 2000)]
    log = write(tmp_path / "log.jsonl", lines[:1])
    later = write(tmp_path / "later.jsonl", [])
    clock = VirtualClock(at(0), at(0), speed=inf)
    source = over([log, later], tmp_path, clock)
    assert lines_of(source) == lines[:1]
    add(log, lines[1:2])
    add(later, lines[2:])
    assert lines_of(source) == lines[1:]
    assert source.end == clock.end == at(2000)
    with log.open("ab") as file:
        file.truncate(3)
    assert lines_of(source) == []
    assert "was cut while it was played" in (source.note or "")
    log.unlink()
    assert lines_of(source) == []
    assert "no such file" in (source.note or "")


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_is_gone_before_its_time(is_deleted: bool, tmp_path: Path) -> None:
    logs = [write(tmp_path / f"{n}.jsonl", [Talk().prompt(1000 * n, str(n))]) for n in range(3)]
    source = over(logs, tmp_path)
    logs[1].unlink() if is_deleted else logs[1].write_bytes(b"")
    assert len(lines_of(source)) == 2
    assert source.ended
    assert not is_deleted or "1.jsonl can't be read on: no such file" in (source.note or "")


def test_formats_without_times_come_at_once(tmp_path: Path) -> None:
    lines = [b'{"type":"thread.started","thread_id":"%s"}' % SID.encode()]
    log = write(tmp_path / "run.jsonl", [*lines, b'{"type":"turn.started"}'])
    os.utime(log, (1_000_000, 1_000_000))
    source = over([log], tmp_path)
    assert "tells no times" in (source.note or "")
    assert (source.start, source.end) == (1_000_000, 1_000_000)
    chunk = source.read()
    assert chunk is not None
    assert chunk.label is not None
    assert (chunk.label.format, chunk.label.received) == ("codex-exec", 1_000_000)


def test_the_time_of_a_line() -> None:
    wire, record, call = (reader_of(name) for name in ("sse-lines", "rollout", "hooks"))
    assert wire is not None
    assert record is not None
    assert call is not None
    assert wire(Talk().prompt(250, "x")) == at(250)
    assert wire(b'{"t":"2025-11-21T20:00:00.000+07:00"}') == at(0)
    for nothing in (b"", b"{}", b'{"t":"yesterday"}', b'{"t":"2025-99-21T13:00:00.000"}'):
        assert wire(nothing) is None
    assert record(b'{"a":{"timestamp":"2001"},"timestamp":"2025-11-21T13:00:00Z"}') == at(0)
    assert record(b'{"timestamp":"2025-11-21T13:00:00Z","torn') == at(0)
    for nothing in (b'{"timestamp":7}', b"[]", b'{"a":{"timestamp":"2025-11-21T13:00:00Z"}}'):
        assert record(nothing) is None
    assert call(b'{"t":7.5,"payload":{}}') == 7.5
    for nothing in (b'{"t":true}', b'{"t":1e99}', b'{"t":', b'{"payload":{"t":7}}'):
        assert call(nothing) is None
    assert reader_of("sse") is None
