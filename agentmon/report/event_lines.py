"""Events in a line each: what a recording says, one after the other, with the clock of a replay."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from agentmon.core import events
from agentmon.core.events import Event, Malformed
from agentmon.core.text import clean, one_line
from agentmon.report.words import clock_text

WIDTH = 100
"""Cells for what an event says."""

_NAMES: Mapping[type, str] = {
    events.Delta: "content_block_delta",
    events.MessageStart: "message_start",
    events.BlockStart: "content_block_start",
    events.BlockStop: "content_block_stop",
    events.MessageDelta: "message_delta",
    events.MessageStop: "message_stop",
    events.Ping: "ping",
    events.StreamError: "error",
    events.WholeMessage: "message",
    events.Told: "message",
    events.ToolResults: "tool_result",
    events.Prompt: "user_prompt",
    events.SessionStart: "session_start",
    events.SessionEnd: "session_end",
    events.TurnAborted: "turn_aborted",
    events.Retry: "retry",
    events.AgentSaid: "subagent",
    events.Facts: "facts",
    events.Other: "other",
    events.Marker: "marker",
}


class EventLine(Struct, frozen=True):
    """An event as it is told. `number` is that of its line, `time` the replay's clock then."""

    number: int
    time: float
    offset: float
    """Seconds since the beginning of the recordings."""
    event: str
    sid: str | None
    agent_id: str | None
    flow_id: str | None
    index: int | None
    text: str
    """What it says, as it was written; a line's worth of it in `plain`."""


def told(number: int, time: float, start: float, event: Event | Malformed) -> EventLine:
    """An event, or what was none, as a line."""
    if isinstance(event, Malformed):
        head = event.head.decode("utf-8", "replace")
        text = f"{event.reason}: {head}"
        return EventLine(
            number, time, round(time - start, 6), "bad_line", None, None, None, None, text
        )
    return EventLine(
        number,
        time,
        round(time - start, 6),
        name_of(event),
        event.sid or None,
        event.meta.agent_id,
        event.flow or None,
        getattr(event, "index", None),
        _text_of(event),
    )


def name_of(event: Event) -> str:
    """What the field calls it."""
    return _NAMES.get(type(event)) or str(getattr(event, "name", None) or "unknown")


def plain(line: EventLine) -> str:
    """A line of text, safe for a terminal."""
    millis = round(line.time % 1 * 1000) % 1000
    where = "" if line.index is None else f"[{line.index}] "
    said = one_line(clean(line.text), WIDTH)
    return (
        f"{line.number:>8}  {clock_text(line.time)}.{millis:03d}  +{line.offset:<10.3f}"
        f"{(line.sid or '-')[:8]:<8}  {clean(line.event, newline=False):<20}  {where}{said}"
    ).rstrip()


def _text_of(event: Event) -> str:
    say = _SAYS.get(type(event))
    return say(event) if say is not None else ""


def _usage(usage: Mapping[str, int]) -> str:
    return " ".join(f"{name}={count}" for name, count in usage.items())


def _words(*words: object) -> str:
    return " ".join(str(word) for word in words if word not in (None, ""))


_SAYS: Mapping[type, Callable[[Any], str]] = {
    events.Delta: lambda e: e.text or "",
    events.MessageStart: lambda e: _words(e.message_id, e.model, _usage(e.usage)),
    events.BlockStart: lambda e: _words(e.block_type, e.tool_name, e.tool_use_id, e.text),
    events.MessageDelta: lambda e: _words(e.stop_reason, _usage(e.usage)),
    events.StreamError: lambda e: _words(e.error_type, e.message),
    events.WholeMessage: lambda e: _words(
        e.message_id, e.stop_reason, *(block.text for block in e.blocks)
    ),
    events.Told: lambda e: _words(e.message_id, e.stop_reason, *(block.text for block in e.blocks)),
    events.ToolResults: lambda e: _words(
        *(
            _words(result.tool_use_id, "error" if result.is_error else "", result.text)
            for result in e.results
        )
    ),
    events.Prompt: lambda e: e.text,
    events.SessionStart: lambda e: e.source,
    events.SessionEnd: lambda e: e.reason or "",
    events.TurnAborted: lambda e: e.reason or "",
    events.Retry: lambda e: _words(e.error_type, e.message),
    events.AgentSaid: lambda e: _words(e.agent_id, e.kind, e.description, e.status),
    events.Facts: lambda e: _words(*(f"{name}={value}" for name, value in e.values.items())),
    events.Other: lambda e: e.said or "",
    events.Notice: lambda e: e.data,
    events.Unknown: lambda e: e.raw.decode("utf-8", "replace"),
}
