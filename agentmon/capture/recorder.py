"""What a tap hears, turned into the lines of a wire log.

Everything here is synchronous and quick, and nothing raises: the client's stream comes first. A
fault of ours ends the recording of one exchange, is counted, and goes to agentmon's own log.
"""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from uuid import uuid4

from agentmon.capture import chat, claude, openai
from agentmon.capture.answer import Answer, unreachable
from agentmon.capture.asked import SIDE, Asked, Came, Object, mapping, objects, read, text_of
from agentmon.capture.envelope import envelope
from agentmon.capture.log import HOOKS, CaptureLog, newest
from agentmon.capture.peer import Peer
from agentmon.capture.requests import RequestLog
from agentmon.capture.sessions import Session, Sessions
from agentmon.logfile import log as own_log

Headers = Sequence[tuple[str, str]]
Outcome = Literal["complete", "client_gone", "upstream_gone"]

_ASKED = {
    "/v1/messages": claude.asked,
    "/responses": openai.asked,
    "/chat/completions": chat.asked,
}
"""Who reads a request, by the end of its path."""

_OVER = frozenset({"end_turn", "stop_sequence", "refusal", "model_context_window_exceeded"})
"""Reasons to stop after which a client does not go on by itself."""

MAX_ID = 200
"""Characters of what names a message."""

_STAMP = re.compile(rb'timestamp\\":\\"([^"\\]+)')


class Recorder:
    """Records the exchanges of any number of clients to one log, and if `requests` is given what
    was asked to that, redacted."""

    def __init__(
        self,
        log: CaptureLog,
        clock: Callable[[], float] = time.time,
        requests: RequestLog | None = None,
    ) -> None:
        self.log, self.clock = log, clock
        self.requests = requests
        self.exchanges = 0
        """Requests to a model so far."""
        self.events = 0
        """Lines given to the log; `log.lost` of them are not in it."""
        self.passed_over = 0
        """Events of the model that could not be recorded: too long, or encoded."""
        self.faults = 0
        """Exchanges that a fault of ours kept from being recorded whole."""
        self._sessions = Sessions()

    def begin(
        self, method: str, path: str, headers: Headers, body: bytes, peer: Peer | None
    ) -> "Exchange":
        """A request came, whole. What it gets must be told of the answer, of interest or not."""
        try:
            if self.requests is not None:
                self.requests.add(method, path, headers, body, self.clock())
            asked = _asked(method, path, headers, body)
            if asked is None:
                return Exchange(self, None, None)
            self.exchanges += 1
            session = self._sessions.of(asked, peer, self.clock())
            self._begin_session(session, asked)
            exchange = Exchange(self, asked, session)
            exchange.came(session.news(asked))
        except Exception:
            self.fault()
            return Exchange(self, None, None)
        return exchange

    def tick(self, alive: Callable[[int], bool]) -> None:
        """Ends the sessions whose processes are gone after their turns; for every few seconds."""
        try:
            for session in self._sessions.without_process(alive):
                self._end_session(session, "process_exit")
        except Exception:
            self.fault()

    def close(self, alive: Callable[[int], bool] | None = None) -> None:
        """A last look at the processes; sessions of those that live on are not ended."""
        self.tick(alive or _is_alive)
        self.log.close()
        if self.requests is not None:
            self.requests.close()

    def write(self, lines: Sequence[bytes]) -> None:
        """For exchanges: puts lines into the log."""
        self.events += len(lines)
        self.log.append(lines)

    def fault(self) -> None:
        """For exchanges, within their `except`: counts a fault of ours."""
        self.faults += 1
        own_log.warning("tap: an exchange is not recorded whole", exc_info=True)

    # -- beginnings and ends of sessions, where no hook tells them

    def _begin_session(self, session: Session, asked: Asked) -> None:
        if session.is_begun:
            return
        session.is_begun = True
        for left in self._sessions.left_by(session):
            self._end_session(left, "resume" if asked.has_history else "clear")
        told = self.log.find(f"{session.product}.session_start", session.sid)
        session.has_hooks = told is not None and b"hook_event_name" in told
        if told is None and session.product == "claude":
            source = "resume" if asked.has_history else "new"
            self._say(session, {"type": "session_start", "source": source}, "")

    def _end_session(self, session: Session, reason: str) -> None:
        session.is_ended = True
        if self._is_end_told(session):
            return
        if session.over_at is not None:
            self._say(session, _stop(session), session.round, session.over_at)
        self._say(session, {"type": "session_end", "reason": reason}, session.round)

    def _is_end_told(self, session: Session) -> bool:
        """Whether the log says it, or a hook, which knows the reason."""
        told = self.log.find(f"{session.product}.session_end", session.sid)
        if told is not None and _stamp(told) >= _utc(session.last_time):
            return True
        sid = session.sid.encode()
        for line in newest(os.path.join(os.path.dirname(self.log.path), HOOKS)):
            if b'"SessionEnd"' in line and sid in line:
                row = mapping(read(line))
                hook, at = mapping(row.get("payload")), row.get("t")
                is_end = hook.get("hook_event_name") == "SessionEnd"
                if is_end and hook.get("session_id") == session.sid:
                    return isinstance(at, int | float) and at >= session.last_time
        return False

    def _say(
        self, session: Session, payload: Object, round_id: str, at: float | None = None
    ) -> None:
        line = envelope(
            f"{session.product}.{payload['type']}",
            payload,
            time=self.clock() if at is None else at,
            flow_id=_own_flow(),
            count=0,
            sid=session.sid,
            metadata=session.metadata(),
            round=round_id,
        )
        self.write([line])


