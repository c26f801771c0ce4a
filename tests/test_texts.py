"""The texts of a store: where they lie, what is kept of each delta, and what is too long."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmon.sources.lines import CAP, LineSplitter
from agentmon.store import db, read
from agentmon.store.codec import CHUNK_DELTAS, decode_tail
from agentmon.store.deltas import (
    DeltaFiles,
    block_path,
    flatten,
    path_now,
    read_bytes,
    result_path,
    safe_name,
)
from agentmon.store.write import Batch
from tests.deep import only_deep, turns
from tests.differential import assert_like_oracle, dumped, ingest
from tests.feeds import (
    call_block,
    changes,
    finished,
    snapshot,
    texts_of,
    write,
)
from tests.wire import SID, START, TEXT, Talk, message, tool_result

# -- ids from outside

HOSTILE = [
    *("../../../../etc/x", "..", ".", "a/b", "/etc/passwd", "x" * 300, "nul\0byte", "line\nbreak"),
    *("-rf", "~", "C:\\x", "ｕnicode", "h-" + "0" * 32, "results"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_id_stays_below_the_data_folder(name: str, tmp_path: Path) -> None:
    talk = Talk()
    start = {"message": message(name, output_tokens=1), "request_id": name}
    block = call_block(name, name)
    lines = [
        talk.prompt(0, "go", name, round_id=name),
        talk.line("message_start", 10, start, flow=name),
        talk.line(
            "content_block_start",
            20,
            {"index": 0, "content_block": block, "request_id": name},
            flow=name,
        ),
        talk.line(
            "content_block_delta",
            30,
            {
                "index": 0,
                "request_id": name,
                "delta": {"type": "input_json_delta", "partial_json": "{}"},
            },
            flow=name,
        ),
        talk.line("content_block_stop", 40, {"index": 0, "request_id": name}, flow=name),
        talk.line("tool_result", 50, tool_result(name, "y" * 20_000)),
    ]
    inside = tmp_path / "deep" / "er" / "store"
    assert_like_oracle(inside, write(tmp_path / "log.jsonl", lines))
    outside = [
        path for path in tmp_path.rglob("*") if path.is_file() and inside not in path.parents
    ]
    assert outside == [tmp_path / "log.jsonl"]
    files = [path for path in (inside / "delta_store").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(len(part) <= 130 for path in files for part in path.parts)


def test_names_of_files_are_safe_and_distinct() -> None:
    found = {name: safe_name(name) for name in [*HOSTILE, "A", "a", "msg_01", "x" * 121, "x" * 122]}
    assert len(set(found.values())) == len(found)
    for name, safe in found.items():
        assert safe not in ("", ".", "..")
        assert not set(safe) & set("/\\\0\n")
        assert safe_name(name) == safe
    assert found["msg_01"] == "msg_01"


def test_a_result_cannot_take_the_place_of_a_block() -> None:
    """A message may be called `results`, and a result like a block's file."""
    assert block_path(SID, "results", 0) != result_path(SID, "index_0")
    assert path_now(result_path(SID, "index_0")) == result_path(SID, "index_0")


# -- stores of earlier versions


def as_before(store: Path) -> list[Path]:
    """Puts the texts of blocks where schema 4 had them: each message had a folder."""
    moved: list[Path] = []
    for path in sorted((store / "delta_store").glob("*/*.txt")):
        flow, index, _ = path.name.rsplit(".", 2)
        folder = path.parent / flow
        folder.mkdir(exist_ok=True)
        moved.append(path.rename(folder / f"index_{index}.txt"))
    with closing(sqlite3.connect(db.database(store))) as conn, conn:
        conn.execute("PRAGMA user_version = 0")
        conn.execute("UPDATE schema_version SET version = 4")
    return moved


def test_texts_of_an_earlier_version_are_read_and_put_in_place(tmp_path: Path) -> None:
    """Also one that goes on, and a large result, which stays where it is."""
    whole = [*finished(1, content="long " * 4000), *finished(2), *finished(3)]
    half = len(finished(1)) + 5
    log = write(tmp_path / "log.jsonl", whole[:half])
    store = tmp_path / "store"
    ingest(store, [log])
    before, texts = dumped(store), texts_of(store)
    moved = as_before(store)
    assert len(moved) == len(texts) - 1 > 1
    assert dumped(store) == before
    assert all(path.exists() for path in moved)
    assert_like_oracle(store, write(log, whole))
    ingest(tmp_path / "fresh", [log])
    assert texts_of(store) == texts_of(tmp_path / "fresh")
    assert not [path for path in moved if path.parent.exists()]


