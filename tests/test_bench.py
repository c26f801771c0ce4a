"""The benchmark keeps working: its generator, its table, and one row on a small log. Nothing here
asks how long anything took."""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from agentmon.core.events import Delta, Malformed, Unknown
from agentmon.report import board
from agentmon.report.dump import Dump
from agentmon.sources.sse_lines import Decoder
from agentmon.store import db, read
from tests.bench import bigstore, rows_ingest, table
from tests.bench.__main__ import ROWS, arguments, run
from tests.bench.bench import Bench, Sample, in_turn
from tests.bench.feeder import MARK, Feeder
from tests.bench.load import write
from tests.bench.vt import Terminal
from tests.deep import only_deep

EVENTS = 2_000


def test_the_load_is_what_the_decoder_knows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    written = write(log, EVENTS)
    decoder = Decoder()
    lines = log.read_bytes().splitlines()
    events = [event for line in lines for event in decoder.decode(line)]
    assert not [event for event in events if isinstance(event, Malformed | Unknown)]
    assert len(lines) == len(events) == written.events == EVENTS
    assert log.stat().st_size == written.bytes
    deltas = [event for event in events if isinstance(event, Delta)]
    assert 0.88 < len(deltas) / EVENTS < 0.95


def test_counters_go_up_by_one_through_a_flow(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, EVENTS)
    seen: Counter[tuple[str, str]] = Counter()
    for line in log.read_bytes().splitlines():
        row = msgspec.json.decode(line)
        key = row["sid"], row["flow_id"]
        assert row["data_count"] == seen[key]
        seen[key] += 1


def test_a_seed_is_a_log(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, EVENTS, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_huge_line_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, EVENTS, huge_mb=1)
    sizes = [len(line) for line in log.read_bytes().splitlines()]
    assert [size for size in sizes if size > 1_000_000] == [max(sizes)]
    assert max(sizes) < 1_300_000
    assert len(sizes) == EVENTS


def test_the_feeder_says_words_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    feeder = Feeder(log, seed=1)
    feeder.begin()
    word, line = feeder.mark()
    feeder.burst(10, line)
    rows = log.read_text().splitlines()
    assert len(rows) == feeder.lines
    assert [MARK.findall(row) for row in rows if MARK.search(row)] == [[word]]


def once(variants: Mapping[str, Callable[[], Sample]], _: int) -> dict[str, Sample]:
    return in_turn(variants, 1)


@pytest.mark.deep
def test_the_timing_row_measures_a_small_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_ingest, "in_turn", once)
    bench = Bench(EVENTS, keep=tmp_path)
    row = rows_ingest.timing(bench)
    first = row.lines[0]
    assert first.value is not None
    assert 1 < first.value < 12
    assert (first.is_ok, first.verdict) in {(True, "ok"), (False, "MISSED")}


STEPS = ["decode_and_ingest", *only_deep("decode", "ingest", "fold", "naive_sync", "naive_async")]


@pytest.mark.parametrize("step", STEPS)
def test_every_rung_of_the_ladder_reads_all_of_a_log(tmp_path: Path, step: str) -> None:
    bench = Bench(EVENTS, keep=tmp_path)
    path = bench.log(EVENTS)
    folder = [bench.new_folder("store")] if step not in ("decode", "fold") else []
    count = [EVENTS] if step.startswith("naive") else []
    assert bench.step(step, path, *folder, *count).facts["events"] == EVENTS


def test_a_row_that_fails_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Bench) -> table.Row:
        raise RuntimeError("no terminal")

    monkeypatch.setitem(ROWS, "idle", broken)
    rows = run(Bench(EVENTS, keep=tmp_path), ["idle"])
    assert not table.all_reached(rows)
    assert "no terminal" in table.text(rows)


def test_limits_are_judged() -> None:
    good = table.Row("a", [table.at_least("x", 2, 2, "2"), table.Line("for information", "3")])
    bad = table.Row("b", [table.at_most("y", 3.1, 3, "3.1")])
    assert table.all_reached([good])
    assert not table.all_reached([good, bad])
    assert table.text([good, bad]).splitlines()[-1].endswith("MISSED")


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments(["decode"]).rows == ["decode"]
    with pytest.raises(SystemExit):
        arguments(["decoding"])
    assert "there is no row decoding" in capsys.readouterr().err


def test_the_terminal_reads_a_screen() -> None:
    terminal = Terminal(12, 3)
    painted = "\x1b[2J\x1b[2;3H\x1b[38;2;1;2;3;48;2;4;5;6mab字\x1b[0mc\x1b[1;1H\x1b]0;title\x07x"
    data = painted.encode()
    for at in range(len(data)):
        terminal.feed(data[at : at + 1])
    assert [line.rstrip() for line in terminal.text().splitlines()] == ["x", "  ab字c", ""]
    assert terminal.find("b") == (1, 3)
    assert terminal.background(1, 4) == "48;2;4;5;6"
    assert terminal.background(1, 6) == ""


def test_a_store_of_any_size_is_one_that_can_be_asked(tmp_path: Path) -> None:
    """What is measured at a million blocks are rows as the writer would leave them."""
    bigstore.fill(tmp_path, blocks=2_000, sessions=14, now=2_000_000_000.0)
    conn = db.open_reading(tmp_path)
    try:
        sizes = read.table_sizes(conn)
        assert 0.9 < sizes["content_blocks"] / 2_000 < 1.1
        assert sizes["content_blocks"] == bigstore.BLOCKS_PER_ROUND * sizes["rounds"]
        assert len(board.load(conn).threads) == sizes["sessions"] == 14
        pending = read.pending(conn)
        assert len({call.sid for call in pending}) == bigstore.LIVE
        last = read.rounds(conn, bigstore.sid_of(3), limit=1)[0]
        assert last.round_id == bigstore.round_of(3, last.round_number)
        rows = [*Dump(conn, tmp_path, sid=bigstore.sid_of(13), text=True).records()]
    finally:
        conn.close()
    calls = {row["tool_use_id"] for row in rows if row["kind"] == "block"} - {None}
    results = {row["tool_use_id"] for row in rows if row["kind"] == "tool_result"}
    assert calls == results != set()
    for row in rows:
        if row["kind"] in ("block", "tool_result"):
            assert sha256(str(row["text"]).encode()).hexdigest() == row["sha256"]
