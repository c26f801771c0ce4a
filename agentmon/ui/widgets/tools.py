"""The panes of the Tools tab: a row a tool, and the calls of one."""

from collections.abc import Callable, Hashable, Sequence
from typing import Literal

from agentmon.core.names import gist
from agentmon.core.spread import BOUNDS
from agentmon.report import render
from agentmon.report.failures import rate_text
from agentmon.report.histogram import histogram
from agentmon.report.words import lasted
from agentmon.store.read_tools import CallRow, Place, ToolRow
from agentmon.ui.parts import Column, Line, Part, Slot, arrange, heading_line, table_line
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.sessions import View, clock_text

Order = Literal["errors", "calls", "p95", "name"]
ORDERS: tuple[Order, ...] = ("errors", "calls", "p95", "name")

_BY: dict[Order, Callable[[ToolRow], float]] = {
    "errors": lambda row: -row.errors,
    "calls": lambda row: -row.calls,
    "p95": lambda row: -(row.succeeded.p95 or 0.0),
    "name": lambda row: 0,
}

COLUMNS = (
    Column("tool", 8, grow=4, most=32, heading="tool"),
    Column("calls", 6, right=True, heading="calls"),
    Column("pending", 7, 2, right=True, heading="pending"),
    Column("errors", 6, right=True, heading="errors"),
    Column("rate", 5, 4, right=True, heading="rate"),
    Column("median", 6, 3, right=True, heading="median"),
    Column("p95", 6, right=True, heading="p95"),
    Column("failing", 7, 5, right=True, heading="failing"),
    Column("spread", len(BOUNDS) + 1, 1, heading="0.1s-1000s"),
)

Key = tuple[Literal["tool"], str | None]


