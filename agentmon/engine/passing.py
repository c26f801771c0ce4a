"""A session on its way out of a store, or back into it, while the fold goes on.

The fold must never see half of one. So whatever asks for the session that is on its way just now
has the way finished first, then and there: it spoke after days of silence, in that very second.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agentmon.core.model import Message, Session, Stream
from agentmon.core.state import StreamKey
from agentmon.store.deltas import DeltaFiles
from agentmon.store.load import StoreLoader

if TYPE_CHECKING:  # what is seldom needed does not hold up every start
    from agentmon.store.retention.archive import Checked
    from agentmon.store.retention.finding import Found
    from agentmon.store.retention.leaving import Leaving, Steps
    from agentmon.store.retention.returning import Returning

_WHOLE = float("inf")


class Passage:
    """Steps that two threads may take, one at a time. `problem`: why it ended without its end."""

    def __init__(self, steps: Steps, files: DeltaFiles) -> None:
        self.sid = steps.sid
        self.problem: Exception | None = None
        self._steps: Steps | None = steps
        self._files = files
        self._lock = threading.Lock()

    def run_for(self, conn: sqlite3.Connection, seconds: float) -> bool:
        """Steps for about so long; False when it is over. Raises OSError and sqlite3.Error, and
        may then be called again."""
        from agentmon.store.retention.finding import CannotRestore
        from agentmon.store.retention.leaving import Spoke, run_for
        from agentmon.store.retention.pack import BadArchive

        with self._lock:
            if self._steps is None:
                return False
            try:
                if run_for(self._steps, conn, self._files, seconds):
                    return True
                self._steps = None
            except Spoke as problem:
                self.problem, self._steps = problem, None
            except (BadArchive, CannotRestore, OSError) as problem:
                if not isinstance(self._steps, Return):
                    raise
                self.problem, self._steps = problem, self._steps.undone()
            return self._steps is not None

    def finish(self, conn: sqlite3.Connection) -> None:
        while self.run_for(conn, _WHOLE):
            continue

    @property
    def is_return(self) -> bool:
        return isinstance(self._steps, Return)

    @property
    def awaits_sync(self) -> bool:
        steps = self._steps
        returning = steps.returning if isinstance(steps, Return) else None
        return returning is not None and returning.awaits_sync

    def sync(self) -> None:
        """Waits for the disk; for a thread that nobody waits for."""
        with self._lock:
            steps = self._steps
            if isinstance(steps, Return) and steps.returning is not None:
                steps.returning.sync()

    def close(self) -> None:
        """Nobody goes on with it here: the next start does."""
        with self._lock:
            if isinstance(self._steps, Return) and self._steps.returning is not None:
                self._steps.returning.close()
            self._steps = None


class Return:
    """A restore, from its entry in the book on."""

    def __init__(self, data_dir: Path, found: Found, checked: Checked, now: float) -> None:
        self.sid = checked.head.sid
        self.returning: Returning | None = None
        self._data_dir = data_dir
        self._found = found
        self._checked = checked
        self._now = now

    @property
    def left(self) -> int:
        return 0 if self.returning is None else self.returning.left

    def step(self, conn: sqlite3.Connection, files: DeltaFiles) -> bool:
        if self.returning is None:
            from agentmon.store.retention import finding

            self.returning = finding.begin(
                conn, self._data_dir, self._found, self._checked, self._now
            )
            return True
        return self.returning.step(conn, files)

    def undone(self) -> Leaving | None:
        """The steps that take away what came back so far."""
        done = self.returning
        if done is None:
            return None
        from agentmon.store.retention.leaving import Leaving

        return Leaving(self._data_dir, done.removal_id, self.sid, self._now, back_to_archive=True)


class PassingLoader(StoreLoader):
    """A loader that finishes a passage before it answers about its session."""

    passage: Passage | None = None

    def hear_elsewhere(self) -> None:
        """What is stored now was not all asked for here: it has to be looked up."""
        self._unheard.give_up()

    def session(self, sid: str) -> Session | None:
        self._end_passage_of(sid)
        return super().session(sid)

    def stream(self, key: StreamKey) -> Stream | None:
        self._end_passage_of(key[0])
        return super().stream(key)

    def message(self, flow_id: str, session_of: Callable[[str], Session]) -> Message | None:
        self._is_leaving(flow_id)
        return super().message(flow_id, session_of)

    def flow_of_request(self, request_id: str) -> str | None:
        flow_id = super().flow_of_request(request_id)
        return None if flow_id is not None and self._is_leaving(flow_id) else flow_id

    def call(self, tool_use_id: str) -> tuple[str, int] | None:
        found = super().call(tool_use_id)
        return None if found is not None and self._is_leaving(found[0]) else found

    def item(self, item_id: str) -> tuple[str, int] | None:
        found = super().item(item_id)
        return None if found is not None and self._is_leaving(found[0]) else found

    def _is_leaving(self, flow_id: str) -> bool:
        """Whether a message is of the session on its way; if so that has ended now."""
        if self.passage is None:
            return False
        row = self._one("SELECT sid FROM messages WHERE flow_id = ?", flow_id)
        if row is None or row[0] != self.passage.sid:
            return False
        self._end_passage_of(row[0])
        return self._one("SELECT 1 FROM messages WHERE flow_id = ?", flow_id) is None

    def _end_passage_of(self, sid: str) -> None:
        passage = self.passage
        if passage is not None and passage.sid == sid:
            passage.finish(self._conn)
            self.passage = None
