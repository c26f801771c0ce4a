"""Sessions: one line per agent, subagents below their session."""

import os.path
from collections.abc import Hashable, Mapping, Sequence
from operator import is_
from typing import cast

from msgspec import Struct, field

from agentmon.core.health import Limits
from agentmon.core.kinds import STREAMING
from agentmon.core.text import clean, one_line
from agentmon.report import render, seeing
from agentmon.report.board import Board, Thread
from agentmon.report.family import Key, Member, Rollup, ancestors, key_of, lines, parents_of
from agentmon.report.known import NOTHING_KNOWN, Known, context_fill, name_of, short_name, tokens_of
from agentmon.report.render import State
from agentmon.report.words import clock_text as clock_text
from agentmon.ui.filters import NOTHING, Filter, Subject
from agentmon.ui.parts import BLANK, Column, Line, Part, Slot, arrange, heading_line, table_line
from agentmon.ui.stillness import States
from agentmon.ui.widgets.lines import KeyedPane

ORDERS = ("start", "name", "state", "last byte")
"""What `O` cycles through. Rows keep their places until it is pressed or an agent is new."""

COLUMNS = (
    Column("glyph", 1),
    Column("agent", 12, grow=4, most=30, heading="agent"),
    Column("state", 18, grow=1, most=24, heading="state"),
    Column("folded", 9, 1, grow=6, most=38, heading="folded"),
    Column("round", 5, 3, right=True, heading="round"),
    Column("last", 4, 2, right=True, heading="last"),
    Column("tokens", 5, 4, right=True, heading="tok"),
    Column("context", 4, 5, right=True, heading="ctx"),
    Column("model", 10, 7, grow=1, most=14, heading="model"),
    Column("via", 5, 8, grow=1, most=10, heading="via"),
    Column("host", 9, 4, grow=1, most=16, heading="host"),
    Column("cwd", 14, 6, grow=3, keep_end=True, heading="cwd"),
)

_RANK = ("permission", "stalled", "overdue", "orphaned")


def model_name(model: str | None) -> str:
    """A model without vendor and date: claude-opus-4-1-20250805 → opus-4-1."""
    if not model:
        return render.UNKNOWN
    name = model.removeprefix("claude-")
    head, _, tail = name.rpartition("-")
    return head if head and len(tail) == 8 and tail.isdigit() else name


def subject(thread: Thread, now: float, limits: Limits) -> Subject:
    """What a line can be filtered by."""
    shown = render.state(thread, now, limits)
    names = tuple(call.tool_name or "" for call in thread.pending)
    session, row = thread.session, thread.row
    return Subject(
        status=(shown.word, row.phase),
        agent=(name_of(thread), session.agent, row.agent_id, row.kind or ""),
        tool=names,
        cwd=(session.cwd or "",),
        other=(session.model or "", session.sid, session.host or ""),
    )


class View(Struct):
    """What every pane needs to draw: the clock, the limits, how times look."""

    now: float
    limits: Limits
    absolute: bool = False
    ascii_only: bool = False
    moving: int = 0
    """Ways to another moment of a replay that are not at their end."""
    loop_start: float | None = None
    """Where a loop of a replay begins whose end is not set yet."""
    news: int | None = None
    """Lines that came while the past is shown; None: this is no past."""
    states: States = field(default_factory=States)

    def state(self, thread: Thread) -> State:
        """What a thread is in."""
        return self.states.of(thread, self.now, self.limits, ascii=self.ascii_only)

    def when(self, time: float | None) -> str:
        """A time as the person wants it: how long ago, or the time of day."""
        if time is None:
            return render.UNKNOWN
        return clock_text(time) if self.absolute else render.age(max(0.0, self.now - time))

    @property
    def age_column(self) -> Column:
        """The last column of a list, with room for what `when` says."""
        return Column("age", 8 if self.absolute else 4, right=True)


