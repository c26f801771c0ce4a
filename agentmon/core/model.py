"""The entities of the fold: sessions, threads, rounds, messages, blocks, and their small parts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from msgspec import Struct, field

from agentmon.core.columns import DeltaTail, Fresh
from agentmon.core.events import Meta, Notice, Result, StreamError

RECENT_PROMPTS = 16
"""How many last prompts of a session can still change their round."""
RECENT_STOPS = 16
"""How many last stops without a round can still end one."""
MANY_RUNS = 32
"""From how many runs on the lines of a stream are looked up in a set."""
RECENT_STARTS = 32
"""How many last message starts of a session are kept to answer a late prompt."""


class Stream(Struct, eq=False):
    """A stream as written, key (sid, flow_id, pid): which of its lines were taken.

    Counters mostly go up by one, so they are kept as runs over the checksums of the lines.
    """

    sid: str
    flow: str
    pid: int
    digests: array[int] = field(default_factory=lambda: array("I"))
    """Of every line, in arrival order."""
    runs: list[tuple[int, int]] = []
    """(position in `digests`, counter there) wherever the counter did not go up by one."""
    next_count: int = -1
    """The counter that goes on where the last line left off and was never seen."""
    top: int = -1
    stored: int = 0
    """How many entries are committed (whole chunks and the part of the last one)."""
    is_dirty: bool = False
    touched: int = 0
    seen: set[tuple[int, int]] | None = None
    """(counter, digest), made once there are many runs."""

    def take(self, count: int, digest: int) -> bool:
        """False for a duplicate, else remembers the line."""
        if count != self.next_count:
            return self._take_out_of_turn(count, digest)
        self.digests.append(digest)
        self.top = count
        self.next_count = count + 1
        if self.seen is not None:
            self.seen.add((count, digest))
        return True

    def take_run(self, count: int, digests: Iterable[int]) -> list[bool] | None:
        """The same for lines whose counters go up by one; None where all are new."""
        if count == self.next_count and self.seen is None:
            before = len(self.digests)
            self.digests.extend(digests)
            self.next_count = count + len(self.digests) - before
            self.top = self.next_count - 1
            return None
        taken = [self.take(at, digest) for at, digest in enumerate(digests, count)]
        return None if all(taken) else taken

    def _take_out_of_turn(self, count: int, digest: int) -> bool:
        if self._has(count, digest):
            return False
        follows = bool(self.runs) and count >= 0 and count == self._last() + 1
        if not follows:
            self.runs.append((len(self.digests), count))
        self.digests.append(digest)
        if self.seen is not None:
            self.seen.add((count, digest))
        self.top = max(self.top, count)
        # a counter up to the highest one may come again: it takes the careful way
        self.next_count = count + 1 if count >= self.top and count >= 0 else -2
        return True

    def _last(self) -> int:
        position, count = self.runs[-1]
        return count + len(self.digests) - 1 - position

    def _has(self, count: int, digest: int) -> bool:
        if len(self.runs) > MANY_RUNS and self.seen is None:
            self.seen = set(self.entries())
        if self.seen is not None:
            return (count, digest) in self.seen
        end = len(self.digests)
        for position, first in reversed(self.runs):
            at = position + count - first
            if position <= at < end and self.digests[at] == digest:
                return True
            end = position
        return False

    def resume(self) -> None:
        """After its lines came back from the store: goes on where it left off."""
        self.stored = len(self.digests)
        self.top = max((count for count, _ in self.entries()), default=-1)
        last = self._last()
        self.next_count = last + 1 if last == self.top and last >= 0 else -2

    def entries(self) -> Iterable[tuple[int, int]]:
        """(counter, digest) of every line taken."""
        ends = [position for position, _ in self.runs[1:]] + [len(self.digests)]
        for (position, first), end in zip(self.runs, ends, strict=True):
            yield from enumerate(self.digests[position:end], first)


class Thread(Struct, eq=False):
    """Who works in a session: the main agent ("") or a subagent."""

    sid: str
    agent_id: str
    phase: str = "idle"
    phase_since: float | None = None
    phase_detail: str | None = None
    last_byte: float = 0.0
    last_start: float = 0.0
    flow_id: str | None = None
    parent_tool_use_id: str | None = None
    kind: str | None = None
    description: str | None = None
    status: str | None = None
    last_told: float = 0.0
    """The last sign of life from a source that does not stream; `last_byte` is of those that do."""
    phase_kind: str = "wire"
    """Which kind of source set the phase."""
    due_at: float | None = None
    """A retry that is announced: no byte is due before that."""
    status_time: float = 0.0
    """Of the last status taken from a registry."""
    wire_time: float = 0.0
    """The last byte of a stream that is committed as what the wire said."""
    is_dirty: bool = False


class Call(Struct, eq=False):
    """A pending tool call."""

    tool_use_id: str
    tool_name: str | None
    agent_id: str
    round_id: str | None
    flow_id: str
    index: int
    called_at: float
    message_start: float


class PromptState(Struct, eq=False):
    """A user prompt and the round it belongs to, as far as is known."""

    sid: str
    ordinal: int
    pid: int | None
    time: float
    message_uuid: str | None
    text: str
    own_round: str | None
    is_queued: bool
    answer_time: float | None = None
    answer_round: str | None = None
    round_id: str = ""
    told_round: str | None = None
    """How the messages of a transcript name its round."""
    kinds: int = 1
    told_end: float | None = None
    """Its last stop in a transcript."""
    is_dirty: bool = False


class Round(Struct, eq=False):
    """A round row; one with `prompts` 0 is warm-up traffic and hidden."""

    sid: str
    round_id: str
    prompts: int = 0
    user_prompt: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    named_end: float | None = None
    """The last stop that names it, or is too old to change; others belong to the round that ran
    at their time."""
    is_closed: bool = False
    is_synthetic: bool = False
    told_end: float | None = None
    """The last stop in a transcript: its end, where the wire tells none."""
    aborted_at: float | None = None
    abort_ends: bool = False
    frozen: int = 0
    """Prompts of it that are too old to change; the first of them gave start and text."""
    is_dirty: bool = False


class Start(Struct, eq=False):
    """A message start that may answer a prompt."""

    time: float
    round: str
    pid: int | None


class Session(Struct, eq=False):
    sid: str
    agent: str
    pid: int | None = None
    cwd: str | None = None
    version: str | None = None
    meta: Meta | None = None
    meta_time: float = float("-inf")
    told_meta_time: float = float("-inf")
    """The same as `meta_time`, of what is told beside the wire; not stored."""
    first_time: float | None = None
    last_time: float = float("-inf")
    ended_at: float | None = None
    end_reason: str | None = None
    resumed_at: float = float("-inf")
    closed_at: float | None = None
    prompt_count: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Sums over messages: input, output, cache read, cache write."""
    context_tokens: int = 0
    model: str | None = None
    threads: dict[str, Thread] = {}
    prompts: list[PromptState] = []
    older: dict[int, tuple[int, PromptState]] = {}
    """Older prompts that may not be committed yet: ordinal → (batch, prompt)."""
    starts: list[Start] = []
    rounds: dict[str, Round] = {}
    calls: dict[str, Call] = {}
    queued: list[str] = []
    """Texts of queued prompts, newest last."""
    loose_stops: list[float] = []
    """Times of recent stops without a round: theirs is the one running then."""
    unplaced: list[Message] = []
    """Recent messages whose round was absent: theirs is the one running at their start."""
    kinds: int = 0
    host: str | None = None
    """The machine it runs on; None: this one."""
    is_dirty: bool = False
    touched: int = 0


