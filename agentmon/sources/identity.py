"""What makes an input itself across renames, rotations and restarts (formats.md 0.8).

A file is known by device, inode, its first bytes and the bytes before the position, never by its
path alone. Nothing here reads lines.
"""

import os
import re
import stat
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

HEAD = 4096
"""How many first bytes identify a file."""

_BEGINNING = 64
"""Bytes of a log that are looked at to know it for one."""

ANCHOR = 64
"""How many bytes before the position are compared before going on from it."""

PIECE = 256 << 10
"""Bytes per read of a line that is too long to be held."""

Identity: TypeAlias = tuple[int, int]
"""(device, inode)."""


class SourceState(Struct, frozen=True):
    """What the store keeps of an input; see `sources` in schema.sql.

    `head_hash` is blake2b-16 over the first `head_size` bytes (at most 4096, never past
    `position`), `anchor` the up to 64 bytes before `position`, `position` the byte after the last
    complete line, `tail_bytes` how much of an unfinished line came after it, `generation` how often
    it was read again from the start. A pipe counts the bytes it gave.
    """

    path: str
    kind: Literal["file", "pipe"] = "file"
    dev: int = 0
    inode: int = 0
    head_size: int = 0
    head_hash: bytes = b""
    anchor: bytes = b""
    position: int = 0
    generation: int = 0
    tail_bytes: int = 0

    @property
    def identity(self) -> Identity:
        return self.dev, self.inode

    @property
    def key(self) -> str:
        """One row of `sources` per key: a file by device and inode, a pipe by its path."""
        return f"pipe:{self.path}" if self.kind == "pipe" else f"file:{self.dev}:{self.inode}"


class Problem(Struct, frozen=True):
    """Something about a path that a person should know, as one sentence."""

    path: str
    message: str


def failure(path: str, error: OSError) -> Problem:
    """The one sentence for an error of the operating system."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return Problem(path, f"cannot read {path}: {reason}")


class OpenFile:
    """A descriptor that closes with its last user; the body of huge lines.

    Raises OSError when the path cannot be opened.
    """

    def __init__(self, path: str) -> None:
        # Without O_NONBLOCK a FIFO that took the file's name would block here for good.
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self.fd)

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield the `size` bytes from `offset`; fewer where they are gone or cannot be read."""
        yield from read_pieces(self.fd, offset, size)  # holds the file open, unlike a return


def read_pieces(fd: int, offset: int, size: int) -> Iterator[bytes]:
    """The bytes of an open file in pieces, until the first that cannot be had."""
    end = offset + size
    with suppress(OSError):
        while offset < end and (data := os.pread(fd, min(PIECE, end - offset), offset)):
            yield data
            offset += len(data)


def head_digest(head: bytes) -> bytes:
    return blake2b(head, digest_size=16).digest() if head else b""


def verified(fd: int, state: SourceState) -> bool:
    """Whether the file behind `fd` still begins and goes on as `state` says. Raises OSError."""
    if os.fstat(fd).st_size < state.position:
        return False
    if head_digest(os.pread(fd, state.head_size, 0)) != state.head_hash:
        return False
    before = max(0, state.position - len(state.anchor))
    return os.pread(fd, len(state.anchor), before) == state.anchor


class Sibling(Struct, frozen=True):
    """A regular file beside a followed one."""

    path: str
    identity: Identity
    size: int
    mtime_ns: int


def siblings(path: str) -> list[Sibling]:
    """The other regular files of the path's folder, oldest change first; none if unreadable."""
    found: list[Sibling] = []
    with suppress(OSError), os.scandir(os.path.dirname(path) or ".") as entries:
        for entry in entries:
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and entry.name != os.path.basename(path):
                    identity = info.st_dev, info.st_ino
                    found.append(Sibling(entry.path, identity, info.st_size, info.st_mtime_ns))
    return sorted(found, key=lambda one: (one.mtime_ns, one.path))


def is_rotation_of(candidate: str, path: str) -> bool:
    """Whether `candidate` is called as rotation tools call an older `path`.

    `a.jsonl.1`, `a.jsonl-20251121`, `a.jsonl~`; `a.1.jsonl`, `a-2025-11-21.jsonl`.
    """
    name, old = os.path.basename(path), os.path.basename(candidate)
    stem, suffix = os.path.splitext(name)
    numbered = rf"{re.escape(stem)}[._-]\d[\d._:TZ-]*{re.escape(suffix)}"
    return re.fullmatch(rf"{re.escape(name)}([._-].+|~)|{numbered}", old) is not None


def looks_binary(first_bytes: bytes) -> bool:
    """Whether a file that begins so is no line log: NUL bytes, or 64 KiB without a line end.

    A beginning that reads as JSON is a log in any case, also behind the NULs that a truncated file
    gets from a writer which does not append.
    """
    sample = first_bytes[: 64 << 10]
    if begins_as_log(sample):
        return False
    return b"\0" in sample or (len(sample) == 64 << 10 and b"\n" not in sample)


def begins_as_log(first_bytes: bytes) -> bool:
    """Whether the first thing in it is a JSON object or array: one byte of random ones may look so,
    but text comes behind it."""
    begun = first_bytes.lstrip(b"\xef\xbb\xbf\0 \t\r\n")[:_BEGINNING]
    text = begun.partition(b"\0")[0]
    if not text.startswith((b"{", b"[")) or (len(text) == 1 and text != begun):
        return False
    try:
        getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def standard_path(path: str) -> str:
    """The absolute path under which a file is known; symlinks stay, they may be re-pointed."""
    return os.path.abspath(Path(path).expanduser())
