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
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

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
    pauses: list[Pause] = []
    for message in round_.messages:
        own = _pauses(message, deltas)
        pauses += own
        found.append(_message(message, deltas, own, asked.get(message.flow_id)))
    firsts = (one.first for one in found if one.message.agent_id == MAIN)
    first = _between(round_.start, next(firsts, None))
    return RoundRate(_sum([one.rate for one in found]), first, summary(pauses), found)


def _message(
    message: Message, deltas: Mapping[Key, Deltas], pauses: list[Pause], asked: float | None
) -> MessageRate:
    by_block: dict[int, list[Pause]] = {}
    for pause in pauses:
        by_block.setdefault(pause.index, []).append(pause)
    size = sum(block.bytes for block in message.blocks)
    tokens = message.output_tokens if message.is_complete else None
    blocks: list[BlockRate] = []
    for block in message.blocks:
        share = None if tokens is None or not size else tokens * block.bytes / size
        own = deltas.get(block.key, NO_DELTAS)
        rate = _rate(block.bytes, len(own.times), share, block.start, own.times)
        first = own.times[0] if own.times else None
        blocks.append(BlockRate(block, rate, first, summary(by_block.get(block.index, []))))
    times = [at for block in message.blocks for at in deltas.get(block.key, NO_DELTAS).times]
    rate = _rate(size, len(times), tokens, message.start, times)
    first = min(times, default=None)
    return MessageRate(message, rate, asked, first, summary(pauses), tuple(blocks))


def _rate(
    size: int, count: int, tokens: float | None, start: float | None, times: Sequence[float]
) -> Rate:
    """Sizes over the time from a start to the last of some deltas."""
    seconds = _between(start, max(times)) if times else None

    def per_second(amount: float | None) -> float | None:
        return amount / seconds if amount is not None and seconds else None

    rates = per_second(size), per_second(count), per_second(tokens)
    return Rate(size, count if times else None, tokens, seconds, *rates)


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


def _pauses(message: Message, deltas: Mapping[Key, Deltas]) -> list[Pause]:
    """All pauses of a message, in the order of time."""
    moments = sorted(
        (at, block.index)
        for block in message.blocks
        for at in deltas.get(block.key, NO_DELTAS).times
    )
    flow_id = message.flow_id
    return [
        Pause(length(earlier, later), earlier, flow_id, index)
        for (earlier, _), (later, index) in pairwise(moments)
    ]


def summary(pauses: Sequence[Pause]) -> Pauses:
    if not pauses:
        return Pauses()
    lengths = [pause.seconds for pause in pauses]
    longest = heapq.nsmallest(LONGEST, pauses, key=lambda one: (-one.seconds, one.start))
    return Pauses(len(pauses), percentile(lengths, 0.5), percentile(lengths, 0.99), tuple(longest))


# Over time


def flow(deltas: Iterable[Deltas], start: float, end: float, buckets: int) -> list[float | None]:
    """Characters per second in equal pieces of the time from `start` to `end`; None: no delta
    came in it. What lies outside counts in no piece, a delta at the very end in the last one."""
    length = end - start
    if buckets < 1 or length <= 0:
        return [None] * max(buckets, 0)
    sums: list[float | None] = [None] * buckets
    for one in deltas:
        for at, chars in zip(one.times, one.chars, strict=True):
            if start <= at <= end:
                place = min(int((at - start) / length * buckets), buckets - 1)
                sums[place] = (sums[place] or 0.0) + chars
    return [None if one is None else one * buckets / length for one in sums]
