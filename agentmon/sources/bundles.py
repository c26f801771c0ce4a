"""Bundles (`report.bundle`): a wire log behind a first line that says which sessions are in it.

A session that the store has already is passed over: retold, and perhaps redacted, its lines are not
recognised as the ones that were read before, and its texts would be there twice.
"""

import sys
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from agentmon.core.events import Event
from agentmon.sources.decoding import Context, Decoded, Format, LineDecoder, Record, mapping
from agentmon.sources.lines import Part, Piece
from agentmon.sources.retold import HEADER
from agentmon.sources.sse_lines import Decoder
from agentmon.sources.steps import Steps
from agentmon.sources.times import head_of


class _Memory(msgspec.Struct):
    """What is known of the sessions of a bundle: taken, or passed over."""

    taken: set[str] = msgspec.field(default_factory=set[str])
    passed: set[str] = msgspec.field(default_factory=set[str])


class BundleDecoder(Decoder):
    """Decodes the lines of a bundle."""

    def __init__(self, context: Context) -> None:
        super().__init__(replace(context, state=b""))
        self._has = context.has
        self._memory = _Memory()
        if context.state:
            self._memory = msgspec.json.decode(context.state, type=_Memory)

    @property
    def note(self) -> str | None:
        """What a person should know of it, in one sentence."""
        count = len(self._memory.passed)
        if not count:
            return None
        of = f"{count} of {count + len(self._memory.taken)} sessions"
        return f"{of} are in the store already and were not taken again"

    def steps(self, parts: Sequence[Part], most: int = sys.maxsize) -> Steps:
        """Nothing is read ahead where lines are passed over, or where one may say that what comes
        behind it is."""
        rows = (row for one in Steps().over(parts, most) for row in one.rows)
        if not self._memory.passed and not any(map(_may_begin, rows)):
            return super().steps(parts, most)
        steps = Steps()
        for one in steps.over(parts, most):
            steps.found += map(one.odd, range(len(one.rows)))
        return steps

    def decode(self, data: bytes, offset: int = 0) -> list[Decoded]:
        return self._kept(super().decode(data, offset))

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        if row.get("event") == HEADER:
            self._begin(sessions_of(row))
        return self._kept(super().record(row, raw, offset))

    def save(self) -> bytes:
        memory = self._memory
        return msgspec.json.encode(memory, order="sorted") if memory.taken or memory.passed else b""

    def _begin(self, sids: Sequence[str]) -> None:
        memory = self._memory
        for sid in sids:
            if sid not in memory.taken and sid not in memory.passed:
                (memory.passed if self._has(sid) else memory.taken).add(sid)

    def _kept(self, events: list[Decoded]) -> list[Decoded]:
        passed = self._memory.passed
        if not passed:
            return events
        return [one for one in events if not (isinstance(one, Event) and one.sid in passed)]


_MARK = HEADER.encode()
_DELTA = b'{"event":"claude.content_block_delta"'


def _may_begin(row: bytes | Piece) -> bool:
    """Whether a row may be the first line of a bundle."""
    data = head_of(row)
    return not data.startswith(_DELTA) and _MARK in data


def sessions_of(row: Record) -> list[str]:
    """The sessions that a bundle's first line names."""
    line = row.get("line")
    text = line.removeprefix("data: ") if isinstance(line, str) else ""
    try:
        payload = mapping(mapping(msgspec.json.decode(text)).get("payload"))
    except (msgspec.DecodeError, RecursionError):
        return []
    sids = payload.get("sessions")
    listed = cast("list[Any]", sids) if isinstance(sids, list) else []
    return [sid for sid in listed if isinstance(sid, str)]


def _knows(rows: Sequence[Record]) -> bool:
    return rows[0].get("event") == HEADER


def _open(context: Context) -> LineDecoder:
    return BundleDecoder(context)


FORMAT = Format("bundle", "wire", "bundle of sessions (agentmon bundle)", _knows, _open)
