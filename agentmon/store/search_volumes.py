"""Texts go into the volumes of the index, and leave them: added, buried, moved out."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from zlib import crc32

from msgspec import Struct

from agentmon.store.read_search import Place
from agentmon.store.search_db import docid_at, size, words
from agentmon.store.search_match import tag
from agentmon.store.search_query import parts_of, tame

FULL = 25_000
"""Texts after which a volume is closed: a query for a common word or start reads one volume."""

SHARE = 8
"""Or when it has read so much of the budget: the oldest volume must be a small part of it."""

DEAD_SHARE = 0.25
"""Dead texts from which a volume is made anew."""

CREATE = (
    "CREATE VIRTUAL TABLE {table} USING fts5"
    "(text, parts, tags, content='', tokenize='unicode61 remove_diacritics 2')"
)
"""Without extra token characters: `snake_case`, `a.b.c` and `/usr/lib/x.py` are found whole, as
phrases, and by their parts too, which a longer token would hide. Of camelCase words, which are one
token, `parts` has the parts."""

KNOWN = "SELECT docid, mark, kind, owner, number FROM docs WHERE key = ? AND kind > 0"


_MIDDLE = "SELECT docid FROM docs WHERE docid BETWEEN ? AND ? ORDER BY docid LIMIT 1 OFFSET ?"


class Doc(Struct):
    """A text on its way into the index."""

    place: Place
    time: float
    text: str
    tags: str


class _Volume(Struct):
    volume: int
    first: int
    last: int
    docs: int
    dead: int
    bytes: int


def key_of(place: Place) -> int:
    kind, owner, number = place
    data = f"{kind} {number} {owner}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(data, digest_size=7).digest(), "big")


class Volumes:
    """All volumes, inside a transaction of the caller. `budget` is bytes."""

    def __init__(self, conn: sqlite3.Connection, budget: int) -> None:
        self._conn = conn
        self._budget = budget
        self._most_bytes = max(budget // SHARE, 1)
        sql = "SELECT volume, first, last, docs, dead, bytes FROM volumes ORDER BY first"
        self._all = [_Volume(*row) for row in conn.execute(sql)]

    def known(self, place: Place) -> tuple[int, int] | None:
        """(docid, mark) of a place that is indexed."""
        for docid, mark, *found in self._conn.execute(KNOWN, (key_of(place),)):
            if tuple(found) == place:
                return docid, mark
        return None

    def add(self, docs: Sequence[Doc]) -> None:
        """Adds texts that are new; those that are indexed as they are stay, others are buried."""
        rows: dict[int, list[tuple[int, str, str, str]]] = {}
        taken: dict[int, int] = {}
        for doc in sorted(docs, key=lambda doc: doc.time):
            mark = crc32(doc.text.encode("utf-8", "replace"))
            known = self.known(doc.place)
            if known is not None:
                if known[1] == mark:
                    continue
                self.bury([known[0]])
            base = docid_at(doc.time)
            docid = taken[base] = self._free(max(base, taken.get(base, -1) + 1))
            volume = self._volume_for(docid)
            volume.docs += 1
            volume.bytes += len(doc.text)
            volume.first, volume.last = min(volume.first, docid), max(volume.last, docid)
            text = tame(doc.text)
            rows.setdefault(volume.volume, []).append((docid, text, parts_of(text), doc.tags))
            entry = docid, *doc.place, key_of(doc.place), mark
            self._conn.execute("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?)", entry)
        for number, fresh in rows.items():
            # FTS5 writes a segment whenever a rowid is not above the last one
            fresh.sort()
            sql = f"INSERT INTO {words(number)} (rowid, text, parts, tags) VALUES (?, ?, ?, ?)"
            self._conn.executemany(sql, fresh)
        self._save()

    def _free(self, docid: int) -> int:
        """The next docid from here that no text, dead or alive, has."""
        sql = "SELECT docid FROM docs WHERE docid >= ? ORDER BY docid"
        for (found,) in self._conn.execute(sql, (docid,)):
            if found != docid:
                break
            docid += 1
        return docid

    def _volume_for(self, docid: int) -> _Volume:
        at = bisect_right(self._all, docid, key=lambda volume: volume.first) - 1
        if at < 0:
            oldest = self._all[0] if self._all else None
            if oldest is None or self._is_full(oldest):
                if oldest is not None:
                    self._close(oldest)
                return self._new(docid, 0)
            return oldest
        volume = self._all[at]
        if docid > volume.last and self._is_full(volume):
            self._close(volume)
            return self._new(docid, at + 1)
        return volume

    def _is_full(self, volume: _Volume) -> bool:
        return volume.docs >= FULL or volume.bytes >= self._most_bytes

    def _close(self, volume: _Volume) -> None:
        """Little more will come: one sorted list is faster than the several that grew."""
        table = words(volume.volume)
        self._conn.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")

    def _new(self, docid: int, at: int) -> _Volume:
        number = max((volume.volume for volume in self._all), default=0) + 1
        self._conn.execute(CREATE.format(table=words(number)))
        volume = _Volume(number, docid, docid, 0, 0, 0)
        self._all.insert(at, volume)
        return volume

    def _save(self) -> None:
        sql = "INSERT OR REPLACE INTO volumes VALUES (?, ?, ?, ?, ?, ?)"
        rows = [(v.volume, v.first, v.last, v.docs, v.dead, v.bytes) for v in self._all]
        self._conn.executemany(sql, rows)

    # Leaving

    def bury(self, docids: Iterable[int]) -> None:
        """Texts that must not be found any more."""
        sql = "UPDATE docs SET kind = 0, owner = '', key = 0 WHERE docid = ? AND kind > 0"
        for docid in docids:
            if self._conn.execute(sql, (docid,)).rowcount:
                at = bisect_right(self._all, docid, key=lambda volume: volume.first) - 1
                self._all[max(at, 0)].dead += 1
        self._save()

    def bury_session(self, sid: str) -> None:
        match = f'tags : "{tag("session", sid)}"'
        for volume in list(self._all):
            table = words(volume.volume)
            sql = f"SELECT rowid FROM {table} WHERE {table} MATCH ?"
            self.bury([docid for (docid,) in self._conn.execute(sql, (match,)).fetchall()])

    def tidy(self, dead_share: float = DEAD_SHARE) -> None:
        """Makes volumes anew in which more than a share is dead, and parts those that older texts
        have swollen: their texts are asked for again."""
        for volume in list(self._all):
            is_swollen = volume.docs - volume.dead > 2 * FULL or volume.bytes > 2 * self._most_bytes
            if volume.dead <= volume.docs * dead_share and not is_swollen:
                continue
            span = volume.first, volume.last
            self._conn.execute(
                "INSERT OR IGNORE INTO todo SELECT kind, owner, number FROM docs"
                " WHERE docid BETWEEN ? AND ? AND kind > 0",
                span,
            )
            half = self._conn.execute(_MIDDLE, (*span, volume.docs // 2)).fetchone()
            at = self._all.index(volume)
            self._drop(volume)
            if is_swollen and half is not None and half[0] > volume.first:
                self._new(volume.first, at)
                self._new(half[0], at + 1)
                self._save()

    def shrink(self) -> int | None:
        """Drops the oldest volumes while the index is larger than its budget; the docid from which
        on texts stay, None: nothing had to go."""
        floor = None
        while self._all and size(self._conn) > self._budget:
            floor = self._all[0].last + 1
            self._drop(self._all[0])
        return floor

    def clear(self) -> None:
        for volume in list(self._all):
            self._drop(volume)
        for table in ("docs", "todo", "state"):
            self._conn.execute(f"DELETE FROM {table}")

    def _drop(self, volume: _Volume) -> None:
        self._all.remove(volume)
        self._conn.execute(
            "DELETE FROM docs WHERE docid BETWEEN ? AND ?", (volume.first, volume.last)
        )
        self._conn.execute(f"DROP TABLE {words(volume.volume)}")
        self._conn.execute("DELETE FROM volumes WHERE volume = ?", (volume.volume,))
