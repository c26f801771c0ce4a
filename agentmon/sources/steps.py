"""What the parts of a wire log say, step by step, and how they are gone through.

A block is through before the next is cut: what is made of it stays in a core's cache.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

from msgspec import Struct

from agentmon.core.events import Event
from agentmon.core.runs import Run
from agentmon.sources.lines import Block, Part, Piece, size_of


class Odd(Struct, gc=False):
    """A line that `decode` has to look at when its turn comes: of which part, and how many bytes
    of that are before it."""

    row: bytes | Piece
    part: int
    before: int


Step: TypeAlias = Event | Run | Odd
"""What is taken at once."""


class Stretch(Struct, gc=False):
    """Lines that are decoded at once: those of a block, or the ones between blocks."""

    rows: Sequence[bytes | Piece]
    part: int
    """The first of its parts."""
    is_block: bool
    _at: int = 0
    _before: int = 0

    @property
    def end(self) -> int:
        """The part after it."""
        return self.part + (1 if self.is_block else len(self.rows))

    def odd(self, at: int) -> Odd:
        """Cheap for one line after the other."""
        if not self.is_block:
            return Odd(self.rows[at], self.part + at, 0)
        self._before += sum(map(size_of, self.rows[self._at : at]))
        self._at = at
        return Odd(self.rows[at], self.part, self._before)


class Steps(Struct):
    """What parts say, in the order in which it is to be taken: events; runs of plain deltas, each
    where its first one stands; and odd lines."""

    found: list[Step] = []
    parts: int = 0
    """How many there were."""
    lines: int = 0

    def over(self, parts: Sequence[Part], most: int) -> Iterator[Stretch]:
        """The parts as they are gone through, up to the one in which `most` lines are reached."""
        while self.parts < len(parts) and self.lines < most:
            at = self.parts
            part = parts[at]
            if isinstance(part, Block):
                one = Stretch(part.rows(), at, is_block=True)
            else:
                one = Stretch(_up_to_block(parts, at, most - self.lines), at, is_block=False)
            yield one
            self.parts, self.lines = one.end, self.lines + len(one.rows)


def _up_to_block(parts: Sequence[Part], at: int, most: int) -> Sequence[bytes | Piece]:
    """The lines between blocks that begin there."""
    coming = parts[at : min(len(parts), at + most)]
    kinds = [*map(type, coming)]
    if Block in kinds:
        coming = coming[: kinds.index(Block)]
    return cast("Sequence[bytes | Piece]", coming)
