"""The landmarks of a run: the moments that somebody who looks back wants to find.

Kinds, with what `time` and `end` are:
- prompt: when it came
- error: a message was broken off by an error or a cut; until it was asked for again
- retry: a client said that it asks again; until it does
- stall: silence beyond the limit that held then
- permission: a person is asked; until the answer (so until the result of what was asked about)
- slow, overdue: a call that took longer than some seconds, or than its limit; until its result
- failed: a call's result says so; its time
- interrupt: a person gave a turn up, or it ended without a stop
- kill: no stop, and the process is gone as far as the record knows
- compaction: from its beginning to its end, where both are told
- loop: the same call with the same result, three times in a row or more; first call to last result
- message: between agents; when it was sent
"""

from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from agentmon.core.health import Limits
from agentmon.core.names import gist

Kind = Literal[
    "prompt",
    "error",
    "retry",
    "stall",
    "permission",
    "slow",
    "overdue",
    "failed",
    "interrupt",
    "kill",
    "compaction",
    "loop",
    "message",
]

KINDS: tuple[Kind, ...] = get_args(Kind)


SLOW = 30.0
"""Seconds from which on a call is a landmark."""


class Terms(Struct, frozen=True):
    """What is told of a run. `now` None: it is a finished record, and what is open at its end was
    broken off there."""

    limits: Limits = Limits()
    slow: float = SLOW
    """Seconds from which on a call is told."""
    now: float | None = None


class Place(Struct, frozen=True):
    """Where in a session something happened: which agent, round, message, call."""

    agent_id: str = ""
    round_id: str | None = None
    flow_id: str | None = None
    tool_use_id: str | None = None
    index: int | None = None
    """Of its block."""


class Landmark(Struct, frozen=True):
    """A moment of a run, and where it is. Times are epoch seconds; `text` is not cleaned."""

    kind: Kind
    time: float
    end: float | None
    """None: it has no length, or nobody told its end."""
    sid: str
    agent_id: str
    """ "" is the main agent."""
    round_id: str | None
    flow_id: str | None
    tool_use_id: str | None
    text: str
    evidence: Mapping[str, object] = {}
    """What it rests on, by name; of stalls and overdue calls as in `core.health`."""
    index: int | None = None
    """Of the block of its call."""

    @property
    def seconds(self) -> float | None:
        """How long it lasted."""
        return None if self.end is None else round(max(0.0, self.end - self.time), 6)


def call_text(tool_name: str | None, preview: str | None) -> str:
    """What is called with what; not cleaned."""
    return f"{tool_name or 'tool'} {gist(preview)}".rstrip()
