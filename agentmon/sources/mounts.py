"""Which file systems tell of changes, by the kernel's table of mounts."""

import os
import re
from contextlib import suppress

_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "ocfs2", "gpfs"}
_SHARED = {"9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs", "fuse"}
SILENT = frozenset(_REMOTE | _SHARED)
"""Types whose files change without a word: the writer may sit on another machine. `fuse.*` too."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


def mount_table() -> list[tuple[str, str]]:
    """(mount point, file system type) of each mount; empty where there is no such table."""
    with suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        return parse(file.read())
    return []


def parse(text: str) -> list[tuple[str, str]]:
    rows = [line.split(" ") for line in text.splitlines()]
    return [(_unescaped(row[1]), row[2]) for row in rows if len(row) > 2]


def is_silent(path: str, table: list[tuple[str, str]]) -> bool:
    """Whether the file system that holds `path` is one without notification."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for point, this in table:
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount hides an earlier one
            best, kind = point, this
    return kind in SILENT or kind.startswith("fuse.")


def _unescaped(point: str) -> str:
    """Blanks are written as octal escapes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), point)
