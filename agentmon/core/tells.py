"""Events of sources that tell things when they are over: transcripts, rollouts, hooks, registries.

What a stream says of the same message goes before them; they fill what it did not say. In whatever
order two sources come, the outcome is the same (formats.md H, design.md 3).
"""

from hashlib import sha256

import msgspec

from agentmon.core import phases, rounds, told_rounds
from agentmon.core.entities import EXACT
from agentmon.core.events import (
    AgentSaid,
    BlockStart,
    Event,
    Facts,
    Notice,
    Other,
    Retry,
    Told,
    ToldBlock,
    TurnAborted,
)
from agentmon.core.kinds import KIND_BIT, STAND_IN
from agentmon.core.model import Block, Message, Said, Thread, ToldText
from agentmon.core.rounds import mark_message
from agentmon.core.turns import Turns


class Tells(Turns):
    """Applies what comes after the fact."""

    def _told(self, event: Told) -> bool:
        session, time = self._heard(event)
        event.time = time
        if event.group.startswith(STAND_IN) and session.kinds & EXACT:
            return True
        message = self._told_message(event, time)
        if message is None:
            return True
        before = len(message.blocks)
        is_told = event.meta.kind not in ("wire", "sse")
        message.kinds |= KIND_BIT[event.meta.kind]
        self._describe_told(message, event, time)
        for part in event.blocks:
            self._told_block(message, part, event, time)
        self._count_tokens(message, event.usage)
        if event.has_end and (message.end_time is None or time > message.end_time):
            message.end_time = time
        if event.blocks or event.has_end:
            self._settle_blocks(message)
        self._touch(session)
        mark_message(self.state, message)
        if is_told:
            is_new = len(message.blocks) > before
            phases.told(self.state, message, event, time, is_new=is_new, no_result=self._no_result)
        elif event.has_end:
            phases.message_ended(self.state, message, time)
        self._testify(event, time, _said(event))
        return True

    # -- which message

    def _told_message(self, event: Told, time: float) -> Message | None:
        """The message an event means, made if nobody told of it; None if it means none."""
        named = self._named(event) if event.message_id else self._joined(event)
        provisional = self._find(event.group) if event.group else None
        if provisional is not None and provisional is not named:
            if named is not None:
                self._absorb(named, provisional)
            elif event.message_id:
                self._rename(provisional, event.message_id)
                named = provisional
            else:
                named = provisional
        if named is not None:
            return named
        if not event.message_id and not event.blocks:
            return None
        message = self._new_message(event, event.message_id or event.group)
        message.start_time = time
        return message

    def _named(self, event: Told) -> Message | None:
        asked = self._by_request(event.request_id)
        message = self._find(event.message_id)
        if message is None and asked is not None and asked.written is not None:
            self._rename(asked, event.message_id)  # its stream is known, its start never came
            message = asked
        return message

    def _joined(self, event: Told) -> Message | None:
        """A message that is not named yet: known by the ids of its blocks."""
        for part in event.blocks:
            block = self._block_of_call(part.tool_use_id) if part.tool_use_id else None
            block = block or (self._block_of_item(part.item_id) if part.item_id else None)
            if block is not None and block.message.session.sid == event.sid:
                return block.message
        return None

    def _absorb(self, message: Message, provisional: Message) -> None:
        """A provisional message turns out to be one that has its true name already."""
        state = self.state
        for index in sorted(provisional.blocks):
            told = provisional.blocks[index].told
            if told is not None:
                part = provisional.blocks[index]
                same = next((b for b in message.blocks.values() if _is_same(b, part)), None)
                target = same or message.blocks.get(index) or self._new_block(message, index)
                if target.told is None:
                    target.told, told.is_dirty = told, True
                    self._know(target)
                    self._mark_all(message, target)
        state.messages.pop(provisional.flow_id, None)
        state.left[provisional.flow_id] = state.batch
        if provisional.is_stored:
            state.changes.absorbed.append(provisional.flow_id)
        if provisional in state.changes.messages:
            state.changes.messages.remove(provisional)
        gone = set(map(id, provisional.blocks.values()))
        state.changes.blocks = [b for b in state.changes.blocks if id(b) not in gone]
        self._drop_tokens(provisional)
        if provisional in provisional.session.unplaced:
            provisional.session.unplaced.remove(provisional)
        self._settle_blocks(message)

    def _drop_tokens(self, message: Message) -> None:
        for at, count in enumerate(message.tokens):
            message.session.tokens[at] -= count or 0

    def _block_start(self, event: BlockStart) -> bool:
        """The stream may name a block that was told of a message without a name, or elsewhere."""
        message = self._by_request(event.request_id)
        if message is not None and message.kinds != KIND_BIT["wire"]:
            self._make_room(message, event.index, event.block_type, event.tool_use_id)
        is_new = super()._block_start(event)
        known = self._block_of_item(event.item_id) if event.item_id is not None else None
        if known is not None and not known.message.is_started:
            message = self._by_request(event.request_id) or self._find(event.flow)
            if message is not None and message is not known.message:
                self._absorb(message, known.message)
        return is_new

    def _make_room(
        self, message: Message, index: int, block_type: str | None, call: str | None
    ) -> None:
        """Where blocks were told without their places (a client that prints only calls), a stream
        or a transcript says the places."""
        there = message.blocks.get(index)
        mine = next((b for b in message.blocks.values() if call and b.tool_use_id == call), None)
        is_other = there is not None and (
            (there.block_type, there.tool_use_id) != (block_type, call)
        )
        if there is not None and there is not mine and is_other and _is_only_told(there):
            self._move_told(there, max(message.blocks) + 1)
        if mine is not None and mine.index != index and _is_only_told(mine):
            self._move_told(mine, index)

    def _move_told(self, block: Block, index: int) -> None:
        message, told = block.message, block.told
        del message.blocks[block.index]
        if block in self.state.changes.blocks:
            self.state.changes.blocks.remove(block)
        self.state.changes.left_blocks.append((message.flow_id, block.index))
        target = message.blocks.get(index) or self._new_block(message, index)
        if target.told is None and told is not None:
            target.told, told.is_dirty = told, True
            self._know(target)
        if target.block_type is None and block.block_type is not None:
            self._describe(target, block.block_type, block.tool_use_id, block.tool_name)
            target.start_time = block.start_time
        self._settle_blocks(message)

    # -- what is said of it

    def _describe_told(self, message: Message, event: Told, time: float) -> None:
        is_named = message.request_id is not None and ":" not in message.request_id
        if not is_named and event.request_id is not None:
            message.request_id = event.request_id
            self.state.requests[event.request_id] = message
        if event.meta.agent_id is not None and message.agent_id is None:
            self._give_to_agent(message, event.meta.agent_id)
        if not message.is_started:
            message.role = event.role or message.role
            message.model = event.model or message.model
            if message.start_time is None or time < message.start_time:
                message.start_time = time
            if message.own_round is None and event.round is not None:
                message.own_round = event.round
            rounds.place(self.state, message)
        if event.stop_reason is not None:
            message.told_stop = event.stop_reason
        message.is_done = message.is_done or event.is_done
        if event.error is not None and not message.is_started:
            message.error = event.error
        message.last_time = max(message.last_time, time)

    def _give_to_agent(self, message: Message, agent_id: str) -> None:
        """Only a transcript knows whose messages share a session (formats.md A.3.8)."""
        message.agent_id = agent_id
        message.thread = self._thread(message.session, agent_id)
        for block in message.blocks.values():
            call = message.session.calls.get(block.tool_use_id or "")
            if call is not None:
                call.agent_id = agent_id

    # -- its blocks

    def _told_block(self, message: Message, part: ToldBlock, event: Told, time: float) -> None:
        block = self._block_for(message, part)
        if block.block_type is None or (block.tool_use_id is None and part.tool_use_id is not None):
            self._describe(block, part.block_type, part.tool_use_id, part.tool_name)
        known = block.told
        if known is not None and (known.is_exact or not part.is_exact):
            return
        data = part.text.encode("utf-8", "replace")
        block.told = ToldText(
            part.item_id,
            time,
            len(data),
            sha256(data).hexdigest(),
            part.is_exact,
            event.meta.kind,
            data.decode("utf-8"),
            part.is_cut,
        )
        self._know(block)
        if block.start_time is None:
            block.start_time = time
        self._mark_all(message, block)

    def _know(self, block: Block) -> None:
        if block.told is not None and block.told.item_id is not None:
            self.state.items[block.told.item_id] = (block.message.flow_id, block.index)

    def _block_for(self, message: Message, part: ToldBlock) -> Block:
        index = part.index
        if index is None:
            index = _index_of(message, part)
        elif message.kinds & KIND_BIT["stream"]:
            self._make_room(message, index, part.block_type, part.tool_use_id)
        block = message.blocks.get(index)
        return block if block is not None else self._new_block(message, index)

    # -- everything else that is told

    def _retry(self, event: Retry) -> bool:
        session, time = self._heard(event, resumes=False)
        thread = self._thread(session, event.meta.agent_id)
        phases.retried(self.state, thread, event, time)
        data: dict[str, object] = {
            "error_type": event.error_type,
            "message": event.message,
            "delay": event.delay,
            "attempt": event.attempt,
            "max_attempts": event.max_attempts,
        }
        self._note(event, time, "retry", data, event.error_type)
        self._testify(event, time, f"retry: {event.error_type}")
        return True

    def _note(
        self, event: Event, time: float, name: str, data: dict[str, object], kind: str | None
    ) -> None:
        """Keeps an event among the notices."""
        said = Notice(
            event.sid,
            event.meta,
            event.flow,
            event.count,
            event.round,
            time,
            event.digest,
            name,
            msgspec.json.encode(data).decode(),
            kind=kind,
        )
        self.state.changes.notices.append(Said(time, said))

    def _turn_aborted(self, event: TurnAborted) -> bool:
        session, time = self._heard(event, resumes=False)
        thread = self._thread(session, event.meta.agent_id)
        if event.meta.agent_id is None and event.round != "":
            told_rounds.abort_round(self.state, session, event, time, has_end=event.has_end)
        phases.aborted(self.state, session, thread, time, self._no_result, event)
        self._note(event, time, "turn_aborted", {"reason": event.reason}, event.reason)
        self._testify(event, time, event.reason or "aborted")
        return True

    def _agent_said(self, event: AgentSaid) -> bool:
        session, time = self._heard(event, resumes=False)
        thread = self._thread(session, event.agent_id)
        before = _agent_fields(thread)
        thread.parent_tool_use_id = event.parent_tool_use_id or thread.parent_tool_use_id
        thread.kind = event.kind or thread.kind
        is_own = event.meta.agent_id == event.agent_id
        if event.description and not (is_own and thread.description):
            thread.description = event.description  # its own first line only fills a gap
        if event.status is not None and (thread.status is None or event.status != "running"):
            thread.status = event.status
        if before != _agent_fields(thread):
            phases.mark(self.state, thread)
        phases.agent_said(self.state, thread, event, time)
        return True

    def _facts(self, event: Facts) -> bool:
        session, time = self._heard(event, resumes=False)
        known = self.state.changes.facts
        for name, value in event.values.items():
            key = (session.sid, event.meta.agent_id or "", name)
            if key not in known or known[key][1] <= time:
                known[key] = (value, time, event.meta.kind)
        return True

    def _other(self, event: Other) -> bool:
        session, time = self._heard(event, resumes=False)
        if event.is_alive:
            phases.alive(self.state, self._thread(session, event.meta.agent_id), time, event)
        if event.said is not None:
            self._testify(event, time, event.said)
        return True


