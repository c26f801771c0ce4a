"""`codex exec --json`: events of one run on its standard output (formats.md D.6).

No times, no ids that last: the time is that of the receipt, and an item goes by the place of the
line that first told it, because each run numbers its items from 0. Where one response ends and the
next begins is not told either: what the model says after a tool has returned is another message.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct, field

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Kind,
    Meta,
    Other,
    Result,
    Retry,
    StreamError,
    Told,
    ToldBlock,
    ToolResults,
    TurnStop,
    Unknown,
)
from agentmon.sources import codex_items as codex
from agentmon.sources.codex_items import Item, text_of
from agentmon.sources.decoding import (
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
from agentmon.sources.payloads import Base, compact

_KIND: Kind = "stream"
_META = Meta("codex", kind=_KIND)
_FLOW = "codex-exec"

MAX_ITEMS = 256
"""Items that are remembered until they are over."""

_STARTS = ("thread.started", "thread.resumed")
_ITEMS = ("item.started", "item.created", "item.updated", "item.completed")
_TYPES = frozenset({*_STARTS, *_ITEMS, "turn.started", "turn.completed", "turn.failed"})

_TOOLS = {
    "command_execution": ("command",),
    "file_change": ("changes",),
    "mcp_tool_call": ("arguments",),
    "collab_tool_call": ("tool", "prompt", "receiver_thread_ids"),
    "web_search": ("query", "action"),
}
"""Items that are calls, and what of them was given to the tool."""

_RETRY = re.compile(r"Reconnecting\.\.\. (\d{1,4})/(\d{1,4})\b")


class _Memory(Struct):
    """What a line depends on."""

    sid: str = ""
    group: str = ""
    running: int = 0
    """Calls of the open message without a result."""
    is_answered: bool = False
    items: dict[str, str] = field(default_factory=dict[str, str])
    """Our name of an item that was told, by its number in the run; "" once it is over."""
    total: dict[str, int] = field(default_factory=dict[str, int])
    """Tokens of the thread so far: they are told as sums."""


class ExecDecoder(RecordDecoder):
    """Decodes the output of one run, or of several one after the other."""

    def __init__(self, context: Context) -> None:
        self._receipt = context.receipt
        self._memory = _Memory()
        if context.state:
            with suppress(msgspec.DecodeError):
                self._memory = msgspec.json.decode(context.state, type=_Memory)
        self._handlers: dict[str, Callable[[Base, Record], list[Event] | None]] = {
            "turn.started": self._turn_started,
            "turn.completed": self._turn_completed,
            "turn.failed": self._turn_failed,
            "error": self._error,
            **dict.fromkeys(_STARTS, self._started),
            **dict.fromkeys(_ITEMS, self._item),
        }

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of a record that is parsed already."""
        memory, kind = self._memory, text_of(row.get("type"))
        if kind in _STARTS:
            thread_id = text_of(row.get("thread_id"))
            total = memory.total if thread_id == memory.sid else {}
            sid = thread_id if is_uuid(thread_id) else ""
            memory = self._memory = _Memory(sid, total=total)
        if not memory.sid:
            return [malformed("sid is not a UUID", raw, offset)]
        count, digest = line_key(b"%s:%d:%s" % (memory.sid.encode(), offset, raw))
        base = (memory.sid, _META, _FLOW, count, None, self._receipt(), digest)
        handler = self._handlers.get(kind)
        try:
            events = handler(base, row) if handler is not None else None
        except RecursionError:
            return [malformed("nested too deep", raw, offset)]
        if events is None:
            return [Unknown(*base, kind or None, raw, len(raw), offset)]
        return [*events]

    def save(self) -> bytes:
        """The thread, its open message and items."""
        return msgspec.json.encode(self._memory) if self._memory.sid else b""

    # -- turns

    def _started(self, base: Base, row: Record) -> list[Event]:
        del row
        return [Other(*base, said="run started")]

    def _turn_started(self, base: Base, row: Record) -> list[Event]:
        del row
        self._close()
        return [Other(*base, is_alive=True, said="turn started")]

    def _turn_completed(self, base: Base, row: Record) -> list[Event]:
        """The tokens of the turn go to its last message: nobody tells whose they are."""
        usage = self._turn_usage(codex.usage(row.get("usage")))
        group = self._close()
        told = [self._told(base, group, usage=usage, is_done=True)] if group else []
        return [*told, TurnStop(*base, "turn_end", False, [])]

    def _turn_usage(self, total: dict[str, int]) -> dict[str, int]:
        memory = self._memory
        before, memory.total = memory.total, total
        if any(count < before.get(name, 0) for name, count in total.items()):
            return total  # they began anew
        return {name: count - before.get(name, 0) for name, count in total.items()}

    def _turn_failed(self, base: Base, row: Record) -> list[Event]:
        message = text_of(mapping(row.get("error")).get("message")) or text_of(row.get("message"))
        group = self._close()
        if group:
            failed: Event = self._told(base, group, error=message or "failed")
        else:
            failed = StreamError(*base, None, "error", message)
        return [failed, TurnStop(*base, "turn_end", False, [])]

    def _error(self, base: Base, row: Record) -> list[Event]:
        message = text_of(row.get("message"))
        found = _RETRY.match(message)
        if found is None:
            return [StreamError(*base, None, "error", message)]
        return [Retry(*base, "stream_error", message, None, int(found[1]), int(found[2]))]

    # -- items

    def _item(self, base: Base, row: Record) -> list[Event] | None:
        item = mapping(row.get("item"))
        kind = text_of(item.get("type")) or text_of(item.get("item_type"))
        is_over = row.get("type") == "item.completed"
        if kind in ("agent_message", "assistant_message", "reasoning"):
            return self._text(base, item, kind) if is_over else [Other(*base, is_alive=True)]
        if kind in _TOOLS:
            return self._tool(base, item, kind, is_over=is_over)
        if kind == "todo_list":
            return [Facts(*base, {"todo": _todo(item)})]
        if kind == "error":
            return [Other(*base, said=codex.short(text_of(item.get("message"))))]
        return None

    def _text(self, base: Base, item: Item, kind: str) -> list[Event]:
        memory = self._memory
        events = self._next(base) if memory.is_answered else []
        block_type = "thinking" if kind == "reasoning" else "text"
        block = ToldBlock(None, block_type, None, None, text_of(item.get("text")), _name(base))
        return [*events, self._told(base, self._open(base), blocks=[block])]

    def _tool(self, base: Base, item: Item, kind: str, *, is_over: bool) -> list[Event]:
        memory = self._memory
        number = text_of(item.get("id"))
        events: list[Event] = []
        call = memory.items.get(number)
        if call is None:
            # calls that run side by side are of one message
            events += self._next(base) if memory.is_answered and not memory.running else []
            call = _name(base)
            self._note(number, call)
            memory.running += 1
            group = self._open(base)
            events.append(self._told(base, group, blocks=[_call(item, kind, call)]))
            events += _agents(base, item, call)
        elif not call:
            return [Other(*base)]
        if not is_over:
            return events or [Other(*base, is_alive=True)]
        self._note(number, "")
        memory.running = max(0, memory.running - 1)
        memory.is_answered = True
        return [
            *events,
            ToolResults(*base, [_result(item, kind, call)]),
            *_agents(base, item, None),
        ]

    def _note(self, number: str, name: str) -> None:
        items = self._memory.items
        items[number] = name
        if len(items) > MAX_ITEMS:
            del items[next(iter(items))]

    # -- messages

    def _open(self, base: Base) -> str:
        """The message that items go to now."""
        memory = self._memory
        if not memory.group:
            memory.group = f"syn:{_name(base)}"
        return memory.group

    def _close(self) -> str:
        memory = self._memory
        group, memory.group = memory.group, ""
        memory.running, memory.is_answered = 0, False
        return group

    def _next(self, base: Base) -> list[Event]:
        """The model had its answer: what comes now is another message."""
        group = self._close()
        return [self._told(base, group, is_done=True)] if group else []

    def _told(
        self,
        base: Base,
        group: str,
        *,
        usage: dict[str, int] | None = None,
        blocks: list[ToldBlock] | None = None,
        is_done: bool = False,
        error: str | None = None,
    ) -> Told:
        return Told(
            *base,
            None,
            "",
            group,
            "assistant",
            None,
            None,
            usage or {},
            blocks or [],
            is_done=is_done,
            error=error,
        )


