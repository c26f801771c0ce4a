"""Going to trouble from anywhere, and what there is to know about a chosen thing."""

import asyncio
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from agentmon.core.text import clean, one_line
from agentmon.report import render
from agentmon.report.board import Thread
from agentmon.report.family import Key, key_of
from agentmon.report.known import name_of
from agentmon.sources import tmux
from agentmon.store import read
from agentmon.ui import evidence, jumps, sites, witnesses
from agentmon.ui.evidence import Answer
from agentmon.ui.going import Going
from agentmon.ui.processes import Glances
from agentmon.ui.screens.overlays import EvidenceScreen
from agentmon.ui.tree import SIDE, Node

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

COPY_CAP = 200_000
"""Characters that are copied at most; terminals drop longer ones."""


class Trouble(Going):
    """Jumps, evidence, copying, the way to a tmux pane."""

    def __init__(self, screen: "MainScreen") -> None:
        super().__init__(screen)
        self.tour = jumps.Tour()
        self.glances = Glances()
        self.is_touring = False
        """Whether the last command was such a jump."""

    # Trouble

    async def next_error(self) -> None:
        await self._errors(1)

    async def previous_error(self) -> None:
        await self._errors(-1)

    async def _errors(self, step: int) -> None:
        await self._tour("error", await self.screen.feed.query(sites.error_sites), step)

    async def next_stall(self) -> None:
        await self._board_tour("stall", 1)

    async def previous_stall(self) -> None:
        await self._board_tour("stall", -1)

    async def next_permission(self) -> None:
        await self._board_tour("permission", 1)

    async def _board_tour(self, kind: str, step: int) -> None:
        view = self.screen.view
        found = jumps.board_sites(self.screen.board, kind, view.now, view.limits)
        await self._tour(kind, found, step)

    async def _tour(self, kind: str, places: list[sites.Site], step: int) -> None:
        """Goes to the next of some places. However many follow each other, one Esc leads back."""
        found = self.tour.step(kind, places, step)
        if found is None:
            self.screen.say(f"No {jumps.WORDS[kind]}", "success")
            return
        site, number = found
        if not self.is_touring:
            self.leave()
        await self.go(site)
        self.screen.focus_panel("rounds")
        note = f" · {one_line(site.note, 80)}" if site.note else ""
        self.screen.say(f"{kind} {number + 1} of {len(places)}{note}", "accent")

    # Facts

    async def evidence(self) -> None:
        """Over whatever is chosen: a thread, or in Rounds and Stream a node with its thread."""
        screen = self.screen
        thread, node = await self._thread(), self._node()
        if thread is None:
            screen.say("Nothing is selected")
            return
        asks_why = node is None or self._asks_why(thread, node)

        async def facts() -> Answer:
            return await self._evidence(thread, node, asks_why=asks_why)

        overlay = EvidenceScreen(await facts(), facts, ascii_only=screen.view.ascii_only)
        screen.app.push_screen(overlay, screen.overlay_left)

    async def _evidence(self, thread: Thread, node: Node | None, *, asks_why: bool) -> Answer:
        """What there is to say now of a thread and a node of its."""
        screen, key = self.screen, key_of(thread)
        thread = screen.board.thread(*key) or thread
        records = await screen.feed.query(partial(evidence.load, thread=thread))
        looked = None if screen.is_replay else await self.glances.at(thread)
        facts = evidence.thread_facts(thread, records, screen.view, looked)
        question = evidence.heading(thread, screen.view)
        if node is not None:
            data_dir = screen.feed.data_dir
            found = await screen.feed.query(partial(witnesses.load, node=node, data_dir=data_dir))
            about = witnesses.node_facts(node, found)
            if about and asks_why:
                facts = [*facts, evidence.SPACE, *about]
            elif about:
                facts = [*about, evidence.SPACE, *facts]
                question = witnesses.heading(node) or question
        return Answer(f"{question} · {one_line(name_of(thread), 40)}", facts)

    def _asks_why(self, thread: Thread, node: Node) -> bool:
        """Whether the agent is in trouble and what is chosen is where: that is the question."""
        view, block = self.screen.view, node.block
        word = render.state(thread, view.now, view.limits).word
        if word not in (*jumps.STALLS, "dead", "permission"):
            return False
        call = jumps.waiting_call(thread, word)
        if call is not None and block is not None:
            return (call.flow_id, call.index) == (block.flow_id, block.index)
        return self.screen.pin is None

    async def _thread(self) -> Thread | None:
        """The thread of what is chosen; of a subagent that is over, as it was."""
        screen = self.screen
        call = screen.pending.chosen if screen.desk.panel == "pending" else None
        node = self._node()
        chosen = screen.selected
        if call is not None:
            chosen = (call.sid, call.agent_id or "")
        elif node is not None and node.agent is not None:
            chosen = (node.agent.sid, node.agent.agent_id)
        elif node is not None and node.message is not None:
            chosen = (node.message.sid, node.message.agent_id or "")
        if chosen is None:
            return None
        found = screen.board.thread(*chosen)
        if found is None:
            found = await screen.feed.query(partial(_stored_thread, key=chosen))
        return found or screen.board.thread(chosen[0])

    def _node(self) -> Node | None:
        """The chosen node of the tree, where the keys are in Rounds or Stream."""
        screen = self.screen
        return screen.rounds.chosen if screen.desk.panel in ("rounds", "stream") else None

    def copy(self) -> None:
        screen = self.screen
        if screen.desk.panel == "stream":
            text, what = screen.stream.text()[:COPY_CAP], "the text"
        else:
            text = what = self._chosen_id()
        if not text:
            screen.say("There is nothing to copy")
            return
        screen.app.copy_to_clipboard(clean(text))
        plural = "" if len(text) == 1 else "s"
        screen.say(f"Copied {one_line(what, 60)} ({len(text):,} character{plural})", "success")

    def _chosen_id(self) -> str:
        """The id of the chosen line: session, agent, call, round, message or block."""
        screen = self.screen
        call = screen.pending.chosen if screen.desk.panel == "pending" else None
        if call is not None:
            return call.tool_use_id
        node = screen.rounds.chosen if screen.desk.panel == "rounds" else None
        if node is not None and node.block is not None:
            return node.block.tool_use_id or f"{node.block.flow_id} {node.block.index}"
        if node is not None and node.key != SIDE:
            return node.key[-1]
        sid, agent_id = screen.selected or ("", "")
        return agent_id or sid

    async def tmux(self) -> None:
        """Shows the pane of the chosen agent, or says why it cannot."""
        screen = self.screen
        thread = await self._thread()
        if thread is None:
            screen.say("Nothing is selected")
        elif screen.is_replay:
            screen.say("Cannot go to its pane: this is a recording")
        elif thread.session.host is not None:
            screen.say(f"Cannot go to its pane: it runs on {one_line(thread.session.host, 40)}")
        else:
            sid = thread.row.sid
            facts = await screen.feed.query(lambda conn: read.facts(conn, sid))
            told = facts.get(("", "tmux"))
            try:
                place = await asyncio.to_thread(
                    tmux.jump, thread.session.pid, told.value if told is not None else None
                )
            except tmux.NotFound as reason:
                screen.say(f"Cannot go to its pane: {reason}")
            else:
                screen.say(f"Went to {one_line(place, 60)}", "success")


def _stored_thread(conn: sqlite3.Connection, key: Key) -> Thread | None:
    """A thread that is not on the board any more."""
    session = read.session(conn, key[0])
    if session is None:
        return None
    rows = [row for row in read.agents(conn, key[0]) if row.agent_id == key[1]]
    return Thread(rows[0], session, []) if rows else None
