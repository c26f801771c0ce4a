"""Lines of a retelling (`report.retelling`): what the store holds, written as a wire log again.

Where the wire has a name for an event, a retelling uses it. What only other sources tell (a block
that was told whole, a round given up, facts) comes as `agentmon.<event>`, its payload being the
event's own fields; `metadata` then says which product and which kind of source told it.
"""

from typing import Any

import msgspec

from agentmon.core.events import (
    AgentSaid,
    BlockStart,
    BlockStop,
    Delta,
    Event,
    Facts,
    MessageDelta,
    MessageStart,
    MessageStop,
    Notice,
    Other,
    Ping,
    Prompt,
    Retry,
    SessionEnd,
    SessionStart,
    StreamError,
    Told,
    ToolResults,
    TurnAborted,
    TurnStop,
)
from agentmon.sources.decoding import mapping
from agentmon.sources.payloads import Base, compact

PREFIX = "agentmon."

HEADER = "agentmon.bundle"
"""The name of a bundle's first line, which says what was taken out of it."""

EVENTS: dict[str, type[Event]] = {
    "agent_said": AgentSaid,
    "content_block_start": BlockStart,
    "content_block_stop": BlockStop,
    "content_block_delta": Delta,
    "message_start": MessageStart,
    "message_delta": MessageDelta,
    "message_stop": MessageStop,
    "facts": Facts,
    "notice": Notice,
    "other": Other,
    "ping": Ping,
    "user_prompt": Prompt,
    "retry": Retry,
    "session_start": SessionStart,
    "session_end": SessionEnd,
    "error": StreamError,
    "told": Told,
    "tool_result": ToolResults,
    "turn_aborted": TurnAborted,
    "turn_stop": TurnStop,
}
NAMES: dict[type[Event], str] = {event: name for name, event in EVENTS.items()}

BASE = Event.__struct_fields__


def read(name: str, base: Base, payload: dict[str, Any]) -> Event | None:
    """The event of an `agentmon.` line; None for a name or a shape that this version does not
    know. A `time` in the payload is the exact one."""
    kind = EVENTS.get(name.removeprefix(PREFIX))
    if kind is None:
        return None
    said = payload.get("time")
    exact = isinstance(said, float) and abs(said) < 1e11
    fields = {key: value for key, value in payload.items() if key not in BASE}
    if kind is ToolResults:
        fields["results"] = [_result(mapping(one)) for one in payload.get("results") or ()]
    elif kind is Notice:
        fields["data"] = compact(mapping(payload.get("data")))
    head = dict(zip(BASE, base, strict=True))
    if exact:
        head["time"] = said
    try:
        event = msgspec.convert({**fields, **head, "meta": {}}, kind)
    except (msgspec.ValidationError, TypeError):
        return None
    event.meta = base[1]
    return event if _is_sound(event) else None


def _is_sound(event: Event) -> bool:
    """Whether the numbers of an event are such as a decoder makes."""
    blocks = event.blocks if isinstance(event, Told) else []
    places: list[object] = [getattr(event, "index", None), *(one.index for one in blocks)]
    counts: list[object] = [*getattr(event, "usage", {}).values(), getattr(event, "cut", 0)]
    return all(place is None or _is_within(place, 2**31) for place in places) and all(
        _is_within(count, 2**53) for count in counts
    )


def _is_within(value: object, limit: int) -> bool:
    return isinstance(value, int) and 0 <= value < limit


def _result(row: dict[str, Any]) -> dict[str, object]:
    """Never a file: where a text lies is nothing that a line may say."""
    kept = ("tool_use_id", "is_error", "text", "is_summary")
    return {name: row[name] for name in kept if name in row}


def fields_of(event: Event) -> dict[str, Any]:
    """The payload that `read` makes an event of."""
    found = msgspec.to_builtins(event)
    fields = {key: value for key, value in found.items() if key not in BASE}
    if type(event) is ToolResults:
        fields["results"] = [_result(msgspec.to_builtins(one)) for one in event.results]
    elif type(event) is Notice:
        fields["data"] = msgspec.json.decode(event.data)
    return fields
