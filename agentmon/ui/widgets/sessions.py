"""Sessions: one line per agent, subagents below their session."""

import os.path
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import cast

from msgspec import Struct

from agentmon.core.health import Limits
from agentmon.core.text import clean, one_line
from agentmon.report import render
from agentmon.report.board import Board, Thread
from agentmon.ui.filters import NOTHING, Filter, Subject
from agentmon.ui.parts import BLANK, Column, Line, Part, Slot, arrange, heading_line, table_line
from agentmon.ui.widgets.lines import KeyedPane

ORDERS = ("start", "name", "state", "last byte")
"""What `O` cycles through. Rows keep their places until it is pressed or an agent is new."""

COLUMNS = (
    Column("glyph", 1),
    Column("agent", 12, grow=2, most=26, heading="agent"),
    Column("state", 16, grow=3, most=22, heading="state"),
    Column("round", 5, 2, right=True, heading="round"),
    Column("last", 5, 1, right=True, heading="last"),
    Column("tokens", 6, 3, right=True, heading="tokens"),
    Column("context", 5, 6, right=True, heading="ctx"),
    Column("model", 8, 4, grow=1, most=14, heading="model"),
    Column("cwd", 14, 5, grow=3, keep_end=True, heading="cwd"),
)

ThreadKey = tuple[str, str]
"""(sid, agent id): the key of a line."""

_RANK = ("permission", "stalled", "overdue", "orphaned")


def thread_key(thread: Thread) -> ThreadKey:
    return thread.row.sid, thread.row.agent_id


def model_name(model: str | None) -> str:
    """A model without vendor and date: claude-opus-4-1-20250805 → opus-4-1."""
    if not model:
        return render.UNKNOWN
    name = model.removeprefix("claude-")
    head, _, tail = name.rpartition("-")
    return head if head and len(tail) == 8 and tail.isdigit() else name


def subject(thread: Thread, now: float, limits: Limits) -> Subject:
    """What a line can be filtered by."""
    shown = render.state(thread, now, limits)
    names = tuple(call.tool_name or "" for call in thread.pending)
    session = thread.session
    return Subject(
        status=(shown.word, thread.row.phase),
        agent=(thread.name, session.agent),
        tool=names,
        cwd=(session.cwd or "",),
        other=(session.model or "", session.sid),
    )


def clock_text(time: float | None) -> str:
    """A time of day in the local zone."""
    if time is None:
        return render.UNKNOWN
    return datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S")


class View(Struct):
    """What every pane needs to draw: the clock, the limits, how times look."""

    now: float
    limits: Limits
    absolute: bool = False
    ascii_only: bool = False

    def when(self, time: float | None) -> str:
        """A time as the person wants it: how long ago, or the time of day."""
        if time is None:
            return render.UNKNOWN
        return clock_text(time) if self.absolute else render.age(max(0.0, self.now - time))


