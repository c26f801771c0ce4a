"""What texts go through on their way out of the store: nothing, or redaction."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

import msgspec

from agentmon.core.redact import Redactor


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

    def cut(self, text: str, ends: Sequence[int], *, is_json: bool) -> tuple[str, list[int]]:
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

    def cut(self, text: str, ends: Sequence[int], *, is_json: bool) -> tuple[str, list[int]]:
        del is_json
        return text, [*ends]


WINDOW = 1 << 20
"""Characters of a long text that are looked at together."""

OVERLAP = 64 << 10
"""Of these the last are looked at again with what follows: no secret is as long."""


class Redacted:
    """Takes secrets, homes and names out. A secret may be split over deltas: it is looked for in
    the whole text of a block, and its mark stands where it began."""

    keeps = False

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def text(self, text: str) -> str:
        return self._redact(text)

    def name(self, name: str) -> str:
        return self._redact(name)

    def json(self, data: str) -> str:
        try:
            return _encoded(self.value(msgspec.json.decode(data)))
        except (msgspec.DecodeError, RecursionError):
            return self._redact(data)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, list):
            return [self.value(one) for one in cast("list[Any]", value)]
        if isinstance(value, dict):
            found = cast("dict[str, Any]", value)
            return {self._redact(key): self._named(key, one) for key, one in found.items()}
        return value

    def _named(self, key: str, value: Any) -> Any:
        """A value that its key makes a secret: `{"password": "…"}` has no shape of its own."""
        if not isinstance(value, str):
            return self.value(value)
        quoted = self._redact(f"{_encoded(key)}:{_encoded(value)}")
        try:
            found = msgspec.json.decode(f"{{{quoted}}}", type=dict[str, str])
        except msgspec.DecodeError:
            found = dict[str, str]()
        return next(iter(found.values()), self._redact(value))

    def pieces(self, pieces: Iterable[str]) -> Iterator[str]:
        held = ""
        for piece in pieces:
            held += piece
            if len(held) >= WINDOW:
                held, (end,) = self._redact.cut(held, [len(held) - OVERLAP])
                yield held[:end]
                held = held[end:]
        yield self._redact(held)

    def cut(self, text: str, ends: Sequence[int], *, is_json: bool) -> tuple[str, list[int]]:
        found, places = self._redact.cut(text, ends)
        if not (is_json and _is_json(text)):
            return found, places
        # what a key makes a secret, or an escape hides, is seen only in the values
        values = self.json(found if _is_json(found) else text)
        if _is_json(found) and _compact(found) == values:
            return found, places
        return values, _spread(places, len(found), len(values))


def _spread(places: Sequence[int], size: int, new_size: int) -> list[int]:
    """Places of a text in another one of about the same."""
    return [place * new_size // size if size else new_size for place in places]


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _compact(text: str) -> str:
    return _encoded(msgspec.json.decode(text))


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
