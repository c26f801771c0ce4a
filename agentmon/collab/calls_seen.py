"""Tool calls as rules see them: whole, with what came back, and with who called.

A rule derives something from calls (messages, work, decisions). `deriving` hands every call to it
once per version of the rule, and again where more became known of the call.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Call(Struct):
    """A tool call that is over. Times are epoch seconds, UTC; its texts are hostile."""

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


class Rule(Struct, frozen=True):
    """How something is derived from calls.

    `take` runs in the deriver's transaction. It is idempotent per `tool_use_id`: a call comes again
    after a kill, when its result is replaced by a more exact one, or when its session returns. It
    never raises on what agents wrote. A changed rule gets a higher version, and then goes through
    every call again.
    """

    name: str
    version: int
    wants: Callable[[str], bool]
    """Whether it takes calls of the tool of this name."""
    take: Callable[[sqlite3.Connection, Call], None]
