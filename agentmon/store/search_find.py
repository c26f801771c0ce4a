"""Where a query is found: the newest first, or the best first among the newest."""

import sqlite3
import time
from collections.abc import Iterator

from msgspec import Struct, field

from agentmon.store.read_search import Found, Place, look
from agentmon.store.search_db import docid_at, words
from agentmon.store.search_match import expression
from agentmon.store.search_query import Query

MOST_RANKED = 5_000
"""Newest hits among which the best are found."""

FIND = "SELECT rowid{score} FROM {table} WHERE {table} MATCH ?{since} ORDER BY rowid DESC"
DOC = "SELECT kind, owner, number FROM docs WHERE docid = ? AND kind > 0"


class Hits(Struct):
    """What was found. `dead` are docids whose text is gone from the store."""

    found: list[Found] = field(default_factory=list[Found])
    scores: list[float] = field(default_factory=list[float])
    """Of ranked hits: higher is better."""
    has_more: bool = False
    is_late: bool = False
    """Time was up before all volumes were searched."""
    dead: list[int] = field(default_factory=list[int])


def find(
    index: sqlite3.Connection,
    main: sqlite3.Connection,
    query: Query,
    *,
    now: float,
    limit: int,
    ranked: bool = False,
    deadline: float | None = None,
) -> Hits:
    """Up to `limit` hits; `deadline` (of `time.monotonic`) ends a search that takes too long.

    Whatever the query is: raises sqlite3.Error only where the index can't be read.
    """
    hits = Hits()
    if not query or limit < 1:
        return hits
    since = 0 if query.within is None else docid_at(now - query.within)
    index.execute("BEGIN")  # volumes come and go: all of this is one snapshot
    try:
        rows = _rows(index, query, since, ranked, deadline, hits)
        if ranked:
            _best(index, main, rows, limit, hits)
        else:
            _newest(index, main, rows, limit, hits)
    finally:
        index.execute("ROLLBACK")
    return hits


Row = tuple[int, float]


def _rows(
    index: sqlite3.Connection,
    query: Query,
    since: int,
    ranked: bool,
    deadline: float | None,
    hits: Hits,
) -> Iterator[Row]:
    """Docids and scores, the newest first."""
    match = expression(query)
    sql = "SELECT volume, last FROM volumes ORDER BY first DESC"
    for volume, last in index.execute(sql).fetchall():
        if last < since:
            break
        if deadline is not None and time.monotonic() > deadline:
            hits.is_late = True
            return
        table = words(volume)
        # a column's weight: what is said counts more than the parts of a name
        score = f", -bm25({table}, 1.0, 0.5, 0.0)" if ranked else ", 0.0"
        clause = " AND rowid >= ?" if since else ""
        args = (match, since) if since else (match,)
        yield from index.execute(FIND.format(table=table, score=score, since=clause), args)


def _place(index: sqlite3.Connection, docid: int) -> Place | None:
    return index.execute(DOC, (docid,)).fetchone()


def _newest(
    index: sqlite3.Connection, main: sqlite3.Connection, rows: Iterator[Row], limit: int, hits: Hits
) -> None:
    for docid, _ in rows:
        found = _look(index, main, docid, hits)
        if found is None:
            continue
        if len(hits.found) == limit:
            hits.has_more = True
            return
        hits.found.append(found)


def _best(
    index: sqlite3.Connection, main: sqlite3.Connection, rows: Iterator[Row], limit: int, hits: Hits
) -> None:
    ranked: list[tuple[float, int]] = []
    for docid, score in rows:
        if len(ranked) == MOST_RANKED:
            hits.has_more = True
            break
        ranked.append((score, docid))
    for score, docid in sorted(ranked, reverse=True):
        if len(hits.found) == limit:
            hits.has_more = True
            return
        found = _look(index, main, docid, hits)
        if found is not None:
            hits.found.append(found)
            hits.scores.append(score)


def _look(
    index: sqlite3.Connection, main: sqlite3.Connection, docid: int, hits: Hits
) -> Found | None:
    place = _place(index, docid)
    if place is None:
        return None  # a tombstone
    found = look(main, place)
    if found is None:
        hits.dead.append(docid)
    return found
