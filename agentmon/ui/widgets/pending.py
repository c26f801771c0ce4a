"""Pending tools: calls without a result, with timers that tick by themselves."""

from collections.abc import Hashable

from agentmon.core.names import gist
from agentmon.core.text import one_line
from agentmon.report import render
from agentmon.report.board import Board, Thread
from agentmon.report.known import name_of
from agentmon.store.read import PendingRow
from agentmon.ui.filters import NOTHING, Filter, Subject
from agentmon.ui.parts import BLANK, Column, Line, Part, Slot, arrange, table_line
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.sessions import View, clock_text, subject

COLUMNS = (
    Column("glyph", 1),
    Column("tool", 5, grow=1, most=14),
    Column("agent", 8, 2, grow=1, most=22),
    Column("input", 10, 1, grow=6),
    Column("state", 10, 3),
    Column("timer", 7, right=True),
)


class PendingPane(KeyedPane):
    """Oldest call first, as the store gives them."""

    NUMBER = 2
    NAME = "Pending tools"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.filter: Filter = NOTHING
        self._calls: dict[Hashable, tuple[PendingRow, Thread | None]] = {}
        self._slots: tuple[int, list[Slot]] = (0, [])

    def show(self, board: Board) -> None:
        """The pending calls of a new revision."""
        threads = {(t.row.sid, t.row.agent_id): t for t in board.threads}
        pairs = [(call, threads.get((call.sid, call.agent_id or ""))) for call in board.pending]
        wanted = [pair for pair in pairs if self._is_wanted(*pair)]
        self._calls = {_key(call): (call, thread) for call, thread in wanted}
        self.set_keys([_key(call) for call, _ in wanted])

    def _is_wanted(self, call: PendingRow, thread: Thread | None) -> bool:
        if not self.filter:
            return True
        if thread is None:
            return self.filter.matches(Subject(tool=(call.tool_name or "",)))
        known = subject(thread, self.view.now, self.view.limits)
        preview = (call.input_preview or "",)
        own = Subject(known.status, known.agent, (call.tool_name or "",), known.cwd, preview)
        return self.filter.matches(own)

    def call(self, key: Hashable | None) -> PendingRow | None:
        found = self._calls.get(key)
        return found[0] if found else None

    @property
    def chosen(self) -> PendingRow | None:
        return self.call(self.cursor)

    def show_of(self, sid: str, flow_id: str | None, index: int | None) -> None:
        """Puts the cursor on a call, else on the first one of a session, where there is one."""
        of_session = [(key, call) for key, (call, _) in self._calls.items() if call.sid == sid]
        for key, call in of_session:
            if (call.flow_id, call.index) == (flow_id, index):
                self.choose(key)
                return
        if of_session:
            self.choose(of_session[0][0])

    def title(self) -> tuple[Line, Line]:
        return (Part(self.NAME),), (Part(str(self.count), "accent"),) if self.keys else BLANK

    def empty(self) -> list[Line]:
        return [(Part(" No tool is pending.", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        call, thread = self._calls[self.keys[index]]
        if self._slots[0] != width:
            self._slots = (width, arrange(COLUMNS, width))
        return table_line(self._slots[1], self._cells(call, thread))

    def _cells(self, call: PendingRow, thread: Thread | None) -> dict[str, Part]:
        view = self.view
        waited = view.now - call.called_at
        word = render.call_word(call, thread, view.now, view.limits)
        shown = render.look(word)
        return {
            "glyph": Part(shown.ascii if view.ascii_only else shown.glyph, shown.role),
            "tool": Part(call.tool_name or render.UNKNOWN, "strong"),
            "agent": Part(_owner(call, thread)),
            "input": Part(gist(call.input_preview), "text-muted"),
            "state": Part("" if word == "tool" else word, shown.role),
            "timer": Part(
                clock_text(call.called_at)[:7] if view.absolute else render.timer(waited),
                shown.role,
            ),
        }


def _owner(call: PendingRow, thread: Thread | None) -> str:
    if thread is None:
        return one_line(call.sid, 8)
    name = name_of(thread)
    folder = (thread.session.cwd or "").rstrip("/").rpartition("/")[2]
    return f"{folder}/{name}" if folder and not thread.is_main else name


def _key(call: PendingRow) -> Hashable:
    return "call", call.tool_use_id
