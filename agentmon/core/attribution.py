"""Which message an event of a stream belongs to (formats.md A.3.1-2, design.md 7).

`request_id` names one stream; the flow_id as written may be another one's. A stream whose start was
not seen goes by its own flow_id, or by its request's where that name is taken, and gets its true
name when its start comes after all.
"""

from typing import Any

from agentmon.core import phases, rounds
from agentmon.core.entities import Entities
from agentmon.core.events import (
    Event,
)
from agentmon.core.kinds import KIND_BIT
from agentmon.core.model import Block, Message
from agentmon.core.rounds import mark_message

_PLACEHOLDERS = frozenset({"", "unknown", "idle"})


class Attribution(Entities):
    """Finds or makes the message of a stream event."""

    def recall(self, flow_id: str) -> None:
        """Brings a message back into memory, so that what comes can change its round."""
        self._find(flow_id)

    def _existing(self, event: Event, request_id: str | None) -> Message | None:
        """The message of a ping or an error, which never make one."""
        message = self._by_request(request_id)
        if message is None and event.flow not in _PLACEHOLDERS:
            found = self._find(event.flow)
            mine = found is not None and (request_id is None or found.request_id == request_id)
            message = found if mine else None
        return message

    def _target(self, event: Any) -> Message:
        """The message a stream event belongs to, made if its start was never seen."""
        request: str | None = event.request_id
        message = self._by_request(request)
        if message is None:
            message = self._stranger(event, request)
        if event.flow != message.flow_id:
            message = self._before_splice(event, message)
        if event.flow != message.flow_id:
            self.state.counts.reattributed += 1
        if not message.is_started:
            self._seen_before_start(message, event)
        return message

    def _before_splice(self, event: Event, message: Message) -> Message:
        """A late event of the message that was on this request before another took it over."""
        time, start = event.time, message.start_time
        if not message.is_started or time is None or start is None or time >= start:
            return message
        earlier = self._find(event.flow) if event.flow not in _PLACEHOLDERS else None
        is_same = earlier is not None and earlier.request_id == message.request_id
        return earlier if earlier is not None and is_same else message

    def _stranger(self, event: Event, request: str | None) -> Message:
        """A stream whose start was not seen: its own flow_id, unless that is another message's."""
        flow = event.flow
        owner = self._find(flow) if flow not in _PLACEHOLDERS else None
        if owner is not None and (request is None or owner.request_id in (None, request)):
            message = owner
        elif owner is not None and request is not None:
            message = self._find(request) or self._new_message(event, request)
        else:
            own = (
                flow if flow not in _PLACEHOLDERS else request or f"{flow or 'unknown'}:{event.sid}"
            )
            message = self._find(own) or self._new_message(event, own)
        if request is not None:
            if message.request_id is None:
                message.request_id = request
                mark_message(self.state, message)
            self.state.requests[request] = message
        return message

    def _new_message(self, event: Event, flow_id: str) -> Message:
        state = self.state
        session = self._session(event.sid, event.meta.agent)
        meta = event.meta
        message = Message(
            flow_id,
            state.seq,
            session,
            self._thread(session, meta.agent_id),
            own_round=event.round,
            agent_id=meta.agent_id,
            pid=meta.pid,
            start_time=event.time,
            kinds=KIND_BIT[meta.kind],
        )
        state.seq += 1
        state.messages[flow_id] = message
        rounds.place(state, message)
        mark_message(state, message)
        return message

    def _seen_before_start(self, message: Message, event: Event) -> None:
        """A message without its start begins with its first event."""
        if message.written is None:
            message.written = {}
        message.written[event.flow] = message.written.get(event.flow, 0) + 1
        time = event.time
        if time is not None and (message.start_time is None or time < message.start_time):
            message.start_time = time
            rounds.place(self.state, message)
        mark_message(self.state, message)

    def _stream_event(self, event: Any) -> tuple[Message, float]:
        message = self._target(event)
        _, time = self._heard(event)
        mark_message(self.state, message)
        if time > message.last_time:
            message.last_time = time
        phases.heard(self.state, message.thread, time, event.meta.kind)
        return message, time

    def _rename(self, message: Message, flow_id: str) -> None:
        """A message that went under a wrong flow_id, because its start came late or never."""
        state = self.state
        written = message.written or {}
        total = sum(written.values())
        before = total - written.get(message.flow_id, 0)
        state.counts.reattributed += total - written.get(flow_id, 0) - before
        if state.messages.get(message.flow_id) is message:
            del state.messages[message.flow_id]
        if message.is_stored and message.moved_from is None:
            state.left[message.flow_id] = state.batch
            message.moved_from = message.flow_id
            for block in message.blocks.values():
                block.moved_from = message.flow_id
        for block in message.blocks.values():
            _rename_flows(block, message.flow_id, flow_id)
        self._find(flow_id)  # nobody has this name, but it has to be asked for
        message.flow_id = flow_id
        state.messages[flow_id] = message
        for block in message.blocks.values():
            self._mark_all(message, block)
            if block.tool_use_id is not None:
                state.calls[block.tool_use_id] = (flow_id, block.index)
            if block.told is not None:
                block.told.is_dirty = True
                if block.told.item_id is not None:
                    state.items[block.told.item_id] = (flow_id, block.index)
        mark_message(state, message)


def _rename_flows(block: Block, old: str, new: str) -> None:
    """Fresh deltas keep the flow id as written when their message takes another one."""
    flows = block.fresh.flows
    named = {at: flows.get(at, old) for at in range(len(block.fresh.columns))}
    block.fresh.flows = {at: flow for at, flow in named.items() if flow != new}
