"""Lines too long to be held: what they say, with the text of tool results streamed into files.

A result's text waits in the spool folder until its batch is committed and then takes its place
(`file_ops`); what a crash leaves in the spool belongs to nobody and goes at the next start.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import cast

from msgspec import Struct

from agentmon.core.events import Delta, Event, Malformed, Result, ToolResults, Unknown
from agentmon.engine.decoders import AnyDecoder
from agentmon.sources import huge
from agentmon.sources.decoding import HEAD_BYTES, Decoded, Record
from agentmon.sources.envelopes import shortened
from agentmon.sources.lines import HugeLine
from agentmon.sources.sse_lines import Decoder
from agentmon.store.deltas import SPOOL

PREVIEW = 500


class SpooledText:
    """A sink that writes to a file of its own and remembers the beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = ""
        self._file = os.fdopen(
            os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600),
            "w",
            encoding="utf-8",
            errors="replace",
            newline="",
        )

    def write(self, text: str) -> None:
        if len(self.head) < PREVIEW:
            self.head += text[: PREVIEW - len(self.head)]
        self._file.write(text)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError):  # on a full disk closing fails too, and it must go all the same
            self.close()
        self.path.unlink(missing_ok=True)


class Parsed(Struct):
    """A huge line that was read: the events of an envelope, or the object of another format."""

    events: list[Decoded]
    row: Record | None = None
    rest: bytes = b""


class HugeLines:
    """Decodes over-long lines of one run. Raises OSError when the spool can't be written."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / SPOOL
        self._made = 0

    def parse(self, line: HugeLine, decoder: AnyDecoder) -> Parsed:
        """Reads a line; what takes long. May run ahead of the lines before it."""
        try:
            if isinstance(decoder, Decoder):
                return Parsed(self._envelope(line, decoder))
            row, rest = huge.read_object(line.pieces())
        except huge.HugeError as problem:
            bad = Malformed(line.offset, line.size - 1, str(problem), line.head[:HEAD_BYTES])
            return Parsed([bad])
        return Parsed([], cast(Record, shortened(row)), rest)

    def events(self, parsed: Parsed, line: HugeLine, decoder: AnyDecoder) -> list[Decoded]:
        """The events of a line, and of lines that were glued to it; in the order of lines."""
        if parsed.row is None or isinstance(decoder, Decoder):
            return parsed.events
        found = decoder.record(parsed.row, line.head + line.tail, line.offset)
        for event in found:
            if isinstance(event, Malformed | Unknown):
                event.size = line.size - 1
        return [*found, *decoder.decode(parsed.rest, line.offset)]

    def _envelope(self, line: HugeLine, decoder: Decoder) -> list[Decoded]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = huge.decode(line.pieces(), self._new_sink)
        return [*self._events(found, line, decoder), *decoder.decode(found.rest, line.offset)]

    def _new_sink(self, number: str) -> SpooledText:
        self._made += 1
        return SpooledText(self._folder / f"{os.getpid()}-{self._made}-{number}.txt")

    def _events(self, found: huge.HugeEvent, line: HugeLine, decoder: Decoder) -> list[Decoded]:
        raw = line.head + line.tail
        events = decoder.of_parts(found.envelope, found.inner, found.line_crc, raw, line.offset)
        for event in events:
            if isinstance(event, Malformed | Unknown):
                event.size = line.size - 1
            elif isinstance(event, Delta):
                event.cut = _cut_of(found.inner)
        first = events[0]
        if found.results and isinstance(first, ToolResults | Unknown):
            return [self._with_results(first, found.results)]
        return events

    def _with_results(self, event: ToolResults | Unknown, results: list[huge.HugeResult]) -> Event:
        kept: list[Result] = []
        for result in results:
            sink = result.sink
            if not isinstance(sink, SpooledText):
                continue
            sink.close()
            file = f"{SPOOL}/{sink.path.name}"
            kept.append(
                Result(
                    result.tool_use_id,
                    result.is_error if event.meta.agent == "claude" else None,
                    sink.head,
                    file,
                    result.size,
                    result.sha256,
                )
            )
        return ToolResults(
            event.sid,
            event.meta,
            event.flow,
            event.count,
            event.round,
            event.time,
            event.digest,
            kept,
        )


def _cut_of(inner: dict[str, object] | None) -> int:
    """Bytes of a delta's text that were not kept."""
    payload = inner.get("payload") if inner is not None else None
    delta = cast("dict[str, object]", payload).get("delta") if isinstance(payload, dict) else None
    if not isinstance(delta, dict):
        return 0
    values = cast("dict[str, object]", delta).values()
    return sum(value.size for value in values if isinstance(value, huge.Cut))


def empty_spool(data_dir: Path) -> None:
    """At start: what is in the spool now was never committed."""
    folder = data_dir / SPOOL
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
