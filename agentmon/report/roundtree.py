"""A round as a tree: its agent, messages, content blocks, and the subagents below their calls.

Pure; `roundreading` reads. Times are epoch seconds; None where nobody told them. What
exports say of a round they say from here, so that a page and a trace agree.

- A message's request went out (`asked`) with the last prompt or tool result of its thread that no
  earlier message of the thread had answered. Where there is none it is not known.
- A call lasts from its completion to its result, or to the evidence that it returned unseen.
- A permission wait lasts from the hook that told of it to the first sign that it was answered: a
  denial, else the result of what was asked about (so that what ran after a yes counts too).
  A call that is itself a question to a person is one wait.
- Stalls and overdue calls are the stored verdicts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct, field

from agentmon.core.calls import asks_a_person
from agentmon.core.kinds import STREAMING
from agentmon.store import read

WaitKind = Literal["permission", "stalled", "overdue"]


class Wait(Struct):
    """A time in which an agent waited for a person, or for bytes or a result that were due."""

    kind: WaitKind
    start: float
    end: float | None
    subject: str | None = None
    """The tool that a person was asked about."""


class BlockPart(Struct):
    """A content block; a call with its waits and the agents it started."""

    row: read.BlockRow
    waits: list[Wait] = field(default_factory=list[Wait])
    agents: list["AgentPart"] = field(default_factory=list["AgentPart"])

    @property
    def is_call(self) -> bool:
        return self.row.tool_use_id is not None

    @property
    def end(self) -> float | None:
        """When a call came back; None: it is pending."""
        known = self.row.result_time if self.row.result_time is not None else self.row.no_result_at
        return known if known is None else max(known, self.row.complete_time or known)


class MessagePart(Struct):
    """A message with its blocks."""

    row: read.MessageRow
    asked: float | None = None
    blocks: list[BlockPart] = field(default_factory=list[BlockPart])
    waits: list[Wait] = field(default_factory=list[Wait])

    @property
    def is_over(self) -> bool:
        return self.row.is_complete or self.row.is_broken

    @property
    def start(self) -> float:
        """When its request went out, else when its first byte came."""
        return self.asked if self.asked is not None else self.row.start_time or 0.0

    @property
    def end(self) -> float:
        """Its stop, else its last byte."""
        row = self.row
        known = [row.end_time] if row.end_time is not None else [row.last_time, row.start_time]
        return max([self.start, *[at for at in known if at is not None]])

    @property
    def is_streamed(self) -> bool:
        return bool(self.row.kinds & STREAMING)

    @property
    def first_chunk(self) -> float | None:
        """Seconds from its request to its first byte; of messages that were heard streaming."""
        if self.asked is None or self.row.start_time is None or not self.is_streamed:
            return None
        return round(max(0.0, self.row.start_time - self.asked), 6)

    @property
    def duration(self) -> float | None:
        """Seconds from its start to its stop."""
        if self.row.start_time is None or self.row.end_time is None:
            return None
        return max(0.0, self.row.end_time - self.start)


class AgentPart(Struct):
    """What an agent did in a round: the main one (id "") or a subagent."""

    agent_id: str
    row: read.AgentRow | None
    name: str
    messages: list[MessagePart] = field(default_factory=list[MessagePart])
    waits: list[Wait] = field(default_factory=list[Wait])
    begun: float | None = None
    """When the call that started it was complete."""

    @property
    def start(self) -> float | None:
        starts = [message.start for message in self.messages]
        return min([*starts, *([] if self.begun is None else [self.begun])], default=None)

    @property
    def end(self) -> float | None:
        ends = [message.end for message in self.messages]
        blocks = [block for message in self.messages for block in message.blocks if block.is_call]
        ends += [block.end for block in blocks if block.end is not None]
        return max(ends, default=self.begun)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs now."""
        if any(not message.is_over for message in self.messages):
            return False
        return self.row is None or self.row.status in (None, "completed", "failed", "stopped")


