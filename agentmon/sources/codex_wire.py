"""`sse_lines.jsonl`, codex variant (formats.md B).

Two forms: the patched client writes the API's own events as they are (`response.created`) and its
own ones under `turn.*`; a recording proxy puts "codex." before each name and the event under
`payload`, with a time. What repeats text that the responses hold already only tells of life.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import cast
from zlib import crc32

import msgspec
from msgspec import Struct, field

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Meta,
    Other,
    Prompt,
    Result,
    SessionEnd,
    SessionStart,
    ToolResults,
    TurnAborted,
    TurnStop,
    Unknown,
)
from agentmon.sources import codex_items as codex
from agentmon.sources import codex_responses as responses
from agentmon.sources.codex_items import Item, text_of
from agentmon.sources.decoding import (
    Bad,
    Context,
    Decoded,
    Record,
    RecordDecoder,
    is_uuid,
    malformed,
    mapping,
)
from agentmon.sources.envelopes import epoch_of, integer, read_meta
from agentmon.sources.payloads import BUILDERS, Base, Head, optional_text, scrub

MAX_PROCESSES = 64
"""Processes whose responses are remembered; those silent for longest are forgotten."""

_CACHED = 1_000


class _Memory(Struct):
    """What a line depends on: the responses of each process, by "sid pid"."""

    processes: dict[str, responses.Process] = field(default_factory=dict[str, responses.Process])

    def process(self, sid: str, pid: int | None) -> responses.Process:
        key = f"{sid} {pid}"
        found = self.processes.pop(key, None) or responses.Process()
        self.processes[key] = found  # the last heard is the last to be forgotten
        if len(self.processes) > MAX_PROCESSES:
            del self.processes[next(iter(self.processes))]
        return found


class CodexDecoder(RecordDecoder):
    """Decodes the codex rows of one wire log."""

    def __init__(self, context: Context) -> None:
        self._memory = _Memory()
        if context.state:
            with suppress(msgspec.DecodeError):
                self._memory = msgspec.json.decode(context.state, type=_Memory)
        self._metas: dict[tuple[str, str, str], tuple[Meta, str | None]] = {}

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of a row that is parsed already."""
        name = text_of(row.get("event"))
        inner = _inner(text_of(row.get("line")))
        try:
            base = self._base(name, row, inner)
            events = self.events(name, base, inner) if base[0] and inner is not None else None
        except Bad as problem:
            return [malformed(str(problem), raw, offset)]
        except RecursionError:
            return [malformed("nested too deep", raw, offset)]
        if events is None:
            return [Unknown(*base, name or None, raw, len(raw), offset)]
        return list(events)

    def save(self) -> bytes:
        """The responses under way, and the last ones."""
        return msgspec.json.encode(self._memory) if self._memory.processes else b""

    def events(self, name: str, base: Base, inner: Item) -> list[Event] | None:
        """The events of a row by its name, what is known before its payload, and its `line`.

        None for a name or a shape that this version does not know.
        """
        kind = name.removeprefix("codex.")
        payload = inner.get("payload")
        row = cast(Item, payload) if isinstance(payload, dict) else inner
        if kind.startswith("response.") or kind == "error":
            process = self._memory.process(base[0], base[1].pid)
            return responses.events(process, kind, base, row)
        if kind in _LOUD:
            return [Other(*base, is_alive=True)]
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return self._with_agents(base, handler(base, row))
        if kind.startswith(("thread.", "item.")) or kind in _QUIET:
            return [Other(*base, is_alive=kind.startswith("item."))]
        hook = BUILDERS.get(f"claude.{kind}") if name.startswith("codex.") else None
        event = hook(Head(f"claude.{kind}", base), row) if hook is not None else None
        return [event] if event is not None else None

    def _with_agents(self, base: Base, made: list[Event] | None) -> list[Event] | None:
        """Adds which subagents were started, where results tell it."""
        if made and isinstance(made[0], ToolResults):
            process = self._memory.process(base[0], base[1].pid)
            for result in made[0].results:
                made += responses.spawned(process, base, result)
        return made

    # -- what every row has

    def _base(self, name: str, row: Record, inner: Item | None) -> Base:
        sid = row.get("sid")
        if sid is not None and not is_uuid(sid):
            raise Bad("sid is not a UUID")
        meta, turn = self._writer(row)
        count = integer(row.get("data_count"))
        if count is not None and not 0 <= count < 2**53:
            count = None
        stamp = optional_text(inner.get("timestamp")) if inner is not None else None
        time = epoch_of(stamp) if stamp is not None else None
        if time is None:
            time = epoch_of(text_of(row.get("t")))
        round_id = optional_text(row.get("round"))
        return (
            text_of(sid),
            meta,
            text_of(row.get("flow_id")),
            -1 if count is None else count,
            turn if round_id is None else round_id,
            time,
            _digest(name, text_of(row.get("line"))),
        )

    def _writer(self, row: Record) -> tuple[Meta, str | None]:
        """(who wrote a row, the turn it belongs to), both from its metadata."""
        metadata, pid, cwd = row.get("metadata"), row.get("pid"), row.get("cwd")
        key = str(metadata), str(pid), str(cwd)
        found = self._metas.get(key)
        if found is None:
            if len(self._metas) > _CACHED:
                self._metas.clear()
            turn = optional_text(codex.json_object(metadata).get("turn_id"))
            meta = read_meta("codex", metadata, pid, cwd)
            found = meta, turn if turn and turn != "unknown" else None
            self._metas[key] = found
        return found


def _digest(name: str, line: str) -> int:
    seed = crc32(name.encode("utf-8", "replace"))
    return crc32(line.encode("utf-8", "replace"), seed)


