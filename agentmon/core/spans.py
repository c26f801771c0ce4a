"""A round in time: who wrote when, and which tools ran at once. Pure.

Times are epoch seconds, lengths seconds. "Now" is the end of what is still open.

- A *run* is a tool call from its completion to its result. A call without a result runs until now
  while somebody still waits for it; where it came back unseen, or its round was given up, its
  length is not known: it counts in no sum.
- Two runs *overlap* where both run at a moment and neither is the call that started the other's
  subagent (or that one's, …): a call that waits for its own subagent is not in parallel with it.
- So many tools run *at once* as there are runs at that moment, without those that have a run of
  their own subagents below them. *Tool time* is the sum of that over time; *busy* is the time in
  which any tool ran; the *parallel factor* is tool time per busy time.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct, field

MAIN = ""
"""The agent id of the main thread."""

AWAITING = frozenset({"wait_agent", "wait", "TaskOutput", "AgentOutputTool"})
"""Tools that do nothing but wait for agents that were started before."""


def length(start: float, end: float) -> float:
    """The seconds between two moments, in whole microseconds: a float of epoch seconds holds no
    more, and what it holds beyond is noise."""
    return round(end - start, 6)


class Block(Struct, frozen=True):
    """A content block in time; `called_at` and `result_at` are those of a tool call."""

    flow_id: str
    index: int
    agent_id: str = MAIN
    block_type: str | None = None
    tool_use_id: str | None = None
    tool_name: str | None = None
    start: float | None = None
    end: float | None = None
    """When it was complete; None: it is not."""
    bytes: int = 0
    deltas: int = 0
    is_told: bool = False
    """Told whole when it was over: nobody saw it begin."""
    result_at: float | None = None
    is_error: bool = False
    is_lost: bool = False
    """Its result came unseen, or nobody waits for it any more."""
    preview: str | None = None
    revision: int = 0

    @property
    def key(self) -> tuple[str, int]:
        return self.flow_id, self.index


class Message(Struct, frozen=True):
    """A message in time, with its blocks. `end` None: it is being written."""

    flow_id: str
    agent_id: str
    start: float
    end: float | None
    blocks: tuple[Block, ...] = ()
    model: str | None = None
    is_told: bool = False
    """None of its blocks was seen while it was written."""
    is_complete: bool = True
    output_tokens: int | None = None
    error: str | None = None


class Agent(Struct, frozen=True):
    """A subagent, and the call that started it (None: nobody told)."""

    agent_id: str
    call: str | None
    name: str = ""


class Round(Struct):
    """What is known of a round in time. `end` None: it runs."""

    sid: str
    round_id: str
    number: int
    prompt: str | None
    start: float
    end: float | None
    outcome: Literal["complete", "aborted", "orphaned", "running"] = "running"
    prompts: list[float] = field(default_factory=list[float])
    messages: list[Message] = field(default_factory=list[Message])
    """By start, those of subagents among them."""
    agents: list[Agent] = field(default_factory=list[Agent])

    def until(self, now: float) -> float:
        """The end of the round, or now; never before its start."""
        return max(self.start, now if self.end is None else self.end)

    def horizon(self, now: float) -> float:
        """The end of the last thing in it: a subagent may go on after the stop."""
        ends = [self.until(now)]
        ends += [now if message.end is None else message.end for message in self.messages]
        ends += [run.end for run in runs(self, now) if run.end is not None]
        return max(ends)


class Run(Struct, frozen=True):
    """A tool run. `end` None: not known; `is_open`: it still runs, its end is now."""

    id: str
    """Its tool_use_id; the place of its block where nobody told one, or it is told twice."""
    block: Block
    start: float
    end: float | None
    is_open: bool
    started_by: str | None
    """The call that started the subagent which made this one."""

    @property
    def seconds(self) -> float | None:
        return None if self.end is None else length(self.start, self.end)


def runs(round_: Round, now: float) -> list[Run]:
    """The tool runs of a round, by their start."""
    parents = {agent.agent_id: agent.call for agent in round_.agents}
    found: dict[str, Run] = {}
    for message in round_.messages:
        for block in message.blocks:
            if block.block_type == "tool_use" and block.end is not None:
                is_open = block.result_at is None and not block.is_lost
                end = now if is_open else block.result_at
                end = None if end is None else max(end, block.end)
                place = f"{block.flow_id}#{block.index}"
                name = block.tool_use_id if block.tool_use_id not in found else place
                parent = parents.get(block.agent_id)
                run = Run(name or place, block, block.end, end, is_open, parent)
                found[run.id] = run
    return sorted(found.values(), key=lambda run: (run.start, run.id))


def answers(round_: Round) -> dict[str, float]:
    """When what each message answers came, by flow_id: the last prompt, result or end of a
    subagent in its thread by its start, unless the message before it answered that already."""
    causes: dict[str, list[float]] = {MAIN: [round_.start, *round_.prompts]}
    callers: dict[str, tuple[str, float]] = {}
    for run in runs(round_, 0.0):
        callers[run.id] = run.block.agent_id, run.start
        if run.block.result_at is not None:
            causes.setdefault(run.block.agent_id, []).append(run.block.result_at)
    lasts: dict[str, float] = {}
    for message in round_.messages:
        if message.end is not None:
            lasts[message.agent_id] = max(lasts.get(message.agent_id, 0.0), message.end)
    for agent in round_.agents:
        caller = callers.get(agent.call or "")
        if caller is not None:
            causes.setdefault(agent.agent_id, []).append(caller[1])
            causes.setdefault(caller[0], []).append(lasts.get(agent.agent_id, caller[1]))
    for times in causes.values():
        times.sort()
    found: dict[str, float] = {}
    before: dict[str, float] = {}
    for message in round_.messages:
        times = causes.get(message.agent_id, [])
        place = bisect_right(times, message.start)
        if place and times[place - 1] >= before.get(message.agent_id, times[0]):
            found[message.flow_id] = times[place - 1]
        before[message.agent_id] = message.start
    return found


# Overlaps


class Overlap(Struct, frozen=True):
    """Two runs that ran together from `start` to `end`; the one that began first is `first`."""

    first: Run
    second: Run
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return length(self.start, self.end)


def ancestors(run: Run, by_id: Mapping[str, Run]) -> Iterator[str]:
    """The calls that this run is part of, the nearest first."""
    seen = {run.id}
    above = run.started_by
    while above is not None and above not in seen:
        yield above
        seen.add(above)
        found = by_id.get(above)
        above = found.started_by if found is not None else None


def overlaps(found: Iterable[Run]) -> Iterator[Overlap]:
    """Pairs of runs that overlap, by the start of the later one. Touching is not overlapping."""
    known = list(found)
    by_id = {run.id: run for run in known}
    above = {run.id: frozenset(ancestors(run, by_id)) for run in known}
    running: list[Run] = []
    for run in known:
        if run.end is None:
            continue
        running = [other for other in running if other.end is not None and other.end > run.start]
        for other in running:
            end = min(other.end or 0.0, run.end)
            apart = other.id not in above[run.id] and run.id not in above[other.id]
            if end > run.start and apart:
                yield Overlap(other, run, run.start, end)
        running.append(run)


class Load(Struct, frozen=True):
    """How much ran at once. `most_at`: when the most did for the first time."""

    calls: int = 0
    unknown: int = 0
    """Calls whose length is not known."""
    most: int = 0
    most_at: float | None = None
    tool_seconds: float = 0.0
    busy_seconds: float = 0.0

    @property
    def factor(self) -> float | None:
        """How many tools ran at once, on average over the time in which any did."""
        return self.tool_seconds / self.busy_seconds if self.busy_seconds > 0 else None


def load(found: Iterable[Run]) -> Load:
    """The sums over some runs."""
    known = list(found)
    timed = [run for run in known if run.end is not None]
    by_id = {run.id: run for run in known}
    moments = [(run.end or 0.0, 0, run) for run in timed if run.end != run.start]
    moments += [(run.start, 1, run) for run in timed if run.end != run.start]
    moments.sort(key=lambda moment: moment[:2])
    working, below = set[str](), dict[str, int]()
    at_once, most, tool, busy, last = 0, 0, 0.0, 0.0, 0.0
    most_at: float | None = None
    for at, is_start, run in moments:
        tool += at_once * (at - last)
        busy += (at - last) if at_once else 0.0
        last = at
        (working.add if is_start else working.discard)(run.id)
        for above in ancestors(run, by_id):
            below[above] = below.get(above, 0) + (1 if is_start else -1)
        at_once = sum(not below.get(one) for one in working)
        if at_once > most:
            most, most_at = at_once, at
    if timed and not most:
        most, most_at = 1, min(run.start for run in timed)
    unknown = len(known) - len(timed)
    return Load(len(known), unknown, most, most_at, round(tool, 6), round(busy, 6))
