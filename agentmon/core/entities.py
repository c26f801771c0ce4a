"""Sessions, threads and messages by key: found in memory, brought back, or made; and what changed.

The ground the fold stands on. Nothing here knows what an event means.
"""

from agentmon.core import phases
from agentmon.core.events import (
    Event,
    Meta,
)
from agentmon.core.kinds import KIND_BIT, STAND_IN, STAND_IN_CALL, STREAM_REQUEST, TELLING
from agentmon.core.model import Block, Message, Session, Stream, Thread
from agentmon.core.rounds import catch_up, mark_message
from agentmon.core.state import State

EXACT = KIND_BIT["wire"] | TELLING
"""Kinds of sources that name what they tell."""


class Entities:
    """Looks entities up and marks them; a line that was taken before is told here."""

    def __init__(self, state: State) -> None:
        self.state = state

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

    def _touch(self, session: Session) -> None:
        session.touched = self.state.batch
        if not session.is_dirty:
            session.is_dirty = True
            self.state.changes.sessions.append(session)

    def _session(self, sid: str, agent: str = "claude") -> Session:
        session = self.state.sessions.get(sid)
        if session is None:
            session = self.state.loader.session(sid)
            session = session or Session(sid, agent, host=self.state.host)
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
        if not session.kinds & KIND_BIT[meta.kind]:
            self._hear_kind(session, KIND_BIT[meta.kind])
        if event.time is not None and (session.first_time is None or time < session.first_time):
            session.first_time = time
        if time > session.last_time:
            session.last_time = time
        if resumes and time > session.resumed_at:
            session.resumed_at = time
        if meta.kind != "wire":
            _fill_meta(session, meta, time)
        elif time >= session.meta_time:
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

    def _hear_kind(self, session: Session, bit: int) -> None:
        """A kind of source speaks of a session for the first time.

        What `codex exec --json` prints names neither responses nor calls, so it can't be joined
        with what the wire or a rollout says of the same run: it stands in until they come.
        """
        if session.agent == "codex" and session.kinds & EXACT == 0 and bit & EXACT:
            self._drop_stand_ins(session)
        session.kinds |= bit

    def _drop_stand_ins(self, session: Session) -> None:
        state = self.state
        gone = [
            message
            for message in state.messages.values()
            if message.session is session and message.flow_id.startswith(STAND_IN)
        ]
        for message in gone:
            del state.messages[message.flow_id]
            if message in state.changes.messages:
                state.changes.messages.remove(message)
        blocks = {id(block) for message in gone for block in message.blocks.values()}
        state.changes.blocks = [b for b in state.changes.blocks if id(b) not in blocks]
        state.changes.results = [
            saved
            for saved in state.changes.results
            if saved.sid != session.sid or not saved.result.tool_use_id.startswith(STAND_IN_CALL)
        ]
        if session.kinds:
            state.changes.replaced.append(session.sid)
        session.unplaced.clear()
        session.loose_stops.clear()
        session.calls.clear()
        session.tokens = [0, 0, 0, 0]

    def _testify(self, event: Event, time: float, said: str) -> None:
        """What a kind of source said last of an agent; the wire's is its last byte."""
        if event.meta.kind == "wire":
            return
        key = (event.sid, event.meta.agent_id or "", event.meta.kind)
        known = self.state.changes.testimony.get(key)
        if known is None or known[0] <= time:
            self.state.changes.testimony[key] = (time, said)

    def _find(self, flow_id: str) -> Message | None:
        state = self.state
        message = state.messages.get(flow_id)
        if message is None and flow_id not in state.left:
            message = state.loader.message(flow_id, self._session)
            if message is not None:
                catch_up(state, message)
                self._remember(message)
        return message

    def _remember(self, message: Message) -> None:
        state = self.state
        state.messages[message.flow_id] = message
        request = message.request_id
        if (
            request is not None
            and request not in state.requests
            # not one that was on this request before another message took it over
            and state.loader.flow_of_request(request) in (None, message.flow_id)
        ):
            state.requests[request] = message
        for block in message.blocks.values():
            if block.tool_use_id is not None:
                state.calls[block.tool_use_id] = (message.flow_id, block.index)
            if block.told is not None and block.told.item_id is not None:
                state.items[block.told.item_id] = (message.flow_id, block.index)

    def _by_request(self, request_id: str | None) -> Message | None:
        if request_id is None:
            return None
        message = self.state.requests.get(request_id)
        if message is None:
            flow_id = self.state.loader.flow_of_request(request_id)
            message = self._find(flow_id) if flow_id is not None else None
            if message is None and request_id.startswith(STREAM_REQUEST):
                message = self._streamed(request_id.removeprefix(STREAM_REQUEST))
            if message is not None:
                self.state.requests[request_id] = message
        return message

    def _streamed(self, name: str) -> Message | None:
        """A message that stream-json is known to tell, though the store has the wire's request."""
        message = self._find(name)
        is_told = message is not None and message.kinds & KIND_BIT["stream"]
        return message if is_told else None


def _fill_meta(session: Session, meta: Meta, time: float) -> None:
    """Who a session is, told beside the wire: that one goes before, except for a newer process."""
    if meta.pid is not None and (session.pid is None or time >= session.meta_time):
        session.pid = meta.pid
    if session.kinds & KIND_BIT["wire"] or time < session.told_meta_time:
        return
    session.told_meta_time = time
    session.cwd = meta.cwd or session.cwd
    session.version = meta.version or session.version
