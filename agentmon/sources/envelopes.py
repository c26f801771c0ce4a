"""The outer form of a wire-log line: envelopes old and new, times, metadata (formats.md A.1).

Typed structs for msgspec that name only what is needed; what does not fit them is read as plain
JSON and looked at key by key.
"""

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, cast

import msgspec
from msgspec import Struct, field

from agentmon.core.events import Meta
from agentmon.core.kinds import KIND_BIT
from agentmon.sources.payloads import optional_text, scrub

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""A counter outside of this is none."""


class Envelope(Struct, gc=False, kw_only=True):
    """In the order in which it is written: then no key has to be looked for."""

    event: str | None = None
    t: str | None = None
    line: str
    round: str | None = None
    metadata: str | None = None
    flow_id: str | None = None
    data_count: Count | None = None
    sid: str
    cwd: str | None = None
    pid: int | str | None = None


class PlainEnvelope(Struct, gc=False, kw_only=True):
    """What the short ways need of a current envelope."""

    event: str
    line: str
    round: str | None = None
    metadata: str
    flow_id: str | None = None
    data_count: Count
    sid: str
    pid: None = None
    cwd: None = None
    """Both are of an old envelope: a line with one of them does not fit."""


class TextDelta(Struct, gc=False, tag_field="type", tag="text_delta"):
    text: str


class ThinkingDelta(Struct, gc=False, tag_field="type", tag="thinking_delta"):
    text: str = field(name="thinking")


class JsonDelta(Struct, gc=False, tag_field="type", tag="input_json_delta"):
    text: str = field(name="partial_json")


class DeltaPayload(Struct, gc=False, tag_field="type", tag="content_block_delta"):
    index: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    delta: TextDelta | ThinkingDelta | JsonDelta
    request_id: str | None = None


class DeltaInner(Struct, gc=False):
    timestamp: str
    payload: DeltaPayload


decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_plain = msgspec.json.Decoder(PlainEnvelope).decode
decode_delta = msgspec.json.Decoder(DeltaInner).decode


class Inner(Struct, gc=False):
    timestamp: str
    payload: dict[str, Any]


decode_inner = msgspec.json.Decoder(Inner).decode
decode_any = msgspec.json.Decoder().decode


def integer(value: object) -> int | None:
    """Numbers may be strings, and integers floats (formats.md 0.9)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return None


def read_meta(product: str, metadata: object, pid: object, cwd: object) -> Meta:
    """Who wrote a line. One of a retelling says under "agentmon" which product and kind of source
    it is of (see `retold`)."""
    found: dict[str, Any] = {}
    if isinstance(metadata, str):
        try:
            value = scrub(json.loads(metadata))
        except (ValueError, RecursionError):
            value = None
    else:
        value = metadata
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
    number = integer(found.get("pid", pid))
    retold = found.get("agentmon")
    told = cast("dict[str, Any]", retold) if isinstance(retold, dict) else {}
    kind = told.get("kind")
    return Meta(
        agent=optional_text(told.get("product")) or product,
        version=optional_text(found.get("ver")) or None,
        pid=number if number is not None and abs(number) < 2**62 else None,
        cwd=optional_text(found.get("cwd", cwd)),
        agent_id=optional_text(found.get("agent")) or None,
        kind=kind if kind in KIND_BIT else "wire",
    )


def epoch_of(stamp: str) -> float | None:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


_MILLIS = {f".{millis:03d}Z": millis for millis in range(1000)}


@lru_cache(1024)
def second_of(stamp: str) -> int | None:
    """The epoch milliseconds of a stamp without fraction and zone, which is UTC."""
    second = epoch_of(stamp)
    return None if second is None else int(second) * 1000


def time_of(stamp: str) -> float | None:
    """The same as `epoch_of`. Most stamps are of one form, and of a second that was seen just now;
    one without zone is read as UTC (design.md 7)."""
    millis = _MILLIS.get(stamp[19:])
    if millis is None:
        return epoch_of(stamp)
    second = second_of(stamp[:19])
    return None if second is None else (second + millis) / 1000


def shortened(value: object) -> object:
    """A value without its long strings: a note of their size stands in their place."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [shortened(item) for item in cast("list[object]", value)]
    size = getattr(value, "size", None)
    return f"[{size} bytes cut]" if isinstance(size, int) else value
