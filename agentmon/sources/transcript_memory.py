"""What a transcript's decoder remembers from line to line, and the line at hand.

A round is named by its prompt alone, facts are repeated on every record, and old versions do not
say when a message is complete: so much of a line means something only after the lines before it.
"""

from hashlib import blake2b

import msgspec
from msgspec import Struct, field

from agentmon.core.events import AgentSaid, Event, Facts, Meta, Other, Told, ToldBlock, TurnStop
from agentmon.sources.decoding import Record, encode
from agentmon.sources.payloads import Base, compact

_THREADS = 32
"""Threads of one file that are remembered: it holds one, or a few where it was resumed."""
_TASKS = 64
_QUEUE = 32
_QUEUED_TEXT = 500
"""Characters that are kept of a waiting prompt."""
_SUMMARIES = 16
_SHORT = 64
"""Characters up to which a fact is kept itself, not its hash: every record repeats some."""

CUSTOM_TITLE, AI_TITLE, SUMMARY_TITLE = 3, 2, 1
"""Whose title goes before whose: one that a person gave is never replaced by a made-up one."""


class OpenMessage(Struct):
    """The message whose records come at present, of one thread."""

    message_id: str
    group: str
    request_id: str | None
    round: str | None
    time: float | None = None
    is_settled: bool = False
    """A record said how it ended, or that it was broken off."""
    blocks: dict[str, str] = field(default_factory=dict[str, str])
    """Item ids by what the block says: some versions wrote a block twice under two uuids."""
    calls: list[str] = field(default_factory=list[str])
    """Its tool calls that have no result yet."""


class Known(Struct):
    """What is remembered of one thread: the main one of a session, or a subagent."""

    round: str | None = None
    """As events name the round of its last prompt."""
    time: float | None = None
    """The latest that a record told: records of book-keeping have none of their own."""
    version: str | None = None
    cwd: str | None = None
    facts: dict[str, str] = field(default_factory=dict[str, str])
    agents: dict[str, str] = field(default_factory=dict[str, str])
    """What was said of its subagents and facts last, as hashes: repetitions are left out."""
    spawns: dict[str, tuple[str | None, str | None]] = field(
        default_factory=dict[str, tuple[str | None, str | None]]
    )
    """(type, description) of the subagents that its calls asked for, by tool_use id."""
    running: dict[str, bool] = field(default_factory=dict[str, bool])
    """Background tasks that were started and have not ended; True for a subagent."""
    queue: list[str] = field(default_factory=list[str])
    """Waiting prompts; "" for what waits but is no prompt."""
    title_rank: int = 0
    compactions: int = 0
    answered: float | None = None
    """When the last message without further calls came, if nothing came after it: then the turn
    is over, though old versions do not say so."""
    message: OpenMessage | None = None
    has_details: bool = False
    """Its version writes `stop_details` on every message that the API completed."""
    is_warmup: bool = False
    is_begun: bool = False
    """The task of a subagent was seen."""


class Memory(Struct):
    """What is remembered of a file."""

    sid: str = ""
    """Of the last record that named one."""
    last_uuid: str = ""
    has_own: bool = False
    """Whether an answer was seen that is no copy of another session's."""
    copied_from: str = ""
    """The session whose copies come at present; "" where they are the file's own records."""
    threads: dict[str, Known] = field(default_factory=dict[str, Known])
    """By session and agent, the latest last."""
    summaries: dict[str, str] = field(default_factory=dict[str, str])
    """Titles by the record they are of, where that was not seen yet."""

    def of(self, sid: str, agent_id: str | None) -> Known:
        key = f"{sid}/{agent_id or ''}"
        known = self.threads.pop(key, None) or Known()
        self.threads[key] = known
        if len(self.threads) > _THREADS:
            del self.threads[next(iter(self.threads))]
        return known

    def keep_summary(self, leaf: str, summary: str) -> None:
        self.summaries[leaf] = summary
        if len(self.summaries) > _SUMMARIES:
            del self.summaries[next(iter(self.summaries))]


_decode = msgspec.json.Decoder(Memory).decode
_encode = msgspec.json.Encoder().encode


def restore(state: bytes) -> Memory:
    """What `store` gave; nothing where it is of another version."""
    try:
        return _decode(state) if state else Memory()
    except (msgspec.DecodeError, ValueError):
        return Memory()


def store(memory: Memory) -> bytes:
    return _encode(memory) if memory != Memory() else b""


def fingerprint(value: object) -> str:
    return blake2b(encode(compact(value)), digest_size=6).hexdigest()


