"""Derives messages, work and decisions from tool calls: each call once per version of each rule.

Rules follow `search_queue`, as the index of search does; a new or changed rule first goes through
all calls that are there. Texts are read outside of the transaction; in it a page of calls is handed
to the rules, and their places move: after a kill at any instant the next step goes on there. Where
two processes derive, the second one finds the place moved, and drops its page.

The calls of sessions that cleanup took out are not gone through again; what was derived from them
stays.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from agentmon.collab.calls_seen import Call, Heard, Rule
from agentmon.collab.observed_agents import shown_name
from agentmon.core.text import one_line
from agentmon.logfile import log
from agentmon.store import db
from agentmon.store import read_whole_calls as read
from agentmon.store.read_whole_calls import NoticeRow, WholeCall

MOST_TEXT = 1 << 20
"""Bytes of a result that rules see; of arguments, sixteen times as many: half a JSON is none."""

PAGE = 256
"""Rows of the queue, or notices, of one step."""

CALLS = 64
"""Most calls of one transaction."""

BYTES = 4 << 20
"""Bytes of texts after which a transaction's calls are enough."""


class Place(Struct, frozen=True):
    """How far a rule is."""

    version: int
    read_to: int
    scanned_to: int | None
    heard_to: int


class _Page(Struct):
    """What a step hands out, and where the rules that share `before` are after it."""

    calls: list[Call]
    notices: list[Heard]
    before: Place
    after: Place
    looked_at: int


