"""`claude -p --output-format stream-json`: one record per line of its output (formats.md E).

With partial messages a block is told twice: as it streams, and whole by an `assistant` record
before its stop. Most records carry no time: the time of their receipt is taken.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from agentmon.core.events import (
    AgentSaid,
    BlockStop,
    Event,
    Facts,
    Kind,
    Meta,
    Notice,
    Other,
    Prompt,
    SessionEnd,
    Told,
    TurnAborted,
    TurnStop,
    Unknown,
    WholeMessage,
)
from agentmon.core.kinds import STREAM_REQUEST
from agentmon.sources import stream_records as records
from agentmon.sources import stream_system as system
from agentmon.sources.decoding import (
    Bad,
    Context,
    Decoded,
    Format,
    Record,
    RecordDecoder,
    is_uuid,
    line_key,
    malformed,
    mapping,
)
from agentmon.sources.payloads import BUILDERS, Base, Head, compact, optional_text
from agentmon.sources.stream_clock import Clock
from agentmon.sources.stream_records import Memory, items
from agentmon.sources.transcript_records import SYNTHETIC_MODEL, content_blocks, read_user

_KIND: Kind = "stream"
_FLOW = "stream"
"""The flow of every record that is no event of a message."""

_QUIET = frozenset({"prompt_suggestion", "active_goal", "auth_status", "control_response"})
"""Known records that tell nothing of the agent's work."""

_ALIVE = frozenset({"tool_use_summary", "control_cancel_request", "keep_alive"})

_INPUT_SIDE = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
"""What the usage of an `assistant` record is right about; its output count is not final."""


