"""The main screen: four panes, their data, one tick. What keys do is in `agentmon.ui.actions`."""

import asyncio
import gc
import os
from collections.abc import Hashable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.widgets import Input

from agentmon.config import Settings
from agentmon.core.attention import AttentionSettings
from agentmon.engine.feed import Feed
from agentmon.report import board as boards
from agentmon.report import render
from agentmon.report.board import Board
from agentmon.report.family import Key, key_of
from agentmon.report.known import NOTHING_KNOWN, Known
from agentmon.store.read import AgentRow
from agentmon.ui import commands, counting, loading, owner, tabs
from agentmon.ui import tree as trees
from agentmon.ui.actions import Actions
from agentmon.ui.attending import Attendant, words
from agentmon.ui.loader import Loader
from agentmon.ui.places import Place
from agentmon.ui.screens.frame import Frame
from agentmon.ui.screens.page import Outcome, Page
from agentmon.ui.screens.speaking import Speaking
from agentmon.ui.sites import Site
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.rounds import as_node_key, is_pinnable

TICK = 0.1
"""Seconds between looks at the revision."""

MOST_GUESTS = 20

STAGGER = 0.012
"""Seconds between the paints of two panes, so that a key is never behind all of them."""


def _settle_memory() -> None:
    """What exists by now stays: the collector need not walk it again in the middle of a frame."""
    gc.collect()
    gc.freeze()


def _let_memory_go() -> None:
    """What was there may be collected again."""
    gc.unfreeze()


