"""JSON read piece by piece in bounded memory, for lines that are too long to be held.

`JsonReader` is a push parser: text in, calls out; a string value comes in as many pieces as it
takes. `Tree` builds ordinary values out of those calls and replaces long strings by `Cut`.
As tolerant as `json.loads(strict=False)`: raw control characters, NaN and lone surrogates pass,
and each of the latter becomes one U+FFFD (design.md 7).
"""

import json
import re
from json import JSONDecodeError, JSONDecoder
from typing import Protocol, TypeAlias, cast

from msgspec import Struct

KEEP = 64 << 10
"""Longest string value, in UTF-8 bytes, that a `Tree` keeps whole."""

MAX_KEY = 64 << 10
"""Longest key of an object, in characters."""

MAX_TEXT = 2 << 20
"""Bytes of string values that a `Tree` keeps altogether; beyond it every string is cut."""

MAX_NODES = 10_000
"""Values that a `Tree` keeps; beyond it they are read and left out."""

MAX_DEPTH = 500

Scalar: TypeAlias = bool | int | float | None


class JsonError(ValueError):
    """The text is not JSON; the message says why."""


class Cut(Struct, frozen=True):
    """Stands for a string that was not kept; `size` is its length in UTF-8 bytes."""

    size: int


class Handler(Protocol):
    """What a reader calls, in document order."""

    def begin(self, bracket: str) -> None:
        """An object ("{") or array ("[") begins."""
        ...

    def end(self) -> None: ...

    def key(self, name: str) -> None: ...

    def string(self, piece: str, last: bool) -> None:
        """The next piece of a string value; never a lone surrogate."""
        ...

    def scalar(self, value: Scalar) -> None: ...


_TOKEN = re.compile(r'[ \t\r\n]*(?:([{}\[\],:"])|([^\s{}\[\],:"]+)|\Z)')
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_SCALAR = 4_400  # what int() takes by default is 4,300 digits


