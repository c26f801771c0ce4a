"""The least that any reader of these logs has to do: lines, and both JSON levels of each.

The yardstick of the whole ingestion (perf.md 1, "msgspec typed, both levels, metadata cached").
It keeps nothing, checks nothing and knows no defect.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

READ = 1 << 20


class _Envelope(Struct, gc=False):
    event: str
    line: str
    metadata: str
    flow_id: str
    data_count: int
    sid: str
    round: str | None = None


class _Delta(Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _Payload(Struct, gc=False):
    type: str
    index: int = -1
    delta: _Delta | None = None
    request_id: str = ""


class _Inner(Struct, gc=False):
    timestamp: str
    payload: _Payload


class _Metadata(Struct, gc=False):
    pid: int
    cwd: str
    ver: str


def decode_file(path: str) -> int:
    """Decodes a whole log; the number of its lines."""
    return sum(decode_parts(path))


def decode_parts(path: str) -> Iterator[int]:
    """Decodes a log piece by piece; the number of lines in each."""
    envelope = msgspec.json.Decoder(_Envelope).decode
    inner = msgspec.json.Decoder(_Inner).decode
    metadata = msgspec.json.Decoder(_Metadata).decode
    seen: dict[str, _Metadata] = {}
    rest = b""
    with open(path, "rb", buffering=0) as handle:
        while data := handle.read(READ):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                found = envelope(line)
                inner(found.line[6:])
                if found.metadata not in seen:
                    seen[found.metadata] = metadata(found.metadata)
            yield len(lines)
