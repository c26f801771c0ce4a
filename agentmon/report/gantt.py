"""A round as bars over a time axis: one row a block, subagents below the call that started them.

Pure: rows from spans, cells from rows; the command prints them, the screen paints them. A bar is
at least one cell; where bars share a cell the later part of a row is on top.
"""

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

from agentmon.core import spans
from agentmon.core.critical_path import Step
from agentmon.core.names import gist
from agentmon.core.spans import MAIN, Agent, Block, Message, Round, answers, runs
from agentmon.core.text import cells, fit
from agentmon.report.table import Cell, fitted
from agentmon.report.words import UNKNOWN, brief


class Look(Struct, frozen=True):
    """How a bar is drawn; `role` names a theme variable."""

    glyph: str
    ascii: str
    role: str
    word: str


LOOKS = {
    "wait": Look("·", ".", "text-muted", "waiting"),
    "thinking": Look("░", ":", "secondary", "thinking"),
    "text": Look("▓", "=", "success", "text"),
    "args": Look("▒", "-", "primary", "call"),
    "run": Look("█", "#", "accent", "tool"),
    "failed": Look("█", "x", "error", "failed"),
    "lost": Look("?", "?", "warning", "no result seen"),
    "told": Look("▪", "o", "success", "told when over"),
    "agent": Look("─", "~", "text-muted", "subagent"),
}


class Bar(Struct, frozen=True):
    start: float
    end: float
    look: str


class Row(Struct, frozen=True):
    """A line of the chart: a block (`block`), or a subagent (`agent`) over its blocks."""

    key: tuple[str, ...]
    depth: int
    name: str
    about: str
    bars: tuple[Bar, ...]
    seconds: float | None
    """Of a tool call how long it ran, of another block how long it was written."""
    is_open: bool = False
    is_critical: bool = False
    """Whether the critical path leads through it."""
    block: Block | None = None
    message: Message | None = None
    agent: Agent | None = None

    @property
    def start(self) -> float | None:
        return min((bar.start for bar in self.bars), default=None)

    @property
    def end(self) -> float | None:
        return max((bar.end for bar in self.bars), default=None)


def rows(round_: Round, now: float, path: Sequence[Step]) -> list[Row]:
    """The rows of a round in the order of time, what a call started below it."""
    return list(_Rows(round_, now, path).of_round())


class _Rows:
    def __init__(self, round_: Round, now: float, path: Sequence[Step]) -> None:
        self._round, self._now = round_, now
        self._asked = answers(round_)
        self._runs = {run.block.key: run for run in runs(round_, now)}
        self._critical = {step.run.block.key for step in path if step.run is not None}
        self._until = {step.flow_id: step.end for step in path if step.kind == "model"}
        self._by_agent: dict[str, list[Message]] = {}
        for message in round_.messages:
            self._by_agent.setdefault(message.agent_id, []).append(message)
        self._started: dict[str, list[Agent]] = {}
        for agent in round_.agents:
            self._started.setdefault(agent.call or "", []).append(agent)
        self._done: set[str] = set()

    def of_round(self) -> Iterator[Row]:
        loose = self._started.pop("", [])
        firsts = [(self._by_agent[a.agent_id][0].start, a) for a in loose if self._has(a)]
        waiting = sorted(firsts, key=lambda pair: (pair[0], pair[1].agent_id))
        for message in self._by_agent.get(MAIN, []):
            while waiting and waiting[0][0] < message.start:
                yield from self._agent(waiting.pop(0)[1], 0)
            yield from self._message(message, 0)
        for _, agent in waiting:
            yield from self._agent(agent, 0)

    def _has(self, agent: Agent) -> bool:
        return bool(self._by_agent.get(agent.agent_id))

    def _agent(self, agent: Agent, depth: int) -> Iterator[Row]:
        messages = self._by_agent.get(agent.agent_id, [])
        if agent.agent_id in self._done or not messages:
            return
        self._done.add(agent.agent_id)
        ends = [self._now if one.end is None else one.end for one in messages]
        for one in messages:
            known = (self._runs.get(block.key) for block in one.blocks)
            ends += [run.end for run in known if run is not None and run.end is not None]
        start, end = messages[0].start, max(ends)
        name = agent.name or agent.agent_id
        is_open = any(one.end is None for one in messages)
        bars = (Bar(start, end, "agent"),)
        key = ("agent", agent.agent_id)
        took = spans.length(start, end)
        yield Row(key, depth, "agent", name, bars, took, is_open, agent=agent)
        for message in messages:
            yield from self._message(message, depth + 1)

    def _message(self, message: Message, depth: int) -> Iterator[Row]:
        asked = self._asked.get(message.flow_id)
        for block in message.blocks:
            yield self._block(block, message, depth, asked)
            asked = None
            for agent in self._started.get(block.tool_use_id or "", []):
                yield from self._agent(agent, depth + 1)

    def _block(self, block: Block, message: Message, depth: int, asked: float | None) -> Row:
        run = self._runs.get(block.key)
        bars = list(self._written(block, message, asked))
        seconds = None if block.is_told else _length(bars[-1:])
        is_open = block.end is None and message.end is None
        about = ""
        if block.block_type == "tool_use":
            about, seconds = gist(block.preview), None
        if run is not None and run.end is not None:
            bars.append(Bar(run.start, run.end, "failed" if block.is_error else "run"))
            seconds, is_open = run.seconds, run.is_open
        elif run is not None:
            bars.append(Bar(run.start, run.start, "lost"))
        name = block.tool_name or block.block_type or UNKNOWN
        return Row(
            ("block", block.flow_id, str(block.index)),
            depth,
            name,
            about,
            tuple(bars),
            seconds,
            is_open,
            self._is_critical(block),
            block,
            message,
        )

    def _is_critical(self, block: Block) -> bool:
        """Its run is a step, or it was written in one."""
        if block.key in self._critical:
            return True
        until = self._until.get(block.flow_id)
        start = block.start if block.start is not None else block.end
        return until is not None and start is not None and start < until

    def _written(self, block: Block, message: Message, asked: float | None) -> Iterator[Bar]:
        end = block.end if block.end is not None else message.end
        end = self._now if end is None else end
        start = block.start if block.start is not None else block.end
        if start is None:
            return
        if asked is not None and asked < start:
            yield Bar(asked, start, "wait")
        look = "args" if block.block_type == "tool_use" else "text"
        look = "thinking" if "thinking" in (block.block_type or "") else look
        yield Bar(start, max(start, end), "told" if block.is_told else look)


