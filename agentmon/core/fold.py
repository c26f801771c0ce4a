"""fold(state, event): the only code that changes state.

Pure: takes its time from the event, brings back what left memory through `State.loader`, and
notes what changed. Attribution goes by `request_id` (formats.md A.3.1), since the written flow_id
may name another stream; identity and order follow design.md 7.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from agentmon.core import phases, rounds
from agentmon.core.events import (
    BlockStart,
    BlockStop,
    Delta,
    Event,
    Malformed,
    Marker,
    MessageDelta,
    MessageStart,
    MessageStop,
    Meta,
    Notice,
    Ping,
    Prompt,
    SessionEnd,
    SessionStart,
    StreamError,
    ToolResults,
    TurnStop,
    Unknown,
    WholeMessage,
)
from agentmon.core.lanes import close_lane, close_lanes, open_lane
from agentmon.core.rounds import mark_message
from agentmon.core.state import (
    Block,
    Message,
    PromptState,
    Said,
    Saved,
    Session,
    State,
    Stream,
    Thread,
)

TOKEN_FIELDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_PLACEHOLDERS = frozenset({"", "unknown", "idle"})
_QUEUE_MEMORY = 16
LOOSE_STOP = "stop_without_round"
"""The name under which such a stop is kept among the notices."""


class Fold:
    """Applies events to a state. One fold per state; no other code writes to it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._lanes = state.lanes
        self._apply: dict[type, Callable[[Any], bool]] = {
            MessageStart: self._message_start,
            BlockStart: self._block_start,
            BlockStop: self._block_stop,
            MessageDelta: self._message_delta,
            MessageStop: self._message_stop,
            Ping: self._ping,
            StreamError: self._error,
            WholeMessage: self._whole_message,
            ToolResults: self._tool_results,
            Prompt: self._prompt,
            SessionStart: self._session_start,
            SessionEnd: self._session_end,
            TurnStop: self._turn_stop,
            Notice: self._notice,
            Unknown: self._unknown,
        }

    def line(self, events: Iterable[Event | Malformed]) -> None:
        """Takes the events of one line. A line none of whose events is new does not count."""
        is_new = False
        for event in events:
            if isinstance(event, Malformed):
                is_new |= self._malformed(event)
            else:
                is_new |= self.event(event)
        if is_new:
            self.state.counts.lines += 1

    def event(self, event: Event, *, is_again: bool = False) -> bool:
        """Takes one event; False for a duplicate. `is_again`: it was counted when it came."""
        state = self.state
        known = state.sessions.get(event.sid)
        if known is not None and known.lanes:
            close_lanes(state, known)
        keyed = bool(event.sid)
        if keyed and not is_again and not self._take(event):
            state.counts.duplicates += 1
            return False
        if type(event) is Marker:
            return True
        if type(event) is Delta:
            return self._apply_delta(event, is_again=is_again)
        if not self._apply[type(event)](event):
            state.counts.duplicates += 1
            return False
        if not is_again:
            state.counts.events += 1
        return True

    # -- duplicates

    def _take(self, event: Event) -> bool:
        pid = event.meta.pid
        key = (event.sid, event.flow, -1 if pid is None else pid)
        stream = self.state.streams.get(key)
        if stream is None:
            stream = self.state.loader.stream(key) or Stream(*key)
            self.state.streams[key] = stream
        if not stream.take(event.count, event.digest):
            return False
        if not stream.is_dirty:
            self._mark_stream(stream)
        return True

    def _mark_stream(self, stream: Stream) -> None:
        stream.is_dirty = True
        stream.touched = self.state.batch
        self.state.changes.streams.append(stream)

    def _is_new_key(self, key: object, known: bool) -> bool:
        """For things without a counter: known to this process, or to the store?"""
        if known or key in self.state.recent:
            return False
        self.state.recent[key] = self.state.batch
        return True

    # -- the hot path

    def take_delta(
        self,
        sid: str,
        meta: Meta,
        flow: str,
        count: int,
        round_id: str | None,
        time: float,
        digest: int,
        request_id: str | None,
        index: int,
        text: str,
    ) -> None:
        """A line that is one delta, nine of ten, as the fields of a `Delta`: an object for each
        would cost as much as the rest of this. The same as `line([event])`."""
        lane = self._lanes.get(request_id)
        if (
            lane is None
            or count != lane.next_count
            or index != lane.index
            or meta is not lane.meta
            or flow != lane.flow
            or sid != lane.sid
        ):
            event = Delta(sid, meta, flow, count, round_id, time, digest, request_id, index, text)
            self.delta(event)
            return
        lane.next_count = count + 1
        lane.texts.append(text)
        lane.times.append(time)
        lane.digests.append(digest)

    def delta(self, event: Delta) -> None:
        """A line that is one delta, and perhaps the first of a run. The same as `line([event])`."""
        state = self.state
        message = state.requests.get(event.request_id or "")
        time = event.time
        if (
            message is None
            or message.meta is not event.meta
            or message.flow_id != event.flow
            or message.stream is None
            or message.session.sid != event.sid
            or time is None
        ):
            self.line((event,))
            return
        lane = state.lanes.get(message.request_id)
        if lane is not None:
            close_lane(state, lane)
        stream = message.stream
        if not stream.take(event.count, event.digest):
            state.counts.duplicates += 1
            return
        if not stream.is_dirty:
            self._mark_stream(stream)
        state.counts.lines += 1
        state.counts.events += 1
        block = message.blocks.get(event.index)
        if block is None or not block.is_started or block.is_cut or event.text is None:
            self._add(message, event, time)
            return
        if not block.is_dirty:
            self._mark_all(message, block)
        fresh = block.fresh
        fresh.texts.append(event.text)
        fresh.counts.append(event.count)
        fresh.times.append(time)
        block.delta_count += 1
        if time > message.last_time:
            self._move_on(message, block, event.meta, time)
        open_lane(state, message, block, event)

    def _move_on(self, message: Message, block: Block, meta: Meta, time: float) -> None:
        """The clocks of everything above a delta."""
        if meta is not message.session.meta:
            close_lanes(self.state, message.session)
        message.last_time = block.last_time = time
        session, thread = message.session, message.thread
        if time >= session.meta_time:
            if meta is session.meta:
                session.meta_time = time
            else:
                self._say_meta(session, meta, time)
        if time > session.resumed_at:
            session.resumed_at = time
        if time > thread.last_byte:
            thread.last_byte = time
            if thread.phase == "permission":
                phases.on_byte(self.state, thread, block.block_type, time)

    def _apply_delta(self, event: Delta, *, is_again: bool) -> bool:
        state = self.state
        message = self._target(event)
        if message.is_started and event.meta is message.meta and event.flow == message.flow_id:
            pid = event.meta.pid
            message.stream = state.streams.get((event.sid, event.flow, -1 if pid is None else pid))
        time = self._time_of(event, message.session)
        event.time = time
        self._add(message, event, time)
        if time > message.session.last_time:
            message.session.last_time = time
        if not is_again:
            state.counts.events += 1
        return True

    def _add(self, message: Message, event: Delta, time: float) -> None:
        block = message.blocks.get(event.index)
        if block is None:
            block = self._new_block(message, event.index)
        if not block.is_dirty:
            self._mark_all(message, block)
        if event.text is not None or event.cut:
            fresh = block.fresh
            if event.flow != message.flow_id:
                fresh.flows[len(fresh.counts)] = event.flow
            fresh.texts.append(event.text or "")
            fresh.counts.append(event.count)
            fresh.times.append(time)
            block.delta_count += 1
            block.cut_bytes += event.cut
            block.is_cut = block.is_cut or event.cut > 0
        if block.last_time is None or time > block.last_time:
            block.last_time = time
        if not block.is_started and (block.start_time is None or time < block.start_time):
            block.start_time = time
            self._settle_blocks(message)
        session = message.session
        if session.first_time is None or time < session.first_time:
            session.first_time = time
        self._move_on(message, block, event.meta, max(time, message.last_time))

    def _mark_all(self, message: Message, block: Block) -> None:
        """Once per block and batch: everything above a delta changes with it."""
        if block.is_dirty:
            return
        state = self.state
        block.is_dirty = True
        state.changes.blocks.append(block)
        mark_message(state, message)
        self._touch(message.session)
        phases.mark(state, message.thread)

    # -- sessions and threads

    def _touch(self, session: Session) -> None:
        session.touched = self.state.batch
        if not session.is_dirty:
            session.is_dirty = True
            self.state.changes.sessions.append(session)

    def _session(self, sid: str, agent: str = "claude") -> Session:
        session = self.state.sessions.get(sid)
        if session is None:
            session = self.state.loader.session(sid) or Session(sid, agent)
            self.state.sessions[sid] = session
            self._touch(session)
        return session

    def _time_of(self, event: Event, session: Session) -> float:
        """A line without any time happened when its session was last heard of."""
        if event.time is not None:
            return event.time
        last = max(session.last_time, session.resumed_at)
        return last if last > 0 else 0.0

    def _heard(self, event: Event, *, resumes: bool = True) -> tuple[Session, float]:
        """What every event tells of its session."""
        meta = event.meta
        session = self.state.sessions.get(event.sid) or self._session(event.sid, meta.agent)
        time = event.time
        if time is None:
            time = self._time_of(event, session)
        self._touch(session)
        if session.first_time is None or time < session.first_time:
            session.first_time = time
        if time > session.last_time:
            session.last_time = time
        if resumes and time > session.resumed_at:
            session.resumed_at = time
        if time >= session.meta_time:
            if meta is session.meta:
                session.meta_time = time
            else:
                self._say_meta(session, meta, time)
        return session, time

    def _say_meta(self, session: Session, meta: Meta, time: float) -> None:
        session.meta, session.meta_time = meta, time
        if meta.pid is not None:
            session.pid = meta.pid
        if meta.cwd:
            session.cwd = meta.cwd
        if meta.version:
            session.version = meta.version

    def _thread(self, session: Session, agent_id: str | None) -> Thread:
        key = agent_id or ""
        thread = session.threads.get(key)
        if thread is None:
            thread = session.threads[key] = Thread(session.sid, key)
            phases.adopt(session, thread)
            phases.mark(self.state, thread)
        return thread

    # -- messages: which one an event belongs to

    def _find(self, flow_id: str) -> Message | None:
        state = self.state
        message = state.messages.get(flow_id)
        if message is None and flow_id not in state.left:
            message = state.loader.message(flow_id, self._session)
            if message is not None:
                self._remember(message)
        if message is not None and message.session.lanes:
            close_lanes(state, message.session)  # it is another session's
        return message

    def recall(self, flow_id: str) -> None:
        """Brings a message back into memory, so that what comes can change its round."""
        self._find(flow_id)

    def _remember(self, message: Message) -> None:
        state = self.state
        state.messages[message.flow_id] = message
        if message.request_id is not None:
            state.requests[message.request_id] = message
        for block in message.blocks.values():
            if block.tool_use_id is not None:
                state.calls[block.tool_use_id] = (message.flow_id, block.index)

    def _by_request(self, request_id: str | None) -> Message | None:
        if request_id is None:
            return None
        message = self.state.requests.get(request_id)
        if message is None:
            flow_id = self.state.loader.flow_of_request(request_id)
            message = self._find(flow_id) if flow_id is not None else None
            if message is not None:
                self.state.requests[request_id] = message
        elif message.session.lanes:
            close_lanes(self.state, message.session)  # it is another session's
        return message

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
        phases.heard(self.state, message.thread, time)
        return message, time

    # -- messages: start, blocks, end

    def _message_start(self, event: MessageStart) -> bool:
        _, time = self._heard(event)
        event.time = time
        request, name = event.request_id, event.message_id
        asked, owner = self._by_request(request), self._find(name)
        if owner is not None and owner.is_started:
            if request is not None:
                self.state.requests[request] = owner
            return False
        if owner is not None and owner is not asked and owner.request_id not in (None, request):
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

    def _begin(self, message: Message, event: MessageStart, time: float) -> None:
        state = self.state
        message.is_started = True
        message.meta = event.meta
        message.written = None
        message.request_id = event.request_id or message.request_id
        if message.request_id is not None:
            state.requests[message.request_id] = message
        message.role, message.model = event.role, event.model
        message.start_time = time
        message.last_time = max(message.last_time, time)
        message.own_round = event.round
        message.pid = event.meta.pid
        message.agent_id = event.meta.agent_id
        message.thread = self._thread(message.session, event.meta.agent_id)
        self._count_tokens(message, event.usage)
        rounds.place(state, message)
        rounds.add_start(state, message)
        mark_message(state, message)
        phases.message_started(state, message, time, self._no_result)

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
        mark_message(state, message)

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
        known = recent[:2] if recent is not None else state.loader.result(tool_use_id)
        if known is not None:
            block.result_time, block.result_is_error = known

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
            if time is None and at < len(blocks):
                time = blocks[at].start_time
            if time is None:
                time = message.end_time
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
        session = message.session
        for at, name in enumerate(TOKEN_FIELDS):
            value = usage.get(name)
            known = message.tokens[at]
            if value is not None and (known is None or value > known):
                message.tokens[at] = value
                session.tokens[at] += value - (known or 0)
        if message.agent_id is None:
            if message.model:
                session.model = message.model
            session.context_tokens = sum(count or 0 for count in message.tokens)

    def _ping(self, event: Ping) -> bool:
        message = self._existing(event, event.request_id)
        _, time = self._heard(event)
        if message is not None:
            phases.heard(self.state, message.thread, time)
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
        phases.failed(self.state, thread, event.error_type, time)
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

    # -- what comes from the user's side

    def _tool_results(self, event: ToolResults) -> bool:
        session, time = self._heard(event)
        state = self.state
        for result in event.results:
            key = result.tool_use_id
            if key in state.results or state.loader.result(key, is_coming=True) is not None:
                state.counts.duplicates += 1
                continue
            state.results[key] = (time, result.is_error, state.batch)
            state.changes.results.append(Saved(event.sid, time, result))
            block = self._block_of_call(key)
            if block is not None:
                block.result_time, block.result_is_error = time, result.is_error
                block.no_result_at = None
                self._mark_all(block.message, block)
            agent_id = block.message.agent_id if block else event.meta.agent_id
            thread = self._thread(session, agent_id)
            phases.result_came(state, session, thread, key, time)
        return True

    def _block_of_call(self, tool_use_id: str) -> Block | None:
        key = self.state.calls.get(tool_use_id) or self.state.loader.call(tool_use_id)
        message = self._find(key[0]) if key is not None else None
        return message.blocks.get(key[1]) if message is not None and key is not None else None

    def _prompt(self, event: Prompt) -> bool:
        state = self.state
        uuid = event.message_uuid
        if uuid is not None:
            known = state.loader.has_prompt(event.sid, uuid)
            if not self._is_new_key((event.sid, uuid), known):
                return False
        session, time = self._heard(event)
        session.prompt_count += 1
        is_queued = event.text in session.queued
        if is_queued:
            session.queued.remove(event.text)
        prompt = PromptState(
            event.sid,
            session.prompt_count,
            event.meta.pid,
            time,
            uuid,
            event.text,
            event.round,
            is_queued,
        )
        rounds.add_prompt(state, session, prompt)
        phases.prompted(state, self._thread(session, None), time)
        return True

    def _session_start(self, event: SessionStart) -> bool:
        state = self.state
        known = state.sessions.get(event.sid) or state.loader.session(event.sid)
        pid_before = known.pid if known is not None else None
        session, time = self._heard(event)
        is_new_process = pid_before is not None and event.meta.pid not in (None, pid_before)
        if event.source == "resume" or (is_new_process and event.source != "compact"):
            rounds.close_all(state, session, time)
        phases.session_started(state, self._thread(session, None), event.source, time)
        return True

    def _session_end(self, event: SessionEnd) -> bool:
        state = self.state
        session, time = self._heard(event, resumes=False)
        if session.ended_at is None or time >= session.ended_at:
            session.ended_at, session.end_reason = time, event.reason
        rounds.close_all(state, session, time)
        self._thread(session, None)
        phases.session_ended(state, session, time, self._no_result)
        return True

    def _turn_stop(self, event: TurnStop) -> bool:
        state = self.state
        session, time = self._heard(event, resumes=False)
        if event.is_subagent:
            thread = self._thread(session, event.meta.agent_id)
            phases.set_phase(state, thread, "idle", time)
            return True
        if event.round != "":
            rounds.end_round(state, session, event.round, time)
        if event.round is None:
            state.changes.notices.append(Said(time, _loose_stop(event)))
        thread = self._thread(session, None)
        phases.turn_stopped(state, session, thread, event.background, time, self._no_result)
        return True

    def _no_result(self, tool_use_id: str, time: float) -> None:
        """A call that must have returned, though its result was not seen (formats.md A.4)."""
        block = self._block_of_call(tool_use_id)
        if block is not None and block.result_time is None and block.no_result_at is None:
            block.no_result_at = time
            self._mark_all(block.message, block)

    def _notice(self, event: Notice) -> bool:
        session, time = self._heard(event, resumes=False)
        if event.name == "queue_operation" and event.kind == "enqueue" and event.text:
            session.queued.append(event.text)
            del session.queued[:-_QUEUE_MEMORY]
        self.state.changes.notices.append(Said(time, event))
        phases.noticed(self.state, session, self._thread(session, event.meta.agent_id), event, time)
        return True

    # -- what is not understood

    def _unknown(self, event: Unknown) -> bool:
        state = self.state
        digest = _digest(event.offset, event.raw)
        if not event.sid and not self._is_new_key(digest, state.loader.has_raw(digest)):
            return False
        if event.sid:
            self._heard(event, resumes=False)
        state.changes.raw.append((digest, event, event.time))
        return True

    def _malformed(self, bad: Malformed) -> bool:
        state = self.state
        digest = _digest(bad.offset, b"%d:%s" % (bad.size, bad.head))
        if not self._is_new_key(digest, state.loader.has_bad(digest)):
            state.counts.duplicates += 1
            return False
        state.counts.bad_lines += 1
        state.changes.bad.append((digest, bad))
        return True


def _loose_stop(event: TurnStop) -> Notice:
    """A stop without a round, kept so that its round can be found again after a restart."""
    return Notice(
        event.sid,
        event.meta,
        event.flow,
        event.count,
        event.round,
        event.time,
        event.digest,
        LOOSE_STOP,
        "{}",
    )


def _take_over(message: Message, other: Message | None) -> None:
    """The blocks of a message without start or request, whose name turns out to be this one's."""
    for index, block in other.blocks.items() if other is not None else ():
        if index not in message.blocks:
            message.blocks[index] = block
            block.message = message


def _rename_flows(block: Block, old: str, new: str) -> None:
    """Fresh deltas keep the flow id as written when their message takes another one."""
    flows = block.fresh.flows
    named = {at: flows.get(at, old) for at in range(len(block.fresh.counts))}
    block.fresh.flows = {at: flow for at, flow in named.items() if flow != new}


def _digest(offset: int, content: bytes) -> bytes:
    """A copied file repeats offset and content; the same bad bytes elsewhere are another line."""
    return blake2b(content, digest_size=16, salt=offset.to_bytes(16, "little")).digest()