def scrubbed(text: str) -> str:
    """The text with each lone surrogate as one U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


class JsonReader:
    """Parses one JSON value from text in pieces; calls the handler as it goes.

    `rest` is the text after the value once it is `done`; nothing is read after that.
    """

    def __init__(self, handler: Handler) -> None:
        self.rest = ""
        self._handler = handler
        self._open: list[str] = []
        self._want = "value"  # value | item (or ]) | name (or }) | key | colon | comma | nothing
        self._in_string = False
        self._name: list[str] = []
        self._name_size = 0

    @property
    def done(self) -> bool:
        return self._want == "nothing"

    def feed(self, piece: str) -> None:
        """Parse on. Raises JsonError."""
        # The C scanner of strings wants a quote on either side of what it reads.
        text = ('"' if self._in_string else "") + self.rest + piece + '"'
        at, end = int(self._in_string), len(text) - 1
        while not self.done:
            if self._in_string:
                at, complete = self._read_string(text, at)
            else:
                at, complete = self._read_token(text, at, end)
            if not complete:
                break
        self.rest = text[at:end]

    def close(self) -> None:
        """The text is at its end. Raises JsonError when the value is not."""
        if not self._open and not self._in_string and self._want == "value":
            found = _TOKEN.fullmatch(self.rest)
            if found is not None and found[2]:
                self._take_scalar(found[2])
                self.rest = ""
        if not self.done:
            raise JsonError("ends inside of a value")

    def _read_token(self, text: str, at: int, end: int) -> tuple[int, bool]:
        """Take one token: where the next begins, and whether there was a whole one."""
        found = _TOKEN.match(text, at, end)
        if found is None:
            raise JsonError(f"unexpected character {text[at:end].lstrip()[:1]!r}")
        mark, scalar = found.groups()
        if mark is not None:
            self._take_mark(mark)
        elif scalar is None:
            return found.end(), False
        elif found.end() < end:
            self._take_scalar(scalar)
        elif len(scalar) > _LONGEST_SCALAR:
            raise JsonError("endless number")
        else:
            return found.start(2), False
        return found.end(), True

    def _take_mark(self, mark: str) -> None:
        want = self._want
        if mark == '"' and want in ("value", "item", "name", "key"):
            self._in_string = True
        elif mark in "{[" and want in ("value", "item"):
            self._begin(mark)
        elif mark in "}]" and self._may_end(mark):
            self._open.pop()
            self._handler.end()
            self._value_done()
        elif mark == ":" and want == "colon":
            self._want = "value"
        elif mark == "," and want == "comma":
            self._want = "key" if self._open[-1] == "{" else "value"
        else:
            raise JsonError(f"{mark!r} where {want} was expected")

    def _begin(self, bracket: str) -> None:
        if len(self._open) == MAX_DEPTH:
            raise JsonError("nested too deeply")
        self._open.append(bracket)
        self._want = "name" if bracket == "{" else "item"
        self._handler.begin(bracket)

    def _may_end(self, mark: str) -> bool:
        if not self._open or self._open[-1] != ("{" if mark == "}" else "["):
            return False
        return self._want in ("comma", "name" if mark == "}" else "item")

    def _value_done(self) -> None:
        self._want = "comma" if self._open else "nothing"

    def _take_scalar(self, token: str) -> None:
        if self._want not in ("value", "item"):
            raise JsonError(f"{token[:20]!r} where {self._want} was expected")
        try:
            value: Scalar = json.loads(token)
        except ValueError:
            raise JsonError(f"{token[:20]!r} is no value") from None
        self._handler.scalar(value)
        self._value_done()

    def _read_string(self, text: str, at: int) -> tuple[int, bool]:
        """Take what there is of a string; an escape that may go on waits for the next piece."""
        piece, after, is_closed = _scan(text, at)
        if self._want in ("name", "key"):
            self._take_name(piece, is_closed)
        elif piece or is_closed:
            self._handler.string(scrubbed(piece), is_closed)
            if is_closed:
                self._in_string = False
                self._value_done()
        return after, is_closed

    def _take_name(self, piece: str, is_closed: bool) -> None:
        self._name.append(piece)
        self._name_size += len(piece)
        if self._name_size > MAX_KEY:
            raise JsonError("endless key")
        if is_closed:
            name = scrubbed("".join(self._name))
            self._name, self._name_size = [], 0
            self._in_string = False
            self._want = "colon"
            self._handler.key(name)


_scan_json = JSONDecoder(strict=False).raw_decode


def _scan(text: str, at: int) -> tuple[str, int, bool]:
    """Decode a string's body from `at`: (text, where the rest begins, whether it is closed).

    A quote stands before `at`, and the one at the very end of `text` is not part of it. Where an
    escape that breaks off at the end eats that quote, it is left out for now.
    """
    end = len(text) - 1
    try:
        found, after = _scan_json(text, at - 1)
    except JSONDecodeError as error:
        broken = text.rfind("\\", max(at, end - 5), end)
        if broken < 0:
            raise JsonError(f"bad string: {error.msg}") from None
        end = broken
        try:
            found, _ = _scan_json(f'"{text[at:end]}"')
        except JSONDecodeError:
            raise JsonError(f"bad string: {error.msg}") from None
        after = end + 1
    piece = cast(str, found)
    if after <= end:
        return piece, after, True
    # The escape of a high surrogate waits: its low one may come with the next piece.
    if piece and "\ud800" <= piece[-1] <= "\udbff" and text[end - 1] != piece[-1]:
        return piece[:-1], end - 6, False
    return piece, end, False


class Tree:
    """Builds the value; strings longer than `KEEP` become `Cut`.

    `path` says where the value now being read lies: a key per object, None per array.
    """

    def __init__(self) -> None:
        self.value: object = None
        self.path: list[str | None] = []
        self._open: list[dict[str, object] | list[object] | None] = []
        self._parts: list[str] = []
        self._size = 0
        self._text_left = MAX_TEXT
        self._nodes_left = MAX_NODES

    def begin(self, bracket: str) -> None:
        empty: dict[str, object] | list[object] = {} if bracket == "{" else []
        self._open.append(empty if self._put(empty) else None)
        self.path.append(None)

    def end(self) -> None:
        self._open.pop()
        self.path.pop()

    def key(self, name: str) -> None:
        self.path[-1] = name

    def string(self, piece: str, last: bool) -> None:
        size = len(piece) if piece.isascii() else len(piece.encode())
        self._size += size
        if self._size <= min(KEEP, self._text_left):
            self._parts.append(piece)
        else:
            self._parts.clear()
        if last:
            self._end_string()

    def scalar(self, value: Scalar) -> None:
        self._put(value)

    def _end_string(self) -> None:
        size, self._size = self._size, 0
        if size <= min(KEEP, self._text_left):
            self._text_left -= size
            self._put("".join(self._parts))
            self._parts.clear()
        else:
            self._put(Cut(size))

    def _put(self, value: object) -> bool:
        """Place a value at `path`; False where it is left out."""
        self._nodes_left -= 1
        if not self._open:
            self.value = value
            return True
        into = self._open[-1]
        if into is None or self._nodes_left < 0:
            return False
        if isinstance(into, list):
            into.append(value)
        else:
            into[self.path[-1] or ""] = value
        return True