class RoundTree(Struct):
    """A round with everything in it."""

    session: read.SessionRow
    row: read.RoundRow
    prompts: list[read.PromptRow]
    main: AgentPart
    loose: list[AgentPart]
    """Subagents whose call is not in this round, or not known."""
    cwd: str | None = None

    @property
    def is_over(self) -> bool:
        return self.row.is_complete or self.row.is_aborted or self.row.orphaned_at is not None

    @property
    def start(self) -> float:
        return self.row.start_time or self.main.start or 0.0

    @property
    def end(self) -> float | None:
        """Its stop; where it has none but is over, the end of the last thing in it."""
        if self.row.end_time is not None or not self.is_over:
            return self.row.end_time
        ends = [agent.end for agent in self.agents() if agent.end is not None]
        return max([self.start, *ends])

    def agents(self) -> Iterator[AgentPart]:
        """The main agent and all subagents, each after the one that started it."""
        pending = [self.main, *self.loose]
        while pending:
            agent = pending.pop(0)
            yield agent
            for message in agent.messages:
                for block in message.blocks:
                    pending += block.agents

    def messages(self) -> Iterator[MessagePart]:
        for agent in self.agents():
            yield from agent.messages

    def tokens(self) -> dict[str, int | None]:
        """What the messages add up to; None where none told it."""
        names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
        rows = [message.row for message in self.messages()]
        sums: dict[str, int | None] = {}
        for name in names:
            known = [value for row in rows if (value := getattr(row, name)) is not None]
            sums[name] = sum(known) if known else None
        return sums


class Asking(Struct, frozen=True):
    """A hook about a permission: `name` as in the notices, and the tool it is about."""

    name: str
    time: float
    agent_id: str | None
    tool: str | None
    preview: str | None = None


def build(
    session: read.SessionRow,
    row: read.RoundRow,
    prompts: Sequence[read.PromptRow],
    agents: Sequence[read.AgentRow],
    messages: Iterable[read.MessageRow],
    blocks: Iterable[read.BlockRow],
    verdicts: Iterable[read.VerdictRow] = (),
    askings: Sequence[Asking] = (),
    name: str = "",
) -> RoundTree:
    """The tree of a round, from its rows. Agents that name each other as parents stand loose."""
    by_flow: dict[str, list[BlockPart]] = {}
    for block in blocks:
        by_flow.setdefault(block.flow_id, []).append(BlockPart(block))
    rows = {agent.agent_id: agent for agent in agents}
    parts = {"": AgentPart("", rows.get(""), name)}
    for message in messages:
        agent_id = message.agent_id or ""
        part = parts.get(agent_id)
        if part is None:
            part = parts[agent_id] = AgentPart(agent_id, rows.get(agent_id), _name(agent_id, rows))
        part.messages.append(MessagePart(message, blocks=by_flow.get(message.flow_id, [])))
    calls = _calls(parts)
    loose = _nest(parts, calls)
    tree = RoundTree(session, row, list(prompts), parts[""], loose, session.cwd)
    for part in parts.values():
        _ask(part, [prompt.time for prompt in prompts] if not part.agent_id else [part.begun])
        _add_verdicts(part, row, verdicts)
        _add_permissions(part, askings)
    return tree


def _name(agent_id: str, rows: Mapping[str, read.AgentRow]) -> str:
    row = rows.get(agent_id)
    return (row.kind if row is not None else None) or ("side" if agent_id == "side" else "subagent")


def _calls(parts: Mapping[str, AgentPart]) -> dict[str, tuple[str, BlockPart]]:
    """tool_use_id → (who called, the call)."""
    found: dict[str, tuple[str, BlockPart]] = {}
    for part in parts.values():
        for message in part.messages:
            for block in message.blocks:
                if block.row.tool_use_id is not None:
                    found.setdefault(block.row.tool_use_id, (part.agent_id, block))
    return found


def _nest(
    parts: Mapping[str, AgentPart], calls: Mapping[str, tuple[str, BlockPart]]
) -> list[AgentPart]:
    """Puts each subagent below its call; returns those that have none here."""
    parents: dict[str, str] = {}
    loose: list[AgentPart] = []
    for part in parts.values():
        call = None
        if part.agent_id and part.row is not None and part.row.parent_tool_use_id is not None:
            call = calls.get(part.row.parent_tool_use_id)
        if call is not None and not _is_below(call[0], part.agent_id, parents):
            parents[part.agent_id] = call[0]
            call[1].agents.append(part)
            part.begun = call[1].row.complete_time
        elif part.agent_id:
            loose.append(part)
    return loose


