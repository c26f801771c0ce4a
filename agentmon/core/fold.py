"""fold(state, event): the only code that changes state.

Pure: takes its time from the event, brings back what left memory through `State.loader`, and
notes what changed. Attribution goes by `request_id` (formats.md A.3.1), since the written flow_id
may name another stream; identity and order follow design.md 7.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import compress
from typing import Any

from agentmon.core import phases
from agentmon.core.events import (
    AgentSaid,
    BlockStart,
    BlockStop,
    Delta,
    Event,
    Facts,
    Malformed,
    Marker,
    MessageDelta,
    MessageStart,
    MessageStop,
    Meta,
    Notice,
    Other,
    Ping,
    Prompt,
    Retry,
    SessionEnd,
    SessionStart,
    StreamError,
    Told,
    ToolResults,
    TurnAborted,
    TurnStop,
    Unknown,
    WholeMessage,
)
from agentmon.core.kinds import KIND_BIT, STREAMING
from agentmon.core.model import Block, Message
from agentmon.core.runs import Run
from agentmon.core.state import State
from agentmon.core.tells import Tells


class Fold(Tells):
    """Applies events to a state. One fold per state; no other code writes to it."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
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
            Told: self._told,
            TurnAborted: self._turn_aborted,
            Retry: self._retry,
            AgentSaid: self._agent_said,
            Facts: self._facts,
            Other: self._other,
            Unknown: self._unknown,
        }

    def one(self, event: Event) -> None:
        """Takes a line that is one event. The same as `line([event])`."""
        if self.event(event):
            self.state.counts.lines += 1

    def line(self, events: Iterable[Event | Malformed]) -> None:
        """Takes the events of one line. A line none of whose events is new does not count."""
        if isinstance(events, list | tuple) and len(events) == 1:
            (only,) = events
            if self._malformed(only) if isinstance(only, Malformed) else self.event(only):
                self.state.counts.lines += 1
            return
        is_new = False
        key: tuple[object, ...] | None = None
        took, said = False, list[Event]()
        for event in events:
            if isinstance(event, Malformed):
                is_new |= self._malformed(event)
                continue
            mine = (event.sid, event.flow, event.count, event.digest)
            is_single = event.meta.kind == "wire" and event.meta.agent == "claude"
            if mine == key and not is_single and event not in said:
                # one record says several things: taken, or known, as a whole
                said.append(event)
                if took:
                    self.event(event, is_again=True)
                continue
            key, took, said = mine, self.event(event), [event]
            is_new |= took
        if is_new:
            self.state.counts.lines += 1

    def event(self, event: Event, *, is_again: bool = False) -> bool:
        """Takes one event; False for a duplicate. `is_again`: it was counted when it came."""
        state = self.state
        keyed = bool(event.sid)
        if keyed and not is_again and not self._take(event):
            state.counts.duplicates += 1
            if isinstance(event, ToolResults):
                files = (result.file for result in event.results)
                state.changes.dropped += [file for file in files if file is not None]
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

    def run(self, run: Run) -> None:
        """Takes lines that are a delta each. The same as `line([event])` for every one of them."""
        state = self.state
        message = state.requests.get(run.request_id or "")
        block = message.blocks.get(run.index) if message is not None else None
        if (
            message is None
            or block is None
            or message.meta is not run.meta
            or message.flow_id != run.flow
            or message.stream is None
            or message.session.sid != run.sid
            or not block.is_started
            or block.is_cut
            or message.thread.phase == "permission"  # bytes may say that the wait is over
        ):
            for event in run.events():
                self.line((event,))
            return
        stream, fresh = message.stream, block.fresh
        taken = stream.take_run(run.first_count, run.digests())
        texts, millis = run.texts, run.millis
        if taken is not None:
            state.counts.duplicates += taken.count(False)
            if not any(taken):
                return
            texts, millis = [*compress(texts, taken)], [*compress(millis, taken)]
            for count, time, text in zip(compress(run.counts, taken), millis, texts, strict=True):
                fresh.columns.add(count, time, len(text))
        else:
            fresh.columns.add_run(run.counts, millis, map(len, texts))
        if not stream.is_dirty:
            self._mark_stream(stream)
        if not block.is_dirty:
            self._mark_all(message, block)
        state.counts.lines += len(texts)
        state.counts.events += len(texts)
        block.delta_count += len(texts)
        fresh.texts.append("".join(texts))
        session, first = message.session, min(millis) / 1000
        if session.first_time is None or first < session.first_time:
            session.first_time = first
        self._move_on(message, block, run.meta, max(max(millis) / 1000, message.last_time))

    def _move_on(self, message: Message, block: Block, meta: Meta, time: float) -> None:
        """The clocks of everything above a delta."""
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
            message.stream = self._own_stream(message, event)
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
        if message.kinds & STREAMING not in _ONE_STREAM and event.text is not None:
            event.text = _beyond(block, event.meta.kind, event.text)
        if event.text is not None or event.cut:
            fresh = block.fresh
            if event.flow != message.flow_id:
                fresh.flows[len(fresh.columns)] = event.flow
            text = event.text or ""
            fresh.texts.append(text)
            fresh.columns.add(event.count, round(time * 1000), len(text))
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


_ONE_STREAM = frozenset({0, *(bit for bit in KIND_BIT.values() if bit & STREAMING)})


def _beyond(block: Block, kind: str, text: str) -> str | None:
    """What a delta adds to a text that another kind of source streams, too; None for nothing.

    Both tell the same bytes in the same order; the one that is ahead adds them. A delta without any
    text counts where the first of them tells it.
    """
    heard = block.heard = block.heard if block.heard is not None else {}
    if not text:
        heard.setdefault(kind, 0)
        return text if kind == next(iter(heard)) else None
    known = max(heard.values(), default=0)
    data = text.encode("utf-8", "replace")
    end = heard[kind] = heard.get(kind, 0) + len(data)
    if end <= known:
        return None
    return text if end - len(data) >= known else data[known - end :].decode("utf-8", "replace")


def _digest(offset: int, content: bytes) -> bytes:
    """A copied file repeats offset and content; the same bad bytes elsewhere are another line."""
    return blake2b(content, digest_size=16, salt=offset.to_bytes(16, "little")).digest()