def test_a_text_that_was_to_be_moved_by_an_earlier_version(tmp_path: Path) -> None:
    """It was killed after the commit that announced it."""
    log = write(tmp_path / "log.jsonl", finished(1))
    store = tmp_path / "store"
    ingest(store, [log])
    (text, *_) = as_before(store)
    (store / "spool").mkdir(exist_ok=True)
    (store / "spool" / "new").write_bytes(text.read_bytes()[::-1])
    with closing(sqlite3.connect(db.database(store))) as conn, conn:
        operation = "spool/new", str(text.relative_to(store))
        conn.execute("INSERT INTO file_ops (source, target) VALUES (?, ?)", operation)
    told = dumped(store)
    ingest(store, [log])
    assert dumped(store) == told
    assert not text.exists()


def test_a_message_that_is_called_like_a_text(tmp_path: Path) -> None:
    """Its folder is in the way of a text: that stays where it was, and is found there."""
    store = tmp_path / "store"
    for flow in ("m", "m.0.txt"):
        (store / "delta_store" / "s" / flow).mkdir(parents=True)
        (store / "delta_store" / "s" / flow / "index_0.txt").write_text(flow)
    flatten(store)
    flatten(store)
    assert read_bytes(store, block_path("s", "m", 0), 0, 9) == b"m"
    assert read_bytes(store, block_path("s", "m.0.txt", 0), 0, 9) == b"m.0.txt"
    (store / "delta_store" / "s" / "n.0.txt").write_text("n")
    assert read_bytes(store, block_path("s", "n.0.txt", 0), 0, 9) == b""


# -- large results


