"""Small files that a client rewrites in place: read whole, never waited for."""

import os

_MAX_BYTES = 1 << 16


def read_small(path: str, most: int = _MAX_BYTES) -> tuple[bytes, float] | None:
    """(content, time of the last write); None where there is nothing to read at present.

    At most `most` bytes are read. Opened without blocking: a pipe under such a name must not hold
    up the reader.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            return file.read(most), os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError):
        return None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
