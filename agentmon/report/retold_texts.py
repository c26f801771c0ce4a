"""What texts go through on their way out of the store: nothing, or redaction."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Texts(Protocol):
    """Changes texts that are retold; numbers, times and ids stay."""

    @property
    def keeps(self) -> bool:
        """Whether nothing is changed."""
        ...

    def text(self, text: str) -> str:
        """Any text."""
        ...

    def name(self, name: str) -> str:
        """A path."""
        ...

    def json(self, data: str) -> str:
        """JSON stays JSON."""
        ...

    def value(self, value: Any) -> Any:
        """What JSON has, with its strings changed."""
        ...

    def pieces(self, pieces: Iterable[str]) -> Iterator[str]:
        """One text that comes in pieces; a secret may lie across two."""
        ...

    def cut(self, text: str, ends: Sequence[int]) -> tuple[str, list[int]]:
        """A text that was written piece by piece, and where its pieces end then."""
        ...


class Keep:
    """Changes nothing."""

    keeps = True

    def text(self, text: str) -> str:
        return text

    def name(self, name: str) -> str:
        return name

    def json(self, data: str) -> str:
        return data

    def value(self, value: Any) -> Any:
        return value

    def pieces(self, pieces: Iterable[str]) -> Iterator[str]:
        yield from pieces

    def cut(self, text: str, ends: Sequence[int]) -> tuple[str, list[int]]:
        return text, [*ends]
