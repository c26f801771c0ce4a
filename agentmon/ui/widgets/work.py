"""The panes of the Work tab: shares of the work, times by agent, files and commits."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, get_args

from agentmon.collab.analytics import Share, Utilisation
from agentmon.collab.worklog import WorkEvent
from agentmon.core.text import clean, wrap
from agentmon.report import render
from agentmon.report.histogram import histogram
from agentmon.report.words import clock_text, lasted, moment, tokens
from agentmon.ui.parts import Column, Line, Part, arrange, heading_line, table_line
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.sessions import View
from agentmon.ui.widgets.strips import Face, LineWidget

Measure = Literal["all", "events", "commits", "lines", "tool_calls", "busy_seconds", "tokens"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
WORDS: dict[Measure, str] = {
    "all": "all measures",
    "events": "events",
    "commits": "commits",
    "lines": "lines",
    "tool_calls": "tool calls",
    "busy_seconds": "busy time",
    "tokens": "tokens",
}

DAYS = 14
"""Days of a sparkline."""

SHARES = (
    Column("agent", 10, grow=2, most=24, heading="agent"),
    Column("share", 5, right=True, heading="share"),
    Column("bar", 8, grow=4, most=40),
    Column("events", 6, 2, right=True, heading="events"),
    Column("commits", 7, 3, right=True, heading="commits"),
    Column("lines", 6, 4, right=True, heading="lines"),
    Column("calls", 6, 5, right=True, heading="calls"),
    Column("busy", 6, 6, right=True, heading="busy"),
    Column("tokens", 6, 7, right=True, heading="tokens"),
    Column("days", DAYS, 1, heading=f"{DAYS} days"),
)


def percent_of(share: Share, measure: Measure) -> float:
    """What an agent has of a measure, 0 to 100."""
    return share.share if measure == "all" else share.shares.get(measure) or 0.0


class WarningBar(LineWidget):
    """What is wrong with the balance, in at most two lines; hidden while nothing is."""

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.text = ""

    def show(self, text: str, width: int) -> None:
        """A sentence, at this width; "" hides it."""
        self.text = text
        self.display = bool(text)
        self.styles.height = min(2, len(self._rows(width)))
        self.refresh()

    def _rows(self, width: int) -> list[str]:
        return wrap(clean(self.text, newline=False), max(10, width - 4))

    def face(self, y: int) -> Face:
        width = self.size.width
        rows = self._rows(width)
        if y >= len(rows):
            return Face()
        glyph = " " if y else "!" if self.ascii_only else "▲"
        more = "…" if y == 1 and len(rows) > 2 else ""
        return Face((Part(f" {glyph} {rows[y]}{more}", "warning"),))


class BalancePane(KeyedPane):
    """A bar an agent, the largest share first."""

    NAME = "Balance"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.measure: Measure = "all"
        self.window = ""
        """What is counted over, in words."""
        self.is_loaded = self.is_recording = False
        self._shares: dict[Hashable, Share] = {}
        self._days: Mapping[str, Sequence[float]] = {}

    def show(self, shares: Sequence[Share], days: Mapping[str, Sequence[float]]) -> None:
        self.is_loaded = True
        self._days = days
        measure = self.measure
        ordered = sorted(shares, key=lambda one: (-percent_of(one, measure), one.agent))
        self._shares = {share.agent: share for share in ordered}
        self.set_keys(list(self._shares))
        self.refresh()

    @property
    def chosen(self) -> str | None:
        share = self._shares.get(self.cursor) if self.cursor is not None else None
        return share.agent if share is not None else None

    def title(self) -> tuple[Line, Line]:
        return (Part(self.NAME),), (Part(f"by {WORDS[self.measure]} · {self.window}", "accent"),)

    def heading(self, width: int) -> Line | None:
        return heading_line(arrange(SHARES, width)) if self.keys else None

    def empty(self) -> list[Line]:
        if not self.is_loaded:
            words: Sequence[str] = ("Counting…",)
        elif self.is_recording:
            words = ("Nobody worked in this time of the recording;", "w takes a longer one.")
        else:
            words = (
                "Nobody worked in this time; w takes a longer one.",
                "Work comes from",
                "  what agents do: edits, commits, test runs",
                "  agentmon work --add KIND, from a script",
            )
        return [(Part(f" {line}", "text-muted"),) for line in words]

    def draw(self, index: int, width: int) -> Line:
        share = self._shares[self.keys[index]]
        percent = percent_of(share, self.measure)
        slots = arrange(SHARES, width)
        room = next((slot.width for slot in slots if slot.column.name == "bar"), 0)
        named = {
            "agent": Part(share.agent, "strong"),
            "share": Part(f"{percent:.0f}%"),
            "events": Part(tokens(share.events)),
            "commits": Part(tokens(share.commits)),
            "lines": Part(tokens(share.lines)),
            "calls": Part(tokens(share.tool_calls)),
            "busy": Part(_busy(share)),
            "tokens": Part(tokens(share.tokens)),
        }
        line = list(table_line(slots, named))
        for number, (column, _) in enumerate(slots):
            # columns of their own: their blanks mean something
            if column.name == "bar":
                line[2 * number] = Part(bar(percent, room, ascii=self.ascii_only), "accent")
            elif column.name == "days":
                line[2 * number] = Part(self._sparkline(share.agent), "accent")
        return tuple(line)

    def _sparkline(self, agent: str) -> str:
        values = [max(0.0, value) for value in self._days.get(agent, ())][-DAYS:]
        top = max(values, default=0.0)
        heights = [round(1_000 * value / top) if top else 0 for value in values]
        return histogram(heights, ascii=self.ascii_only).rjust(DAYS)


def bar(percent: float, width: int, *, ascii: bool) -> str:
    """A bar of so many of a hundred, in exactly `width` cells; a share above zero is seen."""
    filled = round(width * min(percent, 100.0) / 100)
    filled = max(filled, 1) if percent > 0 else 0
    full, rest = ("#", ".") if ascii else ("█", "░")
    return full * filled + rest * (width - filled)


State = Literal["busy", "blocked", "idle"]
LOOKS: dict[str, tuple[str, str, str]] = {
    "busy": ("█", "#", "success"),
    "blocked": ("▒", "!", "warning"),
    "idle": ("·", ".", "text-disabled"),
}
"""Glyph, its form in ASCII and role of what an agent is; the title says the words."""

TIMES = (
    Column("agent", 10, grow=1, most=24, heading="agent"),
    Column("strip", 12, grow=8),
    Column("busy", 6, 1, right=True, heading="busy"),
    Column("blocked", 7, 2, right=True, heading="blocked"),
    Column("idle", 6, 3, right=True, heading="idle"),
)


def strip(
    spans: Sequence[tuple[float, float, str]], since: float, until: float, width: int
) -> list[str]:
    """What an agent was in each of `width` equal parts of a time: what it was longest there; ""
    where nothing is known."""
    if width <= 0 or until <= since:
        return []
    size = (until - since) / width
    sums: list[dict[str, float]] = [{} for _ in range(width)]
    for start, end, state in spans:
        start, end = max(start, since), min(end, until)
        if end <= start:
            continue
        first = min(int((start - since) / size), width - 1)
        last = min(int((end - since) / size), width - 1)
        for cell in range(first, last + 1):
            left = max(start, since + cell * size)
            took = min(end, since + (cell + 1) * size) - left
            sums[cell][state] = sums[cell].get(state, 0.0) + max(took, 0.0)
    return [max(cell, key=lambda state: cell[state]) if cell else "" for cell in sums]


def _busy(share: Share) -> str:
    """Its busy time; of who only logged work, and was never seen at it, nobody knows any."""
    is_seen = share.busy_seconds or share.tool_calls or share.tokens
    return lasted(share.busy_seconds if is_seen else None)


class TimesPane(KeyedPane):
    """When each agent was busy, blocked and idle."""

    NAME = "Times"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.since = self.until = 0.0
        self.is_loaded = False
        self._rows: dict[Hashable, Utilisation] = {}

    def show(self, rows: Sequence[Utilisation], since: float, until: float) -> None:
        """The axis begins where the first of them was there."""
        self.is_loaded = True
        starts = [row.spans[0][0] for row in rows if row.spans]
        self.since, self.until = max(since, min(starts, default=since)), until
        ordered = sorted(rows, key=lambda row: (-row.busy, row.agent))
        self._rows = {row.agent: row for row in ordered}
        self.set_keys(list(self._rows))
        self.refresh()

    @property
    def chosen(self) -> str | None:
        row = self._rows.get(self.cursor) if self.cursor is not None else None
        return row.agent if row is not None else None

    def title(self) -> tuple[Line, Line]:
        legend: list[Part] = []
        for word, (glyph, plain, role) in LOOKS.items():
            legend += [Part(plain if self.ascii_only else glyph, role), Part(f" {word}  ")]
        return (Part(self.NAME),), (*legend[:-1], Part(" idle"))

    def heading(self, width: int) -> Line | None:
        if not self.keys:
            return None
        slots = arrange(TIMES, width)
        room = next(slot.width for slot in slots if slot.column.name == "strip")
        line = list(heading_line(slots))
        first, last = _moment(self.since, self.until), "now"
        gap = max(1, room - len(first) - len(last))
        line[2] = Part(f"{first}{' ' * gap}{last}"[:room], "text-muted")
        return tuple(line)

    def empty(self) -> list[Line]:
        words = "No agent was there in this time." if self.is_loaded else "Counting…"
        return [(Part(f" {words}", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        row = self._rows[self.keys[index]]
        named = {
            "agent": Part(row.agent, "strong"),
            "busy": Part(lasted(row.busy), "success"),
            "blocked": Part(lasted(row.blocked), "warning" if row.blocked else "text-muted"),
            "idle": Part(lasted(row.idle), "text-muted"),
        }
        slots = arrange(TIMES, width)
        room = next(slot.width for slot in slots if slot.column.name == "strip")
        line = table_line(slots, named)
        return (*line[:2], *self._drawn(row, room), *line[3:])

    def _drawn(self, row: Utilisation, width: int) -> list[Part]:
        parts: list[Part] = []
        for state in strip(row.spans, self.since, self.until, width):
            glyph, plain, role = LOOKS.get(state, (" ", " ", ""))
            letter = plain if self.ascii_only else glyph
            if parts and parts[-1].role == role:
                parts[-1] = Part(parts[-1].text + letter, role)
            else:
                parts.append(Part(letter, role))
        return parts


def _moment(since: float, until: float) -> str:
    """The start of a time: the hour, with the date where it is days ago."""
    return moment(since)[5:16] if until - since >= 86_400 else clock_text(since)[:5]


KINDS: dict[str, tuple[str, str, str, str]] = {
    "file_created": ("+", "+", "created", "success"),
    "file_modified": ("~", "~", "changed", ""),
    "file_deleted": ("-", "-", "deleted", "error"),
    "file_moved": ("→", ">", "moved", ""),
    "git_commit": ("◉", "@", "commit", "accent"),
    "test_run": ("✓", "v", "tests", "success"),
    "deployment": ("⇧", "^", "deploy", "accent"),
}
"""Glyph, its form in ASCII, word and role of each kind of work that is derived."""

EVENTS = (
    Column("mark", 1),
    Column("kind", 8, 2),
    Column("agent", 10, 1, grow=1, most=20),
    Column("what", 14, grow=6),
    Column("added", 6, 3, right=True),
    Column("deleted", 6, 3, right=True),
)


def what_of(event: WorkEvent) -> str:
    """The file, commit or words of an event."""
    if event.kind == "git_commit":
        return f"{(event.commit_hash or '')[:8]} {event.summary}".strip() or render.UNKNOWN
    if event.kind.startswith("file_") and event.files:
        more = f" and {len(event.files) - 1} more" if len(event.files) > 1 else ""
        return _tail(event.files[0].path) + more
    words = [event.summary or event.kind]
    for name in ("passed", "failed"):
        count = event.metadata.get(name)
        if isinstance(count, int) and not isinstance(count, bool) and count:
            words.append(f"{count} {name}")
    if event.is_success is False and len(words) == 1:
        words.append("failed")
    return ", ".join(words)


def _tail(path: str) -> str:
    """The file and the two folders it is in."""
    parts = path.split("/")
    return path if len(parts) <= 4 else "…/" + "/".join(parts[-3:])


class EventsPane(KeyedPane):
    """Files, commits, test runs: the newest first."""

    NAME = "Work"
    STAYS_AT_TOP = True

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.words = ""
        """What is shown of all work, in words."""
        self.is_loaded = False
        self._events: dict[Hashable, WorkEvent] = {}

    def show(self, events: Sequence[WorkEvent]) -> None:
        self.is_loaded = True
        self._events = {event.event_id: event for event in events}
        self.set_keys(list(self._events))
        self.refresh()

    @property
    def chosen(self) -> WorkEvent | None:
        return self._events.get(self.cursor) if self.cursor is not None else None

    def title(self) -> tuple[Line, Line]:
        return (Part(self.NAME),), (Part(clean(self.words, newline=False), "accent"),)

    def empty(self) -> list[Line]:
        words = "No such work in this time: u and w show more." if self.is_loaded else "Reading…"
        return [(Part(f" {words}", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        event = self._events[self.keys[index]]
        glyph, plain, word, role = KINDS.get(event.kind, ("·", ".", event.kind, ""))
        if event.is_success is False:
            glyph, plain, role = "✕", "x", "error"
        named = {
            "mark": Part(plain if self.ascii_only else glyph, role),
            "kind": Part(word, role),
            "agent": Part(event.agent),
            "what": Part(what_of(event), "error" if event.is_success is False else ""),
            "added": Part(_lines("+", event.lines_added), "success"),
            "deleted": Part(_lines("-", event.lines_deleted), "error"),
            "age": Part(self.view.when(event.time), "text-muted"),
        }
        return table_line(arrange((*EVENTS, self.view.age_column), width), named)


def _lines(sign: str, count: int | None) -> str:
    return f"{sign}{tokens(count)}" if count else ""
