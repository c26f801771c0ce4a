"""What every decoder shares: its protocol, lines that may be torn or glued, keys of duplicates."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias, cast
from zlib import crc32

import msgspec
from msgspec import Struct

from agentmon.core.events import Event, Kind, Malformed
from agentmon.sources.payloads import scrub

Decoded: TypeAlias = Event | Malformed
Record: TypeAlias = dict[str, Any]

HEAD_BYTES = 200
"""How much of a bad line is kept to look at."""


class Context(Struct, frozen=True):
    """What a decoder may know of its input besides the bytes."""

    path: str
    """Absolute, or "-"."""
    receipt: Callable[[], float]
    """When the bytes at hand were received (epoch seconds), for formats without times."""
    state: bytes = b""
    """What `save` gave when the input was last left; b"" at its beginning."""
    has: Callable[[str], bool] = lambda sid: False
    """Whether the store has a session."""


UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and UUID.match(value) is not None


def mapping(value: object) -> Record:
    """The value if it is an object, else an empty one."""
    return cast(Record, value) if isinstance(value, dict) else {}


class LineDecoder(Protocol):
    """Turns the lines of one input into events. Never raises on input."""

    def decode(self, data: bytes, offset: int = 0) -> list[Decoded]:
        """The events of the line (without its newline) that begins at `offset`."""
        ...

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The same for a line that is parsed already; `raw` is what is kept of it if unknown."""
        ...

    def save(self) -> bytes:
        """Everything it remembers of the lines so far, small; b"" where no line depends on another.
        The store keeps it with the position, so a restart goes on as if there had been none."""
        ...


class RecordDecoder(ABC):
    """A `LineDecoder` of JSON lines, each a record."""

    def decode(self, data: bytes, offset: int = 0) -> list[Decoded]:
        """The events of a line; several records where lines were glued."""
        out: list[Decoded] = []
        try:
            for found in objects(data, offset):
                if isinstance(found, Malformed):
                    out.append(found)
                else:
                    out += self.record(*found, offset)
        except RecursionError:
            out.append(malformed("nested too deeply", data, offset))
        return out

    @abstractmethod
    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of a record that is parsed already."""


class Format(Struct, frozen=True):
    """One input format."""

    name: str
    """As `--format` takes it."""
    kind: Kind
    what: str
    """For people."""
    knows: Callable[[Sequence[Record]], bool]
    """Whether the first JSON objects of an input are of this format."""
    open: Callable[[Context], LineDecoder]


class Bad(Exception):
    """A row that is an object but can't be an event; the message says why."""


_decode_any = msgspec.json.Decoder().decode
_RESTART = re.compile(r'\{\s*"(?:event|t|type|parentUuid)"\s*:')
_STRICT = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\r\n\x00\ufeff]*")


def skip_space(text: str, at: int) -> int:
    """Past white space, a BOM, and NULs (a hole in a file that was truncated while written)."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def malformed(reason: str, raw: bytes, offset: int) -> Malformed:
    return Malformed(offset, len(raw), reason, raw[:HEAD_BYTES])


def objects(data: bytes, offset: int) -> Iterator[tuple[Record, bytes] | Malformed]:
    """The JSON objects of a line with the bytes they came from; several where lines were glued.

    Takes lone surrogates (each becomes one U+FFFD), NaN, invalid UTF-8 and torn pieces
    (formats.md 0.3, 0.4). Nothing for a blank line.
    """
    try:
        value: object = _decode_any(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        yield from _pieces(data, offset)
        return
    if isinstance(value, dict):
        yield cast(Record, value), data
    else:
        yield malformed("not a JSON object", data, offset)


def _pieces(data: bytes, offset: int) -> Iterator[tuple[Record, bytes] | Malformed]:
    text = data.decode("utf-8", "replace")
    at, end = skip_space(text, 0), len(text)
    while at < end:
        try:
            value, after = cast("tuple[object, int]", _STRICT.raw_decode(text, at))
        except (ValueError, RecursionError):
            found = _RESTART.search(text, at + 1)
            after = found.start() if found else end
            yield malformed("not JSON", encode(text[at:after]), offset)
        else:
            raw = encode(text[at:after])
            if isinstance(value, dict):
                yield _scrubbed(cast(Record, value), raw, offset)
            else:
                yield malformed("not a JSON object", raw, offset)
        at = skip_space(text, after)


def _scrubbed(row: Record, raw: bytes, offset: int) -> tuple[Record, bytes] | Malformed:
    try:
        return cast(Record, scrub(row)), raw
    except RecursionError:
        return malformed("nested too deeply", raw, offset)


def encode(piece: str) -> bytes:
    return piece.encode("utf-8", "replace")


def line_key(key: bytes) -> tuple[int, int]:
    """(count, digest) of an event whose line is told from others by `key`: a record's own id, or
    its bytes with their offset where it has none. 80 bits of a hash."""
    whole = blake2b(key, digest_size=10).digest()
    return int.from_bytes(whole[:6], "big"), crc32(whole[6:])
