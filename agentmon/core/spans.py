"""A round in time: who wrote when, which tools ran at once, what its length rests on. Pure.

Times are epoch seconds, lengths seconds. "Now" is the end of what is still open.

- A *run* is a tool call from its completion to its result. A call without a result runs until now
  while somebody still waits for it; where it came back unseen, or its round was given up, its
  length is not known: it counts in no sum.
- Two runs *overlap* where both run at a moment and neither is the call that started the other's
  subagent (or that one's, …): a call that waits for its own subagent is not in parallel with it.
- So many tools run *at once* as there are runs at that moment, without those that have a run of
  their own subagents below them. *Tool time* is the sum of that over time; *busy* is the time in
  which any tool ran; the *parallel factor* is tool time per busy time.
- The *critical path* is the chain of steps (model, tool, wait) that fills the round from its start
  to its end without gap or overlap. It is followed backwards: before a moment stands what ended
  last in the thread by then: a message, a run, a prompt, or a subagent that the thread started.
  What passed between that end and the moment is a *wait*. Before a run stands the message that
  made the call, up to the call. A run whose subagent ended within it is replaced by the path of
  that subagent, as is a run that only waits for agents. A message that nobody streamed has no
  start of its own: what passed since the end before it is model time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
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


# The critical path

Kind = Literal["model", "tool", "wait"]
Before = Literal["message", "prompt", "end"]


class Step(Struct, frozen=True):
    """A piece of the critical path. `before`: what a wait ended with: the start of a message, a
    prompt, or the end of the round or of the call that waited."""

    kind: Kind
    start: float
    end: float
    agent_id: str
    flow_id: str | None = None
    run: Run | None = None
    before: Before | None = None

    @property
    def seconds(self) -> float:
        return length(self.start, self.end)


class _Ended(Struct, frozen=True):
    """Something that ended in a thread, and what it was."""

    end: float
    rank: int
    """What goes first where two end together."""
    what: Message | Run | Agent | None
    """None: a prompt."""


def critical_path(round_: Round, now: float) -> list[Step]:
    """The steps from the start of the round to its end, in their order."""
    return _Path(round_, now).steps()


class _Path:
    def __init__(self, round_: Round, now: float) -> None:
        self._until = round_.until(now)
        self._start = round_.start
        self._now = now
        self._steps: list[Step] = []
        self._messages = {message.flow_id: message for message in round_.messages}
        self._runs = {run.id: run for run in runs(round_, now)}
        self._agents = {agent.agent_id: agent for agent in round_.agents}
        self._walked: set[str] = set()
        self._agents_of: dict[str, list[_Ended]] = {}
        """Of `_ended`, the subagents."""
        self._ends: dict[str, list[float]] = {}
        """Of `_ended`, the ends, negative: they rise."""
        self._ended: dict[str, list[_Ended]] = {
            MAIN: [_Ended(at, 2, None) for at in round_.prompts]
        }
        self._collect(round_)

    def _collect(self, round_: Round) -> None:
        """What ended in each thread, the last first."""
        for message in round_.messages:
            self._add(message.agent_id, message.start, message.end, 0, message)
        for run in self._runs.values():
            if run.end is not None:
                self._add(run.block.agent_id, run.start, run.end, 3, run)
        for agent in round_.agents:
            call = self._runs.get(agent.call or "")
            ends = self._ended.get(agent.agent_id)
            if call is not None and ends and call.block.agent_id != agent.agent_id:
                last = max(one.end for one in ends)
                self._add(call.block.agent_id, call.start, last, 1, agent)
        for thread, ended in self._ended.items():
            ended.sort(key=lambda one: (-one.end, -one.rank))
            self._agents_of[thread] = [one for one in ended if isinstance(one.what, Agent)]
            self._ends[thread] = [-one.end for one in ended]

    def _add(
        self, thread: str, start: float, end: float | None, rank: int, what: Message | Run | Agent
    ) -> None:
        if start <= self._until:
            at = min(self._now if end is None else max(start, end), self._until)
            self._ended.setdefault(thread, []).append(_Ended(at, rank, what))

    def steps(self) -> list[Step]:
        self._walk(MAIN, self._until, self._start)
        return self._steps[::-1]

    def _walk(self, thread: str, at: float, since: float) -> None:
        """Fills the time of a thread from `at` back to `since`."""
        self._walked.add(thread)
        before: Before = "end"
        for ended in self._ended.get(thread, []):
            what = ended.what
            if ended.end > at or (isinstance(what, Agent) and what.agent_id in self._walked):
                continue
            if ended.end <= since:
                break
            self._wait(ended.end, at, thread, before)
            at, before = self._back(what, ended.end, since)
        self._wait(since, at, thread, before)

    def _wait(self, start: float, end: float, thread: str, before: "Before") -> None:
        if end > start:
            self._steps.append(Step("wait", start, end, thread, before=before))

    def _back(
        self, what: Message | Run | Agent | None, at: float, since: float
    ) -> tuple[float, "Before"]:
        """Adds what ended at a moment. When that began, and what a wait before it waits for."""
        if what is None:
            return at, "prompt"
        if isinstance(what, Message):
            return self._written(what, at, since), "message"
        call = self._ran(what, at, since) if isinstance(what, Run) else self._of(what, at, since)
        start = max(call.start, since)
        writer = self._messages.get(call.block.flow_id)
        return (start if writer is None else self._written(writer, start, since)), "message"

    def _written(self, message: Message, at: float, since: float) -> float:
        """A message up to a moment; its start."""
        start = message.start
        if message.is_told:
            thread = message.agent_id
            place = bisect_left(self._ends.get(thread, []), -start)
            ended = islice(self._ended.get(thread, []), place, None)
            start = next((one.end for one in ended if one.what is not message), since)
        start = min(at, max(since, start))
        if at > start:
            flow_id = message.flow_id
            self._steps.append(Step("model", start, at, message.agent_id, flow_id=flow_id))
        return start

    def _ran(self, run: Run, at: float, since: float) -> Run:
        """A run, or what its subagents did in its place; the call that it all began with."""
        thread = run.block.agent_id
        for ended in self._agents_of.get(thread, []):
            what = ended.what
            if isinstance(what, Agent) and run.start < ended.end <= at and self._is_for(run, what):
                self._wait(ended.end, at, thread, "end")
                return self._of(what, ended.end, since)
        start = max(run.start, since)
        if at > start:
            self._steps.append(Step("tool", start, at, thread, run.block.flow_id, run))
        return run

    def _is_for(self, run: Run, agent: Agent) -> bool:
        """Whether a run lasts as long as a subagent does."""
        if agent.agent_id in self._walked:
            return False
        return agent.call == run.id or run.block.tool_name in AWAITING

    def _of(self, agent: Agent, at: float, since: float) -> Run:
        """The path of a subagent up to a moment; the call that started it."""
        call = self._runs[agent.call or ""]
        self._walk(agent.agent_id, at, max(call.start, since))
        return call
