"""Header fields that are passed on, and those that belong to one connection only (RFC 9110, 7.6.1).

Names and values are bytes as they came; their order and their doubles are kept.
"""

from collections.abc import Iterable, Sequence

Raw = Sequence[tuple[bytes, bytes]]
"""Header fields as they came from the wire."""

_OF_THE_CONNECTION = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ]
)
_NEVER_OF_THE_CONNECTION = frozenset([b"content-length", b"host"])
"""What no `Connection` field may name away: bodies would end elsewhere than the sender said."""


def passed_on(
    raw: Raw, *, without: Iterable[bytes] = (), keeping: Iterable[bytes] = ()
) -> list[tuple[bytes, bytes]]:
    """The fields that go from end to end, but for some; besides those that say of this connection
    what is said of the next one. Names in lower case."""
    left_out = _named_by_connection(raw) - _NEVER_OF_THE_CONNECTION
    left_out = (left_out | _OF_THE_CONNECTION).difference(keeping).union(without)
    return [(name, value) for name, value in raw if name.lower() not in left_out]


def _named_by_connection(raw: Raw) -> set[bytes]:
    return {
        token.strip().lower()
        for name, value in raw
        if name.lower() == b"connection"
        for token in value.split(b",")
    }


def value(raw: Raw, name: bytes) -> bytes:
    """All values of a field, as one; b"" where there is none. `name` in lower case."""
    return b", ".join(value for key, value in raw if key.lower() == name)


def text(raw: Raw) -> list[tuple[str, str]]:
    """The same as text. What is no UTF-8 is taken for Latin-1, which aiohttp cannot send as such:
    the upstream gets the same letters."""
    return [(_text(name), _text(value)) for name, value in raw]


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        return part.decode("latin-1")


def uncompressed(raw: Raw) -> list[tuple[bytes, bytes]]:
    """Asks for an answer as it is, where the client asked for compression and takes it plain as
    well: a compressor holds events back. Where it asked for nothing nothing is added."""
    asked = value(raw, b"accept-encoding").lower().replace(b" ", b"")
    if b"identity;q=0" in asked or b"*;q=0" in asked:
        return list(raw)
    return [
        (name, b"identity" if name.lower() == b"accept-encoding" else value) for name, value in raw
    ]


def spelt_alike(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same with each name as it was spelt first: aiohttp takes `X-A` after `x-a` for its
    replacement, and not for its second value."""
    spelling: dict[str, str] = {}
    return [(spelling.setdefault(name.lower(), name), value) for name, value in fields]
