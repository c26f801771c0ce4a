"""Who is meant where agents name each other: a thread of the same session."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from agentmon.core.text import one_line
from agentmon.store.read_threads import ThreadName, threads

MOST_NAME = 200
"""Cells of an agent's name: as much as the archive takes."""

_MAIN = ("main", "team-lead", "/root")
"""How subagents call the main agent."""


def shown_name(name: str, width: int = MOST_NAME) -> str:
    """An agent's name as the board shows it: cleaned, on one line."""
    return one_line(name, width)


def of_call(found: Iterable[ThreadName], tool_use_id: str) -> ThreadName | None:
    """Of the threads of a session the subagent that a call has started, as far as it is known."""
    return next((one for one in found if one.parent_tool_use_id == tool_use_id), None)


def thread_called(found: Sequence[ThreadName], caller: str, name: str) -> ThreadName | None:
    """Whom an agent means, of the threads of its session: by id, by path (also a relative one), as
    a teammate (`name@team`), by type or task, or by the name that the board shows; None where that
    is nobody, or several."""
    paths = {name, f"{caller or '/root'}/{name}", f"/root/{name}"}
    ways: tuple[Callable[[ThreadName], bool], ...] = (
        lambda one: one.agent_id in paths,
        lambda one: not one.agent_id and name in _MAIN,
        lambda one: one.agent_id.startswith(f"{name}@"),
        lambda one: name in (one.kind, one.description, shown_name(one.name)),
    )
    for is_meant in ways:
        meant = [one for one in found if is_meant(one)]
        if meant:
            return meant[0] if len(meant) == 1 else None
    return None


def names_beside(conn: sqlite3.Connection, sid: str, agent_id: str) -> list[str]:
    """Everybody else in a session."""
    found = (shown_name(one.name) for one in threads(conn, sid) if one.agent_id != agent_id)
    return list(dict.fromkeys(filter(None, found)))
