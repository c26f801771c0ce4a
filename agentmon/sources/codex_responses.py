"""Events of the OpenAI Responses stream, response by response (formats.md F.2, B.3, B.4).

Deltas carry no response id: they belong to the response of their item, else to the open one whose
`sequence_number` goes on here (of two the one begun last), else to the current one (design.md 7).
What is remembered for that is bounded and can be saved.
"""

from collections.abc import Callable

from msgspec import Struct, field

from agentmon.core.events import (
    AgentSaid,
    BlockStart,
    BlockStop,
    Delta,
    Event,
    MessageStart,
    Ping,
    Result,
    StreamError,
    Told,
    ToldBlock,
    ToolResults,
)
from agentmon.sources import codex_items as codex
from agentmon.sources.codex_items import Item, index_of, text_of
from agentmon.sources.decoding import mapping
from agentmon.sources.payloads import Base, optional_text

MAX_OPEN = 32
"""Responses of one process whose end is awaited; of more, the oldest is taken for lost."""

MAX_ENDED = 2
"""Responses that are remembered after their end, for lines that come late."""

MAX_ITEMS = 128
"""Items of a response whose ids are remembered."""

MAX_SPAWNS = 16
"""Calls that start a subagent and are not answered yet."""


class Response(Struct):
    """A response as far as it was seen."""

    id: str
    flow: str = ""
    """The flow_id that it was first written under."""
    is_named: bool = True
    """Whether the id is the API's; else its rows go by their flow_id, for want of it."""
    is_begun: bool = False
    is_ended: bool = False
    next: int = -1
    """The `sequence_number` that would go on from the last one."""
    items: dict[str, int] = field(default_factory=dict[str, int])
    """`output_index` by item id."""

    @property
    def request_id(self) -> str | None:
        return self.id if self.is_named else None


class Process(Struct):
    """The responses of one process, those begun last at the end."""

    responses: dict[str, Response] = field(default_factory=dict[str, Response])
    current: str = ""
    spawns: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """What the subagent shall do, by the id of the call that starts it."""

    def begin(self, response_id: str, flow: str, *, is_named: bool) -> Response:
        """The response of that name."""
        found = self.responses.get(response_id)
        if found is None:
            found = Response(response_id, flow, is_named)
            self.responses[response_id] = found
            self._forget(is_ended=True, limit=MAX_ENDED)
            self._forget(is_ended=False, limit=MAX_OPEN)
        return found

    def _forget(self, *, is_ended: bool, limit: int) -> None:
        names = [name for name, one in self.responses.items() if one.is_ended is is_ended]
        for name in names[:-limit]:
            del self.responses[name]

    def written(self, flow: str) -> Response | None:
        """The response whose rows are written under a flow_id of its own."""
        for one in reversed(self.responses.values()):
            if flow in (one.id, one.flow):
                return one
        return None

    def find(self, item_id: str | None, sequence: int | None) -> Response | None:
        """The response of an event that names none."""
        begun_last_first = [*reversed(self.responses.values())]
        if item_id is not None:
            for one in begun_last_first:
                if item_id in one.items:
                    return one
        if sequence is not None:
            for one in begun_last_first:
                if not one.is_ended and one.next == sequence:
                    return one
        return self.responses.get(self.current)


def events(process: Process, kind: str, base: Base, row: Item) -> list[Event] | None:
    """The events of a `response.*` or `error` event; None for one that this version does not know.

    `base.flow` is what the row was written under; it names the response where nothing else does.
    """
    if kind == "error":
        return _error(process, base, row)
    response = mapping(row.get("response"))
    item = mapping(row.get("item"))
    sequence = index_of(row.get("sequence_number"))
    response_id = optional_text(response.get("id")) or None
    item_id = optional_text(row.get("item_id")) or optional_text(item.get("id")) or None
    is_part = item_id is not None or index_of(row.get("output_index")) is not None
    handler = _HANDLERS.get(kind)
    is_text = kind in _TEXT_DELTAS or kind in _TEXT_DONE
    if not (handler or is_text or is_part or kind in _QUIET):
        return None
    found = _response(process, base, response_id, item_id, sequence)
    base = _under(base, found, sequence)
    if kind in _BEGINNINGS and (kind == "response.created" or not found.is_begun):
        return [_start(found, base, response)]
    if handler is not None:
        return handler(process, found, base, row)
    return _text(found, kind, base, row) if is_text else [Ping(*base, found.request_id)]