@pytest.mark.parametrize("size", [10 * 1024, 10 * 1024 + 1, 200_000])
def test_large_results_lie_in_files(size: int, tmp_path: Path) -> None:
    text = ("đây là " * size)[: size // 2] + "!" * size
    text = text.encode()[:size].decode("utf-8", "ignore").ljust(size, "!")
    text = text.encode()[:size].decode("utf-8", "ignore")
    size = len(text.encode())
    log = write(tmp_path / "log.jsonl", finished(1, content=text))
    assert_like_oracle(tmp_path / "store", log)
    row = result_of(tmp_path / "store", "toolu_1")
    assert row.content_size == size
    if size <= 10 * 1024:
        assert (row.content, row.file) == (text, None)
    else:
        assert row.content == text[:500]
        assert row.file is not None
        assert (tmp_path / "store" / row.file).read_text() == text


# -- lines too long to be held


def huge_result(tmp_path: Path, cap: int) -> tuple[Path, str]:
    """A log with a line of more than that many bytes, which is read in pieces."""
    text = 'a "line" đây 🎉\n' * ((cap + 200_000) // 28)
    log = write(tmp_path / "log.jsonl", [*finished(1, content=text), *finished(2)])
    assert log.stat().st_size > cap + 100_000
    return log, text


@pytest.fixture(params=[1 << 20, *only_deep(CAP)])
def cap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Lines are too long sooner than they are, so that a huge one is less work to read."""
    defaults = LineSplitter.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "cap", request.param)
    return request.param


def test_a_result_in_a_line_too_long_to_be_held(cap: int, tmp_path: Path) -> None:
    log, text = huge_result(tmp_path, cap)
    assert_like_oracle(tmp_path / "s", log)
    row = result_of(tmp_path / "s", "toolu_1")
    assert row.content == text[:500]
    assert (tmp_path / "s" / str(row.file)).read_text() == text
    assert spooled(tmp_path / "s") == []
    once = snapshot(tmp_path / "s")
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(log.read_bytes())
    ingest(tmp_path / "s", [copy])
    assert changes((dumped(tmp_path / "s")[:-1], {}), (once[0][:-1], {})) == []
    assert texts_of(tmp_path / "s") == once[1]
    assert spooled(tmp_path / "s") == []


class Death(BaseException):
    """Ends a run like a kill: nobody handles it."""


@pytest.mark.parametrize("moment", ["before the file is moved", *only_deep("before the commit")])
def test_killed_with_a_long_line_on_its_way(
    moment: str, cap: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _ = huge_result(tmp_path, cap)
    ingest(tmp_path / "whole", [log])
    whole = snapshot(tmp_path / "whole")

    def dies(*_: object) -> None:
        raise Death

    with monkeypatch.context() as patch:
        if moment == "before the commit":
            patch.setattr(Batch, "apply", dies)
        else:
            patch.setattr(DeltaFiles, "carry_out", dies)
        with pytest.raises(Death):
            ingest(tmp_path / "s", [log])
    assert len(spooled(tmp_path / "s")) == 1
    ingest(tmp_path / "s", [log])
    assert changes(snapshot(tmp_path / "s"), whole) == []
    assert spooled(tmp_path / "s") == []


def test_a_delta_in_a_line_too_long_to_be_held(tmp_path: Path) -> None:
    """Its size is known, its text is not kept."""
    talk, size = Talk(), 9 << 20
    lines = [talk.start(1, 0), talk.begin(1, 10, TEXT), talk.text(1, 20, "before ")]
    lines += [talk.text(1, 30, "x" * size), talk.text(1, 40, " after"), talk.end(1, 50)]
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", [*lines, talk.stop(1, 60)])])
    (block,) = [row for row in dumped(tmp_path / "s") if row["kind"] == "block"]
    assert (block["delta_count"], block["sha256"], block["is_complete"]) == (3, None, True)
    assert block["total_bytes"] == size + len("before  after")
    assert (tmp_path / "s" / block_path(SID, "m1", 0)).read_text() == "before  after"
    assert dumped(tmp_path / "s")[-1]["bad_lines"] == 0


def result_of(data_dir: Path, tool_use_id: str) -> read.ResultRow:
    conn = db.open_reading(data_dir)
    try:
        row = read.result(conn, tool_use_id)
    finally:
        conn.close()
    assert row is not None
    return row


def spooled(data_dir: Path) -> list[str]:
    """What lies in the folder for texts on their way."""
    return [path.name for path in (data_dir / "spool").glob("*")]


# -- when each delta came


def delta_log(data_dir: Path, flow_id: str, index: int) -> tuple[list[tuple[int, bytes]], int]:
    """(deltas, blob) of each chunk, and the bytes of them all."""
    conn = db.open_reading(data_dir)
    try:
        where = "WHERE flow_id = ? AND block_index = ? ORDER BY chunk"
        sql = f"SELECT deltas, data FROM delta_log {where}"
        rows = conn.execute(sql, (flow_id, index)).fetchall()
    finally:
        conn.close()
    return rows, sum(len(data) for _, data in rows)


def told(count: int, rng: random.Random) -> list[tuple[int, str]]:
    """(ms, text) of deltas as a model writes them."""
    at, found = 1000, list[tuple[int, str]]()
    for _ in range(count):
        at += rng.choice((0, 3, 17, 24, 31, 38, 55, 160))
        found.append((at, rng.choice(("the ", "đây", "\n    return ", "x", "", "日本 🎉 "))))
    return found


@pytest.mark.parametrize(
    ("count", "batch"),
    turns([1, CHUNK_DELTAS - 1, CHUNK_DELTAS, CHUNK_DELTAS + 1, 1200], [64, 10_000]),
)
def test_the_log_of_deltas_says_when_each_came(count: int, batch: int, tmp_path: Path) -> None:
    deltas = told(count, random.Random(count))
    talk = Talk()
    lines = [talk.start(1, 0), talk.begin(1, 10, TEXT)]
    lines += [talk.text(1, ms, text) for ms, text in deltas]
    log = write(tmp_path / "log.jsonl", [])
    for start in range(0, len(lines), max(batch, count // 4)):
        with log.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines[start : start + batch]))
            file.flush()
        ingest(tmp_path / "s", [log])
        if batch < count // 4:
            break
    kept = min(len(lines), len(log.read_bytes().splitlines())) - 2
    rows, _ = delta_log(tmp_path / "s", "m1", 0)
    found = [entry for _, data in rows for entry in decode_tail(data, "m1")]
    assert [(e.flow, e.time, e.chars) for e in found] == [
        ("m1", (START + ms) / 1000, len(text)) for ms, text in deltas[:kept]
    ]
    assert [e.count for e in found] == list(range(2, kept + 2))
    assert [deltas for deltas, _ in rows] == [
        min(CHUNK_DELTAS, kept - at) for at in range(0, kept, CHUNK_DELTAS)
    ]


def test_a_log_of_deltas_is_small(tmp_path: Path) -> None:
    """design.md 4: less than 6 bytes for each delta of a long block."""
    talk = Talk()
    lines = [talk.start(1, 0), talk.begin(1, 10, TEXT)]
    lines += [talk.text(1, ms, text) for ms, text in told(2000, random.Random(1))]
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", lines)])
    rows, size = delta_log(tmp_path / "s", "m1", 0)
    assert sum(count for count, _ in rows) == 2000
    assert size < 6 * 2000


def test_the_log_of_deltas_that_came_in_another_order(tmp_path: Path) -> None:
    """In arrival order, under the flow each was written under."""
    talk = Talk()
    lines = [talk.start(1, 0), talk.begin(1, 10, TEXT), talk.start(2, 20)]
    lines += [talk.text(1, 30, "b", count=8), talk.text(1, 31, "a", count=7)]
    lines += [talk.text(1, 32, "cc", flow="m2", count=5)]
    ingest(tmp_path / "s", [write(tmp_path / "log.jsonl", lines)])
    rows, _ = delta_log(tmp_path / "s", "m1", 0)
    found = [entry for _, data in rows for entry in decode_tail(data, "m1")]
    assert [(e.flow, e.count, e.chars) for e in found] == [("m1", 8, 1), ("m1", 7, 1), ("m2", 5, 2)]
    assert (tmp_path / "s" / block_path(SID, "m1", 0)).read_text() == "abcc"
