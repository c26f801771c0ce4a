"""Going to trouble from anywhere, and what there is to know about a chosen thing."""

import asyncio
from typing import TYPE_CHECKING

from agentmon.core.text import clean, one_line
from agentmon.store import read
from agentmon.ui import evidence, jumps, sites, tmux
from agentmon.ui.going import Going
from agentmon.ui.screens.overlays import EvidenceScreen

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

COPY_CAP = 200_000
"""Characters that are copied at most; terminals drop longer ones."""


class Trouble(Going):
    """Jumps, evidence, copying, the way to a tmux pane."""

    def __init__(self, screen: "MainScreen") -> None:
        super().__init__(screen)
        self.tour = jumps.Tour()

    # Trouble

    async def next_error(self) -> None:
        await self._errors(1)

    async def previous_error(self) -> None:
        await self._errors(-1)

    async def _errors(self, step: int) -> None:
        self._tour("error", await self.screen.feed.query(sites.error_sites), step)

    def next_stall(self) -> None:
        self._board_tour("stall", 1)

    def previous_stall(self) -> None:
        self._board_tour("stall", -1)

    def next_permission(self) -> None:
        self._board_tour("permission", 1)

    def _board_tour(self, kind: str, step: int) -> None:
        view = self.screen.view
        self._tour(kind, jumps.board_sites(self.screen.board, kind, view.now, view.limits), step)

    def _tour(self, kind: str, places: list[sites.Site], step: int) -> None:
        found = self.tour.step(kind, places, step)
        if found is None:
            self.screen.say(f"No {jumps.WORDS[kind]}", "success")
            return
        site, number = found
        self.go(site)
        self.screen.focus_panel("rounds")
        note = f" · {one_line(site.note, 80)}" if site.note else ""
        self.screen.say(f"{kind} {number + 1} of {len(places)}{note}", "accent")

    # Facts

    async def evidence(self) -> None:
        """Over whatever is chosen: a thread, or in Rounds a node with its thread."""
        screen = self.screen
        call = screen.pending.chosen if screen.desk.panel == "pending" else None
        which = (call.sid, call.agent_id or "") if call else screen.selected
        thread = screen.board.thread(*which) if which else None
        if thread is None:
            screen.say("Nothing is selected")
            return
        records = await screen.feed.query(lambda conn: evidence.load(conn, thread))
        facts = evidence.thread_facts(thread, records, screen.view)
        node = screen.rounds.chosen if screen.desk.panel in ("rounds", "stream") else None
        if node is not None:
            facts = [*evidence.node_facts(node, screen.view), *facts]
        title = f"Evidence · {one_line(thread.name, 40)}"
        screen.app.push_screen(EvidenceScreen(title, facts, ascii_only=screen.view.ascii_only))

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
        screen.say(f"Copied {one_line(what, 60)} ({len(text)} characters)", "success")

    def _chosen_id(self) -> str:
        """The id of the chosen line: session, call, round, message or block."""
        screen = self.screen
        call = screen.pending.chosen if screen.desk.panel == "pending" else None
        if call is not None:
            return call.tool_use_id
        node = screen.rounds.chosen if screen.desk.panel == "rounds" else None
        if node is not None and node.block is not None:
            return node.block.tool_use_id or f"{node.block.flow_id} {node.block.index}"
        if node is not None:
            return node.key[-1]
        return screen.selected[0] if screen.selected else ""

    async def tmux(self) -> None:
        screen = self.screen
        session = None
        if screen.selected is not None:
            sid = screen.selected[0]
            session = await screen.feed.query(lambda conn: read.session(conn, sid))
        if session is None:
            screen.say("Nothing is selected")
            return
        try:
            place = await asyncio.to_thread(tmux.jump, session.pid)
        except tmux.NotFound as reason:
            screen.say(f"Cannot go to its pane: {reason}")
        else:
            screen.say(f"Went to {place}", "success")