def _name(base: Base) -> str:
    """A name for what a line begins: the run's thread, and the key of the line."""
    return f"exec:{base[0]}:{base[3]:x}"


def _call(item: Item, kind: str, call: str) -> ToldBlock:
    given = {name: item[name] for name in _TOOLS[kind] if item.get(name) is not None}
    if kind == "mcp_tool_call":
        name = ".".join(filter(None, (text_of(item.get("server")), text_of(item.get("tool")))))
        arguments: object = item.get("arguments")
        text = compact(arguments) if arguments is not None else ""
        return ToldBlock(None, "tool_use", call, name or kind, text, call)
    return ToldBlock(None, "tool_use", call, kind, compact(given) if given else "", call)


def _result(item: Item, kind: str, call: str) -> Result:
    if kind == "mcp_tool_call":
        found = codex.mcp_summary(call, item)
    else:
        found = codex.command_summary(call, item)
    return Result(call, found.is_error, found.text)


def _agents(base: Base, item: Item, call: str | None) -> list[Event]:
    """Who a `spawn_agent` call started (`call`), or how agents are when a call has ended."""
    is_spawn = item.get("tool") == codex.SPAWN
    states = mapping(item.get("agents_states"))
    receivers = [text_of(one) for one in codex.items(item.get("receiver_thread_ids"))]
    asked = codex.short(text_of(item.get("prompt"))) if is_spawn else None
    events: list[Event] = []
    for one in dict.fromkeys([*receivers, *states]):
        status = codex.agent_status(mapping(states.get(one)).get("status"))
        if one and (is_spawn or status is not None):
            events.append(AgentSaid(*base, one, call if is_spawn else None, None, asked, status))
    return events


def _todo(item: Item) -> list[object]:
    rows = [mapping(row) for row in codex.items(item.get("items"))]
    return [
        {
            "text": text_of(row.get("text")),
            "status": "completed" if row.get("completed") is True else "pending",
        }
        for row in rows
        if row
    ]


def _knows(rows: Sequence[Record]) -> bool:
    return any(
        text_of(row.get("type")) in _TYPES and "event" not in row and "sid" not in row
        for row in rows
    )


FORMAT = Format("codex-exec", _KIND, "output of codex exec --json", _knows, ExecDecoder)
