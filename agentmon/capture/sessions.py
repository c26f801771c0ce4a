"""The sessions that a tap hears, and what is new in what they send.

A client sends its whole conversation with each request; a retry sends it again.
"""

import json
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

from msgspec import Struct, field

from agentmon.capture.asked import SIDE, Asked, Came, clean
from agentmon.capture.peer import Peer

MAX_SESSIONS = 1_000
"""Of more, the one that was silent for longest is forgotten."""

MAX_RESULTS = 10_000
"""Results that are remembered, per session. Of more, only those are told that came last."""

FORGOTTEN_AFTER = 600.0
"""Seconds after which a subagent that asked nothing more is no longer taken for running."""


class Session(Struct):
    """What is known of a session."""

    sid: str
    product: str
    is_client: bool = False
    pid: int | None = None
    cwd: str = ""
    version: str = ""
    round: str = ""
    """The round under way; "" before the first."""
    last_time: float = 0.0
    """When it last asked something, epoch seconds."""
    open: int = 0
    """Exchanges under way."""
    is_begun: bool = False
    """Whether the log says that it began."""
    is_ended: bool = False
    is_heard: bool = False
    """Whether it had a request that was somebody's turn."""
    has_hooks: bool = False
    """Whether hooks tell of its beginning, its turns and its end."""
    prompts: list[int] = field(default_factory=list[int])
    """The typed texts of the conversation as it was last sent, by their hashes."""
    replies: int = 0
    """The model's replies in that conversation."""
    results: dict[int, None] = field(default_factory=dict[int, None])
    """The calls whose results were told, by their hashes, oldest first."""
    threads: set[str] = field(default_factory=set[str])
    """The agents that asked already."""
    is_under_way: bool = False
    """Whether a turn of the main thread has begun and not ended."""
    is_broken: bool = False
    """Whether the client hung up in it: it was killed, or somebody interrupted it."""
    over_at: float | None = None
    """When the turn was over, where nothing but the session's end will say it."""
    running: dict[str, float] = field(default_factory=dict[str, float])
    """When each subagent that is not done last asked."""

    def metadata(self, agent: str = "") -> str:
        """The `metadata` of a line."""
        found: dict[str, object] = {"ver": self.version}
        if self.pid is not None:
            found["pid"] = self.pid
        if self.cwd:
            found["cwd"] = self.cwd
        if agent:
            found["agent"] = agent
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))

    def background(self, now: float) -> list[str]:
        """The subagents that are not done."""
        return [one for one, since in self.running.items() if now - since < FORGOTTEN_AFTER]

    # -- what is new

    def news(self, asked: Asked) -> list[Came]:
        """The prompts and results that were not told yet; a typed prompt begins a round."""
        if asked.agent == SIDE:
            return []
        is_first = asked.agent not in self.threads
        self.threads.add(asked.agent)
        since_reply = _since_reply(asked.came)
        before = asked.came[: len(asked.came) - len(since_reply)] if asked.is_whole else []
        # what was said before anybody listened is known; what was missed since is told late
        late = self._new_results(before) if len(self.results) < MAX_RESULTS else []
        last = since_reply if asked.is_whole else asked.came
        results = [*([] if is_first else late), *self._new_results(last)]
        prompts = [] if asked.agent else self._new_prompts(asked, since_reply, is_first=is_first)
        if not asked.agent:
            self.over_at, self.is_under_way, self.is_broken = None, True, False
            self._go_on(since_reply, results, prompts)
        return [*results, *prompts]

    def _go_on(self, since_reply: list[Came], results: list[Came], prompts: list[Came]) -> None:
        """A prompt that was typed while tools ran goes on with the round, unless it broke it."""
        is_broken = any(one.what == "interrupt" for one in since_reply)
        if not self.round or (prompts and (is_broken or not results)):
            self.round = new_round(self.last_time)

    def _new_results(self, came: list[Came]) -> list[Came]:
        found = [one for one in came if one.what == "result" and hash(one.text) not in self.results]
        for one in found:
            self.results[hash(one.text)] = None
        while len(self.results) > MAX_RESULTS:
            del self.results[next(iter(self.results))]
        return found

    def _new_prompts(self, asked: Asked, since_reply: list[Came], *, is_first: bool) -> list[Came]:
        told = [one for one in asked.came if one.what == "prompt"]
        latest = [one for one in since_reply if one.what == "prompt"]
        hashes = [hash(one.text.strip()) for one in told]
        if not asked.is_whole:
            self.prompts += hashes
            return _joined(told)
        known, self.prompts = self.prompts, hashes
        before, self.replies = self.replies, sum(one.what == "reply" for one in asked.came)
        same = _common(known, hashes)
        if is_first or same == len(hashes) < len(known):
            return _joined(latest)  # or taken back to an earlier prompt, and said again
        if same == len(known):
            return _joined(told[same:])
        # taken back and said otherwise, or what came before was summed up or written anew
        same = max(same, _overlap(known, hashes), len(told) - len(latest))
        is_again = self.replies == before and hashes[same:] == known[len(known) - len(latest) :]
        return [] if is_again else _joined(told[same:])


