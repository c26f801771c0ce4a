"""Decompressing a file as far as it is there, in bounded memory: zstd and gzip (formats.md D.1).

Frames (gzip: members) may follow each other; a file may grow by further ones.
"""

import os
import stat
import zlib
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, cast

from agentmon.compression import zstd_library
from agentmon.sources.identity import OpenFile

Compression: TypeAlias = Literal["zstd", "gzip"]

PIECE = 128 << 10
"""Compressed bytes per read of the file."""

_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
"""Of a zstd frame without data; a byte from 0x50 to 0x5f stands before it."""
_GZIP = b"\x1f\x8b"


class NoLibrary(Exception):
    """Nothing here can decompress the file."""


class Damaged(Exception):
    """The compressed data are not what they should be."""


class _Inflater(Protocol):
    """One frame, decompressed piece by piece."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """A gzip member, with the manners of the standard library's newer decompressors."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(0, max_length))


def _zstd() -> Callable[[], _Inflater]:
    """The decompressor of whichever library there is. Raises NoLibrary."""
    library = zstd_library()
    if library is None:
        raise NoLibrary
    return cast("Callable[[], _Inflater]", library.ZstdDecompressor)


def compression_of(path: str) -> Compression | None:
    """How a file is compressed, by its first bytes; None for a plain one, or none at all."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as handle:
            first = handle.read(4)
    except OSError:
        return None
    if first:
        return _kind(first)
    return "zstd" if path.endswith(".zst") else "gzip" if path.endswith(".gz") else None


def _kind(first: bytes) -> Compression | None:
    if first.startswith(_ZSTD) or (first[1:4] == _SKIPPABLE and first[0] >> 4 == 5):
        return "zstd"
    return "gzip" if first.startswith(_GZIP) else None


def first_bytes(path: str, size: int = 64 << 10) -> bytes:
    """The first decompressed bytes of a file; fewer, or none, where they can't be had."""
    found = bytearray()
    try:
        stream = InflatedFile(OpenFile(path))
        while len(found) < size and (data := stream.read(size - len(found))):
            found += data
    except (OSError, NoLibrary, Damaged):
        pass
    return bytes(found)


class InflatedFile:
    """The decompressed bytes of an open file, from its beginning."""

    def __init__(self, file: OpenFile) -> None:
        self.offset = 0
        """Compressed bytes that were read."""
        self._file = file
        self._held = b""
        self._has_frames = False
        self._frame: _Inflater | None = None

    @property
    def is_whole(self) -> bool:
        """Whether what was read ends with the end of a frame."""
        return self._frame is None and not self._held

    def read(self, max_bytes: int) -> bytes:
        """The next bytes, at most so many; none where the file has no more yet.

        Raises OSError, NoLibrary and Damaged.
        """
        while True:
            frame = self._frame
            is_fed = bool(self._held) or (frame is not None and not frame.needs_input)
            is_fed = is_fed or self._fill()
            if frame is None:
                frame = self._frame = self._begin() if is_fed else None
                if frame is None:
                    return b""
            data = self._inflate(frame, max_bytes)
            if frame.eof:
                self._held, self._frame = frame.unused_data, None
            if data or not is_fed:  # not fed: what zlib still held is out
                return data

    def _fill(self) -> bool:
        more = os.pread(self._file.fd, PIECE, self.offset)
        self.offset += len(more)
        self._held += more
        return bool(more)

    def _begin(self) -> _Inflater | None:
        """A new frame, once enough of it is there to see of what kind it is."""
        if len(self._held) < len(_ZSTD):
            self._fill()
        if self._has_frames and not self._held.strip(b"\0"):
            self._held = b""  # padding behind the last frame
        if len(self._held) < len(_ZSTD):
            return None
        kind = _kind(self._held)
        if kind is None:
            raise Damaged
        self._has_frames = True
        return _Gzip() if kind == "gzip" else _zstd()()

    def _inflate(self, frame: _Inflater, max_bytes: int) -> bytes:
        held, self._held = self._held, b""
        try:
            return frame.decompress(held, max_bytes)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # zlib has an error of its own, and so has each zstd
            raise Damaged from error
