"""A wire-log line too long to be held, decoded as a stream (formats.md 0.6, design.md 7).

The envelope is a JSON object whose `line` holds a second JSON text, "data: {…}", as a string: two
readers, one fed by the other. What is small is kept, long strings become `Cut`, and the texts of
tool results run into sinks. Memory does not grow with the line.
"""

import codecs
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import cast

from msgspec import Struct

from agentmon.sources.json_pieces import Cut, JsonError, JsonReader, Scalar, Tree
from agentmon.sources.result_text import ResultText, Sink

__all__ = ["Cut", "HugeError", "HugeEvent", "HugeResult", "Sink", "decode", "read_object"]

MAX_REST = 8 << 20
"""Longest text after the object, in characters, that is handed back (glued lines)."""

MAX_RESULTS = 10_000
"""Tool results in one line; the inner object of a line with more is not read."""

_RESULT_EVENTS = frozenset({"claude.tool_result", "codex.tool_result"})
_MESSAGE = ["payload", "message"]
_LISTED = ["payload", "message", "content", None]
_BARE = ["payload"]


class HugeError(ValueError):
    """The line is not a JSON object; the message says why."""


class HugeResult(Struct, frozen=True):
    """A tool result whose text is in `sink`; `size` and `sha256` (hex) are of its UTF-8 bytes."""

    tool_use_id: str
    is_error: bool
    size: int
    sha256: str
    sink: Sink


class HugeEvent(Struct, frozen=True):
    """What a huge line says.

    `envelope` are its keys without `line`; `inner` is the object in `line`, None where there is no
    such object. Both are ordinary values with `Cut` for long strings; of hostile ones (more than
    10,000 values) not all is kept. `results` are those of a `claude.tool_result`, in order.
    `line_size` and `line_crc` (CRC-32) are of the `line` string in UTF-8, "data: " included.
    `rest` is what stood after the object: lines that were glued to it.
    """

    envelope: dict[str, object]
    inner: dict[str, object] | None
    results: list[HugeResult]
    line_size: int
    line_crc: int
    rest: bytes


def decode(pieces: Iterable[bytes], new_sink: Callable[[str], Sink]) -> HugeEvent:
    """Decode one line from its bytes, in pieces of any size.

    `new_sink` is called once per tool result, with its number in the line ("0", "1", …); a sink
    that is not in the `results` returned was discarded. Text goes into a sink as design.md 7 has
    it: a string as it is; of parts, the `text` ones joined by newlines, any other as compact JSON.

    Raises HugeError where the line is not an object; every sink is discarded then. Errors of
    `pieces` and of sinks pass through, with every sink discarded, too.
    """
    line = _Line(new_sink)
    try:
        return line.event(_feed(line, pieces))
    except JsonError as error:
        raise HugeError(str(error)) from None
    finally:
        line.discard_unused()


def read_object(pieces: Iterable[bytes]) -> tuple[dict[str, object], bytes]:
    """The object of a line that is no envelope, with `Cut` for its long strings, and what was glued
    to it. Raises HugeError where the line is not an object."""
    tree = Tree()
    try:
        rest = _feed(tree, pieces)
    except JsonError as error:
        raise HugeError(str(error)) from None
    found = _object(tree.value)
    if found is None:
        raise HugeError("not a JSON object")
    return found, rest


def _feed(line: Tree, pieces: Iterable[bytes]) -> bytes:
    """Feed all pieces; what stands after the object."""
    reader = JsonReader(line)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    is_begun = False
    rest: list[str] = []
    for piece in pieces:
        text = decoder.decode(piece)
        if not is_begun:
            # A hole of NULs comes from a file truncated under a writer that does not append.
            text = text.lstrip("\ufeff\0 \t\r\n")
            is_begun = bool(text)
        if reader.done:
            rest.append(text)
        else:
            reader.feed(text)
            if reader.done:
                rest.append(reader.rest)
        if sum(map(len, rest)) > MAX_REST:
            raise JsonError("goes on after the object")
    reader.close()
    return "".join(rest).strip().encode()


def _object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


