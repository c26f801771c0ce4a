"""`sse_lines.jsonl`, claude variant: one line in, events out (formats.md 0, A).

`Decoder.decode` never raises on input: what it can't read comes out as `Malformed`, what it does
not know as `Unknown`. Fast path: msgspec on both JSON levels, naming only the needed fields.
Slow path: stdlib json, which takes lone surrogates, NaN, invalid UTF-8 and glued lines.
"""

import json
import sys
import time
from collections.abc import Sequence
from operator import length_hint
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import msgspec

from agentmon.core.events import Delta, Event, Malformed, Marker, Meta, Unknown
from agentmon.core.runs import Gathering, Run, delta_digest
from agentmon.sources import retold
from agentmon.sources.decoding import UUID, Bad, Context, Decoded, malformed, objects
from agentmon.sources.envelopes import (
    DeltaPayload,
    Envelope,
    PlainEnvelope,
    decode_any,
    decode_delta,
    decode_envelope,
    decode_inner,
    decode_plain,
    integer,
    read_meta,
    second_of,
    shortened,
    time_of,
)
from agentmon.sources.lines import Part, Piece
from agentmon.sources.payloads import (
    BUILDERS,
    Head,
    optional_text,
    scrub,
)
from agentmon.sources.retold import HEADER, PREFIX
from agentmon.sources.steps import Step, Steps, Stretch
from agentmon.sources.typed import TYPED

DELTA = "claude.content_block_delta"
PLAIN = DELTA
"""The event that has a way of its own: nine lines of ten."""

_MILLIS_AND_ZONE = {f"{millis:03d}Z": millis for millis in range(1000)}


if TYPE_CHECKING:
    from agentmon.sources.codex_wire import CodexDecoder


