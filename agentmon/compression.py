"""Where zstd comes from: the standard library of Python 3.14, or its backport (an extra)."""

import gzip
from importlib import import_module
from typing import IO, Any

INSTALL = "pip install 'agentmon[zstd]'"


def zstd_library() -> Any | None:
    """The module, None where neither is installed."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


class NoLibrary(OSError):
    """Nothing here can write zstd; the message says what can be done."""


def writer(file: IO[bytes], name: str) -> Any:
    """What writes to a file as its name asks for: `.zst`, `.gz`, else as it is. It has to be closed
    before the file, and leaves that open. Raises NoLibrary."""
    if name.endswith(".gz"):
        # no name and no time: what is the same stays the same
        return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
    if not name.endswith(".zst"):
        return file
    library = zstd_library()
    if library is None:
        other = name.removesuffix(".zst") + ".gz"
        raise NoLibrary(f"zstd cannot be written here: {INSTALL}, or write {other}")
    return library.ZstdFile(file, "wb")
