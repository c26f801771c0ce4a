"""The event union: what every source speaks and the fold understands.

Events are plain values, already free of their wire form. Times are epoch seconds (UTC) of the
event itself, None where the line gave none. `gc=False`: they never take part in a cycle, and the
collector would otherwise walk every event of a batch.
"""

from msgspec import Struct


class Meta(Struct, frozen=True, gc=False):
    """Who wrote a line: constant over thousands of lines, so sources share one object."""

    agent: str = "claude"
    """Product."""
    version: str | None = None
    pid: int | None = None
    cwd: str | None = None
    agent_id: str | None = None
    """Subagent id; "side" for traffic that is nobody's turn; None for the main agent."""


class Event(Struct, gc=False):
    """What all events say. (sid, meta.pid, flow, count, name, digest) is the key of a duplicate."""

    sid: str
    meta: Meta
    flow: str
    """flow_id as written; may name another stream (formats.md A.3.1)."""
    count: int
    """data_count; -1 where absent."""
    round: str | None
    """As written: None absent, "" none."""
    time: float | None
    digest: int
    """CRC-32 of the event name and the `line`."""


class Delta(Event, gc=False):
    """One increment of a block. `text` None: it carries none (a signature, a citation)."""

    request_id: str | None
    index: int
    text: str | None
    cut: int = 0
    """Bytes of text that were not kept, because the line passed the cap."""


class MessageStart(Event, gc=False):
    request_id: str | None
    message_id: str
    role: str | None
    model: str | None
    usage: dict[str, int]


class BlockStart(Event, gc=False):
    request_id: str | None
    index: int
    block_type: str
    tool_use_id: str | None
    tool_name: str | None
    text: str
    """The start value: text, thinking, or a tool call's finished input as compact JSON."""


class BlockStop(Event, gc=False):
    request_id: str | None
    index: int


class MessageDelta(Event, gc=False):
    request_id: str | None
    stop_reason: str | None
    usage: dict[str, int]


class MessageStop(Event, gc=False):
    request_id: str | None


class Ping(Event, gc=False):
    request_id: str | None


class StreamError(Event, gc=False):
    request_id: str | None
    error_type: str
    message: str


class WholeBlock(Struct, gc=False):
    block_type: str
    tool_use_id: str | None
    tool_name: str | None
    text: str


class WholeMessage(Event, gc=False):
    """A whole answer, not streamed (`claude.message`)."""

    request_id: str | None
    message_id: str
    role: str | None
    model: str | None
    stop_reason: str | None
    usage: dict[str, int]
    blocks: list[WholeBlock]


class Result(Struct, gc=False):
    """A tool result. `text` is whole, or a preview where `file` says where the whole is."""

    tool_use_id: str
    is_error: bool | None
    text: str
    file: str | None = None
    size: int = -1
    sha256: str | None = None


class ToolResults(Event, gc=False):
    results: list[Result]


class Prompt(Event, gc=False):
    text: str
    message_uuid: str | None


class SessionStart(Event, gc=False):
    source: str


class SessionEnd(Event, gc=False):
    reason: str | None


class TurnStop(Event, gc=False):
    """`stop` or `turn_end`. `background`: ids of tasks that go on."""

    name: str
    is_subagent: bool
    background: list[str]


class Notice(Event, gc=False):
    """A known event that changes no row of the tree: hooks, notifications, queue operations."""

    name: str
    data: str
    """The payload as compact JSON."""
    tool_use_id: str | None = None
    text: str | None = None
    """The prompt of a queue operation."""
    kind: str | None = None
    """`operation` or `notification_type`."""


class Marker(Event, gc=False):
    """The `event:` row of a two-line pair: a line, not an event."""


class Unknown(Event, gc=False):
    """An event that this version does not know, kept whole. `sid` "" where there was none."""

    name: str | None
    raw: bytes
    size: int
    offset: int
    source: int = 0


class Malformed(Struct, gc=False):
    """An undecodable stretch, or a row that can't be an event. Counted and kept, never raised."""

    offset: int
    size: int
    reason: str
    head: bytes
    source: int = 0
