"""The index of `search` follows the store: what was queued, what a dropped volume left, and (for a
new index) everything, the newest first.

Each step is one transaction of `search.db` with the place it has come to, so a kill at any instant
leaves an index that goes on where it was. Whoever has time does steps; SQLite's own lock makes
them take turns. The store itself is only read.
"""

import contextlib
import json
import os.path
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from agentmon.config import Search
from agentmon.store import db, search_db, search_queue
from agentmon.store.read_search import Found, Place, look, text_of
from agentmon.store.search_db import docid_at, read_state, write_state
from agentmon.store.search_match import tags
from agentmon.store.search_queue import BLOCKS, PROMPTS, RESULTS
from agentmon.store.search_volumes import Doc, Volumes

STEP_DOCS = 256
STEP_BYTES = 1 << 20
"""Most of one step: some tens of milliseconds."""

_LAST = (1 << 63) - 1

SCANS: dict[int, tuple[str, list[Any]]] = {
    BLOCKS: (
        "SELECT flow_id, block_index, rowid FROM content_blocks WHERE rowid < ?"
        " ORDER BY rowid DESC LIMIT ?",
        [_LAST],
    ),
    RESULTS: (
        "SELECT tool_use_id, 0, rowid FROM tool_results WHERE rowid < ?"
        " ORDER BY rowid DESC LIMIT ?",
        [_LAST],
    ),
    PROMPTS: (
        "SELECT sid, ordinal, sid, ordinal FROM prompts WHERE (sid, ordinal) > (?, ?)"
        " ORDER BY sid, ordinal LIMIT ?",
        ["", -1],
    ),
}
"""For an index made anew, by kind: (owner, number, cursor…) behind a cursor; where it begins."""

QUEUE = "SELECT kind, owner, number, seq FROM search_queue WHERE seq > ? ORDER BY seq LIMIT ?"
_TODO = "SELECT kind, owner, number FROM todo LIMIT ?"
_DONE = "done"
_ANY_SIZE = 1 << 60


class Indexer:
    """Brings the index up to date, step by step. `main` and `conn` are used in one thread."""

    def __init__(
        self,
        data_dir: Path,
        main: sqlite3.Connection,
        conn: sqlite3.Connection,
        limits: Search,
    ) -> None:
        self.data_dir = data_dir
        self._main = main
        self._conn = conn
        self._limits = limits
        self.read_to = 0
        """The number in the queue up to which everything is indexed."""

    def close(self) -> None:
        """Closes the connection to the store; the one to the index is the caller's."""
        self._main.close()

    def step(self) -> int:
        """Looks at some more texts; how many, 0: there is nothing to do now.

        Raises sqlite3.Error (the index is busy or full), OSError (a text can't be read).
        """
        if db.are_texts_moving(self._main, self.data_dir) or self._is_done():
            return 0
        with db.transaction(self._conn):
            state = read_state(self._conn)
            if not self._fits(state):
                self._begin(state)
            count = self._advance(state)
        self._give_back()
        return count

    def begin(self) -> None:
        """Empties the index; steps make it anew."""
        with db.transaction(self._conn):
            self._begin({})

    def left(self) -> int:
        """About how many texts are not indexed yet."""
        state = read_state(self._conn)
        if not self._fits(state):
            state = {"seq": str(self._ends()[1])}
        main = self._main
        (count,) = main.execute(
            "SELECT COUNT(*) FROM search_queue WHERE seq > ?", (int(state["seq"]),)
        ).fetchone()
        (todo,) = self._conn.execute("SELECT COUNT(*) FROM todo").fetchone()
        count += todo
        for kind, (_, start) in SCANS.items():
            cursor = state.get(f"scan {kind}")
            if cursor != _DONE:
                count += self._rest(kind, json.loads(cursor) if cursor else start)
        return count

    def _rest(self, kind: int, cursor: list[Any]) -> int:
        if kind == PROMPTS:
            sql = "SELECT COUNT(*) FROM prompts WHERE (sid, ordinal) > (?, ?)"
        else:
            table = "content_blocks" if kind == BLOCKS else "tool_results"
            sql = f"SELECT COALESCE(MAX(rowid), 0) FROM {table} WHERE rowid < ?"
        return int(self._main.execute(sql, cursor).fetchone()[0])

    def read_by_all(self) -> int:
        """Up to where the queue can be trimmed."""
        return search_queue.read_by_all(self._main, self.read_to)

    # Whether this index is one of this store

    def _ends(self) -> tuple[int, int]:
        sql = "SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM search_queue"
        first, last = self._main.execute(sql).fetchone()
        return first, last

    def _fits(self, state: dict[str, str]) -> bool:
        """Not after the store was replaced, or where rows of the queue went unread."""
        if state.get("store") != self._store():
            return False
        first, last = self._ends()
        return int(state["seq"]) <= last and first <= int(state["seq"]) + 1

    def _store(self) -> str:
        (made,) = self._main.execute("SELECT MIN(applied_at) FROM schema_version").fetchone()
        return str(made)

    def _begin(self, state: dict[str, str]) -> None:
        Volumes(self._conn, self._limits.max_size).clear()
        state.clear()
        state.update({"store": self._store(), "seq": str(self._ends()[1]), "floor": "0"})
        for kind, (_, start) in SCANS.items():
            state[f"scan {kind}"] = json.dumps(start)
        for name, value in state.items():
            write_state(self._conn, name, value)

    def _is_done(self) -> bool:
        state = read_state(self._conn)
        if not self._fits(state):
            return False
        self.read_to = int(state["seq"])
        is_scanned = all(state.get(f"scan {kind}") == _DONE for kind in SCANS)
        is_told = self._conn.execute("SELECT 1 FROM todo LIMIT 1").fetchone() is None
        return is_scanned and is_told and self._ends()[1] == self.read_to

    # A step

    def _advance(self, state: dict[str, str]) -> int:
        """Texts of the first source that has some."""
        rows = self._main.execute(QUEUE, (int(state["seq"]), STEP_DOCS)).fetchall()
        if rows:
            done = self._take([row[:3] for row in rows], state)
            self.read_to = rows[done - 1][3]
            write_state(self._conn, "seq", self.read_to)
            return done
        todo = self._conn.execute(_TODO, (STEP_DOCS,)).fetchall()
        if todo:
            done = self._take(todo, state)
            sql = "DELETE FROM todo WHERE kind = ? AND owner = ? AND number = ?"
            self._conn.executemany(sql, todo[:done])
            return done
        for kind, (sql, start) in SCANS.items():
            cursor = state.get(f"scan {kind}") or json.dumps(start)
            if cursor == _DONE:
                continue
            found = self._main.execute(sql, (*json.loads(cursor), STEP_DOCS)).fetchall()
            if found:
                done = self._take([(kind, *row[:2]) for row in found], state)
                write_state(self._conn, f"scan {kind}", json.dumps(found[done - 1][2:]))
                return done
            write_state(self._conn, f"scan {kind}", _DONE)
        return 0

    def _take(self, places: list[Place], state: dict[str, str]) -> int:
        """Indexes the first of these places; how many were looked at, at least one."""
        volumes = Volumes(self._conn, self._limits.max_size)
        floor = int(state.get("floor", "0"))
        docs: dict[Place, Doc] = {}
        size = count = 0
        for place in places:
            count += 1
            found = look(self._main, place)
            if found is None:
                docs.pop(place, None)
                if (known := volumes.known(place)) is not None:
                    volumes.bury([known[0]])
            elif docid_at(found.time) >= floor:
                text = text_of(self.data_dir, found, self._limits.max_text)
                docs[place] = Doc(place, found.time, text, _tags(found))
                size += len(text)
            if size >= STEP_BYTES:
                break
        volumes.add(list(docs.values()))
        volumes.tidy()
        risen = volumes.shrink()
        if risen is not None:
            write_state(self._conn, "floor", risen)
        return count

    def _give_back(self) -> None:
        """Free pages, when they are many, in small steps."""
        (free,) = self._conn.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._conn.execute("PRAGMA page_count").fetchone()
        if free > 1024 and free > pages // 4:
            self._conn.execute("PRAGMA incremental_vacuum(512)").fetchall()


