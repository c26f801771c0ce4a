"""Pieces of `claude -p --output-format stream-json` records, and of the API's own stream events.

Pure helpers: what a value of a record means, and the state that a decoder keeps of its input so
that a restart in the middle goes on as if there had been none (formats.md E, F.1).
"""

from collections.abc import Sequence
from typing import Any, cast

from msgspec import Struct, field

from agentmon.core.events import Event, Told, ToldBlock, WholeBlock
from agentmon.sources.decoding import Record, mapping
from agentmon.sources.payloads import BUILDERS, Base, Head
from agentmon.sources.transcript_records import INTERRUPTS, NOTHING_SAID, SYNTHETIC_MODEL, todo_list

API_EVENTS = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)
"""Events of an Anthropic stream (formats.md F.1)."""

CUT_OFF = "Your response above was cut off mid-stream"
"""How the client asks on after a stream that broke (capture: a synthetic user record)."""


def items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 2**53 else None


def whole_number(value: object) -> int | None:
    found = number(value)
    return int(found) if found is not None else None


def api_event(base: Base, payload: Record, request_id: str | None) -> Event | None:
    """The event of one object of an Anthropic stream; None for one that this version can't use."""
    kind = payload.get("type")
    if not isinstance(kind, str) or kind not in API_EVENTS:
        return None
    name = f"claude.{kind}"
    return BUILDERS[name](Head(name, base), {**payload, "request_id": request_id})


def is_cut_off(content: object) -> bool:
    """Whether the client asks for the rest of a message that broke off."""
    parts = [content] if isinstance(content, str) else items(content)
    texts = [part if isinstance(part, str) else mapping(part).get("text") for part in parts]
    return any(isinstance(text, str) and text.startswith(CUT_OFF) for text in texts)


def told_blocks(
    blocks: list[WholeBlock], indexes: Sequence[int | None], item_id: str
) -> list[ToldBlock]:
    """`item_id` names the record; its second block and the ones behind it add their place in it."""
    return [
        ToldBlock(
            index,
            block.block_type,
            block.tool_use_id,
            block.tool_name,
            block.text,
            item_id if at == 0 else f"{item_id}:{at}",
        )
        for at, (index, block) in enumerate(zip(indexes, blocks, strict=True))
    ]


def is_nothing(blocks: list[WholeBlock]) -> bool:
    """Whether a message of the client's own only says that there is none."""
    return [block.text.strip() for block in blocks] in ([NOTHING_SAID], *([i] for i in INTERRUPTS))


def note_error(told: Told, error: str | None) -> None:
    """Of a message that the client wrote itself: an error in place of an answer, no tokens."""
    if error is not None:
        text = told.blocks[0].text if told.blocks else ""
        told.error = text or error
    if told.model == SYNTHETIC_MODEL:
        told.model = told.stop_reason = None
        told.usage = {}
        told.is_done = True


def todo_of(blocks: list[object]) -> list[dict[str, str]] | None:
    """The todo list that a TodoWrite call writes, if one of the blocks is such a call."""
    for block in map(mapping, blocks):
        if block.get("type") == "tool_use" and block.get("name") == "TodoWrite":
            return todo_list(mapping(block.get("input")).get("todos"))
    return None


def context_window(usage: object, model: str | None) -> int | None:
    """Tokens that the main model takes, out of a result's `modelUsage`."""
    found: dict[str, Any] = mapping(usage)
    named = mapping(found.get(model or ""))
    sizes = [whole_number(mapping(one).get("contextWindow")) for one in found.values()]
    own = whole_number(named.get("contextWindow"))
    return own or max((size for size in sizes if size), default=None)


class Part(Struct):
    """What is known of one message's way through the stream."""

    count: int = 0
    """Events so far."""
    next_index: int = 0
    untold: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """(index, type) of blocks that began in events and have not been told whole yet."""
    told: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """The indexes that each `assistant` line gave, by the line's digest."""
    has_events: bool = False
    is_done: bool = False
    """A stop reason was said."""
    held: tuple[int, float] | None = None
    """Index and time of a block's stop that was not passed on yet."""

    def place(self, digest: int, types: list[str]) -> list[int]:
        """The indexes of blocks told by one line: those that began in events, else the next."""
        known = self.told.get(digest)
        if known is not None and len(known) == len(types):
            return known
        indexes = [self._place(block_type) for block_type in types]
        self.told[digest] = indexes
        return indexes

    def _place(self, block_type: str) -> int:
        for at, (index, began_as) in enumerate(self.untold):
            if began_as == block_type:
                del self.untold[at]
                return index
        self.next_index += 1
        return self.next_index - 1

    def begin(self, index: int, block_type: str) -> None:
        self.untold.append((index, block_type))
        self.next_index = max(self.next_index, index + 1)


class Memory(Struct):
    """What a decoder remembers of its input."""

    sid: str = ""
    version: str | None = None
    cwd: str | None = None
    model: str | None = None
    lag: float = 0.0
    """Seconds between the newest record's own time and its receipt, which was `measured`."""
    measured: float = 0.0
    started: list[str] = field(default_factory=list[str])
    """Sessions whose start was told."""
    source: str = ""
    """How the next session begins."""
    open: dict[str, str] = field(default_factory=dict[str, str])
    """The newest message of each thread, by `parent_tool_use_id` ("" for the main one)."""
    parts: dict[str, Part] = field(default_factory=dict[str, Part])
    agents: dict[str, str] = field(default_factory=dict[str, str])
    """Subagents by the call that started them."""
    said: dict[str, list[str | None]] = field(default_factory=dict[str, list[str | None]])
    """What was told of each subagent last."""
    background: list[str] = field(default_factory=list[str])
    """Tasks that go on beside the turn."""
    compactions: int = 0
    is_aborted: bool = False
    """The running turn was given up, and that was told."""

    def part(self, message_id: str, *, fresh: bool = False) -> Part:
        """The message's state; only the newest few are kept."""
        found = None if fresh else self.parts.get(message_id)
        if found is None:
            self.parts.pop(message_id, None)
            found = self.parts[message_id] = Part()
            shrink(self.parts, 16)
        return found

    def begin(self, thread: str, message_id: str) -> None:
        """A message is the newest of its thread."""
        self.open.pop(thread, None)
        self.open[thread] = message_id
        shrink(self.open, 64)

    def agent_of(self, parent: str | None, agent_id: str | None) -> str | None:
        """The subagent that a record is about; where only its call is known, that names it."""
        if parent is None:
            return agent_id
        known = self.agents.get(parent)
        if known is None:
            known = self.agents[parent] = agent_id or parent
            shrink(self.agents, 64)
        return agent_id or known


def shrink(kept: dict[str, Any], size: int) -> None:
    while len(kept) > size:
        del kept[next(iter(kept))]
