"""Sessions of the store retold as a wire log: every line at its own time, every delta as it came.

Folding the lines again makes the same rounds, messages, blocks and results. What the store does not
keep is not told: pings, the text of lines that nobody understood, values of facts before the last.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Kind,
    Meta,
    Notice,
    Other,
    Ping,
    Prompt,
    Result,
    Retry,
    SessionEnd,
    SessionStart,
    StreamError,
    ToolResults,
    TurnAborted,
    TurnStop,
)
from agentmon.core.kinds import KIND_BIT, STREAMING, TELLING
from agentmon.core.turns import LOOSE_STOP
from agentmon.report.merging import Source, Timed, merged
from agentmon.report.retold_message import MessageTeller
from agentmon.report.retold_texts import Keep, Texts
from agentmon.sources.payloads import Base
from agentmon.sources.wire_form import LongLine, json_line, result_line
from agentmon.store import read_retelling as tales
from agentmon.store import read_told
from agentmon.store.content import Contents, decoded

Line: TypeAlias = bytes | LongLine
"""With its newline; a long one comes in pieces."""

LONG = 4 << 20
"""Bytes of a result from which its line is written in pieces."""

PROMPT, MESSAGE, RESULT, NOTICE, END = range(5)
"""What goes first of one time."""


def retell(
    conn: sqlite3.Connection,
    data_dir: Path,
    sessions: Sequence[tales.SessionTale],
    texts: Texts | None = None,
    *,
    deltas_since: float = 0.0,
) -> Iterator[Timed[Line]]:
    """(time, line) of all that is known of some sessions, in the order of time. `texts` is what
    they go through on their way; a block that was complete before `deltas_since` comes as one
    delta. Run it in one transaction: what it reads lazily has to agree."""
    contents, through = Contents(conn, data_dir), texts or Keep()
    tellers = [SessionTeller(conn, contents, one, through, deltas_since) for one in sessions]
    tellers.sort(key=lambda teller: teller.begin)
    yield from merged((teller.begin, 0, teller.lines) for teller in tellers)


def pieces(line: Line) -> Iterable[bytes]:
    """The bytes of a line."""
    return (line,) if isinstance(line, bytes) else line


class SessionTeller:
    """Retells one session."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        contents: Contents,
        session: tales.SessionTale,
        texts: Texts,
        deltas_since: float = 0.0,
    ) -> None:
        self._conn = conn
        self._contents = contents
        self._session = session
        self.deltas_since = deltas_since
        self._texts = texts
        self._count = 0
        self._metas: dict[tuple[int | None, str | None, str], Meta] = {}
        self._kind: Kind = kind_of(session.kinds)
        self.begin = session.first_time or 0.0

    def lines(self) -> Iterator[Timed[Line]]:
        """Everything of the session by time; what had none goes first."""
        for at, line in merged(self._sources()):
            yield max(at, self.begin), line

    def _sources(self) -> Iterator[Source[Line]]:
        yield (-1.0, PROMPT, self._beginning)
        yield (-1.0, PROMPT, self._prompts)
        yield (-1.0, PROMPT, self._agents)
        yield (-1.0, RESULT, self._results)
        yield (-1.0, NOTICE, self._notices)
        yield (-1.0, END, self._told)
        yield (-1.0, END, self._ends)
        before = 0.0
        for message in tales.messages(self._conn, self._session.sid):
            before = max(before, message.start_time or 0.0)
            teller = MessageTeller(self._conn, self._contents, self, self._texts, message)
            yield (before, MESSAGE, teller.lines)

    # -- what every event has

    @property
    def sid(self) -> str:
        return self._session.sid

    def meta(self, pid: int | None, agent_id: str | None, kind: Kind | None = None) -> Meta:
        """Who wrote an event."""
        key = (pid, agent_id, kind or self._kind)
        found = self._metas.get(key)
        if found is None:
            session = self._session
            cwd = None if session.cwd is None else self._texts.name(session.cwd)
            found = Meta(session.agent, session.version, pid, cwd, agent_id, kind or self._kind)
            self._metas[key] = found
        return found

    def told_kind(self, kinds: int, bits: int) -> Kind:
        """The first of some kinds that told of something, else that of the session."""
        return kind_of(kinds & bits) if kinds & bits else self._kind

    def line(self, event: Event) -> bytes:
        """Its line. What had no time when it came has none now."""
        if event.time is not None and event.time <= 0.0:
            event.time = None
        return json_line(event)

    def _base(
        self,
        time: float,
        *,
        pid: int | None = None,
        agent_id: str | None = None,
        kind: Kind | None = None,
        round_id: str | None = None,
    ) -> Base:
        self._count += 1
        meta = self.meta(pid, agent_id, kind)
        return (self._session.sid, meta, "", self._count - 1, round_id, time, 0)

    # -- the session

    def _beginning(self) -> Iterator[Timed[Line]]:
        session = self._session
        if session.first_time is not None:
            base = self._base(session.first_time, pid=session.pid)
            is_new = session.resumed_at is not None  # else nobody but its hooks was heard
            event = SessionStart(*base, "new") if is_new else Other(*base)
            yield session.first_time, self.line(event)

    def _ends(self) -> Iterator[Timed[Line]]:
        """Stops of rounds, and what is known of the session's own last moments."""
        events = [*self._stops(), *self._last()]
        for event in sorted(events, key=lambda event: event.time or 0.0):
            yield event.time or 0.0, self.line(event)

    def _stops(self) -> Iterator[Event]:
        reasons = {
            one.time: _said(one.data).get("reason")
            for one in tales.notices(self._conn, self._session.sid)
            if one.name == "turn_aborted"
        }
        since, left = tales.background(self._conn, self._session.sid)
        for one in tales.rounds(self._conn, self._session.sid):
            if one.aborted_at is not None:
                reason = reasons.pop(one.aborted_at, None)
                base = self._base(one.aborted_at, round_id=one.round_id)
                words = self._texts.text(reason) if isinstance(reason, str) else None
                yield TurnAborted(*base, one.abort_ends, words)
            if one.end_time is not None:
                base = self._base(one.end_time, round_id=one.round_id)
                tasks = [f"task-{number}" for number in range(left if one.end_time == since else 0)]
                yield TurnStop(*base, "stop", False, tasks)

    def _last(self) -> Iterator[Event]:
        session = self._session
        if session.closed_at is not None and session.closed_at != session.ended_at:
            yield SessionStart(*self._base(session.closed_at), "resume")
        if session.resumed_at is not None:
            yield Ping(*self._base(session.resumed_at), None)
        if session.ended_at is not None:
            reason = session.end_reason
            reason = None if reason is None else self._texts.text(reason)
            yield SessionEnd(*self._base(session.ended_at), reason)
        if session.last_time is not None:
            yield Other(*self._base(session.last_time, pid=session.pid))

    # -- what came from the client's side

    def _prompts(self) -> Iterator[Timed[Line]]:
        for one in tales.prompts(self._conn, self._session.sid):
            kind = kind_of(one.kinds)
            base = self._base(one.time, pid=one.pid, kind=kind, round_id=one.round_id)
            text = self._texts.text(one.text)
            yield one.time, self.line(Prompt(*base, text, one.message_uuid, one.is_queued))

    def _results(self) -> Iterator[Timed[Line]]:
        kinds = self._session.kinds
        for one in tales.results(self._conn, self._session.sid):
            kind: Kind = self.told_kind(kinds, TELLING if one.rank > 1 else ~TELLING)
            base = self._base(one.time, kind=kind)
            event = ToolResults(*base, [Result(one.tool_use_id, one.is_error, "")])
            event.results[0].is_summary = one.rank == 0
            yield one.time, self._result(event, one)

    def _result(self, event: ToolResults, one: tales.ResultTale) -> Line:
        if one.file is None:
            event.results[0].text = self._texts.text(one.content)
            return self.line(event)
        whole = self._texts.pieces(decoded(self._contents.file(one.file, one.size)))
        if one.size < LONG:
            event.results[0].text = "".join(whole)
            return self.line(event)
        return result_line(event, whole)

    def _notices(self) -> Iterator[Timed[Line]]:
        for one in tales.notices(self._conn, self._session.sid):
            event = self._notice(one)
            if event is not None:
                yield one.time, self.line(event)

    def _notice(self, one: tales.NoticeTale) -> Event | None:
        if one.name in (LOOSE_STOP, "turn_aborted"):
            return None  # stops are told round by round
        said = _said(self._texts.json(one.data))
        kind = self.told_kind(self._session.kinds, ~TELLING)
        base = self._base(one.time, agent_id=one.agent_id, kind=kind)
        if one.name == "error":
            base = (*base[:2], one.flow_id, *base[3:])
            words = _text(said.get("type")) or "error", _text(said.get("message")) or ""
            return StreamError(*base, _text(said.get("request_id")), *words)
        if one.name == "retry":
            try:
                return msgspec.convert({**said, **_head(base)}, Retry, strict=False)
            except msgspec.ValidationError:
                return None
        call, text = _text(said.get("tool_use_id")), _text(said.get("content"))
        asked = _text(said.get("operation")) or _text(said.get("notification_type"))
        data = msgspec.json.encode(said).decode()
        return Notice(*base, one.name, data, call, text, asked)

    # -- what is told beside

    def _agents(self) -> Iterator[Timed[Line]]:
        events: list[Event] = []
        for one in tales.agents(self._conn, self._session.sid):
            known = [t for t in (one.first_time, one.phase_since, one.last_time) if t is not None]
            first = min(known, default=self.begin)
            about = None if one.description is None else self._texts.text(one.description)
            said = (one.agent_id, one.parent_tool_use_id, one.kind, about)
            events.append(AgentSaid(*self._base(first), *said))
            if one.status is not None:
                last = max(known, default=self.begin)
                events.append(AgentSaid(*self._base(last), one.agent_id, status=one.status))
        for event in sorted(events, key=lambda event: event.time or 0.0):
            yield event.time or 0.0, self.line(event)

    def _told(self) -> Iterator[Timed[Line]]:
        """Facts, and what those sources said last that do not stream."""
        events: list[Event] = []
        for (agent_id, name), fact in read_told.facts(self._conn, self._session.sid).items():
            base = self._base(fact.time, agent_id=agent_id or None, kind=_kind(fact.kind))
            value = self._texts.value(fact.value)
            events.append(Facts(*base, {name: value}))
        for one in read_told.testimony(self._conn, self._session.sid):
            kind = _kind(one.kind)
            if not KIND_BIT[kind] & STREAMING:
                base = self._base(one.time, agent_id=one.agent_id or None, kind=kind)
                events.append(Other(*base, said=self._texts.text(one.said)))
        for event in sorted(events, key=lambda event: event.time or 0.0):
            yield event.time or 0.0, self.line(event)


def kind_of(kinds: int) -> Kind:
    """The first kind of source in a mask; the wire in none."""
    found: list[Kind] = [kind for kind, bit in KIND_BIT.items() if kinds & bit]
    return found[0] if found else "wire"


def _kind(name: str) -> Kind:
    found: list[Kind] = [kind for kind in KIND_BIT if kind == name]
    return found[0] if found else "wire"


def _head(base: Base) -> dict[str, object]:
    return dict(zip(Event.__struct_fields__, base, strict=True))


def _said(data: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(data, type=dict[str, object])
    except msgspec.DecodeError:
        return {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
