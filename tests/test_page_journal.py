"""A database as it was at any commit, whatever was written into the file since."""

import random
import sqlite3
from pathlib import Path

import pytest

from agentmon.store import db, page_journal
from agentmon.store.page_journal import Extent, Pages, PageWriter, touched_pages
from tests.deep import only_deep

Rows = list[tuple[object, ...]]


def opened(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    return conn


def rows(conn: sqlite3.Connection) -> Rows:
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return conn.execute("SELECT id, word, data FROM things ORDER BY id").fetchall()


def change(conn: sqlite3.Connection, rng: random.Random) -> None:
    with db.transaction(conn):
        for _ in range(rng.randint(1, 60)):
            word, data = str(rng.random()), rng.randbytes(rng.choice((10, 300, 9000)))
            conn.execute(
                "INSERT OR REPLACE INTO things VALUES (?, ?, ?)", (rng.randint(1, 400), word, data)
            )
        if rng.random() < 0.4:
            conn.execute("DELETE FROM things WHERE id % 7 = ?", (rng.randint(0, 6),))


@pytest.mark.parametrize("full", [40, *only_deep(1, 4000)])
def test_any_commit_comes_back(full: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`full`: however often the log is written back and begins again."""
    monkeypatch.setattr(page_journal, "FULL_WAL", full)
    rng = random.Random(full)
    source = tmp_path / "source.db"
    conn = opened(source)
    conn.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, word TEXT, data BLOB)")
    conn.execute("CREATE INDEX by_word ON things (word)")
    writer = PageWriter(conn, source, tmp_path)
    states: list[tuple[Extent, Rows]] = [(writer.extent, [])]
    for _ in range(30):
        for _ in range(rng.randint(0, 3)):
            change(conn, rng)
        states.append((writer.take(), rows(conn)))
    conn.close()
    writer.close()

    pages, target = Pages(tmp_path), tmp_path / "target.db"
    for _ in range(60):
        extent, expected = rng.choice(states)
        pages.put(target, extent)
        player = opened(target)
        assert rows(player) == expected
        for _ in range(rng.randint(0, 2)):
            change(player, rng)
        pages.forget(touched_pages(target))
        player.close()
    extent, expected = states[-1]
    pages.put(target, extent)
    assert pages.put(target, extent) == 0


def test_a_log_that_began_again_tells_nothing(tmp_path: Path) -> None:
    conn = opened(tmp_path / "a.db")
    conn.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, word TEXT, data BLOB)")
    assert touched_pages(tmp_path / "a.db") == {1, 2}
    conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    conn.execute("INSERT INTO things VALUES (1, '', '')")
    assert touched_pages(tmp_path / "a.db") is None
    conn.close()
    assert touched_pages(tmp_path / "a.db") is None
