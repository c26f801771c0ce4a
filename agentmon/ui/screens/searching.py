"""Search (F): what was said, thought, called and answered, in live and stored sessions."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.widget import Widget
from textual.widgets import Input

from agentmon.report import finding
from agentmon.report.finding import Answer
from agentmon.store.search_query import Query, parse
from agentmon.ui import commands
from agentmon.ui.aside import Aside
from agentmon.ui.screens.page import Page
from agentmon.ui.screens.reader import Reader
from agentmon.ui.sites import Site
from agentmon.ui.widgets.bars import Note
from agentmon.ui.widgets.hits import HitsPane
from agentmon.ui.widgets.lines import LinePane

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

LIMIT = 100
SECONDS = 2.0
"""Longest search; what was found until then is shown."""

SHORTEST = 3
"""Letters from which on the word that is being typed is found by its start."""

EXAMPLES = 'words "a phrase" star* -not tool:Bash agent:codex session:api kind:result since:2h'


class SearchPage(Page[Answer | None]):
    """A line to type in, and hits that come while one types."""

    PANEL = "search"
    BINDINGS = commands.bindings()

    def __init__(self, below: "MainScreen", text: str = "") -> None:
        super().__init__(below)
        # The board does not wait for a search, nor a search for the board.
        self.reader = Reader(Aside(self.feed), self.question, self.show, self._fail)
        self.line = Input(
            text, id="find", compact=True, placeholder=EXAMPLES, select_on_focus=False
        )
        self.hits = HitsPane(id="hits", view=self.view)
        self._asked = ""

    def panes(self) -> Sequence[LinePane]:
        return (self.hits,)

    def parts(self) -> Sequence[Widget]:
        return (self.line, self.hits)

    def first(self) -> Widget:
        return self.line

    # Asking

    def question(self) -> Callable[[sqlite3.Connection], Answer | None]:
        text = self._asked = self.line.value
        query = _typed(text)
        self.hits.problem = "; ".join(query.problems)
        if not query:
            return lambda _: None
        return partial(self._search, query)

    def _search(self, query: Query, _: sqlite3.Connection) -> Answer:
        return finding.search(
            self.feed.data_dir,
            query,
            self.below.searching,
            now=self.feed.now(),
            limit=LIMIT,
            seconds=SECONDS,
        )

    def show(self, found: Answer | None) -> None:
        self.hits.show(found, is_asked=bool(self._asked.strip()))

    @on(Input.Changed, "#find")
    def _changed(self, event: Input.Changed) -> None:
        """One search at a time: what is typed meanwhile is the next one."""
        event.stop()
        self.reader.ask()

    @on(Input.Submitted, "#find")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.do_open()

    # Going

    def again(self) -> "SearchPage":
        page = SearchPage(self.below, self.line.value)
        page.hits.cursor = self.hits.cursor
        return page

    def do_open(self) -> None:
        hit = self.hits.chosen
        if hit is None:
            return
        found = hit.found
        word = hit.snippet[slice(*hit.matches[0])] if hit.matches else ""
        self.dismiss(
            Site(
                "hit",
                found.sid,
                found.agent_id,
                found.time,
                found.round_id,
                found.flow_id,
                found.index,
                word=word.lower(),
            )
        )

    def do_search(self) -> None:
        self.line.focus()

    def do_edit_search(self) -> None:
        self.line.focus()

    def do_switch_search(self) -> None:
        (self.hits if self.line.has_focus else self.line).focus()

    def second(self) -> None:
        """While one types, letters are words and no commands: the footer says what is left."""
        super().second()
        if self.line.has_focus:
            words = ("Enter goes there", "Up, Down choose", "Tab to the hits", "Esc back")
            self.footer.message = Note((" - " if self.view.ascii_only else " · ").join(words), "")
            self.footer.sync()


def _typed(text: str) -> Query:
    """The query of a line that is still being typed: its last word may be the start of one."""
    last = text.split(" ")[-1]
    is_word = last.isalnum() and len(last) >= SHORTEST and text.count('"') % 2 == 0
    return parse(f"{text}*" if is_word else text)
