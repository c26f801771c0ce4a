"""Finds what an endpoint lacks and sends it: once, or as rounds finish.

A round is exported once it is over, all its subagents rest, and nothing was added to it for
`SETTLE` seconds, since a notification of a background task may go on with it. What comes still
later (a call that returns at last) is sent when it is there, below what was sent before.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from agentmon.report.otel import totals
from agentmon.report.otel.names import NAMES, Version
from agentmon.report.otel.sending import Sender
from agentmon.report.otel.spans import Measure, Span, Spans
from agentmon.report.otel.state import Done, State
from agentmon.report.otel.texts import FullTexts, Texts
from agentmon.report.roundreading import SessionReader
from agentmon.report.roundtree import RoundTree
from agentmon.report.texts import TextReader
from agentmon.store import db, read_exports

BATCH = 512
"""Spans sent at once, about: a round is not divided."""

BATCH_BYTES = 4_000_000
"""Characters of attributes sent at once, about."""

SETTLE = 5.0
"""Seconds without news after which a finished round is exported."""

REST = 600.0
"""The same while a subagent of it was last heard of at work: it may have died unheard."""

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at an endpoint that does not answer, at most."""

LOOK = 0.5
"""Seconds between two looks at the store while following."""


class Wanted(Struct, frozen=True):
    """What is exported, and how it is called."""

    version: Version = "0.1"
    sid: str | None = None
    since: float = 0.0
    with_content: bool = False
    redact: Callable[[str], str] = str


class Summary(Struct):
    """What a pass did. `waiting` are rounds that run, `settling` those that have just ended."""

    rounds: int = 0
    spans: int = 0
    waiting: int = 0
    settling: int = 0
    known: int = 0
    failure: str = ""


class _Batch(Struct):
    spans: list[tuple[Any, Span]] = []
    done: list[Done] = []
    measures: list[Measure] = []
    size: int = 0


class Exporter:
    """Sends to one endpoint. `now`: epoch seconds."""

    def __init__(
        self, data_dir: Path, state: State, sender: Sender, wanted: Wanted,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._data_dir = data_dir
        self._state = state
        self._sender = sender
        self._wanted = wanted
        self._now = now
        self._seen: dict[str, str] = {}

    def run(self, conn: sqlite3.Connection) -> Summary:
        """One pass over what has changed since the last one. Raises StoreError."""
        summary = Summary()
        try:
            if not self._pass(conn, summary):
                self._seen.clear()
            elif self._state.is_due:
                self._tell_totals(summary)
        except sqlite3.Error as problem:
            self._seen.clear()
            raise db.StoreError(db.cannot(self._data_dir, "read", problem)) from problem
        return summary

    def _pass(self, conn: sqlite3.Connection, summary: Summary) -> bool:
        """Sends what is new; False: the endpoint did not take it."""
        batch = _Batch()
        for sid, mark in self._changed(conn):
            open_before = summary.waiting + summary.settling
            for item in self._session(conn, sid, summary):
                _add(batch, *item)
                if len(batch.spans) >= BATCH or batch.size >= BATCH_BYTES:
                    if not self._send(batch, summary):
                        return False
                    batch = _Batch()
            if summary.waiting + summary.settling == open_before:
                self._seen[sid] = mark
        return self._send(batch, summary)

    def _changed(self, conn: sqlite3.Connection) -> Iterator[tuple[str, str]]:
        for session in list(read_exports.touched(conn, self._wanted.since)):
            is_wanted = self._wanted.sid in (None, session.sid)
            if is_wanted and self._seen.get(session.sid) != session.mark:
                yield session.sid, session.mark

    def _session(
        self, conn: sqlite3.Connection, sid: str, summary: Summary
    ) -> Iterator[tuple[Done, list[tuple[Any, Span]]]]:
        """The rounds of a session that have something new, with it."""
        known = self._state.marks(sid)
        marks = read_exports.round_marks(conn, sid)
        fresh = {one.round_id: one for one in marks if known.get(one.round_id) != one.mark}
        summary.known += len(marks) - len(fresh)
        if not fresh:
            return
        reader = SessionReader(conn, sid)
        texts = self._texts(conn)
        resource = self._sender.resource(reader.session, texts.told(reader.session.cwd))
        newest = marks[-1].round_id
        for row in reader.rounds():
            mark = fresh.get(row.round_id)
            if mark is None:
                continue
            tree = reader.tree(row) if mark.is_over else None
            if tree is None or not tree.is_over:
                summary.waiting += 1
                continue
            is_last = row.round_id == newest and reader.session.end_time is None
            if is_last and self._may_go_on(tree, reader.running, mark.last_time):
                summary.settling += 1
                continue
            had = self._state.spans(sid, row.round_id)
            spans = [
                span
                for span in Spans(tree, NAMES[self._wanted.version], texts).all()
                if span.span_id not in had
            ]
            every = had | {span.span_id for span in spans}
            yield (
                Done(sid, row.round_id, mark.mark, frozenset(every)),
                [(resource, span) for span in spans],
            )

    def _may_go_on(self, tree: RoundTree, running: set[str], last: float) -> bool:
        quiet = self._now() - last
        is_at_work = any(agent.agent_id in running for agent in tree.agents())
        return quiet < (REST if is_at_work else SETTLE)

    def _texts(self, conn: sqlite3.Connection) -> Texts:
        if not self._wanted.with_content:
            return Texts(self._wanted.redact)
        reader = TextReader(conn, self._data_dir)
        has_parts = NAMES[self._wanted.version].has_parts
        return FullTexts(self._wanted.redact, reader.block, reader.result, has_parts=has_parts)

    def _send(self, batch: _Batch, summary: Summary) -> bool:
        """Sends a batch and remembers it once it was taken."""
        if batch.spans and not self._sender.send_spans(batch.spans):
            summary.failure = f"did not take it: {self._sender.complaint}"
            return False
        known = list(self._state.series()) if batch.measures else []
        self._state.done(batch.done, totals.grown(known, batch.measures))
        summary.rounds += len({item.round_id for item in batch.done if item.spans})
        summary.spans += len(batch.spans)
        return True

    def _tell_totals(self, summary: Summary) -> None:
        names = NAMES[self._wanted.version]
        made = totals.metrics(list(self._state.series()), names)
        state = self._state
        if self._sender.send_metrics(made, state.instance, state.since, self._now()):
            state.told()
        else:
            summary.failure = f"did not take it: {self._sender.complaint}"


def _add(batch: _Batch, done: Done, spans: list[tuple[Any, Span]]) -> None:
    batch.done.append(done)
    batch.spans += spans
    for _, span in spans:
        batch.measures += span.measures
        batch.size += 200 + sum(len(v) for v in span.attributes.values() if isinstance(v, str))


def follow(
    run: Callable[[], Summary],
    has_changed: Callable[[], bool],
    tell: Callable[[Summary], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Exports again whenever the store has changed or a round may have settled; backs off from an
    endpoint that fails. Ends by an exception only (Ctrl+C)."""
    pause, due = 0.0, clock()
    while True:
        now = clock()
        if has_changed():
            due = min(due, now + pause)
        if now >= due:
            summary = run()
            tell(summary)
            pause = min(LONGEST_PAUSE, max(1.0, 2 * pause)) if summary.failure else 0.0
            wakes = pause if summary.failure else 1.0 if summary.settling else float("inf")
            due = clock() + wakes
        sleep(LOOK)