def _tags(found: Found) -> str:
    """A text is found by every name its agent has: product, id, type, and that of the board."""
    name = "" if found.agent_id else os.path.basename((found.cwd or "").rstrip("/"))
    names = [found.product, found.agent_id or "main", found.agent_kind or "", name]
    return tags(found.sid, names, found.tool_name, found.kind)


@contextlib.contextmanager
def indexing(
    data_dir: Path, limits: Search, *, busy: float = 5.0
) -> Generator[Indexer, None, None]:
    """An indexer with connections of its own. Raises StoreError, sqlite3.Error, OSError."""
    main = db.open_reading(data_dir)
    try:
        conn = search_db.open_writing(data_dir, busy=busy)
        try:
            yield Indexer(data_dir, main, conn, limits)
        finally:
            conn.close()
    finally:
        main.close()


def catch_up(
    data_dir: Path,
    limits: Search,
    seconds: float,
    tell: Callable[[int], None] | None = None,
) -> int:
    """Indexes for so many seconds at most; about how many texts are left. `tell` hears the same
    now and then. Raises what `indexing` raises."""
    end = time.monotonic() + seconds
    told = time.monotonic()
    with indexing(data_dir, limits) as indexer:
        while indexer.step():
            now = time.monotonic()
            if now >= end:
                break
            if tell is not None and now - told >= 0.5:
                told = now
                tell(indexer.left())
        return indexer.left()


def rebuild(data_dir: Path, limits: Search) -> None:
    """Empties the index, so that it is made anew. Raises what `indexing` raises."""
    with indexing(data_dir, limits) as indexer:
        indexer.begin()


def bury(data_dir: Path, docids: Iterable[int]) -> None:
    """Texts that were found but are gone from the store are not found again. Never fails: next
    time is as good."""
    with contextlib.suppress(sqlite3.Error, OSError):
        conn = search_db.open_writing(data_dir, busy=0.0)
        try:
            with db.transaction(conn):
                Volumes(conn, _ANY_SIZE).bury(docids)
        finally:
            conn.close()


def forget(data_dir: Path, sids: Iterable[str]) -> None:
    """Takes sessions out of the index, all or none of them; call it when their rows are gone.

    Volumes that had words of them are dropped, and what else was in there is indexed again, so that
    no word of theirs stays on the disk. Without it a hit without its row is just not shown.
    Raises sqlite3.Error, OSError.
    """
    if not search_db.path(data_dir).exists():
        return
    conn = search_db.open_writing(data_dir)
    try:
        with db.transaction(conn):
            volumes = Volumes(conn, _ANY_SIZE)
            for sid in sids:
                volumes.bury_session(sid)
            volumes.tidy(0.0)
    finally:
        conn.close()