class StreamJsonDecoder(RecordDecoder):
    """Decodes the records of one stream."""

    def __init__(self, context: Context) -> None:
        self._memory = Memory()
        if context.state:
            with suppress(msgspec.DecodeError):
                self._memory = msgspec.json.decode(context.state, type=Memory)
        self._clock = Clock(context, self._memory)
        self._metas: dict[tuple[str | None, ...], Meta] = {}
        self._handlers: dict[str, Callable[[Record, Base], list[Event] | None]] = {
            "stream_event": self._stream_event,
            "assistant": self._assistant,
            "user": self._user,
            "result": self._result,
            "system": self._system,
            "rate_limit_event": system.rate_limit,
            "tool_progress": system.tool_progress,
            "conversation_reset": self._reset,
            "control_request": system.control_request,
        }

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of a record that is parsed already."""
        try:
            base = self._base(row, raw, offset)
        except Bad as problem:
            return [malformed(str(problem), raw, offset)]
        kind = optional_text(row.get("type"))
        events = self._events(kind or "", row, base) if base[0] else None
        if events is None:
            subtype = optional_text(row.get("subtype")) if kind == "system" else None
            name = f"{kind}/{subtype}" if subtype else kind
            return [Unknown(*base, name, raw, len(raw), offset)]
        return list(events)

    def save(self) -> bytes:
        """The messages under way, and what was said once for the whole stream."""
        return msgspec.json.encode(self._memory) if self._memory.sid else b""

    def _events(self, kind: str, row: Record, base: Base) -> list[Event] | None:
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(row, base)
        if kind in _QUIET or kind in _ALIVE:
            said = "control" if kind.startswith("control") else kind
            return [Other(*base, is_alive=kind in _ALIVE, said=said)]
        return None

    # -- what every record has

    def _base(self, row: Record, raw: bytes, offset: int) -> Base:
        memory = self._memory
        sid = row.get("session_id")
        if sid is None:
            sid = memory.sid  # the control protocol names no session
        elif not (isinstance(sid, str) and is_uuid(sid)):
            raise Bad("sid is not a UUID")
        else:
            memory.sid = sid
        if row.get("type") == "system" and row.get("subtype") == "init":
            memory.version = optional_text(row.get("claude_code_version")) or memory.version
            memory.cwd = optional_text(row.get("cwd")) or memory.cwd
            memory.model = optional_text(row.get("model")) or memory.model
        parent = optional_text(row.get("parent_tool_use_id")) or None
        agent_id = memory.agent_of(parent, optional_text(row.get("agent_id")) or None)
        uuid = optional_text(row.get("uuid"))
        count, digest = line_key(uuid.encode() if uuid else b"%d:%s" % (offset, raw))
        return sid, self._meta(agent_id), _FLOW, count, None, self._clock.time_of(row), digest

    def _meta(self, agent_id: str | None) -> Meta:
        memory = self._memory
        key = memory.version, memory.cwd, agent_id
        meta = self._metas.get(key)
        if meta is None:
            if len(self._metas) > 1_000:
                self._metas.clear()
            meta = Meta("claude", memory.version, None, memory.cwd, agent_id, _KIND)
            self._metas[key] = meta
        return meta

    # -- events of a message

    def _stream_event(self, row: Record, base: Base) -> list[Event] | None:
        event = mapping(row.get("event"))
        kind, memory = event.get("type"), self._memory
        thread = optional_text(row.get("parent_tool_use_id")) or ""
        message_id = optional_text(mapping(event.get("message")).get("id"))
        is_start = kind == "message_start" and bool(message_id)
        if is_start and message_id:
            memory.begin(thread, message_id)
        else:
            message_id = optional_text(row.get("api_message_id")) or memory.open.get(thread)
        part = memory.part(message_id or f"unknown:{thread}", fresh=is_start)
        part.has_events = True
        sid, meta, _, _, round_id, time, digest = base
        base = (sid, meta, message_id or "unknown", part.count, round_id, time, digest)
        part.count += 1
        request_id = f"{STREAM_REQUEST}{message_id}" if message_id else None
        found = records.api_event(base, event, request_id)
        if found is None:
            return None
        if kind == "message_stop" and not part.is_done:
            # the client makes up the stops of a stream that broke
            part.held = None
            return [Other(*base, is_alive=True, said="stream cut off")]
        before = _release(part, base, request_id)
        if type(found) is BlockStop:
            part.held = found.index, time or 0.0
            return [*before, Other(*base, is_alive=True)]
        self._note(part, event)
        return [*before, found]

    def _note(self, part: records.Part, event: Record) -> None:
        kind = event.get("type")
        if kind == "content_block_start":
            block = mapping(event.get("content_block"))
            index = records.whole_number(event.get("index"))
            part.begin(index or 0, optional_text(block.get("type")) or "")
        elif kind == "message_delta":
            part.is_done |= mapping(event.get("delta")).get("stop_reason") is not None

    def _assistant(self, row: Record, base: Base) -> list[Event] | None:
        message = mapping(row.get("message"))
        message_id = optional_text(message.get("id")) or ""
        group = message_id or f"stream:{base[3]:x}"
        whole = BUILDERS["claude.message"](Head(None, base), {"message": {**message, "id": group}})
        if not isinstance(whole, WholeMessage):
            return None
        if whole.model == SYNTHETIC_MODEL and records.is_nothing(whole.blocks):
            return [Other(*base, said="nothing said")]
        part = self._memory.part(group)
        indexes: list[int | None] = [*part.place(base[6], [one.block_type for one in whole.blocks])]
        if base[1].agent_id is not None and not part.has_events:
            # of a subagent some builds print the calls only, so the second call may be block 5
            indexes = [
                None if block.tool_use_id else index
                for index, block in zip(indexes, whole.blocks, strict=True)
            ]
        item_id = optional_text(row.get("uuid")) or f"{group}:{base[3]:x}"
        counts = {name: whole.usage[name] for name in _INPUT_SIDE if name in whole.usage}
        told = Told(
            *base,
            optional_text(row.get("request_id")),
            message_id,
            group,
            whole.role,
            whole.model,
            whole.stop_reason,
            counts,
            records.told_blocks(whole.blocks, indexes, item_id),
            is_done=whole.stop_reason is not None,
        )
        records.note_error(told, optional_text(row.get("error")))
        part.is_done |= told.is_done
        events: list[Event] = [*self._before(row, base, group), told, *self._agent_said(row, base)]
        todo = records.todo_of(items(message.get("content")))
        if todo is not None:
            events.append(Facts(*base, {"todo": todo}))
        return events

    def _before(self, row: Record, base: Base, message_id: str) -> list[Event]:
        """The message before this one on its thread is over (one told by events says it itself)."""
        thread, memory = optional_text(row.get("parent_tool_use_id")) or "", self._memory
        if memory.open.get(thread) == message_id:
            return []
        done = self._over(thread, base)
        memory.begin(thread, message_id)
        return done

    def _over(self, thread: str, base: Base, stop_reason: str | None = None) -> list[Event]:
        memory = self._memory
        message_id = memory.open.get(thread)
        part = memory.parts.get(message_id or "")
        if message_id is None or part is None or part.has_events or part.is_done:
            return []
        part.is_done = True
        name = "" if message_id.startswith("stream:") else message_id
        meta = self._meta(memory.agents.get(thread)) if thread else self._meta(None)
        base = (base[0], meta, *base[2:])
        return [Told(*base, None, name, message_id, None, None, stop_reason, {}, [], is_done=True)]

    def _agent_said(self, row: Record, base: Base) -> list[Event]:
        agent_id = base[1].agent_id
        parent = optional_text(row.get("parent_tool_use_id")) or None
        if agent_id is None or parent is None:
            return []
        kind = optional_text(row.get("subagent_type"))
        description = optional_text(row.get("task_description"))
        if self._memory.said.get(agent_id) == [parent, kind, description]:
            return []
        self._memory.said[agent_id] = [parent, kind, description]
        records.shrink(self._memory.said, 64)
        return [AgentSaid(*base, agent_id, parent, kind, description)]

    # -- the client's side

    def _user(self, row: Record, base: Base) -> list[Event] | None:
        message = mapping(row.get("message"))
        if not isinstance(message.get("content"), str | list):
            return None
        results = BUILDERS["claude.tool_result"](Head(None, base), {"message": message})
        said = self._agent_said(row, base)
        if results is not None:
            return [results, *said]
        found = read_user(row, content_blocks(row))
        if base[1].agent_id is not None:
            return [Other(*base, is_alive=True, said="prompt of a subagent"), *said]
        if found.what == "interrupt":
            return self._aborted(base, "interrupted")
        if found.prompt is None or row.get("isSynthetic") is True:
            if records.is_cut_off(message.get("content")):
                self._lost()
            return [Other(*base, is_alive=found.is_alive, said=found.what)]
        self._memory.is_aborted = False
        return [Prompt(*base, found.prompt, optional_text(row.get("uuid")))]

    def _aborted(self, base: Base, reason: str) -> list[Event]:
        """Told twice, by a record of the user's side and by the result: once is enough."""
        if self._memory.is_aborted:
            return [Other(*base, said="aborted")]
        self._memory.is_aborted = True
        return [TurnAborted(*base, reason=reason)]

    def _lost(self) -> None:
        """The newest message broke off: it is never over."""
        memory = self._memory
        part = memory.parts.get(memory.open.get("", ""))
        if part is not None and not part.has_events:
            del memory.open[""]

    def _result(self, row: Record, base: Base) -> list[Event]:
        memory = self._memory
        reason = optional_text(row.get("terminal_reason")) or ""
        stop_reason = optional_text(row.get("stop_reason"))
        if reason.startswith("aborted"):
            events = self._aborted(base, reason)
        else:
            events = self._over("", base, stop_reason)
            if row.get("is_error") is True:
                errors = [text for text in items(row.get("errors")) if isinstance(text, str)]
                text = "\n".join(errors) or optional_text(row.get("result"))
                data = compact({"subtype": row.get("subtype"), "terminal_reason": reason or None})
                events.append(Notice(*base, "stop_failure", data, None, text))
            events.append(TurnStop(*base, "turn_end", False, list(memory.background)))
        memory.is_aborted = False
        values: dict[str, object] = {}
        cost = records.number(row.get("total_cost_usd"))
        window = records.context_window(row.get("modelUsage"), memory.model)
        if cost is not None:
            values["cost_usd"] = cost
        if window is not None:
            values["context_window"] = window
        return [*events, Facts(*base, values)] if values else events

    def _reset(self, row: Record, base: Base) -> list[Event]:
        """The conversation goes on under another session id."""
        trigger = optional_text(row.get("trigger"))
        self._memory.source = "clear" if trigger in (None, "clear") else trigger
        return [SessionEnd(*base, trigger or "clear")]

    def _system(self, row: Record, base: Base) -> list[Event] | None:
        subtype = optional_text(row.get("subtype")) or ""
        events = system.events(self._memory, subtype, row, base)
        if subtype == "api_retry":
            self._lost()
        elif subtype == "task_notification":
            thread = optional_text(row.get("tool_use_id"))
            if thread is not None and events is not None:
                events += self._over(thread, base)
        return events


