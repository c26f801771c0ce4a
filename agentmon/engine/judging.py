"""Verdicts over time: judged once a second, stored with their evidence when they change."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from agentmon.core.health import Limits, ProcessFact, Verdict, Word
from agentmon.report.board import Board, Thread
from agentmon.store import verdicts

Key: TypeAlias = tuple[str, str]
"""(sid, agent_id)."""

_NOT_RUNNING = frozenset({"ended"})


class Judge:
    """Remembers which verdicts hold, and says what has to be written when they change."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[Key, Verdict] | None = None

    def pids(self, board: Board) -> dict[int, float]:
        """The processes worth looking at → when each was last heard from, by its own events."""
        return {
            thread.session.pid: thread.session.last_time or 0.0
            for thread in board.threads
            if thread.is_main and thread.session.pid and thread.row.phase not in _NOT_RUNNING
        }

    def judge(self, board: Board, gone: Iterable[ProcessFact], now: float) -> list[verdicts.Change]:
        """What changed since the last judgement."""
        missing = {fact.pid: fact for fact in gone}
        if self._open is None:
            self._open = dict(_stored(board))
        found: dict[Key, Verdict] = {}
        for thread in board.threads:
            thread.process = _process(thread, missing)
            verdict = thread.verdict(now, self._limits)
            if verdict.word != "ok":
                found[thread.row.sid, thread.row.agent_id] = verdict
        changes = list(_changes(self._open, found, now))
        self._open = found
        return changes


def _process(thread: Thread, missing: Mapping[int, ProcessFact]) -> ProcessFact | None:
    """A process that was found gone stays gone for as long as its session says nothing."""
    if thread.row.phase in _NOT_RUNNING:
        return None
    known, fact = thread.process, missing.get(thread.session.pid or -1)
    if fact is not None and known is not None and known.pid == fact.pid:
        return known
    return fact


def _stored(board: Board) -> Iterable[tuple[Key, Verdict]]:
    for (sid, agent_id), row in board.verdicts.items():
        evidence = msgspec.json.decode(row.evidence, type=dict[str, object])
        word = msgspec.convert(row.verdict, Word)
        yield (sid, agent_id), Verdict(word, row.since, evidence)


def _changes(
    before: Mapping[Key, Verdict], after: Mapping[Key, Verdict], now: float
) -> Iterable[verdicts.Change]:
    for key, old in before.items():
        new = after.get(key)
        if new is None or (new.word, new.since) != (old.word, old.since):
            yield verdicts.Change(*key, old.word, old.since, until=now)
    for key, new in after.items():
        old = before.get(key)
        if old is None or (new.word, new.since) != (old.word, old.since):
            yield verdicts.Change(*key, new.word, new.since, evidence=new.evidence)
