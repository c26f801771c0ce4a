"""The text of a tool result, written while its JSON is read (design.md 7, "Results").

A string as it is; of a list of parts, the `text` parts joined by newlines, any other part as
compact JSON (no blanks, non-ASCII raw, keys in input order); null is empty.
"""

import hashlib
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from agentmon.sources.json_pieces import Scalar

PART_HELD = 64 << 10
"""How much of a part is held until its type is known, in characters. A longer beginning is taken
for a text part's if it lies in `text`, else for another part's."""

FLUSH = 64 << 10
"""How many characters are gathered for one write."""


class Sink(Protocol):
    """Where the text of one tool result goes."""

    def write(self, text: str) -> None:
        """Append; never a lone surrogate."""
        ...

    def discard(self) -> None:
        """Forget it all: there is no such result. Nothing is called after that."""
        ...


class ResultText:
    """Turns the value of `content` into text in a sink. `done` once the value is complete."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.size = 0
        self.done = False
        self._hash = hashlib.sha256()
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._depth = 0
        self._is_list = False
        self._parts = 0
        self._part: _Part | None = None

    def sha256(self) -> str:
        """Hex, of the UTF-8 bytes."""
        return self._hash.hexdigest()

    def begin(self, bracket: str) -> None:
        if self._depth == 0 and bracket == "[":
            self._is_list = True
        else:
            self._open_part(may_be_text=self._is_list and bracket == "{").begin(bracket)
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if self._part is not None:
            self._part.end()
        self._value_done()

    def key(self, name: str) -> None:
        self._open_part().key(name)

    def string(self, piece: str, last: bool) -> None:
        if self._depth == 0:
            self._write(piece)
        else:
            self._open_part().string(piece, last)
        if last:
            self._value_done()

    def scalar(self, value: Scalar) -> None:
        if self._depth or value is not None:
            self._open_part().scalar(value)
        self._value_done()

    def _open_part(self, *, may_be_text: bool = False) -> "_Part":
        if self._part is None:
            if self._parts:
                self._write("\n")
            self._parts += 1
            self._part = _Part(self._write, may_be_text=may_be_text)
        return self._part

    def _value_done(self) -> None:
        if self._part is not None and self._depth == int(self._is_list):
            self._part.close()
            self._part = None
        if self._depth == 0:
            self.done = True
            self._flush()

    def _write(self, text: str) -> None:
        self._waiting.append(text)
        self._waiting_size += len(text)
        if self._waiting_size >= FLUSH:
            self._flush()

    def _flush(self) -> None:
        text = "".join(self._waiting)
        self._waiting.clear()
        self._waiting_size = 0
        if text:
            data = text.encode()
            self.size += len(data)
            self._hash.update(data)
            self.sink.write(text)


class _Part:
    """One part: its `text` where its type is text, else its compact JSON.

    Keys come in any order, so both forms are held until the type is known.
    """

    def __init__(self, write: Callable[[str], None], *, may_be_text: bool) -> None:
        self._write = write
        self._mode: Literal["held", "text", "json"] = "held" if may_be_text else "json"
        self._compact = Compact(self._emit)
        self._held: list[str] = []
        self._held_size = 0
        self._text: list[str] = []
        self._type = ""
        self._type_known = False
        self._depth = 0
        self._key = ""

    def begin(self, bracket: str) -> None:
        self._depth += 1
        self._compact.begin(bracket)

    def end(self) -> None:
        self._depth -= 1
        self._compact.end()

    def key(self, name: str) -> None:
        if self._depth == 1:
            self._key = name
        self._compact.key(name)

    def string(self, piece: str, last: bool) -> None:
        own_key = self._key if self._depth == 1 else None
        if self._mode == "text" and own_key == "text":
            self._write(piece)
            return
        if self._mode == "held":
            self._look_at(own_key, piece, last)
        self._compact.string(piece, last)

    def scalar(self, value: Scalar) -> None:
        self._compact.scalar(value)

    def close(self) -> None:
        """The part is complete."""
        if self._mode == "held":
            self._settle("json")

    def _look_at(self, key: str | None, piece: str, last: bool) -> None:
        """Settle the form as soon as the type, and for a text part its text, is known."""
        if key == "type":
            self._type += piece[:8]
            self._type_known = last
        elif key == "text":
            self._text.append(piece)
        if self._type_known and self._type != "text":
            self._settle("json")
        elif self._type_known and self._text:
            self._settle("text")

    def _settle(self, mode: Literal["text", "json"]) -> None:
        self._mode = mode
        self._write("".join(self._text if mode == "text" else self._held))
        self._held.clear()
        self._text.clear()

    def _emit(self, json: str) -> None:
        if self._mode == "json":
            self._write(json)
        elif self._mode == "held":  # a text part's JSON is not wanted
            self._held.append(json)
            self._held_size += len(json)
            if self._held_size > PART_HELD:
                is_text = self._depth == 1 and self._key == "text" and bool(self._text)
                self._settle("text" if is_text else "json")


class Compact:
    """Writes JSON without blanks from the calls of a reader."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._closing: list[str] = []
        self._needs_comma = False
        self._in_string = False

    def begin(self, bracket: str) -> None:
        self._lead(bracket)
        self._closing.append("}" if bracket == "{" else "]")
        self._needs_comma = False

    def end(self) -> None:
        self._write(self._closing.pop())
        self._needs_comma = True

    def key(self, name: str) -> None:
        self._lead(_quoted(name) + ":")
        self._needs_comma = False

    def string(self, piece: str, last: bool) -> None:
        body = _quoted(piece)
        body = body if last else body[:-1]
        if self._in_string:
            self._write(body[1:])
        else:
            self._lead(body)
        self._in_string = not last
        self._needs_comma = last

    def scalar(self, value: Scalar) -> None:
        self._lead(msgspec.json.encode(value).decode())
        self._needs_comma = True

    def _lead(self, text: str) -> None:
        self._write("," + text if self._needs_comma else text)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
