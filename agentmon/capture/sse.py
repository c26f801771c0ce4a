"""An event stream taken apart while it comes, whatever the pieces it comes in.

The lines of `text/event-stream`: LF, CR or CRLF, comments, data over several lines. Never raises
for what a server sends, and never holds more than `MAX_EVENT` bytes of it, and a piece.
"""

MAX_EVENT = 16 << 20
"""Bytes of one event beyond which it is passed over."""

_BOM = b"\xef\xbb\xbf"


class SseReader:
    """Feeds on bytes, gives the events that became whole."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self.passed_over = 0
        """Events that were too long."""
        self._max = max_event
        self._held: list[bytes] = []
        """The line that is not whole yet, in pieces."""
        self._held_size = 0
        self._size = 0
        """Bytes of the event's data so far."""
        self._is_too_long = False
        self._is_first = True
        self._after_cr = False
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """(name, data) of each event that ends in the piece; a name is "" where none was given."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        out: list[tuple[str, bytes]] = []
        if b"\n" in piece:
            first, *lines = piece.split(b"\n")
            lines.insert(0, b"".join([*self._held, first]))
            piece = lines.pop()
            self._held, self._held_size = [], 0
            for line in lines:
                self._line(line, out)
        if piece:
            self._held.append(piece)
            self._held_size += len(piece)
            if self._held_size > self._max:
                self._give_up()
                # what comes of this line is no line of its own: "x" stands for its beginning
                self._held, self._held_size = [b"x"], 1
        return out

    def _line(self, line: bytes, out: list[tuple[str, bytes]]) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._is_too_long:
                self.passed_over += 1
            elif self._data:
                out.append((self._name, b"\n".join(self._data)))
            self._name, self._data, self._size, self._is_too_long = "", [], 0, False
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data" and not self._is_too_long:
            self._data.append(value)
            self._size += len(value)
            if self._size > self._max:
                self._give_up()
        elif name == b"event":
            self._name = value[:200].decode("utf-8", "replace")

    def _give_up(self) -> None:
        """The event is passed over; what there is of it is let go."""
        self._is_too_long, self._data, self._size = True, [], 0
