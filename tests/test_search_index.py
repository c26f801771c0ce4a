"""The index against the raw log; slices, kills, repairs, what leaves it, and its budget."""

import asyncio
import os
import random
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.config import Search
from agentmon.core.health import Limits
from agentmon.engine import chores, indexing
from agentmon.engine.ingest import Ingestion
from agentmon.engine.live import Live
from agentmon.store import (
    db,
    read_search,
    search_db,
    search_find,
    search_index,
    search_queue,
    search_volumes,
)
from agentmon.store.deltas import block_path
from agentmon.store.search_match import expression
from agentmon.store.search_query import parse
from tests.deep import examples, only_deep
from tests.demo_store import demo_store
from tests.differential import ingest
from tests.generate import joined, scenario
from tests.scripted import scripted
from tests.searched import LIMITS, Text, having, index, places, texts_of
from tests.test_crash import DEFECTS

DEMO = Path(__file__).parents[1] / "agentmon" / "demo.jsonl"


def some_words(texts: list[Text], count: int, rng: random.Random) -> list[str]:
    """Words of the log, rare and common ones, that SQLite's old Unicode tables know as well."""
    every = sorted({w for text in texts for w in text.words if w.isascii() and len(w) < 64})
    return rng.sample(every, min(count, len(every)))


def store_of(folder: Path, lines: list[bytes]) -> Path:
    log = folder / "log.jsonl"
    log.write_bytes(joined(lines))
    ingest(folder / "store", [log])
    return folder / "store"


@pytest.mark.parametrize("defects", [DEFECTS, *only_deep({})], ids=["damaged", "sound"])
def test_hits_are_where_the_words_are_in_the_raw_log(
    tmp_path: Path, defects: dict[str, float]
) -> None:
    lines = scenario(random.Random(5), **defects)
    data_dir = store_of(tmp_path, lines)
    texts = texts_of([tmp_path / "log.jsonl"])
    index(data_dir)
    rng = random.Random(6)
    words = some_words(texts, 80, rng)
    assert len(words) > 8
    for word in words:
        assert places(data_dir, word) == having(texts, word), word
    for _ in range(40):
        two = rng.choice([text.words for text in texts if text.words])
        pair = rng.choice(two), rng.choice(two)
        if all(word.isascii() and len(word) < 64 for word in pair):
            assert places(data_dir, " ".join(pair)) == having(texts, *pair), pair
    assert places(data_dir, "session:5") | places(data_dir, "!session:5") == having(texts)


def test_phrases_starts_and_absent_words(tmp_path: Path) -> None:
    demo_store(tmp_path)
    texts = texts_of([DEMO])
    index(tmp_path)
    rng = random.Random(7)
    for text in rng.sample([text for text in texts if len(text.words) > 4], 15):
        at = rng.randrange(len(text.words) - 2)
        three = text.words[at : at + 3]
        if not all(word.isascii() for word in three):
            continue
        among = {t.place for t in texts if f" {' '.join(three)} " in f" {' '.join(t.words)} "}
        assert places(tmp_path, f'"{" ".join(three)}"') == among
        start = three[0][:3]
        starting = {t.place for t in texts if any(w.startswith(start) for w in t.words)}
        assert starting <= places(tmp_path, f"{start}*")  # parts of camelCase words begin so too
        without = having(texts, three[0]) - having(texts, three[1])
        assert places(tmp_path, f"{three[0]} !{three[1]}") <= without
    assert places(tmp_path, "!nowhere9z") == having(texts)


