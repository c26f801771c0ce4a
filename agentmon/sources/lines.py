"""Lines out of bytes, in bounded memory (formats.md 0.1, 0.2 and 0.6).

Pure splitting: nothing is decoded or opened here. Only `\\n` ends a line; U+2028, U+0085, VT and
FF are legal inside JSON strings. A last line without its newline is held, never handed out.
"""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Protocol, TypeAlias

from msgspec import Struct

CAP = 8 << 20
"""Longest line, in bytes without its newline, that is handed out whole."""

BLOCK = 64 << 10
"""Bytes of plain lines that are cut, and then decoded, at once: as many as stay in a core's cache
with all that is made of them."""

KEEP = 64 << 10
"""How much of each end of a longer line is kept, in bytes."""

BOM = b"\xef\xbb\xbf"


class Body(Protocol):
    """Where the bytes of a line longer than `CAP` can be read again."""

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield the `size` bytes from `offset`; fewer where they are gone."""
        ...


class Spool(Body, Protocol):
    """A body that is filled while the line comes, for inputs that cannot be read twice."""

    def write(self, data: bytes) -> None: ...


class Line(Struct, frozen=True, gc=False):
    """A complete line.

    `data` is without its newline, one trailing `\\r` and a BOM at offset 0. `offset` is that of its
    first byte in the input; `size` counts every byte of it, the newline too.
    """

    data: bytes
    offset: int
    size: int


class HugeLine(Struct, frozen=True):
    """A complete line longer than the cap, of which only the ends are held.

    `head` and `tail` are its first and last bytes (no newline, no trailing `\\r`, no BOM). `size`
    counts the newline. `body` gives the bytes again; None where they cannot be had.
    """

    offset: int
    size: int
    head: bytes
    tail: bytes
    body: Body | None = None

    @property
    def cut_bytes(self) -> int:
        """Bytes that are neither in `head` nor in `tail`."""
        return self.size - 1 - len(self.head) - len(self.tail)

    def pieces(self) -> Iterator[bytes]:
        """The line's bytes without its newline, piece by piece; nothing without a body."""
        return iter(()) if self.body is None else self.body.pieces(self.offset, self.size - 1)


Piece: TypeAlias = Line | HugeLine


class Block(Struct, frozen=True, gc=False):
    """Plain lines in one piece, as they are in the input."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def rows(self) -> list[bytes]:
        """Its lines, with their newlines."""
        # it looks for newlines a vector at a time, where bytes.split goes byte by byte
        return BytesIO(self.data).readlines()


Part: TypeAlias = bytes | Block | Piece
"""A line, or several: plain ones need no object, and those of a block not to be cut yet."""


class Rows(Struct):
    """Complete lines in order. Bytes are a line as it is in the input, with its newline (see
    `data_of`). `start` is the offset of the first line."""

    start: int
    parts: Sequence[Part]
    _items: list[bytes | Piece] | None = None
    _at: int = 0
    _offset: int = -1

    @property
    def items(self) -> list[bytes | Piece]:
        """Every line on its own."""
        if self._items is None:
            self._items = []
            for part in self.parts:
                if isinstance(part, Block):
                    self._items += part.rows()
                else:
                    self._items.append(part)
        return self._items

    def __len__(self) -> int:
        return len(self.items)

    def offset(self, at: int) -> int:
        """Where a line begins. Cheap for one line after the other, since nobody asks for most."""
        return self._begin(self.items, at)

    def offset_of(self, part: int) -> int:
        """Where a part begins. A `Rows` is asked either for this or for `offset`."""
        return self._begin(self.parts, part)

    def _begin(self, items: Sequence[Part], at: int) -> int:
        if self._offset < 0 or at < self._at:
            self._at, self._offset = 0, self.start
        for item in items[self._at : at]:
            self._offset += size_of(item)
        self._at = at
        return self._offset

    def pieces(self) -> list[Piece]:
        """Every line as an object."""
        return [
            Line(item[:-1], self.offset(at), len(item)) if isinstance(item, bytes) else item
            for at, item in enumerate(self.items)
        ]


def size_of(part: Part) -> int:
    """Bytes in the input, those of newlines too."""
    return len(part) if isinstance(part, bytes) else part.size


def data_of(row: bytes | Line) -> bytes:
    """A row's line without its newline."""
    return row[:-1] if isinstance(row, bytes) else row.data


