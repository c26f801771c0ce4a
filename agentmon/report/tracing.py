"""One session gone through once, in the order of time, and what there is to find in it."""

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from agentmon.core.health import HOLD, RETRY_PAUSE, after
from agentmon.core.kinds import STREAMING
from agentmon.core.landmarks import Kind, Landmark, Place, Terms, call_text
from agentmon.core.spending import Stretch
from agentmon.core.yardsticks import command_prefix
from agentmon.report.repeats import Call, Repeats
from agentmon.report.roundreading import askings_of
from agentmon.report.signs import Sign, signs_of
from agentmon.report.silences import Owed, Silences, Stall, stall_text
from agentmon.report.spending import OPEN, stretches
from agentmon.report.waits import Wait, Waits
from agentmon.report.words import counted
from agentmon.store import history, read
from agentmon.store.read_landmarks import (
    Part,
    Said,
    delta_times,
    kinds_of_session,
    last_moment,
    messages_in_time,
    subagents_begun,
)

NAMED = 100
"""Calls of a loop that are named."""


class Turn(Struct):
    """How far the main thread got in a round."""

    last: float
    flow_id: str | None
    is_open: bool
    """A message was not finished, or a call of it did not come back."""


class _Thread(Struct):
    """What is known of a thread so far."""

    silences: Silences
    repeats: Repeats
    waits: Waits
    unfinished: tuple[Said, float] | None = None
    """Its newest message, as long as that has no end, and the last that came of it."""
    open: list[int] = field(default_factory=list[int])
    """Errors and retries that end with its next message."""
    heard: list[float] = field(default_factory=list[float])
    """Its signs of life; of subagents."""


