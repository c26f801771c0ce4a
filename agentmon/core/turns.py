"""Events around the responses: prompts, tool results, sessions, stops, hooks."""

from agentmon.core import joining, phases, rounds, told_rounds
from agentmon.core.entities import EXACT
from agentmon.core.events import (
    Notice,
    Prompt,
    Result,
    SessionEnd,
    SessionStart,
    ToolResults,
    TurnStop,
)
from agentmon.core.kinds import KIND_BIT, STAND_IN_CALL, STREAMING, TELLING
from agentmon.core.model import Block, PromptState, Said, Saved, Session
from agentmon.core.streams import Streams

_QUEUE_MEMORY = 16
QUEUE = "queue_operation"
LOOSE_STOP = "stop_without_round"
"""The name under which such a stop is kept among the notices."""


class Turns(Streams):
    """Applies what comes from the client's side."""

    def _tool_results(self, event: ToolResults) -> bool:
        session, time = self._heard(event)
        for result in event.results:
            if result.tool_use_id.startswith(STAND_IN_CALL) and session.kinds & EXACT:
                continue
            self._result(event, session, result, time)
        self._testify(event, time, "tool_result")
        return True

    def _result(self, event: ToolResults, session: Session, result: Result, time: float) -> None:
        """One result; a transcript's goes before the wire's, and anything before a summary."""
        state, key = self.state, result.tool_use_id
        rank = _rank(event, result)
        recent = state.results.get(key)
        known = recent[:3] if recent is not None else state.loader.result(key, is_coming=True)
        if known is not None:
            state.counts.duplicates += 1
        if known is not None and rank <= known[2]:
            if result.file is not None:
                state.changes.dropped.append(result.file)
            if known[1] is not None or result.is_error is None:
                return
            # an exit code that came beside the result itself
            known = (known[0], result.is_error, known[2])
            state.changes.verdicts_of_results.append((result.is_error, key))
        else:
            error = result.is_error
            if error is None and known is not None:
                error = result.is_error = known[1]
            known = (time, error, rank)
            state.changes.results.append(Saved(event.sid, time, result, rank))
        state.results[key] = (known[0], known[1], known[2], state.batch)
        block = self._block_of_call(key)
        if block is not None:
            self._returned(block, known[0], known[1])
        agent_id = block.message.agent_id if block else event.meta.agent_id
        thread = self._thread(session, agent_id)
        phases.result_came(state, session, thread, key, known[0], event.meta.kind)

    def _returned(self, block: Block, time: float, is_error: bool | None) -> None:
        block.result_time, block.result_is_error = time, is_error
        block.no_result_at = None
        self._mark_all(block.message, block)

    def _prompt(self, event: Prompt) -> bool:
        state = self.state
        uuid, bit = event.message_uuid, KIND_BIT[event.meta.kind]
        if uuid is not None:
            known = state.loader.prompt_of(event.sid, uuid)
            is_told = known is not None and bool(known.kinds & bit)
            if not self._is_new_key((event.sid, uuid, bit), is_told):
                return False
        session, time = self._heard(event)
        self._testify(event, time, "prompt")
        is_queued = event.is_queued
        if bit & STREAMING and event.text in session.queued:
            is_queued = True
            session.queued.remove(event.text)
        joined = told_rounds.join_prompt(state, session, event, time, is_queued=is_queued)
        if joined is None:
            session.prompt_count += 1
            prompt = PromptState(
                event.sid,
                session.prompt_count,
                event.meta.pid,
                time,
                uuid,
                event.text,
                event.round,
                is_queued,
                told_round=joining.told_name(event),
                kinds=bit,
            )
            rounds.add_prompt(state, session, prompt)
        phases.prompted(state, self._thread(session, None), time, event)
        return True

    def _session_start(self, event: SessionStart) -> bool:
        state = self.state
        known = state.sessions.get(event.sid) or state.loader.session(event.sid)
        pid_before = known.pid if known is not None else None
        session, time = self._heard(event)
        is_new_process = pid_before is not None and event.meta.pid not in (None, pid_before)
        if event.source == "resume" or (is_new_process and event.source != "compact"):
            rounds.close_all(state, session, time)
        thread = self._thread(session, None)
        phases.session_started(state, thread, event.source, time, event.meta.kind)
        return True

    def _session_end(self, event: SessionEnd) -> bool:
        state = self.state
        session, time = self._heard(event, resumes=False)
        if session.ended_at is None or time >= session.ended_at:
            session.ended_at, session.end_reason = time, event.reason
        rounds.close_all(state, session, time)
        self._thread(session, None)
        phases.session_ended(state, session, time, self._no_result, event.meta.kind)
        return True

    def _turn_stop(self, event: TurnStop) -> bool:
        state = self.state
        session, time = self._heard(event, resumes=False)
        self._testify(event, time, event.name)
        if event.is_subagent:
            thread = self._thread(session, event.meta.agent_id)
            phases.agent_stopped(state, thread, time, event.meta.kind)
            return True
        if _is_stand_in(event) and session.kinds & EXACT:
            return True
        if event.round != "":
            told_rounds.end_round(state, session, event.round, time)
        if event.round is None:
            state.changes.notices.append(Said(time, _loose_stop(event)))
        thread = self._thread(session, None)
        phases.turn_stopped(
            state, session, thread, event.background, time, self._no_result, event.meta.kind
        )
        return True

    def _notice(self, event: Notice) -> bool:
        session, time = self._heard(event, resumes=False)
        if event.name == QUEUE:
            self._queued(event, session)
        self.state.changes.notices.append(Said(time, event))
        self._testify(event, time, f"{event.name} {event.kind or ''}".rstrip())
        thread = self._thread(session, event.meta.agent_id)
        phases.noticed(self.state, session, thread, event, time, self._no_result)
        return True

    def _queued(self, event: Notice, session: Session) -> None:
        """What a transcript says of the queue is a fact about its prompts, which say it too: the
        wire's own prompts are recognised by the wire's own queue."""
        if event.meta.kind != "wire":
            event.name = f"told_{QUEUE}"
        elif event.kind == "enqueue" and event.text:
            session.queued.append(event.text)
            del session.queued[:-_QUEUE_MEMORY]


def _is_stand_in(event: TurnStop) -> bool:
    """What `codex exec --json` prints has no times: a rollout or the wire knows better."""
    return event.meta.kind == "stream" and event.meta.agent == "codex"


def _rank(event: ToolResults, result: Result) -> int:
    """Which of two results is the result: 0 a summary, 1 a stream's, 2 a transcript's."""
    if result.is_summary:
        return 0
    return 2 if KIND_BIT[event.meta.kind] & TELLING else 1


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
