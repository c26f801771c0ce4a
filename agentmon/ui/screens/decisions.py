"""The Decisions tab: what was asked and decided, by category and status, with its history."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from textual import on

from agentmon.collab import decisions
from agentmon.collab.decisions import STATUSES, Decision, Revision
from agentmon.ui import deciding, tabs
from agentmon.ui.screens.form import Field, Values
from agentmon.ui.screens.talk import TalkPage
from agentmon.ui.sites import Site, linked_site
from agentmon.ui.widgets.decisions import DecisionPane, DecisionsPane
from agentmon.ui.widgets.lines import KeyedPane, LinePane

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

MOST = 1_000
"""Decisions in the list, those that changed last; search and categories find the rest."""

TURN: tuple[str | None, ...] = (None, *STATUSES)
"""The order in which the statuses take turns; None is all."""

State = tuple[int, int, str, str | None, str | None]


class Found(Struct):
    """What one read brought. `rows` None: the list is as it was."""

    state: State
    rows: list[Decision] | None
    categories: list[str] = field(default_factory=list[str])
    chosen: Decision | None = None
    category: str | None = None
    """The one whose history was read, where no decision is chosen."""
    revisions: list[Revision] = field(default_factory=list[Revision])
    site: Site | None = None


class DecisionsPage(TalkPage[Found]):
    """Decisions by category, and the chosen one with its positions and revisions."""

    PANEL = "decisions"
    TAB = tabs.DECISIONS
    SEARCH = 'words, "a phrase", star*, -not'

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(below)
        self.rows = DecisionsPane(id="decisions", view=self.view)
        self.decision = DecisionPane(id="decision", view=self.view)
        self.rows.is_recording = below.is_replay
        self.status: str | None = None
        self.category: str | None = None
        self.found: Found | None = None

    @property
    def list(self) -> KeyedPane:
        return self.rows

    @property
    def detail(self) -> LinePane:
        return self.decision

    @property
    def is_current(self) -> bool:
        found, rows = self.found, self.rows
        return found is not None and (rows.chosen, rows.chosen_category) == (
            found.chosen,
            found.category,
        )

    # Reading

    def question(self) -> Callable[[sqlite3.Connection], Found]:
        state = (
            self.feed.revision,
            self.outside_changes,
            self.searched,
            self.category,
            self.status,
        )
        is_known = self.found is not None and self.found.state == state
        rows = self.rows
        return partial(
            _read,
            state=state,
            chosen=rows.chosen,
            heading=rows.chosen_category,
            with_list=not is_known,
        )

    def show(self, found: Found) -> None:
        if found.state[2:] != (self.searched, self.category, self.status):
            return  # something else is asked for by now
        if found.rows is None and self.found is not None:
            found.categories = self.found.categories
        self.found = found
        rows = self.rows
        if found.rows is not None:
            rows.is_narrowed = any(found.state[2:])
            words = [self.category or "all categories", self.status or "any status"]
            words += [f"{len(found.rows)}{'+' * (len(found.rows) == MOST)}"]
            rows.words = " · ".join(words)
            rows.show(found.rows)
        if self.is_current:
            self.decision.show(found.chosen, found.revisions, found.category)
        self.shown()

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        if not self.is_current:
            self.reader.ask()

    # Keys

    def do_open(self) -> None:
        if self.is_inside and not self.line.has_focus:
            self.do_decided_in()
        elif self.rows.chosen is not None:
            self.go_inside(True)

    def do_find_decision(self) -> None:
        self.show_line()

    def do_switch_decision(self) -> None:
        self.go_inside(not self.is_inside)

    def do_status(self) -> None:
        self.status = TURN[(TURN.index(self.status) + 1) % len(TURN)]
        self.reader.ask()

    def do_next_category(self) -> None:
        self._turn(1)

    def do_previous_category(self) -> None:
        self._turn(-1)

    def _turn(self, step: int) -> None:
        known = self.found.categories if self.found is not None else []
        turn: list[str | None] = [None, *known]
        place = turn.index(self.category) if self.category in turn else 0
        self.category = turn[(place + step) % len(turn)]
        self.reader.ask()

    def do_decided_in(self) -> None:
        self.once_current(self._go_to_round)

    def _go_to_round(self) -> None:
        site = self.found.site if self.found is not None else None
        self.leave_for(site, "Nobody knows in which round: it was written down from outside")

    # Writing

    def do_new_decision(self) -> None:
        known = self.found.categories if self.found is not None else []
        fields = deciding.new_fields(self.category, known)
        self.ask_for(f"New decision by {self.below.person}", fields, self._decide)

    async def _decide(self, values: Values) -> str:
        row = await deciding.decide(self.feed.data_dir, self.below.person, values)
        return f"Written down: {row.decision_id}"

    def do_revise(self) -> None:
        row = self.rows.chosen
        if row is None:
            self.say("No decision is chosen")
            return
        fields = deciding.revise_fields(row)
        self.ask_for(
            f"Revision {row.revision + 1} by {self.below.person}",
            fields,
            partial(self._revise, row, fields),
        )

    async def _revise(self, row: Decision, fields: "list[Field]", values: Values) -> str:
        me = self.below.person
        revised = await deciding.revise(self.feed.data_dir, me, row, fields, values)
        return f"Revision {revised.revision}: what it was stays in its history"

    def again(self) -> "DecisionsPage":
        page = DecisionsPage(self.below)
        page.status, page.category, page.is_inside = self.status, self.category, self.is_inside
        page.line.value, page.line.display = self.line.value, self.line.display
        page.rows.cursor = self.rows.cursor
        return page


def _read(
    conn: sqlite3.Connection,
    *,
    state: State,
    chosen: Decision | None,
    heading: str | None,
    with_list: bool,
) -> Found:
    _, _, words, category, status = state
    found = Found(state, None)
    if with_list:
        found.rows = decisions.recent(
            conn, category=category, status=status, query=words or None, limit=MOST
        )
        found.categories = decisions.categories(conn)
        by_id = {row.decision_id: row for row in found.rows}
        if heading not in {row.category for row in found.rows}:
            heading = None
            first = min(found.rows, key=lambda row: row.category, default=None)
            chosen = by_id.get(chosen.decision_id, first) if chosen is not None else first
    if heading is not None:
        found.category = heading
        found.revisions = decisions.history(conn, heading)
    elif chosen is not None:
        found.chosen = chosen
        found.revisions = decisions.revisions(conn, chosen.decision_id)
        found.site = linked_site(conn, "decision", chosen, tool_use_id=chosen.tool_use_id)
    return found
