"""Drilling into sessions, rounds and calls, going back, narrowing and searching."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentmon.report.family import key_of
from agentmon.ui import filters, sites
from agentmon.ui import tree as trees
from agentmon.ui.places import Trail
from agentmon.ui.widgets.sessions import ORDERS

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen
    from agentmon.ui.screens.page import Page


OPENED_CALLS = 8
"""Pending calls whose messages a jump opens."""


_BOARD = "status:stalled agent:api tool:Bash cwd:src !word"
_EXAMPLES = {
    "sessions": _BOARD,
    "pending": _BOARD,
    "rounds": "word status:failed tool:Bash agent:explore !word",
}
"""What can be typed after /, by panel."""


def _ways(sid: str, flows: list[str], view: str, conn: sqlite3.Connection) -> list[trees.NodeKey]:
    """The nodes to open so that some messages are in sight."""
    return [key for flow_id in flows for key in trees.path(conn, sid, flow_id, view=view)]


def _pin(site: sites.Site) -> trees.NodeKey | None:
    """What the stream shows at a place; None: it follows what is written there."""
    if site.flow_id is not None and site.index is not None:
        return trees.block_key(site.flow_id, site.index)
    if site.is_live:
        return None
    if site.flow_id is not None:
        return trees.message_key(site.flow_id)
    return trees.round_key(site.round_id) if site.round_id is not None else None


class Going:
    """Commands that change what is looked at."""

    def __init__(self, screen: "MainScreen") -> None:
        self.screen = screen
        self.trail = Trail()

    async def go(self, site: sites.Site) -> None:
        """Chooses the thread; opens the way to the place and pins it, or follows what is live."""
        screen = self.screen
        thread = screen.board.thread(site.sid, site.agent_id)
        chosen = key_of(thread) if thread is not None else (site.sid, "")
        opened = screen.rounds.opened_of(*chosen)
        flows = [site.flow_id] if site.flow_id is not None else []
        if thread is not None and site.is_live:
            # what the thread waits for is opened with what it wrote last
            flows += [call.flow_id for call in thread.pending[:OPENED_CALLS]]
            flows += [thread.row.flow_id] if thread.row.flow_id is not None else []
        if site.round_id is not None:
            opened.set_open(trees.round_key(site.round_id), True)
        for key in await screen.feed.query(partial(_ways, site.sid, flows, chosen[1])):
            opened.set_open(key, True)
        screen.sessions.reveal(chosen, screen.board)
        screen.select(chosen, _pin(site))
        screen.sessions.choose(chosen)
        screen.pending.show_of(site.sid, site.flow_id, site.index)

    # Drilling

    async def open(self) -> None:
        """Sessions → rounds → (opens nodes, goes into subagents) → stream."""
        screen = self.screen
        match screen.desk.panel:
            case "sessions":
                self.leave()
                screen.focus_panel("rounds")
            case "pending":
                self.leave()
                await self.show_call()
                screen.focus_panel("stream")
            case "rounds":
                self._open_node(screen.rounds.chosen)
            case _:
                pass

    def _open_node(self, node: trees.Node | None) -> None:
        screen = self.screen
        if node is None:
            return
        if node.agent is not None:
            self.leave()
            chosen = (node.agent.sid, node.agent.agent_id)
            screen.visited[chosen] = node.agent
            screen.sessions.reveal(chosen, screen.board)
            screen.select(chosen)
            screen.sessions.choose(chosen)
        elif node.is_open is None:
            self.leave()
            screen.focus_panel("stream")
        else:
            self._set_open(node.key, not node.is_open)

    def leave(self, page: "Callable[[], Page[Any]] | None" = None) -> None:
        """Remembers where a person is, before something leads elsewhere; also on which page."""
        place = self.screen.here()
        self.trail.leave(place if page is None else replace(place, page=page))

    def expand(self) -> None:
        """Opens the chosen line; one that is open already leads to the first line below it."""
        screen = self.screen
        if screen.desk.panel == "sessions":
            if not screen.sessions.fold(screen.board, is_folded=False):
                screen.desk.pane.move("down")
            return
        node = screen.rounds.chosen
        if node is not None and node.is_open is False:
            self._set_open(node.key, True)
        elif node is not None and node.is_open:
            screen.desk.pane.move("down")

    def collapse(self) -> None:
        """Closes the chosen line; one that is closed already leads to the line above it."""
        screen = self.screen
        if screen.desk.panel == "sessions":
            sessions = screen.sessions
            if not sessions.fold(screen.board, is_folded=True):
                above = sessions.above(sessions.cursor)
                if above is not None:
                    sessions.choose(above, by_person=True)
            return
        node = screen.rounds.chosen
        if node is None:
            return
        if node.is_open:
            self._set_open(node.key, False)
        elif node.parent is not None:
            screen.rounds.choose(node.parent, by_person=True)

    def _set_open(self, key: trees.NodeKey, is_open: bool) -> None:
        """Opening by hand holds the tree where it is."""
        self.screen.rounds.toggle(key, is_open)
        if self.screen.pin is None and key != trees.SIDE:
            self.screen.pin = key
        self.screen.loader.ask()

    def back(self) -> None:
        """Undoes one thing: input, search, the last way in, filter, pin, zoom, focus."""
        screen = self.screen
        if screen.filter_input.display:
            screen.filter_input.value = ""
            self.filter_changed("")
            self.filter_done()
        elif screen.rounds.search or screen.stream.search:
            self._set_search("")
        elif (place := self.trail.back(screen.here())) is not None:
            screen.return_to(place)
        elif screen.pin is not None:
            self.follow()
        elif screen.sessions.filter:
            self._set_filter("")
        elif screen.desk.is_zoomed:
            screen.desk.is_zoomed = False
            screen.desk.place()
        else:
            screen.focus_panel("sessions")

    def follow(self) -> None:
        self.screen.pin = None
        self.screen.rounds.cursor = None
        self.screen.stream.is_at_end = True
        self.screen.loader.ask()

    async def show_call(self) -> None:
        """The stream and the tree of the chosen pending call."""
        call = self.screen.pending.chosen
        if call is None:
            return
        await self.go(
            sites.Site(
                "call",
                call.sid,
                call.agent_id or "",
                call.called_at,
                call.round_id,
                call.flow_id,
                call.index,
            )
        )

    async def round_view(self) -> None:
        """The chosen round over time."""
        from agentmon.ui.screens.round import RoundPage

        screen = self.screen
        place = self._round_here()
        if place is None:
            screen.say("This is in no round" if screen.selected else "Nothing is selected")
            return
        screen.open_page(RoundPage(screen, *place))

    def _round_here(self) -> tuple[str, str, trees.NodeKey | None] | None:
        """The session, the round and the block that a person looks at; None: there is no round."""
        screen = self.screen
        call = screen.pending.chosen if screen.desk.panel == "pending" else None
        if call is not None:
            key = trees.block_key(call.flow_id, call.index)
            return (call.sid, call.round_id, key) if call.round_id is not None else None
        thread = screen.board.thread(*screen.selected) if screen.selected is not None else None
        sid = screen.selected[0] if screen.selected is not None else ""
        node = screen.rounds.chosen if screen.desk.panel == "rounds" else None
        source = screen.stream.source if screen.desk.panel == "stream" else None
        message = node.message if node is not None else None
        message = source.message if source is not None else message
        if message is not None:
            block = node.block if node is not None else source.block if source is not None else None
            key = trees.block_key(block.flow_id, block.index) if block is not None else None
            return (sid, message.round_id, key) if message.round_id is not None else None
        row = node.round if node is not None else source.round if source is not None else None
        if row is not None:
            return sid, row.round_id, None
        newest = thread.session.round_id if thread is not None else None
        return (sid, newest, None) if newest is not None else None

    def sort(self) -> None:
        screen = self.screen
        place = ORDERS.index(screen.sessions.order)
        screen.sessions.reorder(ORDERS[(place + 1) % len(ORDERS)], screen.board)
        screen.say(f"Sessions by {screen.sessions.order}", "accent")

    # Filter and search

    def filter(self) -> None:
        screen = self.screen
        on_board = screen.desk.panel in ("sessions", "pending")
        found = screen.sessions.filter.text if on_board else screen.stream.search
        screen.filter_input.placeholder = _EXAMPLES.get(screen.desk.panel, "search")
        screen.show_input(True)
        screen.filter_input.value = found
        screen.filter_input.focus()

    def filter_changed(self, text: str) -> None:
        if self.screen.desk.panel in ("sessions", "pending"):
            self._set_filter(text)
        else:
            self._set_search(text.strip().lower())

    def filter_done(self) -> None:
        screen = self.screen
        screen.show_input(False)
        screen.desk.panes[screen.desk.panel].focus()
        if screen.desk.panel == "stream" and screen.stream.search:
            self.next_match()

    def _set_filter(self, text: str) -> None:
        parsed = filters.parse(text)
        self.screen.sessions.filter = parsed
        self.screen.pending.filter = parsed
        self.screen.show_board()

    def _set_search(self, word: str) -> None:
        self.screen.rounds.search = word
        self.screen.stream.search = word
        self.screen.rounds.sync()
        self.screen.stream.sync()

    def next_match(self) -> None:
        self._match(1)

    def previous_match(self) -> None:
        self._match(-1)

    def _match(self, step: int) -> None:
        screen = self.screen
        if screen.desk.panel == "rounds" and screen.rounds.search:
            found = screen.rounds.find(screen.rounds.search, step)
        elif screen.desk.panel == "stream" and screen.stream.search:
            found = screen.stream.find(screen.stream.search, step)
        elif screen.desk.panel in ("sessions", "pending") and screen.sessions.filter:
            pane = screen.sessions if screen.desk.panel == "sessions" else screen.pending
            place = pane.cursor_index + step
            found = bool(pane.keys) and (
                pane.choose(pane.keys[place % len(pane.keys)], by_person=True)
            )
        else:
            screen.say("Nothing is searched for: / begins")
            return
        if not found:
            screen.say("No match")
