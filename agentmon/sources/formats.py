"""Which format an input is of, by its content.

A product more is a module with a `FORMAT` and one line in `_MODULES`. Modules are imported when
they are asked for: a wire log costs the import of none of the others.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import islice
from typing import cast

from agentmon.sources.decoding import Context, Format, LineDecoder, Record, mapping
from agentmon.sources.json_pieces import JsonError, JsonReader, Tree
from agentmon.sources.lines import BOM, HugeLine, Piece, data_of
from agentmon.sources.retold import HEADER

SAMPLE = 64 << 10
"""Bytes of an input's beginning that are looked at."""

_OBJECTS = 20
"""Objects of it that are looked at."""

_SAMPLE_LINES = 50

LOG_NAME = "sse_lines.jsonl"

_MODULES = {
    "sse-lines": "agentmon.sources.sse_lines",
    "bundle": "agentmon.sources.bundles",
    "hooks": "agentmon.sources.hooks",
    "stream-json": "agentmon.sources.stream_json",
    "sse": "agentmon.sources.raw_sse",
    "codex-exec": "agentmon.sources.codex_exec",
    "rollout": "agentmon.sources.rollouts",
    "transcript": "agentmon.sources.transcripts",
}
"""Where each format lives; asked in this order."""

NAMES = tuple(_MODULES)
"""What `--format` takes."""

_decode = json.JSONDecoder(strict=False).raw_decode


class UnknownFormat(ValueError):
    """No format has this name; the message lists those that there are."""


def _open_wire(context: Context) -> LineDecoder:
    from agentmon.sources.sse_lines import Decoder

    return Decoder(context)


def _is_wire(row: Record) -> bool:
    name = row.get("event")
    if isinstance(row.get("line"), str) and ("sid" in row or name is not None):
        return True
    is_named = isinstance(name, str) and name.startswith(("claude.", "codex.", "turn."))
    return "t" in row and (is_named or ("sid" in row and "flow_id" in row))


def _knows_wire(rows: Sequence[Record]) -> bool:
    is_bundle = rows[0].get("event") == HEADER
    return not is_bundle and any(map(_is_wire, rows))


WIRE = Format("sse-lines", "wire", "wire log of Claude Code or Codex", _knows_wire, _open_wire)


@cache
def by_name(name: str) -> Format:
    """The format that `--format` names. Raises UnknownFormat."""
    if name == WIRE.name:
        return WIRE
    module = _MODULES.get(name)
    if module is None:
        raise UnknownFormat(f"unknown format {name!r}; there are {', '.join(NAMES)}")
    return cast(Format, import_module(module).FORMAT)


def formats() -> tuple[Format, ...]:
    """All of them."""
    return tuple(map(by_name, NAMES))


def recognise(head: bytes, *, strict: bool = False) -> Format | None:
    """The format of an input that begins with `head`, its first `SAMPLE` bytes or all there are.

    JSON lines that no format knows are taken for a wire log, which counts them as bad or keeps
    them as unknown; not where it is `strict`. None: no JSON lines and no event stream, or too
    little to tell yet.
    """
    if _is_event_stream(head):
        return by_name("sse")
    rows = _objects(head)
    first = next(rows, None)
    if first is None:
        return None
    found = _first_to_know([first]) or _first_to_know([first, *rows])
    is_enough = b"\n" in head.lstrip() or len(head) >= SAMPLE
    return found or (WIRE if is_enough and not strict else None)


def of_input(
    rows: Sequence[bytes | Piece], path: str, *, is_given: bool, forced: str | None = None
) -> Format | None:
    """The format of an input that begins with these lines; None where nobody knows what they are.

    What a person named is read as a wire log then: its lines are counted as bad, not lost. `forced`
    is what `--format` names.
    """
    if forced:
        return by_name(forced)
    found = recognise(sample(rows), strict=not is_given)
    is_log = is_given or os.path.basename(path) == LOG_NAME
    return found or (WIRE if is_log else None)


def sample(rows: Sequence[bytes | Piece]) -> bytes:
    """The first lines, as far as they are needed to know what they are."""
    found = bytearray()
    for row in islice(rows, _SAMPLE_LINES):
        if isinstance(row, HugeLine):
            found += row.head
        else:
            found += data_of(row)
        found += b"\n"
        if len(found) >= SAMPLE:
            break
    return bytes(found)


def _first_to_know(rows: list[Record]) -> Format | None:
    return next((one for one in map(by_name, NAMES) if one.knows(rows)), None)


def _lines(head: bytes) -> Iterator[bytes]:
    """The lines that are not blank, without the space around them."""
    lines = (line.strip(b" \t\r\0") for line in head.removeprefix(BOM).split(b"\n"))
    return (line for line in lines if line)


def _is_event_stream(head: bytes) -> bool:
    """Whether an event's data stands before any JSON line. What comes before it is passed over:
    names of events, comments, the lines of HTTP that `curl -i` writes."""
    for line in _lines(head):
        if line.startswith(b"{"):
            return False
        if line.startswith(b"data:") and line[5:].lstrip().startswith((b"{", b"[DONE]")):
            return True
    return False


def _objects(head: bytes) -> Iterator[Record]:
    """The first objects that stand at the beginning of a line; of a torn one what is there."""
    rows = (_object(line) for line in _lines(head) if line.startswith(b"{"))
    return islice((row for row in rows if row), _OBJECTS)


def _object(line: bytes) -> Record:
    text = line.decode("utf-8", "replace")
    value: object = None
    try:
        value, _ = cast("tuple[object, int]", _decode(text))
    except (ValueError, RecursionError):
        tree = Tree()  # a line that is longer than the sample
        with suppress(JsonError):
            JsonReader(tree).feed(text)
        value = tree.value
    return mapping(value)
