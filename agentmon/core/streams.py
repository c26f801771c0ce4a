"""Events of a response: a message from its start over its content blocks to its stop."""

from agentmon.core import phases, rounds, told_rounds
from agentmon.core.attribution import Attribution
from agentmon.core.events import (
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    StreamError,
    WholeMessage,
)
from agentmon.core.kinds import KIND_BIT, STREAMING, TELLING
from agentmon.core.model import Block, Message, Said, Stream
from agentmon.core.rounds import mark_message

TOKEN_FIELDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_TOKEN_AT = {name: at for at, name in enumerate(TOKEN_FIELDS)}


def _is_other(owner: Message, event: MessageStart) -> bool:
    """Whether a message without its start is not the one that starts under its name: it is of
    another request. What a transcript told has its true name, and not all sources name requests."""
    if owner.kinds & TELLING or (event.request_id is None and event.meta.kind == "stream"):
        return False
    return owner.request_id not in (None, event.request_id)


class Streams(Attribution):
    """Applies what an API stream says."""

    def _message_start(self, event: MessageStart) -> bool:
        _, time = self._heard(event)
        event.time = time
        request, name = event.request_id, event.message_id
        asked, owner = self._by_request(request), self._find(name)
        if owner is not None and owner.is_started:
            if request is not None:
                self.state.requests[request] = owner
            self._hear_second(owner, event, time)
            return False
        if owner is not None and owner is not asked and _is_other(owner, event):
            # another stream's events were written under this flow_id before its own start came:
            # they go under the name of their request
            self._rename(owner, owner.request_id or name)
            owner = None
        if asked is not None and asked.is_started:
            # a spliced stream: another message on an open request ends the first
            asked.is_broken = True
            mark_message(self.state, asked)
        elif asked is not None and asked is not owner:
            self._rename(asked, name)
            _take_over(asked, owner)
            owner = asked
        self._begin(owner or self._new_message(event, name), event, time)
        return True

    def _hear_second(self, message: Message, event: MessageStart, time: float) -> None:
        """Another kind of source streams the same message: what one has of it, the other repeats.

        From here on no delta takes the short way (see `Fold._beyond`). The wire goes before.
        """
        bit = KIND_BIT[event.meta.kind]
        if message.kinds & bit:
            return
        for block in message.blocks.values():
            block.heard = {_owner(message): text_size(block)}
            self._mark_all(message, block)
        if event.meta.kind == "wire":
            self._begin(message, event, time)
        message.kinds |= bit
        message.meta = None
        mark_message(self.state, message)

    def _begin(self, message: Message, event: MessageStart, time: float) -> None:
        state = self.state
        told_round = message.own_round if message.kinds & TELLING else None
        message.is_started = True
        message.kinds |= KIND_BIT[event.meta.kind]
        message.meta, message.stream = event.meta, self._own_stream(message, event)
        message.written = None
        message.request_id = event.request_id or message.request_id
        if message.request_id is not None:
            state.requests[message.request_id] = message
        message.role, message.model = event.role, event.model
        message.start_time = time
        message.last_time = max(message.last_time, time)
        message.own_round = event.round if event.round is not None else told_round
        message.pid = event.meta.pid
        message.agent_id = event.meta.agent_id or message.agent_id
        message.thread = self._thread(message.session, message.agent_id)
        self._count_tokens(message, event.usage)
        rounds.place(state, message)
        rounds.add_start(state, message)
        told_rounds.begin_told(state, message, told_round)
        mark_message(state, message)
        phases.message_started(state, message, time, self._no_result, event.meta.kind)

    def _own_stream(self, message: Message, event: Event) -> Stream | None:
        """The stream of an event, if it was written under the message's own name."""
        if event.flow != message.flow_id:
            return None
        pid = event.meta.pid
        return self.state.streams.get((event.sid, event.flow, -1 if pid is None else pid))

    def _new_block(self, message: Message, index: int) -> Block:
        block = message.blocks[index] = Block(message, index)
        self._mark_all(message, block)
        return block

    def _block_start(self, event: BlockStart) -> bool:
        message, time = self._stream_event(event)
        block = message.blocks.get(event.index) or self._new_block(message, event.index)
        if not block.is_started:
            self._describe(block, event.block_type, event.tool_use_id, event.tool_name)
            block.is_started = True
            block.start_text = event.text
            block.start_time = time
        self._mark_all(message, block)
        self._settle_blocks(message)
        if message.end_time is None:
            phases.block_started(self.state, message.thread, block, time)
        return True

    def _describe(
        self, block: Block, kind: str, tool_use_id: str | None, tool_name: str | None
    ) -> None:
        block.block_type, block.tool_use_id, block.tool_name = kind, tool_use_id, tool_name
        if tool_use_id is None:
            return
        state = self.state
        state.calls[tool_use_id] = (block.message.flow_id, block.index)
        recent = state.results.get(tool_use_id)
        known = recent[:3] if recent is not None else state.loader.result(tool_use_id)
        if known is not None:
            block.result_time, block.result_is_error = known[:2]
        if block.complete_time is not None:  # its stop came first, and nobody knew of a call
            phases.block_completed(block, self._no_result)

    def _block_stop(self, event: BlockStop) -> bool:
        message, time = self._stream_event(event)
        block = message.blocks.get(event.index) or self._new_block(message, event.index)
        self._mark_all(message, block)
        if block.stop_time is None:
            block.stop_time = time
            if block.start_time is not None and time != block.complete_time:
                self._complete(block, time)
        if block.start_time is None:
            block.start_time = time
            self._settle_blocks(message)  # it may end the one before it
        return True

    def _settle_blocks(self, message: Message) -> None:
        """A block ends at its own stop, else at the next block's start or the message's stop."""
        blocks = [message.blocks[index] for index in sorted(message.blocks)]
        for at, block in enumerate(blocks, 1):
            time = block.stop_time
            told = block.told if block.told is not None and not block.told.is_cut else None
            if time is None and told is not None and not block.is_started:
                time = told.time
            if time is None and at < len(blocks):
                time = blocks[at].start_time
            if time is None:
                time = message.end_time
            if time is None and told is not None:
                time = told.time
            if time != block.complete_time:
                self._complete(block, time)

    def _complete(self, block: Block, time: float | None) -> None:
        block.complete_time = time
        self._mark_all(block.message, block)
        phases.block_completed(block, self._no_result)

    def _message_delta(self, event: MessageDelta) -> bool:
        message, time = self._stream_event(event)
        self._count_tokens(message, event.usage)
        if event.stop_reason is not None:
            message.stop_reason = event.stop_reason
            phases.message_ended(self.state, message, time)
        return True

    def _message_stop(self, event: MessageStop) -> bool:
        message, time = self._stream_event(event)
        if message.end_time is None or time > message.end_time:
            message.end_time = time
        self._settle_blocks(message)
        phases.message_ended(self.state, message, time)
        return True

    def _count_tokens(self, message: Message, usage: dict[str, int]) -> None:
        """Cumulative counts: the highest per field is the final one."""
        session, tokens = message.session, message.tokens
        for name, value in usage.items():
            at = _TOKEN_AT.get(name)
            known = tokens[at] if at is not None else None
            if at is not None and (known is None or value > known):
                tokens[at] = value
                session.tokens[at] += value - (known or 0)
        if message.agent_id is None:
            if message.model:
                session.model = message.model
            given, told, read, kept = tokens
            session.context_tokens = (given or 0) + (told or 0) + (read or 0) + (kept or 0)

    def _ping(self, event: Ping) -> bool:
        message = self._existing(event, event.request_id)
        _, time = self._heard(event)
        if message is not None:
            phases.heard(self.state, message.thread, time, event.meta.kind)
        return True

    def _error(self, event: StreamError) -> bool:
        message = self._existing(event, event.request_id)
        session, time = self._heard(event)
        if message is not None:
            if message.flow_id != event.flow:
                self.state.counts.reattributed += 1
            message.is_broken = True
            message.error = f"{event.error_type}: {event.message}"
            message.last_time = max(message.last_time, time)
            mark_message(self.state, message)
        thread = message.thread if message else self._thread(session, event.meta.agent_id)
        phases.failed(self.state, thread, event.error_type, time, event.meta.agent)
        self.state.changes.notices.append(Said(time, event))
        return True

    def _whole_message(self, event: WholeMessage) -> bool:
        _, time = self._heard(event)
        event.time = time
        self._by_request(event.request_id)
        known = self._find(event.message_id)
        if known is not None and known.is_started:
            return False
        message = known or self._new_message(event, event.message_id)
        start = MessageStart(
            event.sid,
            event.meta,
            event.flow,
            event.count,
            event.round,
            time,
            event.digest,
            event.request_id,
            event.message_id,
            event.role,
            event.model,
            event.usage,
        )
        self._begin(message, start, time)
        for index, part in enumerate(event.blocks):
            block = message.blocks.get(index) or self._new_block(message, index)
            self._describe(block, part.block_type, part.tool_use_id, part.tool_name)
            block.is_started = True
            block.start_text = part.text
            block.start_time = block.stop_time = time
        message.stop_reason = event.stop_reason
        message.end_time = time
        self._settle_blocks(message)
        phases.message_ended(self.state, message, time)
        return True

    def _block_of_call(self, tool_use_id: str) -> Block | None:
        key = self.state.calls.get(tool_use_id) or self.state.loader.call(tool_use_id)
        message = self._find(key[0]) if key is not None else None
        return message.blocks.get(key[1]) if message is not None and key is not None else None

    def _block_of_item(self, item_id: str) -> Block | None:
        key = self.state.items.get(item_id) or self.state.loader.item(item_id)
        message = self._find(key[0]) if key is not None else None
        return message.blocks.get(key[1]) if message is not None and key is not None else None

    def _no_result(self, tool_use_id: str, time: float) -> None:
        """A call that must have returned, though its result was not seen (formats.md A.4)."""
        block = self._block_of_call(tool_use_id)
        if block is not None and block.result_time is None and block.no_result_at is None:
            block.no_result_at = time
            self._mark_all(block.message, block)


def _owner(message: Message) -> str:
    """The kind of source that streams a message."""
    return next((kind for kind, bit in KIND_BIT.items() if message.kinds & bit & STREAMING), "wire")


def text_size(block: Block) -> int:
    """Bytes of its deltas so far."""
    fresh = sum(len(text.encode("utf-8", "replace")) for text in block.fresh.texts)
    return block.stored_bytes + fresh


def _take_over(message: Message, other: Message | None) -> None:
    """The blocks of a message without start or request, whose name turns out to be this one's."""
    for index, block in other.blocks.items() if other is not None else ():
        if index not in message.blocks:
            message.blocks[index] = block
            block.message = message
