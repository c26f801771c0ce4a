"""Append-only delta files: the text of each content block, keyed by (flow_id, index).

`delta_store/<sid>/<flow_id>.<n>.txt`, UTF-8: a folder for each message as well would make a new
text cost half as much again, and take a third of the disk. A file may be longer than committed:
whatever is behind the row's `stored_bytes` does not exist. A text that has to be put in another
order is written beside and takes its place after the commit (`file_ops`).
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,120}\Z")

TEXTS = "delta_store"
"""Where all of them lie, below the data folder."""

_RESULTS = "+results"
_NOW = re.compile(rf"({TEXTS}/[^/]+/[^/]+)\.([0-9]+)\.txt\Z")
_BEFORE = re.compile(rf"({TEXTS}/[^/]+/[^/+]+)/index_([0-9]+)\.txt\Z")
"""Each message had a folder until schema 5; that of results, which may be called so, stays."""

OPEN_FILES = 128

BELOW = "below"
"""A link to the folder of another store, where texts are that this one has not: a replay's store
stands on that of its index. They may be longer than committed here, and are not written to."""

SPOOL = "spool"
"""Where a text waits for its commit, below the data folder; emptied at every start."""


@lru_cache(4096)
def safe_name(name: str) -> str:
    """An id as a file name: itself where it is harmless, else a hash of it (design.md 4)."""
    if _PLAIN.match(name) and name not in (".", ".."):
        return name
    return "h-" + blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest()


def block_path(sid: str, flow_id: str, index: int) -> str:
    """The path of a block's text, below the data folder."""
    return f"{TEXTS}/{safe_name(sid)}/{safe_name(flow_id)}.{index}.txt"


def result_path(sid: str, tool_use_id: str) -> str:
    """The path of a large tool result, below the data folder; no flow_id leads to "+results"."""
    return f"{TEXTS}/{safe_name(sid)}/{_RESULTS}/{safe_name(tool_use_id)}.txt"


def path_now(path: str) -> str:
    """Where a text lies that an earlier version had at a path."""
    return _BEFORE.sub(r"\1.\2.txt", path)


def flatten(data_dir: Path) -> None:
    """Puts texts where they lie now. Only for who may write; doing it twice does no harm. Raises
    OSError."""
    try:
        sessions = [
            one for one in os.scandir(data_dir / TEXTS) if one.is_dir(follow_symlinks=False)
        ]
    except FileNotFoundError:
        return
    for session in sessions:
        for entry in [*os.scandir(session.path)]:
            if entry.name != _RESULTS and entry.is_dir(follow_symlinks=False):
                _flatten_message(f"{TEXTS}/{session.name}/{entry.name}", data_dir)


def _flatten_message(folder: str, data_dir: Path) -> None:
    for name in os.listdir(data_dir / folder):
        path = f"{folder}/{name}"
        with suppress(IsADirectoryError):  # a message that is called like a text: it is found there
            os.replace(data_dir / path, data_dir / path_now(path))
    with suppress(OSError):
        os.rmdir(data_dir / folder)


class DeltaFiles:
    """Writes delta files; keeps the last ones open, because one block is written many times."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._root = os.fspath(data_dir)
        self._open: dict[str, int] = {}
        self._folders: set[str] = set()

    def append(self, path: str, at: int, data: bytes) -> None:
        """Puts data at a position; on first touch cuts off what a crash left behind it.

        Raises OSError (a full disk, a read-only folder).
        """
        fd = self._open.get(path)
        if fd is None:
            fd = self._descriptor(path, at)
        if os.pwrite(fd, data, at) < len(data):
            _write_all(fd, data, at)

    def write_whole(self, path: str, data: bytes) -> None:
        """Writes a file at once, replacing what is there."""
        fd = self._create(path, os.O_TRUNC)
        try:
            _write_all(fd, data, 0)
        finally:
            os.close(fd)

    def read(self, path: str, start: int, end: int) -> bytes:
        """Bytes of a file; b"" where there is none."""
        return read_bytes(self.data_dir, path, start, end)

    def carry_out(self, operations: Iterable[tuple[str | None, str]]) -> None:
        """Moves and deletions that a commit has announced. Doing them twice does no harm."""
        for source, target in operations:
            self.close(target)
            if source is not None:
                self.close(source)
                self._move(self._full(source), self._full(target))
            else:
                self._remove(target)

    def _move(self, source: str, target: str) -> None:
        if os.path.exists(source):
            make_folders(os.path.dirname(target))
            os.replace(source, target)

    def _remove(self, target: str) -> None:
        full = self._full(target)
        try:
            os.unlink(full)
            os.rmdir(os.path.dirname(full))
        except OSError:
            return  # gone already, or its folder still holds other blocks

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _descriptor(self, path: str, size: int) -> int:
        if len(self._open) >= OPEN_FILES:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
        fd = self._open[path] = self._create(path, 0 if size else os.O_TRUNC)
        if size:
            os.ftruncate(fd, size)
        return fd

    def _create(self, path: str, flags: int) -> int:
        full = f"{self._root}/{path}"
        mode = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags
        folder = full[: full.rindex("/")]
        if folder not in self._folders:
            self._make_folder(folder)
        try:
            return os.open(full, mode, 0o600)
        except FileNotFoundError:
            make_folders(folder)
            return os.open(full, mode, 0o600)

    def _make_folder(self, folder: str) -> None:
        if len(self._folders) > 4096:
            self._folders.clear()
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            make_folders(folder)
        self._folders.add(folder)

    def close(self, path: str | None = None) -> None:
        """Closes one file, or all."""
        paths = [path] if path is not None else list(self._open)
        for name in paths:
            fd = self._open.pop(name, None)
            if fd is not None:
                os.close(fd)


class FilesAbove(DeltaFiles):
    """Delta files of a store that stands on another: what is written to is brought up first."""

    def append(self, path: str, at: int, data: bytes) -> None:
        if path not in self._open:
            self._bring(path, at)
        super().append(path, at, data)

    def write_whole(self, path: str, data: bytes) -> None:
        self._bring(path, 0)
        super().write_whole(path, data)

    def _bring(self, path: str, size: int) -> None:
        """The first bytes of a text become this store's own; a link to it goes."""
        full = self._full(path)
        is_lent = os.path.islink(full)
        if not is_lent and (not size or os.path.exists(full)):
            return
        data = read_bytes(self.data_dir, path, 0, size)
        if is_lent:
            os.unlink(full)
        if data:
            super().write_whole(path, data)


def read_bytes(data_dir: Path, path: str, start: int, end: int) -> bytes:
    """Bytes of a delta file as far as they are there."""
    try:
        fd = open_text(data_dir, path)
    except FileNotFoundError:
        return b""
    try:
        pieces: list[bytes] = []
        while start < end:
            piece = os.pread(fd, min(end - start, 1 << 20), start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def open_text(data_dir: Path, path: str) -> int:
    """A descriptor of a text: here, in the store below, or where an earlier version had it, as long
    as nobody has written here since. Raises OSError."""
    before = _NOW.sub(r"\1/index_\2.txt", path)
    for place in (path, f"{BELOW}/{path}", before):
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.open(data_dir / place, os.O_RDONLY | os.O_CLOEXEC)
    return os.open(data_dir / path, os.O_RDONLY | os.O_CLOEXEC)  # it may just have been moved there


def make_folders(folder: str) -> None:
    """Like `os.makedirs`, but every folder that is made is its owner's alone."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folders(os.path.dirname(folder))
        os.mkdir(folder, 0o700)


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done
