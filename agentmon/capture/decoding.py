"""Copies of bodies as they were before they were compressed.

What goes to the client stays as it is. A piece of what comes out has at most `PIECE` bytes,
whatever a small input unfolds to.
"""

import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Protocol

from agentmon.compression import zstd_library

PIECE = 1 << 20
"""Bytes of one piece at most, where the library can be asked for that."""

MOST = 64 << 20
"""Bytes that a whole body may unfold to."""


class Undecodable(Exception):
    """The body is not what its `Content-Encoding` says, or nothing here reads that."""


class Decoder(Protocol):
    """Takes a body piece by piece. Raises Undecodable."""

    def feed(self, data: bytes) -> Iterable[bytes]: ...


class _Plain:
    def feed(self, data: bytes) -> Iterable[bytes]:
        yield data


class _Zlib:
    def __init__(self, encoding: str) -> None:
        self._bits = 31 if encoding == "gzip" else 15
        self._stream = zlib.decompressobj(self._bits)
        self._is_first = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from self._unfold(data)
        except zlib.error as problem:
            raise Undecodable(str(problem)) from problem

    def _unfold(self, data: bytes) -> Iterator[bytes]:
        if self._is_first and data:
            self._is_first = False
            if self._bits == 15 and data[0] & 0x0F != 8:  # "deflate" without its header
                self._stream = zlib.decompressobj(-15)
        while data:
            if piece := self._stream.decompress(data, PIECE):
                yield piece
            data = self._stream.unconsumed_tail
            if self._stream.eof and self._stream.unused_data:  # members one after the other
                data, self._stream = self._stream.unused_data, zlib.decompressobj(self._bits)


class _Zstd:
    def __init__(self, library: Any) -> None:
        self._library = library
        self._stream = library.ZstdDecompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                if piece := self._stream.decompress(data, PIECE):
                    yield piece
                data = b""
                if self._stream.eof:
                    data, self._stream = self._stream.unused_data, self._library.ZstdDecompressor()
                if not data and (self._stream.needs_input or not piece):
                    return
        except self._library.ZstdError as problem:
            raise Undecodable(str(problem)) from problem


class _Brotli:
    def __init__(self, library: Any) -> None:
        self._library = library
        self._stream = library.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        process = getattr(self._stream, "process", None) or self._stream.decompress
        try:
            if piece := process(data):
                yield piece
        except self._library.error as problem:
            raise Undecodable(str(problem)) from problem


class _Limited:
    """Ends what unfolds to more than `MOST` bytes."""

    def __init__(self, inner: Decoder) -> None:
        self._inner = inner
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        for piece in self._inner.feed(data):
            self._size += len(piece)
            if self._size > MOST:
                raise Undecodable(f"it unfolds to more than {MOST >> 20} MiB")
            yield piece


def _brotli() -> Any | None:
    for name in ("brotli", "brotlicffi"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def decoder(encoding: str) -> Decoder:
    """For the value of a `Content-Encoding` field. Raises Undecodable: nothing here reads it."""
    known = encoding.strip().lower()
    if known in ("", "identity"):
        return _Plain()
    if known in ("gzip", "x-gzip", "deflate"):
        return _Limited(_Zlib(known.removeprefix("x-")))
    if known == "zstd" and (zstd := zstd_library()) is not None:
        return _Limited(_Zstd(zstd))
    if known == "br" and (brotli := _brotli()) is not None:
        return _Limited(_Brotli(brotli))
    raise Undecodable(f"nothing here reads {known!r}")


def decoded(body: bytes, encoding: str) -> bytes:
    """A whole body. Raises Undecodable."""
    return b"".join(decoder(encoding).feed(body))