class SessionsPane(KeyedPane):
    """The board, one line per thread, in an order that holds still."""

    NUMBER = 1
    NAME = "Sessions"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.order = ORDERS[0]
        self.filter: Filter = NOTHING
        self.hints: list[Line] = []
        self._threads: dict[Hashable, Thread] = {}
        self._ranks: dict[str, int] = {}
        self._total = 0
        self._slots: tuple[int, list[Slot]] = (0, [])

    def show(self, board: Board) -> None:
        """The board of a new revision."""
        self._total = len(board.threads)
        self._place([t for t in board.threads if t.is_main])
        shown = [t for t in board.threads if self._is_wanted(t)]
        shown.sort(key=self._sort_key)
        self._threads = {thread_key(t): t for t in shown}
        self.set_keys([thread_key(t) for t in shown])

    def _is_wanted(self, thread: Thread) -> bool:
        return not self.filter or self.filter.matches(
            subject(thread, self.view.now, self.view.limits)
        )

    def _sort_key(self, thread: Thread) -> tuple[int, bool, float, str]:
        row = thread.row
        return (self._ranks[row.sid], bool(row.agent_id), row.last_start or 0.0, row.agent_id)

    def _place(self, mains: Sequence[Thread]) -> None:
        """Gives new sessions a place; those that have one keep it."""
        mains = [t for t in mains if t.row.sid not in self._ranks]
        first = min(self._ranks.values(), default=0) - len(mains)
        for offset, thread in enumerate(sorted(mains, key=self._order_key)):
            self._ranks[thread.row.sid] = first + offset

    def _order_key(self, thread: Thread) -> tuple[float | int, str]:
        session = thread.session
        match self.order:
            case "name":
                return 0, thread.name.lower()
            case "state":
                word = render.state(thread, self.view.now, self.view.limits).word
                rank = _RANK.index(word) if word in _RANK else len(_RANK)
                return rank + (word in ("idle", "ended", "dead")), thread.name.lower()
            case "last byte":
                return -(thread.row.last_byte or session.last_time or 0.0), session.sid
            case _:
                return -(session.first_time or 0.0), session.sid

    def heir(self, key: Hashable | None) -> Hashable | None:
        """A subagent that is over hands the cursor to its session."""
        return (cast("ThreadKey", key)[0], "") if isinstance(key, tuple) else None

    def reorder(self, order: str, board: Board) -> None:
        """Sorts anew, now."""
        self.order = order
        self._ranks.clear()
        self.show(board)

    def thread(self, key: Hashable | None) -> Thread | None:
        return self._threads.get(key)

    @property
    def chosen(self) -> Thread | None:
        return self.thread(self.cursor)

    # Drawing

    def title(self) -> tuple[Line, Line]:
        left = Part(self.NAME)
        notes: list[str] = []
        if self.filter:
            notes.append(f"/{one_line(self.filter.text, 24)}  {self.count} of {self._total}")
        elif self.count > self.page:
            notes.append(f"{self.cursor_index + 1}/{self.count}")
        if self.order != ORDERS[0]:
            notes.append(f"by {self.order}")
        right = (Part(" · ".join(notes), "match" if self.filter else "text-muted"),)
        return (left,), right if notes else BLANK

    def heading(self, width: int) -> Line | None:
        roomy = self.size.height >= 9 and width >= 70
        return heading_line(self._fitting(width)) if roomy and self.keys else None

    def empty(self) -> list[Line]:
        if self.filter:
            return [
                (Part(f" Nothing matches /{one_line(self.filter.text, 40)}", "text-muted"),),
                (Part(" Esc clears the filter", "text-muted"),),
            ]
        return self.hints

    def _fitting(self, width: int) -> list[Slot]:
        wide = 8 if self.view.absolute else 5
        if self._slots[0] != width * 10 + wide:
            columns = [
                Column("last", wide, 1, right=True, heading="last") if c.name == "last" else c
                for c in COLUMNS
            ]
            self._slots = (width * 10 + wide, arrange(columns, width))
        return self._slots[1]

    def draw(self, index: int, width: int) -> Line:
        thread = self._threads[self.keys[index]]
        return table_line(self._fitting(width), self._cells(thread))

    def _cells(self, thread: Thread) -> dict[str, Part]:
        view, session, row = self.view, thread.session, thread.row
        shown = render.state(thread, view.now, view.limits, ascii=view.ascii_only)
        role = shown.color_role
        last = row.last_byte if row.last_byte is not None else session.last_time
        muted = "text-muted"
        name = thread.name if thread.is_main else f"{'`' if view.ascii_only else '└'} {thread.name}"
        cells = {
            "glyph": Part(shown.glyph, role),
            "agent": Part(name, "strong" if thread.is_main else ""),
            "state": Part(shown.label, role),
            "last": Part(view.when(last), muted),
        }
        if thread.is_main:
            count = session.round_count
            cells["round"] = Part(f"#{count}" if count else render.UNKNOWN)
            cells["tokens"] = Part(render.tokens(render.spent(session)))
            cells["context"] = Part(render.tokens(session.context_tokens or None), muted)
            cells["model"] = Part(model_name(session.model) if session.model else session.agent)
            cells["cwd"] = Part(short_path(session.cwd), muted)
        return cells


def short_path(path: str | None) -> str:
    """A folder with the home folder as ~."""
    if not path:
        return render.UNKNOWN
    home = os.path.expanduser("~")
    inside = home != "/" and (path == home or path.startswith(home + "/"))
    return clean("~" + path[len(home) :] if inside else path, newline=False)