class Exchange:
    """One request and its answer. A recorder makes them; without a session they record nothing."""

    def __init__(self, recorder: Recorder, asked: Asked | None, session: Session | None) -> None:
        self._recorder = recorder
        self._session = session
        self._agent = asked.agent if asked is not None else ""
        self._is_chat = asked is not None and asked.is_chat
        self._answer: Answer | None = None
        self._own_flow = self._flow = _own_flow()
        self._counts: dict[str, int] = {}
        self._stop_reason = ""
        self._metadata, self._round = "", ""
        if session is not None:
            session.open += 1
            self._metadata = session.metadata(self._agent)

    def response(self, status: int, headers: Headers) -> None:
        """The head of the answer came."""
        if self._session is None:
            return
        try:
            product = self._session.product
            self._answer = Answer(product, status, headers, is_chat=self._is_chat)
        except Exception:
            self._give_up()

    def feed(self, data: bytes) -> None:
        """Bytes of the answer came, as they are on the wire."""
        if self._answer is None:
            return
        try:
            self._heard(self._answer.feed(data))
        except Exception:
            self._give_up()

    def end(self, outcome: Outcome) -> None:
        """The exchange is over."""
        session = self._session
        if session is None:
            return
        try:
            answer = self._answer
            session.is_broken |= outcome == "client_gone" and not self._agent
            if answer is None and outcome == "upstream_gone":
                self._heard([unreachable()])
            elif answer is not None:
                self._heard(answer.end(is_whole=outcome == "complete"))
                self._recorder.passed_over += answer.passed_over
        except Exception:
            self._recorder.fault()
        self._close()

    def came(self, news: Sequence[Came]) -> None:
        """For the recorder: what is new in the request."""
        try:
            self._came(news)
        except Exception:
            self._give_up()

    def _came(self, news: Sequence[Came]) -> None:
        session = self._session
        if session is None:
            return
        if self._agent != SIDE:
            self._round = session.round
            if self._agent:
                session.running[self._agent] = session.last_time
        told = [
            one.payload if one.what == "result" else {"type": "user_prompt", "prompt": one.text}
            for one in news
        ]
        self._write(told)

    # -- the answer

    def _heard(self, payloads: list[Object]) -> None:
        session, answer = self._session, self._answer
        if session is None or not payloads:
            return
        lines: list[Object] = []
        request_id = answer.request_id if answer is not None else f"req_{self._own_flow}"
        for payload in payloads:
            kind = payload["type"]
            if not isinstance(payload.get("request_id"), str):
                payload["request_id"] = request_id
            lines.append(payload)
            if kind == "message_delta":
                reason = text_of(mapping(payload.get("delta")).get("stop_reason"))
                self._stop_reason = reason or self._stop_reason
            elif kind in _ENDS and _is_over(payload, self._stop_reason):
                lines += self._over(session)
        self._write(lines)

    def _over(self, session: Session) -> list[Object]:
        """A turn is over; hooks say it of the main thread, where there are any."""
        now = self._recorder.clock()
        if self._agent:
            session.running.pop(self._agent, None)
            return []
        session.is_under_way = False
        if session.has_hooks:
            pass
        elif session.product == "claude":
            return [_stop(session, session.background(now))]
        else:
            session.over_at = now
        return []

    def _write(self, payloads: Sequence[Object]) -> None:
        session = self._session
        if session is None or not payloads:
            return
        now, lines = self._recorder.clock(), list[bytes]()
        for payload in payloads:
            self._flow = _named(payload)[:MAX_ID] or self._flow
            count = self._counts.get(self._flow, 0)
            self._counts[self._flow] = count + 1
            line = envelope(
                f"{session.product}.{payload['type']}",
                payload,
                time=now,
                flow_id=self._flow,
                count=count,
                sid=session.sid,
                metadata=self._metadata,
                round=self._round,
            )
            lines.append(line)
        self._recorder.write(lines)

    def _give_up(self) -> None:
        self._recorder.fault()
        self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.open -= 1
        self._session = self._answer = None


def _asked(method: str, path: str, headers: Headers, body: bytes) -> Asked | None:
    """What a request asks of a model; None for one that asks nothing."""
    if method != "POST":
        return None
    plain = path.split("?", 1)[0].rstrip("/")
    ask = next((ask for end, ask in _ASKED.items() if plain.endswith(end)), None)
    return ask(headers, body) if ask is not None else None


def _named(payload: Mapping[str, object]) -> str:
    """The message that an event begins; "" for one that goes on with another."""
    kind = payload["type"]
    if kind == "message_start":
        return text_of(mapping(payload.get("message")).get("id"))
    if kind == "message":
        return text_of(payload.get("id"))
    if kind in ("response.created", "response.completed", "response.incomplete"):
        return text_of(mapping(payload.get("response")).get("id"))
    return ""


_ENDS = frozenset({"message_stop", "message", "response.completed"})


def _is_over(end: Object, stop_reason: str) -> bool:
    """Whether after the end of an answer a client does not go on by itself."""
    if end["type"] == "message_stop":
        return stop_reason in _OVER
    if end["type"] == "message":
        return text_of(end.get("stop_reason")) in _OVER
    output = objects(mapping(end.get("response")).get("output"))
    return not any(text_of(item.get("type")).endswith("_call") for item in output)


def _stop(session: Session, background: Sequence[str] = ()) -> Object:
    stop: Object = {"type": "stop", "agent_id": session.sid, "is_subagent": False}
    tasks = [{"id": one, "type": "subagent", "status": "running"} for one in background]
    return {**stop, "background_tasks": tasks} if tasks else stop


def _own_flow() -> str:
    return f"msg_in_{uuid4().hex[:12]}"


def _stamp(line: bytes) -> bytes:
    found = _STAMP.search(line)
    return found[1] if found else b""


def _utc(moment: float) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)).encode()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
