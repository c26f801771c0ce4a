"""Search as commands and the screen ask it: hits with the words around them."""

import sqlite3
import time
from itertools import islice
from pathlib import Path

from msgspec import Struct

from agentmon.config import Search
from agentmon.core.names import session_name
from agentmon.core.text import clean
from agentmon.store import db, search_db, search_find, search_index
from agentmon.store.read_search import Found, round_number, text_of
from agentmon.store.search_query import Query, finder, fold

SNIPPET = 160
"""Characters around what was found."""

_BEFORE = 40
_MOST_MATCHES = 200


class Hit(Struct):
    """A text in which the words are. `snippet` is clean and on one line; `matches` are (start, end)
    in it. `is_cut`: the text is longer than what is searched of it."""

    found: Found
    round_number: int | None
    snippet: str
    matches: list[tuple[int, int]]
    is_cut: bool
    score: float | None


class Answer(Struct):
    """`left`: about how many texts are not indexed yet, None where nobody knows."""

    hits: list[Hit]
    has_more: bool
    is_late: bool
    left: int | None
    took: float


def search(
    data_dir: Path,
    query: Query,
    limits: Search,
    *,
    now: float,
    limit: int = 50,
    ranked: bool = False,
    seconds: float = 5.0,
) -> Answer:
    """Searches for so many seconds at most. Raises StoreError, and sqlite3.Error where the index
    can't be read."""
    began = time.monotonic()
    main = db.open_reading(data_dir)
    try:
        index = search_db.open_reading(data_dir)
        if index is None:
            return Answer([], False, False, None, time.monotonic() - began)
        try:
            left = search_index.Indexer(data_dir, main, index, limits).left()
            found = search_find.find(
                index,
                main,
                query,
                now=now,
                limit=limit,
                ranked=ranked,
                deadline=began + seconds,
            )
            hits = [
                _hit(main, data_dir, one, query, limits, score)
                for one, score in zip(found.found, found.scores or [None] * limit, strict=False)
            ]
        finally:
            index.close()
    finally:
        main.close()
    if found.dead:
        search_index.bury(data_dir, found.dead)
    return Answer(hits, found.has_more, found.is_late, left, time.monotonic() - began)


def name_of(found: Found) -> str:
    """Whose text it is: what the board calls the session, and the subagent in it."""
    name = session_name(found.sid, found.cwd)
    inner = found.agent_kind or found.agent_id
    return f"{name} › {inner}" if found.agent_id else name


def place_of(hit: Hit) -> str:
    """Where it is: session, round, tool."""
    found = hit.found
    number = f"#{hit.round_number}" if hit.round_number is not None else ""
    words = [f"{found.sid[:8]}{number}", found.tool_name or ""]
    if found.kind == "result" and found.is_error:
        words.append("error")
    return "  ".join(filter(None, words))


def _hit(
    main: sqlite3.Connection,
    data_dir: Path,
    found: Found,
    query: Query,
    limits: Search,
    score: float | None,
) -> Hit:
    text = text_of(data_dir, found, limits.max_text)
    shown, matches = snippet(text, query, SNIPPET)
    number = round_number(main, found.sid, found.round_id)
    return Hit(found, number, shown, matches, found.bytes > limits.max_text, score)


def snippet(text: str, query: Query, width: int) -> tuple[str, list[tuple[int, int]]]:
    """The stretch of a text with the most different words of a query, on one clean line of about
    `width` characters, and where the words are in it."""
    folded = fold(text)
    pattern = finder(query, folded)
    start = 0
    if pattern is not None:
        found = islice(pattern.finditer(folded), _MOST_MATCHES)
        start = max(0, _densest([(m.start(), m.lastindex or 0) for m in found], width) - _BEFORE)
    piece = text[start : start + 2 * width]
    line = clean(" ".join(piece.split()), newline=False)
    is_whole = len(line) <= width and start + 2 * width >= len(text)
    line = line[:width]
    if start:
        # a word that was cut in two says nothing
        head, blank, rest = line.partition(" ")
        line = "…" + (rest if blank and len(head) < _BEFORE else line)
    if not is_whole:
        line += "…"
    if pattern is None:
        return line, []
    shown = fold(line)
    return line, [m.span() for m in pattern.finditer(shown)]


def _densest(found: list[tuple[int, int]], width: int) -> int:
    """Where a stretch begins that has the most different words; the first of those."""
    best, most = (found[0][0] if found else 0), 0
    for at, (start, _) in enumerate(found):
        words: set[int] = set()
        for place, word in found[at:]:
            if place - start > width // 2:
                break
            words.add(word)
        if len(words) > most:
            best, most = start, len(words)
    return best
