"""The oracle's reading of bytes: whole inputs to entries, duplicates marked, the rest counted."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

Object = dict[str, Any]

_STREAM = """
message_start content_block_start content_block_delta content_block_stop message_delta message_stop
error
"""
_OTHER = """
session_start session_end user_prompt stop turn_end queue_operation tool_result ping message
notification user_prompt_submit user_prompt_expansion pre_tool_use permission_request
permission_denied post_tool_use post_tool_use_failure post_tool_batch stop_failure subagent_start
subagent_stop pre_compact post_compact pre_model_switch post_model_switch setup teammate_idle
task_created task_completed elicitation elicitation_result config_change worktree_create
worktree_remove instructions_loaded cwd_changed file_changed directory_added message_display
"""
STREAM = frozenset(_STREAM.split())
KNOWN = STREAM | frozenset(_OTHER.split())

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MARKER = re.compile(r'\{"(?:event|t|type|parentUuid)":')
_SPACE = re.compile(r"[ \t\r\n]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Entry:
    """One decoded event. `time` is in whole milliseconds; `seq` is its place of arrival."""

    seq: int
    time: int
    name: str  # without "claude."
    sid: str
    pid: int | None
    flow: str
    count: int | None
    round: str | None  # as written; None: absent
    agent: str | None
    cwd: str | None
    version: str | None
    payload: Object
    is_repeat: bool = False  # a message_start or prompt that came before under another counter

    @property
    def key(self) -> tuple[int, int]:
        """Payload time decides between events, arrival between equal times."""
        return (self.time, self.seq)

    @property
    def request(self) -> str | None:
        return text_or_none(self.payload.get("request_id")) or None


@dataclass
class Reading:
    """All inputs, read one after the other."""

    entries: list[Entry] = field(default_factory=lambda: list[Entry]())
    lines: int = 0
    events: int = 0
    bad_lines: int = 0
    torn: int = 0
    duplicates: int = 0
    unknown_events: int = 0
    seen: set[tuple[object, ...]] = field(default_factory=lambda: set[tuple[object, ...]]())


def object_of(value: object) -> Object:
    """The value if it is a JSON object, else an empty one."""
    return cast(Object, value) if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read(files: Sequence[bytes | Path]) -> Reading:
    reading = Reading()
    for file in files:
        data = file if isinstance(file, bytes) else file.read_bytes()
        offset = 0
        *whole, tail = data.split(b"\n")
        for line in whole:
            _read_line(reading, line, offset)
            offset += len(line) + 1
        if tail and _new(reading, ("torn", offset, tail)):
            reading.torn += 1
    return reading


def _read_line(reading: Reading, line: bytes, offset: int) -> None:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    if offset == 0:
        text = text.removeprefix("\ufeff")
    if not text.strip(" \t\r"):
        return
    # Every value is taken, also after one that was new.
    news = [_take(reading, value, offset, start, raw) for start, value, raw in values(text)]
    reading.lines += any(news)
    reading.duplicates += news.count(False)


def values(text: str) -> Iterator[tuple[int, object, str]]:
    """(place, value, text) of what a line holds; the value of a stretch is Undecodable."""
    decoder = json.JSONDecoder()
    at = 0
    while (at := cast(re.Match[str], _SPACE.match(text, at)).end()) < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            marker = _MARKER.search(text, at + 1)
            value, end = Undecodable, marker.start() if marker else len(text)
        yield at, value, text[at:end]
        at = end


class Undecodable:
    """Marks a stretch of a line that is not JSON."""


def _new(reading: Reading, key: tuple[object, ...]) -> bool:
    if key in reading.seen:
        return False
    reading.seen.add(key)
    return True


def _take(reading: Reading, value: object, offset: int, start: int, raw: str) -> bool:
    """Counts a value and keeps it; False for a duplicate."""
    envelope = object_of(value)
    sid = envelope.get("sid")
    if not isinstance(value, dict) or (
        "sid" in envelope and not (isinstance(sid, str) and _UUID.fullmatch(sid))
    ):
        is_new = _new(reading, ("bad", offset, start, raw))
        reading.bad_lines += is_new
        return is_new
    if not isinstance(sid, str):
        is_new = _new(reading, ("unknown", offset, start, raw))
        reading.events += is_new
        reading.unknown_events += is_new
        return is_new
    return _take_row(reading, envelope, sid)


def _take_row(reading: Reading, envelope: Object, sid: str) -> bool:
    meta = object_of(_json(envelope.get("metadata")))
    pid = integer(meta.get("pid", envelope.get("pid")))
    flow = text_or_none(envelope.get("flow_id")) or ""
    count = integer(envelope.get("data_count"))
    line = text_or_none(envelope.get("line"))
    inner = object_of(_json(line.removeprefix("data: ") if line is not None else None))
    payload = object_of(inner.get("payload"))
    event = text_or_none(envelope.get("event"))
    if event is None and line is not None and not line.startswith("event:"):
        event = f"claude.{payload.get('type')}"
    if not _new(reading, ("row", sid, pid, flow, count, event, line)):
        return False
    if event is None and line is not None:
        return True  # the first of two lines of one event
    name = (event or "").removeprefix("claude.")
    time = _time(inner.get("timestamp")) or _time(envelope.get("t"))
    if name not in KNOWN or event == name or not payload or time is None:
        reading.events += 1
        reading.unknown_events += 1
        return True
    entry = Entry(
        seq=len(reading.entries),
        time=time,
        name=name,
        sid=sid,
        pid=pid,
        flow=flow,
        count=count,
        round=text_or_none(envelope.get("round")),
        agent=text_or_none(meta.get("agent")),
        cwd=text_or_none(meta.get("cwd", envelope.get("cwd"))) or None,
        version=text_or_none(meta.get("ver")) or None,
        payload=payload,
    )
    entry.is_repeat = not _new_by_id(reading, entry)
    reading.entries.append(entry)
    reading.events += not entry.is_repeat
    return not entry.is_repeat


def _new_by_id(reading: Reading, entry: Entry) -> bool:
    if entry.name == "message_start":
        return _new(reading, ("start", entry.sid, message_id(entry)))
    uuid = entry.payload.get("message_uuid")
    if entry.name == "user_prompt" and isinstance(uuid, str) and uuid:
        return _new(reading, ("prompt", entry.sid, uuid))
    return True


def message_id(entry: Entry) -> str:
    """The id that a `message_start` or a `claude.message` gives its message."""
    return text_or_none(message_body(entry).get("id")) or entry.flow


def message_body(entry: Entry) -> Object:
    """A whole message stands under `message`, or bare."""
    return object_of(entry.payload.get("message", entry.payload))


def _json(value: object) -> object:
    if not isinstance(value, str):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def integer(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: object) -> int | None:
    """Whole milliseconds since the epoch; a time without zone is read as UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
