"""The open part of the world: entities by key, counts, what changed since the last batch.

Closed things leave memory after they are committed and come back through a `Loader` when an event
names them again, so memory does not grow with the input. Nothing here does I/O itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

from agentmon.core.events import Malformed, Unknown
from agentmon.core.model import (
    Block,
    Counts,
    Message,
    PromptState,
    Round,
    Said,
    Saved,
    Session,
    Stream,
    Thread,
)

StreamKey: TypeAlias = tuple[str, str, int]

KEPT = 512
"""Messages and streams that stay in memory though nothing was said of them lately."""
KEPT_SESSIONS = 128
"""A session has its last prompts and rounds with it: some 20 KB."""


class Loader(Protocol):
    """Brings back what left memory. Every answer is what the store has committed.

    A key is asked for before anything is stored under it: a loader may rely on that.
    """

    def session(self, sid: str) -> Session | None: ...
    def message(self, flow_id: str, session_of: Callable[[str], Session]) -> Message | None: ...
    def flow_of_request(self, request_id: str) -> str | None: ...
    def stream(self, key: StreamKey) -> Stream | None: ...
    def round(self, sid: str, round_id: str) -> Round | None: ...
    def call(self, tool_use_id: str) -> tuple[str, int] | None: ...
    def result(
        self, tool_use_id: str, *, is_coming: bool = False
    ) -> tuple[float, bool | None, int] | None:
        """(time, is_error, rank). `is_coming`: it will be stored if it is not there."""
        ...

    def item(self, item_id: str) -> tuple[str, int] | None:
        """(flow_id, index) of the block that was told under this id."""
        ...

    def told_prompt(self, sid: str, told_round: str) -> PromptState | None:
        """The prompt whose round a transcript names so."""
        ...

    def like_prompt(
        self, sid: str, text: str, since: float, until: float, kind: int
    ) -> PromptState | None:
        """The nearest prompt of this text, told in that time, but not by this kind of source."""
        ...

    def prompt_of(self, sid: str, message_uuid: str) -> PromptState | None: ...
    def has_raw(self, digest: bytes) -> bool: ...
    def has_bad(self, digest: bytes) -> bool: ...


class NoLoader:
    """For a fold with nothing behind it: everything it ever saw is in memory."""

    def session(self, sid: str) -> Session | None:
        return None

    def message(self, flow_id: str, session_of: Callable[[str], Session]) -> Message | None:
        return None

    def flow_of_request(self, request_id: str) -> str | None:
        return None

    def stream(self, key: StreamKey) -> Stream | None:
        return None

    def round(self, sid: str, round_id: str) -> Round | None:
        return None

    def call(self, tool_use_id: str) -> tuple[str, int] | None:
        return None

    def result(
        self, tool_use_id: str, *, is_coming: bool = False
    ) -> tuple[float, bool | None, int] | None:
        return None

    def item(self, item_id: str) -> tuple[str, int] | None:
        return None

    def told_prompt(self, sid: str, told_round: str) -> PromptState | None:
        return None

    def like_prompt(
        self, sid: str, text: str, since: float, until: float, kind: int
    ) -> PromptState | None:
        return None

    def prompt_of(self, sid: str, message_uuid: str) -> PromptState | None:
        return None

    def has_raw(self, digest: bytes) -> bool:
        return False

    def has_bad(self, digest: bytes) -> bool:
        return False


class Changes:
    """What changed since the last batch; the writer takes it whole."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.threads: list[Thread] = []
        self.rounds: list[Round] = []
        self.prompts: list[PromptState] = []
        self.messages: list[Message] = []
        self.blocks: list[Block] = []
        self.streams: list[Stream] = []
        self.results: list[Saved] = []
        self.verdicts_of_results: list[tuple[bool, str]] = []
        """is_error of results that were stored without it, by tool_use_id."""
        self.notices: list[Said] = []
        self.dropped: list[str] = []
        """Files with the text of results that were there already."""
        self.renames: list[tuple[str, str, str]] = []
        """(round, sid, round before): messages that name no round follow their prompt."""
        self.moves: list[tuple[str, str, str | None]] = []
        """(round, sid, told round): messages of a transcript that follow their prompt."""
        self.retimed: dict[str, float] = {}
        """sid → the time from which on its told messages are in the rounds that ran then."""
        self.left_blocks: list[tuple[str, int]] = []
        """(flow_id, index) of blocks that turned out to have another place."""
        self.replaced: list[str] = []
        """Sessions whose stand-ins go, since the real thing has come."""
        self.absorbed: list[str] = []
        """Flow ids of provisional messages that turned out to be another one."""
        self.facts: dict[tuple[str, str, str], tuple[object, float, str]] = {}
        """(sid, agent_id, name) → value, time, kind of source."""
        self.testimony: dict[tuple[str, str, str], tuple[float, str]] = {}
        """(sid, agent_id, kind of source) → time, what it said."""
        self.raw: list[tuple[bytes, Unknown, float | None]] = []
        self.bad: list[tuple[bytes, Malformed]] = []

    def release(self) -> None:
        """Nothing of this is dirty any more: its values have been copied out."""
        groups: Iterable[Iterable[Session | Thread | Round | PromptState | Message]] = (
            self.sessions,
            self.threads,
            self.rounds,
            self.prompts,
            self.messages,
        )
        for group in groups:
            for item in group:
                item.is_dirty = False
        for block in self.blocks:
            block.is_dirty = False
        for stream in self.streams:
            stream.is_dirty = False


