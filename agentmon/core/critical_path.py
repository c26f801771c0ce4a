"""What the length of a round rests on. Pure.

The *critical path* is the chain of steps (model, tool, wait) that fills the round from its start to
its end without gap or overlap. It is followed backwards: before a moment stands what ended last in
the thread by then: a message, a run, a prompt, or a subagent that the thread started. What passed
between that end and the moment is a *wait*. Before a run stands the message that made the call, up
to the call. A run whose subagent ended within it is replaced by the path of that subagent, as is a
run that only waits for agents. A message that nobody streamed has no start of its own: what passed
since the end before it is model time.
"""

from bisect import bisect_left
from itertools import islice
from typing import Literal

from msgspec import Struct

from agentmon.core.spans import AWAITING, MAIN, Agent, Message, Round, Run, length, runs

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
