"""The panes of the Decisions tab: the decisions, and one with its positions and its history."""

from collections.abc import Hashable, Sequence
from itertools import groupby

from agentmon.collab.decisions import Decision, Revision
from agentmon.core.text import clean
from agentmon.report import render
from agentmon.report.words import moment
from agentmon.ui.parts import Column, Line, Part, arrange, table_line
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.prose import INDENT, ProsePane
from agentmon.ui.widgets.sessions import View

LOOKS = {
    "open": ("○", "o", "warning"),
    "decided": ("✓", "+", "success"),
    "superseded": ("↻", "~", "text-muted"),
    "withdrawn": ("·", ".", "text-disabled"),
}
"""Glyph, its form in ASCII and role of each status; the word stands beside it."""

COLUMNS = (
    Column("mark", 1),
    Column("status", 10, 1),
    Column("question", 24, grow=5),
    Column("decision", 12, 2, grow=4),
    Column("impact", 3, 3, right=True),
    Column("by", 8, 4, grow=1, most=16),
)

HOW_TO_FILL = (
    "No decision yet. They come from",
    "  what agents ask: plans, permissions, questions",
    "  agentmon decide, from a script or an agent",
    "  n, which writes one down here",
)

Key = tuple[str, str]
"""("category", its name) or ("decision", its id)."""


class DecisionsPane(KeyedPane):
    """Decisions below their categories; in each the one that changed last comes first."""

    NAME = "Decisions"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.words = ""
        """What is shown of all decisions, in words."""
        self.is_narrowed = self.is_recording = self.is_loaded = False
        self._rows: dict[Hashable, Decision] = {}
        self._categories: dict[Hashable, tuple[str, int]] = {}
        """Name and number of decisions of each heading."""

    def show(self, rows: Sequence[Decision]) -> None:
        self.is_loaded = True
        found = sorted(rows, key=lambda row: row.category)  # stable: newest first in each
        keys: list[Key] = []
        self._rows, self._categories = {}, {}
        for category, grouped in groupby(found, lambda row: row.category):
            members = list(grouped)
            keys.append(("category", category))
            self._categories[keys[-1]] = category, len(members)
            for row in members:
                keys.append(("decision", row.decision_id))
                self._rows[keys[-1]] = row
        before = self.cursor
        self.set_keys(keys)
        if keys and self.cursor != before and self.cursor == keys[0]:
            self.choose(keys[1])  # a heading is chosen by a person only
        self.refresh()

    @property
    def chosen_category(self) -> str | None:
        """The category whose heading the cursor is on."""
        found = self._categories.get(self.cursor) if self.cursor is not None else None
        return found[0] if found is not None else None

    @property
    def chosen(self) -> Decision | None:
        return self._rows.get(self.cursor) if self.cursor is not None else None

    def title(self) -> tuple[Line, Line]:
        return (Part(self.NAME),), (Part(self.words, "accent"),)

    def empty(self) -> list[Line]:
        if not self.is_loaded:
            words: Sequence[str] = ("Reading…",)
        elif self.is_narrowed:
            words = ("No such decision; u, h, l show others, Esc ends a search.",)
        elif self.is_recording:
            words = ("No decision in this recording yet.",)
        else:
            words = HOW_TO_FILL
        return [(Part(f" {line}", "text-muted"),) for line in words]

    def draw(self, index: int, width: int) -> Line:
        key = self.keys[index]
        row = self._rows.get(key)
        if row is None:
            name, number = self._categories[key]
            return (
                Part(clean(name, newline=False), "title-focus"),
                Part(f"  {number}", "text-muted"),
            )
        glyph, plain, role = LOOKS.get(row.status, ("?", "?", ""))
        impact = str(row.impact) if row.impact is not None else render.UNKNOWN
        named = {
            "mark": Part(plain if self.ascii_only else glyph, role),
            "status": Part(row.status, role),
            "question": Part(row.question, "strong" if row.status == "open" else ""),
            "decision": Part(row.decision or render.UNKNOWN, "text-muted"),
            "impact": Part(impact, "text-muted"),
            "by": Part(row.created_by, "text-muted"),
            "age": Part(self.view.when(row.updated_at), "text-muted"),
        }
        return table_line(arrange((*COLUMNS, self.view.age_column), width), named)