class State:
    """The open world: entities by key, counts, and the changes of the current batch."""

    def __init__(self, loader: Loader | None = None, *, next_seq: int = 0) -> None:
        self.loader: Loader = loader or NoLoader()
        self.sessions: dict[str, Session] = {}
        self.messages: dict[str, Message] = {}
        self.requests: dict[str, Message] = {}
        self.streams: dict[StreamKey, Stream] = {}
        self.results: dict[str, tuple[float, bool | None, int, int]] = {}
        """Results that may not be committed yet: time, is_error, rank, batch."""
        self.items: dict[str, tuple[str, int]] = {}
        """The API's own id of a block → block, for the blocks in memory."""
        self.recent: dict[object, int] = {}
        """Keys of prompts, raw events and bad lines that may not be committed yet → batch."""
        self.left: dict[str, int] = {}
        """Flow ids whose stored message has another one by now, perhaps not committed → batch."""
        self.calls: dict[str, tuple[str, int]] = {}
        """tool_use_id → block, for the blocks in memory."""
        self.counts = Counts()
        self.changes = Changes()
        self.host: str | None = None
        """The machine whose lines are folded at present; None: this one."""
        self.batch = 0
        self.seq = next_seq

    def take_changes(self) -> Changes:
        """Hands over what changed and starts the next batch."""
        changes, self.changes = self.changes, Changes()
        changes.release()
        self.batch += 1
        return changes

    def evict(self, committed: int, *, keep: int = KEPT, sessions: int = KEPT_SESSIONS) -> None:
        """Forgets what is closed and was not touched since batch `committed` was committed, as far
        as there is more than so many messages and streams, and so many sessions."""
        if self.results:
            self.results = {k: v for k, v in self.results.items() if v[3] > committed}
        if self.left:
            self.left = {k: v for k, v in self.left.items() if v > committed}
        if self.recent:
            self.recent = {k: v for k, v in self.recent.items() if v > committed}
        if len(self.streams) > keep:
            self._evict_streams(committed, keep)
        if len(self.messages) > keep:
            self._evict_messages(committed, keep)
        for session in self.sessions.values():
            if session.older:
                session.older = {k: v for k, v in session.older.items() if v[0] > committed}
        if len(self.sessions) > sessions:
            self._evict_sessions(committed, sessions)

    def forget_session(self, sid: str) -> None:
        """A session of which everything is committed leaves memory; the store lets it go next."""
        self.sessions.pop(sid, None)
        gone = [message for message in self.messages.values() if message.session.sid == sid]
        self._drop(gone)
        self.streams = {key: stream for key, stream in self.streams.items() if key[0] != sid}

    def _evict_streams(self, committed: int, keep: int) -> None:
        old = [
            key
            for key, stream in self.streams.items()
            if stream.touched <= committed - 2 and not stream.is_dirty
        ]
        for key in old[: len(self.streams) - keep // 2]:
            del self.streams[key]
        for message in self.messages.values():
            stream = message.stream
            if stream is not None and (stream.sid, stream.flow, stream.pid) not in self.streams:
                message.stream = None  # one that comes back from the store is another object

    def _evict_messages(self, committed: int, keep: int) -> None:
        old = [
            message
            for message in self.messages.values()
            if message.touched <= committed - 2
            and not message.is_dirty
            and not any(block.is_dirty for block in message.blocks.values())
        ]
        self._drop(old[: len(self.messages) - keep // 2])

    def _drop(self, gone: Sequence[Message]) -> None:
        for message in gone:
            self.messages.pop(message.flow_id, None)
        for request_id, message in list(self.requests.items()):
            if self.messages.get(message.flow_id) is not message:
                del self.requests[request_id]
        for message in gone:
            self._forget(message)

    def _forget(self, message: Message) -> None:
        for block in message.blocks.values():
            if block.tool_use_id is not None:
                self.calls.pop(block.tool_use_id, None)
            if block.told is not None and block.told.item_id is not None:
                self.items.pop(block.told.item_id, None)
        if message in message.session.unplaced:
            message.session.unplaced.remove(message)
        # a message and its blocks name each other: without this they wait for the collector
        message.blocks.clear()

    def _evict_sessions(self, committed: int, keep: int) -> None:
        live = {id(message.session) for message in self.messages.values()}
        old = [
            session
            for session in self.sessions.values()
            if session.touched <= committed - 2 and not session.is_dirty and id(session) not in live
        ]
        for session in old[: len(self.sessions) - keep // 2]:
            del self.sessions[session.sid]
