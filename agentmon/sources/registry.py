"""Claude Code's live registry: `sessions/<pid>.json`, one small file per process (formats.md C.7).

It alone says which process a session runs in, and what it waits for. A file is rewritten in place,
removed when its process ends cleanly, and left behind by a kill: whether the process still lives
is judged elsewhere, by its pid and start time. The `.key` files beside are never opened.
"""

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from agentmon.core.events import Event, Facts, Meta, Notice
from agentmon.sources.decoding import UUID, Record, encode, line_key, mapping
from agentmon.sources.payloads import Base, compact, optional_text
from agentmon.sources.small_files import read_small
from agentmon.sources.transcript_records import number_field, text_field

FLOW = "registry"

_NAME = re.compile(r"[0-9]{1,10}\.json\Z")
_SETTLED = 0.1
"""Seconds after which another write is sure to change the file's time stamp."""


class Entry(NamedTuple):
    """What the registry says of one process."""

    sid: str
    proc_start: str | None
    """Its start, in clock ticks since boot on Linux: guards against a pid that is used again."""
    status: str | None
    status_since: float | None


class _Read(Struct):
    """One file, read."""

    pid: int
    entry: Entry
    meta: Meta
    mark: bytes
    """What its events say, apart from when it was written: equal marks tell nothing new."""
    time: float
    fields: Record


def read_registry(path: str, now: float) -> list[Event]:
    """The events of one file; none where it is torn, gone, or no registry file."""
    found = _read(path, now)
    return _events(found) if found is not None else []


class Registry:
    """Watches the folder. `entries` holds what its files say at present, by pid."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._read: dict[str, _Read] = {}
        self.entries: dict[int, Entry] = {}

    def poll(self) -> list[Event]:
        """The events of the files that changed since the last time. Never raises.

        A session whose file is gone, or names another session now, has no status any more.
        """
        now = self._clock()
        events: list[Event] = []
        present: set[str] = set()
        for name, path, stamp in self._list():
            present.add(name)
            if stamp is not None and stamp != self._seen.get(name):
                events += self._take(name, path, stamp, now)
        for name in [name for name in self._read if name not in present]:
            gone = self._read.pop(name)
            self._seen.pop(name, None)
            events += _over(gone, now)
        self.entries = {found.pid: found.entry for found in self._read.values()}
        return events

    def _list(self) -> list[tuple[str, str, tuple[int, int, int] | None]]:
        """(name, path, stamp) of the files; without a stamp where it can't be had at present."""
        found: list[tuple[str, str, tuple[int, int, int] | None]] = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if _NAME.match(entry.name) is None:
                        continue
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:
                        continue
                    except OSError:
                        found.append((entry.name, entry.path, None))
                        continue
                    stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                    found.append((entry.name, entry.path, stamp))
        except FileNotFoundError:
            pass
        except OSError:
            return [(name, name, None) for name in self._read]
        return found

    def _take(self, name: str, path: str, stamp: tuple[int, int, int], now: float) -> list[Event]:
        found = _read(path, now)
        if found is None:
            return []  # torn: read again the next time
        if abs(now - stamp[0] / 1e9) > _SETTLED:
            self._seen[name] = stamp
        before = self._read.get(name)
        self._read[name] = found
        if before is not None and before.mark == found.mark:
            return []
        events = _events(found)
        if before is not None and before.entry.sid != found.entry.sid:
            events += _over(before, found.time)
        return events


def _read(path: str, now: float) -> _Read | None:
    content = read_small(path)
    try:
        value: object = msgspec.json.decode(content[0]) if content is not None else None
    except (ValueError, RecursionError):
        return None
    fields = mapping(value)
    sid, pid = fields.get("sessionId"), number_field(fields, "pid")
    if not isinstance(sid, str) or UUID.match(sid) is None or pid is None or pid != int(pid):
        return None
    start = fields.get("procStart")
    status = text_field(fields, "status")
    written = _seconds(fields, "updatedAt")
    since = _seconds(fields, "statusUpdatedAt") or written if status is not None else None
    entry = Entry(sid, str(start) if isinstance(start, str | int) else None, status, since)
    said = (
        int(pid),
        *entry,
        *(fields.get(name) for name in ("waitingFor", "tmux", "name", "nameSource", "cwd")),
        *(fields.get(name) for name in ("version", "kind", "entrypoint")),
    )
    meta = Meta(
        version=text_field(fields, "version"),
        pid=int(pid),
        cwd=optional_text(fields.get("cwd")),
        kind="registry",
    )
    return _Read(
        int(pid),
        entry,
        meta,
        encode(compact(said)),
        written if written is not None else now,
        fields,
    )


def _seconds(fields: Record, name: str) -> float | None:
    """A time of the file, which has milliseconds."""
    value = number_field(fields, name)
    return value / 1000 if value is not None and value > 0 else None


def _events(found: _Read) -> list[Event]:
    sid, proc_start, status, since = found.entry
    fields = found.fields
    waiting_for = text_field(fields, "waitingFor")
    count, digest = line_key(found.mark)
    events: list[Event] = []
    if status is not None:
        base: Base = (sid, found.meta, FLOW, count, None, since or found.time, digest)
        data = compact({"status": status, "waitingFor": waiting_for})
        events.append(Notice(*base, "status", data, text=waiting_for, kind=status))
    said = None if status is None else {"status": status, "since": since}
    values: dict[str, object] = {"status": said, "waiting_for": waiting_for}
    if proc_start is not None:
        values["proc_start"] = proc_start
    if fields.get("nameSource") != "derived" and text_field(fields, "name"):
        values["title"] = fields["name"]
    for name in ("tmux", "entrypoint", "kind"):
        value = text_field(fields, name)
        if value is not None:
            values[name] = value
    events.append(Facts(sid, found.meta, FLOW, count, None, found.time, digest, values))
    return events


def _over(found: _Read, time: float) -> list[Event]:
    """The session of a file that is gone: it was left in order, since a kill leaves the file."""
    count, digest = line_key(b"over:" + found.mark)
    base: Base = (found.entry.sid, found.meta, FLOW, count, None, time, digest)
    values: dict[str, object] = {"status": None, "waiting_for": None}
    gone = Notice(*base, "status", compact({"status": "gone"}), kind="gone")
    return [gone, Facts(*base, values)]
