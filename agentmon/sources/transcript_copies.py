"""Which records of a transcript are another session's.

A fork begins with its parent's records. `/branch` says so on each; `--fork-session` only on the
answers (`requestSessionId`; capture.md 2), which come after the prompts that they answer. Copies
are written at once, so the file itself tells what comes behind a prompt.
"""

import os
import stat
from typing import cast

import msgspec

from agentmon.sources.decoding import UUID, Record, mapping

_MOST_BYTES = 8 << 20
"""How far behind a prompt its answer is looked for."""
_PIECE = 1 << 18

_decode = msgspec.json.Decoder().decode


def asked_by(record: Record) -> str | None:
    """The session that asked for an answer, where that is not the one it stands in."""
    asked = record.get("requestSessionId")
    if not isinstance(asked, str) or asked == record.get("sessionId"):
        return None
    return asked if UUID.match(asked) else None


def is_prompt_like(record: Record) -> bool:
    """Whether it is said by a user, not returned by a tool."""
    content = mapping(record.get("message")).get("content")
    parts = cast("list[object]", content) if isinstance(content, list) else []
    return not any(mapping(part).get("type") == "tool_result" for part in parts)


def asked_behind(path: str, offset: int) -> str | None:
    """What `asked_by` says of the first answer behind a byte of a file; None where none is there
    yet, or nothing can be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None  # reading a pipe would take its bytes away
        return _first_answer(fd, offset)
    except OSError:
        return None
    finally:
        os.close(fd)


def _first_answer(fd: int, offset: int) -> str | None:
    rest, end = b"", offset + _MOST_BYTES
    while offset < end and (piece := os.pread(fd, _PIECE, offset)):
        offset += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if b'"assistant"' not in line:
                continue
            try:
                record = mapping(_decode(line))
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue
            if record.get("type") == "assistant":
                return asked_by(record)
    return None
