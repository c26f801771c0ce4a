"""The file of an archive: a tar of plain files below zstd, or gzip where no zstd is installed.

Written with names, sizes and hashes of all members in the last one, so that a file that was cut
short is never taken for whole. Read strictly: plain files only, of bounded size, under the names
that are expected, and without anything of tar that is longer than its first header.
"""

import contextlib
import gzip
import os
import tarfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

import msgspec
from msgspec import Struct

from agentmon.compression import INSTALL, zstd_library

SUMS = "sums.ndjson"
_BLOCK = 512
_PIECE = 1 << 20
LARGEST = 512 << 20
"""Bytes of the largest member that is read into memory; that of a result may be larger."""
_NAME = 100
"""Bytes of a name that fit into every tar header."""


class BadArchive(Exception):
    """A file that is no whole archive of agentmon; the message says why, for a sentence."""


class Member(Struct):
    """A file of an archive. `path`: where it belongs, below the data folder; None: rows."""

    name: str
    size: int
    sha256: str
    path: str | None = None


def suffix() -> str:
    """Of the archives that are written here."""
    return ".tar.zst" if zstd_library() is not None else ".tar.gz"


class Packer:
    """Writes an archive. Raises OSError; `close` makes it whole and durable, `abandon` ends it."""

    def __init__(self, path: Path) -> None:
        self._raw = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._out = _compressing(self._raw)
        self._sums = bytearray()
        self._files = 0

    def add(self, name: str, data: bytes) -> None:
        self._begin(name, len(data))
        self._out.write(data)
        self._end(Member(name, len(data), sha256(data).hexdigest()))

    def add_file(self, path: str, data_dir: Path, size: int) -> None:
        """The first `size` bytes of a file below the data folder, or what is there of them."""
        try:
            fd = os.open(data_dir / path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        with os.fdopen(fd, "rb") as file:
            left = size = min(size, os.fstat(fd).st_size)
            self._files += 1
            name = path if len(path.encode()) <= _NAME else f"files/{self._files}"
            self._begin(name, size)
            digest = sha256()
            while left and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                self._out.write(piece)
                left -= len(piece)
            if left:
                raise OSError(5, "a file became shorter while it was archived", str(path))
            self._end(Member(name, size, digest.hexdigest(), path))

    def _begin(self, name: str, size: int) -> None:
        header = tarfile.TarInfo(name)
        header.size, header.mode = size, 0o600
        self._out.write(header.tobuf(tarfile.USTAR_FORMAT))

    def _end(self, member: Member) -> None:
        self._out.write(bytes(-member.size % _BLOCK))
        self._sums += msgspec.json.encode(member) + b"\n"

    def close(self) -> None:
        sums = bytes(self._sums)
        self._begin(SUMS, len(sums))
        self._out.write(sums)
        self._out.write(bytes(-len(sums) % _BLOCK + 2 * _BLOCK))
        self._out.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()

    def abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk takes no end of it either
            self._out.close()
        with contextlib.suppress(OSError):
            self._raw.close()


def _compressing(raw: IO[bytes]) -> IO[bytes]:
    library = zstd_library()
    if library is None:
        return cast("IO[bytes]", gzip.GzipFile("", "wb", 6, raw, mtime=0))
    return cast("IO[bytes]", library.ZstdFile(raw, "wb"))


class Unpacker:
    """Reads the members of an archive one after the other. Raises OSError and BadArchive."""

    def __init__(self, path: Path) -> None:
        self._raw = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._in = _decompressing(self._raw)
        except BaseException:
            self._raw.close()
            raise
        self._left = self._padding = 0

    def close(self) -> None:
        self._in.close()
        self._raw.close()

    def next(self) -> tuple[str, int] | None:
        """(name, size) of the next member; None at the end."""
        self._skip()
        head = self._read(_BLOCK)
        if not any(head):
            return None
        try:
            header = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as problem:
            raise BadArchive("it is not a whole tar file") from problem
        if header.type != tarfile.REGTYPE or header.size < 0:
            raise BadArchive("it has other things than plain files in it")
        self._left, self._padding = header.size, -header.size % _BLOCK
        return header.name, header.size

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the present member."""
        while self._left:
            yield self._take(min(self._left, _PIECE))

    def data(self) -> bytes:
        if self._left > LARGEST:
            raise BadArchive("one of its parts is too large")
        return b"".join(self.pieces())

    def _take(self, size: int) -> bytes:
        data = self._read(size)
        self._left -= size
        return data

    def _skip(self) -> None:
        for _ in self.pieces():
            continue
        self._read(self._padding)
        self._padding = 0

    def _read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size:
            try:
                piece = self._in.read(size)
            except (OSError, MemoryError) as problem:
                if getattr(problem, "errno", None) is not None:
                    raise
                raise BadArchive("its compressed data are damaged") from problem
            except Exception as problem:  # each of the libraries has an error of its own
                raise BadArchive("its compressed data are damaged") from problem
            if not piece:
                raise BadArchive("it is not whole")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _decompressing(raw: IO[bytes]) -> IO[bytes]:
    first = raw.read(4)
    raw.seek(0)
    if first.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile("", "rb", fileobj=raw))
    if first != b"\x28\xb5\x2f\xfd":
        raise BadArchive("it is no archive of agentmon")
    library: Any = zstd_library()
    if library is None:
        raise BadArchive(f"there is no library for zstd here; {INSTALL} brings it")
    return cast("IO[bytes]", library.ZstdFile(raw, "rb"))


def verify(
    path: Path, look: Callable[[str, int, Iterator[bytes]], None], most: int
) -> dict[str, Member]:
    """Reads an archive to its end; its members by name, each as it should be.

    `look` sees each member and its bytes; `most` bytes are decompressed at most. Raises OSError
    and BadArchive.
    """
    found: dict[str, tuple[int, str]] = {}
    unpacker = Unpacker(path)
    try:
        while (member := unpacker.next()) is not None:
            name, size = member
            most -= size + _BLOCK
            if most < 0:
                raise BadArchive("it would take more than there is room for")
            if name == SUMS:
                return _compared(unpacker.data(), found)
            if name in found:
                raise BadArchive("one of its parts is there twice")
            digest = sha256()
            look(name, size, _hashed(unpacker.pieces(), digest))
            for piece in unpacker.pieces():
                digest.update(piece)
            found[name] = size, digest.hexdigest()
    finally:
        unpacker.close()
    raise BadArchive("it is not whole")


def _hashed(pieces: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _compared(sums: bytes, found: dict[str, tuple[int, str]]) -> dict[str, Member]:
    try:
        listed = [msgspec.json.decode(line, type=Member) for line in sums.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadArchive("its list of parts cannot be read") from problem
    members = {member.name: member for member in listed}
    if {name: (member.size, member.sha256) for name, member in members.items()} != found:
        raise BadArchive("its parts are not what its list says")
    return members
