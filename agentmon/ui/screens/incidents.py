"""The Incidents view: a post-mortem of a session, or of all there is in a recording."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from textual import events, on

from agentmon.core.landmarks import Landmark
from agentmon.engine.feed import Feed
from agentmon.report import incidents
from agentmon.report.incidents import WORDS, Incidents
from agentmon.report.landmarks import Terms
from agentmon.store import read
from agentmon.ui.aside import Aside
from agentmon.ui.screens.page import Page
from agentmon.ui.screens.reader import Reader
from agentmon.ui.sites import Site
from agentmon.ui.widgets.incidents import EvidencePane, IncidentsPane, RoundsPane
from agentmon.ui.widgets.lines import KeyedPane, LinePane

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

T = TypeVar("T")

KNOWN = -2
"""The revision of what does not change any more."""

Answer = tuple[str | None, Incidents]
"""Of which session (None: all), and what was found."""


@runtime_checkable
class Recorded(Protocol):
    """A feed over recordings: what is asked of all of them is known before it is played."""

    async def ask_all(self, fn: Callable[[sqlite3.Connection, Path], T]) -> T: ...


class Whole:
    """Reads of everything there is in recordings, also of what was not played yet."""

    def __init__(self, feed: Feed, recorded: Recorded) -> None:
        self._feed, self._recorded = feed, recorded

    @property
    def revision(self) -> int:
        """Once all of them is known, playing them brings nothing new."""
        transport = self._feed.transport
        is_known = transport is not None and transport.indexed is None
        return KNOWN if is_known else self._feed.revision

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await self._recorded.ask_all(lambda conn, _: fn(conn))


class IncidentsPage(Page[Answer]):
    """Enter goes to where it happened; in a recording to when it did."""

    PANEL = "incidents"

    def __init__(self, below: "MainScreen", sid: str | None, *, is_all: bool) -> None:
        super().__init__(below)
        recorded = self.feed if isinstance(self.feed, Recorded) else None
        source = Aside(self.feed) if recorded is None else Whole(self.feed, recorded)
        self.reader = Reader(source, self.question, self.show, self._fail)
        self.is_recorded = recorded is not None
        self.sid, self.is_all = sid, is_all
        self.is_everything = False
        """Whether prompts and messages between agents are shown too."""
        self.found: Answer | None = None
        self.incidents = IncidentsPane(id="incidents", view=self.view)
        self.evidence = EvidencePane(id="evidence", ascii_only=self.view.ascii_only)
        self.rounds = RoundsPane(id="slowest", view=self.view)
        self.at: KeyedPane = self.incidents

    def panes(self) -> Sequence[LinePane]:
        return (self.incidents, self.evidence, self.rounds)

    def first(self) -> LinePane:
        return self.at

    def on_mount(self) -> None:
        self.place()

    def on_resize(self, event: events.Resize) -> None:
        self.place(event.size.height)

    def place(self, height: int = 0) -> None:
        """The list has what the others leave; on a small screen these are short."""
        height = height or self.app.size.height
        is_small = height < 22
        self.evidence.styles.height = 2 if is_small else 4
        self.rounds.styles.height = 5 if is_small else min(9, height // 3)

    # Reading

    @property
    def is_whole(self) -> bool:
        """Whether all of a recording is known: what is open at its end was broken off."""
        transport = self.feed.transport
        return self.is_recorded and transport is not None and transport.indexed is None

    def question(self) -> Callable[[sqlite3.Connection], Answer]:
        sid = None if self.is_all else self.sid
        limits, is_whole = self.feed.limits, self.is_whole
        is_recorded, wall = self.is_recorded, self.view.now

        def ask(conn: sqlite3.Connection) -> Answer:
            (_, _, path) = conn.execute("PRAGMA database_list").fetchone()
            now = None if is_whole else _last_time(conn) if is_recorded else wall
            terms = Terms(limits, now=now)
            found = incidents.load(conn, Path(path).parent, terms, sid=sid)
            name = None
            if sid is not None:
                session = read.session(conn, sid)
                name = None if session is None else found.names.get(sid)
            return name, found

        return ask

    def show(self, found: Answer) -> None:
        self.found = found
        name, known = found
        so_far = " so far" if self.is_recorded and not self.is_whole else ""
        self.incidents.whose = (name or _whose(known)) + so_far
        self.incidents.show(known, known.landmarks if self.is_everything else known.incidents)
        self.rounds.show(known)
        self.evidence.show(self.incidents.chosen)

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        self.evidence.show(self.incidents.chosen)

    # Keys

    async def do_open(self) -> None:
        """Where it happened. In a recording first to the moment at which it did."""
        site = self._site()
        if site is None:
            return
        if self.feed.transport is not None:
            await self.feed.transport.seek(site.time)
        self.dismiss(site)

    def _site(self) -> Site | None:
        if self.at is self.rounds:
            cost = self.rounds.chosen
            if cost is None:
                return None
            line = cost.line
            return Site("round", line.sid, "", line.start_time or cost.end, line.round_id)
        one = self.incidents.chosen
        if one is None or not one.sid:
            return None
        return site_of(one)

    def do_switch_incidents(self) -> None:
        self.at = self.rounds if self.at is self.incidents else self.incidents
        self.at.focus()

    def do_everything(self) -> None:
        self.is_everything = not self.is_everything
        if self.found is not None:
            self.show(self.found)
        words = "Prompts and messages too" if self.is_everything else "Incidents only"
        self.say(words, "accent")

    def do_scope_incidents(self) -> None:
        if self.sid is None:
            self.say("No session is chosen on the board")
            return
        self.is_all = not self.is_all
        self.found = None
        self.incidents.forget()
        self.rounds.forget()
        self.reader.ask()

    def again(self) -> "IncidentsPage":
        page = IncidentsPage(self.below, self.sid, is_all=self.is_all)
        page.is_everything = self.is_everything
        page.incidents.cursor, page.rounds.cursor = self.incidents.cursor, self.rounds.cursor
        page.at = page.rounds if self.at is self.rounds else page.incidents
        return page


def _last_time(conn: sqlite3.Connection) -> float:
    newest = read.sessions(conn, limit=1)
    return newest[0].last_time or 0.0 if newest else 0.0


def _whose(found: Incidents) -> str:
    count = len(found.sessions)
    if count == 1:
        return next(iter(found.names.values()))
    return f"all {count} sessions"


def site_of(one: Landmark) -> Site:
    """Where a landmark is: its call, message or round."""
    place = one.round_id, one.flow_id, one.index
    return Site(one.kind, one.sid, one.agent_id, one.time, *place, WORDS[one.kind])
