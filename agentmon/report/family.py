"""Sessions and their subagents as a tree of lines: who is below whom, what is folded away. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from agentmon.core.health import WORKING
from agentmon.report.board import Thread

Key = tuple[str, str]
"""(sid, agent id); the main agent's id is ""."""

_TROUBLE = ("stalled", "overdue", "orphaned")


class Rollup(Struct, frozen=True):
    """The subagents below a line, in numbers."""

    agents: int = 0
    needs_you: int = 0
    trouble: int = 0
    working: int = 0

    @property
    def words(self) -> str:
        """ "+3 agents, 1 needs you, 2 working": what is zero is left out, but for the agents."""
        parts = [f"+{self.agents} agent{'' if self.agents == 1 else 's'}"]
        if self.needs_you:
            parts.append(f"{self.needs_you} need{'s' if self.needs_you == 1 else ''} you")
        if self.trouble:
            parts.append(f"{self.trouble} in trouble")
        if self.working:
            parts.append(f"{self.working} working")
        return ", ".join(parts)


class Member(Struct, frozen=True):
    """A line of the tree. `folded` sums up what is folded away below it; None: nothing is."""

    thread: Thread
    depth: int
    has_children: bool
    folded: Rollup | None = None

    @property
    def key(self) -> Key:
        return key_of(self.thread)


def key_of(thread: Thread) -> Key:
    return thread.row.sid, thread.row.agent_id


def parents_of(threads: Iterable[Thread]) -> dict[Key, Key]:
    """Child → parent. A parent that is not on the board any more is its session."""
    keys = {key_of(thread) for thread in threads}
    parents: dict[Key, Key] = {}
    for thread in threads:
        sid, agent_id = key_of(thread)
        if agent_id:
            parent = sid, thread.row.parent_agent_id or ""
            is_there = parent in keys and parent[1] != agent_id
            parents[sid, agent_id] = parent if is_there else (sid, "")
    return parents


def ancestors(key: Key, parents: Mapping[Key, Key]) -> list[Key]:
    """The lines above one, the nearest first; what goes in a circle ends."""
    found: list[Key] = []
    above = parents.get(key)
    while above is not None and above not in found:
        found.append(above)
        above = parents.get(above)
    return found


def lines(
    threads: Sequence[Thread],
    folded: Collection[Key] = (),
    state: Callable[[Thread], str] = lambda thread: thread.row.phase,
) -> list[Member]:
    """The threads as visible lines, in their order, each below its parent.

    `state` gives the word that the board has for a thread, for what is `folded` away. A thread
    whose session is not among them stands by itself.
    """
    parents = parents_of(threads)
    shown = {key_of(thread) for thread in threads}
    children: dict[Key | None, list[Thread]] = {}
    for thread in threads:
        parent = parents.get(key_of(thread))
        children.setdefault(parent if parent in shown else None, []).append(thread)
    members: list[Member] = []
    placed: set[Key] = set()

    def place(thread: Thread, depth: int) -> None:
        key = key_of(thread)
        if key in placed:
            return
        placed.add(key)
        below = children.get(key, [])
        hidden = _rollup(key, children, state) if below and key in folded else None
        members.append(Member(thread, depth, bool(below), hidden))
        if hidden is None:
            for child in below:
                place(child, depth + 1)
        else:
            placed.update(key_of(child) for child in _below(key, children))

    for thread in children.get(None, []):
        place(thread, 0)
    for thread in threads:
        place(thread, 0)  # agents that name each other as parents
    return members


def _below(key: Key, children: Mapping[Key | None, list[Thread]]) -> list[Thread]:
    found: list[Thread] = []
    open_keys, seen = [key], {key}
    while open_keys:
        for child in children.get(open_keys.pop(), []):
            if key_of(child) not in seen:
                seen.add(key_of(child))
                found.append(child)
                open_keys.append(key_of(child))
    return found


def _rollup(
    key: Key, children: Mapping[Key | None, list[Thread]], state: Callable[[Thread], str]
) -> Rollup:
    words = [state(thread) for thread in _below(key, children)]
    return Rollup(
        agents=len(words),
        needs_you=words.count("permission"),
        trouble=sum(word in _TROUBLE for word in words),
        working=sum(word in WORKING for word in words),
    )