def _since_reply(came: list[Came]) -> list[Came]:
    last = max((n for n, one in enumerate(came) if one.what == "reply"), default=-1)
    return came[last + 1 :]


def _common(known: list[int], hashes: list[int]) -> int:
    """How many of the first ones are the same."""
    pairs = enumerate(zip(known, hashes, strict=False))
    least = min(len(known), len(hashes))
    return next((n for n, (one, other) in pairs if one != other), least)


def _overlap(known: list[int], hashes: list[int]) -> int:
    """How many of the first ones are the last ones that were known."""
    most = min(len(known), len(hashes))
    return next((n for n in range(most, 0, -1) if known[-n:] == hashes[:n]), 0)


def _joined(prompts: list[Came]) -> list[Came]:
    out: list[Came] = []
    for one in prompts:
        if out and out[-1].turn == one.turn:
            out[-1] = Came("prompt", f"{out[-1].text}\n{one.text}", turn=one.turn)
        else:
            out.append(one)
    return out


class Sessions:
    """Every session of one tap."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._made_up: dict[int | None, str] = {}
        """The sessions of clients that name none: one per process."""

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def of(self, asked: Asked, peer: Peer | None, now: float) -> Session:
        """The session of a request, with what it tells of it."""
        sid = asked.sid or self._sid_of(peer.pid if peer is not None else None)
        session = self._sessions.pop(sid, None) or Session(sid, asked.product)
        self._sessions[sid] = session  # the last heard is the last to be forgotten
        session.last_time, session.is_ended = now, False
        session.version = asked.version or session.version
        session.is_client = asked.is_client
        session.is_heard |= asked.agent != SIDE
        if peer is not None:
            session.pid, session.cwd = peer.pid, clean(peer.cwd) or session.cwd
        session.cwd = session.cwd or clean(asked.cwd)
        self._shrink()
        return session

    def left_by(self, session: Session) -> list[Session]:
        """The sessions that a client left for another one, within one process."""
        return [
            one
            for one in self
            if one is not session
            and one.pid == session.pid is not None
            and one.is_client
            and one.product == session.product == "claude"
            and not (one.open or one.is_ended or not one.is_heard)
        ]

    def without_process(self, alive: Callable[[int], bool]) -> list[Session]:
        """The sessions that were at rest, and have no process any more.

        A process that went within a turn was killed, as far as anybody can tell: that is no end of
        a session. A client that hung up and lives on was interrupted: its turn is over.
        """
        running = [one for one in self if one.pid is not None and not one.is_ended]
        gone = {pid for one in running if (pid := one.pid) is not None and not alive(pid)}
        for pid in gone:
            self._made_up.pop(pid, None)
        for one in running:
            if one.pid in gone:
                one.is_ended = True
            elif one.is_broken:
                one.is_under_way = False
        return [one for one in running if one.is_ended and one.is_heard and not one.is_under_way]

    def _sid_of(self, pid: int | None) -> str:
        return self._made_up.setdefault(pid, str(uuid4()))

    def _shrink(self) -> None:
        if len(self._sessions) <= MAX_SESSIONS:
            return
        for one in self:
            if not one.open:
                del self._sessions[one.sid]
                return


def new_round(now: float) -> str:
    """A UUID of version 7: they sort as they were made."""
    value = (int(now * 1000) & (1 << 48) - 1) << 80 | uuid4().int & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 7 << 76
    return str(UUID(int=value & ~(3 << 62) | 2 << 62))
