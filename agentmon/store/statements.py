"""What a batch writes, row by row: the statements, and how entities become their values."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from agentmon.core.events import StreamError
from agentmon.core.kinds import STAND_IN, STAND_IN_CALL, TELLING
from agentmon.core.model import Block, Message, Session, Stream, Thread
from agentmon.store.codec import CHUNK_LINES, encode_lines
from agentmon.store.told import uses_told

Values: TypeAlias = tuple[Any, ...]


class SourceValues(Struct):
    """A followed input and the position its committed lines end at."""

    source_id: int
    path: str
    kind: str
    dev: int
    inode: int
    head_size: int
    head_hash: bytes
    anchor: bytes
    position: int
    generation: int
    tail_bytes: int
    last_read: float
    format: str | None = None
    decoder: bytes = b""


def values_of(item: object, names: Sequence[str]) -> Values:
    return tuple(getattr(item, name) for name in names)


def _known(time: float) -> float | None:
    return time if time > float("-inf") else None


def session_row(s: Session) -> Values:
    return (
        s.sid,
        s.agent,
        s.pid,
        s.cwd,
        s.version,
        _known(s.meta_time),
        s.first_time,
        _known(max(s.last_time, s.resumed_at)),
        s.ended_at,
        s.end_reason,
        _known(s.resumed_at),
        s.closed_at,
        s.prompt_count,
        *s.tokens,
        s.context_tokens,
        s.model,
        s.kinds or 1,
        s.host,
    )


def thread_row(t: Thread) -> Values:
    return (
        t.sid,
        t.agent_id,
        t.phase,
        t.phase_since,
        t.phase_detail,
        t.last_byte or None,
        t.last_start or None,
        t.flow_id,
        t.parent_tool_use_id,
        t.kind,
        t.description,
        t.status,
        t.last_told or None,
        t.phase_kind,
        t.due_at,
        t.status_time or None,
    )


def message_row(m: Message) -> Values:
    m.is_stored = True
    written = msgspec.json.encode(m.written).decode() if m.written else None
    return (
        m.flow_id,
        m.seq,
        m.session.sid,
        m.request_id,
        m.own_round,
        m.round_id,
        m.agent_id,
        m.pid,
        m.role,
        m.model,
        m.stop_reason or (None if m.is_started and m.is_broken else m.told_stop),
        m.start_time,
        m.end_time,
        _known(m.last_time),
        m.is_started,
        m.is_broken,
        m.error,
        *m.tokens,
        written,
        m.kinds,
        m.told_stop,
        m.is_done and not m.is_started,
    )


def block_row(b: Block) -> Values:
    return (
        b.message.flow_id,
        b.index,
        b.message.session.sid,
        b.block_type,
        b.tool_use_id,
        b.tool_name,
        b.delta_count,
        b.total_bytes,
        b.stored_bytes,
        b.is_cut,
        b.revision,
        b.start_text or None,
        b.start_stored,
        b.is_started,
        b.start_time,
        b.stop_time,
        b.complete_time,
        b.last_time,
        b.result_time,
        b.result_is_error,
        b.no_result_at,
        b.input_preview,
        uses_told(b),
        None if b.heard is None else msgspec.json.encode(b.heard).decode(),
    )


def notice_row(time: float, event: Any) -> Values:
    if isinstance(event, StreamError):
        data = msgspec.json.encode(
            {"type": event.error_type, "message": event.message, "request_id": event.request_id}
        ).decode()
        return event.sid, time, "error", event.flow, event.meta.agent_id, data
    return event.sid, time, event.name, event.flow, event.meta.agent_id, event.data


def stream_rows(stream: Stream) -> list[Values]:
    """The chunks that changed; whole ones never change again."""
    rows: list[Values] = []
    first = stream.stored - stream.stored % CHUNK_LINES
    size = len(stream.digests)
    for at in range(first, size, CHUNK_LINES):
        data = encode_lines(stream, at, min(size, at + CHUNK_LINES))
        rows.append((stream.sid, stream.flow, stream.pid, at // CHUNK_LINES, data))
    stream.stored = size
    return rows


def _upsert(table: str, keys: Sequence[str], rest: Sequence[str]) -> str:
    names = [*keys, *rest]
    marks = ", ".join("?" for _ in names)
    sets = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    )


TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
ROUND_FIELDS = (
    "sid",
    "round_id",
    "prompts",
    "user_prompt",
    "start_time",
    "end_time",
    "named_end",
    "is_closed",
    "is_synthetic",
    "told_end",
    "aborted_at",
    "abort_ends",
)
PROMPT_FIELDS = (
    "sid",
    "ordinal",
    "pid",
    "time",
    "message_uuid",
    "text",
    "own_round",
    "is_queued",
    "answer_time",
    "answer_round",
    "round_id",
    "told_round",
    "kinds",
    "told_end",
)
SOURCE_FIELDS = tuple(SourceValues.__struct_fields__)
SESSION = _upsert(
    "sessions",
    ("sid",),
    (
        "agent",
        "pid",
        "cwd",
        "version",
        "meta_time",
        "first_time",
        "last_time",
        "ended_at",
        "end_reason",
        "resumed_at",
        "closed_at",
        "prompt_count",
        *TOKENS,
        "context_tokens",
        "model",
        "kinds",
        "host",
    ),
)
THREAD = _upsert(
    "agents",
    ("sid", "agent_id"),
    (
        "phase",
        "phase_since",
        "phase_detail",
        "last_byte",
        "last_start",
        "flow_id",
        "parent_tool_use_id",
        "kind",
        "description",
        "status",
        "last_told",
        "phase_kind",
        "due_at",
        "status_time",
    ),
)
ROUND = _upsert("rounds", ROUND_FIELDS[:2], ROUND_FIELDS[2:])
PROMPT = _upsert("prompts", PROMPT_FIELDS[:2], PROMPT_FIELDS[2:])
MESSAGE = _upsert(
    "messages",
    ("flow_id",),
    (
        "seq",
        "sid",
        "request_id",
        "own_round",
        "round_id",
        "agent_id",
        "pid",
        "role",
        "model",
        "stop_reason",
        "start_time",
        "end_time",
        "last_time",
        "is_started",
        "is_broken",
        "error",
        *TOKENS,
        "written",
        "kinds",
        "told_stop",
        "is_done",
    ),
)
BLOCK = _upsert(
    "content_blocks",
    ("flow_id", "block_index"),
    (
        "sid",
        "block_type",
        "tool_use_id",
        "tool_name",
        "delta_count",
        "total_bytes",
        "stored_bytes",
        "is_cut",
        "revision",
        "start_text",
        "has_start",
        "is_started",
        "start_time",
        "stop_time",
        "complete_time",
        "last_time",
        "result_time",
        "result_is_error",
        "no_result_at",
        "input_preview",
        "uses_told",
        "heard",
    ),
)
TOLD = _upsert(
    "told_blocks",
    ("flow_id", "block_index"),
    ("item_id", "time", "bytes", "sha256", "is_exact", "kind", "text", "is_cut"),
)
FACT = """
INSERT INTO facts (sid, agent_id, name, value, time, kind) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (sid, agent_id, name) DO UPDATE
SET value = excluded.value, time = excluded.time, kind = excluded.kind
WHERE excluded.time >= facts.time"""
_STANDING_IN = f"sid = ? AND substr(flow_id, 1, {len(STAND_IN)}) = '{STAND_IN}'"
DROP_STAND_INS = (
    *(
        f"DELETE FROM {table} WHERE flow_id IN (SELECT flow_id FROM messages WHERE {_STANDING_IN})"
        for table in ("told_blocks", "delta_log", "content_blocks")
    ),
    f"DELETE FROM tool_results WHERE sid = ?"
    f" AND substr(tool_use_id, 1, {len(STAND_IN_CALL)}) = '{STAND_IN_CALL}'",
    f"DELETE FROM messages WHERE {_STANDING_IN}",
    "DELETE FROM notices WHERE sid = ? AND name = 'stop_without_round'",
)
MOVE = "UPDATE messages SET round_id = ? WHERE sid = ? AND own_round = ?"
RENAME = "UPDATE messages SET round_id = ? WHERE sid = ? AND round_id = ? AND own_round IS NULL"
RETIME = f"""
UPDATE messages SET round_id = (
  SELECT p.round_id FROM prompts p WHERE p.sid = messages.sid AND p.time <= messages.start_time
  ORDER BY p.time DESC LIMIT 1)
WHERE sid = ? AND start_time >= ? AND own_round IS NULL AND NOT is_started AND kinds & {TELLING}"""
TESTIMONY = """
INSERT INTO testimony (sid, agent_id, kind, time, said) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (sid, agent_id, kind) DO UPDATE SET time = excluded.time, said = excluded.said
WHERE excluded.time >= testimony.time"""
RESULT = (
    _upsert(
        "tool_results",
        ("tool_use_id",),
        ("sid", "is_error", "content_size", "sha256", "content", "file", "result_time", "rank"),
    )
    + " WHERE excluded.rank > tool_results.rank"
)
LOG = _upsert("delta_log", ("flow_id", "block_index", "chunk"), ("deltas", "data"))
STREAM = _upsert("stream_log", ("sid", "flow_id", "pid", "chunk"), ("data",))
SOURCE = _upsert("sources", SOURCE_FIELDS[:1], SOURCE_FIELDS[1:])
COUNT = _upsert("counts", ("name",), ("value",))
