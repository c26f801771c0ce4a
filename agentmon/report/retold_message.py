"""One message of the store retold: its start, its blocks delta by delta, its end."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from agentmon.core.events import (
    Event,
    Kind,
    MessageDelta,
    MessageStart,
    MessageStop,
    Meta,
    Told,
)
from agentmon.core.kinds import STREAMING
from agentmon.core.streams import TOKEN_FIELDS
from agentmon.report.merging import Source, merged
from agentmon.report.retold_block import BlockTeller, Lines
from agentmon.report.retold_texts import Texts
from agentmon.sources.payloads import Base
from agentmon.sources.wire_form import LongLine
from agentmon.store.content import Contents, decoded
from agentmon.store.deltas import block_path
from agentmon.store.read_retelling import BlockTale, MessageTale, blocks, delta_chunks


class Teller(Protocol):
    """The session that a message is of."""

    deltas_since: float
    """Blocks that were complete before are told as one delta."""

    @property
    def sid(self) -> str: ...

    def meta(self, pid: int | None, agent_id: str | None, kind: Kind | None = None) -> Meta: ...

    def told_kind(self, kinds: int, bits: int) -> Kind: ...

    def line(self, event: Event) -> bytes: ...


class MessageTeller:
    """Retells one message."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        contents: Contents,
        session: Teller,
        texts: Texts,
        message: MessageTale,
    ) -> None:
        self._conn = conn
        self._contents = contents
        self._session = session
        self._texts = texts
        self._message = message
        self._start = message.start_time or 0.0
        self._count = 0
        self._kind: Kind = session.told_kind(message.kinds, STREAMING)
        self._telling: Kind = session.told_kind(message.kinds, ~STREAMING)

    def lines(self) -> Lines:
        """Everything of the message by time."""
        found = blocks(self._conn, self._message.flow_id)
        is_told = not self._message.is_started and (
            bool(self._message.kinds & ~STREAMING) or any(one.told is not None for one in found)
        )
        yield from self._at(self._told_head() if is_told else self._head())
        counts = list(accumulate((one.delta_count + 3 for one in found), initial=self._count))
        sources: list[Source[bytes | LongLine]] = [
            (max(self._start, one.start_time or 0.0), 0, BlockTeller(self, one, count).lines)
            for one, count in zip(found, counts[:-1], strict=True)
        ]
        sources.sort(key=lambda source: source[0])
        self._count = counts[-1]
        end = self._told_tail() if is_told else self._tail()
        sources.append((end[0].time or 0.0 if end else self._start, 1, lambda: self._at(end)))
        sources.sort(key=lambda source: source[:2])
        yield from merged(sources)

    def _at(self, events: Sequence[Event]) -> Lines:
        for event in events:
            yield max(self._start, event.time or 0.0), self._session.line(event)

    def base(self, time: float | None, count: int, kind: Kind | None = None) -> Base:
        """What every event of it has."""
        message = self._message
        meta = self._session.meta(message.pid, message.agent_id, kind or self._kind)
        round_id = message.round_id or ""
        return (self._session.sid, meta, message.flow_id, count, round_id, time, 0)

    def _next(self, time: float | None, kind: Kind | None = None) -> Base:
        self._count += 1
        return self.base(time, self._count - 1, kind)

    @property
    def _is_open(self) -> bool:
        return self._message.end_time is None and self._message.stop_reason is None

    def _usage(self, *, first: bool) -> dict[str, int]:
        """What is told of tokens at the start, and (what it wrote) at the end."""
        one = self._message
        counts = (one.input_tokens, one.output_tokens, one.cache_read_tokens)
        known = zip(TOKEN_FIELDS, (*counts, one.cache_write_tokens), strict=True)
        return {
            name: count
            for name, count in known
            if count is not None and (self._is_open or (name == "output_tokens") is not first)
        }

    # -- as a stream

    def _head(self) -> list[Event]:
        one, base = self._message, self._next(self._message.start_time)
        if not one.is_started:  # one without its start begins with whatever came first
            return [MessageDelta(*base, one.request_id, None, {})]
        usage = self._usage(first=True)
        return [MessageStart(*base, one.request_id, one.flow_id, one.role, one.model, usage)]

    def _tail(self) -> list[Event]:
        one = self._message
        usage = {} if self._is_open and one.is_started else self._usage(first=False)
        if not one.is_started:
            usage = {**self._usage(first=True), **usage}
        last = one.end_time if one.end_time is not None else one.last_time
        events: list[Event] = []
        if usage or one.stop_reason is not None or one.end_time is None:
            base = self._next(last if last is not None else one.start_time)
            events.append(MessageDelta(*base, self.request_id, one.stop_reason, usage))
        if one.end_time is not None:
            events.append(MessageStop(*self._next(one.end_time), self.request_id))
        return events

    # -- as told when it was over

    def _told(self, time: float | None, **more: object) -> Event:
        one = self._message
        base = self._next(time, self._telling)
        event = Told(*base, one.request_id, one.flow_id, "", one.role, one.model, None, {}, [])
        for name, value in more.items():
            setattr(event, name, value)
        return event

    def _told_head(self) -> list[Event]:
        return [self._told(self._message.start_time, usage=self._usage(first=True))]

    def _told_tail(self) -> list[Event]:
        one = self._message
        last = one.end_time if one.end_time is not None else one.last_time
        has_end = one.end_time is not None
        tail = self._told(
            last if last is not None else one.start_time,
            stop_reason=one.stop_reason,
            usage=self._usage(first=False),
            is_done=one.is_done,
            has_end=has_end,
            error=None if one.error is None else self._texts.text(one.error),
        )
        return [tail]

    # -- what its blocks ask

    def event_line(self, event: Event) -> bytes:
        return self._session.line(event)

    @property
    def start(self) -> float:
        return self._start

    @property
    def request_id(self) -> str | None:
        """As its events name it after its start: not where another message has it, too."""
        one = self._message
        return None if one.is_spliced and one.is_started else one.request_id

    @property
    def deltas_since(self) -> float:
        return self._session.deltas_since

    @property
    def texts(self) -> Texts:
        return self._texts

    def chunks(self, block: BlockTale) -> list[bytes]:
        return delta_chunks(self._conn, block.flow_id, block.index)

    def stored(self, block: BlockTale) -> Iterator[str]:
        """The text of a block's file."""
        path = block_path(block.sid, block.flow_id, block.index)
        return decoded(self._contents.file(path, block.stored_bytes))
