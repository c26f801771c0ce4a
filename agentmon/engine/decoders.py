"""Which decoder reads which input, and what it knew when the input was last left.

An input is recognised by its first lines. Some decoders remember lines (which session a rollout is
of, which block comes next); what they remember is stored with the position, so that a restart goes
on as if there had been none.
"""

import os
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeAlias

from msgspec import Struct

from agentmon.sources import formats
from agentmon.sources.decoding import Context, LineDecoder
from agentmon.sources.identity import SourceState
from agentmon.sources.lines import HugeLine, Line, Rows
from agentmon.sources.sse_lines import Decoder
from agentmon.store.statements import SourceValues

AnyDecoder: TypeAlias = LineDecoder | Decoder

DEFAULT = "sse-lines"
LOG_NAME = "sse_lines.jsonl"

_SAMPLE_LINES = 50
_SAMPLE_BYTES = 64 << 10


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

    def of(self, state: SourceState, rows: Rows, *, is_given: bool) -> Decoding | None:
        """The decoder for lines of an input; None where nobody knows what they are.

        What a person named is read as a wire log then: its lines are counted as bad, not lost.
        """
        found = self._open.get(state.key)
        if found is not None and found.generation == state.generation:
            return found
        left = self._left.get(state.key)
        if left is not None and left.generation == state.generation:
            name, saved = left.format, left.state
            known = formats.by_name(name)
        else:
            saved = b""
            known = (
                formats.by_name(self._forced)
                if self._forced
                else formats.recognise(_sample(rows), strict=not is_given)
            )
        if known is None:
            if not is_given and os.path.basename(state.path) != LOG_NAME:
                return None
            known = formats.by_name(DEFAULT)
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


def _sample(rows: Rows) -> bytes:
    """The first lines, as far as they are needed to know what they are."""
    sample = bytearray()
    for row in islice(rows.items, _SAMPLE_LINES):
        if isinstance(row, HugeLine):
            sample += row.head
        else:
            sample += row.data if isinstance(row, Line) else row
        sample += b"\n"
        if len(sample) >= _SAMPLE_BYTES:
            break
    return bytes(sample)