class Trace:
    """Reads a session. `end` is that of the whole record."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        data_dir: Path,
        session: read.SessionRow,
        terms: Terms,
        end: float,
        *,
        spends: bool,
    ) -> None:
        """`spends`: whether it is noted what the time of rounds was spent on."""
        self.conn, self.session, self.sid = conn, session, session.sid
        self.limits, self.now, self.end = terms.limits, terms.now, end
        self.turns: dict[str, Turn] = {}
        self.found: list[Landmark] = []
        self.unseen = read.unseen(conn)
        self._data_dir = data_dir
        self._is_shown = bool(kinds_of_session(conn, self.sid) & STREAMING)
        self._slow = terms.slow
        self._spends = spends
        self._threads: dict[str, _Thread] = {}
        self._askings = list(askings_of(conn, self.sid))
        self._begun = subagents_begun(conn, self.sid)
        self._spawning = {call: agent for agent, call, _ in self._begun}
        self.spent: dict[str, list[Stretch]] = {}
        """By round; of the main thread."""
        self._long: list[tuple[Said, Part, str]] = []
        """Calls that ran subagents and took long."""

    def go(self) -> None:
        """Goes through it; `found` has what there was."""
        for asking in self._askings:
            self._thread(asking.agent_id or "")
        signs, at = signs_of(self.conn, self.session, self._begun), 0
        for said, parts in messages_in_time(self.conn, self.sid):
            while said.start is not None and at < len(signs) and signs[at].time <= said.start:
                self._sign(signs[at])
                at += 1
            self._message(said, parts)
        for sign in signs[at:]:
            self._sign(sign)
        for thread in list(self._threads.values()):
            thread.repeats.end()
        main = self._threads.get("")
        if main is not None and main.silences.owed is not None:
            owed = main.silences.owed
            self._spend(owed.round_id, [(owed.since, OPEN, "api")])
        for said, part, agent_id in self._long:
            self._through_subagent(said, part, agent_id)

    @property
    def askings_without_call(self) -> Iterator[tuple[float, str, str | None]]:
        """Of hooks: time, agent, tool."""
        for thread in self._threads.values():
            for one in thread.waits.unused:
                yield one.time, one.agent_id or "", one.tool

    def add(
        self,
        kind: Kind,
        time: float,
        end: float | None,
        text: str,
        place: Place = Place(),  # noqa: B008 - frozen
        evidence: Mapping[str, object] | None = None,
    ) -> int:
        """Its number among those found."""
        where = place.agent_id, place.round_id, place.flow_id, place.tool_use_id
        end = None if end is None else max(time, end)
        found = Landmark(kind, time, end, self.sid, *where, text, evidence or {}, place.index)
        self.found.append(found)
        return len(self.found) - 1

    def _thread(self, agent_id: str) -> _Thread:
        known = self._threads.get(agent_id)
        if known is None:

            def stall(found: Stall) -> None:
                self._stall(agent_id, found)

            key, limits = (self.sid, agent_id), self.limits
            known = self._threads[agent_id] = _Thread(
                Silences(self.conn, key, limits, self.unseen, stall),
                Repeats(self.conn, self._data_dir, self._loop),
                Waits(one for one in self._askings if (one.agent_id or "") == agent_id),
            )
        return known

    # -- signs that are no messages

    def _sign(self, sign: Sign) -> None:
        thread = self._thread(sign.agent_id)
        owed = Owed(sign.time, "prompting", None, sign.round_id)
        place = Place(sign.agent_id, sign.round_id)
        match sign.kind:
            case "prompt":
                self.add("prompt", sign.time, None, sign.text, place)
                if not sign.is_queued:
                    thread.unfinished = None
                    thread.silences.begins(owed)
            case "begun":
                thread.silences.begins(owed)
            case "retry":
                thread.open.append(self.add("retry", sign.time, None, sign.text, place, sign.said))
                due = sign.time + (RETRY_PAUSE if sign.delay is None else sign.delay)
                before = thread.silences.owed
                if before is not None and before.since < sign.time and not sign.agent_id:
                    self._spend(before.round_id, [(before.since, sign.time, "api")])
                thread.silences.begins(replace(owed, phase="retrying", not_before=due))
            case "abort":
                self.add("interrupt", sign.time, None, sign.text, place, sign.said)
                self._given_up(sign.time, sign.agent_id)
            case "stop":
                self._cut(thread, None)
                thread.silences.ends(sign.time, is_shown=self._is_shown)
            case "over":
                self._given_up(sign.time, "")

    def _given_up(self, time: float, agent_id: str) -> None:
        """A turn, with whatever its subagents did for it."""
        for name, thread in self._threads.items():
            if agent_id in ("", name):
                thread.unfinished = None
                thread.silences.ends(time, is_shown=self._is_shown)

    # -- messages

    def _message(self, said: Said, parts: list[Part]) -> None:
        thread = self._thread(said.agent_id)
        start = said.start if said.start is not None else said.last
        if start is not None:
            self._cut(thread, start)
            for place in thread.open:
                one = self.found[place]
                self.found[place] = replace(one, end=max(one.time, start))
            thread.open.clear()
        if not said.is_complete and said.error is None:
            self._ends_with_deltas(parts)
        owed = thread.silences.owed
        thread.silences.message(said, parts)
        last = last_moment(said, parts)
        self._errors(thread, said, last)
        waits = self._calls(thread, said, parts)
        thread.repeats.message(said, parts)
        if start is None:
            return
        if said.agent_id:
            returns = [part.result_time for part in parts if part.result_time is not None]
            thread.heard += [start, last, *returns]
            if said.agent_id != "side":
                since = owed.since if owed is not None else start
                self._spend(said.round_id, [(since, max(last, *returns, last), "tools")])
        elif said.round_id is not None:
            if self._spends:
                since = owed.since if owed is not None else None
                self._spend(said.round_id, stretches(said, parts, waits, since))
            shown = bool(said.kinds & STREAMING)
            is_open = (shown and not said.is_complete) or any(part.is_pending for part in parts)
            self.turns[said.round_id] = Turn(last, said.flow_id, is_open)

    def _ends_with_deltas(self, parts: list[Part]) -> None:
        """Of what was cut only the deltas say when: a second source may tell of it later."""
        for part in parts:
            if part.deltas:
                times = delta_times(self.conn, part.flow_id, part.index)
                part.last = max(times, default=part.last)

    def _spend(self, round_id: str | None, found: list[Stretch]) -> None:
        if round_id is not None:
            self.spent.setdefault(round_id, []).extend(found)

    def _errors(self, thread: _Thread, said: Said, last: float) -> None:
        thread.unfinished = None
        if said.error is not None and last:
            place = Place(said.agent_id, said.round_id, said.flow_id)
            thread.open.append(self.add("error", last, None, said.error, place))
        elif not said.is_complete and said.kinds & STREAMING:
            thread.unfinished = said, last

    def _cut(self, thread: _Thread, end: float | None) -> None:
        """A message without an end, and its thread goes on: its stream was cut."""
        unfinished, thread.unfinished = thread.unfinished, None
        if unfinished is not None:
            said, last = unfinished
            place = Place(said.agent_id, said.round_id, said.flow_id)
            self.add("error", last, end, "the stream was cut", place)

    # -- calls

    def _calls(self, thread: _Thread, said: Said, parts: list[Part]) -> list[Wait]:
        waits = thread.waits.of_message(parts)
        asked = {wait.part.index for wait in waits}
        for wait in waits:
            self._of_call("permission", wait.start, wait.end, said, wait.part)
        for part in parts:
            if part.is_error and part.result_time is not None:
                self._of_call("failed", part.result_time, None, said, part, {"result": part.said})
            if not part.is_call or part.result_time is None or part.index in asked:
                continue
            called = part.end or 0.0
            if part.result_time - called < self._slow:
                continue
            agent_id = self._spawning.get(part.tool_use_id or "")
            if agent_id is not None:
                self._long.append((said, part, agent_id))
            elif not self._overdue(said, part, called, part.result_time):
                self._of_call("slow", called, part.result_time, said, part)
        return waits

    def _through_subagent(self, said: Said, part: Part, agent_id: str) -> None:
        """A call that runs a subagent is late where that one is silent for so long."""
        called, back = part.end or 0.0, part.result_time or 0.0
        thread = self._threads.get(agent_id)
        heard = sorted(t for t in (thread.heard if thread else []) if called < t < back)
        moments = [called, *heard, back]
        gap, since = max((late - early, early) for early, late in pairwise(moments))
        if not self._overdue(said, part, since, since + gap):
            self._of_call("slow", called, back, said, part)

    def _overdue(self, said: Said, part: Part, since: float, until: float) -> bool:
        limits, name, called = self.limits, part.tool_name, part.end or 0.0
        setting = limits.overdue_limit(name)
        if until - since < setting:
            return False
        prefix = command_prefix(name, part.preview)
        runs = history.tool_runs(self.conn, name, called)
        usual = history.tool_yardstick(runs, prefix)
        limit = limits.overdue_limit(name, usual)
        passed = after(since, limit, (*self.unseen, *limits.unseen))
        if until - passed < HOLD:
            return False
        evidence: dict[str, object] = {
            "command": prefix,
            "called_at": called,
            "heard_at": since if since > called else None,
            "threshold": limit,
            "setting": setting,
            "usual": usual.p99 if usual is not None else None,
            "usual_count": usual.count if usual is not None else 0,
            "passed_at": passed,
        }
        self._of_call("overdue", called, part.result_time, said, part, evidence)
        return True

    def _of_call(
        self,
        kind: Kind,
        time: float,
        end: float | None,
        said: Said,
        part: Part,
        evidence: Mapping[str, object] | None = None,
    ) -> None:
        text = call_text(part.tool_name, part.preview)
        known = {"tool_name": part.tool_name, **(evidence or {})}
        self.add(kind, time, end, text, _place(said, part), known)

    # -- what the threads tell

    def _stall(self, agent_id: str, stall: Stall) -> None:
        owed = stall.owed
        text = stall_text(owed.phase, stall.start, stall.end)
        place = Place(agent_id, owed.round_id, owed.flow_id)
        self.add("stall", stall.start, stall.end, text, place, stall.evidence)
        if not agent_id and stall.end is not None:
            self._spend(owed.round_id, [(stall.start, stall.end, "api")])

    def _loop(self, calls: list[Call]) -> None:
        first, last = calls[0], calls[-1].part
        part = first.part
        text = f"{counted(len(calls), 'time')} {call_text(part.tool_name, part.preview)}"
        evidence: dict[str, object] = {
            "tool_name": part.tool_name,
            "calls": len(calls),
            "is_error": part.is_error,
            "tool_use_ids": [call.part.tool_use_id for call in calls[:NAMED]],
        }
        begun = part.end or 0.0
        self.add("loop", begun, last.result_time, text, _place(first.said, part), evidence)


def _place(said: Said, part: Part) -> Place:
    return Place(said.agent_id, said.round_id, said.flow_id, part.tool_use_id, part.index)
