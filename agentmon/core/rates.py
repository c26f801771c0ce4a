"""How fast a round was written: bytes, deltas and tokens per second, first tokens, pauses. Pure.

Times are epoch seconds, lengths seconds, sizes UTF-8 bytes. What is not known is None: without a
delta, or with all of them in one moment, there is no rate, with one there is no pause.

- The *writing time* of a block runs from its start to its last delta; that of a message from its
  start to the last delta of any of its blocks.
- *Tokens* of a message are what its end said (`output_tokens`). Spread over its blocks they are an
  estimate, by their share of the bytes: tokens of hidden thinking fall on the blocks in sight.
- The *time to the first token* of a message runs from what it answers to its first delta, and
  also from its own start. It answers what came last in its thread by its start: a prompt, a
  result, the end of a subagent that the thread started; but nothing that came before the message
  before it. That of a round runs from its start to the first delta of its first main message.
- A *pause* is the time between two deltas of one message that follow each other, whichever of its
  blocks they belong to; it belongs to the block of the later one. p50 and p99 are the lower
  nearest rank.
- A block that was told whole has no deltas: no rates, no pauses.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import gt

from msgspec import Struct, field

from agentmon.core.spans import MAIN, Block, Message, Round, answers, length
from agentmon.core.yardsticks import percentile

LONGEST = 5
"""Pauses that are named one by one."""

Key = tuple[str, int]


class Deltas(Struct):
    """When the deltas of a block came, in the order of time, and their characters."""

    times: Sequence[float]
    chars: Sequence[int]


NO_DELTAS = Deltas((), ())


class Pause(Struct, frozen=True):
    """A pause and when it began; the block that went on after it."""

    seconds: float
    start: float
    flow_id: str
    index: int


class Pauses(Struct, frozen=True):
    """What the pauses of a block, a message or a round are like."""

    count: int = 0
    p50: float | None = None
    p99: float | None = None
    longest: tuple[Pause, ...] = ()
    """The longest first."""


class Rate(Struct, frozen=True):
    """Sizes, the writing time, and the one over the other. Of a sum, each rate counts only what
    both its parts are known of; of a block, tokens are an estimate."""

    bytes: int
    deltas: int | None = None
    tokens: float | None = None
    seconds: float | None = None
    bytes_per_second: float | None = None
    deltas_per_second: float | None = None
    tokens_per_second: float | None = None


class BlockRate(Struct, frozen=True):
    block: Block
    rate: Rate
    first: float | None
    """Its first delta."""
    pauses: Pauses


class MessageRate(Struct, frozen=True):
    message: Message
    rate: Rate
    asked: float | None
    """What it answers came then."""
    first: float | None
    """Its first delta."""
    pauses: Pauses
    blocks: tuple[BlockRate, ...]

    @property
    def first_token(self) -> float | None:
        """Seconds from what it answers to its first delta."""
        return _between(self.asked, self.first)

    @property
    def first_token_of_message(self) -> float | None:
        """Seconds from its start to its first delta."""
        return _between(self.message.start, self.first)


class RoundRate(Struct):
    """A round: the sums over its messages, its first token after the prompt, its pauses."""

    rate: Rate
    first_token: float | None
    pauses: Pauses
    messages: list[MessageRate] = field(default_factory=list[MessageRate])


def _between(start: float | None, end: float | None) -> float | None:
    return max(0.0, length(start, end)) if start is not None and end is not None else None


def round_rate(round_: Round, deltas: Mapping[Key, Deltas]) -> RoundRate:
    """The rates of a round; its writing time is the sum over its messages."""
    asked = answers(round_)
    found: list[MessageRate] = []
    pooled: list[float] = []
    for message in round_.messages:
        found.append(_message(message, deltas, asked.get(message.flow_id), pooled))
    firsts = (one.first for one in found if one.message.agent_id == MAIN)
    first = _between(round_.start, next(firsts, None))
    pauses = summary(pooled, [pause for one in found for pause in one.pauses.longest])
    return RoundRate(_sum([one.rate for one in found]), first, pauses, found)


def _message(
    message: Message, deltas: Mapping[Key, Deltas], asked: float | None, pooled: list[float]
) -> MessageRate:
    """The rates of a message; adds its pauses to those of the round."""
    size = sum(block.bytes for block in message.blocks)
    tokens = message.output_tokens if message.is_complete else None
    by_block = _pauses(message, deltas)
    blocks: list[BlockRate] = []
    for block in message.blocks:
        share = None if tokens is None or not size else tokens * block.bytes / size
        times = deltas.get(block.key, NO_DELTAS).times
        last = times[-1] if times else None
        rate = _rate(block.bytes, len(times), share, block.start, last)
        lengths, longest = by_block.get(block.index, ([], []))
        blocks.append(
            BlockRate(block, rate, times[0] if times else None, summary(lengths, longest))
        )
    known = [deltas[block.key].times for block in message.blocks if block.key in deltas]
    known = [times for times in known if times]
    last = max((times[-1] for times in known), default=None)
    first = min((times[0] for times in known), default=None)
    rate = _rate(size, sum(map(len, known)), tokens, message.start, last)
    lengths = [length for found, _ in by_block.values() for length in found]
    pooled += lengths
    pauses = summary(lengths, [pause for one in blocks for pause in one.pauses.longest])
    return MessageRate(message, rate, asked, first, pauses, tuple(blocks))


def _rate(
    size: int, count: int, tokens: float | None, start: float | None, last: float | None
) -> Rate:
    """Sizes over the time from a start to the last delta."""
    seconds = _between(start, last)

    def per_second(amount: float | None) -> float | None:
        return amount / seconds if amount is not None and seconds else None

    rates = per_second(size), per_second(count), per_second(tokens)
    return Rate(size, count if count else None, tokens, seconds, *rates)


def _sum(rates: Sequence[Rate]) -> Rate:
    """The sums over messages; a rate counts those that have it."""

    def total(name: str) -> float | None:
        found = [value for rate in rates if (value := getattr(rate, name)) is not None]
        return sum(found) if found else None

    def per_second(name: str) -> float | None:
        counted = [rate for rate in rates if getattr(rate, f"{name}_per_second") is not None]
        seconds = sum(rate.seconds or 0.0 for rate in counted)
        return sum(getattr(rate, name) for rate in counted) / seconds if seconds else None

    count = total("deltas")
    return Rate(
        sum(rate.bytes for rate in rates),
        None if count is None else int(count),
        total("tokens"),
        total("seconds"),
        *(per_second(name) for name in ("bytes", "deltas", "tokens")),
    )


# Pauses


def _pauses(
    message: Message, deltas: Mapping[Key, Deltas]
) -> dict[int, tuple[list[float], list[Pause]]]:
    """By block: the lengths of all its pauses, and the longest of them."""
    times: list[float] = []
    owners: list[int] = []
    for block in message.blocks:
        own = deltas.get(block.key, NO_DELTAS).times
        times += own
        owners += [block.index] * len(own)
    if any(map(gt, times, times[1:])):  # blocks that were written side by side
        order = sorted(range(len(times)), key=times.__getitem__)
        times, owners = [times[at] for at in order], [owners[at] for at in order]
    by_block: dict[int, list[tuple[float, float]]] = {}
    for start, end, owner in zip(times, times[1:], owners[1:], strict=False):
        by_block.setdefault(owner, []).append((end - start, -start))
    found: dict[int, tuple[list[float], list[Pause]]] = {}
    for index, pauses in by_block.items():
        longest = [
            Pause(round(seconds, 6), -start, message.flow_id, index)
            for seconds, start in heapq.nlargest(LONGEST, pauses)
        ]
        found[index] = [seconds for seconds, _ in pauses], longest
    return found


def summary(lengths: Sequence[float], longest: Iterable[Pause]) -> Pauses:
    """The pauses of these lengths, among them at least the longest ones."""
    if not lengths:
        return Pauses()
    named = heapq.nsmallest(LONGEST, longest, key=lambda one: (-one.seconds, one.start))
    ordered = sorted(lengths)
    p50, p99 = (round(percentile(ordered, share), 6) for share in (0.5, 0.99))
    return Pauses(len(lengths), p50, p99, tuple(named))


# Over time


def flow(deltas: Iterable[Deltas], start: float, end: float, buckets: int) -> list[float | None]:
    """Characters per second in equal pieces of the time from `start` to `end`; None: no delta
    came in it. What lies outside counts in no piece, a delta at the very end in the last one."""
    seconds = end - start
    if buckets < 1 or seconds <= 0:
        return [None] * max(buckets, 0)
    sums: list[float | None] = [None] * buckets

    def place(at: float) -> int:
        return min(int((at - start) / seconds * buckets), buckets - 1)

    for one in deltas:
        first, last = bisect_left(one.times, start), bisect_right(one.times, end)
        if first >= last:
            continue
        bucket = place(one.times[first])
        if place(one.times[last - 1]) == bucket:  # what was written in a moment
            sums[bucket] = (sums[bucket] or 0.0) + sum(one.chars[first:last])
            continue
        for at, chars in zip(one.times[first:last], one.chars[first:last], strict=True):
            bucket = place(at)
            sums[bucket] = (sums[bucket] or 0.0) + chars
    return [None if one is None else one * buckets / seconds for one in sums]