def _length(bars: Sequence[Bar]) -> float | None:
    return spans.length(bars[0].start, bars[0].end) if bars else None


# Drawing


class Window(Struct, frozen=True):
    """A piece of time and the cells it has."""

    start: float
    end: float
    width: int

    def place(self, at: float) -> float:
        """Where a moment is, in cells from the left."""
        length = self.end - self.start
        return (at - self.start) / length * self.width if length > 0 else 0.0


def bar_cells(bars: Sequence[Bar], window: Window, *, ascii: bool = False) -> list[Cell]:
    """The bars of a row in exactly `window.width` cells."""
    line: list[str | None] = [None] * window.width
    for bar in bars:
        first, last = window.place(bar.start), window.place(bar.end)
        if last < 0 or first >= window.width + (bar.end >= window.end):
            continue
        left = max(0, min(math.floor(first), window.width - 1))
        right = min(window.width, max(left + 1, math.ceil(last - 1e-9)))
        for at in range(left, right):
            line[at] = bar.look
    found: list[Cell] = []
    at = 0
    while at < len(line):
        look, begin = line[at], at
        while at < len(line) and line[at] == look:
            at += 1
        if look is None:
            found.append(Cell(" " * (at - begin)))
        else:
            drawn = LOOKS[look]
            found.append(Cell((drawn.ascii if ascii else drawn.glyph) * (at - begin), drawn.role))
    return found


_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)

TICK_CELLS = 10
"""Least cells between two marks of the axis."""


def axis(window: Window, origin: float) -> str:
    """The marks of the time axis, seconds since `origin`, in at most `window.width` cells."""
    length = window.end - window.start
    if window.width < TICK_CELLS or length <= 0:
        return ""
    wanted = length * TICK_CELLS / window.width
    step = next((one for one in _STEPS if one >= wanted), 0.0)
    step = step or math.ceil(wanted / 3600) * 3600.0
    line = ""
    number = math.ceil((window.start - origin) / step - 1e-9)
    while (place := math.floor(window.place(origin + number * step) + 1e-9)) < window.width:
        mark = mark_text(number * step)
        if place >= cells(line) + bool(line) and place + cells(mark) <= window.width:
            line += " " * (place - cells(line)) + mark
        number += 1
    return line


def mark_text(seconds: float) -> str:
    """A mark of the axis: "0", "0.5s", "20s", "1m30", "1h05m"."""
    if not seconds:
        return "0"
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m"


LABEL_SHARE = 0.3
LABEL_MOST = 34
TIME_CELLS = 8
MIN_BARS = 12
"""Cells that bars need to be worth it."""


class Columns(Struct, frozen=True):
    """How a width is shared: label, bars (0: none), length."""

    label: int
    bars: int


def columns(width: int) -> Columns:
    """A narrow terminal has shorter labels, then no bars."""
    label = min(LABEL_MOST, max(14, int(width * LABEL_SHARE)))
    bars = width - label - TIME_CELLS - 4
    if bars < MIN_BARS:
        return Columns(max(4, width - TIME_CELLS - 3), 0)
    return Columns(label, bars)


def label(row: Row, width: int) -> str:
    """The name of a row and what it is about, indented, in at most `width` cells."""
    lead = "  " * row.depth + ("└ " if row.agent is not None else "")
    return fit(fitted(f"{lead}{row.name} {row.about[:400]}".rstrip(), width), width)


def length(row: Row) -> str:
    """How long a row took; "+" while it goes on."""
    if row.seconds is None:
        return UNKNOWN
    return brief(row.seconds) + ("+" if row.is_open else "")


def legend(width: int, *, ascii: bool = False) -> list[Cell]:
    """What the bars mean, as far as there is room."""
    found: list[Cell] = []
    room = width
    for name in ("wait", "thinking", "text", "args", "run", "failed", "told", "lost"):
        look = LOOKS[name]
        words = f" {look.word}  "
        if len(words) + 1 > room:
            break
        room -= len(words) + 1
        found += [Cell(look.ascii if ascii else look.glyph, look.role), Cell(words, "text-muted")]
    return found
