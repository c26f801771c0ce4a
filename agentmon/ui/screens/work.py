"""The Work tab: who does how much, when each agent is busy, which files and commits came of it."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from textual import events, on
from textual.widget import Widget

from agentmon.collab import analytics, worklog
from agentmon.collab.analytics import Balance, Utilisation
from agentmon.collab.worklog import WorkEvent
from agentmon.ui import arrangement, tabs
from agentmon.ui.aside import Aside
from agentmon.ui.screens.reader import Reader
from agentmon.ui.screens.talk import OpenPage
from agentmon.ui.sites import Site, linked_site
from agentmon.ui.widgets.lines import KeyedPane, LinePane
from agentmon.ui.widgets.work import (
    DAYS,
    MEASURES,
    WORDS,
    BalancePane,
    EventsPane,
    Measure,
    TimesPane,
    WarningBar,
)

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

HOUR = 3_600.0
WINDOWS = (("last 24h", 24 * HOUR), ("last 7 days", 168 * HOUR), ("last hour", HOUR))
"""In the order in which they take turns: words and seconds."""

DAYS_EVERY = 60.0
"""Seconds after which the days are summed again."""

MOST = 500
"""Events in the list."""

FILES = ("file_created", "file_modified", "file_deleted", "file_moved")
KINDS: tuple[tuple[str, tuple[str, ...] | None], ...] = (
    ("all work", None),
    ("files", FILES),
    ("commits", ("git_commit",)),
    ("test runs", ("test_run",)),
    ("deployments", ("deployment",)),
)
"""In the order in which they take turns: words and kinds."""

State = tuple[int, int, int, int, str | None, Measure]


class Sums(Struct):
    """What an agent or all of them did over the window."""

    balance: Balance
    times: list[Utilisation]
    days: dict[str, list[float]] | None
    """None: not asked for."""
    events: list[WorkEvent]
    now: float


class Found(Struct):
    """What one read brought. `sums` None: they are as they were."""

    state: State
    sums: Sums | None
    site: Site | None
    """Where the chosen work was done, where that is known."""
    event_id: int | None


class WorkPage(OpenPage[Found]):
    """Shares, times, events; Enter on an agent shows its events, and on one of them its round."""

    PANEL = "work"
    TAB = tabs.WORK

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(below)
        # The sums go through everything of the window: the board does not wait for them.
        self.reader = Reader(Aside(self.feed), self.question, self.show, self._fail)
        self.warning = WarningBar(id="warning", ascii_only=self.view.ascii_only)
        self.balance = BalancePane(id="balance", view=self.view)
        self.times = TimesPane(id="times", view=self.view)
        self.events = EventsPane(id="events", view=self.view)
        self.balance.is_recording = below.is_replay
        self.warning.display = False
        self.window = self.kind = 0
        self.agent: str | None = None
        """Whose events are listed; None: of all."""
        self.at: LinePane = self.balance
        """The pane that has the keys."""
        self.lower: LinePane = self.events
        """Of the lower two, the one that is shown where there is room for one."""
        self.found: Found | None = None
        self._days: dict[str, list[float]] = {}
        self._days_of: tuple[Measure, float] | None = None
        """The measure of the days that are shown, and when they were read."""

    def panes(self) -> Sequence[LinePane]:
        return (self.balance, self.times, self.events)

    def parts(self) -> Sequence[Widget]:
        return (self.warning, *self.panes())

    def first(self) -> Widget:
        return self.at

    def on_mount(self) -> None:
        self.place()

    def on_resize(self, event: events.Resize) -> None:
        self.place(*event.size)

    def place(self, width: int = 0, height: int = 0) -> None:
        """All three over each other; where there is no room, the balance and one of the others."""
        width, height = width or self.app.size.width, height or self.app.size.height
        is_roomy = arrangement.shape(width, height) in ("wide", "stack")
        self.warning.show(self.warning.text, width)
        rows = self.balance.count + 2 if self.balance.count else len(self.balance.empty()) + 1
        self.balance.styles.height = min(max(4, rows), max(5, height * 2 // 5))
        self.times.styles.height = (
            min(max(4, self.times.count + 2), height // 4) if is_roomy else "1fr"
        )
        self.times.display = is_roomy or self.lower is self.times
        self.events.display = is_roomy or self.lower is self.events

    def go_to(self, pane: LinePane) -> None:
        """Gives the keys to a pane, and brings it up."""
        self.at = pane
        if pane is not self.balance:
            self.lower = pane
        self.place()
        pane.focus()

    @property
    def is_current(self) -> bool:
        return self.found is not None and self.events.cursor == self.found.event_id

    # Reading

    def question(self) -> Callable[[sqlite3.Connection], Found]:
        state = (
            self.feed.revision,
            self.outside_changes,
            self.window,
            self.kind,
            self.agent,
            self.balance.measure,
        )
        is_known = self.found is not None and self.found.state == state
        return partial(
            _read,
            state=state,
            now=self.view.now,
            chosen=self.events.chosen,
            with_sums=not is_known,
            with_days=not self._has_days,
            least=self.below.settings.balance.least,
        )

    @property
    def _has_days(self) -> bool:
        """Whether the days are new enough: they are many, and today is one of them."""
        if self._days_of is None:
            return False
        measure, at = self._days_of
        return measure == self.balance.measure and 0 <= self.view.now - at < DAYS_EVERY

    def show(self, found: Found) -> None:
        ours = (self.window, self.kind, self.agent, self.balance.measure)
        if found.state[2:] != ours:
            return  # something else is asked for by now
        self.found = found
        if found.sums is not None:
            self._show_sums(found.sums)
        self.shown()

    def _show_sums(self, sums: Sums) -> None:
        words, seconds = WINDOWS[self.window]
        self.balance.window = words
        if sums.days is not None:
            self._days, self._days_of = sums.days, (self.balance.measure, sums.now)
        self.balance.show(sums.balance.shares, self._days)
        self.times.show(sums.times, sums.now - seconds, sums.now)
        self.warning.show(sums.balance.warning or "", self.app.size.width)
        listed = [KINDS[self.kind][0], *([f"of {self.agent}"] if self.agent else []), words]
        self.events.words = " · ".join(listed)
        self.events.show(sums.events)
        self.place()

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        if message.pane is self.events and not self.is_current:
            self.reader.ask()

    # Keys

    def do_open(self) -> None:
        """On an agent: its events, or all again. On an event: where it was done."""
        pane = self.pane
        if pane is self.events:
            self.once_current(self._go_to_round)
            return
        agent = self.times.chosen if pane is self.times else self.balance.chosen
        self.agent = agent if agent != self.agent else None
        self.go_to(self.events)
        self.reader.ask()

    def _go_to_round(self) -> None:
        site = self.found.site if self.found is not None else None
        self.leave_for(site, "Nobody knows in which round: it was logged from outside")

    def do_back(self) -> None:
        """To the balance, of all agents; from there to the board."""
        if self.pane is not self.balance or self.agent is not None:
            self.agent = None
            self.go_to(self.balance)
            self.reader.ask()
        else:
            self.dismiss(None)

    def do_switch_work(self) -> None:
        panes = self.panes()
        self.go_to(panes[(panes.index(self.pane) + 1) % len(panes)])

    def do_work_window(self) -> None:
        self.window = (self.window + 1) % len(WINDOWS)
        self.reader.ask()

    def do_work_kind(self) -> None:
        self.kind = (self.kind + 1) % len(KINDS)
        self.go_to(self.events)
        self.reader.ask()

    def do_work_measure(self) -> None:
        measure = MEASURES[(MEASURES.index(self.balance.measure) + 1) % len(MEASURES)]
        self.balance.measure = measure
        self.say(f"Shares by {WORDS[measure]}", "accent")
        self.reader.ask()

    def again(self) -> "WorkPage":
        page = WorkPage(self.below)
        page.window, page.kind, page.agent = self.window, self.kind, self.agent
        page.balance.measure = self.balance.measure
        page.balance.cursor, page.events.cursor = self.balance.cursor, self.events.cursor
        page.at = page.panes()[self.panes().index(self.at)]
        if page.at is not page.balance:
            page.lower = page.at
        return page


def _read(
    conn: sqlite3.Connection,
    *,
    state: State,
    now: float,
    chosen: WorkEvent | None,
    with_sums: bool,
    with_days: bool,
    least: int,
) -> Found:
    sums: Sums | None = None
    if with_sums:
        _, _, window, kind, agent, measure = state
        since = now - WINDOWS[window][1]
        found = _events(conn, KINDS[kind][1], agent, since)
        sums = Sums(
            analytics.check_balance(conn, since, now, least=least),
            analytics.utilisation(conn, since, now),
            analytics.per_day(conn, METRICS[measure], DAYS, now) if with_days else None,
            found,
            now,
        )
        first = found[0] if found else None
        event_id = chosen.event_id if chosen is not None else None
        chosen = next((event for event in found if event.event_id == event_id), first)
    if chosen is None:
        return Found(state, sums, None, None)
    site = linked_site(
        conn, "work", chosen, tool_use_id=chosen.tool_use_id, agent_id=chosen.thread_agent
    )
    return Found(state, sums, site, chosen.event_id)


def _events(
    conn: sqlite3.Connection, kinds: tuple[str, ...] | None, agent: str | None, since: float
) -> list[WorkEvent]:
    """The newest events of some kinds."""
    found = [
        event
        for kind in kinds or (None,)
        for event in worklog.recent(conn, agent=agent, kind=kind, since=since, limit=MOST)
    ]
    return sorted(found, key=lambda event: (-event.time, -event.event_id))[:MOST]


METRICS: dict[Measure, str] = {
    "all": "work_events",
    "events": "work_events",
    "commits": "commits",
    "lines": "lines_added",
    "tool_calls": "tool_calls",
    "busy_seconds": "busy_seconds",
    "tokens": "tokens",
}
"""The daily metric of each measure."""
