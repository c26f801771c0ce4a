"""Lines of other machines: where they lie here, byte for byte as they lie there.

A machine sends pieces of its logs with source and offset (`engine.shipping`); here they become the
same files again, below `remote/<host>/<source>/` in the data folder, and are followed like any. So
a piece that comes twice changes nothing, and whatever holds for logs holds for these.
"""

import os
from pathlib import Path

from msgspec import Struct

from agentmon.store.deltas import safe_name

REMOTE = "remote"

MAX_PIECE = 1 << 20
"""Bytes of one piece."""
_MAX_OFFSET = 1 << 50
_NAMES = 3
"""How many last names of a path are kept: session, "subagents", file."""


class Piece(Struct, frozen=True):
    """Bytes of a log of another machine. `source` is the same as long as it is the same file,
    written on and never from its start again."""

    host: str
    source: str
    path: str
    offset: int
    data: bytes


def folder(data_dir: Path) -> Path:
    """Where all of it lies."""
    return data_dir / REMOTE


def place(data_dir: Path, piece: Piece) -> Path:
    """The file that a piece belongs to. What the other side calls it is no path of ours."""
    names = [name for name in piece.path.split("/") if name][-_NAMES:] or ["log"]
    below = folder(data_dir) / safe_name(piece.host) / safe_name(piece.source)
    return below.joinpath(*map(safe_name, names))


def host_of(path: str, remote: str) -> str | None:
    """The machine that a file below `remote` (with its last slash) is of; None for others."""
    if not path.startswith(remote):
        return None
    return path[len(remote) :].partition("/")[0] or None


def write(data_dir: Path, piece: Piece) -> bool:
    """Puts a piece where it belongs; False where the bytes before it never came.

    Raises OSError, and ValueError for what is no piece.
    """
    if not piece.host or not piece.source or not 0 <= piece.offset <= _MAX_OFFSET:
        raise ValueError("a piece without host, source or place")
    if len(piece.data) > MAX_PIECE:
        raise ValueError("a piece that is too long")
    path = place(data_dir, piece)
    begins = 0 if piece.offset else os.O_CREAT
    if begins:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | begins | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return False
    try:
        is_whole = os.fstat(fd).st_size >= piece.offset
        view, offset = memoryview(piece.data), piece.offset
        while view and is_whole:
            written = os.pwrite(fd, view, offset)
            view, offset = view[written:], offset + written
        return is_whole
    finally:
        os.close(fd)
