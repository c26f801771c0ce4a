"""The main screen: four panes, their data, one tick. What keys do is in `agentmon.ui.actions`."""

import asyncio
import gc
import time
from collections.abc import Hashable

from textual import events, getters, on
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from agentmon.config import Settings
from agentmon.core.text import one_line
from agentmon.engine.feed import Feed
from agentmon.report import render
from agentmon.report.board import Board
from agentmon.ui import arrangement, commands, loading
from agentmon.ui import tree as trees
from agentmon.ui.actions import Actions
from agentmon.ui.host import Host
from agentmon.ui.loader import Loader
from agentmon.ui.parts import Line, Part
from agentmon.ui.widgets.bars import Footer, Header, Note, ProblemBar, TransportBar
from agentmon.ui.widgets.desk import Desk
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.rounds import as_node_key, is_pinnable
from agentmon.ui.widgets.sessions import View, short_path

TICK = 0.1
"""Seconds between looks at the revision."""

STAGGER = 0.012
"""Seconds between the paints of two panes, so that a key is never behind all of them."""

NOTE_SECONDS = 4.0


class MainScreen(Screen[None]):
    """Sessions, pending tools, rounds and stream of one feed."""

    app = getters.app(Host)
    BINDINGS = commands.bindings()
    AUTO_FOCUS = "#sessions"

    def __init__(self, feed: Feed, settings: Settings, note: str = "") -> None:
        super().__init__()
        self.feed = feed
        self.view = View(feed.now(), feed.limits, ascii_only=settings.ui.ascii)
        self.board = Board([], [])
        self.selected: tuple[str, str] | None = None
        self.pin: trees.NodeKey | None = None
        """What the stream shows; None: it follows the selected thread."""
        self.is_paused = False
        self.actions = Actions(self)
        self.loader = Loader(feed, self._wanted, self._show, self._set_read_problem)
        self.header = Header(id="header", view=self.view, feed=feed, note=note)
        self.problem_bar = ProblemBar(id="problem", ascii_only=settings.ui.ascii)
        self.desk = Desk(id="desk", view=self.view, feed=feed)
        self.sessions, self.pending = self.desk.sessions, self.desk.pending
        self.rounds, self.stream = self.desk.rounds, self.desk.stream
        self.transport_bar = TransportBar(id="transport", view=self.view, feed=feed)
        self.filter_input = Input(id="filter", compact=True)
        self.footer = Footer(id="footer", ascii_only=settings.ui.ascii)
        self._problems = {"read": "", "screen": ""}
        self._note_until = 0.0

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.problem_bar
        yield self.desk
        yield self.transport_bar
        yield self.filter_input
        yield self.footer

    @property
    def is_replay(self) -> bool:
        return self.feed.transport is not None

    def on_mount(self) -> None:
        self.footer.is_replay = self.is_replay
        self._show_problem()
        self.filter_input.display = False
        self.transport_bar.display = self.is_replay
        self.set_interval(TICK, self.tick)
        self.set_interval(1.0, self.second)
        self._show_hints()
        self.tick()
        # What exists by now stays: the collector need not walk it again in the middle of a frame.
        gc.collect()
        gc.freeze()

    def on_unmount(self) -> None:
        self.loader.stop()
        gc.unfreeze()

    def on_resize(self, event: events.Resize) -> None:
        shape = arrangement.shape(*event.size)
        self.set_class(shape == "tiny", "-tiny")
        self.header.is_tiny = shape == "tiny"
        self.header.refresh()
        self.desk.place(event.size)

    # Time

    def tick(self) -> None:
        """What changed since the last tick; in a replay the clock runs by itself."""
        transport = self.feed.transport
        if transport is not None and transport.playing:
            self.move_clock()
            self.transport_bar.sync()
        self.loader.tick()

    def second(self) -> None:
        """Ages and timers move on; lines that read the same are not painted again."""
        self.move_clock()
        if not self.is_paused:
            if self.sessions.filter:
                self.show_board()
            self._show_owner()
            self.sessions.sync()
            if self.pending.keys:
                self.pending.sync()
        self.show_header()
        self.transport_bar.sync()
        self._show_hints()
        self._show_problem()
        if self.footer.message is not None and time.monotonic() > self._note_until:
            self.footer.message = None
            self.footer.sync()

    def move_clock(self) -> None:
        if not self.is_paused:
            self.view.now = self.feed.now()

    def set_paused(self, is_paused: bool) -> None:
        """Holds the picture; what a person opens meanwhile is still read."""
        self.is_paused = self.loader.is_held = is_paused
        self.move_clock()
        self.show_header()
        self.tick()

    # Data

    def _wanted(self, with_tree: bool) -> loading.Wanted:
        sid, agent_id = self.selected or (None, "")
        opened = self.rounds.opened_of(sid or "", agent_id).copy()
        known = self.stream.result_id
        return loading.Wanted(
            sid, agent_id, self.pin, opened, with_tree=with_tree, known_result=known
        )

    async def _show(self, snapshot: loading.Snapshot) -> None:
        """Hands what came to the panes, one after the other; what is no longer wanted is left."""
        self.move_clock()
        if snapshot.board is not None:
            self.board = snapshot.board
        wanted = snapshot.wanted
        if (wanted.sid, wanted.agent_id) == (self.selected or (None, "")):
            if wanted.pin == self.pin:
                self.stream.show(snapshot.source)
                await asyncio.sleep(STAGGER)
            if snapshot.tree is not None:
                self.rounds.show(snapshot.tree)
                self._place_tree_cursor()
                await asyncio.sleep(STAGGER)
        if snapshot.board is not None:
            self.show_board()

    def show_board(self) -> None:
        """The board in its panes and in the header."""
        self.sessions.show(self.board)
        self.pending.show(self.board)
        if self.selected is not None and self.board.thread(self.selected[0]) is None:
            self._lose_selection()
        self.show_header()
        self._show_owner()
        self.desk.place()

    def _lose_selection(self) -> None:
        """The selected session is gone from the board: a recording began again."""
        self.selected = self.pin = None
        self.rounds.show(None)
        self.stream.show(loading.Source())
        self._select(self.sessions.cursor)

    def show_header(self) -> None:
        self.header.counts = render.counts(self.board, self.view.now, self.view.limits)
        self.header.is_paused = self.is_paused
        self.header.sync()

    def _place_tree_cursor(self) -> None:
        """The tree stands where the stream is: at the pin, else at what is written now."""
        if self.pin is not None:
            self.rounds.choose(self.pin)
            return
        block = self.stream.source.block
        if block is not None:
            key = trees.block_key(block.flow_id, block.index)
            if not self.rounds.choose(key):
                self.rounds.choose(trees.message_key(block.flow_id))

    def _show_owner(self) -> None:
        """Whose rounds these are, and its state, in the title of the panel."""
        thread = self.board.thread(*self.selected) if self.selected else None
        self.rounds.owner = ""
        self.rounds.owner_note = ()
        if thread is not None:
            view = self.view
            main = self.board.thread(thread.row.sid)
            shown = render.state(thread, view.now, view.limits, ascii=view.ascii_only)
            parent = "" if thread.is_main or main is None else f"{one_line(main.name, 24)}/"
            self.rounds.owner = f"{parent}{one_line(thread.name, 24)}"
            self.rounds.owner_note = (Part(f"{shown.glyph} {shown.label}", shown.color_role),)
        self.rounds.sync()

    # Words

    def _show_hints(self) -> None:
        """What to do while there is no agent."""
        if self.board.threads:
            return
        lines: list[Line] = [(Part(" No agents seen yet.", "strong"),)]
        looked_for = self.feed.status().looked_for
        if looked_for:
            lines.append((Part(" Looked for:", "text-muted"),))
            lines += [(Part(f"   {short_path(place)}"),) for place in looked_for]
        for words, command in (
            ("Follow a log or folder", "agentmon PATH"),
            ("See a lively board", "agentmon --demo"),
            ("Ask what is wrong", "agentmon doctor"),
        ):
            lines.append((Part(f" {words:<24}", "text-muted"), Part(command, "accent")))
        if lines != self.sessions.hints:
            self.sessions.hints = lines
            self.sessions.sync()
            self.desk.place()

    def set_problem(self, text: str) -> None:
        """A lasting problem of the screen itself."""
        self._problems["screen"] = text
        self._show_problem()

    def _set_read_problem(self, text: str) -> None:
        if text != self._problems["read"]:
            self._problems["read"] = text
            self._show_problem()

    def _show_problem(self) -> None:
        texts = (*self._problems.values(), self.feed.status().problem or "")
        text = next(filter(None, texts), "")
        self.problem_bar.text = text
        self.problem_bar.display = bool(text)
        self.problem_bar.sync()

    def say(self, text: str, role: str = "warning") -> None:
        """One sentence in the footer for a moment."""
        self._note_until = time.monotonic() + NOTE_SECONDS
        self.footer.message = Note(text, role)
        self.footer.sync()

    def _unsay(self) -> None:
        if self.footer.message is not None:
            self.footer.message = None
            self.footer.sync()

    # Choosing

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        if message.pane is self.sessions:
            self._select(message.key)
        elif message.pane is self.pending and message.by_person:
            self.actions.show_call()
        elif message.pane is self.rounds and message.by_person:
            key = as_node_key(message.key)
            self.pin = key if is_pinnable(key) else None
            self.loader.ask()

    def _select(self, key: Hashable) -> None:
        thread = self.sessions.thread(key)
        if thread is not None and (thread.row.sid, thread.row.agent_id) != self.selected:
            self.select((thread.row.sid, thread.row.agent_id))

    def select(self, chosen: tuple[str, str], pin: trees.NodeKey | None = None) -> None:
        """Shows the rounds and the stream of a thread."""
        if chosen != self.selected:
            self.rounds.show(None)
        self.selected = chosen
        self.pin = pin
        self.stream.is_at_end = True
        self._show_owner()
        self.loader.ask()

    def focus_panel(self, panel: str) -> None:
        """Moves the focus; on a small screen brings the panel up."""
        self.desk.choose(panel)
        self.footer.panel = panel
        self.footer.sync()

    def on_descendant_focus(self) -> None:
        """A click moves the focus too."""
        for panel, pane in self.desk.panes.items():
            if pane is self.focused and panel != self.desk.panel:
                self.focus_panel(panel)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A command outside its context leaves its key to the next one."""
        command = commands.BY_ID.get(str(parameters[0])) if action == "do" and parameters else None
        if command is None:
            return super().check_action(action, parameters)
        return commands.available(command, self.desk.panel, replay=self.is_replay)

    async def action_do(self, command_id: str) -> None:
        self._unsay()
        await self.actions.do(command_id)

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.filter_input.display:
            self.actions.filter_changed(event.value)

    @on(Input.Submitted, "#filter")
    def _filter_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.actions.filter_done()

    def show_input(self, is_shown: bool) -> None:
        """The filter line in place of the footer, or the other way round."""
        self.filter_input.display = is_shown
        self.footer.display = not is_shown
