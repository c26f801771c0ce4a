"""Rounds: the chosen session as round ▸ message ▸ block, newest round first; subagents below the
calls that started them."""

from collections.abc import Hashable, Mapping
from typing import cast

from msgspec import Struct

from agentmon.core.names import gist
from agentmon.core.text import one_line
from agentmon.report import render
from agentmon.report.board import Thread
from agentmon.report.family import Key
from agentmon.report.known import agent_name, agent_tokens
from agentmon.report.words import span as span
from agentmon.store import read
from agentmon.ui.filters import Subject, parse
from agentmon.ui.parts import BLANK, Line, Part, justify
from agentmon.ui.tree import SIDE, SIDE_AGENT, Node, NodeKey, Opened, Tree
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.sessions import View, model_name

SILENT_AFTER = 3.0
"""Seconds without a byte after which an open block says how long."""


class Owner(Struct, frozen=True):
    """Whose rounds are shown: name, what else is known of it, its state, what is wrong with it."""

    name: str = ""
    details: str = ""
    state: Line = BLANK
    why: tuple[Line, ...] = ()


class RoundsPane(KeyedPane):
    """The visible nodes; what is open is kept here, what they say comes from the store."""

    NUMBER = 3
    NAME = "Rounds"
    STAYS_AT_TOP = True  # a new round is what everybody wants to see

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.owner = Owner()
        self.search = ""
        self.opened: dict[Key, Opened] = {}
        self.threads: Mapping[Key, Thread] = {}
        """What the board has, for the state of running subagents."""
        self._shown: Key = ("", "")
        self._tree: list[Node] = []
        self._found: dict[Hashable, Node] = {}

    def opened_of(self, sid: str, agent_id: str) -> Opened:
        return self.opened.setdefault((sid, agent_id), Opened())

    def show(self, tree: Tree | None) -> None:
        """The tree of a new revision, or of another session."""
        which = (tree.sid, tree.agent_id) if tree else ("", "")
        if tree is None:
            self.owner = Owner()
        if which != self._shown:
            self._shown = which
            self.cursor = None
            self.top = 0
        self._tree = tree.nodes if tree else []
        self._found = {node.key: node for node in self._tree}
        self._set_rows()

    def belong_to(self, owner: "Owner") -> None:
        """Whose rounds these are; what is wrong with the newest one goes below its line."""
        before, self.owner = self.owner, owner
        if len(before.why) != len(owner.why):
            self._set_rows()
        self.sync()

    def _set_rows(self) -> None:
        keys: list[Hashable] = [node.key for node in self._tree]
        newest = next((at for at, node in enumerate(self._tree) if node.round is not None), None)
        if newest is not None:
            keys[newest + 1 : newest + 1] = [why_key(at) for at in range(len(self.owner.why))]
        self.set_keys(keys)

    def heir(self, key: Hashable | None) -> Hashable | None:
        """A reason that holds no longer hands the cursor to its round."""
        row = as_node_key(key)
        return self._tree[0].key if row is not None and row[0] == WHY and self._tree else None

    @property
    def unanswered(self) -> NodeKey | None:
        """The newest round, while it is only a prompt: what is written is not in sight there."""
        node = next((node for node in self._tree if node.round is not None), None)
        if node is None or node.round is None or node.total is None or node.total.messages:
            return None
        return None if node.round.is_complete or node.round.is_aborted else node.key

    def node(self, key: Hashable | None) -> Node | None:
        return self._found.get(key)

    @property
    def chosen(self) -> Node | None:
        return self.node(self.cursor)

    def toggle(self, key: NodeKey, is_open: bool) -> None:
        """Remembers that a person opened or closed a node of the shown tree."""
        self.opened_of(*self._shown).set_open(key, is_open)

    def find(self, word: str, step: int) -> bool:
        """Goes to the next (1) or previous (-1) line with the words of a filter, around the end."""
        wanted, place = parse(word), self.cursor_index
        for distance in range(1, self.count + 1):
            index = (place + step * distance) % self.count
            if wanted and wanted.matches(self._subject(index)):
                return self.choose(self.keys[index], by_person=True)
        return False

    def _subject(self, index: int) -> Subject:
        """What a line can be found by."""
        node = self._found.get(self.keys[index])
        line = "".join(part.text for part in self.draw(index, 400))
        if node is None:
            return Subject(other=(line,))
        agent = node.agent.agent_id if node.agent is not None else None
        agent = agent or (node.message.agent_id if node.message is not None else None)
        block, message = node.block, node.message
        cut = message is not None and message.is_broken
        status = block_state(block, is_cut=cut) if block is not None else ""
        if block is None and message is not None:
            status = message_state(message)[0]
        tool = (block.tool_name or "") if block is not None else ""
        return Subject((status,), (agent or "", line if node.agent else ""), (tool,), (), (line,))

    # Drawing

    def title(self) -> tuple[Line, Line]:
        owner = self.owner
        left = [Part(f"{self.NAME} · {owner.name}" if owner.name else self.NAME)]
        if owner.details and self.size.width >= 64:
            left.append(Part(f" · {owner.details}", "text-muted"))
        right = owner.state
        if self.search:
            right = (Part(f"/{one_line(self.search, 24)}", "match"),)
        return tuple(left), right

    def empty(self) -> list[Line]:
        text = "No round yet." if self.owner.name else "Choose a session."
        return [(Part(f" {text}", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        node = self._found.get(self.keys[index])
        if node is None:
            return (Part("   "), *self.owner.why[int(cast("NodeKey", self.keys[index])[1])])
        if node.agent is not None:
            left, right = self._agent(node.agent, width)
        elif node.block is not None:
            left, right = self._block(node.block, node.message, width)
        elif node.message is not None:
            left, right = self._message(node.message, width)
        elif node.round is not None:
            left, right = self._round(node, node.round, width)
        else:
            left, right = (Part("Messages without a prompt", "text-muted"),), BLANK
        return justify((Part(" " + self._lead(node)), *left), (*right, Part(" ")), width)

    def _lead(self, node: Node) -> str:
        marks = ("+ ", "- ") if self.ascii_only else ("▸ ", "▾ ")
        mark = "  " if node.is_open is None else marks[node.is_open]
        return "  " * node.depth + mark

    def _glyph(self, name: str) -> Part:
        shown = render.look(name)
        return Part((shown.ascii if self.ascii_only else shown.glyph) + " ", shown.role)

    def _round(self, node: Node, row: read.RoundRow, width: int) -> tuple[Line, Line]:
        head = Part(f"#{row.round_number}  ", "strong")
        right: list[Part] = []
        total = node.total
        if total is not None and total.output_tokens and width >= 56:
            right.append(Part(f"{render.tokens(total.output_tokens)} tok  ", "text-muted"))
        if self.view.absolute:
            right.append(Part(f"{self.view.when(row.start_time)}  ", "text-muted"))
        right.append(Part(f"{self._duration(row)}  ", "text-muted"))
        right += self._outcome(row, width)
        if total is not None and total.errors:
            plural = "" if total.errors == 1 else "s"
            right.append(Part(f" {total.errors} error{plural}", "error"))
        room = max(8, width - 24)
        return (head, Part(one_line(row.user_prompt or render.UNKNOWN, room))), tuple(right)

    def _duration(self, row: read.RoundRow) -> str:
        if row.start_time is None:
            return render.UNKNOWN
        end = row.end_time
        if end is None and row.is_aborted:
            return render.UNKNOWN
        return span(max(0.0, (self.view.now if end is None else end) - row.start_time))

    def _outcome(self, row: read.RoundRow, width: int) -> list[Part]:
        if row.is_complete:
            return [self._word("complete", "done")]
        if row.is_aborted:
            return [Part("! aborted" if self.ascii_only else "⊘ aborted", "warning")]
        if row.orphaned_at is not None:
            return [self._word("orphaned", "orphaned")]
        if self.keys and row.round_id == self._newest_round and width >= 56:
            return list(self.owner.state)
        return [self._word("writing", "running")]

    @property
    def _newest_round(self) -> str:
        return next((node.round.round_id for node in self._tree if node.round is not None), "")

    def _word(self, look: str, word: str) -> Part:
        glyph = self._glyph(look)
        return Part(f"{glyph.text}{word}", glyph.role)

    def _agent(self, row: read.AgentRow, width: int) -> tuple[Line, Line]:
        """A subagent: its state, its task, what it has spent."""
        thread = self.threads.get((row.sid, row.agent_id))
        if thread is not None:
            shown = render.state(thread, self.view.now, self.view.limits, ascii=self.ascii_only)
            glyph, word, role = shown.glyph + " ", shown.label, shown.color_role
        else:
            name, word = agent_outcome(row)
            glyph, role = self._glyph(name)
        left = [Part(glyph, role), Part("agent ", "strong"), Part(one_line(agent_name(row), width))]
        right: list[Part] = []
        spent = agent_tokens(row)
        if spent is not None and width >= 48:
            right.append(Part(f"{render.tokens(spent)} tok  ", "text-muted"))
        right.append(Part(word, role))
        if thread is not None and width >= 64:
            right.append(Part(f"  {self.view.when(thread.last)}", "text-muted"))
        return tuple(left), tuple(right)

    def _message(self, row: read.MessageRow, width: int) -> tuple[Line, Line]:
        name, word = message_state(row)
        left: list[Part] = [self._glyph(name), Part(one_line(word, 28), render.look(name).role)]
        tag = f"  {model_name(row.model)}"
        if row.agent_id and row.agent_id == SIDE_AGENT:
            tag += f"  {'%' if self.ascii_only else '⚙'} {one_line(row.agent_id, 16)}"
        left.append(Part(tag))
        plural = "" if row.block_count == 1 else "s"
        left.append(Part(f"  {row.block_count} block{plural}", "text-muted"))
        right: list[Part] = []
        if row.output_tokens is not None and width >= 48:
            right.append(Part(f"{render.tokens(row.output_tokens)} tok  ", "text-muted"))
        if width >= 90:
            right.append(Part(f"{one_line(row.flow_id, 14)}  ", "text-disabled"))
        right.append(Part(self.view.when(row.start_time), "text-muted"))
        return tuple(left), tuple(right)

    def _block(
        self, row: read.BlockRow, message: read.MessageRow | None, width: int
    ) -> tuple[Line, Line]:
        name = block_state(row, is_cut=message is not None and message.is_broken)
        title = one_line(row.block_type or render.UNKNOWN, 16)
        if row.tool_name:
            title = one_line(row.tool_name, 20)
        left = [
            self._glyph(name),
            Part(title),
            Part(f"  {render.size(row.total_bytes)}", "text-muted"),
        ]
        if row.block_type == "tool_use" and row.input_preview:
            left.append(
                Part(f"  {one_line(gist(row.input_preview), max(0, width - 44))}", "text-muted")
            )
        return tuple(left), self._block_times(row, name)

    def _block_times(self, row: read.BlockRow, name: str) -> Line:
        now = self.view.now
        if name == "tool" and row.complete_time is not None:
            return (Part(f"pending {render.timer(now - row.complete_time)}", "accent"),)
        if row.result_time is not None and row.complete_time is not None:
            took = span(max(0.0, row.result_time - row.complete_time))
            return (Part(f"{took} failed", "error"),) if row.result_is_error else (Part(took),)
        if row.no_result_at is not None and row.result_time is None:
            return (Part("no result seen", "warning"),)
        if name == "failed":
            return (Part("cut off", "error"),)
        if not row.is_complete:
            last = row.last_time if row.last_time is not None else row.start_time
            silent = now - last if last is not None else 0.0
            if silent >= SILENT_AFTER:
                stalled = silent >= self.view.limits.stalled_after
                role = "error" if stalled else "text-muted"
                return (Part(f"{int(silent)} s since the last byte", role),)
            return (Part("now", "success"),)
        if row.uses_told and row.start_time == row.complete_time:
            return (Part("—", "text-muted"),)  # told when it was over: nobody saw it begin
        if row.start_time is not None and row.complete_time is not None:
            return (Part(span(row.complete_time - row.start_time), "text-muted"),)
        return BLANK


def message_state(row: read.MessageRow) -> tuple[str, str]:
    """The look and the word of a message."""
    if row.error is not None:
        return "failed", row.error
    if row.is_broken:
        return "failed", "cut off"
    if row.is_complete:
        return "complete", row.stop_reason or "done"
    return "writing", "writing"


def block_state(row: read.BlockRow, *, is_cut: bool = False) -> str:
    """The look of a block: a call without a result counts as running.

    `is_cut`: its message ended without being complete.
    """
    if row.result_is_error:
        return "failed"
    if not row.is_complete:
        return "failed" if is_cut else "writing"
    is_call = row.block_type == "tool_use"
    if is_call and row.result_time is None:
        return "tool" if row.no_result_at is None else "unknown"
    return "complete"


def agent_outcome(row: read.AgentRow) -> tuple[str, str]:
    """The look and the word of a subagent that is not on the board any more."""
    match row.status:
        case "completed":
            return "complete", "done"
        case "failed":
            return "failed", "failed"
        case "stopped":
            return "unknown", "stopped"
        case _:
            return ("complete", "done") if row.phase in ("idle", "ended") else ("tool", row.phase)


def why_key(number: int) -> NodeKey:
    return WHY, str(number)


WHY = "why"


def as_node_key(key: Hashable | None) -> NodeKey | None:
    """A cursor key of this pane, typed."""
    return cast("NodeKey", key) if isinstance(key, tuple) else None


PINNABLE = ("round", "message", "block", "agent")
"""Kinds of nodes that the stream pane can show; the others are only words."""


def is_pinnable(key: NodeKey | None) -> bool:
    return key is not None and key != SIDE and key[0] in PINNABLE
