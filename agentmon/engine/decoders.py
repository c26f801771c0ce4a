"""Which decoder reads which input, and what it knew when the input was last left.

An input is recognised by its first lines. Some decoders remember lines (which session a rollout is
of, which block comes next); what they remember is stored with the position, so that a restart goes
on as if there had been none.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct

from agentmon.sources import formats
from agentmon.sources.decoding import Context, LineDecoder
from agentmon.sources.identity import SourceState
from agentmon.sources.lines import Rows
from agentmon.sources.sse_lines import Decoder
from agentmon.store.statements import SourceValues

AnyDecoder: TypeAlias = LineDecoder | Decoder


class Decoding(Struct):
    """A decoder at work on one generation of an input."""

    format: str
    generation: int
    decoder: AnyDecoder


class _Left(Struct, frozen=True):
    """How an input was left."""

    generation: int
    format: str
    state: bytes


class Decoders:
    """`receipt` says when the bytes at hand were received; `forced` is what `--format` names."""

    def __init__(
        self,
        known: Iterable[SourceValues],
        receipt: Callable[[], float],
        forced: str | None = None,
    ) -> None:
        self._receipt = receipt
        self._forced = forced
        self._open: dict[str, Decoding] = {}
        self._left = {
            key_of(values): _Left(values.generation, values.format, values.decoder)
            for values in known
            if values.format is not None
        }

    def of(
        self, state: SourceState, rows: Rows, *, is_given: bool, told: str | None = None
    ) -> Decoding | None:
        """The decoder for lines of an input, of the format that its source told, if it did; None
        where nobody knows what they are (see `formats.of_input`)."""
        found = self._open.get(state.key)
        if found is not None and found.generation == state.generation:
            return found
        left = self._left.get(state.key)
        if left is not None and left.generation == state.generation:
            name, saved = left.format, left.state
            known = formats.by_name(name)
        else:
            saved = b""
            known = formats.of_input(
                rows.items, state.path, is_given=is_given, forced=told or self._forced
            )
        if known is None:
            return None
        decoder = known.open(Context(state.path, self._receipt, saved))
        found = self._open[state.key] = Decoding(known.name, state.generation, decoder)
        return found

    def save(self, state: SourceState) -> tuple[str | None, bytes]:
        """(format, what its decoder remembers) after the lines up to a state."""
        found, left = self._open.get(state.key), self._left.get(state.key)
        if found is not None and found.generation == state.generation:
            left = _Left(found.generation, found.format, found.decoder.save())
            self._left[state.key] = left
        elif left is None or left.generation != state.generation:
            return None, b""
        return left.format, left.state


def key_of(values: SourceValues) -> str:
    return state_of(values).key


def state_of(values: SourceValues) -> SourceState:
    return SourceState(
        values.path,
        "pipe" if values.kind == "pipe" else "file",
        values.dev,
        values.inode,
        values.head_size,
        values.head_hash,
        values.anchor,
        values.position,
        values.generation,
        values.tail_bytes,
    )
