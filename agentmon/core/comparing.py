"""Sessions side by side: figures with differences and ratios, aligned rounds, the first place
where two runs part. Pure.

**Rounds are aligned by their prompts.** The nth round with a prompt is the partner of the nth
round with the same prompt (but for blanks) in the other session; of partners that cross each other
as many as possible are kept. Rounds between two such pairs are paired by their number, as far as
both sides have some. So what was asked in both stands side by side, and where nothing is equal
the numbers decide.

**Two runs part** at the first pair of rounds, in order, that differs in this order: a round that
only one has; the prompt; then message by message of the main agent: a message that only one has; a
tool call that only one has, its name, its input (as JSON values, else as text); the stop reason.
What an agent writes in between is not compared: it is never twice the same.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from statistics import median

from msgspec import Struct

Pair = tuple[int | None, int | None]
"""Places of two aligned rounds; None: that side has none."""


class Call(Struct, frozen=True):
    """A tool call. `seconds` from its completion to its result; `is_error` None: not known."""

    flow_id: str
    index: int
    name: str | None
    is_error: bool | None = None
    seconds: float | None = None


class Message(Struct, frozen=True):
    """A message with its calls. `streaming` are the seconds from its start to its last delta, None
    where it was not seen as it streamed."""

    flow_id: str
    agent_id: str | None
    model: str | None
    stop_reason: str | None
    is_broken: bool = False
    output_tokens: int | None = None
    streaming: float | None = None
    calls: tuple[Call, ...] = ()


class Round(Struct, frozen=True):
    """A round with the messages of the main agent. `first_token` is how many seconds after its
    start the first content of the first one began."""

    number: int
    round_id: str
    prompt: str | None
    seconds: float | None = None
    first_token: float | None = None
    messages: tuple[Message, ...] = ()


class Story(Struct, frozen=True):
    """A session as far as it is compared; `messages` are those of all its threads."""

    sid: str
    agent: str
    rounds: tuple[Round, ...]
    messages: tuple[Message, ...]
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    seconds: float | None = None
    """From its first to its last event."""

    @property
    def models(self) -> list[str]:
        """In the order in which they were used first."""
        return list(dict.fromkeys(m.model for m in self.messages if m.model is not None))

    @property
    def calls(self) -> list[Call]:
        return [call for message in self.messages for call in message.calls]


class Figure(Struct, frozen=True):
    """One number of each session; differences and ratios are to the first one. None: not known,
    or a ratio to nothing."""

    name: str
    values: tuple[float | None, ...]

    @property
    def differences(self) -> tuple[float | None, ...]:
        base = self.values[0]
        return tuple(None if None in (base, v) else (v or 0) - (base or 0) for v in self.values)

    @property
    def ratios(self) -> tuple[float | None, ...]:
        base = self.values[0]
        return tuple(v / base if base and v is not None else None for v in self.values)


FIGURES: dict[str, Callable[[Story], float | None]] = {
    "rounds": lambda story: len(story.rounds),
    "messages": lambda story: len(story.messages),
    "subagents": lambda story: len({m.agent_id for m in story.messages} - {None}),
    "tool_calls": lambda story: len(story.calls),
    "tool_errors": lambda story: sum(call.is_error is True for call in story.calls),
    "api_errors": lambda story: sum(message.is_broken for message in story.messages),
    "input_tokens": lambda story: story.input_tokens,
    "output_tokens": lambda story: story.output_tokens,
    "cache_read_tokens": lambda story: story.cache_read_tokens,
    "cache_write_tokens": lambda story: story.cache_write_tokens,
    "seconds": lambda story: story.seconds,
    "round_seconds": lambda story: _total(r.seconds for r in story.rounds),
    "median_round_seconds": lambda story: _median(r.seconds for r in story.rounds),
    "tool_seconds": lambda story: _total(call.seconds for call in story.calls),
    "median_first_token_seconds": lambda story: _median(r.first_token for r in story.rounds),
    "tokens_per_second": lambda story: tokens_per_second(story.messages),
}
"""What is compared of whole sessions, by name."""


def figures(stories: Sequence[Story]) -> list[Figure]:
    """The figures of all sessions; the first one is what the others are compared with."""
    return [Figure(name, tuple(of(story) for story in stories)) for name, of in FIGURES.items()]


def tool_figures(stories: Sequence[Story]) -> list[Figure]:
    """Calls by tool; a tool that was never called in any of them does not appear."""
    counts = [Counter(call.name or "" for call in story.calls) for story in stories]
    every = {name for count in counts for name in count}
    names = sorted(every, key=lambda name: (-max(c[name] for c in counts), name))
    return [Figure(name, tuple(count[name] for count in counts)) for name in names]


def tokens_per_second(messages: Iterable[Message]) -> float | None:
    """Output tokens by seconds of streaming, over the messages of which both are known."""
    known = [
        (message.output_tokens, message.streaming)
        for message in messages
        if message.output_tokens is not None and message.streaming
    ]
    seconds = sum(streaming for _, streaming in known)
    return sum(tokens for tokens, _ in known) / seconds if seconds > 0 else None


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


# -- alignment


def same_prompt(prompt: str | None) -> str:
    """Equal for prompts that differ in blanks only."""
    return " ".join((prompt or "").split())


def align(one: Sequence[str | None], other: Sequence[str | None]) -> list[Pair]:
    """Pairs of places of two lists of prompts, in order; every place comes once."""
    first, second = [same_prompt(p) for p in one], [same_prompt(p) for p in other]
    if second < first:  # whatever is decided between equals is decided alike from both sides
        return [(a, b) for b, a in _align(second, first)]
    return _align(first, second)


def _align(one: Sequence[str], other: Sequence[str]) -> list[Pair]:
    pairs: list[Pair] = []
    after_one = after_other = 0
    for a, b in [*_anchors(one, other), (len(one), len(other))]:
        pairs += zip_longest(range(after_one, a), range(after_other, b))
        pairs += [(a, b)] * (a < len(one) and b < len(other))
        after_one, after_other = a + 1, b + 1
    return pairs


def _anchors(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Places of equal prompts, the longest run of them that rises on both sides."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, prompt in enumerate(other):
        places[prompt].append(place)
    seen: Counter[str] = Counter()
    partners: list[tuple[int, int]] = []
    for place, prompt in enumerate(one):
        if seen[prompt] < len(places[prompt]):
            partners.append((place, places[prompt][seen[prompt]]))
        seen[prompt] += 1
    return _rising(partners)


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose second places rise; n log n."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for at, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else None)
        if length == len(ends):
            ends.append(place)
            last.append(at)
        else:
            ends[length], last[length] = place, at
    found: list[tuple[int, int]] = []
    at_ = last[-1] if last else None
    while at_ is not None:
        found.append(pairs[at_])
        at_ = before[at_]
    return found[::-1]


def table(alignments: Sequence[Sequence[Pair]], count: int) -> list[list[int | None]]:
    """Rows of rounds over all sessions: the first session's place, then one of each other.

    `alignments` are of the first session, with `count` rounds, with each other one. A round that
    only another session has stands after the round of the first one that it follows there.
    """
    width = len(alignments) + 1
    rows: list[list[int | None]] = [[at, *[None] * (width - 1)] for at in range(count)]
    extra: defaultdict[int, list[list[int | None]]] = defaultdict(list)
    for column, pairs in enumerate(alignments, 1):
        at = -1
        for a, b in pairs:
            if a is not None:
                at, rows[a][column] = a, b
            else:
                extra[at].append([b if place == column else None for place in range(width)])
    found = extra[-1]
    for at, row in enumerate(rows):
        found += [row, *extra[at]]
    return found


# -- where two runs part


class Side(Struct, frozen=True):
    """One session at the place where two part: what is there, None for nothing."""

    sid: str
    round_number: int | None = None
    round_id: str | None = None
    flow_id: str | None = None
    index: int | None = None
    value: str | None = None


class Divergence(Struct, frozen=True):
    """`what`: round, prompt, message, call, tool, input or stop_reason."""

    what: str
    one: Side
    other: Side


SameInput = Callable[[Call, Call], bool]


def divergence(one: Story, other: Story, same_input: SameInput) -> Divergence | None:
    """The first place where two sessions part; None: they do not. `same_input` tells of two calls
    of one tool whether they were given the same."""
    pairs = align([r.prompt for r in one.rounds], [r.prompt for r in other.rounds])
    for a, b in pairs:
        left = one.rounds[a] if a is not None else None
        right = other.rounds[b] if b is not None else None
        for what, *sides in _parting(left, right, same_input):
            rounds = (one.sid, left), (other.sid, right)
            ours, theirs = (
                _side(sid, round_, *side) for (sid, round_), side in zip(rounds, sides, strict=True)
            )
            return Divergence(what, ours, theirs)
    return None


Found = tuple[str | None, int | None, str | None]
"""flow_id, index and value of a side."""


def _side(
    sid: str, round_: Round | None, flow_id: str | None, index: int | None, value: str | None
) -> Side:
    number = round_.number if round_ is not None else None
    round_id = round_.round_id if round_ is not None else None
    return Side(sid, number, round_id, flow_id, index, value)


def _parting(
    one: Round | None, other: Round | None, same_input: SameInput
) -> Iterator[tuple[str, Found, Found]]:
    """The differences of two rounds, in order."""
    if one is None or other is None:
        sides = [(None, None, r.prompt if r is not None else None) for r in (one, other)]
        yield "round", sides[0], sides[1]
        return
    if same_prompt(one.prompt) != same_prompt(other.prompt):
        yield "prompt", (None, None, one.prompt), (None, None, other.prompt)
    for left, right in zip_longest(one.messages, other.messages):
        if left is None or right is None:
            yield "message", _of_message(left), _of_message(right)
        else:
            yield from _messages_part(left, right, same_input)


def _messages_part(
    one: Message, other: Message, same_input: SameInput
) -> Iterator[tuple[str, Found, Found]]:
    for left, right in zip_longest(one.calls, other.calls):
        sides = _of_call(left, one), _of_call(right, other)
        if left is None or right is None:
            yield "call", *sides
        elif left.name != right.name:
            yield "tool", *sides
        elif not same_input(left, right):
            yield "input", *sides
    if one.stop_reason != other.stop_reason:
        yield "stop_reason", _of_message(one), _of_message(other)


def _of_message(message: Message | None) -> Found:
    return (None, None, None) if message is None else (message.flow_id, None, message.stop_reason)


def _of_call(call: Call | None, message: Message) -> Found:
    if call is None:
        return message.flow_id, None, None
    return call.flow_id, call.index, call.name
