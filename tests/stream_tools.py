"""What several tests of line formats need: decoding whole files, and messages put together."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec import Struct, field

from agentmon.core.events import (
    BlockStart,
    Delta,
    MessageDelta,
    MessageStart,
    Told,
)
from agentmon.sources.decoding import Context, Decoded, Format, LineDecoder

DATA = Path(__file__).parent / "data" / "streams"
SHARED = Path(__file__).parents[1].parent / "shared"
NOW = 1_800_000_000.0
"""When all bytes of these tests are received."""

T = TypeVar("T")


def context(state: bytes = b"", receipt: Callable[[], float] = lambda: NOW) -> Context:
    return Context("/log", receipt, state)


def decoder(form: Format, state: bytes = b"") -> LineDecoder:
    return form.open(context(state))


def decode(form: Format, data: bytes) -> list[Decoded]:
    """Every event of a file, its last line too."""
    one = decoder(form)
    return [event for line, offset in lines(data) for event in one.decode(line, offset)]


def lines(data: bytes) -> Iterable[tuple[bytes, int]]:
    at = 0
    for line in data.split(b"\n"):
        yield line.removesuffix(b"\r"), at
        at += len(line) + 1


def decode_in_parts(form: Format, data: bytes) -> list[Decoded]:
    """The same by a new decoder for each line, which knows of the others what was saved."""
    state, out = b"", list[Decoded]()
    for line, offset in lines(data):
        one = decoder(form, state)
        out += one.decode(line, offset)
        state = one.save()
    return out


def of(events: Sequence[object], *kinds: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kinds)]


def words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


def json_values() -> st.SearchStrategy[object]:
    """Values of any shape, to stand where another was expected."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=6,
    )


class Whole(Struct):
    """A message as its events tell it."""

    texts: dict[int, str] = field(default_factory=dict[int, str])
    types: dict[int, str] = field(default_factory=dict[int, str])
    calls: dict[int, str | None] = field(default_factory=dict[int, str | None])
    usage: dict[str, int] = field(default_factory=dict[str, int])
    stop_reason: str | None = None

    def add_usage(self, more: dict[str, int]) -> None:
        self.usage = {**self.usage, **{k: max(v, self.usage.get(k, 0)) for k, v in more.items()}}


def streamed(events: Iterable[object]) -> dict[str, Whole]:
    """Messages by their id, out of what streamed."""
    out: dict[str, Whole] = {}
    for event in events:
        if isinstance(event, MessageStart):
            out.setdefault(event.message_id, Whole()).add_usage(event.usage)
            continue
        if not isinstance(event, BlockStart | Delta | MessageDelta):
            continue
        message = out.setdefault(event.flow, Whole())
        if isinstance(event, BlockStart):
            message.types[event.index] = event.block_type
            message.calls[event.index] = event.tool_use_id
            message.texts[event.index] = event.text
        elif isinstance(event, Delta):
            message.texts[event.index] = message.texts.get(event.index, "") + (event.text or "")
        else:
            message.stop_reason = event.stop_reason or message.stop_reason
            message.add_usage(event.usage)
    return out


def told(events: Iterable[object]) -> dict[str, Whole]:
    """Messages by their id, out of what was told whole; a block without an index is the next."""
    out: dict[str, Whole] = {}
    for event in events:
        if isinstance(event, Told):
            message = out.setdefault(event.message_id or event.group, Whole())
            message.add_usage(event.usage)
            message.stop_reason = event.stop_reason or message.stop_reason
            for block in event.blocks:
                index = len(message.texts) if block.index is None else block.index
                message.texts[index] = block.text
                message.types[index] = block.block_type
                message.calls[index] = block.tool_use_id
    return out


def key(event: Any) -> tuple[object, ...]:
    """What makes a line the same line when it comes again."""
    return event.sid, event.meta.pid, event.flow, event.count, event.digest
