"""What is known of the thread that a rollout file holds, line by line (formats.md D.1, D.2, D.5).

A file is one thread's: the first `session_meta` names it. Forks and subagents may begin with a copy
of another thread's history, whose records are written anew with the time of the copying.
"""

import re
from datetime import UTC, datetime

from msgspec import Struct, field

from agentmon.sources.codex_items import Item, index_of, text_of
from agentmon.sources.decoding import Bad, is_uuid, mapping
from agentmon.sources.envelopes import epoch_of
from agentmon.sources.payloads import optional_text

_NAME = re.compile(
    r"rollout-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)-([0-9a-fA-F-]{36})\.jsonl(?:\.\w+)?\Z"
)

MAX_CALLS = 128
"""Calls that are remembered, to tell their ends from those of commands inside of a script."""

BATCH = 0.1
"""Seconds: in old files the items of a response are written together, right after its tokens; a
new response takes longer to come."""

_PAUSE = 1.0
"""Seconds between a copied history and what follows, where no turn id tells (very old files)."""


class Group(Struct):
    """The items of one response, which is named when it is over, or never."""

    name: str
    through: int | None = None
    """`sampled_through_sequence`: how much of the history the model had read."""
    is_answered: bool = False
    """Something followed that the model has not made: what it makes then is another response."""
    has_usage: bool = False