class MainScreen(Frame):
    """Sessions, pending tools, rounds and stream of one feed."""

    BINDINGS = commands.bindings()
    AUTO_FOCUS = "#sessions"
    IS_PAST: ClassVar[bool] = False
    """Whether it shows what was, while another one below it is live."""

    def __init__(
        self,
        feed: Feed,
        settings: Settings,
        note: str = "",
        attention: AttentionSettings | None = None,
    ) -> None:
        super().__init__(feed, settings, note)
        self.board = Board([], [])
        self.known: dict[Key, Known] = {}
        self.selected: Key | None = None
        self.visited: dict[Key, AgentRow] = {}
        """Subagents that a person went into and that may be over: they are not on the board."""
        self.pin: trees.NodeKey | None = None
        """What the stream shows; None: it follows the selected thread."""
        self._followed: trees.NodeKey | None = None
        """The newest prompt, where the tree stands at it because nothing was answered yet."""
        self.is_paused = False
        self.actions = Actions(self)
        self.loader = Loader(feed, self._wanted, self._show, self.set_read_problem)
        self._attention = attention or AttentionSettings()
        self._attendant: Attendant | None = None
        self._resuming: Place | None = None
        self.searching = settings.search
        self.settings = settings
        self.person = settings.messages.agent or os.environ.get("USER") or "user"
        """Who sends and decides here, and whose mail it is: as on the command line."""
        self._told: str | None = None
        self.tab_counts = counting.TabCounts(feed)
        self.guests: list[str] = []
        """Sessions that a person went to and that are too old for the board."""
        self.sought: tuple[trees.NodeKey, str] | None = None
        """A word to scroll to once the text it is in is shown."""

    def on_mount(self) -> None:
        self.footer.is_replay, self.footer.is_past = self.is_replay, self.IS_PAST
        self.footer.tab = tabs.LIVE
        self.footer.counts = self.tab_counts.counts
        self.show_problem()
        self.filter_input.display = False
        self.transport_bar.display = self.is_replay
        if not self.is_replay:
            self._attendant = Attendant(self.app, self._attention)
        self.set_interval(TICK, self.tick)
        self.set_interval(1.0, self.second)
        self.set_interval(counting.EVERY, self._count_tabs)
        self._count_tabs()
        self._show_hints()
        if taps := self.feed.status().taps:
            self.say(f"H shows what to paste into another pane: {taps[0]}", "accent")
        self.tick()
        _settle_memory()

    async def on_unmount(self) -> None:
        self.loader.stop()
        await self.actions.forsake_past()
        if self._attendant is not None:
            self._attendant.leave()
        _let_memory_go()

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
        if self.is_paused:
            self.run_worker(self._attend_held(), group="attention", exit_on_error=False)
        else:
            self._attend(self.board)
            if self.sessions.filter:
                self.show_board()
            self._show_owner()
            self.sessions.sync()
            if self.pending.keys:
                self.pending.sync()
        self.show_header()
        self.transport_bar.sync()
        self._show_hints()
        self.show_problem()
        self.fade_note()
        self._tell_note()

    def move_clock(self) -> None:
        if not self.is_paused:
            self.view.now = self.feed.now()
            self.view.limits = self.feed.limits  # asked for the time, the feed may learn something

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
            sid,
            agent_id,
            self.pin,
            opened,
            with_tree=with_tree,
            known_result=known,
            known_told=self.stream.told_key,
            guests=tuple(self.guests),
        )

    def _scroll_to_sought(self) -> None:
        if self.sought is not None and self.sought[0] == self.pin:
            if self.sought[1]:
                self.stream.find(self.sought[1], 1)
            self.sought = None

    async def invite(self, sid: str) -> None:
        """Puts a session on the board that is too old for it."""
        self.guests = [*self.guests, sid][-MOST_GUESTS:]
        self.board = await self.feed.query(partial(boards.load, also=tuple(self.guests)))
        self.show_board()

    async def _show(self, snapshot: loading.Snapshot) -> None:
        """Hands what came to the panes, one after the other; what is no longer wanted is left."""
        self.move_clock()
        if snapshot.board is not None:
            self.board, self.known = snapshot.board, snapshot.known
            self.rounds.threads = {key_of(thread): thread for thread in self.board.threads}
        wanted = snapshot.wanted
        if (wanted.sid, wanted.agent_id) == (self.selected or (None, "")):
            if wanted.pin == self.pin:
                self.stream.show(snapshot.source)
                self._scroll_to_sought()
                await asyncio.sleep(STAGGER)
            if snapshot.tree is not None:
                self.rounds.show(snapshot.tree)
                self._place_tree_cursor()
                self._resume()
                await asyncio.sleep(STAGGER)
        if snapshot.board is not None:
            self.show_board()

    def show_board(self) -> None:
        """The board in its panes and in the header."""
        self.sessions.known = self.known
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

    def _count_tabs(self) -> None:
        self.run_worker(self.count_tabs(), group="tabs", exit_on_error=False)

    async def count_tabs(self) -> None:
        """What waits in the other tabs, in their titles."""
        if not self.is_paused and await self.tab_counts.look():
            top = self.app.screen
            (top if isinstance(top, Speaking) else self).footer.sync()

    def show_header(self) -> None:
        words = [self.view.state(thread).word for thread in self.board.threads]
        self.header.counts = render.counted(words, len(self.board.pending))
        self.header.is_paused = self.is_paused
        self.header.sync()

    def _place_tree_cursor(self) -> None:
        """The tree stands where the stream is: at the pin, else at what is written now."""
        if self.pin is not None:
            self.rounds.choose(self.pin)
            return
        row = as_node_key(self.rounds.cursor)
        if row is not None and not is_pinnable(row) and row != self._followed:
            return  # a person reads a line that is only words
        self._followed = self.rounds.unanswered
        if self._followed is not None:
            self.rounds.choose(self._followed)
            return
        block = self.stream.source.block
        if block is not None:
            key = trees.block_key(block.flow_id, block.index)
            if not self.rounds.choose(key):
                self.rounds.choose(trees.message_key(block.flow_id))

    def _show_owner(self) -> None:
        """Whose rounds these are, its state, and what is wrong with it, in Rounds."""
        key = self.selected
        thread = self.board.thread(*key) if key is not None else None
        visited = self.visited.get(key) if key is not None else None
        known = self.known.get(key, NOTHING_KNOWN) if key is not None else NOTHING_KNOWN
        self.rounds.belong_to(owner.owner(self.board, thread, visited, known, self.view))

    async def _attend_held(self) -> None:
        """A held picture keeps no news back."""
        self._attend(await self.feed.query(boards.load))

    def _attend(self, board: Board) -> None:
        """Calls the person when something is new; never over a recording."""
        if self._attendant is None or self.loader.is_first:
            return
        now, limits = self.feed.now(), self.feed.limits
        is_loading = self.feed.status().backlog is not None
        alert = self._attendant.look(board, now, limits, is_loading=is_loading)
        if alert is not None:
            shown = render.look(alert.look)
            glyph = shown.ascii if self.view.ascii_only else shown.glyph
            self.say(f"{glyph} {words(alert)}", shown.role)

    # Words

    def _show_hints(self) -> None:
        """What to do while there is no agent."""
        if self.board.threads:
            return
        lines = owner.hints(self.feed.status())
        if lines != self.sessions.hints:
            self.sessions.hints = lines
            self.sessions.sync()
            self.desk.place()

    def _tell_note(self) -> None:
        """What is to be known of recordings, once: a narrow tape deck has no room for it."""
        note = self.feed.status().note if self.is_replay else None
        if note is not None and note != self._told:
            self.say(note)
        self._told = note

    # Choosing

    @on(KeyedPane.Chosen)
    async def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        if message.pane is self.sessions:
            self._select(message.key)
        elif message.pane is self.pending and message.by_person:
            await self.actions.show_call()
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

    def here(self) -> Place:
        """Where a person is now."""
        pane, stream = self.desk.pane, self.stream
        return Place(
            panel=self.desk.panel,
            selected=self.selected,
            pin=self.pin,
            row=pane.cursor if isinstance(pane, KeyedPane) else None,
            rounds_top=self.rounds.top,
            stream_key=stream.source.key,
            stream_top=stream.top,
            is_at_end=stream.is_at_end,
        )

    def return_to(self, place: Place) -> None:
        """Goes back to a place; what has scrolled meanwhile is found again once it is loaded."""
        if place.selected is not None:
            self.sessions.reveal(place.selected, self.board)
            self.select(place.selected, place.pin)
            self.sessions.choose(place.selected)
        self._resuming = place
        self.focus_panel(place.panel)
        pane = self.desk.pane
        if isinstance(pane, KeyedPane) and place.row is not None:
            pane.choose(place.row)
        if place.page is not None:
            self.open_page(place.page())

    def _resume(self) -> None:
        """Scrolls to where a person was, when what was there is shown again."""
        place, self._resuming = self._resuming, None
        if place is None or place.selected != self.selected:
            return
        self.rounds.scroll_rows(place.rounds_top)
        if place.stream_key == self.stream.source.key and not place.is_at_end:
            self.stream.scroll_rows(place.stream_top)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A command outside its context leaves its key to the next one."""
        command = commands.BY_ID.get(str(parameters[0])) if action == "do" and parameters else None
        if command is None:
            return super().check_action(action, parameters)
        return commands.available(
            command, self.desk.panel, replay=self.is_replay, past=self.IS_PAST
        )

    async def action_do(self, command_id: str) -> None:
        self.unsay()
        await self.actions.do(command_id)

    def open_page(self, page: Page[Any]) -> None:
        """Shows a full screen over this one until it is left."""
        self.app.push_screen(page, partial(self._page_left, page))

    async def _page_left(self, page: Page[Any], outcome: Outcome) -> None:
        """Goes to what was chosen on a page, or does what its last key means here."""
        if isinstance(outcome, Site):
            self.actions.leave(page.again)
            await self.actions.go(outcome)
            self.focus_panel("rounds")
        elif outcome is not None:
            await self.action_do(outcome)

    async def overlay_left(self, command_id: str | None) -> None:
        """An overlay was closed, perhaps by a key that means something here."""
        if command_id is not None:
            await self.action_do(command_id)

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.filter_input.display:
            self.actions.filter_changed(event.value)

    @on(Input.Submitted, "#filter")
    def _filter_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.actions.filter_done()
