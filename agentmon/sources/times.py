"""When a line was written, as far as it says so, without decoding it."""

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from agentmon.sources.envelopes import time_of
from agentmon.sources.lines import HugeLine, Piece, data_of

MomentOf: TypeAlias = Callable[[bytes], float | None]
"""The time of a line in epoch seconds; None where none is found. Never raises."""

_LATEST = 253_402_300_800
"""The year 10000: what is said to be later is no time."""

_STAMP = re.compile(rb'\\"timestamp\\":\s*\\"([0-9T:.+-]{19,32}Z?)\\"')
_LOCAL = re.compile(rb'"t":\s*"([0-9T:.+-]{19,32}Z?)"')
_FIELD = re.compile(rb'"timestamp":\s*"([0-9T:.+-]{19,32}Z?)"')


class _Stamped(Struct):
    timestamp: object = None


class _Called(Struct):
    t: object = None


_decode_stamped = msgspec.json.Decoder(_Stamped).decode
_decode_called = msgspec.json.Decoder(_Called).decode


def _wire(line: bytes) -> float | None:
    found = _STAMP.search(line) or _LOCAL.search(line)
    return time_of(found[1].decode("ascii")) if found is not None else None


def _record(line: bytes) -> float | None:
    if b'"timestamp"' not in line:
        return None
    try:
        stamp = _decode_stamped(line).timestamp
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = _FIELD.search(line)  # torn, or one end of a huge one
        stamp = found[1].decode("ascii") if found is not None else None
    return time_of(stamp) if isinstance(stamp, str) else None


def _call(line: bytes) -> float | None:
    try:
        moment = _decode_called(line).t
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not isinstance(moment, int | float) or isinstance(moment, bool):
        return None
    return float(moment) if 0 <= moment < _LATEST else None


def _any(line: bytes) -> float | None:
    moment = _wire(line)
    moment = _record(line) if moment is None else moment
    return _call(line) if moment is None else moment


_READERS: dict[str, MomentOf] = {
    "": _any,
    "sse-lines": _wire,
    "bundle": _wire,
    "transcript": _record,
    "stream-json": _record,
    "rollout": _record,
    "hooks": _call,
}


def to_milliseconds(moment: float) -> float:
    """A moment as a line of a log says it. The time of a file is finer, and what goes by it would
    then stand before a delta of the same moment, whose time is kept to the millisecond."""
    return round(moment, 3)


def reader_of(format_name: str) -> MomentOf | None:
    """What reads the times of a format ("": not known yet); None: its lines have none."""
    return _READERS.get(format_name)


def head_of(row: bytes | Piece) -> bytes:
    """What of a line is looked at."""
    return row.head if isinstance(row, HugeLine) else data_of(row)
