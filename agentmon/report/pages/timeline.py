"""Sessions on one static page: a timeline of each, and below it every round with its texts.

The same page as `html` makes, and as harmless; rounds are closed until somebody opens them. Every
bar leads to its round, so the page needs no script.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from agentmon.report.pages import html, said
from agentmon.report.pages.shape import Shape, agents_of
from agentmon.report.roundreading import SessionReader

Object = dict[str, Any]

STYLE = (
    html.STYLE
    + """
svg.line { height: auto; background: none; border: 1px solid var(--line); border-radius: 4px; }
svg.line rect { fill: #8883; } svg.line rect.chat { fill: #48f; }
svg.line rect.tool { fill: #3a7; }
svg.line rect.failed, svg.line rect.error { fill: var(--bad); }
svg.line rect.wait { fill: var(--wait); } svg.line a:hover rect { opacity: .6; }
details.round { border-top: 1px solid var(--line); padding: .5rem 0; }
details.round > summary { font-weight: 600; } nav li { margin: .1rem 0; }
.key span { margin-right: 1rem; } .key i { display: inline-block; width: .8rem; height: .8rem;
  margin-right: .3rem; background: #48f; } .key i.tool { background: #3a7; }
.key i.failed { background: var(--bad); } .key i.wait { background: var(--wait); }
"""
)

WIDTH = 1000
LANE, GAP = 12, 3
MAX_BARS = 4_000
"""Bars of one session; of more, the shortest are left out."""


class Bar(Struct, frozen=True):
    """A piece of the timeline; times are epoch seconds."""

    lane: int
    start: float
    end: float
    kind: str
    text: str
    anchor: str


def pieces(readers: Iterable[SessionReader], shape: Shape, outline: Shape) -> Iterator[str]:
    """The page, piece by piece. `outline` shapes what the bars say: prompts are text enough."""
    sessions = [*readers]
    heads = [shape.head("session", one.session, one.name) for one in sessions]
    title = said.title(heads[0]) if len(heads) == 1 else f"{len(heads)} sessions"
    yield html.top(title, STYLE)
    yield _contents(heads)
    for number, (reader, head) in enumerate(zip(sessions, heads, strict=True), 1):
        yield from _session(reader, (shape, outline), head, number)
    yield "</body>\n</html>\n"


def _contents(heads: Sequence[Object]) -> str:
    if len(heads) < 2:
        return ""
    items = "".join(
        f'<li><a href="#s{number}">{html.text(said.title(head))}</a></li>'
        for number, head in enumerate(heads, 1)
    )
    return f"<nav><ol>{items}</ol></nav>\n"


def _session(
    reader: SessionReader, shapes: tuple[Shape, Shape], head: Object, number: int
) -> Iterator[str]:
    shape, outline = shapes
    yield f'<h2 id="s{number}">{html.text(said.title(head))}</h2>\n{html.facts(head)}'
    rows = reader.rounds()
    bars: list[Bar] = []
    lanes: dict[str, int] = {}
    for row in rows:
        bars += _bars(outline.round(reader.tree(row)), lanes, number)
    yield _line(bars, lanes)
    for row in rows:
        round_ = shape.round(reader.tree(row))
        yield from html.closed_round(round_, _anchor(number, round_))
    if not rows:
        yield "<p class=dim>no round was seen</p>\n"


def _anchor(number: int, round_: Object) -> str:
    return f"s{number}-r{int(round_['round_number'])}"


# -- the timeline


def _bars(round_: Object, lanes: dict[str, int], number: int) -> list[Bar]:
    anchor = _anchor(number, round_)
    found: list[Bar] = []
    start, length = round_["start_time"], round_["duration_ms"]
    if start is not None:
        end = start + (length or 0) / 1000
        prompt = next((one["text"] or "" for one in round_["prompts"]), "")
        about = f"round {round_['round_number']}, {said.duration(length)}: {prompt[:200]}"
        found.append(Bar(0, start, end, "round", about, anchor))
    for agent in agents_of(round_):
        found += _of_agent(agent, lanes, anchor)
    return found


def _of_agent(agent: Object, lanes: dict[str, int], anchor: str) -> Iterator[Bar]:
    name = agent["agent_id"] or ""
    lane = lanes.setdefault(name, len(lanes))
    for wait in agent["waits"]:
        yield from _wait(wait, 2 * lane + 1, anchor)
    for message in agent["messages"]:
        start, end = message["start_time"], message["end_time"]
        if start is not None:
            kind = "error" if message["error"] else "chat"
            about = message["error"] or f"{message['model'] or 'message'}"
            took = said.duration(message["duration_ms"])
            yield Bar(
                2 * lane + 1, start, max(start, end or start), kind, f"{about}, {took}", anchor
            )
        for wait in message["waits"]:
            yield from _wait(wait, 2 * lane + 1, anchor)
        for block in message["blocks"]:
            call = block["call"]
            if call is not None and call["called_time"] is not None:
                yield from _call(call, 2 * lane + 2, anchor)
                for below in call["agents"]:
                    yield from _of_agent(below, lanes, anchor)


def _wait(wait: Object, lane: int, anchor: str) -> Iterator[Bar]:
    start, end = wait["start_time"], wait["end_time"]
    if start is not None:
        yield Bar(lane, start, max(start, end or start), "wait", said.wait(wait), anchor)


def _call(call: Object, lane: int, anchor: str) -> Iterator[Bar]:
    start = call["called_time"]
    end = max(start, call["result_time"] or start)
    kind = "failed" if call["is_error"] is True else "tool"
    name, took = call["tool_name"] or "tool", said.duration(call["duration_ms"])
    yield Bar(lane, start, end, kind, f"{name}, {said.outcome(call)}, {took}", anchor)
    for wait in call["waits"]:
        yield from _wait(wait, lane, anchor)


def _line(bars: Sequence[Bar], lanes: dict[str, int]) -> str:
    """The timeline of a session. Hours in which nothing happened are as long as a breath."""
    if not bars:
        return ""
    scale = _Scale(bars)
    shown = sorted(bars, key=lambda bar: bar.end - bar.start, reverse=True)[:MAX_BARS]
    shown.sort(key=lambda bar: (bar.kind != "round", bar.start))
    height = (2 * max(len(lanes), 1) + 1) * (LANE + GAP)
    rects = "".join(_rect(bar, scale, height) for bar in shown)
    left = len(bars) - len(shown)
    note = f"; the {left:,} shortest are left out" if left else ""
    return (
        "<p class=key><span><i></i>message</span><span><i class=tool></i>tool</span>"
        "<span><i class=failed></i>error</span><span><i class=wait></i>wait</span>"
        f"<span class=dim>{html.text(said.moment(scale.start))} to "
        f"{html.text(said.moment(scale.end))}{scale.note}{note}</span></p>\n"
        f'<svg class=line viewBox="0 0 {WIDTH} {height}" role=img>{rects}</svg>\n'
    )


def _rect(bar: Bar, scale: "_Scale", height: int) -> str:
    left, right = scale.at(bar.start), scale.at(bar.end)
    top = bar.lane * (LANE + GAP)
    size = height if bar.kind == "round" else LANE
    width = max(right - left, 0.8)
    return (
        f'<a href="#{bar.anchor}"><rect class="{bar.kind}" x="{left:.2f}" y="{top}" '
        f'width="{width:.2f}" height="{size}"><title>{html.text(bar.text)}</title></rect></a>'
    )


IDLE = 120.0
"""Seconds without a round from which on they are drawn as `SHOWN` seconds."""
SHOWN = 20.0


class _Scale:
    """Where a moment stands on a line, with idle times made short."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        spans = sorted((bar.start, bar.end) for bar in bars)
        self._pieces: list[tuple[float, float, float]] = []
        """(from, until, where it stands), in seconds."""
        at, self.cut = 0.0, 0
        self.start = begin = spans[0][0]
        end = begin
        for start, until in spans:
            if start - end > IDLE:
                self._pieces.append((begin, end, at))
                at += end - begin + SHOWN
                begin, self.cut = start, self.cut + 1
            end = max(end, until)
        self._pieces.append((begin, end, at))
        self.end = end
        self._length = max(at + end - begin, 0.001)

    @property
    def note(self) -> str:
        """What is not to scale."""
        return (
            f"; {self.cut} idle time{'' if self.cut == 1 else 's'} drawn short" if self.cut else ""
        )

    def at(self, moment: float) -> float:
        for begin, end, place in reversed(self._pieces):
            if moment >= begin:
                return (place + min(moment, end) - begin) / self._length * WIDTH
        return 0.0