class DecisionPane(ProsePane):
    """A decision: question, answer, who held what, and what it was before."""

    NAME = "Decision"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, view=view)
        self.row: Decision | None = None
        self.category: str | None = None
        """The category whose history is shown, where no decision is."""
        self.revisions: Sequence[Revision] = ()

    def show(
        self, row: Decision | None, revisions: Sequence[Revision], category: str | None = None
    ) -> None:
        """A decision with its revisions, or all those of a category."""
        before = self.category, self.row.decision_id if self.row is not None else None
        self.row, self.revisions, self.category = row, revisions, category
        is_other = before != (category, row.decision_id if row is not None else None)
        self.make()
        if is_other:
            self.scroll_rows(0)

    def title(self) -> tuple[Line, Line]:
        row = self.row
        if row is None:
            name = clean(self.category, newline=False) if self.category is not None else ""
            return (Part(f"History · {name}" if name else self.NAME),), ()
        return (Part(f"{self.NAME} · {clean(row.category, newline=False)}"),), (
            Part(clean(row.decision_id, newline=False), "text-muted"),
        )

    def empty(self) -> list[Line]:
        return [(Part(" The chosen decision is shown here.", "text-muted"),)]

    def write(self) -> None:
        row = self.row
        if row is None:
            for one in self.revisions:
                self.text(str(one.state.get("question") or ""), "strong", indent=1)
                self._revision(one)
                self.gap()
            return
        glyph, plain, role = LOOKS.get(row.status, ("?", "?", ""))
        self.text(row.question, "strong", indent=1)
        words = [row.status]
        words += [f"by {row.method}"] * (row.method is not None)
        words += [f"impact {row.impact} of 10"] * (row.impact is not None)
        words += [f"revision {row.revision}"]
        words += ["observed in what they did"] * (row.origin == "observed")
        self.text(f"{plain if self.ascii_only else glyph} {' · '.join(words)}", role, indent=1)
        for heading, text in (("Decision", row.decision or ""), ("Why", row.rationale)):
            if text:
                self._heading(heading)
                self.text(text)
        if row.positions:
            self._heading("Positions")
            for name, position in row.positions.items():
                first, _, more = position.strip("\n").partition("\n")
                self.text(f"{name}: {first}")
                if more:  # further in: no line of a position looks like that of somebody else
                    self.text(more, indent=INDENT + 2)
        without = [name for name in row.participants if name not in row.positions]
        if without:
            self._heading("Took part")
            self.text(", ".join(without))
        if row.files:
            self._heading("Files")
            for path in row.files:
                self.text(path)
        self._history()

    def _heading(self, words: str) -> None:
        self.gap()
        self.line(Part(f" {words}", "title-focus"))

    def _history(self) -> None:
        """Every revision, the newest first: who, when, why, and what changed to what."""
        self._heading("History")
        for one in reversed(self.revisions):
            self._revision(one)

    def _revision(self, one: Revision) -> None:
        what = "asked" if one.revision == 1 else f"changed {', '.join(one.changed)}"
        self.text(f"{one.revision}  {one.changed_by}, {moment(one.changed_at)}: {what}")
        if one.reason:
            self.text(one.reason, "text-muted", indent=7)
        for name in one.changed:
            value = _words(one.state.get(name))
            self.text(f"{name}: {value}", "text-muted", indent=7)


def _words(value: object) -> str:
    """A value of a revision on one line."""
    if isinstance(value, dict):
        text = "; ".join(f"{key}: {one}" for key, one in value.items())  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(value, list):
        text = ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    else:
        text = render.UNKNOWN if value in (None, "") else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