@settings(max_examples=examples(2, 20))
@given(seed=st.integers(0, 1 << 20), data=st.data())
def test_in_slices_it_becomes_what_a_rebuilt_one_is(
    seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("slices")
    rng = random.Random(seed)
    lines = scenario(rng, **DEFECTS)
    log, data_dir = folder / "log.jsonl", folder / "store"
    log.touch()
    cuts = data.draw(st.lists(st.integers(0, len(lines)), max_size=4).map(sorted))
    for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        with log.open("ab") as file:
            file.write(joined(lines[start:end]))
        ingest(data_dir, [log])
        with search_index.indexing(data_dir, LIMITS) as indexer:
            for _ in range(data.draw(st.integers(0, 3))):
                indexer.step()
    index(data_dir)
    words = some_words(texts_of([log]), 25, rng)
    grown = {word: places(data_dir, word) for word in words}
    search_index.rebuild(data_dir, LIMITS)
    index(data_dir)
    assert {word: places(data_dir, word) for word in words} == grown
    main = db.open_reading(data_dir)
    conn = sqlite3.connect(search_db.path(data_dir))
    alive = conn.execute("SELECT kind, owner, number FROM docs WHERE kind > 0").fetchall()
    assert len(alive) == len(set(alive)) == len(places(data_dir, "!nowhere9z"))
    main.close()
    conn.close()


CHILD = """
import sys
from pathlib import Path
from agentmon.config import Search
from agentmon.store import search_index
search_index.STEP_DOCS = 8
with search_index.indexing(Path(sys.argv[1]), Search()) as indexer:
    while indexer.step():
        print("step", flush=True)
print("done", flush=True)
"""


@pytest.mark.parametrize("kills", [[2], *only_deep([1, 2, 3])])
def test_killed_while_it_indexes_it_goes_on(kills: list[int], tmp_path: Path) -> None:
    demo_store(tmp_path)
    texts = texts_of([DEMO])
    rng = random.Random(8)
    for steps in kills:
        with scripted(CHILD, tmp_path) as child:
            for _ in range(steps):
                assert child.line() == b"step\n"
            child.process.kill()  # SIGKILL, somewhere in the next step
            child.process.wait()
    index(tmp_path)
    for word in some_words(texts, 40, rng):
        assert having(texts, word) <= places(tmp_path, word), word
    assert places(tmp_path, "!nowhere9z") == having(texts)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    demo_store(tmp_path)
    index(tmp_path)
    return tmp_path


def changed(data_dir: Path, *statements: str) -> None:
    conn = db.create(data_dir)
    with db.transaction(conn):
        for statement in statements:
            conn.execute(statement)
    conn.close()


def test_a_repaired_text_is_indexed_anew(demo: Path) -> None:
    conn = db.create(demo)
    flow_id, at, sid = conn.execute(
        "SELECT flow_id, block_index, sid FROM content_blocks WHERE block_type = 'text' LIMIT 1"
    ).fetchone()
    conn.close()
    text = "quite another zebraword"
    (demo / block_path(sid, flow_id, at)).write_text(text)
    changed(
        demo,
        f"UPDATE content_blocks SET total_bytes = {len(text)}, stored_bytes = {len(text)},"
        f" revision = 1 WHERE flow_id = '{flow_id}' AND block_index = {at}",
        f"INSERT INTO search_queue (kind, owner, number) VALUES (2, '{flow_id}', {at})",
    )
    before = len(places(demo, "!nowhere9z"))
    index(demo)
    assert places(demo, "zebraword") == {("block", flow_id, at)}
    assert len(places(demo, "!nowhere9z")) == before


def test_what_is_gone_from_the_store_is_not_found_and_cleaned(demo: Path) -> None:
    everything = places(demo, "!nowhere9z")
    changed(demo, "DELETE FROM tool_results")
    left = places(demo, "!nowhere9z")
    assert left == {place for place in everything if place[0] != "result"}
    conn = sqlite3.connect(search_db.path(demo))
    (alive,) = conn.execute("SELECT COUNT(*) FROM docs WHERE kind > 0").fetchone()
    assert alive == len(left)


def test_a_session_is_forgotten(demo: Path) -> None:
    conn = db.open_reading(demo)
    (sid,) = conn.execute("SELECT sid FROM prompts LIMIT 1").fetchone()
    conn.close()
    of_it = places(demo, f"session:{sid}")
    rest = places(demo, f"!session:{sid}")
    assert of_it
    assert rest
    search_index.forget(demo, [sid])
    conn = sqlite3.connect(search_db.path(demo))
    match = expression(parse(f"session:{sid}"))
    for (volume,) in conn.execute("SELECT volume FROM volumes").fetchall():
        table = search_db.words(volume)
        # its words leave the disk with the volume that is made anew
        assert not conn.execute(
            f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (match,)
        ).fetchall()
    conn.close()
    changed(demo, f"DELETE FROM messages WHERE sid = '{sid}'",
            f"DELETE FROM prompts WHERE sid = '{sid}'",
            f"DELETE FROM tool_results WHERE sid = '{sid}'")  # fmt: skip
    index(demo)
    assert places(demo, "!nowhere9z") == rest


def test_a_restored_session_is_found_again(demo: Path) -> None:
    conn = db.create(demo)
    (sid,) = conn.execute("SELECT sid FROM prompts LIMIT 1").fetchone()
    before = places(demo, f"session:{sid}")
    search_index.forget(demo, [sid])
    with db.transaction(conn):
        search_queue.enqueue_session(conn, sid)
    conn.close()
    index(demo)
    assert places(demo, f"session:{sid}") == before


def test_the_oldest_leave_first_when_the_budget_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_volumes, "FULL", 20)
    demo_store(tmp_path)
    index(tmp_path)
    conn = sqlite3.connect(search_db.path(tmp_path))
    whole = search_db.size(conn)
    (volumes,) = conn.execute("SELECT COUNT(*) FROM volumes").fetchone()
    assert volumes > 2
    newest = conn.execute("SELECT docid FROM docs ORDER BY docid DESC LIMIT 20").fetchall()
    conn.close()
    everything = places(tmp_path, "!nowhere9z")
    small = Search(max_size=whole * 2 // 3)
    search_index.rebuild(tmp_path, small)
    index(tmp_path, small)
    conn = sqlite3.connect(search_db.path(tmp_path))
    assert search_db.size(conn) <= small.max_size
    kept = {docid for (docid,) in conn.execute("SELECT docid FROM docs")}
    assert {docid // 64 for (docid,) in newest} <= {docid // 64 for docid in kept}
    conn.close()
    assert places(tmp_path, "!nowhere9z", small) < everything


def test_an_unreadable_index_and_one_of_another_store_are_made_anew(demo: Path) -> None:
    everything = places(demo, "!nowhere9z")
    search_db.path(demo).write_bytes(b"no database at all" * 999)
    index(demo)
    assert places(demo, "!nowhere9z") == everything
    changed(demo, "UPDATE schema_version SET applied_at = applied_at + 1")
    index(demo)
    assert places(demo, "!nowhere9z") == everything
    search_db.remove(demo)
    index(demo)
    assert places(demo, "!nowhere9z") == everything
    assert stat.S_IMODE(os.stat(search_db.path(demo)).st_mode) == 0o600


def test_a_trimmed_queue_keeps_its_numbers(demo: Path) -> None:
    conn = db.create(demo)
    (last,) = conn.execute("SELECT MAX(seq) FROM search_queue").fetchone()
    with db.transaction(conn):
        search_queue.trim(conn, last)
    assert conn.execute("SELECT seq FROM search_queue").fetchall() == [(last,)]
    conn.close()
    with search_index.indexing(demo, LIMITS) as indexer:
        assert indexer.step() == 0
        assert indexer.left() == 0


def test_a_store_of_before_search_is_indexed_whole(tmp_path: Path) -> None:
    demo_store(tmp_path)
    changed(tmp_path, "DELETE FROM search_queue")
    index(tmp_path)
    assert places(tmp_path, "!nowhere9z") == having(texts_of([DEMO]))


def test_many_texts_of_one_moment_have_their_places(tmp_path: Path) -> None:
    conn = search_db.open_writing(tmp_path)
    with db.transaction(conn):
        volumes = search_volumes.Volumes(conn, 1 << 30)
        for start in range(0, 600, 100):
            volumes.add(
                [
                    search_volumes.Doc((2, f"m{n}", 0), time, "word", "zall")
                    for n, time in zip(
                        range(start, start + 100),
                        [5.0, float("nan"), -1.0, 1e300] * 25,
                        strict=True,
                    )
                ]
            )
    (count,) = conn.execute("SELECT COUNT(*) FROM docs WHERE kind = 2").fetchone()
    assert count == 600
    table = search_db.words(1)
    match = f"SELECT COUNT(*) FROM {table} WHERE {table} MATCH 'word'"
    assert conn.execute(match).fetchone() == (600,)
    conn.close()


def test_queries_are_served_by_indexes(demo: Path) -> None:
    main, conn = db.open_reading(demo), search_db.open_reading(demo)
    assert conn is not None
    plans: list[str] = []
    for reader, sql, args in [
        *((main, sql, (*start, 9)) for sql, start in search_index.SCANS.values()),
        (main, search_index.QUEUE, (0, 9)),
        (conn, search_find.DOC, (1,)),
        (conn, search_volumes.KNOWN, (1,)),
        (main, read_search.BLOCK, ("", 0)),
        (main, read_search.RESULT, ("",)),
        (main, read_search.PROMPT, ("", 0)),
        (main, read_search.ROUND_NUMBER, ("", "", "")),
        (
            conn,
            search_find.FIND.format(score="", table=search_db.words(1), since=" AND rowid >= ?"),
            ('"a"', 1),
        ),
    ]:
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}", args)]
        plans += plan
        scans = [line for line in plan if line.startswith("SCAN") and "VIRTUAL" not in line]
        assert not scans, (sql, plan)
        assert not any("TEMP B-TREE" in line for line in plan), (sql, plan)
    assert any("VIRTUAL TABLE INDEX" in line for line in plans)
    main.close()
    conn.close()


def test_ingestion_names_each_whole_text_once_or_twice(tmp_path: Path) -> None:
    """The queue is all that search costs the writer."""
    with Ingestion(tmp_path) as run:
        run.read_all([str(DEMO)])
        (rows,) = run.conn.execute("SELECT COUNT(*) FROM search_queue").fetchone()
        texts = len(texts_of([DEMO]))
        assert texts <= rows <= 4 * texts


async def test_a_running_agentmon_keeps_the_index_and_drops_what_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(indexing, "EVERY", 0.01)
    monkeypatch.setattr(indexing, "SHARE", 1.0)
    monkeypatch.setattr(indexing, "TRIM", 1)
    log, data_dir = tmp_path / "log.jsonl", tmp_path / "store"
    lines = DEMO.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) // 2]))
    feed = Live(data_dir, [str(log)], Limits())
    await feed.start()
    try:
        await until_found(data_dir, having(texts_of([log])))
        with log.open("ab") as file:
            file.write(b"".join(lines[len(lines) // 2 :]))
        await until_found(data_dir, having(texts_of([DEMO])))
        while await feed.query(queued) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    finally:
        await feed.stop()


def queued(conn: sqlite3.Connection) -> int:
    (count,) = conn.execute("SELECT COUNT(*) FROM search_queue").fetchone()
    return count


async def until_found(data_dir: Path, wanted: set[tuple[object, ...]]) -> None:
    """The test's own limit of time is what ends this where it never comes true."""
    while not db.database(data_dir).exists() or places(data_dir, "!nowhere9z") != wanted:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