class ToldText(Struct, eq=False):
    """A block as it was told when it was finished. `text` None: settled, and not needed."""

    item_id: str | None
    time: float
    bytes: int
    sha256: str
    is_exact: bool
    kind: str
    text: str | None
    is_cut: bool = False
    is_dirty: bool = True


class Block(Struct, eq=False):
    message: Message
    index: int
    block_type: str | None = None
    tool_use_id: str | None = None
    tool_name: str | None = None
    delta_count: int = 0
    total_bytes: int = 0
    stored_bytes: int = 0
    cut_bytes: int = 0
    is_cut: bool = False
    revision: int = 0
    start_text: str = ""
    is_started: bool = False
    start_time: float | None = None
    stop_time: float | None = None
    complete_time: float | None = None
    last_time: float | None = None
    result_time: float | None = None
    result_is_error: bool | None = None
    no_result_at: float | None = None
    input_preview: str | None = None
    fresh: Fresh = field(default_factory=Fresh)
    start_stored: bool = False
    """The start value is part of the stored text."""
    group: str | None = None
    """The flow id as written of the one group of deltas; None where there are none or several."""
    top_count: int = -1
    is_simple: bool = True
    """One group, counters rising: new deltas go to the end."""
    tail: DeltaTail | None = None
    moved_from: str | None = None
    """The flow id under which its stored text still lies."""
    told: ToldText | None = None
    heard: dict[str, int] | None = None
    """Where several kinds of sources stream it: bytes that each has told of it."""
    is_dirty: bool = False


class Message(Struct, eq=False):
    flow_id: str
    seq: int
    session: Session
    thread: Thread
    request_id: str | None = None
    own_round: str | None = None
    round_id: str | None = None
    agent_id: str | None = None
    pid: int | None = None
    role: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    last_time: float = float("-inf")
    is_started: bool = False
    is_broken: bool = False
    error: str | None = None
    tokens: list[int | None] = field(default_factory=lambda: [None, None, None, None])
    written: dict[str, int] | None = None
    """Flow ids as written and how often, while the start is unseen."""
    blocks: dict[int, Block] = {}
    moved_from: str | None = None
    is_stored: bool = False
    kinds: int = 0
    told_stop: str | None = None
    is_done: bool = False
    meta: Meta | None = None
    """Who wrote its start: lines of the same writer take the short way."""
    stream: Stream | None = None
    """The stream as written that has its own name."""
    is_dirty: bool = False
    touched: int = 0


class Saved(Struct, eq=False):
    """A tool result to be written."""

    sid: str
    time: float
    result: Result
    rank: int = 1


class Said(Struct, eq=False):
    """A notice to be written."""

    time: float
    event: Notice | StreamError


class DeltaEntry(Struct, gc=False):
    """A stored delta: where it stood, when it came, how many characters it had."""

    flow: str
    count: int
    time: float
    chars: int


class Counts(Struct):
    """See `dump`: what the store holds, duplicates apart."""

    lines: int = 0
    events: int = 0
    bad_lines: int = 0
    duplicates: int = 0
    reattributed: int = 0