class Thread(Struct):
    """Everything that the meaning of a line depends on. Small, and can be saved."""

    id: str = ""
    sid: str = ""
    agent_id: str | None = None
    version: str | None = None
    cwd: str | None = None
    model: str | None = None
    turn: str | None = None
    time: float | None = None
    """Of the last record that told one."""
    compactions: int = 0
    prompt: str = ""
    """Kind and checksum of the prompt that came last, until the model answers."""
    calls: dict[str, None] = field(default_factory=dict[str, None])
    spawns: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """What the subagent shall do, by the call that starts it."""
    agents: dict[str, str] = field(default_factory=dict[str, str])
    """Agent ids by thread id."""

    # the responses
    groups: int = 0
    group: Group | None = None
    names_responses: bool = False
    """Whether the file has `token_usage_record`s."""
    comes_after_usage: bool = False
    """Whether the items of a response stand behind its tokens (old files)."""
    total: dict[str, int] = field(default_factory=dict[str, int])
    """The last cumulative usage: half of the records repeat it."""
    usage: dict[str, int] = field(default_factory=dict[str, int])
    """Tokens of a response whose items were not seen yet."""
    usage_time: float = 0.0

    # a copied history at the beginning
    born: float = 0.0
    own_from: int | None = None
    """The first ordinal that is the thread's own."""
    is_copied: bool = False
    has_turn_ids: bool = False

    # -- who it is

    def name_by_path(self, path: str) -> None:
        """For a file whose first line is lost. Raises Bad where its name tells nothing."""
        found = _NAME.search(path)
        if found is None or not is_uuid(found[2]):
            raise Bad("sid is not a UUID")
        self.id = self.sid = found[2]
        if self.time is None:
            self.time = time_in_name(path)

    def take_meta(self, meta: Item) -> None:
        """A `session_meta`: the first is the thread's own; another's begins a copied history.

        Raises Bad for one without a UUID.
        """
        thread_id = optional_text(meta.get("id")) or optional_text(meta.get("session_id"))
        if self.id and thread_id != self.id:
            self.is_copied = self.is_copied or self.own_from is None
            return
        if not is_uuid(thread_id):
            raise Bad("sid is not a UUID")
        if not self.id and thread_id is not None:
            self._be(thread_id, meta)
        else:
            self.is_copied = False  # told again: what was copied is over
        self.version = optional_text(meta.get("cli_version")) or self.version
        self.cwd = optional_text(meta.get("cwd")) or self.cwd

    def _be(self, thread_id: str, meta: Item) -> None:
        self.id = self.sid = thread_id
        source = mapping(meta.get("source"))
        spawn = mapping(mapping(source.get("subagent")).get("thread_spawn"))
        session_id = optional_text(meta.get("session_id"))
        parent = optional_text(spawn.get("parent_thread_id"))
        if parent is None and ("subagent" in source or meta.get("thread_source") == "subagent"):
            parent = optional_text(meta.get("parent_thread_id"))
        above = session_id if session_id not in (None, thread_id) else parent
        if above is not None and is_uuid(above):
            path = optional_text(spawn.get("agent_path")) or optional_text(meta.get("agent_path"))
            self.sid, self.agent_id = above, path or thread_id
        stamp = epoch_of(text_of(meta.get("timestamp")))
        self.born = uuid_time(thread_id) or stamp or self.time or 0.0
        self.own_from = index_of(meta.get("subagent_history_start_ordinal"))
        is_fork = bool(meta.get("forked_from_id")) and not meta.get("history_base")
        self.is_copied = is_fork and self.own_from is None

    # -- what is copied

    def is_copy(self, payload: Item, ordinal: int | None, time: float | None) -> bool:
        """Whether a record belongs to the copied history. To be asked of each, in order."""
        before = self.time
        if self.own_from is not None and ordinal is not None:
            return ordinal < self.own_from
        if not self.is_copied:
            return False
        turn_time = uuid_time(text_of(payload.get("turn_id")))
        if turn_time is not None:
            self.has_turn_ids = True
            self.is_copied = turn_time < self.born
        elif not self.has_turn_ids and time is not None and before is not None:
            self.is_copied = time - before < _PAUSE
        return self.is_copied

    # -- the responses

    def open_group(self, through: int | None, time: float | None) -> tuple[str | None, Group]:
        """(the group that is over by that, the group of an item that the model made)."""
        over = None
        group = self.group
        if group is not None:
            if through is not None and group.through is not None:
                if through != group.through:
                    group = None  # it was never named: the response broke off
            elif group.is_answered and not (self.names_responses or self.comes_after_usage):
                over, group = group.name, None
        if group is None:
            self.groups += 1
            group = self.group = Group(f"syn:{self.id}:{self.groups}", through)
            self._give_usage(group, time)
        return over, group

    def _give_usage(self, group: Group, time: float | None) -> None:
        gap = (time or 0.0) - self.usage_time
        if self.usage and gap <= (_PAUSE if self.comes_after_usage else BATCH):
            self.comes_after_usage = group.has_usage = True
        else:
            self.usage = {}

    def answered(self) -> None:
        """Something came that the model has not made."""
        if self.group is not None:
            self.group.is_answered = True

    def close_group(self) -> str | None:
        name = self.group.name if self.group is not None else None
        self.group = None
        return name

    def is_new_usage(self, total: dict[str, int]) -> bool:
        """Whether cumulative totals went on: a request was answered."""
        is_new = bool(total) and total != self.total
        self.total = total or self.total
        return is_new

    # -- calls

    def note_call(self, call: str) -> None:
        self.calls[call] = None
        if len(self.calls) > MAX_CALLS:
            del self.calls[next(iter(self.calls))]

    def note_spawn(self, call: str, asked: str | None) -> None:
        self.spawns[call] = asked
        if len(self.spawns) > MAX_CALLS:
            del self.spawns[next(iter(self.spawns))]

    def note_agent(self, thread_id: str, agent_id: str) -> None:
        self.agents[thread_id] = agent_id
        if len(self.agents) > MAX_CALLS:
            del self.agents[next(iter(self.agents))]


def uuid_time(value: str) -> float | None:
    """When a version 7 UUID was made, in epoch seconds."""
    if not is_uuid(value) or value[14] != "7":
        return None
    return int(value[:8] + value[9:13], 16) / 1000


def time_in_name(path: str) -> float | None:
    """The time in a rollout's file name: local there, read as UTC (design.md 7)."""
    found = _NAME.search(path)
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[1], "%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp()
