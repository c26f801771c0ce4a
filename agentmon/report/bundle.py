"""A bundle: sessions of the store as one file that can be passed on, replayed and ingested.

It is a wire log (see `retelling`) behind one line that says what is in it and what was taken out.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from agentmon import __version__
from agentmon.core.redact import RULES_VERSION, Redactor
from agentmon.report.retelling import Line, pieces, retell
from agentmon.report.retold_texts import Keep, Redacted
from agentmon.sources.retold import HEADER
from agentmon.sources.wire_form import stamp
from agentmon.store.read_retelling import SessionTale

VERSION = 1
"""Of the form of a bundle."""

_HOMES = re.compile(r"^(?:/home|/Users|[A-Za-z]:\\Users)[/\\]([^/\\]+)")


class Summary(Struct):
    """What was written. `redacted` says how often what was taken out; None: nothing was to be."""

    sessions: int = 0
    lines: int = 0
    bytes: int = 0
    redacted: dict[str, int] | None = None


def write(
    conn: sqlite3.Connection,
    data_dir: Path,
    sessions: Sequence[SessionTale],
    redactor: Redactor | None,
    out: Callable[[bytes], object],
    *,
    deltas_since: float = 0.0,
) -> Summary:
    """Writes a bundle of sessions, piece by piece (see `retell`). Run it in one transaction."""
    found = Summary(len(sessions))
    texts = Keep() if redactor is None else Redacted(redactor)

    def put(line: Line) -> None:
        for piece in pieces(line):
            out(piece)
            found.bytes += len(piece)
        found.lines += 1

    put(header(sessions, is_redacted=redactor is not None))
    for _, line in retell(conn, data_dir, sessions, texts, deltas_since=deltas_since):
        put(line)
    if redactor is not None:
        found.redacted = dict(sorted(redactor.counts.items()))
    return found


def header(sessions: Sequence[SessionTale], *, is_redacted: bool) -> bytes:
    """The first line."""
    payload = {
        "type": HEADER.partition(".")[2],
        "version": VERSION,
        "agentmon": __version__,
        "redaction": RULES_VERSION if is_redacted else None,
        "sessions": [one.sid for one in sessions],
    }
    begins = [one.first_time for one in sessions if one.first_time is not None]
    at = stamp(min(begins, default=0.0))
    inner = {"timestamp": f"{at}Z", "type": "event_msg", "payload": payload}
    line = "data: " + msgspec.json.encode(inner).decode()
    return msgspec.json.encode({"event": HEADER, "t": at, "line": line}) + b"\n"


def people(sessions: Sequence[SessionTale]) -> list[str]:
    """Names of users that the folders of sessions tell."""
    found = (_HOMES.match(one.cwd or "") for one in sessions)
    return sorted({match[1] for match in found if match is not None})
