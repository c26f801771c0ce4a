"""The panes of a post-mortem: what happened, what it rests on, where the time of rounds went."""

from collections.abc import Hashable, Sequence

from agentmon.core.landmarks import Landmark
from agentmon.core.spending import Spent
from agentmon.core.text import cells, wrap
from agentmon.report import incident_pages
from agentmon.report.incidents import LOOKS, USES, WORDS, Incidents, evidence_text, shares
from agentmon.report.landmarks import RoundCost
from agentmon.report.words import clock_text, counted, lasted, percent
from agentmon.ui.parts import Column, Line, Part, arrange, heading_line, table_line
from agentmon.ui.widgets.lines import KeyedPane, LinePane
from agentmon.ui.widgets.sessions import View

MOST_WHERE = 26


def columns(where: int) -> tuple[Column, ...]:
    """Those of the list, where the longest place takes so many cells."""
    most = max(4, min(where, MOST_WHERE))
    return (
        Column("time", 8),
        Column("glyph", 1),
        Column("kind", 12),
        Column("took", 6, right=True),
        Column("where", min(8, most), 1, grow=2, most=most),
        Column("about", 12, grow=4),
    )


class IncidentsPane(KeyedPane):
    """A row an incident, in the order of time."""

    NAME = "Incidents"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.whose = ""
        """Whose they are, in words."""
        self.found: Incidents | None = None
        self._rows: list[Landmark] = []
        self._columns = columns(0)

    def show(self, found: Incidents, rows: Sequence[Landmark]) -> None:
        self.found, self._rows = found, list(rows)
        places = {incident_pages.where(found, one) for one in rows}
        self._columns = columns(max(map(cells, places), default=0))
        self.set_keys(_keys(self._rows))

    def forget(self) -> None:
        """As if nothing had been shown."""
        self.found, self._rows = None, []
        self.set_keys([])

    @property
    def chosen(self) -> Landmark | None:
        return self._rows[self.cursor_index] if self._rows else None

    def title(self) -> tuple[Line, Line]:
        count = f"{self.count:,} · " if self.count else ""
        return (Part(f"{self.NAME} · {self.whose}"),), (
            Part(f"{count}Enter goes there", "text-muted"),
        )

    def empty(self) -> list[Line]:
        words = " Nothing went wrong: no stall, error, wait, long or repeated call."
        return [(Part(words if self.found is not None else " Looking back…", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        one, found = self._rows[index], self.found
        look = LOOKS[one.kind]
        is_ahead = one.time > self.view.now
        named = {
            "time": Part(clock_text(one.time), "text-disabled" if is_ahead else "text-muted"),
            "glyph": Part(look.ascii if self.ascii_only else look.glyph, look.role),
            "kind": Part(WORDS[one.kind], look.role),
            "took": Part("" if one.seconds is None else lasted(one.seconds)),
            "where": Part(incident_pages.where(found, one) if found else "", "text-muted"),
            "about": Part(one.text),
        }
        return table_line(arrange(self._columns, width), named)


def _keys(rows: Sequence[Landmark]) -> list[Hashable]:
    """What stays the same of a row when more becomes known; the same twice is numbered."""
    seen: dict[Hashable, int] = {}
    keys: list[Hashable] = []
    for one in rows:
        key = one.kind, one.time, one.sid, one.agent_id, one.flow_id, one.tool_use_id
        seen[key] = seen.get(key, 0) + 1
        keys.append((*key, seen[key]))
    return keys


class EvidencePane(LinePane):
    """What the chosen row rests on."""

    NAME = "Evidence"

    def __init__(self, *, id: str, ascii_only: bool) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self._chosen: Landmark | None = None
        self._lines: list[Line] = []

    def show(self, chosen: Landmark | None) -> None:
        self._chosen = chosen
        self.reflow()
        self.sync()

    def reflow(self) -> None:
        one, width = self._chosen, max(10, self.size.width - 2)
        self._lines = []
        if one is not None:
            rows = wrap(evidence_text(one) or one.text, width)
            self._lines = [(Part(f" {row}"),) for row in rows]
        super().reflow()

    @property
    def count(self) -> int:
        return len(self._lines)

    def title(self) -> tuple[Line, Line]:
        one = self._chosen
        words = "" if one is None else f" · {WORDS[one.kind]} at {clock_text(one.time)}"
        return (Part(self.NAME + words),), ()

    def draw(self, index: int, width: int) -> Line:
        return self._lines[index]


ROUND_COLUMNS = (
    Column("round", 9, grow=2, most=26),
    Column("took", 6, right=True, heading="took"),
    Column("thinking", 8, 4, right=True, heading="thinking"),
    Column("writing", 7, 3, right=True, heading="writing"),
    Column("tools", 6, right=True, heading="tools"),
    Column("person", 6, 1, right=True, heading="person"),
    Column("api", 6, right=True, heading="API"),
    Column("other", 6, 5, right=True, heading="other"),
    Column("prompt", 12, 2, grow=4, heading="prompt"),
)


class RoundsPane(KeyedPane):
    """All rounds in one row, their shares, then the slowest ones."""

    NAME = "Where the time went"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self._found: Incidents | None = None

    def show(self, found: Incidents) -> None:
        self._found = found
        slowest = [("round", one.line.sid, one.line.round_id) for one in found.slowest]
        self.set_keys(["all", "shares", *slowest] if slowest else [])

    def forget(self) -> None:
        """As if nothing had been shown."""
        self._found = None
        self.set_keys([])

    @property
    def chosen(self) -> RoundCost | None:
        """None: a sum of all."""
        place = self.cursor_index - 2
        return self._found.slowest[place] if self._found is not None and place >= 0 else None

    def title(self) -> tuple[Line, Line]:
        return (Part(self.NAME),), (Part("the slowest rounds", "text-muted"),)

    def heading(self, width: int) -> Line | None:
        return heading_line(arrange(ROUND_COLUMNS, width))

    def empty(self) -> list[Line]:
        words = " No rounds." if self._found is not None else ""
        return [(Part(words, "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        found, slots = self._found, arrange(ROUND_COLUMNS, width)
        if found is None:
            return ()
        if index >= 2:
            one = found.slowest[index - 2]
            named = {use: Part(text) for use, text in _lengths(one.spent).items()}
            named |= {
                "round": Part(incident_pages.round_name(found, one), "strong"),
                "took": Part(lasted(one.seconds), "accent"),
                "prompt": Part(one.line.user_prompt or "", "text-muted"),
            }
        elif index:
            named = {
                use: Part(percent(share) if share else "", "text-muted")
                for use, _, share in shares(found.spent)
            }
        else:
            named = {use: Part(text, "strong") for use, text in _lengths(found.spent).items()}
            named |= {
                "round": Part(counted(found.round_count, "round"), "strong"),
                "took": Part(lasted(found.spent.total), "strong"),
            }
        return table_line(slots, named)


def _lengths(spent: Spent) -> dict[str, str]:
    return {use: lasted(getattr(spent, use)) if getattr(spent, use) else "" for use in USES}
