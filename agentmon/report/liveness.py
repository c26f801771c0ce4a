"""Whether somebody is still there: sessions and their processes."""

from typing import Literal

from msgspec import Struct

from agentmon.core.health import Limits, ProcessFact
from agentmon.report.board import Thread
from agentmon.sources.procs import Asked, Processes

Word = Literal["alive", "dead", "orphaned", "ended", "unknown"]


class Liveness(Struct, frozen=True):
    """What is known of the process of a session, and from where.

    alive: its process is there now. dead, orphaned: it is gone, with nothing open or with a round
    open. ended: it ended in order. unknown: it names no process, and no verdict is stored.
    """

    word: Word
    reason: str


def liveness(thread: Thread, now: float, processes: Processes) -> Liveness:
    """Of a session, by its main agent. Looks at the process table once; "now" is when.

    A verdict takes two looks; what one look misses is told here as well, since it is asked for.
    """
    session = thread.session
    if session.end_time is not None or thread.row.phase == "ended":
        return Liveness("ended", session.end_reason or "session_end")
    if session.host is not None:
        return Liveness("unknown", f"it runs on {session.host}")
    if session.pid:
        asked = Asked(session.pid, session.last_time or 0.0, thread.proc_start)
        reason = processes.why_missing(asked)
        if not reason:
            return Liveness("alive", f"pid {session.pid} runs")
        thread.process = thread.process or ProcessFact(session.pid, now, reason)
        verdict = thread.suspicion(now, Limits())
        word: Word = "orphaned" if verdict.word == "orphaned" else "dead"
        return Liveness(word, f"pid {session.pid}: {reason}")
    held = thread.held
    if held is not None and held.word in ("orphaned", "dead"):
        gone: Word = "orphaned" if held.word == "orphaned" else "dead"
        return Liveness(gone, str(held.evidence.get("process") or "verdict"))
    return Liveness("unknown", "no process is named")
