"""Texts that may be large, piece by piece: indented and cleaned for a terminal, or as JSON."""

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping

from agentmon.core.text import clean

LONG_LINE = 1 << 16
"""Characters of a line that are held until its end; a longer one is passed on in parts."""


def decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """UTF-8 as text; a character may lie in two pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def cleaned(pieces: Iterable[bytes], indent: str = "") -> Iterator[str]:
    """Text for a terminal: every line cleaned, indented and ended."""
    rest, is_begun = "", False
    for text in decoded(pieces):
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield ("" if is_begun else indent) + clean(line) + "\n"
            is_begun = False
        while len(rest) > LONG_LINE:
            part, rest = rest[:LONG_LINE], rest[LONG_LINE:]
            yield ("" if is_begun else indent) + clean(part)
            is_begun = True
    if rest:
        yield ("" if is_begun else indent) + clean(rest)
    if rest or is_begun:
        yield "\n"


def json_with(
    record: Mapping[str, object], name: str, pieces: Iterable[bytes] | None, *, ascii: bool = False
) -> Iterator[str]:
    """A record as JSON with one more field, a text that comes in pieces; None: it is null."""
    if pieces is None:
        yield json.dumps({**record, name: None}, ensure_ascii=ascii)
        return
    head = json.dumps({**record, name: ""}, ensure_ascii=ascii)
    yield head[:-2]
    for text in decoded(pieces):
        yield json.dumps(text, ensure_ascii=ascii)[1:-1]
    yield '"}'