class Decoder:
    """Decodes the lines of one input. Holds caches only: no line of the claude variant depends on
    another; those of the codex variant go to a decoder of their own, which remembers."""

    def __init__(self, context: Context | None = None) -> None:
        self._context = context or Context("", time.time)
        self._codex: CodexDecoder | None = None
        if self._context.state:
            self._codex = _codex_decoder(self._context)
        self._metas: dict[tuple[object, ...], Meta] = {}
        self._good_sids: set[str] = set()
        self._plain_metas: dict[str, Meta] = {}
        self._second, self._base = "1970-01-01T00:00:00.", 0
        """The last second that was parsed (with its dot), and its epoch milliseconds."""
        self._seeds: dict[str, int] = {}

    def decode(self, data: bytes, offset: int = 0) -> list[Decoded]:
        """The events of one line (without its newline). Empty for a blank line."""
        try:
            env = decode_envelope(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return self._slow(data, offset)
        event = self._plain_event(env)
        if event is not None:
            return [event]
        return self.record(msgspec.structs.asdict(env), data, offset)

    def _plain_event(self, env: Envelope | PlainEnvelope) -> Event | None:
        """An event of the current envelope, as it should be; None where a closer look is due."""
        name, line, metadata, sid, count = (
            env.event,
            env.line,
            env.metadata,
            env.sid,
            env.data_count,
        )
        if name is None or metadata is None or count is None or env.pid is not None:
            return None
        builder = BUILDERS.get(name)
        if builder is None or env.cwd is not None:
            return None
        if sid not in self._good_sids and not self._is_sid(sid):
            return None
        data = line.encode()
        if not data.startswith(b"data: "):
            return None
        typed = TYPED.get(name)
        try:
            inner = (typed[0] if typed is not None else decode_inner)(data[6:])
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        stamp = inner.timestamp
        millis = _MILLIS_AND_ZONE.get(stamp.removeprefix(self._second))
        time = time_of(stamp) if millis is None else (self._base + millis) / 1000
        if time is None:
            return None
        meta = self._plain_metas.get(metadata) or self._plain_meta(metadata)
        base = (sid, meta, env.flow_id or "", count, env.round, time, self._digest(name, data))
        if typed is not None:
            return typed[1](base, inner.payload)
        event = builder(Head(name, base), inner.payload)
        if type(event) is Delta and event.text is not None:
            event.digest = delta_digest(event.text, round(time * 1000))
        return event

    def record(self, row: dict[str, Any], raw: bytes, offset: int) -> list[Decoded]:
        """The events of a row that is parsed already."""
        if not _is_codex(row):
            return [self._event_of(row, raw, offset)]
        if self._codex is None:
            self._codex = _codex_decoder(self._context)
        return self._codex.record(row, raw, offset)

    def save(self) -> bytes:
        """What the decoder of the codex variant remembers."""
        return b"" if self._codex is None else self._codex.save()

    def steps(self, parts: Sequence[Part], most: int = sys.maxsize) -> Steps:
        """What lines say, up to the part in which `most` of them are reached.

        No delta goes past another event of its session.
        """
        steps, gathering = Steps(), Gathering()
        for one in steps.over(parts, most):
            self._read(one, gathering, steps.found)
        return steps

    def _read(self, one: Stretch, gathering: Gathering, found: list[Step]) -> None:
        """Written for speed: every call that the loop spares counts a million times."""
        runs = gathering.runs
        second, base, millis_of = self._second, self._base, _MILLIS_AND_ZONE.get
        coming = iter(self._envelopes(one.rows))
        for env in coming:
            if env is not None and env.event == PLAIN:
                try:
                    inner = decode_delta(env.line.removeprefix("data: "))
                    stamp = inner.timestamp
                    millis = millis_of(stamp.removeprefix(second))
                    if millis is None:
                        second, base, millis = self._next_second(stamp)
                except (msgspec.DecodeError, ValueError, KeyError, RecursionError):
                    pass  # more than a plain delta, or less
                else:
                    payload, count = inner.payload, env.data_count
                    run = runs.get(payload.request_id)
                    if (
                        run is not None
                        and count == run.next_count
                        and payload.index == run.index
                        and env.metadata == run.metadata
                        and env.flow_id == run.flow
                        and env.sid == run.sid
                    ):
                        run.next_count = count + 1
                        run.texts.append(payload.delta.text)
                        run.millis.append(base + millis)
                        continue
                    if env.flow_id is not None and self._is_sid(env.sid):
                        run = self._run(env, env.flow_id, payload, base + millis)
                        found.append(gathering.begin(run))
                        continue
            event = self._plain_event(env) if env is not None else None
            gathering.end(event)
            if event is None:
                found.append(one.odd(len(one.rows) - 1 - length_hint(coming)))
            else:
                found.append(event)

    def _envelopes(self, rows: Sequence[bytes | Piece]) -> Sequence[PlainEnvelope | None]:
        """The envelope of each row; None for one that is not as it should be."""
        try:
            return [*map(decode_plain, cast("Sequence[bytes]", rows))]
        except (msgspec.DecodeError, ValueError, RecursionError, TypeError):
            return [*map(_plain_envelope, rows)]

    def _run(self, env: PlainEnvelope, flow: str, payload: DeltaPayload, millis: int) -> Run:
        metadata = env.metadata
        return Run(
            env.sid,
            self._plain_metas.get(metadata) or self._plain_meta(metadata),
            metadata,
            flow,
            env.round,
            env.data_count,
            payload.request_id,
            payload.index,
            payload.delta.text,
            millis,
        )

    def _next_second(self, stamp: str) -> tuple[str, int, int]:
        """A stamp's second (with its dot), the epoch milliseconds of that, and those in it. Raises
        KeyError and ValueError for one that is not of the form of all."""
        millis, base = _MILLIS_AND_ZONE[stamp[20:]], second_of(stamp[:19])
        if base is None or stamp[19] != ".":
            raise ValueError(stamp)
        self._second, self._base = stamp[:20], base
        return self._second, base, millis

    def _plain_meta(self, metadata: str) -> Meta:
        if len(self._plain_metas) > 10_000:
            self._plain_metas.clear()
        meta = self._plain_metas[metadata] = self._meta(DELTA, metadata, None, None)
        return meta

    # -- every other event, and every line that is not as it should be

    def _slow(self, data: bytes, offset: int) -> list[Decoded]:
        """Lone surrogates, NaN, mistyped keys, glued and torn lines (formats.md 0.3)."""
        out: list[Decoded] = []
        for found in objects(data, offset):
            if isinstance(found, Malformed):
                out.append(found)
            else:
                out += self.record(*found, offset)
        return out

    def _event_of(self, row: dict[str, Any], raw: bytes, offset: int) -> Decoded:
        try:
            head, payload = self._head(row)
        except Bad as problem:
            return malformed(str(problem), raw, offset)
        if head.name is None:
            return Marker(*head.base)
        if head.name == HEADER:
            return Marker(*head.base)
        event = build(head, payload) if payload is not None else None
        if event is not None:
            if type(event) is Delta and event.text is not None and event.time is not None:
                event.digest = delta_digest(event.text, round(event.time * 1000))
            return event
        return Unknown(*head.base, head.name, raw, len(raw), offset)

    def _head(self, row: dict[str, Any]) -> tuple[Head, dict[str, Any] | None]:
        """Everything around the payload. Raises Bad for a row with a bad sid."""
        sid = row.get("sid")
        if sid is not None and not (isinstance(sid, str) and self._is_sid(sid)):
            raise Bad("sid is not a UUID")
        line = row.get("line")
        line = line if isinstance(line, str) else ""
        inner = _inner(line)
        payload = _payload(inner)
        name = optional_text(row.get("event"))
        if not name and line.startswith("event:"):
            name = None
        elif not name:
            kind = optional_text(payload.get("type")) if payload is not None else None
            name = f"claude.{kind}" if kind else ""
        count = integer(row.get("data_count"))
        if count is not None and not 0 <= count < 2**53:
            count = None
        stamp = optional_text(inner.get("timestamp")) if inner is not None else None
        base = (
            sid or "",
            self._meta(name or "claude", row.get("metadata"), row.get("pid"), row.get("cwd")),
            optional_text(row.get("flow_id")) or "",
            -1 if count is None else count,
            optional_text(row.get("round")),
            _time(stamp) or _time(optional_text(row.get("t"))),
            self._digest(name or "event:", line.encode("utf-8", "replace")),
        )
        usable = payload if sid and name else None
        return Head(name, base), usable

    def of_parts(
        self,
        envelope: dict[str, Any],
        inner: dict[str, Any] | None,
        digest: int,
        raw: bytes,
        offset: int,
    ) -> list[Decoded]:
        """The events of a line that was read as a stream: its text is not here (see `huge`).

        `digest` is the checksum of the whole `line`; `raw` is what is kept of it.
        """
        row = {**envelope, "line": "data: " + json.dumps(shortened(inner)) if inner else ""}
        events = self.record(row, raw, offset)
        for event in events:
            if isinstance(event, Event):
                event.digest = digest
                if type(event) is Delta:
                    event.text = None
        return events

    # -- the small things of an envelope

    def _is_sid(self, sid: str) -> bool:
        if sid in self._good_sids:
            return True
        if UUID.match(sid) is None:
            return False
        if len(self._good_sids) > 10_000:
            self._good_sids.clear()
        self._good_sids.add(sid)
        return True

    def _digest(self, name: str, line: bytes) -> int:
        seed = self._seeds.get(name)
        if seed is None:
            if len(self._seeds) > 1_000:
                self._seeds.clear()
            seed = self._seeds[name] = crc32(name.encode("utf-8", "replace"))
        return crc32(line, seed)

    def _meta(self, name: str, metadata: object, pid: object, cwd: object) -> Meta:
        """From the `metadata` string, or the top-level keys of the old envelope."""
        product = "codex" if name.startswith("codex.") else "claude"
        old = pid is not None or cwd is not None
        key: tuple[object, ...] = (
            (metadata,)
            if product == "claude" and not old
            else (product, str(metadata), str(pid), str(cwd))
        )
        if not isinstance(metadata, str):
            key = (product, str(metadata), str(pid), str(cwd))
        meta = self._metas.get(key)
        if meta is None:
            if len(self._metas) > 10_000:
                self._metas.clear()
            meta = self._metas[key] = read_meta(product, metadata, pid, cwd)
        return meta


_CODEX = ("codex.", "turn.", "response.", "thread.", "item.")


def _time(stamp: str | None) -> float | None:
    return None if stamp is None else time_of(stamp)


def _is_codex(row: dict[str, Any]) -> bool:
    name = row.get("event")
    return isinstance(name, str) and (name.startswith(_CODEX) or name == "error")


def _codex_decoder(context: Context) -> "CodexDecoder":
    """Imported when there is something to decode: most logs are of one product."""
    from agentmon.sources.codex_wire import CodexDecoder

    return CodexDecoder(context)


def _plain_envelope(row: bytes | Piece) -> PlainEnvelope | None:
    try:
        return decode_plain(row) if isinstance(row, bytes) else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def build(head: Head, payload: dict[str, Any]) -> Event | None:
    """The event of a payload, or None: a name, or a shape, that this version does not know."""
    name = head.name or ""
    if name.startswith(PREFIX):
        return retold.read(name, head.base, payload)
    builder = BUILDERS.get(name)
    return builder(head, payload) if builder is not None else None


def _inner(line: str) -> dict[str, Any] | None:
    body = line[6:] if line.startswith("data: ") else line.removeprefix("data:")
    if not body.lstrip().startswith("{"):
        return None
    try:
        value: object = decode_any(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        try:
            value = scrub(json.loads(body, strict=False))
        except (ValueError, RecursionError):
            return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _payload(inner: dict[str, Any] | None) -> dict[str, Any] | None:
    payload = inner.get("payload") if inner is not None else None
    return cast("dict[str, Any]", payload) if isinstance(payload, dict) else None
