"""What things take: the parts of the store, and each session's share of it.

Texts count as the file system has them, in whole clusters, since most are small. What a session
takes in the database is its share of the pages in use, by what its rows weigh.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from agentmon.store import db
from agentmon.store.retention import ledger, search

CLUSTER = 4096
"""Bytes that a file takes at least, and a folder."""


class Weight(Struct, frozen=True):
    """What a session's rows weigh, against those of others, and the bytes of its files."""

    rows: int
    files: int
    file_bytes: int


class Sizes(Struct, frozen=True):
    """Bytes of a store. `store` is what a budget bounds: pages in use, texts, and index."""

    database: int
    free_pages: int
    wal: int
    texts: int
    text_files: int
    archive: int
    archives: int
    base: int
    """Of the database, what an empty one takes: a page for each table and index."""
    search: int | None
    """The full text index, a file of its own; None: there is none."""

    @property
    def used(self) -> int:
        return self.database - self.free_pages

    @property
    def store(self) -> int:
        return self.used + self.texts + (self.search or 0)


_BLOCKS = f"""
SELECT COUNT(*), TOTAL(b.stored_bytes > 0),
       TOTAL((b.stored_bytes + {CLUSTER - 1}) / {CLUSTER} * {CLUSTER}),
       TOTAL(300 + 3 * b.delta_count + CASE WHEN b.uses_told THEN b.total_bytes ELSE 0 END)
FROM messages m LEFT JOIN content_blocks b USING (flow_id) WHERE m.sid = ?
"""
_RESULTS = f"""
SELECT TOTAL(file IS NOT NULL),
       TOTAL((file IS NOT NULL) * ((content_size + {CLUSTER - 1}) / {CLUSTER} * {CLUSTER})),
       TOTAL(200 + CASE WHEN file IS NULL THEN content_size ELSE 500 END)
FROM tool_results WHERE sid = ?
"""
_SMALL = """
SELECT (SELECT COUNT(*) FROM notices WHERE sid = ?1) * 300
     + (SELECT COUNT(*) FROM stream_log WHERE sid = ?1) * 400
     + (SELECT TOTAL(200 + LENGTH(text)) FROM prompts WHERE sid = ?1)
"""


def weight(conn: sqlite3.Connection, sid: str) -> Weight:
    """Of one session, by indexes only."""
    blocks, files, bytes_, rows = conn.execute(_BLOCKS, (sid,)).fetchone()
    results, result_bytes, result_rows = conn.execute(_RESULTS, (sid,)).fetchone()
    (small,) = conn.execute(_SMALL, (sid,)).fetchone()
    folders = bool(files or results) + bool(results)
    return Weight(
        int(500 + 300 * blocks + rows + result_rows + small),
        int(files + results),
        int(bytes_ + result_bytes + folders * CLUSTER),
    )


def weights(conn: sqlite3.Connection, rest: Callable[[], None] = lambda: None) -> dict[str, Weight]:
    """Of every session; `rest` is called between them."""
    found: dict[str, Weight] = {}
    for (sid,) in conn.execute("SELECT sid FROM sessions").fetchall():
        found[sid] = weight(conn, sid)
        rest()
    return found


def measure(conn: sqlite3.Connection, data_dir: Path, found: dict[str, Weight]) -> Sizes:
    """The parts of the store, with the weights of its sessions."""
    page, pages, free = (
        int(conn.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    archives = [path.stat().st_size for path in _archives(data_dir)]
    return Sizes(
        database=page * pages,
        free_pages=page * free,
        wal=_size(Path(f"{db.database(data_dir)}-wal")),
        texts=sum(one.file_bytes for one in found.values()),
        text_files=sum(one.files for one in found.values()),
        archive=sum(archives),
        archives=len(archives),
        base=page * _roots(conn),
        search=search.size(data_dir),
    )


def _roots(conn: sqlite3.Connection) -> int:
    return int(conn.execute("SELECT COUNT(*) FROM sqlite_master WHERE rootpage > 0").fetchone()[0])


def _archives(data_dir: Path) -> Iterator[Path]:
    folder = data_dir / ledger.FOLDER
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if ".tar." in path.name and path.is_file())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def shares(found: dict[str, Weight], sizes: Sizes) -> dict[str, int]:
    """Bytes of each session: its files, and its share of the database."""
    whole = sum(one.rows for one in found.values()) or 1
    rows = max(0, sizes.used - sizes.base)
    return {sid: one.file_bytes + rows * one.rows // whole for sid, one in found.items()}