class ToolsPane(KeyedPane):
    """Tools in the order that was asked for; it stays while rows only change."""

    NAME = "Tools"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.order: Order = "errors"
        self.window = ""
        """What the calls are counted over, in words."""
        self.is_loaded = False
        self._rows: dict[Hashable, ToolRow] = {}

    def show(self, rows: Sequence[ToolRow]) -> None:
        """New figures: tools keep their places, new ones come last."""
        self.is_loaded = True
        found: dict[Hashable, ToolRow] = {_key(row): row for row in self._sorted(rows)}
        kept = [key for key in self.keys if key in found]
        self._rows = found
        self.set_keys([*kept, *(key for key in found if key not in self._places)])

    def reorder(self, order: Order) -> None:
        """Orders the rows anew; the cursor stays on its tool."""
        self.order = order
        self.set_keys([_key(row) for row in self._sorted(list(self._rows.values()))])

    def forget(self) -> None:
        """As if nothing had been shown: what comes next is ordered anew."""
        cursor, self.is_loaded = self.cursor, False
        self._rows = {}
        self.set_keys([])
        self.cursor = cursor

    def _sorted(self, rows: Sequence[ToolRow]) -> list[ToolRow]:
        def place(row: ToolRow) -> tuple[float, str]:
            return _BY[self.order](row), row.tool_name or "~"

        return sorted(rows, key=place)

    @property
    def chosen(self) -> ToolRow | None:
        return self._rows.get(self.cursor) if self.cursor is not None else None

    def title(self) -> tuple[Line, Line]:
        words = f"by {self.order} · {self.window}"
        return (Part(self.NAME),), (Part(words, "accent"),)

    def heading(self, width: int) -> Line | None:
        return heading_line(self._slots(width))

    def _slots(self, width: int) -> list[Slot]:
        return arrange(COLUMNS, width)

    def empty(self) -> list[Line]:
        words = " No tool was called in this time; w takes a longer one."
        return [(Part(words if self.is_loaded else " Counting…", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        row = self._rows[self.keys[index]]
        role = "error" if row.errors else "text-muted"
        named = {
            "tool": Part(row.tool_name or render.UNKNOWN, "strong"),
            "calls": Part(str(row.calls)),
            "pending": Part(str(row.pending), "accent" if row.pending else "text-muted"),
            "errors": Part(str(row.errors), role),
            "rate": Part(rate_text(row.error_rate), role),
            "median": Part(lasted(row.succeeded.median)),
            "p95": Part(lasted(row.succeeded.p95)),
            "failing": Part(lasted(row.failed.median), role),
            "spread": Part("", "accent"),
        }
        slots = self._slots(width)
        line = table_line(slots, named)
        if slots[-1].column.name == "spread":
            # a column of its own: its blanks mean something
            bars = histogram(row.buckets, ascii=self.ascii_only)
            line = (*line[:-1], Part(bars, "accent"))
        return line


def _key(row: ToolRow) -> Key:
    return "tool", row.tool_name


CALL_COLUMNS = (
    Column("glyph", 1),
    Column("age", 8, right=True),
    Column("agent", 8, 2, grow=1, most=24),
    Column("took", 6, right=True),
    Column("state", 7, 1),
    Column("input", 10, grow=6),
)


class CallsPane(KeyedPane):
    """The calls of one tool, the newest first."""

    STAYS_AT_TOP = True

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.tool_name: str | None = None
        self.window = ""
        self.names: dict[str, str] = {}
        """What sessions are called, by sid."""
        self.rows: list[CallRow] = []
        self.is_whole = False
        """Whether there are no older calls than those."""
        self.is_loaded = False

    def forget(self) -> None:
        """As if nothing had been shown."""
        self.rows, self.is_whole, self.is_loaded = [], False, False
        self.set_keys([])

    def show(self, rows: list[CallRow], names: dict[str, str], *, is_whole: bool) -> None:
        """Rows in order, with the names of sessions that are new among them."""
        self.is_loaded = True
        self.rows, self.is_whole = rows, is_whole
        self.names |= names
        self.set_keys([place_of(row) for row in rows])

    @property
    def chosen(self) -> CallRow | None:
        return self.rows[self.cursor_index] if self.rows else None

    @property
    def wants_more(self) -> bool:
        """Whether the end of what is loaded comes near."""
        return not self.is_whole and self.cursor_index + 2 * self.page >= self.count

    def title(self) -> tuple[Line, Line]:
        count = f"{self.count}{'' if self.is_whole or not self.rows else '+'}"
        name = self.tool_name or render.UNKNOWN
        return (Part(f"Calls of {name}"),), (Part(f"{count} · {self.window}", "accent"),)

    def empty(self) -> list[Line]:
        words = " No call in this time; w takes a longer one."
        return [(Part(words if self.is_loaded else " Reading…", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        row = self.rows[index]
        look, word = outcome(row)
        shown = render.look(look)
        view = self.view
        age = render.age(max(0.0, view.now - row.called_at))
        agent = f"/{row.agent_id}" if row.agent_id else ""
        took = lasted(row.duration)
        if row.is_pending:
            took = render.timer(view.now - row.called_at)
        named = {
            "glyph": Part(shown.ascii if self.ascii_only else shown.glyph, shown.role),
            "age": Part(clock_text(row.called_at) if view.absolute else age, "text-muted"),
            "agent": Part(self.names.get(row.sid, row.sid[:8]) + agent),
            "took": Part(took),
            "state": Part(word, shown.role),
            "input": Part(gist(row.input_preview), "text-muted"),
        }
        return table_line(arrange(CALL_COLUMNS, width), named)


def outcome(row: CallRow) -> tuple[str, str]:
    """The look and the word of what came of a call."""
    if row.is_pending:
        return "tool", "pending"
    if row.result_time is None:
        return "unknown", "unseen"
    if row.is_error:
        return "failed", "error"
    return "complete", "ok"


def place_of(row: CallRow) -> Place:
    """The key of a call, by which pages of them go on."""
    return row.called_at, row.flow_id, row.index


def merged(first: list[CallRow], known: list[CallRow], size: int) -> list[CallRow]:
    """The newest page with the older calls that are known, where these go on from it."""
    if len(first) < size or not known or place_of(known[0]) < place_of(first[-1]):
        return first
    end = place_of(first[-1])
    return first + [row for row in known if place_of(row) < end]
