"""The Round view: one round over time, its blocks and tools as bars, its rates. `v` opens it."""

import sqlite3
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from textual import events, on
from textual.widget import Widget

from agentmon.core.critical_path import Step, critical_path
from agentmon.core.rates import RoundRate, flow, round_rate
from agentmon.core.spans import Round, load, runs
from agentmon.core.text import clean, one_line
from agentmon.report import gantt, render
from agentmon.report.known import name_of
from agentmon.report.words import brief, per_second, size, span
from agentmon.store import read, read_round
from agentmon.ui.parts import Line, Part
from agentmon.ui.screens.page import Page
from agentmon.ui.screens.reader import SHARE
from agentmon.ui.sites import Site
from agentmon.ui.widgets.chart import ChartPane, Detail, Sums, row_key
from agentmon.ui.widgets.lines import KeyedPane, LinePane
from agentmon.ui.widgets.sessions import clock_text

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

PREVIEW = 400
"""Characters of an input, a result or a text that the detail lines may show."""


LOW = 16
"""Rows under which the detail of the chosen row is one line."""


class Found(Struct):
    """What one hop brought."""

    round: Round | None
    deltas: Mapping[tuple[str, int], read_round.Read]
    rates: RoundRate | None
    key: tuple[str, ...] | None
    """Whose texts these are."""
    inner: str = ""
    outer: str = ""
    revision: int = -1


class RoundPage(Page[Found]):
    """One round of one session."""

    PANEL = "round"

    def __init__(
        self, below: "MainScreen", sid: str, round_id: str, key: Hashable | None = None
    ) -> None:
        super().__init__(below)
        self.sid, self.round_id = sid, round_id
        self.chart = ChartPane(id="chart", ascii_only=self.view.ascii_only)
        self.chart.cursor = key
        self.detail = Detail(id="detail", ascii_only=self.view.ascii_only)
        self._found = Found(None, {}, None, None)
        self._path: list[Step] = []
        self._is_first = True
        self._draw_at = 0.0

    def panes(self) -> Sequence[LinePane]:
        return (self.chart,)

    def parts(self) -> Sequence[Widget]:
        return (self.chart, self.detail)

    def again(self) -> "RoundPage":
        page = RoundPage(self.below, self.sid, self.round_id, self.chart.cursor)
        page.chart.shown = self.chart.shown
        return page

    # Data

    def question(self) -> Callable[[sqlite3.Connection], Found]:
        key = row_key(self.chart.cursor)
        return partial(_read, page=self, before=self._found, key=key, revision=self.feed.revision)

    def show(self, found: Found) -> None:
        self._found = found
        self._draw()
        if self._is_first and found.round is not None:
            self._is_first = False
            self._find_place(found.round)

    def _find_place(self, round_: Round) -> None:
        """A round that runs is looked at where it is."""
        chart = self.chart
        if chart.keys and round_.end is None and chart.cursor == chart.keys[0]:
            chart.move("bottom")

    def second(self) -> None:
        super().second()
        is_open = self._found.round is not None and self._found.round.end is None
        if is_open and time.monotonic() >= self._draw_at:
            self._draw()

    def _draw(self) -> None:
        """Rows, sums and sparkline as of now; a round that is dear grows less often by itself."""
        began = time.perf_counter()
        self._draw_now()
        self._draw_at = time.monotonic() + (time.perf_counter() - began) / SHARE

    def _draw_now(self) -> None:
        found, chart, now = self._found, self.chart, self.view.now
        round_ = found.round
        chart.owner = self._owner(round_)
        if round_ is None:
            chart.words = "This round is not in the store (any more), or nothing was told of it."
            chart.show([], 0.0, 0.0)
        else:
            self._path = critical_path(round_, now)
            chart.words = "Nothing was written in this round yet."
            chart.sums = _sums(round_, found.rates, now)
            chart.state = self._state(round_, now)
            rows = gantt.rows(round_, now, self._path)
            chart.show(rows, round_.start, round_.horizon(now))
        self._show_flow()
        self._show_detail()

    def _owner(self, round_: Round | None) -> str:
        thread = self.below.board.thread(self.sid)
        name = one_line(name_of(thread), 24) if thread is not None else self.sid[:8]
        if round_ is None:
            return name
        prompt = one_line(round_.prompt or render.UNKNOWN, 80)
        return f"{name} #{round_.number}  {prompt}"

    def _state(self, round_: Round, now: float) -> Line:
        words = {"complete": "done", "running": "running"}
        looks = {"complete": "complete", "running": "writing", "orphaned": "orphaned"}
        look = render.look(looks.get(round_.outcome, "retrying"))
        glyph = look.ascii if self.view.ascii_only else look.glyph
        word = words.get(round_.outcome, round_.outcome)
        return (Part(f"{glyph} {word} {span(round_.until(now) - round_.start)}", look.role),)

    def _show_flow(self) -> None:
        """The sparkline of the time that is shown."""
        window = self.chart.window
        key = (window.start, window.end, window.width)
        if key not in self.chart.flow or self._found.round is None or self._found.round.end is None:
            deltas = [one.deltas for one in self._found.deltas.values()]
            self.chart.flow = {key: flow(deltas, *key)}
        self.chart.sync()

    # The chosen row

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        self.chart.see()
        self._show_flow()
        self._show_detail()
        self.reader.ask()

    def _show_detail(self) -> None:
        row = self.chart.chosen
        self.detail.lines = [] if row is None else list(self._lines(row))
        self.detail.sync()

    def _lines(self, row: gantt.Row) -> Sequence[Line]:
        start = row.bars[-1].start if row.bars else None
        words = [row.name, f"{clock_text(start)}"]
        if start is not None and row.end is not None:
            begun = gantt.mark_text(round(start - self.chart.origin, 3))
            words.append(f"from {begun}")
        words.append(gantt.length(row))
        if row.is_critical:
            words.append("on the critical path")
        block = row.block
        if block is not None and block.is_error:
            words.append("failed")
        head = " · ".join(one_line(word, 60) for word in words)
        lines: list[Line] = [(Part(f" {head}", "strong"),)]
        found = self._found if self._found.key == row.key else Found(None, {}, None, None)
        if row.agent is not None:
            return [*lines, (Part(f" {one_line(row.about, PREVIEW)}"),)]
        if block is not None and block.block_type == "tool_use":
            about = one_line(found.inner or block.preview or render.UNKNOWN, PREVIEW)
            lines.append((Part(" in   ", "text-muted"), Part(about)))
            outer = one_line(found.outer, PREVIEW) if found.outer else self._no_result(row)
            lines.append((Part(" out  ", "text-muted"), Part(outer)))
            return lines
        lines.append((Part(f" {self._speed(row)}", "text-muted"),))
        return [*lines, (Part(f" {one_line(found.inner, PREVIEW)}"),)]

    def _no_result(self, row: gantt.Row) -> str:
        block = row.block
        if block is None or block.result_at is not None:
            return ""
        return "no result seen" if block.is_lost else "still running"

    def _speed(self, row: gantt.Row) -> str:
        """The rates of a block in words."""
        rates = self._found.rates
        for message in rates.messages if rates is not None else ():
            for one in message.blocks:
                if row.block is not None and one.block.key == row.block.key:
                    rate = one.rate
                    speed = per_second(rate.tokens_per_second)
                    words = [size(rate.bytes), f"{per_second(rate.bytes_per_second)} B/s"]
                    words.append(f"{'' if speed == render.UNKNOWN else '~'}{speed} tok/s")
                    if message.blocks[0] is one:
                        words.append(f"first token after {brief(message.first_token)}")
                    longest = one.pauses.longest
                    words.append(f"longest pause {brief(longest[0].seconds if longest else None)}")
                    return " · ".join(words)
        return render.UNKNOWN

    # Keys

    def do_open(self) -> None:
        """To the block in Rounds; of a subagent to its first message."""
        row = self.chart.chosen
        if row is None:
            return
        if row.block is not None:
            flow_id, index, agent = row.block.flow_id, row.block.index, row.block.agent_id
        else:
            messages = self._found.round.messages if self._found.round is not None else []
            agent = row.agent.agent_id if row.agent is not None else ""
            flow_id = next((one.flow_id for one in messages if one.agent_id == agent), None)
            index = None
        at = row.start or 0.0
        self.dismiss(Site("block", self.sid, agent, at, self.round_id, flow_id, index))

    def do_round_view(self) -> None:
        self.dismiss(None)

    def do_copy(self) -> None:
        row = self.chart.chosen
        block = row.block if row is not None else None
        text = self.round_id
        if block is not None:
            text = block.tool_use_id or f"{block.flow_id} {block.index}"
        self.app.copy_to_clipboard(clean(text))
        self.say(f"Copied {one_line(text, 60)}", "success")

    def do_time_in(self) -> None:
        self._time(2.0)

    def do_time_out(self) -> None:
        self._time(0.5)

    def do_time_earlier(self) -> None:
        self.chart.scroll_time(-1)
        self._show_flow()

    def do_time_later(self) -> None:
        self.chart.scroll_time(1)
        self._show_flow()

    def _time(self, factor: float) -> None:
        self.chart.zoom(factor)
        self._show_flow()

    def on_resize(self, event: events.Resize) -> None:
        self.detail.styles.height = 4 if event.size.height >= LOW else 2
        self.call_after_refresh(self._show_flow)


