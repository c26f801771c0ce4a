"""The board: which agents there are, what each does, which tools are pending.

One snapshot, the same for the screen, `--once` and `--json`. Verdicts are judged against a "now"
that the caller gives (wall clock live, virtual clock in replay), so timers tick without a query.
"""

import json
import os.path
import sqlite3

from msgspec import Struct

from agentmon.core.health import Facts, Limits, PendingCall, ProcessFact, Verdict, judge
from agentmon.store import read


class Thread(Struct):
    """A line of the board: a session's main agent, or a subagent below it."""

    row: read.AgentRow
    session: read.SessionRow
    pending: list[read.PendingRow]
    process: ProcessFact | None = None

    @property
    def is_main(self) -> bool:
        return self.row.agent_id == ""

    @property
    def name(self) -> str:
        """The human name: the folder it works in; a subagent's task, or its id."""
        if not self.is_main:
            return self.row.title or self.row.agent_id
        cwd = self.session.cwd or ""
        return os.path.basename(cwd.rstrip("/")) or self.session.sid[:8]

    def facts(self) -> Facts:
        calls = [PendingCall(p.tool_use_id, p.tool_name, p.called_at) for p in self.pending]
        last = self.row.last_byte if self.row.last_byte is not None else self.session.last_time
        return Facts(
            phase=self.row.phase,
            phase_since=self.row.phase_since,
            last_byte=last,
            round_open=self.session.round_open,
            pending=calls,
            process=self.process,
        )

    def verdict(self, now: float, limits: Limits) -> Verdict:
        return judge(self.facts(), now, limits)


class Board(Struct):
    """A snapshot of everything the first look needs, newest session first."""

    threads: list[Thread]
    pending: list[read.PendingRow]
    verdicts: dict[tuple[str, str], read.VerdictRow] = {}
    """What was judged last, by (sid, agent_id)."""

    def thread(self, sid: str, agent_id: str = "") -> Thread | None:
        for thread in self.threads:
            if thread.row.sid == sid and thread.row.agent_id == agent_id:
                return thread
        return None


_GONE = ("orphaned", "dead")


def load(conn: sqlite3.Connection, *, since: float = 0.0, limit: int = 200) -> Board:
    """The board of sessions active since then; subagents that are over are left out."""
    gone: dict[str, ProcessFact] = {}
    held: dict[tuple[str, str], read.VerdictRow] = {}
    for verdict in read.open_verdicts(conn):
        held[verdict.sid, verdict.agent_id] = verdict
        if verdict.verdict in _GONE:
            evidence = json.loads(verdict.evidence)
            gone[verdict.sid] = ProcessFact(
                int(evidence.get("pid") or 0),
                float(evidence.get("gone_since") or verdict.since),
                str(evidence.get("process") or "no such process"),
            )
    pending = read.pending(conn)
    by_thread: dict[tuple[str, str], list[read.PendingRow]] = {}
    for call in pending:
        by_thread.setdefault((call.sid, call.agent_id or ""), []).append(call)
    threads: list[Thread] = []
    for session in read.sessions(conn, since=since, limit=limit):
        for row in read.agents(conn, session.sid):
            calls = by_thread.get((row.sid, row.agent_id), [])
            over = row.phase in ("idle", "ended") and not calls
            if row.agent_id and over:
                continue
            threads.append(Thread(row, session, calls, gone.get(row.sid)))
    shown = {(thread.row.sid, thread.row.agent_id): thread.row.phase for thread in threads}
    sids = {sid for sid, _ in shown}
    calls = [call for call in pending if call.sid in sids]
    # what waits for a person comes first: a small pane may have no room for the rest
    calls.sort(key=lambda call: shown.get((call.sid, call.agent_id or "")) != "permission")
    return Board(threads, calls, held)