class SessionsPane(KeyedPane):
    """The board, one line per thread, in an order that holds still."""

    NUMBER = 1
    NAME = "Sessions"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.order = ORDERS[0]
        self.filter: Filter = NOTHING
        self.hints: list[Line] = []
        self.known: Mapping[Key, Known] = {}
        self.marked: str | None = None
        """The session to compare others with."""
        self._folded: set[Key] = set()
        self._threads: dict[Hashable, Thread] = {}
        self._members: dict[Hashable, Member] = {}
        self._parents: dict[Key, Key] = {}
        self._ranks: dict[str, int] = {}
        self._total = 0
        self._slots: tuple[object, list[Slot], Line] = (None, [], BLANK)
        self._drawn: dict[Key, tuple[tuple[object, ...], Line]] = {}
        """Lines, each with what it was drawn from."""

    def show(self, board: Board) -> None:
        """The board of a new revision."""
        self._total = len(board.threads)
        self._place(_heads(board.threads))
        shown = sorted((t for t in board.threads if self._is_wanted(t)), key=self._sort_key)
        # what a filter finds is not folded away
        members = lines(shown, set() if self.filter else self._folded, self._word)
        self._threads = {key_of(thread): thread for thread in shown}
        self._members = {member.key: member for member in members}
        self._slots = (None, [], BLANK)
        self._drawn.clear()
        self.set_keys([member.key for member in members])
        self._parents = parents_of(board.threads)

    def _word(self, thread: Thread) -> str:
        return self.view.state(thread).word

    def _is_wanted(self, thread: Thread) -> bool:
        return not self.filter or self.filter.matches(
            subject(thread, self.view.now, self.view.limits)
        )

    # Folding

    def fold(self, board: Board, *, is_folded: bool) -> bool:
        """Folds away what is below the chosen line, or shows it; false where nothing is."""
        member = self._members.get(self.cursor)
        if member is None or not member.has_children:
            return False
        if (member.key in self._folded) == is_folded:
            return False
        (self._folded.add if is_folded else self._folded.discard)(member.key)
        self.show(board)
        return True

    def above(self, key: Hashable | None) -> Key | None:
        """The line above, in the tree."""
        return self._parents.get(cast("Key", key)) if key is not None else None

    def reveal(self, key: Key, board: Board) -> None:
        """Unfolds whatever hides a line."""
        hiding = self._folded.intersection(ancestors(key, parents_of(board.threads)))
        if hiding:
            self._folded -= hiding
            self.show(board)

    def _sort_key(self, thread: Thread) -> tuple[int, bool, float, str]:
        row = thread.row
        return (self._ranks[row.sid], bool(row.agent_id), row.last_start or 0.0, row.agent_id)

    def _place(self, mains: Sequence[Thread]) -> None:
        """Gives new sessions a place; those that have one keep it.

        What is before all that is shown goes above it, the rest below: old logs that are read in
        the background don't push what is active out of sight.
        """
        known = [self._order_key(t) for t in mains if t.row.sid in self._ranks]
        fresh = sorted((t for t in mains if t.row.sid not in self._ranks), key=self._order_key)
        above = [t for t in fresh if not known or self._order_key(t) < min(known)]
        first = min(self._ranks.values(), default=0) - len(above)
        last = max(self._ranks.values(), default=first - 1) + 1
        for offset, thread in enumerate(above):
            self._ranks[thread.row.sid] = first + offset
        for offset, thread in enumerate(fresh[len(above) :]):
            self._ranks[thread.row.sid] = max(last, first + len(above)) + offset

    def _order_key(self, thread: Thread) -> tuple[float | int, str]:
        session = thread.session
        match self.order:
            case "name":
                return 0, thread.name.lower()
            case "state":
                word = self.view.state(thread).word
                rank = _RANK.index(word) if word in _RANK else len(_RANK)
                return rank + (word in ("idle", "ended", "dead")), thread.name.lower()
            case "last byte":
                return -(render.heard(thread) or 0.0), session.sid
            case _:
                return -(session.first_time or 0.0), session.sid

    def heir(self, key: Hashable | None) -> Hashable | None:
        """A subagent that is over or folded away hands the cursor to the next line above it."""
        if not isinstance(key, tuple):
            return None
        above = ancestors(cast("Key", key), self._parents)
        return next((line for line in above if line in self._members), (cast("Key", key)[0], ""))

    def reorder(self, order: str, board: Board) -> None:
        """Sorts anew, now."""
        self.order = order
        self._ranks.clear()
        self.show(board)

    def thread(self, key: Hashable | None) -> Thread | None:
        return self._threads.get(key)

    @property
    def chosen(self) -> Thread | None:
        return self.thread(self.cursor)

    # Drawing

    def title(self) -> tuple[Line, Line]:
        left = Part(self.NAME)
        notes: list[str] = []
        if self.filter:
            notes.append(f"/{one_line(self.filter.text, 24)}  {self.count} of {self._total}")
        elif self.count > self.page:
            notes.append(f"{self.cursor_index + 1}/{self.count}")
        if self.order != ORDERS[0]:
            notes.append(f"by {self.order}")
        right = (Part(" · ".join(notes), "match" if self.filter else "text-muted"),)
        return (left,), right if notes else BLANK

    def heading(self, width: int) -> Line | None:
        roomy = self.size.height >= 9 and width >= 70
        return self._fitting(width)[1] if roomy and self.keys else None

    def empty(self) -> list[Line]:
        if self.filter:
            return [
                (Part(f" Nothing matches /{one_line(self.filter.text, 40)}", "text-muted"),),
                (Part(" Esc clears the filter", "text-muted"),),
            ]
        return self.hints

    def _fitting(self, width: int) -> tuple[list[Slot], Line]:
        """The columns that have room, and their heading."""
        wide = 8 if self.view.absolute else 4
        if self._slots[0] != (width, wide):
            members = self._members.values()
            absent = {"folded"} if not any(member.folded for member in members) else set[str]()
            if not any(member.thread.session.host for member in members):
                absent.add("host")
            columns = [
                Column("last", wide, column.priority, right=True, heading="last")
                if column.name == "last"
                else column
                for column in COLUMNS
                if column.name not in absent
            ]
            slots = arrange(columns, width)
            self._slots = ((width, wide), slots, heading_line(slots))
        return self._slots[1:]

    def fitted(self, index: int, width: int) -> Line:
        member = self._members[self.keys[index]]
        key = member.key
        known = self.known.get(key, NOTHING_KNOWN)
        slots, _ = self._fitting(width)
        state = self.view.state(member.thread)
        basis = (state, known, slots, member, self.marked, self.view.absolute)
        drawn = self._drawn.get(key)
        if drawn is None or not all(map(is_, basis, drawn[0])):
            drawn = self._drawn[key] = (basis, super().fitted(index, width))
        return drawn[1]

    def draw(self, index: int, width: int) -> Line:
        slots, _ = self._fitting(width)
        member = self._members[self.keys[index]]
        room = next((slot.width for slot in slots if slot.column.name == "folded"), 0)
        return table_line(slots, self._cells(member, room))

    def _cells(self, member: Member, room: int) -> dict[str, Part]:
        view, thread = self.view, member.thread
        session, shown = thread.session, view.state(thread)
        known = self.known.get(member.key, NOTHING_KNOWN)
        role = shown.color_role
        cells = {
            "glyph": Part(shown.glyph, role),
            "agent": Part(self._naming(member), "strong" if thread.is_main else ""),
            "state": Part(shown.label, role),
            "last": Part(view.when(render.heard(thread)), "text-muted"),
            "tokens": Part(render.tokens(tokens_of(thread))),
            "context": Part(render.percent(context_fill(thread, known)), "text-muted"),
        }
        if member.folded is not None:
            cells["folded"] = self._folded_text(member.folded, room)
        if thread.is_main:
            count = session.round_count
            cells["round"] = Part(f"#{count}" if count else render.UNKNOWN)
            cells["model"] = Part(model_name(session.model) if session.model else session.agent)
            seen = seeing.word(session.kinds)
            cells["via"] = Part(seen, "" if session.kinds & STREAMING else "text-muted")
            cells["host"] = Part(session.host or "here", "text-muted")
            cells["cwd"] = Part(short_path(session.cwd), "text-muted")
        return cells

    def _naming(self, member: Member) -> str:
        ascii_only = self.view.ascii_only
        lead = "+ " if ascii_only else "▸ "
        mark = lead if member.folded is not None else ""
        if self.marked is not None and member.key == (self.marked, ""):
            mark += "> " if ascii_only else "» "
        if member.depth:
            mark = "  " * (member.depth - 1) + ("` " if ascii_only else "└ ") + mark
        return mark + short_name(member.thread)

    def _folded_text(self, folded: Rollup, room: int) -> Part:
        """What is folded away, in words or, where there is no room for them, in signs."""
        role = "warning" if folded.needs_you else "error" if folded.trouble else "text-muted"
        if len(folded.words) <= room:
            return Part(folded.words, role)
        signs = ((folded.needs_you, "permission"), (folded.trouble, "stalled"))
        text = f"+{folded.agents}"
        for number, name in (*signs, (folded.working, "writing")):
            look = render.look(name)
            text += f" {look.ascii if self.view.ascii_only else look.glyph}{number}" * bool(number)
        return Part(text, role)


def _heads(threads: Sequence[Thread]) -> list[Thread]:
    """One thread of each session: the main one, else (its file is gone) what there is of it."""
    found: dict[str, Thread] = {}
    for thread in threads:
        if thread.is_main or thread.row.sid not in found:
            found[thread.row.sid] = thread
    return list(found.values())


def short_path(path: str | None) -> str:
    """A folder with the home folder as ~."""
    if not path:
        return render.UNKNOWN
    home = os.path.expanduser("~")
    inside = home != "/" and (path == home or path.startswith(home + "/"))
    return clean("~" + path[len(home) :] if inside else path, newline=False)
