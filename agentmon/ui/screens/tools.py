"""The Tools tab: which tools are called, how often they fail, how long they take; their calls."""

import sqlite3
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field
from textual import on

from agentmon.report.naming import board_name
from agentmon.store import read, read_tools
from agentmon.store.read_tools import CallRow, Place, Scope, ToolRow
from agentmon.ui import tabs
from agentmon.ui.screens.page import Page
from agentmon.ui.sites import Site
from agentmon.ui.widgets.lines import KeyedPane, LinePane
from agentmon.ui.widgets.tools import ORDERS, CallsPane, ToolsPane, merged, place_of

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

HOUR = 3600.0
WINDOWS: tuple[tuple[str, float | None], ...] = (
    ("last 24h", 24 * HOUR),
    ("all", None),
    ("last hour", HOUR),
)
"""In the order in which they take turns: words and seconds."""

PAGE = 200
"""Calls that are read at once."""


class Found(Struct):
    """What one read brought: the tools, or calls of the tool that is open."""

    tools: list[ToolRow] | None = None
    tool_name: str | None = None
    newest: list[CallRow] | None = None
    older: list[CallRow] | None = None
    after: Place | None = None
    """What the older ones come after."""
    names: dict[str, str] = field(default_factory=dict[str, str])


class ToolsPage(Page[Found]):
    """Tools with their figures; Enter lists the calls of one, and there leads to a call."""

    PANEL = "tools"
    TAB = tabs.TOOLS

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(below)
        self.tools = ToolsPane(id="tools", view=self.view)
        self.calls = CallsPane(id="calls", view=self.view)
        self.window = 0
        self.is_open = False
        """Whether the calls of a tool are shown."""
        self._after: Place | None = None
        """Where to go on reading older calls."""
        self._cursor: Hashable | None = None

    def panes(self) -> Sequence[LinePane]:
        return (self.calls, self.tools) if self.is_open else (self.tools, self.calls)

    def on_mount(self) -> None:
        self._place()

    def _place(self) -> None:
        """Shows the pane that is meant, and gives it the keys."""
        words = WINDOWS[self.window][0]
        self.tools.window = self.calls.window = words
        self.tools.display, self.calls.display = not self.is_open, self.is_open
        (self.calls if self.is_open else self.tools).focus()

    # Reading

    def question(self) -> Callable[[sqlite3.Connection], Found]:
        seconds = WINDOWS[self.window][1]
        since = None if seconds is None else self.view.now - seconds
        if not self.is_open:
            return lambda conn: Found(tools=list(read_tools.tools(conn, Scope(since))))
        name, after, known = self.calls.tool_name, self._after, self.calls.names

        def of_calls(conn: sqlite3.Connection) -> Found:
            newest = read_tools.calls(conn, name, since=since, limit=PAGE)
            older = None
            if after is not None:
                older = read_tools.calls(conn, name, since=since, after=after, limit=PAGE)
            sids = {row.sid for row in (*newest, *(older or ()))} - known.keys()
            names = {sid: _name(conn, sid) for sid in sids}
            return Found(None, name, newest, older, after, names)

        return of_calls

    def show(self, found: Found) -> None:
        if found.tools is not None:
            self.tools.show(found.tools)
        elif found.newest is not None and found.tool_name == self.calls.tool_name:
            self._show_calls(found, found.newest)

    def _show_calls(self, found: Found, newest: list[CallRow]) -> None:
        """The newest calls, older ones that are known, and those that were read after them."""
        calls = self.calls
        rows = merged(newest, calls.rows, PAGE)
        is_whole = len(newest) < PAGE or (len(rows) > PAGE and calls.is_whole)
        if found.older is not None and found.after == self._after:
            self._after = None
            if place_of(rows[-1]) == found.after:
                rows, is_whole = rows + found.older, len(found.older) < PAGE
        calls.show(rows, found.names, is_whole=is_whole)
        if self._cursor is not None:
            calls.choose(self._cursor)
            self._cursor = None

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        """Older calls are read as the end of what is known comes near."""
        message.stop()
        calls = self.calls
        if message.pane is calls and self._after is None and calls.rows and calls.wants_more:
            self._after = place_of(calls.rows[-1])
            self.reader.ask()

    # Keys

    def do_open(self) -> None:
        if not self.is_open:
            row = self.tools.chosen
            if row is not None:
                self._open(row.tool_name)
            return
        call = self.calls.chosen
        if call is not None:
            self.dismiss(
                Site(
                    "call",
                    call.sid,
                    call.agent_id,
                    call.called_at,
                    call.round_id,
                    call.flow_id,
                    call.index,
                )
            )

    def _open(self, tool_name: str | None) -> None:
        self.is_open, self._after = True, None
        self.calls.tool_name = tool_name
        self.calls.forget()
        self._place()
        self.reader.ask()

    def do_back(self) -> None:
        if not self.is_open:
            self.dismiss(None)
            return
        self.is_open = False
        self._place()
        self.reader.ask()

    def do_order_tools(self) -> None:
        order = ORDERS[(ORDERS.index(self.tools.order) + 1) % len(ORDERS)]
        self.tools.reorder(order)
        self.say(f"Tools by {order}", "accent")

    def do_window(self) -> None:
        self.window = (self.window + 1) % len(WINDOWS)
        self._after = None
        self.tools.forget()
        self.calls.forget()
        self._place()
        self.reader.ask()

    def again(self) -> "ToolsPage":
        page = ToolsPage(self.below)
        page.window, page.is_open = self.window, self.is_open
        page.tools.order, page.tools.cursor = self.tools.order, self.tools.cursor
        page.calls.tool_name = self.calls.tool_name
        page._cursor = self.calls.cursor
        return page


def _name(conn: sqlite3.Connection, sid: str) -> str:
    session = read.session(conn, sid)
    return (board_name(conn, session) if session is not None else "") or sid[:8]
