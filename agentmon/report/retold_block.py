"""One block of a message retold: its start, its deltas as they came, its end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from agentmon.core.events import BlockStart, BlockStop, Delta, Event, Told, ToldBlock
from agentmon.core.order import emission_order
from agentmon.report.merging import Timed
from agentmon.sources.wire_form import DeltaLines, LongLine, delta_form
from agentmon.store.codec import decode_tail, is_plain
from agentmon.store.read_retelling import BlockTale

if TYPE_CHECKING:
    from agentmon.report.retold_message import MessageTeller

Lines = Iterator[Timed[bytes | LongLine]]


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

    def _plain(self, chunks: list[bytes], reader: _Reader) -> Iterator[tuple[int, int, str]]:
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
