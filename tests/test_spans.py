"""Rounds in time: the critical path fills a round, what runs at once is what a clock counts."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentmon.core.critical_path import critical_path
from agentmon.core.rates import Deltas, flow, round_rate
from agentmon.core.spans import (
    MAIN,
    Agent,
    Block,
    Message,
    Round,
    ancestors,
    answers,
    load,
    overlaps,
    runs,
)
from agentmon.core.text import cells
from agentmon.report import gantt
from agentmon.report.chart import sparkline
from tests.deep import examples
from tests.near import near

NOW = 1000.0


def call(
    flow_id: str,
    index: int,
    at: float,
    result: float | None = None,
    agent: str = MAIN,
    **more: object,
) -> Block:
    """A tool call that was written in the second before `at`."""
    values: dict[str, object] = {
        "block_type": "tool_use",
        "tool_use_id": f"t-{flow_id}-{index}",
        "tool_name": "Bash",
        "start": at - 1,
        "end": at,
        "result_at": result,
        **more,
    }
    return Block(flow_id, index, agent, **values)  # pyright: ignore[reportArgumentType]


def round_of(*messages: Message, end: float | None, agents: tuple[Agent, ...] = ()) -> Round:
    found = Round("s", "r", 1, "do it", 0.0, end, prompts=[0.0])
    found.messages = sorted(messages, key=lambda one: one.start)
    found.agents = list(agents)
    return found


def path(round_: Round) -> list[tuple[str, float, float, str]]:
    return [(s.kind, s.start, s.end, s.agent_id) for s in critical_path(round_, NOW)]


def test_the_last_of_parallel_calls_is_on_the_path() -> None:
    blocks = (call("m1", 0, 3.0, 9.0), call("m1", 1, 4.0, 6.0))
    round_ = round_of(
        Message("m1", MAIN, 2.0, 4.5, blocks), Message("m2", MAIN, 10.0, 12.0), end=13.0
    )
    assert path(round_) == [
        ("wait", 0.0, 2.0, MAIN),
        ("model", 2.0, 3.0, MAIN),
        ("tool", 3.0, 9.0, MAIN),
        ("wait", 9.0, 10.0, MAIN),
        ("model", 10.0, 12.0, MAIN),
        ("wait", 12.0, 13.0, MAIN),
    ]
    assert [step.before for step in critical_path(round_, NOW)] == [
        *("message", None, None, "message", None, "end")
    ]
    assert answers(round_) == {"m1": 0.0, "m2": 9.0}
    (one,) = overlaps(runs(round_, NOW))
    assert (one.first.id, one.second.id, one.start, one.end) == ("t-m1-0", "t-m1-1", 4.0, 6.0)
    found = load(runs(round_, NOW))
    assert (found.most, found.most_at, found.tool_seconds, found.busy_seconds) == (2, 4.0, 8.0, 6.0)
    assert found.factor == near(8 / 6)


def test_a_call_is_replaced_by_what_its_subagent_did() -> None:
    task = call("m1", 0, 3.0, 20.0)
    inner = call("s1", 0, 7.0, 15.0, "sub")
    messages = (
        Message("m1", MAIN, 2.0, 3.0, (task,)),
        Message("s1", "sub", 5.0, 7.5, (inner,)),
        Message("s2", "sub", 16.0, 18.0),
        Message("m2", MAIN, 21.0, 22.0),
    )
    round_ = round_of(*messages, end=22.0, agents=(Agent("sub", "t-m1-0"),))
    assert path(round_) == [
        ("wait", 0.0, 2.0, MAIN),
        ("model", 2.0, 3.0, MAIN),
        ("wait", 3.0, 5.0, "sub"),
        ("model", 5.0, 7.0, "sub"),
        ("tool", 7.0, 15.0, "sub"),
        ("wait", 15.0, 16.0, "sub"),
        ("model", 16.0, 18.0, "sub"),
        ("wait", 18.0, 20.0, MAIN),
        ("wait", 20.0, 21.0, MAIN),
        ("model", 21.0, 22.0, MAIN),
    ]
    assert list(overlaps(runs(round_, NOW))) == []  # a call waits for its own subagent
    found = load(runs(round_, NOW))
    assert (found.most, found.tool_seconds, found.busy_seconds) == (1, 17.0, 17.0)


def test_what_waited_for_a_subagent_in_the_background_leads_through_it() -> None:
    task = call("m1", 0, 3.0, 3.5)
    messages = (
        Message("m1", MAIN, 2.0, 3.0, (task,)),
        Message("m2", MAIN, 4.0, 5.0),
        Message("s1", "sub", 5.0, 30.0),
        Message("m3", MAIN, 31.0, 32.0),
    )
    round_ = round_of(*messages, end=32.0, agents=(Agent("sub", "t-m1-0"),))
    assert path(round_) == [
        ("wait", 0.0, 2.0, MAIN),
        ("model", 2.0, 3.0, MAIN),
        ("wait", 3.0, 5.0, "sub"),
        ("model", 5.0, 30.0, "sub"),
        ("wait", 30.0, 31.0, MAIN),
        ("model", 31.0, 32.0, MAIN),
    ]
    assert answers(round_)["m3"] == 30.0


def test_a_tool_that_waits_for_agents_leads_through_the_last_one() -> None:
    spawn, waits = call("m1", 0, 3.0, 3.1), call("m2", 0, 6.0, 20.0, tool_name="wait_agent")
    messages = (
        Message("m1", MAIN, 2.0, 3.0, (spawn,)),
        Message("m2", MAIN, 4.0, 6.0, (waits,)),
        Message("s1", "sub", 5.0, 19.0),
        Message("m3", MAIN, 21.0, 22.0),
    )
    round_ = round_of(*messages, end=22.0, agents=(Agent("sub", "t-m1-0"),))
    assert path(round_)[1:5] == [
        ("model", 2.0, 3.0, MAIN),
        ("wait", 3.0, 5.0, "sub"),
        ("model", 5.0, 19.0, "sub"),
        ("wait", 19.0, 20.0, MAIN),
    ]


def test_a_message_that_was_told_whole_has_no_start_of_its_own() -> None:
    told = Block("m1", 0, start=4.0, end=4.0, block_type="text", is_told=True, bytes=10)
    run = call("m1", 1, 5.0, 8.0, start=5.0, is_told=True)
    messages = (
        Message("m1", MAIN, 4.0, 5.0, (told, run), is_told=True, output_tokens=7),
        Message("m2", MAIN, 9.0, 9.0, (), is_told=True),
    )
    round_ = round_of(*messages, end=9.0)
    assert path(round_) == [
        ("model", 0.0, 5.0, MAIN),
        ("tool", 5.0, 8.0, MAIN),
        ("model", 8.0, 9.0, MAIN),
    ]
    rates = round_rate(round_, {})
    assert rates.rate.bytes == 10
    assert rates.rate.tokens == 7
    assert rates.first_token is None
    blanks = (rates.rate.seconds, rates.rate.deltas, rates.rate.tokens_per_second, rates.pauses.p50)
    assert blanks == (None, None, None, None)


def test_what_is_open_runs_until_now() -> None:
    round_ = round_of(Message("m1", MAIN, 2.0, 3.0, (call("m1", 0, 3.0),)), end=None)
    assert path(round_)[-1] == ("tool", 3.0, NOW, MAIN)
    assert runs(round_, NOW)[0].seconds == NOW - 3.0
    writing = round_of(Message("m1", MAIN, 2.0, None), end=None)
    assert path(writing) == [("wait", 0.0, 2.0, MAIN), ("model", 2.0, NOW, MAIN)]


def test_a_call_that_came_back_unseen_counts_in_no_sum() -> None:
    lost = call("m1", 0, 3.0, is_lost=True)
    round_ = round_of(
        Message("m1", MAIN, 2.0, 3.0, (lost,)), Message("m2", MAIN, 9.0, 10.0), end=10.0
    )
    found = load(runs(round_, NOW))
    assert (found.calls, found.unknown, found.most, found.factor) == (1, 1, 0, None)
    assert "tool" not in {step.kind for step in critical_path(round_, NOW)}


def test_an_empty_round_waits() -> None:
    assert path(round_of(end=5.0)) == [("wait", 0.0, 5.0, MAIN)]
    assert path(round_of(end=0.0)) == []
    assert load([]).factor is None


# Whatever comes


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    """Threads of messages and calls that may overlap, nest, stay open and lie anywhere."""
    moment = st.integers(0, 40).map(float)
    maybe = st.one_of(st.none(), moment)
    names = [MAIN, "a", "b", "c"]
    messages: list[Message] = []
    calls: list[str] = []
    for number in range(draw(st.integers(0, 6))):
        agent = draw(st.sampled_from(names))
        start = draw(moment)
        blocks: list[Block] = []
        for index in range(draw(st.integers(0, 3))):
            at = draw(moment)
            tool = draw(st.sampled_from(["Bash", "Task", "wait_agent"]))
            result, lost = draw(maybe), draw(st.booleans())
            told = draw(st.booleans())
            block = call(f"m{number}", index, at, result, agent, tool_name=tool, is_told=told)
            blocks.append(replace(block, is_lost=lost and result is None))
            calls.append(str(block.tool_use_id))
        end = draw(st.one_of(st.none(), st.integers(0, 9).map(lambda x, s=start: s + x)))
        told = draw(st.booleans())
        messages.append(Message(f"m{number}", agent, start, end, tuple(blocks), is_told=told))
    agents = [
        Agent(name, draw(st.one_of(st.none(), st.sampled_from(calls))) if calls else None)
        for name in names[1:]
    ]
    found = round_of(*messages, end=draw(maybe), agents=tuple(agents))
    found.prompts += draw(st.lists(moment, max_size=2))
    return found


@settings(max_examples=examples(30, 300))
@given(rounds())
def test_the_critical_path_fills_the_round(round_: Round) -> None:
    now = 50.0
    steps = critical_path(round_, now)
    if not steps:
        assert round_.until(now) == round_.start
        return
    assert steps[0].start == round_.start
    assert steps[-1].end == round_.until(now)
    assert all(before.end == after.start for before, after in pairwise(steps))
    assert all(step.seconds > 0 for step in steps)


@settings(max_examples=examples(16, 100), deadline=None)
@given(rounds())
def test_at_once_is_what_a_clock_counts(round_: Round) -> None:
    """Every half second somebody looks: who runs, and who of them only waits for its own."""
    now = 50.0
    known = runs(round_, now)
    by_id = {run.id: run for run in known}
    tool = busy = most = 0
    together: dict[tuple[str, str], float] = {}
    for step in range(100):
        at = step / 2 + 0.25
        working = [run for run in known if run.end is not None and run.start < at < run.end]
        waiting = {above for run in working for above in ancestors(run, by_id)}
        count = sum(run.id not in waiting for run in working)
        tool, busy, most = tool + count, busy + bool(count), max(most, count)
        for one in working:
            for other in working:
                if one.id < other.id:
                    key = one.id, other.id
                    apart = one.id not in ancestors(other, by_id)
                    if apart and other.id not in ancestors(one, by_id):
                        together[key] = together.get(key, 0.0) + 0.5
    found = load(known)
    assert found.tool_seconds == near(tool / 2)
    assert found.busy_seconds == near(busy / 2)
    assert found.most == (most or min(1, found.calls - found.unknown))
    pairs = {
        (min(o.first.id, o.second.id), max(o.first.id, o.second.id)): o.seconds
        for o in overlaps(known)
    }
    assert pairs == near(together)


@settings(max_examples=examples(16, 80), deadline=None)
@given(rounds(), st.integers(1, 120), st.booleans())
def test_a_row_of_bars_is_as_wide_as_it_should_be(round_: Round, width: int, ascii: bool) -> None:
    now = 50.0
    rows = gantt.rows(round_, now, critical_path(round_, now))
    blocks = [block.key for message in round_.messages for block in message.blocks]
    shown = [row.block.key for row in rows if row.block is not None]
    assert len(shown) == len(set(shown))
    assert set(shown) <= set(blocks)
    window = gantt.Window(round_.start, round_.horizon(now), width)
    for row in rows:
        text = "".join(cell.text for cell in gantt.bar_cells(row.bars, window, ascii=ascii))
        assert cells(text) == width
        assert text.isascii() or not ascii
        inside = [bar for bar in row.bars if bar.start >= round_.start]
        assert not inside or text.strip() or width < 1
    assert cells(gantt.axis(window, round_.start)) <= width


def test_every_block_has_a_row_where_subagents_hang_together() -> None:
    task, inner = call("m1", 0, 3.0, 20.0), call("s1", 0, 7.0, 15.0, "sub")
    messages = (Message("m1", MAIN, 2.0, 3.0, (task,)), Message("s1", "sub", 5.0, 7.5, (inner,)))
    round_ = round_of(*messages, end=22.0, agents=(Agent("sub", "t-m1-0", "look around"),))
    rows = gantt.rows(round_, NOW, critical_path(round_, NOW))
    assert [(row.name, row.depth, row.is_critical) for row in rows] == [
        ("Bash", 0, True),
        ("agent", 1, False),
        ("Bash", 2, True),
    ]


@pytest.mark.parametrize(
    ("length", "width", "marks"),
    [
        (30.0, 40, "0            10s          20s"),
        (3.8, 38, "0         1s        2s        3s"),
        (600.0, 50, "0         2m        4m        6m"),
        (0.0, 40, ""),
        (30.0, 9, ""),
    ],
)
def test_the_axis_has_round_marks(length: float, width: int, marks: str) -> None:
    assert gantt.axis(gantt.Window(100.0, 100.0 + length, width), 100.0).startswith(marks)


# Sparklines

MOMENTS = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 500)), max_size=60)


@given(MOMENTS, st.integers(1, 80))
def test_a_flow_loses_no_character(moments: list[tuple[float, int]], buckets: int) -> None:
    moments.sort()
    deltas = Deltas([at for at, _ in moments], [chars for _, chars in moments])
    values = flow([deltas], 0.0, 100.0, buckets)
    assert len(values) == buckets
    seconds = 100.0 / buckets
    total = sum(value * seconds for value in values if value is not None)
    assert total == near(sum(deltas.chars))
    assert sum(value is not None for value in values) <= len(moments)
    line = sparkline(values)
    assert len(line) == buckets
    assert [char == " " for char in line] == [value is None for value in values]
    assert sparkline(values, ascii=True).isascii()


def test_a_flow_over_no_time_is_nothing() -> None:
    deltas = Deltas([5.0], [3])
    assert flow([deltas], 5.0, 5.0, 3) == [None, None, None]
    assert flow([deltas], 0.0, 9.0, 0) == []
    assert sparkline([0.0, None]) == "▁ "


def test_one_delta_has_a_rate_only_where_time_passed() -> None:
    block = Block("m1", 0, block_type="text", start=2.0, end=3.0, bytes=6, deltas=1)
    round_ = round_of(Message("m1", MAIN, 1.0, 3.0, (block,), output_tokens=4), end=3.0)
    rates = round_rate(round_, {block.key: Deltas([2.5], [6])})
    (message,) = rates.messages
    assert (message.first_token, message.first_token_of_message) == (2.5, 1.5)
    assert message.blocks[0].rate.bytes_per_second == 12.0
    assert message.blocks[0].rate.tokens == 4.0
    assert message.rate.tokens_per_second == 4 / 1.5
    assert (message.pauses.count, message.pauses.p50, message.pauses.longest) == (0, None, ())
    at_once = round_rate(round_, {block.key: Deltas([2.0], [6])})
    assert at_once.messages[0].blocks[0].rate.bytes_per_second is None