def _inner(line: str) -> Item | None:
    """The object in `line`; lone surrogates come out as U+FFFD."""
    body = line[6:] if line.startswith("data: ") else line.removeprefix("data:")
    if not body.lstrip().startswith("{"):
        return None
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        try:
            value = scrub(json.loads(body, strict=False))
        except (ValueError, RecursionError):
            return None
    return cast(Item, value) if isinstance(value, dict) else None


# -- events around the responses

_LOUD = frozenset(
    {
        "turn.agent_message",
        "turn.agent_message.delta",
        "turn.reasoning",
        "turn.reasoning.delta",
        "turn.reasoning.section_break",
        "turn.response.delta",
        "turn.item.started",
        "turn.item.completed",
        "turn.patch_apply.begin",
        "turn.mcp_tool_call.begin",
        "turn.background_event",
        "turn.diff",
        "turn.started",
    }
)
"""Copies of text, and events that only show that the agent works (formats.md B.2)."""

_QUIET = frozenset(
    {
        "idle",
        "turn.mcp_startup.update",
        "turn.mcp_startup.complete",
        "turn.list_custom_prompts_response",
        "turn.completed",
        "turn.failed",
    }
)


def _prompt(base: Base, row: Item) -> list[Event] | None:
    """`turn.user_message`, a proxy's `codex.user_prompt {prompt}`, the raw one with `text`."""
    given: object = row.get("prompt", row.get("message", row.get("text")))
    if isinstance(given, dict):
        nested = cast(Item, given)
        given = nested.get("message", nested.get("text", nested.get("content")))
    if given is None:
        return None
    text = codex.output_text(given)
    if base[1].agent_id is not None:
        if base[1].agent_id == "side":
            return [Other(*base)]
        return [AgentSaid(*base, base[1].agent_id, description=codex.short(text))]
    return [Prompt(*base, text, optional_text(row.get("message_uuid")) or None)]


def _stopped(base: Base, row: Item) -> list[Event]:
    del row
    return [TurnStop(*base, "turn_end", base[1].agent_id is not None, [])]


def _aborted(base: Base, row: Item) -> list[Event]:
    return [TurnAborted(*base, has_end=True, reason=optional_text(row.get("reason")))]


def _ended(base: Base, row: Item) -> list[Event]:
    del row
    return [SessionEnd(*base, "shutdown_complete")]


def _configured(base: Base, row: Item) -> list[Event]:
    """A resumed session is given its messages again."""
    source = "resume" if row.get("initial_messages") else "new"
    start = SessionStart(*base, source)
    model = optional_text(row.get("model"))
    return [start, Facts(*base, {"model": model})] if model else [start]


def _started(base: Base, row: Item) -> list[Event]:
    alive = Other(*base, is_alive=True, said="turn started")
    window = codex.token_facts({"info": row})
    return [alive, Facts(*base, window)] if window else [alive]


def _tokens(base: Base, row: Item) -> list[Event]:
    values = codex.token_facts(row)
    return [Facts(*base, values) if values else Other(*base)]


def _limits(base: Base, row: Item) -> list[Event]:
    limits = codex.rate_limit(row.get("rate_limits"))
    return [Facts(*base, {"rate_limit": limits}) if limits is not None else Other(*base)]


def _plan(base: Base, row: Item) -> list[Event] | None:
    todo = codex.plan(row.get("plan"))
    return [Facts(*base, {"todo": todo})] if todo is not None else None


# -- results


def _item(base: Base, row: Item) -> list[Event] | None:
    """`turn.raw_response_item`: of what the stream does not hold itself, the results."""
    item = mapping(row.get("item"))
    if codex.kind_of(item) not in codex.OUTPUTS:
        return [Other(*base, is_alive=True)] if item else None
    result = codex.output_result(item)
    if result is None:
        return [Other(*base, is_alive=True)]
    return [ToolResults(*base, [result])]


def _tool_result(base: Base, row: Item) -> list[Event] | None:
    """A proxy tells the result itself, the patched client 2 KiB of it."""
    call = optional_text(row.get("tool_use_id"))
    if call:
        return [ToolResults(*base, [codex.result(call, row.get("content"))])]
    call = optional_text(row.get("call_id"))
    if not call:
        return None
    summary = Result(call, None, codex.output_text(row.get("summary")), is_summary=True)
    return [ToolResults(*base, [summary])]


def _summary(make: Callable[[str, Item], Result]) -> "_Handler":
    def handler(base: Base, row: Item) -> list[Event] | None:
        call = optional_text(row.get("call_id"))
        return [ToolResults(*base, [make(call, row)])] if call else None

    return handler


def _begun(base: Base, row: Item) -> list[Event]:
    command = [text for text in codex.items(row.get("command")) if isinstance(text, str)]
    said = f"runs {command[-1]}" if command else "runs a command"
    return [Other(*base, is_alive=True, said=codex.short(said))]


_Handler = Callable[[Base, Item], list[Event] | None]

_HANDLERS: dict[str, _Handler] = {
    "user_prompt": _prompt,
    "turn.user_message": _prompt,
    "turn.response.completed": _stopped,
    "turn.response.aborted": _aborted,
    "turn.shutdown_complete": _ended,
    "turn.session_configured": _configured,
    "turn.task_started": _started,
    "turn.token_count": _tokens,
    "token_count": _tokens,
    "rate_limits": _limits,
    "turn.plan_update": _plan,
    "turn.raw_response_item": _item,
    "tool_result": _tool_result,
    "turn.exec.begin": _begun,
    "turn.exec.end": _summary(codex.command_summary),
    "turn.patch_apply.end": _summary(codex.change_summary),
    "turn.mcp_tool_call.end": _summary(codex.mcp_summary),
}