def _is_below(agent_id: str, above: str, parents: Mapping[str, str]) -> bool:
    """Whether an agent is another one or was started by it, at any depth."""
    while agent_id != above:
        if agent_id not in parents:
            return False
        agent_id = parents[agent_id]
    return True


def _ask(part: AgentPart, begun: Sequence[float | None]) -> None:
    """When each request of a thread went out."""
    triggers = [at for at in begun if at is not None]
    for message in part.messages:
        for block in message.blocks:
            if block.row.result_time is not None:
                triggers.append(block.row.result_time)
    triggers.sort()
    starts = [float("-inf"), *[message.row.start_time or 0.0 for message in part.messages]]
    for message, (before, start) in zip(part.messages, pairwise(starts), strict=True):
        fitting = [at for at in triggers if before < at <= start]
        message.asked = fitting[-1] if fitting else None


def _add_verdicts(part: AgentPart, row: read.RoundRow, verdicts: Iterable[read.VerdictRow]) -> None:
    first, last = row.start_time or 0.0, part.end if part.end is not None else float("inf")
    for verdict in verdicts:
        if verdict.agent_id != part.agent_id or not first <= verdict.since <= last:
            continue
        if verdict.verdict == "stalled":
            wait = Wait("stalled", verdict.since, verdict.until)
            _place_of(part, verdict.since).append(wait)
        elif verdict.verdict == "overdue":
            call = _call_at(part, verdict.since, verdict.tool_use_id)
            if call is not None:
                call.waits.append(Wait("overdue", verdict.since, verdict.until or call.end))


def _place_of(part: AgentPart, time: float) -> list[Wait]:
    for message in part.messages:
        if message.start <= time <= message.end:
            return message.waits
    return part.waits


def _call_at(part: AgentPart, time: float, tool_use_id: str) -> BlockPart | None:
    for call in _calls_of(part):
        if call.row.tool_use_id == tool_use_id or (not tool_use_id and _runs(call, time)):
            return call
    return None


def _calls_of(part: AgentPart) -> Iterator[BlockPart]:
    for message in part.messages:
        for block in message.blocks:
            if block.is_call and block.row.complete_time is not None:
                yield block


SLACK = 1.0
"""Seconds by which a hook may tell of a call before its source does."""


def _runs(call: BlockPart, time: float) -> bool:
    begun = call.row.complete_time
    is_begun = begun is not None and begun <= time + SLACK
    return is_begun and (call.end is None or call.end >= time)


def _add_permissions(part: AgentPart, askings: Sequence[Asking]) -> None:
    own = [asking for asking in askings if (asking.agent_id or "") == part.agent_id]
    denials = [asking.time for asking in own if asking.name == "permission_denied"]
    for asking in own:
        if asking.name == "permission_denied":
            continue
        waiting = [call for call in _calls_of(part) if _runs(call, asking.time)]
        if asking.name == "notification" and any(call.waits for call in waiting):
            continue
        call = _asked_about(asking, [call for call in waiting if not call.waits])
        if call is not None:
            ends = [at for at in (call.end, *denials) if at is not None and at >= asking.time]
            end = min(ends, default=None)
            call.waits.append(Wait("permission", asking.time, end, call.row.tool_name))
    for call in _calls_of(part):
        if asks_a_person(call.row.tool_name) and not call.waits:
            begun = call.row.complete_time or 0.0
            call.waits.append(Wait("permission", begun, call.end, call.row.tool_name))


def _asked_about(asking: Asking, calls: Sequence[BlockPart]) -> BlockPart | None:
    """The call that a hook asks about: of that tool and those arguments, else the oldest."""
    of_tool = [call for call in calls if asking.tool in (None, call.row.tool_name)]
    exact = [call for call in of_tool if call.row.input_preview == asking.preview]
    return next(iter(exact if asking.preview else []), next(iter(of_tool), None))
