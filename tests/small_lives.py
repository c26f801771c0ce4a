"""Small runs of our own, each told by a wire log, or by a transcript with hooks and a registry."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Kind,
    Meta,
    Notice,
    Other,
    Prompt,
    Result,
    Retry,
    SessionEnd,
    Told,
    ToldBlock,
    ToolResults,
    TurnAborted,
    TurnStop,
)
from agentmon.sources.payloads import Base
from agentmon.sources.sse_lines import Decoder
from tests.feeds import call_block
from tests.life import Arrival
from tests.wire import SID, START, TEXT, Talk, encoded, tool_result

T0 = START / 1000
"""When every run begins."""

PID = 81551
THINKING = {"type": "thinking", "thinking": "", "signature": ""}


class WireRun:
    """What a tap writes; times are seconds from the beginning."""

    def __init__(self) -> None:
        self.talk = Talk(pid=PID)
        self.arrivals: list[Arrival] = []
        self._decoder = Decoder()
        self._message = 0

    def say(self, *lines: bytes) -> "WireRun":
        for line in lines:
            events = self._decoder.decode(line)
            times = [e.time for e in events if isinstance(e, Event) and e.time is not None]
            self.arrivals.append((max(times), events))
        return self

    def prompt(self, at: float, text: str = "do it") -> "WireRun":
        return self.say(self.talk.prompt(_ms(at), text, f"u{at:g}", round_id="round-1"))

    def begin(self, at: float, agent: str | None = None) -> int:
        """A message that begins to write; its number."""
        self._message += 1
        n = self._message
        more: dict[str, Any] = {"round_id": "round-1", "agent": agent}
        self.say(self.talk.start(n, _ms(at), **more))
        self.say(self.talk.begin(n, _ms(at) + 10, TEXT, **more))
        return n

    def text(self, n: int, at: float, agent: str | None = None) -> "WireRun":
        return self.say(self.talk.text(n, _ms(at), "word ", agent=agent))

    def end(
        self, n: int, at: float, *calls: tuple[str, str], agent: str | None = None
    ) -> "WireRun":
        """The message ends, with calls (id, name) or with the turn."""
        ms, more = _ms(at), {"agent": agent}
        self.say(self.talk.stream("content_block_stop", n, ms, {"index": 0}, **more))
        for index, (key, name) in enumerate(calls, 1):
            self.say(self.talk.begin(n, ms, call_block(key, name), index, **more))
            self.say(self.talk.stream("content_block_stop", n, ms, {"index": index}, **more))
        reason = {"delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": {}}
        self.say(self.talk.stream("message_delta", n, ms, reason, **more))
        return self.say(self.talk.stream("message_stop", n, ms, {}, **more))

    def message(
        self, at: float, until: float, *calls: tuple[str, str], agent: str | None = None
    ) -> "WireRun":
        """A whole message, with a byte each second."""
        n = self.begin(at, agent)
        for tenth in range(int(at * 10) + 1, int(until * 10), 10):
            self.text(n, tenth / 10, agent)
        return self.end(n, until, *calls, agent=agent)

    def result(self, at: float, *keys: str, agent: str | None = None) -> "WireRun":
        for key in keys:
            result = tool_result(key, "done")
            self.say(self.talk.line("tool_result", _ms(at), result, agent=agent))
        return self

    def error(self, at: float, n: int) -> "WireRun":
        said = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
        return self.say(self.talk.stream("error", n, _ms(at), said))

    def hook(self, name: str, at: float, **payload: Any) -> "WireRun":
        return self.say(self.talk.line(name, _ms(at), payload, round_id="round-1"))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class ToldRun:
    """What a transcript, hooks and the registry tell: after the fact, `lag` seconds late."""

    def __init__(self, kind: Kind = "transcript", agent: str = "claude", lag: float = 0.2) -> None:
        self.arrivals: list[Arrival] = []
        self._kind: Kind = kind
        self._agent, self._lag = agent, lag
        self._keys = count(1)
        self._metas: dict[tuple[Kind, str | None], Meta] = {}

    def _base(self, at: float, kind: Kind | None = None, agent: str | None = None) -> Base:
        key = kind or self._kind, agent
        pid = PID if key[0] in ("registry", "hook") else None
        meta = self._metas.setdefault(key, Meta(self._agent, None, pid, "/p", agent, key[0]))
        number = next(self._keys)
        return SID, meta, key[0], number, None, T0 + at, number

    def add(self, at: float, event: Event) -> "ToldRun":
        self.arrivals.append((T0 + at + self._lag, [event]))
        return self

    def prompt(self, at: float, text: str = "do it", *, is_queued: bool = False) -> "ToldRun":
        return self.add(at, Prompt(*self._base(at), text, f"u{at:g}", is_queued))

    def told(
        self,
        at: float,
        name: str,
        *blocks: str,
        stop: str | None = None,
        agent: str | None = None,
        index: int | None = None,
        is_done: bool = False,
        error: str | None = None,
    ) -> "ToldRun":
        """Blocks of the message `name`: "text", "thinking", or the id of a call, "Bash:toolu_1"."""
        made: list[ToldBlock] = []
        for number, block in enumerate(blocks):
            tool, _, key = block.partition(":")
            place = None if index is None else index + number
            if key:
                made.append(ToldBlock(place, "tool_use", key, tool, "{}"))
            else:
                made.append(ToldBlock(place, block, None, None, "said", f"{name}-{number}"))
        base = self._base(at, None, agent)
        message = Told(
            *base, None, name, "", "assistant", "claude-x", stop, {}, made, is_done, error=error
        )
        return self.add(at, message)

    def result(self, at: float, *keys: str, agent: str | None = None) -> "ToldRun":
        results = [Result(key, False, "done") for key in keys]
        return self.add(at, ToolResults(*self._base(at, None, agent), results))

    def stop(self, at: float, background: Sequence[str] = ()) -> "ToldRun":
        return self.add(at, TurnStop(*self._base(at), "stop", False, list(background)))

    def abort(self, at: float, reason: str | None = None) -> "ToldRun":
        return self.add(at, TurnAborted(*self._base(at), reason=reason))

    def retry(
        self, at: float, delay: float | None, attempt: int | None = None, of: int | None = None
    ) -> "ToldRun":
        error = ("overloaded_error", "Overloaded", delay, attempt, of)
        return self.add(at, Retry(*self._base(at), *error))

    def status(self, at: float, status: str, what_for: str | None = None) -> "ToldRun":
        base = self._base(at, "registry")
        return self.add(at, Notice(*base, "status", "{}", text=what_for, kind=status))

    def hook(
        self,
        at: float,
        name: str,
        tool: str | None = None,
        key: str | None = None,
        *,
        kind: str | None = None,
        agent: str | None = None,
    ) -> "ToldRun":
        data = encoded({"tool_name": tool} if tool else {})
        base = self._base(at, "hook", agent)
        return self.add(at, Notice(*base, name, data, tool_use_id=key, kind=kind))

    def other(self, at: float, said: str | None, *, is_alive: bool = True) -> "ToldRun":
        return self.add(at, Other(*self._base(at), is_alive, said))

    def agent_said(self, at: float, agent: str, status: str, call: str | None = None) -> "ToldRun":
        return self.add(at, AgentSaid(*self._base(at), agent, call, "Explore", None, status))

    def facts(self, at: float, **values: object) -> "ToldRun":
        return self.add(at, Facts(*self._base(at, "registry"), dict(values)))

    def session_end(self, at: float) -> "ToldRun":
        return self.add(at, SessionEnd(*self._base(at, "hook"), "other"))