class Row(Struct):
    """A record with what its events have in common; its events are gathered in `events`."""

    record: Record
    memory: Memory
    known: Known
    base: Base
    """The fields of `Event`."""
    uuid: str | None
    """The record's own id: a copy's is that of its original."""
    item_id: str
    """The uuid, or what stands for it."""
    is_turn: bool
    """Of a thread that has its own id; not of traffic that is nobody's turn."""
    events: list[Event] = field(default_factory=list[Event])
    facts: dict[str, object] = field(default_factory=dict[str, object])

    @property
    def meta(self) -> Meta:
        return self.base[1]

    @property
    def agent_id(self) -> str | None:
        return self.base[1].agent_id

    @property
    def time(self) -> float | None:
        return self.base[5]

    def at(self, round_id: str | None, time: float | None) -> Base:
        """The common fields, with another round and time."""
        sid, meta, flow, count, _, _, digest = self.base
        return sid, meta, flow, count, round_id, time, digest

    def other(self, said: str, *, is_alive: bool = False) -> None:
        self.events.append(Other(*self.base, is_alive, said))

    def say(self, name: str, value: object) -> None:
        """A fact; one that was said before is left out."""
        if not self.is_turn:
            return
        is_short = isinstance(value, str) and len(value) <= _SHORT
        mark = f"={value}" if is_short else fingerprint(value)
        if self.known.facts.get(name) != mark:
            self.known.facts[name] = mark
            self.facts[name] = value

    def say_text(self, name: str, value: object) -> None:
        """A fact that is a word, if the record has it."""
        if isinstance(value, str) and value:
            self.say(name, value)

    def say_title(self, title: str | None, rank: int) -> None:
        if title and rank >= self.known.title_rank:
            self.known.title_rank = rank
            self.say("title", title)

    def summary(self, leaf: str, title: str, *, is_ours: bool) -> None:
        """A title of the session that has the record `leaf`, seen already or yet to come."""
        if is_ours or leaf == self.memory.last_uuid:
            self.say_title(title, SUMMARY_TITLE)
        else:
            self.memory.keep_summary(leaf, title)

    def chained(self) -> None:
        """What every record of the conversation tells."""
        branch = self.record.get("gitBranch")
        if branch != "HEAD":
            self.say_text("git_branch", branch)
        if self.uuid is not None:
            self.memory.last_uuid = self.uuid
            if self.agent_id is None and self.uuid in self.memory.summaries:
                self.say_title(self.memory.summaries.pop(self.uuid), SUMMARY_TITLE)

    def say_agent(
        self,
        agent_id: str,
        *,
        parent: str | None = None,
        kind: str | None = None,
        description: str | None = None,
        status: str | None = None,
    ) -> None:
        """What is known of a subagent, if it is news; also what the call said that started it."""
        agents = self.known.agents
        asked = self.known.spawns.get(parent or "")
        if asked is not None:
            kind, description = kind or asked[0], asked[1] or description
        mark = fingerprint([parent, kind, description, status])
        if agents.get(agent_id) == mark:
            return
        agents.pop(agent_id, None)
        agents[agent_id] = mark
        if len(agents) > _TASKS:
            del agents[next(iter(agents))]
        self.events.append(AgentSaid(*self.base, agent_id, parent, kind, description, status))

    def spawned(self, tool_use_id: str, kind: str | None, description: str | None) -> None:
        """A call asks for a subagent: its id is told later."""
        spawns = self.known.spawns
        spawns[tool_use_id] = kind, description
        if len(spawns) > _TASKS:
            del spawns[next(iter(spawns))]

    def finish(self, said: str) -> list[Event]:
        """The events of the line: facts first, and at least one."""
        if self.facts:
            self.events.insert(0, Facts(*self.base, self.facts))
        if not self.events:
            self.other(said)
        return self.events

    def name_block(self, block: ToldBlock, ordinal: str) -> None:
        """Names a block without an index by its record, or by the record that told it first."""
        message = self.known.message
        block.item_id = self.item_id + ordinal
        if message is not None and block.index is None:
            mark = fingerprint([block.block_type, block.tool_use_id, block.text])
            block.item_id = message.blocks.setdefault(mark, block.item_id)

    def close_message(self) -> None:
        """A message after which others came is complete, if all its calls have returned
        (formats.md H); only versions that do not write the stop_reason need this."""
        message, self.known.message = self.known.message, None
        if message is None or message.is_settled or message.calls:
            return
        told = Told(
            *self.at(message.round, message.time),
            message.request_id,
            message.message_id,
            message.group,
            None,
            None,
            None,
            {},
            [],
            is_done=True,
        )
        self.events.append(told)

    def stop(self, name: str, pending: int | None = None) -> None:
        """The turn is over. `pending`: subagents that go on, where the record says how many."""
        if not self.is_turn:
            return
        if self.agent_id is not None:
            self.events.append(TurnStop(*self.base, name, True, []))
            return
        known = self.known
        known.answered = None
        agents = [task for task, is_agent in known.running.items() if is_agent]
        if pending is not None:
            for task in agents[: max(0, len(agents) - pending)]:
                del known.running[task]
        background = list(known.running)
        for number in range(len(agents) + 1, (pending or 0) + 1):
            background.append(f"agent-{number}")
        self.events.append(TurnStop(*self.base, name, False, background))

    def started(self, task: str, *, is_agent: bool) -> None:
        """A task goes on in the background."""
        running = self.known.running
        running[task] = is_agent
        if len(running) > _TASKS:
            del running[next(iter(running))]

    def ended(self, task: str | None) -> None:
        if task is not None:
            self.known.running.pop(task, None)

    def enqueue(self, text: str, *, is_prompt: bool) -> None:
        queue = self.known.queue
        queue.append(text[:_QUEUED_TEXT] if is_prompt else "")
        del queue[:-_QUEUE]
        self._say_queue()

    def dequeue(self, text: str | None) -> None:
        """Takes what is named out of the queue, else the first."""
        queue = self.known.queue
        short = None if text is None else text[:_QUEUED_TEXT]
        if short in queue:
            queue.remove(short or "")
        elif queue and text is None:
            del queue[0]
        self._say_queue()

    def dequeue_all(self) -> None:
        self.known.queue.clear()
        self._say_queue()

    def _say_queue(self) -> None:
        waiting = [text for text in self.known.queue if text]
        if waiting or "queue" in self.known.facts:
            self.say("queue", waiting or None)