def _is_only_told(block: Block) -> bool:
    return block.told is not None and not block.is_started and not block.delta_count


def _agent_fields(thread: Thread) -> tuple[str | None, ...]:
    return thread.parent_tool_use_id, thread.kind, thread.description, thread.status


def _is_same(block: Block, part: Block) -> bool:
    if part.tool_use_id is not None:
        return block.tool_use_id == part.tool_use_id
    ours, theirs = block.told, part.told
    return bool(ours and theirs and ours.item_id and ours.item_id == theirs.item_id)


def _index_of(message: Message, part: ToldBlock) -> int:
    """Of a block without index: the same one told again, else the next of its message.

    A transcript has a record per block, in order; the block at that place is meant, unless the
    stream has another type there.
    """
    for index, block in message.blocks.items():
        if part.tool_use_id is not None and block.tool_use_id == part.tool_use_id:
            return index
        if part.item_id is not None and block.told and block.told.item_id == part.item_id:
            return index
    index = 0
    while True:
        block = message.blocks.get(index)
        if block is None:
            return index
        if block.told is None and block.block_type in (None, part.block_type):
            return index
        index += 1


def _said(event: Told) -> str:
    if event.error is not None:
        return "error"
    if event.blocks:
        last = event.blocks[-1]
        return f"{last.block_type} {last.tool_name}" if last.tool_name else last.block_type
    return event.stop_reason or "message"