def _is_own(base: Base) -> bool:
    """Whether a row is written under a flow_id of its response: a proxy does so, the patched
    client writes all responses of a session under one."""
    sid, flow = base[0], base[2]
    return flow not in _PLACEHOLDERS and not flow.startswith(sid)


def _response(
    process: Process, base: Base, response_id: str | None, item_id: str | None, sequence: int | None
) -> Response:
    flow = base[2]
    found = None
    if response_id is None and _is_own(base):
        found = process.written(flow)
        if found is None:
            by_item = process.find(item_id, None)
            found = by_item if by_item is not None and item_id in by_item.items else None
    elif response_id is None:
        found = process.find(item_id, sequence)
    if found is None:
        is_named = response_id is not None or _is_own(base)
        stand_in = f"{flow or 'unknown'}:{base[0]}" if flow in _PLACEHOLDERS else flow
        found = process.begin(response_id or stand_in, flow, is_named=is_named)
    process.current = found.id
    return found


def _under(base: Base, found: Response, sequence: int | None) -> Base:
    """The event's key: its response, and its place in that."""
    sid, meta, _, count, round_id, time, digest = base
    if sequence is not None:
        found.next = sequence + 1
        count = sequence
    return sid, meta, found.id, count, round_id, time, digest


# -- beginnings and ends

_PLACEHOLDERS = frozenset({"", "unknown", "idle"})
_BEGINNINGS = frozenset({"response.created", "response.in_progress", "response.queued"})
_QUIET = _BEGINNINGS | {"response.metadata"}


def _start(found: Response, base: Base, response: Item) -> Event:
    found.is_begun = True
    model = optional_text(response.get("model"))
    counts = codex.usage(response.get("usage"))
    return MessageStart(*base, found.request_id, found.id, "assistant", model, counts)


def _over(process: Process, found: Response, base: Base, row: Item) -> list[Event]:
    """`response.completed` and `.incomplete`, which repeat the whole response."""
    del process
    response = mapping(row.get("response"))
    found.is_ended = True
    reason = mapping(response.get("incomplete_details")).get("reason")
    told = Told(
        *base,
        found.request_id,
        found.id,
        "",
        "assistant",
        optional_text(response.get("model")),
        optional_text(reason),
        codex.usage(response.get("usage")),
        _whole(found, response),
        is_done=True,
        has_end=True,
    )
    return [told]


def _whole(found: Response, response: Item) -> list[ToldBlock]:
    """The blocks of a finished response. Its place in the list is an item's index, unless the item
    was seen at another: proxies leave items out."""
    seen = set(found.items.values())
    blocks: list[ToldBlock] = []
    for at, one in enumerate(codex.items(response.get("output"))):
        item = mapping(one)
        item_id = optional_text(item.get("id"))
        index = found.items.get(item_id or "")
        if codex.is_output_of_model(item) and (index is not None or not seen):
            place = at if index is None else index
            blocks.append(codex.told_block(item, place, item_id, exact=True))
    return blocks


def _failed(process: Process, found: Response, base: Base, row: Item) -> list[Event]:
    del process
    response = mapping(row.get("response"))
    found.is_ended = True
    error = mapping(response.get("error"))
    code = optional_text(error.get("code")) or text_of(response.get("status")) or "error"
    return [StreamError(*base, found.request_id, code, text_of(error.get("message")))]


def _error(process: Process, base: Base, row: Item) -> list[Event]:
    """An error in place of the stream, or of a request that got none (`error`, or bare)."""
    error = mapping(row.get("error")) or row
    current = process.responses.get(process.current)
    found = process.written(base[2]) if _is_own(base) else current
    request_id = None
    if found is not None and not found.is_ended:
        found.is_ended = True
        base = _under(base, found, index_of(row.get("sequence_number")))
        request_id = found.request_id
    code = optional_text(error.get("code")) or optional_text(error.get("type")) or "error"
    return [StreamError(*base, request_id, code, text_of(error.get("message")))]


# -- items


