"""What the process of a chosen agent does right now, for the evidence."""

import asyncio
import time

import msgspec
from msgspec import Struct

from agentmon.report import render
from agentmon.report.board import Thread
from agentmon.sources.procs import BIRTH_TOLERANCE, Doing, look_into, with_share
from agentmon.ui.evidence import Looked


class _Look(Struct, frozen=True):
    at: float
    doing: dict[int, Doing]


class Glances:
    """Looks at one process after the other; what was seen before tells how busy it was since."""

    def __init__(self) -> None:
        self._last: dict[int, _Look] = {}

    async def at(self, thread: Thread) -> Looked:
        """The process of a thread's session and what runs below it, now."""
        pid = thread.session.pid
        if pid is None or thread.process is not None or thread.session.host is not None:
            return Looked()
        found = (await asyncio.to_thread(look_into, [pid])).get(pid)
        if found is None:
            return Looked(problem="no process has this pid now")
        process, children = found
        heard = render.heard(thread)
        if process.started and heard and process.started > heard + BIRTH_TOLERANCE:
            return Looked(problem="the pid belongs to a process started later")
        return self._compared(pid, process, children, time.time())

    def _compared(self, pid: int, process: Doing, children: list[Doing], now: float) -> Looked:
        before = self._last.get(pid) or _Look(now, {})
        self._last = {pid: _Look(now, {doing.pid: doing for doing in (process, *children)})}

        def plain(doing: Doing) -> dict[str, object]:
            shared = with_share(doing, before.doing.get(doing.pid), before.at, now)
            return msgspec.to_builtins(shared)

        return Looked(plain(process), [plain(child) for child in children])
