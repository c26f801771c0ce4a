"""Tool calls as rules see them: whole, with what came back, and with who called.

A rule derives something from calls (messages, work, decisions). `deriving` hands every call to it
once per version of the rule, and again where more became known of the call.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Call(Struct):
    """A tool call. Times are epoch seconds, UTC; its texts are hostile."""

    tool_use_id: str
    name: str
    """Of the tool, as the agent has it."""
    input: dict[str, Any]
    """Its arguments; what is no JSON object is the whole of `input["text"]`."""
    result: str | None
    """What came back, the first mebibyte of it; None: nobody told."""
    is_error: bool | None
    """What the result says of itself; None: it does not say."""
    sid: str
    agent_id: str | None
    """None: the main agent called."""
    round_id: str | None
    flow_id: str
    index: int
    called_at: float
    """When its arguments were complete."""
    result_time: float | None
    cwd: str | None
    """The folder that its session works in."""
    agent: str
    """Who called, by the name that the board shows."""
    product: str
    """claude, codex, …; "" where nobody told."""
    is_over: bool = True
    """It returned, whether or not anybody told what."""


class Heard(Struct):
    """A notice: what else was said of a session, such as a hook that ran. Hostile as well."""

    notice_id: int
    name: str
    data: dict[str, Any]
    """Its payload; what is no JSON object is the whole of `data["text"]`."""
    sid: str
    agent_id: str | None
    time: float
    cwd: str | None
    product: str


def _nothing(_: str) -> bool:
    return False


class Rule(Struct, frozen=True):
    """How something is derived from calls, and from what else was said.

    `take` runs in the deriver's transaction. It is idempotent per `tool_use_id`: a call comes again
    after a kill, when its result is replaced by a more exact one, or when its session returns. It
    never raises on what agents wrote. A changed rule gets a higher version, and then goes through
    every call again.

    A call comes when its result is there, or when it is known that it returned unseen (`result` and
    `result_time` are None then: most wire logs tell no results).
    """

    name: str
    version: int
    wants: Callable[[str], bool]
    """Whether it takes calls of the tool of this name."""
    take: Callable[[sqlite3.Connection, Call], None]
    takes_open: bool = False
    """It also takes calls that have not returned; they come again when they have."""
    hears: Callable[[str], bool] = _nothing
    """Whether it takes notices of this name."""
    hear: Callable[[sqlite3.Connection, Heard], None] | None = None
    """The same for those, idempotent per content: their numbers change when sessions return."""
    settle: Callable[[sqlite3.Connection], None] | None = None
    """Looks, after each page, whether what was left open has become known. Short and bounded."""