class _Line(Tree):
    """The envelope; its `line` goes on to an `_Inner`."""

    def __init__(self, new_sink: Callable[[str], Sink]) -> None:
        super().__init__()
        self._new_sink = new_sink
        self._sinks: list[Sink] = []
        self._used: list[Sink] = []
        self._restart_line()

    def _restart_line(self) -> None:
        self._inner = _Inner(self._make_sink, self._name)
        self._reader: JsonReader | None = JsonReader(self._inner)
        self._prefix: str | None = ""
        self._line_size = self._line_crc = 0
        self._is_ended = False

    def string(self, piece: str, last: bool) -> None:
        if self.path != ["line"]:
            super().string(piece, last)
            return
        if self._is_ended:  # the key comes twice: the last one counts
            self._restart_line()
        self._is_ended = last
        data = piece.encode()
        self._line_size += len(data)
        self._line_crc = zlib.crc32(data, self._line_crc)
        text = self._without_prefix(piece, last)
        if text and self._reader is not None:
            self._read_inner(self._reader, text)

    def _without_prefix(self, piece: str, last: bool) -> str:
        """The text after "data: ", which may come in pieces."""
        if self._prefix is None:
            return piece
        self._prefix += piece
        if len(self._prefix) < 6 and not last:
            return ""
        start, self._prefix = self._prefix, None
        return start[6:] if start.startswith("data: ") else start.removeprefix("data:")

    def _read_inner(self, reader: JsonReader, text: str) -> None:
        try:
            reader.feed(text)
        except JsonError:
            self._reader = None
            return
        if reader.done:
            self._reader = None if reader.rest.strip() else reader
            reader.rest = ""

    def _make_sink(self) -> Sink:
        sink = self._new_sink(str(len(self._sinks)))
        self._sinks.append(sink)
        return sink

    def _name(self) -> object:
        """The event's name as far as it is known yet."""
        envelope = _object(self.value)
        return envelope.get("event") if envelope is not None else None

    def event(self, rest: bytes) -> HugeEvent:
        """Everything together. Raises JsonError where the line is no object."""
        envelope = _object(self.value)
        if envelope is None:
            raise JsonError("not a JSON object")
        is_whole = self._reader is not None and self._reader.done
        inner = _object(self._inner.value) if is_whole else None
        results = self._inner.results() if inner is not None else []
        self._used = [result.sink for result in results]
        return HugeEvent(envelope, inner, results, self._line_size, self._line_crc, rest)

    def discard_unused(self) -> None:
        used = {id(sink) for sink in self._used}
        for sink in self._sinks:
            if id(sink) not in used:
                with suppress(OSError):  # a full disk fails here again
                    sink.discard()


class _Found:
    """A tool result as far as it was read."""

    def __init__(self) -> None:
        self.tool_use_id: object = None
        self.is_error: object = None
        self.text: ResultText | None = None

    def result(self, new_sink: Callable[[], Sink]) -> HugeResult | None:
        if not isinstance(self.tool_use_id, str) or not self.tool_use_id:
            return None
        text = self.text or ResultText(new_sink())
        is_error = self.is_error is True
        return HugeResult(self.tool_use_id, is_error, text.size, text.sha256(), text.sink)


class _Inner(Tree):
    """The inner object; the contents of what may be tool results go to their sinks as they come."""

    def __init__(self, new_sink: Callable[[], Sink], name: Callable[[], object]) -> None:
        super().__init__()
        self._new_sink = new_sink
        self._name = name
        self._kind: object = None
        self._has_message = False
        self._listed: list[_Found] = []
        self._bare = _Found()
        self._text: ResultText | None = None

    def begin(self, bracket: str) -> None:
        self._note_begin(bracket)
        text = self._text_here()
        super().begin(bracket)
        if text is not None:
            text.begin(bracket)

    def _note_begin(self, bracket: str) -> None:
        """Keep track of what may be results; of a key that comes twice the last one counts."""
        if self.path == _LISTED:
            if len(self._listed) == MAX_RESULTS:
                raise JsonError("too many tool results")
            self._listed.append(_Found())
        elif self.path == _LISTED[:-1]:
            self._listed = []
        elif self.path == _MESSAGE:
            self._has_message = bracket == "{"
            self._listed = []
        elif self.path == _BARE:
            self._kind, self._has_message = None, False
            self._bare, self._listed = _Found(), []

    def end(self) -> None:
        super().end()
        if self._text is not None:
            self._text.end()
            self._leave_text()

    def key(self, name: str) -> None:
        super().key(name)
        if self._text is not None:
            self._text.key(name)

    def string(self, piece: str, last: bool) -> None:
        text = self._text_here()
        super().string(piece, last)
        if text is not None:
            text.string(piece, last)
            self._leave_text()

    def scalar(self, value: Scalar) -> None:
        text = self._text_here()
        super().scalar(value)
        if text is not None:
            text.scalar(value)
            self._leave_text()

    def _leave_text(self) -> None:
        if self._text is not None and self._text.done:
            self._text = None

    def _text_here(self) -> ResultText | None:
        """The text that the value at `path` belongs to; begun where the value is a content."""
        if self._text is None and self.path and self.path[-1] == "content":
            found = self._found_here()
            if found is not None and self._may_be_results():
                # A second `content` replaces the first, whose sink nobody will ask for.
                self._text = found.text = ResultText(self._new_sink())
        return self._text

    def _found_here(self) -> _Found | None:
        """The result that the key at `path` belongs to."""
        around = self.path[:-1]
        if around == _LISTED and self._listed:
            return self._listed[-1]
        return self._bare if around == _BARE else None

    def _may_be_results(self) -> bool:
        """While the event has no name it may be one yet: a name counts more than the type."""
        name = self._name()
        return name in _RESULT_EVENTS or not isinstance(name, str) or not name

    def _put(self, value: object) -> bool:
        if self.path == ["payload", "type"]:
            self._kind = value
        elif self.path and self.path[-1] in ("tool_use_id", "is_error"):
            found = self._found_here()
            if found is not None:
                setattr(found, self.path[-1] or "", value)
        return super()._put(value)

    def results(self) -> list[HugeResult]:
        """The tool results, if the event is one of them after all."""
        if not self._may_be_results():
            return []
        if self._name() not in _RESULT_EVENTS and self._kind != "tool_result":
            return []
        found = self._listed if self._has_message else [self._bare]
        results = [one.result(self._new_sink) for one in found]
        return [result for result in results if result is not None]