def _release(part: records.Part, base: Base, request_id: str | None) -> list[Event]:
    """The stop of a block that was held until the stream went on: so it was no made-up one."""
    if part.held is None:
        return []
    (index, time), part.held = part.held, None
    return [BlockStop(*base[:5], time, base[6], request_id, index)]


_NO_SESSION = frozenset({"control_request", "control_response", "control_cancel_request"})
_TRANSCRIPT = frozenset({"sessionId", "parentUuid", "isSidechain", "timestamp", "uuid"})
"""One of these, and none of the stream's own keys: a transcript's record."""


def _knows(rows: Sequence[Record]) -> bool:
    return any(map(_is_ours, rows))


def _is_ours(row: Record) -> bool:
    kind = row.get("type")
    if not isinstance(kind, str) or "sessionId" in row or "parentUuid" in row:
        return False
    if "session_id" in row or "parent_tool_use_id" in row or kind in _NO_SESSION:
        return True
    is_main = kind in ("user", "assistant", "result") or (kind == "system" and "subtype" in row)
    return is_main and ("message" in row or "subtype" in row) and not _TRANSCRIPT & row.keys()


FORMAT = Format(
    "stream-json",
    _KIND,
    "output of claude -p --output-format stream-json",
    _knows,
    StreamJsonDecoder,
)