class Deriver:
    """Brings what is derived up to date, step by step. `conn` may write, and is used in one thread;
    it is the caller's."""

    def __init__(self, data_dir: Path, conn: sqlite3.Connection, rules: Sequence[Rule]) -> None:
        self._data_dir = data_dir
        self._conn = conn
        self._rules = {rule.name: rule for rule in rules}

    def step(self) -> int:
        """Goes through some more calls; how many rows were looked at, 0: there is nothing to do.

        Raises sqlite3.Error (busy for five seconds, full), OSError (a text can't be read).
        """
        if not self._rules or db.are_texts_moving(self._conn, self._data_dir):
            return 0
        places = self._places()
        if any(self._begins(rule, places.get(name)) for name, rule in self._rules.items()):
            self._begin()
            places = self._places()
        page = self._page(places)
        if page is None:
            return 0
        self._hand_out(page)
        return page.looked_at

    def left(self) -> int:
        """About how many rows are not gone through yet, by the rule that is furthest behind."""
        most = 0
        _, last = read.queue_ends(self._conn)
        for place in self._places().values():
            rest = max(0, last - place.read_to)
            if place.scanned_to is not None:
                sql = "SELECT COALESCE(MAX(rowid), 0) FROM content_blocks"
                rest += max(0, int(self._conn.execute(sql).fetchone()[0]) - place.scanned_to)
            most = max(most, rest)
        return most

    # -- places

    def _places(self) -> dict[str, Place]:
        sql = "SELECT name, version, read_to, scanned_to, heard_to FROM derivations"
        return {name: Place(*rest) for name, *rest in self._conn.execute(sql)}

    def _begins(self, rule: Rule, place: Place | None) -> bool:
        """A new rule, a newer one, or one for which rows of the queue went unread."""
        if place is None or place.version < rule.version:
            return True
        first, last = read.queue_ends(self._conn)
        return place.read_to > last or first > place.read_to + 1

    def _begin(self) -> None:
        """Rules begin with everything that is there; those that nobody has any more hold the queue
        up no longer."""
        conn = self._conn
        with db.transaction(conn):
            places = self._places()
            _, last = read.queue_ends(conn)
            for name in places.keys() - self._rules.keys():
                conn.execute("DELETE FROM derivations WHERE name = ?", (name,))
            for name, rule in self._rules.items():
                if self._begins(rule, places.get(name)):
                    version = max(rule.version, places[name].version if name in places else 0)
                    conn.execute(
                        "INSERT OR REPLACE INTO derivations VALUES (?, ?, ?, 0, 0)",
                        (name, version, last),
                    )

    def _move(self, before: Place, after: Place) -> list[Rule]:
        """Moves the rules that are at a place; which these were. In a transaction."""
        moved: list[Rule] = []
        for name, place in self._places().items():
            if place != before or name not in self._rules:
                continue
            self._conn.execute(
                "UPDATE derivations SET read_to = ?, scanned_to = ?, heard_to = ? WHERE name = ?",
                (after.read_to, after.scanned_to, after.heard_to, name),
            )
            moved.append(self._rules[name])
        return moved

    # -- a page

    def _page(self, places: dict[str, Place]) -> _Page | None:
        """Of the first place at which something is to be done. What comes now goes before what was
        there, so that a screen is not behind while a new rule goes through the past; what else was
        said comes last, since it may speak of calls."""
        for at in sorted(set(places.values()), key=lambda place: place.read_to):
            names = [name for name, place in places.items() if place == at]
            rules = [self._rules[name] for name in names if name in self._rules]
            # a newer agentmon has derived more of it than this one would
            rules = [rule for rule in rules if rule.version >= at.version]
            if rules:
                page = self._queued(at, rules) or self._scanned(at, rules) or self._heard(at, rules)
                if page is not None:
                    return page
        return None

    def _queued(self, at: Place, rules: Sequence[Rule]) -> _Page | None:
        limit = PAGE
        while True:
            named, last = read.queued_calls(self._conn, at.read_to, limit)
            if last == at.read_to:
                return None
            calls = self._calls(named, rules, CALLS if limit > 1 else None)
            if calls is not None:
                break
            limit = max(1, limit // 4)
        after = msgspec.structs.replace(at, read_to=last)
        return _Page(calls, [], at, after, last - at.read_to)

    def _scanned(self, at: Place, rules: Sequence[Rule]) -> _Page | None:
        if at.scanned_to is None:
            return None
        limit = read.MOST_BLOCKS
        while True:
            named, last = read.scanned_calls(self._conn, at.scanned_to, limit)
            calls = self._calls(named, rules, CALLS if limit > 1 else None)
            if calls is not None:
                break
            limit = max(1, limit // 4)
        after = msgspec.structs.replace(at, scanned_to=last)
        return _Page(calls, [], at, after, 1 if last is None else last - at.scanned_to)

    def _heard(self, at: Place, rules: Sequence[Rule]) -> _Page | None:
        rows = read.notices_after(self._conn, at.heard_to, PAGE)
        if not rows:
            return None
        heard = [_heard(row) for row in rows if any(rule.hears(row.name) for rule in rules)]
        after = msgspec.structs.replace(at, heard_to=rows[-1].notice_id)
        return _Page([], heard, at, after, len(rows))

    def _calls(
        self, named: read.Named, rules: Sequence[Rule], most: int | None
    ) -> list[Call] | None:
        """Those of the calls that some rule wants, whole; None: too many for one transaction."""
        wanted = [key for key, name in named if any(rule.wants(name) for rule in rules)]
        if most is not None and len(wanted) > most:
            return None
        calls: list[Call] = []
        size = 0
        for key in wanted:
            found = read.whole_call(self._conn, key)
            if found is None:
                continue
            calls.append(_call(self._data_dir, found))
            size += found.input_bytes + min(found.result_bytes, MOST_TEXT)
            if most is not None and size > BYTES and len(calls) < len(wanted):
                return None
        return calls

    def _hand_out(self, page: _Page) -> None:
        conn = self._conn
        with db.transaction(conn):
            for rule in self._move(page.before, page.after):
                for call in page.calls:
                    if rule.wants(call.name) and (call.is_over or rule.takes_open):
                        _try(conn, rule, call.tool_use_id, partial(rule.take, conn, call))
                for heard in page.notices:
                    if rule.hear is not None and rule.hears(heard.name):
                        _try(conn, rule, heard.name, partial(rule.hear, conn, heard))
                if rule.settle is not None:
                    _try(conn, rule, "settling", partial(rule.settle, conn))


def _try(conn: sqlite3.Connection, rule: Rule, what: str, work: Callable[[], None]) -> None:
    """A rule that fails at a call, against its promise, is passed over there: all others go on."""
    conn.execute("SAVEPOINT derived")
    try:
        work()
    except sqlite3.OperationalError:
        raise  # busy, full: it is not the rule
    except Exception:
        log.exception("%s failed at %s", rule.name, one_line(what, 80))
        conn.execute("ROLLBACK TO derived")
    conn.execute("RELEASE derived")


def _call(data_dir: Path, found: WholeCall) -> Call:
    return Call(
        tool_use_id=found.tool_use_id,
        name=found.name,
        input=_object(read.input_of(data_dir, found, 16 * MOST_TEXT), "text"),
        result=read.result_of(data_dir, found, MOST_TEXT),
        is_error=found.is_error,
        sid=found.sid,
        agent_id=found.agent_id,
        round_id=found.round_id,
        flow_id=found.flow_id,
        index=found.index,
        called_at=found.called_at,
        result_time=found.result_time,
        cwd=found.cwd,
        agent=shown_name(found.caller) or found.sid[:8],
        product=found.product,
        is_over=found.result_time is not None or found.no_result_at is not None,
    )


def _heard(row: NoticeRow) -> Heard:
    data = _object(row.data.encode("utf-8", "replace"), "text")
    return Heard(
        row.notice_id, row.name, data, row.sid, row.agent_id or None, row.time, row.cwd, row.product
    )


def _object(data: bytes, key: str) -> dict[str, Any]:
    """A JSON object; what is none is the whole text under a key."""
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return {key: data.decode("utf-8", "replace")} if data else {}


def catch_up(data_dir: Path, rules: Sequence[Rule], seconds: float | None = None) -> int:
    """Derives until all is done, or for so many seconds; about how many rows are left.

    Raises StoreError, sqlite3.Error, OSError.
    """
    conn = db.create(data_dir)
    try:
        deriver = Deriver(data_dir, conn, rules)
        end = None if seconds is None else time.monotonic() + seconds
        while deriver.step():
            if end is not None and time.monotonic() >= end:
                break
        return deriver.left()
    finally:
        conn.close()