def _place(found: Response, row: Item) -> int | None:
    """The block's index: as written, else that of its item, else of the newest one."""
    index = index_of(row.get("output_index"))
    if index is None:
        index = found.items.get(text_of(row.get("item_id")))
    return index if index is not None else next(reversed(found.items.values()), None)


def _added(process: Process, found: Response, base: Base, row: Item) -> list[Event] | None:
    item, index = mapping(row.get("item")), index_of(row.get("output_index"))
    if index is None or not codex.kind_of(item):
        return None
    item_id = optional_text(item.get("id"))
    _note(process, found, item, index)
    if not codex.is_output_of_model(item):
        return [Ping(*base, found.request_id)]
    block_type, tool_use_id, tool_name = codex.described(item)
    request_id = found.request_id
    return [BlockStart(*base, request_id, index, block_type, tool_use_id, tool_name, "", item_id)]


def _note(process: Process, found: Response, item: Item, index: int) -> None:
    item_id = optional_text(item.get("id"))
    if item_id:
        found.items[item_id] = index
        if len(found.items) > MAX_ITEMS:
            del found.items[next(iter(found.items))]
    call = optional_text(item.get("call_id"))
    if call and item.get("name") == codex.SPAWN:
        process.spawns[call] = codex.asked_of(codex.json_object(item.get("arguments")))
        while len(process.spawns) > MAX_SPAWNS:
            del process.spawns[next(iter(process.spawns))]


def _item_done(process: Process, found: Response, base: Base, row: Item) -> list[Event] | None:
    """The truth of a block: it repeats everything that its deltas said."""
    item, index = mapping(row.get("item")), index_of(row.get("output_index"))
    if index is None or not codex.kind_of(item):
        return None
    _note(process, found, item, index)
    if not codex.is_output_of_model(item):
        result = codex.output_result(item) if codex.kind_of(item) in codex.OUTPUTS else None
        return [
            ToolResults(*base, [result]) if result is not None else Ping(*base, found.request_id)
        ]
    block = codex.told_block(item, index, optional_text(item.get("id")), exact=True)
    made: list[Event] = [_told(found, base, block), BlockStop(*base, found.request_id, index)]
    result = codex.server_result(item)
    if result is not None:
        made.append(ToolResults(*base, [result]))
    return made


def _told(found: Response, base: Base, block: ToldBlock) -> Event:
    return Told(*base, found.request_id, found.id, "", "assistant", None, None, {}, [block])


_TEXT_DELTAS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
    }
)

_TEXT_DONE = {
    "response.output_text.done": ("text", "text"),
    "response.function_call_arguments.done": ("tool_use", "arguments"),
    "response.custom_tool_call_input.done": ("tool_use", "input"),
    "response.mcp_call_arguments.done": ("tool_use", "arguments"),
}
"""Block type and field of what repeats a block's text. A part of a summary is not all of it."""


def _text(found: Response, kind: str, base: Base, row: Item) -> list[Event] | None:
    index = _place(found, row)
    if index is None:
        return None
    if kind in _TEXT_DELTAS:
        return [Delta(*base, found.request_id, index, text_of(row.get("delta")))]
    block_type, name = _TEXT_DONE[kind]
    text = row.get(name)
    is_first = index_of(row.get("content_index")) in (None, 0)
    if not isinstance(text, str) or not is_first:
        return [Ping(*base, found.request_id)]
    # A message may have further parts: only its item says that this is all.
    exact = block_type == "tool_use"
    block = ToldBlock(index, block_type, None, None, text, optional_text(row.get("item_id")), exact)
    return [_told(found, base, block)]


_Handler = Callable[[Process, Response, Base, Item], list[Event] | None]

_HANDLERS: dict[str, _Handler] = {
    "response.output_item.added": _added,
    "response.output_item.done": _item_done,
    "response.completed": _over,
    "response.incomplete": _over,
    "response.failed": _failed,
    "response.cancelled": _failed,
}


def spawned(process: Process, base: Base, result: Result) -> list[Event]:
    """Which subagent a call has started, told by its result."""
    call = result.tool_use_id
    if call not in process.spawns or result.is_summary:
        return []
    asked = process.spawns.pop(call)
    agent_id, nickname = codex.agent_of(result.text)
    return [AgentSaid(*base, agent_id, call, nickname, asked)] if agent_id else []
