"""Verdicts over time: judged once a second, stored with their evidence when they change.

Before each judgement the process table is looked at: for death, and for what the processes of
silent agents and long tools do.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from agentmon.core.health import BYTE_DUE, Limits, ProcessFact, Verdict
from agentmon.report.board import Board, Thread
from agentmon.sources.procs import Asked, Details, Doing, Seen, Wanted
from agentmon.store import verdicts

Key: TypeAlias = tuple[str, str]
"""(sid, agent_id)."""

_NOT_RUNNING = frozenset({"ended"})

DETAILS_AFTER = 10.0
"""Seconds of silence, or of a running tool, from which on it is looked into what a process does."""

TOLD_AGAIN = 60.0
"""Seconds between two updates of the evidence of a verdict that goes on."""


class Judge:
    """Remembers which verdicts hold, and says what has to be written when they change."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[Key, Verdict] | None = None
        self._sampled: dict[Key, float] = {}
        """When what a process does was last put into the evidence of a verdict."""

    def pids(self, board: Board) -> Wanted:
        """What a look at the process table is to find out about the sessions on a board."""
        wanted = Wanted()
        families: dict[str, list[Thread]] = {}
        for thread in board.threads:
            families.setdefault(thread.row.sid, []).append(thread)
        for thread in board.threads:
            session, pid = thread.session, thread.session.pid
            if not thread.is_main or thread.row.phase in _NOT_RUNNING:
                continue
            if session.host is not None:
                continue  # its number names another process here, or none
            last = session.last_time or 0.0
            if pid is not None:
                details_from = _details_from(families[session.sid])
                wanted.named[session.sid] = Asked(pid, last, thread.proc_start, details_from)
            is_lost = thread.has_found_pid and thread.process is not None
            if session.agent == "codex" and (pid is None or is_lost):
                wanted.nameless[session.sid] = last
        return wanted

    def judge(
        self, board: Board, seen: Seen | None, now: float
    ) -> list[verdicts.Change | verdicts.Pid]:
        """What changed since the last judgement. `seen` None: nobody looked."""
        seen = seen or Seen()
        changes: list[verdicts.Change | verdicts.Pid] = [
            verdicts.Pid(sid, pid, now) for sid, pid in seen.found.items()
        ]
        before = self._open
        if before is None:
            before = {
                (thread.row.sid, thread.row.agent_id): thread.held
                for thread in board.threads
                if thread.held is not None
            }
        found: dict[Key, Verdict] = {}
        for thread in board.threads:
            key = thread.row.sid, thread.row.agent_id
            thread.process = _process(thread, seen.gone.get(thread.row.sid))
            thread.held = before.get(key)
            verdict = thread.verdict(now, self.limits)
            if verdict.word == "ok":
                continue
            found[key] = _with_evidence(verdict, thread, seen.details.get(thread.row.sid))
        changes += self._changes(before, found, now)
        self._open = found
        return changes

    def _changes(
        self, before: Mapping[Key, Verdict], after: Mapping[Key, Verdict], now: float
    ) -> Iterable[verdicts.Change]:
        for key, old in before.items():
            if not old.is_same(after.get(key)):
                self._sampled.pop(key, None)
                yield verdicts.Change(*key, old.word, old.since, until=now)
        for key, new in after.items():
            sampled = new.evidence.get("sampled_at")
            at = sampled if isinstance(sampled, float) else 0.0
            is_new = not new.is_same(before.get(key))
            if is_new or at - self._sampled.get(key, 0.0) >= TOLD_AGAIN:
                self._sampled[key] = at
                evidence = new.evidence
                yield verdicts.Change(
                    *key, new.word, new.since, evidence=evidence, goes_on=not is_new
                )


def _details_from(threads: Iterable[Thread]) -> float | None:
    """From when on it is wanted what the process of a session does: some seconds after the last
    byte where one is due, and after a call that runs."""
    starts: list[float] = []
    for thread in threads:
        starts += [call.called_at for call in thread.pending]
        if thread.row.phase in BYTE_DUE and thread.last is not None:
            starts.append(thread.last)
    return min(starts) + DETAILS_AFTER if starts else None


def _process(thread: Thread, fact: ProcessFact | None) -> ProcessFact | None:
    """A process that was found gone stays gone since then, for as long as it is missed."""
    if thread.row.phase in _NOT_RUNNING:
        return None
    known = thread.process
    return known if fact is not None and known is not None and known.pid == fact.pid else fact


def _with_evidence(verdict: Verdict, thread: Thread, details: Details | None) -> Verdict:
    """The same verdict with what else a person wants to know."""
    evidence = dict(verdict.evidence)
    evidence["said"] = {
        heard.kind: {"time": heard.time, "said": heard.said} for heard in thread.testimony
    }
    evidence["open_blocks"] = thread.open_blocks
    evidence["pending"] = [
        {"tool_use_id": c.tool_use_id, "tool_name": c.tool_name, "called_at": c.called_at}
        for c in thread.pending
    ]
    evidence["version"] = thread.session.version
    if details is not None:
        children = [_plain(child) for child in details.children]
        is_gone = verdict.word in ("orphaned", "dead")
        evidence["process_info"] = _plain(details.process)
        evidence["left_running" if is_gone else "children"] = children
        evidence["sampled_at"] = details.at
    return replace(verdict, evidence=evidence)


def _plain(doing: Doing) -> dict[str, object]:
    return msgspec.to_builtins(doing)