def _sums(round_: Round, rates: RoundRate | None, now: float) -> Sums:
    known = runs(round_, now)
    errors = sum(run.block.is_error for run in known)
    errors += sum(message.error is not None for message in round_.messages)
    return Sums(
        rates.first_token if rates is not None else None,
        rates.rate.tokens_per_second if rates is not None else None,
        load(known),
        errors,
        sum(run.is_open for run in known),
    )


def _read(
    conn: sqlite3.Connection,
    page: RoundPage,
    before: Found,
    key: tuple[str, ...] | None,
    revision: int,
) -> Found:
    """The round, unless only another row is looked at; what the chosen row says."""
    inner, outer = _texts(conn, page, key)
    if before.revision == revision:
        return Found(before.round, before.deltas, before.rates, key, inner, outer, revision)
    round_ = read_round.round_in_time(conn, page.sid, page.round_id)
    if round_ is None:
        return Found(None, {}, None, key, revision=revision)
    deltas = read_round.deltas_of(conn, round_, before.deltas)
    rates = round_rate(round_, {key: one.deltas for key, one in deltas.items()})
    return Found(round_, deltas, rates, key, inner, outer, revision)


def _texts(
    conn: sqlite3.Connection, page: RoundPage, key: tuple[str, ...] | None
) -> tuple[str, str]:
    """The start of a block's text, and of what came back to a call."""
    if key is None or key[0] != "block":
        return "", ""
    block = read.block(conn, key[1], int(key[2]))
    if block is None:
        return "", ""
    if block.uses_told:
        inner = read.told_text(conn, block.flow_id, block.index) or ""
    else:
        data = page.feed.read_text(block.sid, block.flow_id, block.index, 0, 4 * PREVIEW)
        inner = data.decode("utf-8", "replace")
    result = read.result(conn, block.tool_use_id) if block.tool_use_id else None
    outer = (result.content or "(empty)") if result is not None else ""
    return inner[:PREVIEW], outer[:PREVIEW]
