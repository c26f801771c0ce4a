"""An event stream taken apart while it comes, whatever the pieces it comes in.

The lines of `text/event-stream`: LF, CR or CRLF, comments, data over several lines. Never raises
for what a server sends, and never holds more than `MAX_EVENT` bytes of it.
"""

import re

MAX_EVENT = 16 << 20
"""Bytes of one event beyond which it is passed over."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class SseReader:
    """Feeds on bytes, gives the events that became whole."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self.passed_over = 0
        """Events that were too long."""
        self._max = max_event
        self._rest = bytearray()
        """The line that is not whole yet."""
        self._searched = 0
        """How much of it is known to hold no line end."""
        self._is_first = True
        self._after_cr = False
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._is_too_long = False

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """(name, data) of each event that ends in the piece; a name is "" where none was given."""
        if self._after_cr and piece:
            self._after_cr = False
            if piece.startswith(b"\n"):
                piece = piece[1:]
        self._rest += piece
        out: list[tuple[str, bytes]] = []
        start = 0
        for match in _LINE_END.finditer(self._rest, self._searched):
            line = bytes(self._rest[start : match.start()])
            start = match.end()
            self._line(line, out)
        if start and start == len(self._rest) and self._rest.endswith(b"\r"):
            self._after_cr = True
        if start:
            del self._rest[:start]
        self._searched = len(self._rest)
        if len(self._rest) > self._max:
            self._give_up()
            self._rest += b"x"  # what comes of the line is no line of its own
        return out

    def _line(self, line: bytes, out: list[tuple[str, bytes]]) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(out)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            if self._size > self._max:
                self._give_up()
            elif not self._is_too_long:
                self._data.append(value)
        elif name == b"event":
            self._name = value[:200].decode("utf-8", "replace")

    def _dispatch(self, out: list[tuple[str, bytes]]) -> None:
        if self._is_too_long:
            self.passed_over += 1
        elif self._data:
            out.append((self._name, b"\n".join(self._data)))
        self._name, self._data, self._size, self._is_too_long = "", [], 0, False

    def _give_up(self) -> None:
        """What is held is let go; the event that it is part of is passed over."""
        self._is_too_long = True
        self._data, self._searched = [], 0
        self._rest.clear()
