"""The one-line bars: header, problem, footer."""

from collections.abc import Mapping

from msgspec import Struct

from agentmon.core.text import cells, clean, one_line
from agentmon.engine.feed import Feed
from agentmon.report import render
from agentmon.ui import arrangement, commands, health, tabs
from agentmon.ui.parts import BLANK, Line, Part, justify, trim, width_of
from agentmon.ui.widgets.sessions import View, clock_text
from agentmon.ui.widgets.strips import Face, LineWidget

WIDE = 100
"""Cells from which on the header says more than figures."""

TOO_SMALL = f"agentmon needs {arrangement.MIN_WIDTH}x{arrangement.MIN_HEIGHT}"


class Bar(LineWidget):
    """One line of text."""

    def line(self, width: int) -> Line:
        raise NotImplementedError

    def face(self, y: int) -> Face:
        return Face(self.line(self.size.width) if y == 0 else BLANK)


class Header(Bar):
    """Counts by state on the left; lag, memory and clock on the right."""

    def __init__(self, *, id: str, view: View, feed: Feed, note: str = "") -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.feed = feed
        self.note = note
        self.counts: render.Counts | None = None
        self.is_paused = False
        self.is_tiny = False

    def line(self, width: int) -> Line:
        if self.is_tiny:
            return (Part(one_line(TOO_SMALL, width), "warning"),)
        right = self._right(width)
        room = width - width_of(right) - 1
        return justify((Part(" "), *self._left(room)), right, width)

    def _left(self, room: int) -> Line:
        counts = self.counts
        if counts is None:
            return (Part("agentmon", "title-focus"),)
        name = Part("agentmon", "title-focus")
        note = Part(f" {self.note}", "accent") if self.note else Part("")
        long = self._counts(counts, words=True)
        if width_of(long) + width_of((name, note)) + 3 <= room:
            return (name, note, Part("  "), *long)
        short = self._counts(counts, words=False)
        if width_of(short) + width_of((name,)) + 3 <= room:
            return (name, Part("  "), *short)
        return short

    def _counts(self, counts: render.Counts, *, words: bool) -> Line:
        """Numbers with their words, or with their glyphs where there is no room."""
        number = counts.agents
        parts = [Part(f"{number} agent{'' if number == 1 else 's'}" if words else str(number))]
        needs = "needs you" if counts.needs_you == 1 else "need you"
        for count, word, look in (
            (counts.working, "working", "writing"),
            (counts.needs_you, needs, "permission"),
            (counts.stalled, "stalled", "stalled"),
            (counts.overdue, "overdue", "overdue"),
            (counts.gone, "gone", "dead"),
            (counts.pending, "tools pending" if counts.pending != 1 else "tool pending", "tool"),
        ):
            if count:
                shown = render.look(look)
                glyph = shown.ascii if self.view.ascii_only else shown.glyph
                text = f"{glyph} {count} {word}" if words else f"{glyph} {count}"
                parts += [Part(" · " if words else "  ", "rule"), Part(text, shown.role)]
        return tuple(parts)

    def _right(self, width: int) -> Line:
        status = self.feed.status()
        parts: list[Part] = []
        if self.is_paused:
            parts.append(Part("|| paused  " if self.view.ascii_only else "⏸ paused  ", "warning"))
        if status.backlog is not None:
            words = one_line(status.note or "", 40) if width >= WIDE else ""
            share = f"{100 * status.backlog:.0f} %"
            parts.append(Part(f"{words or 'reading'} {share}  ", "accent"))
        clock = clock_text(self.view.now)
        time = Part((clock if width >= 70 else clock[:5]) + " ")
        left = self._counts(self.counts, words=False) if self.counts is not None else BLANK
        room = width - width_of((*left, *parts, time)) - 3
        parts += self._itself() if width >= WIDE else self._briefly(room)
        return (*parts, time)

    def _briefly(self, room: int) -> Line:
        """As many figures of agentmon itself as there is room for; H shows all."""
        text = ""
        for words in health.words(self.feed.status()):
            longer = f"{text} · {words}" if text else words
            if cells(longer) + 2 <= room:
                text = longer
        return (Part(f"{text}  ", "text-muted"),) if text else BLANK

    def _itself(self) -> Line:
        status = self.feed.status()
        words = [one_line(status.title, 24)]
        if status.lag_ms is not None:
            words.append(f"{health.lag_text(status.lag_ms)} behind")
        elif self.feed.transport is None:
            words.append("nothing new")
        words += health.words(status)[status.lag_ms is not None :]
        if status.note and status.backlog is None:
            words.append(one_line(status.note, 32))
        return (Part(" · ".join(words) + "   ", "text-muted"),)


class ProblemBar(Bar):
    """What is wrong with agentmon itself, in one sentence; hidden while nothing is."""

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.text = ""

    def line(self, width: int) -> Line:
        return (Part(f" ! {one_line(self.text, width - 4)}", "error"),)


class Note(Struct):
    """A sentence in the footer until the next key or a few seconds have passed."""

    text: str
    role: str = "warning"


KEYS_ROOM = 40
"""Cells that the keys have at least before the tabs stand beside them."""


class Footer(Bar):
    """The tabs, then the keys that work now; a message takes the place of all for a moment."""

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.panel = "sessions"
        self.is_replay = False
        self.tab: tabs.Tab | None = None
        """The tab that is shown; None on a page that is none."""
        self.counts: Mapping[str, int] = {}
        """What waits in a tab, by its id."""
        self.message: Note | None = None

    def line(self, width: int) -> Line:
        if self.message is not None:
            text = clean(self.message.text, newline=False)
            return trim((Part(" "), Part(text, self.message.role)), width)
        parts: list[Part] = [Part(" "), *self._tabs(width)]
        room = width - width_of(parts)
        for command in commands.footer_commands(self.panel, replay=self.is_replay):
            keys = commands.keys_of(command, self.panel, replay=self.is_replay)
            key = commands.key_name(keys[0])
            needed = cells(key) + 1 + cells(command.short) + 2
            if needed > room:
                continue
            parts += [Part(key, "title-focus"), Part(f" {command.short}  ", "text-muted")]
            room -= needed
        return tuple(parts)

    def _tabs(self, width: int) -> Line:
        """The titles, the one that is shown marked; fewer where the keys would have no room."""
        if self.tab is None:
            return BLANK
        for detail in range(tabs.DETAILS):
            parts = self._titles(self.tab, detail)
            if width - width_of(parts) >= KEYS_ROOM:
                return (*parts, Part("   "))
        return BLANK

    def _titles(self, here: tabs.Tab, detail: int) -> list[Part]:
        rule = " | " if self.ascii_only else " │ "
        parts: list[Part] = []
        for tab, title in tabs.titles(here, self.counts, detail=detail):
            parts += [Part(rule, "rule")] if parts else []
            text = f"[{title}]" if tab is here and self.ascii_only else title
            parts.append(Part(text, "title-focus" if tab is here else "text-muted"))
        return parts
