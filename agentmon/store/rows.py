"""The typed rows that leave the store. Times are epoch seconds, UTC."""

from typing import Any

from msgspec import Struct


class SessionRow(Struct):
    """A session with its newest round and what is open in it."""

    sid: str
    agent: str
    pid: int | None
    cwd: str | None
    version: str | None
    model: str | None
    first_time: float | None
    last_time: float | None
    end_time: float | None
    end_reason: str | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    context_tokens: int
    round_count: int
    round_id: str | None
    round_start: float | None
    round_end: float | None
    round_open: bool
    host: str | None = None
    """The machine it runs on; None: this one."""
    kinds: int = 1
    """Which kinds of sources spoke of it, a bit mask (`core.kinds.KIND_BIT`)."""


class AgentRow(Struct):
    """A thread of a session: the main agent ("") or a subagent."""

    sid: str
    agent_id: str
    phase: str
    phase_since: float | None
    phase_detail: str | None
    last_byte: float | None
    last_start: float | None
    flow_id: str | None
    parent_tool_use_id: str | None
    title: str | None = None
    """What the call that started a subagent says of it."""
    kind: str | None = None
    """Of a subagent: its type or nickname."""
    description: str | None = None
    status: str | None = None
    """running, completed, failed, stopped; None where nobody said."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    parent_agent_id: str | None = None
    """Who made the call that started it: "" the main agent; None where the call is not known."""
    last_told: float | None = None
    """The last sign of life from a source that does not stream."""
    phase_kind: str = "wire"
    """Which kind of source set the phase."""
    due_at: float | None = None
    """A retry that is announced: no byte is due before that."""


class RoundRow(Struct):
    """One user prompt until its stop. `round_number` counts within the session from 1."""

    sid: str
    round_id: str
    round_number: int
    user_prompt: str | None
    start_time: float | None
    end_time: float | None
    is_complete: bool
    is_aborted: bool
    orphaned_at: float | None


class MessageRow(Struct):
    """One assistant response.

    `is_broken`: it ended without being complete, by an error, a cut, or because its round is over.
    """

    flow_id: str
    request_id: str | None
    sid: str
    round_id: str | None
    agent_id: str | None
    role: str | None
    model: str | None
    stop_reason: str | None
    start_time: float | None
    end_time: float | None
    last_time: float | None
    is_complete: bool
    is_broken: bool
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    block_count: int
    kinds: int = 1
    """Which kinds of sources told it, a bit mask (`core.model.KIND_BIT`)."""


class BlockRow(Struct):
    """One content block, key (flow_id, index). Its text lies in a delta file."""

    flow_id: str
    index: int
    sid: str
    block_type: str | None
    tool_use_id: str | None
    tool_name: str | None
    delta_count: int
    total_bytes: int
    stored_bytes: int
    is_cut: bool
    revision: int
    start_time: float | None
    complete_time: float | None
    last_time: float | None
    is_complete: bool
    result_time: float | None
    result_is_error: bool | None
    no_result_at: float | None
    input_preview: str | None
    uses_told: bool = False
    """Its text is not in its delta file but was told whole: see `told`."""


class ToldRow(Struct, frozen=True):
    """A block as a source told it when it was over; `text` None: the streamed one is the text."""

    flow_id: str
    index: int
    item_id: str | None
    time: float
    bytes: int
    sha256: str
    is_exact: bool
    kind: str
    text: str | None


class PromptRow(Struct, frozen=True):
    """One prompt of a round, and which kinds of sources told it (a bit mask)."""

    ordinal: int
    time: float
    text: str
    is_queued: bool
    kinds: int


class Fact(Struct, frozen=True):
    """Something known by name of a session or one of its agents, as last said."""

    sid: str
    agent_id: str
    name: str
    value: Any
    time: float
    kind: str


class Testimony(Struct, frozen=True):
    """What a kind of source said last of an agent, and when."""

    sid: str
    agent_id: str
    kind: str
    time: float
    said: str


class PendingRow(Struct):
    """A tool call whose result has not come, nor evidence that it returned unseen."""

    sid: str
    agent_id: str | None
    round_id: str | None
    flow_id: str
    index: int
    tool_use_id: str
    tool_name: str | None
    called_at: float
    input_preview: str | None


class ResultRow(Struct):
    """A tool result; `content` is whole, or a preview when `file` says where the whole is."""

    tool_use_id: str
    sid: str
    is_error: bool | None
    content_size: int
    sha256: str | None
    content: str
    file: str | None
    result_time: float
    rank: int = 1
    """0 a summary, 1 a stream's, 2 a transcript's."""


class NoticeRow(Struct):
    """Something else that was said about a session: an error, a hook, a queue operation."""

    notice_id: int
    sid: str
    time: float
    name: str
    flow_id: str | None
    agent_id: str | None
    data: str


class VerdictRow(Struct):
    """A verdict as it was judged, with its evidence as JSON. `until` None: it holds now."""

    sid: str
    agent_id: str
    tool_use_id: str
    verdict: str
    since: float
    until: float | None
    evidence: str


class SourceRow(Struct):
    """A followed input and how far it is committed."""

    source_id: int
    path: str
    kind: str
    position: int
    generation: int
    tail_bytes: int
    last_read: float | None
    format: str | None = None


class RoundSum(Struct, frozen=True):
    """What the messages of a round add up to; errors are broken messages and failed calls."""

    messages: int
    input_tokens: int | None
    output_tokens: int | None
    errors: int
    last_time: float | None


class ErrorRow(Struct, frozen=True):
    """A broken message (`index` None) or a failed tool call."""

    sid: str
    agent_id: str
    time: float
    round_id: str | None
    flow_id: str
    index: int | None
    note: str