class _Ends:
    """The two ends of a line that is too long to be held, while it comes."""

    def __init__(self, begun: bytearray, keep: int, spool: Spool | None) -> None:
        self.size = len(begun)
        self.spool = spool
        self._keep = keep
        self._head = bytes(begun[:keep])
        self._last = begun[-keep - 1 :]
        if spool is not None:
            for start in range(0, len(begun), 1 << 20):  # no second copy of it all
                spool.write(bytes(begun[start : start + (1 << 20)]))

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.spool is not None:
            self.spool.write(data)
        wanted = self._keep + 1  # one more: a trailing \r does not count
        self._last += data[-wanted:]
        if len(self._last) > 2 * wanted:
            del self._last[:-wanted]

    def line(self, offset: int, body: Body | None) -> HugeLine:
        head = self._head.removeprefix(BOM) if offset == 0 else self._head
        tail = bytes(self._last).removesuffix(b"\r")[-self._keep :]
        return HugeLine(offset, self.size + 1, head, tail, body)


class LineSplitter:
    """Cuts chunks into `Line` and `HugeLine` objects, whatever the chunks' borders are.

    `position` is the offset of the byte after the last complete line, `tail_bytes` how many bytes
    of an unfinished one came after it. `body` is attached to every huge line; `spool` is called
    once per huge line for inputs that cannot be read again. Memory: `cap` plus one chunk.

    Raises ValueError when two kept ends would not fit below the cap.
    """

    def __init__(
        self,
        position: int = 0,
        *,
        body: Body | None = None,
        spool: Callable[[], Spool] | None = None,
        cap: int = CAP,
        keep: int = KEEP,
    ) -> None:
        if not 0 < 2 * keep < cap:
            raise ValueError(f"two ends of {keep} bytes do not fit below a cap of {cap}")
        self.position = position
        self._body = body
        self._new_spool = spool
        self._cap = cap
        self._keep = keep
        self._held = bytearray()
        self._huge: _Ends | None = None

    @property
    def tail_bytes(self) -> int:
        return len(self._held) if self._huge is None else self._huge.size

    @property
    def end(self) -> int:
        """Offset of the next byte to feed."""
        return self.position + self.tail_bytes

    def torn(self) -> bytes:
        """The unfinished last line as far as it came; empty when there is none or it is huge."""
        return bytes(self._held)

    def reset(self, position: int) -> None:
        """Forget the unfinished line and go on at `position`."""
        self.position = position
        self._held = bytearray()
        self._huge = None

    def feed(self, chunk: bytes) -> list[Piece]:
        """The lines that `chunk` completes, in order."""
        return self.rows(chunk).pieces()

    def rows(self, chunk: bytes) -> Rows:
        """The same without an object per line."""
        start, found = self.position, list[Part]()
        for at in range(0, len(chunk), self._cap):
            self._feed(chunk[at : at + self._cap], found)
        return Rows(start, found)

    def _feed(self, chunk: bytes, found: list[Part]) -> None:
        begin, end = 0, chunk.rfind(b"\n") + 1
        if end and (self._held or self._huge or self.position == 0):
            begin = chunk.find(b"\n") + 1
            self._hold(chunk[: begin - 1])
            found.append(self._finish())
        if b"\r" in chunk:
            for row in BytesIO(chunk[begin:end]).readlines():
                found.append(Line(row[:-1].removesuffix(b"\r"), self.position, len(row)))
                self.position += len(row)
        else:
            while begin < end:
                last = _block_end(chunk, begin, end)
                found.append(Block(chunk[begin:last]))
                self.position += last - begin
                begin = last
        if end < len(chunk):
            self._hold(chunk[end:])

    def _hold(self, data: bytes) -> None:
        if self._huge is not None:
            self._huge.add(data)
            return
        self._held += data
        if len(self._held) > self._cap:
            spool = self._new_spool() if self._new_spool is not None else None
            self._huge = _Ends(self._held, self._keep, spool)
            self._held = bytearray()

    def _finish(self) -> bytes | Piece:
        offset = self.position
        if self._huge is not None:
            line = self._huge.line(offset, self._huge.spool or self._body)
            self.reset(offset + line.size)
            return line
        whole = bytes(self._held)
        data = whole.removesuffix(b"\r")
        if offset == 0:
            data = data.removeprefix(BOM)
        self.reset(offset + len(whole) + 1)
        return whole + b"\n" if data == whole else Line(data, offset, len(whole) + 1)


def _block_end(chunk: bytes, begin: int, end: int) -> int:
    """Where the block that begins there ends, which is behind a newline."""
    if end - begin <= BLOCK:
        return end
    return chunk.rfind(b"\n", begin, begin + BLOCK) + 1 or chunk.find(b"\n", begin + BLOCK) + 1
