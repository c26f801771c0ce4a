"""Drilling into sessions, rounds and calls, going back, narrowing and searching."""

from typing import TYPE_CHECKING

from agentmon.ui import filters, sites
from agentmon.ui import tree as trees
from agentmon.ui.widgets.sessions import ORDERS, thread_key

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen


class Going:
    """Commands that change what is looked at."""

    def __init__(self, screen: "MainScreen") -> None:
        self.screen = screen

    def go(self, site: sites.Site) -> None:
        """Chooses the thread; opens the way to the place and pins it, or follows what is live."""
        screen = self.screen
        thread = screen.board.thread(site.sid, site.agent_id)
        chosen = thread_key(thread) if thread is not None else (site.sid, "")
        opened = screen.rounds.opened_of(*chosen)
        if site.round_id is not None:
            opened.set_open(trees.round_key(site.round_id), True)
        pin = trees.round_key(site.round_id) if site.round_id is not None else None
        if site.is_live:
            pin = None
        elif site.flow_id is not None:
            pin = trees.message_key(site.flow_id)
            opened.set_open(pin, True)
            if site.index is not None:
                pin = trees.block_key(site.flow_id, site.index)
        screen.select(chosen, pin)
        screen.sessions.choose(chosen)

    # Drilling

    def open(self) -> None:
        """Sessions → rounds → (opens nodes) → stream."""
        screen = self.screen
        match screen.desk.panel:
            case "sessions":
                screen.focus_panel("rounds")
            case "pending":
                self.show_call()
                screen.focus_panel("stream")
            case "rounds":
                node = screen.rounds.chosen
                if node is None:
                    return
                if node.is_open is None:
                    screen.focus_panel("stream")
                else:
                    self._set_open(node.key, not node.is_open)
            case _:
                pass

    def expand(self) -> None:
        node = self.screen.rounds.chosen
        if node is not None and node.is_open is False:
            self._set_open(node.key, True)
        elif node is not None and node.is_open:
            self.screen.desk.pane.move("down")

    def collapse(self) -> None:
        node = self.screen.rounds.chosen
        if node is None:
            return
        if node.is_open:
            self._set_open(node.key, False)
        elif node.parent is not None:
            self.screen.rounds.choose(node.parent, by_person=True)

    def _set_open(self, key: trees.NodeKey, is_open: bool) -> None:
        """Opening by hand holds the tree where it is."""
        self.screen.rounds.toggle(key, is_open)
        if self.screen.pin is None and key != trees.SIDE:
            self.screen.pin = key
        self.screen.loader.ask()

    def back(self) -> None:
        """Undoes one thing: input, filter, search, pin, zoom, focus."""
        screen = self.screen
        if screen.filter_input.display:
            screen.filter_input.value = ""
            self.filter_changed("")
            self.filter_done()
        elif screen.rounds.search or screen.stream.search:
            self._set_search("")
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
        self.screen.stream.is_at_end = True
        self.screen.loader.ask()

    def show_call(self) -> None:
        """The stream and the tree of the chosen pending call."""
        call = self.screen.pending.chosen
        if call is None:
            return
        self.go(
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
        screen.filter_input.placeholder = (
            "status:stalled agent:api tool:Bash cwd:src !word" if on_board else "search"
        )
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
