"""What a store takes on the disk: the database, its WAL, and the texts beside it.

Database and WAL are a look each. The texts are a file a block, so they are walked: slowly, off the
event loop, with rests.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from agentmon.store.db import database
from agentmon.store.deltas import TEXTS

REST_EVERY = 256
"""Files between two rests of a walk."""


class Texts(Struct, frozen=True):
    """Bytes and files below `delta_store`: texts of blocks, large results. `is_whole` False: there
    are more, nobody waited for them."""

    bytes: int
    files: int
    is_whole: bool = True


class Sizes(Struct, frozen=True):
    """Bytes of a store; `texts` None: not measured yet."""

    database: int
    wal: int
    texts: Texts | None = None

    @property
    def total(self) -> int:
        """As far as it is known."""
        return self.database + self.wal + (self.texts.bytes if self.texts is not None else 0)


def glance(data_dir: Path, texts: Texts | None = None) -> Sizes:
    """Database and WAL as they are now; what is known of the texts is passed on."""
    path = database(data_dir)
    return Sizes(_size(path), _size(Path(f"{path}-wal")), texts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def weigh_texts(
    data_dir: Path, *, most: int | None = None, rest: Callable[[], bool] = lambda: True
) -> Texts | None:
    """Walks through the texts, at most so many files. `rest` is called between some of them and
    says whether to go on; None: it did not."""
    total = files = 0
    for size in files_below(data_dir / TEXTS):
        if files == most:
            return Texts(total, files, is_whole=False)
        total, files = total + size, files + 1
        if files % REST_EVERY == 0 and not rest():
            return None
    return Texts(total, files)


def files_below(folder: Path) -> Iterator[int]:
    """The size of every file below a folder; one that went meanwhile is left out."""
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(where, name)).st_size
            except OSError:  # it went meanwhile
                continue
