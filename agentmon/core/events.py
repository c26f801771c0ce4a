"""The event union: what every source speaks and the fold understands.

Events are plain values, already free of their wire form. Times are epoch seconds (UTC) of the
event itself, None where the line gave none. `gc=False`: they never take part in a cycle, and the
collector would otherwise walk every event of a batch.
"""

from typing import Literal

from msgspec import Struct

Kind = Literal["wire", "transcript", "rollout", "stream", "sse", "hook", "registry"]
"""What sort of source a line came from (formats.md A–G; `registry`: sessions/<pid>.json)."""


class Meta(Struct, frozen=True, gc=False):
    """Who wrote a line: constant over thousands of lines, so sources share one object."""

    agent: str = "claude"
    """Product."""
    version: str | None = None
    pid: int | None = None
    cwd: str | None = None
    agent_id: str | None = None
    """Subagent id; "side" for traffic that is nobody's turn; None for the main agent."""
    kind: Kind = "wire"


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
    item_id: str | None = None
    """The API's own id of the block, where it has one (codex: `rs_…`, `msg_…`, `fc_…`)."""


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


class ToldBlock(Struct, gc=False):
    """A whole block, known by its index, by `item_id` or by `tool_use_id`.

    `index` None: the block with that `item_id` or `tool_use_id`, else the next of its message.
    """

    index: int | None
    block_type: str
    tool_use_id: str | None
    tool_name: str | None
    text: str
    item_id: str | None = None
    """What makes the block the same one when it is told again: the API's id, or the record's."""
    is_exact: bool = False
    """The text is byte for byte that of the stream: where deltas add up to another, they lack."""
    is_cut: bool = False
    """It was given up while it was written: it is told, and not complete."""


class Told(Event, gc=False):
    """Whole blocks of a message, told when they were finished: transcripts, rollouts, `.done`.

    Told again it changes nothing. What a stream says of the same message goes before it.
    `message_id` "": not said (yet); then `group` names the message until it is.
    """

    request_id: str | None
    message_id: str
    group: str
    role: str | None
    model: str | None
    stop_reason: str | None
    usage: dict[str, int]
    blocks: list[ToldBlock]
    is_done: bool = False
    """Nothing more of the message will come: it is complete."""
    has_end: bool = False
    """The event is the end of the stream itself: its time is the message's end."""
    error: str | None = None
    """The message is an error that the client wrote down, or ended in one."""


class Result(Struct, gc=False):
    """A tool result. `text` is whole, or a preview where `file` says where the whole is."""

    tool_use_id: str
    is_error: bool | None
    text: str
    file: str | None = None
    size: int = -1
    sha256: str | None = None
    is_summary: bool = False
    """Its text only stands in for the result's; what it knows besides (an exit code) counts."""


class ToolResults(Event, gc=False):
    results: list[Result]


class Prompt(Event, gc=False):
    text: str
    message_uuid: str | None
    is_queued: bool = False
    """Typed while another round ran (where the source says so)."""


class SessionStart(Event, gc=False):
    source: str


class SessionEnd(Event, gc=False):
    reason: str | None


class TurnStop(Event, gc=False):
    """`stop` or `turn_end`. `background`: ids of tasks that go on."""

    name: str
    is_subagent: bool
    background: list[str]


class TurnAborted(Event, gc=False):
    """The running turn was given up: by a person, or replaced by another."""

    has_end: bool = False
    """The time of the event is the round's end (codex), else it has none (design.md 7)."""
    reason: str | None = None


class Retry(Event, gc=False):
    """The client asks the API again after an error."""

    error_type: str
    message: str
    delay: float | None = None
    """Seconds until it does."""
    attempt: int | None = None
    max_attempts: int | None = None


class AgentSaid(Event, gc=False):
    """What a source tells of a subagent (`agent_id`): who started it, what for, whether it runs."""

    agent_id: str
    parent_tool_use_id: str | None = None
    kind: str | None = None
    """Its type or nickname: "Explore"."""
    description: str | None = None
    status: str | None = None
    """running, completed, failed, stopped; None: not said."""


class Facts(Event, gc=False):
    """Things known of a session, or of one of its agents (`meta.agent_id`): the last value counts.

    Names: git_branch, title, model, context_window, context_tokens, compactions, rate_limit, todo,
    permission_mode, effort, cost_usd, queue, tmux, proc_start, status, waiting_for. Values are what
    JSON has; None: no longer so.
    """

    values: dict[str, object]


class Other(Event, gc=False):
    """A known record that changes nothing but that its session was heard of.

    `is_alive`: it tells that the agent works (a hook ran, a request went out); a late record of
    book-keeping does not.
    """

    is_alive: bool = False
    said: str | None = None
    """What it was, in a word or two, for the evidence."""


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
