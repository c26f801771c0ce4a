"""`agentmon rate`: how fast a round was written, block by block, and where it paused."""

from collections.abc import Mapping

from agentmon.core.rates import BlockRate, Deltas, MessageRate, Pauses, Rate, RoundRate, flow
from agentmon.core.spans import MAIN, Round
from agentmon.core.text import clean, cut, one_line
from agentmon.report.chart import sparkline
from agentmon.report.round_spans import head, round_json
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.report.words import UNKNOWN, brief, clock_text, per_second, size, tokens

BUCKETS = 60
"""Pieces of time in the JSON's sparkline."""

Found = Mapping[tuple[str, int], Deltas]


def as_json(round_: Round, rates: RoundRate, deltas: Found, now: float) -> dict[str, object]:
    """Everything as plain values; times are epoch seconds, lengths seconds."""
    end = round_.horizon(now)
    return {
        **round_json(round_, now),
        "first_token_seconds": rates.first_token,
        **_rate(rates.rate, is_estimate=False),
        "pauses": _pauses(rates.pauses),
        "flow": {
            "start_time": round_.start,
            "end_time": end,
            "chars_per_second": flow(deltas.values(), round_.start, end, BUCKETS),
        },
        "messages": [_message(one) for one in rates.messages],
    }


def _message(one: MessageRate) -> dict[str, object]:
    message = one.message
    return {
        "flow_id": message.flow_id,
        "agent_id": message.agent_id or None,
        "model": message.model,
        "start_time": message.start,
        "asked_time": one.asked,
        "first_delta_time": one.first,
        "first_token_seconds": one.first_token,
        "first_token_seconds_of_message": one.first_token_of_message,
        **_rate(one.rate, is_estimate=False),
        "pauses": _pauses(one.pauses),
        "blocks": [_block(block) for block in one.blocks],
    }


def _block(one: BlockRate) -> dict[str, object]:
    block = one.block
    return {
        "index": block.index,
        "block_type": block.block_type,
        "tool_name": block.tool_name,
        "tool_use_id": block.tool_use_id,
        "start_time": block.start,
        "first_delta_time": one.first,
        **_rate(one.rate, is_estimate=True),
        "pauses": _pauses(one.pauses),
    }


def _rate(rate: Rate, *, is_estimate: bool) -> dict[str, object]:
    return {
        "bytes": rate.bytes,
        "deltas": rate.deltas,
        "output_tokens": rate.tokens,
        "tokens_are_estimated": is_estimate,
        "writing_seconds": rate.seconds,
        "bytes_per_second": rate.bytes_per_second,
        "deltas_per_second": rate.deltas_per_second,
        "tokens_per_second": rate.tokens_per_second,
    }


def _pauses(pauses: Pauses) -> dict[str, object]:
    return {
        "count": pauses.count,
        "p50_seconds": pauses.p50,
        "p99_seconds": pauses.p99,
        "longest": [
            {
                "seconds": one.seconds,
                "start_time": one.start,
                "flow_id": one.flow_id,
                "index": one.index,
            }
            for one in pauses.longest
        ],
    }


# As text

_COLUMNS = (
    Column("", 12, 40, 0),
    Column("size", 5, 7, 0, right=True),
    Column("deltas", 6, 7, 4, right=True),
    Column("time", 6, 7, 2, right=True),
    Column("B/s", 4, 6, 1, right=True),
    Column("d/s", 4, 6, 5, right=True),
    Column("tok/s", 5, 6, 0, right=True),
    Column("first", 6, 7, 3, right=True),
    Column("p99", 6, 7, 7, right=True),
    Column("pause", 6, 7, 6, right=True),
)


def as_text(
    round_: Round,
    rates: RoundRate,
    deltas: Found,
    now: float,
    *,
    width: int,
    ascii: bool = False,
    color: bool = False,
) -> str:
    """The sums, the sparkline, a line for each message and block, in at most `width` cells."""
    width = max(width, 28)
    paint = Painter(ascii=ascii, color=color)
    lines = [paint(Cell(head(round_, now, width), bold=True)), ""]
    lines += [paint(Cell(cut(clean(line, newline=False), width))) for line in sums(rates)]
    lines += ["", *_flow(round_, deltas, now, width, paint), ""]
    names = {agent.agent_id: agent.name or agent.agent_id for agent in round_.agents}
    found: list[list[Cell]] = []
    for one in rates.messages:
        agent = one.message.agent_id
        who = "" if agent == MAIN else f" {names.get(agent, agent)}"
        found.append(_cells(f"{one.message.flow_id}{who}", one, "", "strong"))
        found += [_cells(f"  {_name(block)}", block, "~", "") for block in one.blocks]
    lines += table(_COLUMNS, found, width, paint) if found else ["Nothing was written yet."]
    if any(one.rate.tokens_per_second is not None for one in rates.messages):
        words = "~ estimated: a message's output tokens by its blocks' shares of the bytes"
        lines += ["", paint(Cell(one_line(words, width), "text-muted"))]
    return "\n".join(line.rstrip() for line in lines)


def _name(one: BlockRate) -> str:
    return one.block.tool_name or one.block.block_type or UNKNOWN


def _cells(name: str, one: MessageRate | BlockRate, lead: str, role: str) -> list[Cell]:
    rate = one.rate
    first = brief(one.first_token) if isinstance(one, MessageRate) else ""
    longest = one.pauses.longest
    speed = per_second(rate.tokens_per_second)
    return [
        Cell(name, bold=role == "strong"),
        Cell(size(rate.bytes)),
        Cell(UNKNOWN if rate.deltas is None else str(rate.deltas)),
        Cell(brief(rate.seconds)),
        Cell(per_second(rate.bytes_per_second)),
        Cell(per_second(rate.deltas_per_second)),
        Cell(speed if speed == UNKNOWN else lead + speed, "accent"),
        Cell(first),
        Cell(brief(one.pauses.p99)),
        Cell(brief(longest[0].seconds) if longest else UNKNOWN),
    ]


def sums(rates: RoundRate) -> list[str]:
    """First token, what was written, pauses: one line each."""
    rate, pauses = rates.rate, rates.pauses
    total = None if rate.tokens is None else round(rate.tokens)
    written = f"{size(rate.bytes)} in {brief(rate.seconds)} of writing"
    speeds = (
        f"{per_second(rate.tokens_per_second)} tok/s, {per_second(rate.bytes_per_second)} B/s, "
        f"{per_second(rate.deltas_per_second)} deltas/s"
    )
    lines = [
        f"first token  {brief(rates.first_token)} after the prompt",
        f"written      {tokens(total)} tokens, {written}",
        f"speed        {speeds}",
        f"pauses       p50 {brief(pauses.p50)}, p99 {brief(pauses.p99)} of {pauses.count:,}",
    ]
    for number, one in enumerate(pauses.longest[:3]):
        lead = "longest" if not number else ""
        where = f"before more of block {one.index} of {one.flow_id}"
        lines.append(f"{lead:<11}  {brief(one.seconds)} at {clock_text(one.start)}, {where}")
    return lines


def _flow(round_: Round, deltas: Found, now: float, width: int, paint: Painter) -> list[str]:
    """The sparkline over the round, with what its highest point is."""
    end = round_.horizon(now)
    values = flow(deltas.values(), round_.start, end, width)
    known = [value for value in values if value is not None]
    if not known:
        return [one_line("No delta was seen: what was written was told when it was over.", width)]
    line = sparkline(values, ascii=paint.ascii)
    words = f"characters over time, at most {per_second(max(known))} a second"
    return [paint(Cell(line, "success")), paint(Cell(one_line(words, width), "text-muted"))]
