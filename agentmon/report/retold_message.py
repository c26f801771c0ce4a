"""One message of the store retold: its start, its blocks delta by delta, its end."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Protocol

from agentmon.core.events import (
    BlockStart,
    BlockStop,
    Delta,
    Event,
    Kind,
    MessageDelta,
    MessageStart,
    MessageStop,
    Meta,
    Told,
    ToldBlock,
)
from agentmon.core.kinds import STREAMING
from agentmon.core.order import emission_order
from agentmon.core.streams import TOKEN_FIELDS
from agentmon.report.merging import Source, Timed, merged
from agentmon.report.retold_texts import Texts
from agentmon.sources.payloads import Base
from agentmon.sources.wire_form import DeltaLines, LongLine, delta_form
from agentmon.store.codec import decode_tail, is_plain
from agentmon.store.content import Contents, decoded
from agentmon.store.deltas import block_path
from agentmon.store.read_retelling import BlockTale, MessageTale, blocks, delta_chunks

Lines = Iterator[Timed[bytes | LongLine]]


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
        end = self._told_tail() if is_told else self._tail(found)
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

    def _tail(self, found: Sequence[BlockTale]) -> list[Event]:
        del found
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
            error=one.error,
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


class BlockTeller:
    """Retells one block of a message. `count` is where its counters begin."""

    def __init__(self, message: MessageTeller, block: BlockTale, count: int) -> None:
        self._message = message
        self._block = block
        self._count = count

    def lines(self) -> Lines:
        latest = self._message.start
        for at, line in self._lines():
            latest = max(latest, at)
            yield latest, line

    def _lines(self) -> Lines:
        one, message = self._block, self._message
        if one.is_started:
            yield self._start()
        elif one.start_time is not None and self._is_seen_early:
            base = message.base(one.start_time, self._count)
            delta = Delta(*base, message.request_id, one.index, None)
            yield one.start_time, message.event_line(delta)
        if one.delta_count:
            yield from self._deltas()
        told = self._told()
        stop = one.stop_time
        if stop is None and told is None and one.told is not None:
            stop = one.complete_time
        ends: list[tuple[float, Event]] = []
        if stop is not None:
            base = message.base(stop, self._count + one.delta_count + 1)
            ends.append((stop, BlockStop(*base, message.request_id, one.index)))
        if told is not None:
            ends.append((told.time or 0.0, told))
        for at, event in sorted(ends, key=lambda end: end[0]):
            yield at, message.event_line(event)

    @property
    def _is_seen_early(self) -> bool:
        """Whether a block without its start was heard of before its text, or has none."""
        one = self._block
        if one.delta_count:
            return True
        end = one.stop_time if one.told is None else one.told.time
        return end != one.start_time

    @property
    def _is_call(self) -> bool:
        return (self._block.block_type or "").endswith("tool_use")

    def _text(self, text: str) -> str:
        """A whole text as it is told."""
        return self._message.texts.cut(text, (), is_json=self._is_call)[0]

    def _start(self) -> Timed[bytes]:
        one, message = self._block, self._message
        kind, call, tool = one.block_type or "text", one.tool_use_id, one.tool_name
        text = self._text(one.start_text)
        base = message.base(one.start_time, self._count)
        event = BlockStart(*base, message.request_id, one.index, kind, call, tool, text)
        return one.start_time or 0.0, message.event_line(event)

    def _told(self) -> Told | None:
        """The block as it was told, where its text is that one or it has no other form."""
        one, told, message = self._block, self._block.told, self._message
        if told is None or (told.text is None and one.is_started):
            return None
        text = told.text
        if text is None:
            text = "".join(message.stored(one))
        part = ToldBlock(
            one.index,
            one.block_type or "text",
            one.tool_use_id,
            one.tool_name,
            self._text(text),
            told.item_id,
            told.is_exact,
            told.is_cut,
        )
        base = message.base(told.time, self._count + one.delta_count + 2, told.kind)
        name = base[2]
        return Told(*base, message.request_id, name, "", None, None, None, {}, [part])

    # -- its deltas

    def _deltas(self) -> Lines:
        one, message = self._block, self._message
        cut = max(0, one.total_bytes - one.stored_bytes) if one.is_cut else 0
        like = Delta(*message.base(None, 0), message.request_id, one.index, "")
        form, write = delta_form(like, one.block_type), DeltaLines().line
        left, start = one.delta_count, one.start_time or 0.0
        for count, millis, text in self._pieces():
            left, at = left - 1, millis / 1000
            if (cut and not left) or at < start < at + 0.001:
                # the log keeps whole milliseconds: no delta is before the start of its block
                at = max(at, start) if start < at + 0.001 else at
                base = message.base(at, count)
                size = 0 if left else cut
                event = Delta(*base, message.request_id, one.index, text, size)
                yield at, message.event_line(event)
                continue
            yield at, write(form, millis, text, count)

    def _pieces(self) -> Iterator[tuple[int, int, str]]:
        """(counter, epoch milliseconds, text) of each delta, in the order in which they came."""
        one, message = self._block, self._message
        text = message.stored(one)
        skipped = len(one.start_text) if one.has_start else 0
        end = one.complete_time
        if end is not None and end < message.deltas_since and not one.is_cut:
            whole = message.texts.cut("".join(text)[skipped:], (), is_json=self._is_call)[0]
            yield self._count + 1, round(end * 1000), whole
            return
        chunks = message.chunks(one)
        if message.texts.keeps and is_plain(chunks):
            yield from self._plain(chunks, _Reader(text, skipped))
            return
        entries = [entry for chunk in chunks for entry in decode_tail(chunk, one.flow_id)]
        order = emission_order(entries)
        whole = "".join(text)
        ends = list(accumulate((entries[at].chars for at in order), initial=skipped))
        whole, ends = message.texts.cut(whole, ends, is_json=self._is_call)
        found = [
            (rank, entries[at], whole[start:end])
            for rank, (at, (start, end)) in enumerate(zip(order, pairwise(ends), strict=True))
        ]
        found.sort(key=lambda piece: piece[1].time)
        for rank, entry, piece in found:
            yield self._count + 1 + rank, round(entry.time * 1000), piece

    def _plain(self, chunks: list[bytes], reader: "_Reader") -> Iterator[tuple[int, int, str]]:
        """Most blocks: the text is what came, one delta after the other."""
        count = self._count
        for chunk in chunks:
            for entry in decode_tail(chunk, self._block.flow_id):
                count += 1
                yield count, round(entry.time * 1000), reader.take(entry.chars)


class _Reader:
    """A text that comes in pieces, taken by characters."""

    def __init__(self, pieces: Iterator[str], skipped: int) -> None:
        self._pieces = pieces
        self._held, self._at = "", 0
        self.take(skipped)

    def take(self, count: int) -> str:
        """The next characters; fewer at the end."""
        at, end = self._at, self._at + count
        while end > len(self._held):
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held = self._held[at:] + piece
            at, end = 0, count
        self._at = end
        return self._held[at:end]
