"""The compact blobs of the store: delta logs and stream logs.

MessagePack integers are varints already (one byte below 128), and its encoder is C; a full chunk
is also deflated. A blob's first byte tells which: 0 plain, 1 deflated.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate, chain
from operator import sub

import msgspec

from agentmon.core.columns import DeltaTail
from agentmon.core.model import DeltaEntry, Stream

CHUNK_DELTAS = 512
CHUNK_LINES = 1024

_encode = msgspec.msgpack.Encoder().encode


def _pack(value: object, *, deflate: bool) -> bytes:
    data = _encode(value)
    return b"\x01" + zlib.compress(data, 6) if deflate else b"\x00" + data


def _unpack(blob: bytes) -> bytes:
    return zlib.decompress(blob[1:]) if blob[:1] == b"\x01" else blob[1:]


def _steps(values: Sequence[int]) -> list[int]:
    """First value, then differences."""
    return [values[0], *map(sub, values[1:], values)]


def _sums(steps: Sequence[int]) -> list[int]:
    return [*accumulate(steps)]


class _Tail(msgspec.Struct, array_like=True):
    flows: list[str]
    at: list[int]
    """Which flow each delta was written under; empty where all are the first."""
    first_count: int
    count_steps: list[int]
    """Empty where the counter goes up by one."""
    time_steps: list[int]
    chars: list[int]


_decode_tail = msgspec.msgpack.Decoder(_Tail).decode


def encode_tail(tail: DeltaTail, flow_id: str) -> bytes:
    """A chunk of a block's delta log; times in whole milliseconds."""
    flows = list(dict.fromkeys(tail.flows)) or [flow_id]
    at = [flows.index(flow) for flow in tail.flows] if len(flows) > 1 else []
    named = ["" if flow == flow_id else flow for flow in flows]
    columns = tail.columns
    counts = columns.counts
    steps = _steps([*chain(*counts)])[1:] if len(counts) > 1 else []
    packed = _Tail(named, at, counts[0].start, steps, columns.times, columns.chars)
    return _pack(packed, deflate=len(columns) >= CHUNK_DELTAS)


def decode_tail(blob: bytes, flow_id: str) -> list[DeltaEntry]:
    """The deltas of a chunk, in arrival order."""
    packed = _decode_tail(_unpack(blob))
    size = len(packed.chars)
    flows = [flow or flow_id for flow in packed.flows]
    at = packed.at or [0] * size
    counts = _sums([packed.first_count, *(packed.count_steps or [1] * (size - 1))])
    times = _sums(packed.time_steps)
    return [
        DeltaEntry(flows[which], count, time / 1000, chars)
        for which, count, time, chars in zip(at, counts, times, packed.chars, strict=True)
    ]


def decode_times(blob: bytes) -> tuple[list[float], list[int]]:
    """The same as times and characters only, for those who do not put deltas in order."""
    packed = _decode_tail(_unpack(blob))
    return [at / 1000 for at in _sums(packed.time_steps)], packed.chars


def is_plain(chunks: Sequence[bytes]) -> bool:
    """Whether the deltas of a block came in the order of its text: under the message's own flow id,
    with rising counters and times that never step back."""
    top, latest = -1, 0
    for chunk in chunks:
        packed = _decode_tail(_unpack(chunk))
        times = _sums(packed.time_steps)
        counts = _sums([packed.first_count, *packed.count_steps]) if packed.count_steps else None
        if packed.flows != [""] or packed.first_count <= top or times[0] < latest:
            return False
        if counts is not None and min(packed.count_steps) <= 0:
            return False
        if min(packed.time_steps[1:], default=0) < 0:
            return False
        top = counts[-1] if counts is not None else packed.first_count + len(packed.chars) - 1
        latest = times[-1]
    return True


class _Lines(msgspec.Struct, array_like=True):
    runs: list[tuple[int, int]]
    """(position in the chunk, counter there)."""
    digests: bytes


_decode_lines = msgspec.msgpack.Decoder(_Lines).decode


def encode_lines(stream: Stream, start: int, end: int) -> bytes:
    """The lines of a stream from one entry to another: runs of counters, and checksums."""
    runs: list[tuple[int, int]] = []
    for position, count in stream.runs:
        if position <= start:
            runs = [(0, count + start - position)]
        elif position < end:
            runs.append((position - start, count))
    return _pack(_Lines(runs, stream.digests[start:end].tobytes()), deflate=False)


def decode_lines(blob: bytes, stream: Stream) -> None:
    """Adds the lines of a chunk to a stream."""
    packed = _decode_lines(_unpack(blob))
    at = len(stream.digests)
    stream.runs.extend((at + position, count) for position, count in packed.runs)
    stream.digests.frombytes(packed.digests)
