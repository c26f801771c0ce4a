"""Recorded runs of real clients as lives: each line comes in when it did (`seen.jsonl`)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentmon.core.events import Event, Malformed, Meta, Notice
from agentmon.sources.decoding import Context, LineDecoder, line_key
from agentmon.sources.hooks import HookDecoder
from agentmon.sources.rollouts import FORMAT as ROLLOUT
from agentmon.sources.sse_lines import Decoder
from agentmon.sources.transcripts import TranscriptDecoder
from tests.life import Arrival


def wire(scene: Path) -> list[Arrival]:
    """The tap writes an event at its own time."""
    decoder, found, last = Decoder(), list[Arrival](), 0.0
    for line, offset in _lines(scene / "sse_lines.jsonl"):
        events = decoder.decode(line, offset)
        last = max(last, _time(events) or last)
        found.append((last, events))
    return found


def told(scene: Path) -> list[Arrival]:
    """Transcripts with subagents, rollouts, when each of their lines was there."""
    found: list[Arrival] = []
    seen = list(_seen(scene))
    for path in sorted(scene.glob("*/**/*.jsonl")):
        times = [row["t"] for row in seen if row["file"] == path.name]
        if "sessions" in path.parts or "projects" in path.parts:
            decoder = _decoder(path)
            last = 0.0
            for number, (line, offset) in enumerate(_lines(path)):
                last = times[number] if number < len(times) else last
                found.append((last, decoder.decode(line, offset)))
    return found


def _decoder(path: Path) -> LineDecoder:
    context = Context(str(path), lambda: 0.0)
    return TranscriptDecoder(context) if "projects" in path.parts else ROLLOUT.open(context)


def hooks(scene: Path) -> list[Arrival]:
    decoder = HookDecoder(Context(str(scene / "hooks.jsonl"), lambda: 0.0))
    found: list[Arrival] = []
    for line, offset in _lines(scene / "hooks.jsonl"):
        events = decoder.decode(line, offset)
        found.append((_time(events) or 0.0, events))
    return found


def registry(scene: Path) -> list[Arrival]:
    """What `sessions/<pid>.json` said, whenever it changed."""
    found: list[Arrival] = []
    last: dict[str, str] = {}
    for row in _seen(scene):
        if row["type"] != "session-state":
            continue
        file, before = row["file"], last.pop(row["file"], None)
        sid = row.get("sessionId")
        if before is not None and before != sid:
            found.append((row["t"], [_status(row, before, row["t"], "gone")]))
        if sid is not None:
            last[file] = sid
            if row["status"] is not None:
                found.append((row["t"], [_status(row, sid, row["at"] / 1000, row["status"])]))
    return found


def _status(row: dict[str, Any], sid: str, time: float, status: str) -> Notice:
    meta = Meta(pid=int(row["file"].partition(".")[0]), kind="registry")
    count, digest = line_key(json.dumps([row, status]).encode())
    said = (sid, meta, "registry", count, None, time, digest)
    return Notice(*said, "status", "{}", text=row.get("waitingFor"), kind=status)


SOURCES = {"wire": wire, "told": told, "hooks": hooks, "registry": registry}


def arrivals(scene: Path, *names: str) -> list[Arrival]:
    return [arrival for name in names for arrival in SOURCES[name](scene)]


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    offset = 0
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        if line:
            yield line, offset
        offset += len(line) + 1


def _seen(scene: Path) -> Iterator[dict[str, Any]]:
    for line, _ in _lines(scene / "seen.jsonl"):
        yield json.loads(line)


def _time(events: list[Event | Malformed]) -> float | None:
    times = [event.time for event in events if isinstance(event, Event) and event.time is not None]
    return max(times, default=None)
