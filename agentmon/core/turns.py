"""Events around the responses: prompts, tool results, sessions, stops, hooks."""

from agentmon.core import phases, rounds
from agentmon.core.events import (
    Notice,
    Prompt,
    SessionEnd,
    SessionStart,
    ToolResults,
    TurnStop,
)
from agentmon.core.model import PromptState, Said, Saved
from agentmon.core.streams import Streams

_QUEUE_MEMORY = 16
LOOSE_STOP = "stop_without_round"
"""The name under which such a stop is kept among the notices."""


class Turns(Streams):
    """Applies what comes from the client's side."""

    def _tool_results(self, event: ToolResults) -> bool:
        session, time = self._heard(event)
        state = self.state
        for result in event.results:
            key = result.tool_use_id
            if key in state.results or state.loader.result(key, is_coming=True) is not None:
                state.counts.duplicates += 1
                if result.file is not None:
                    state.changes.dropped.append(result.file)
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

    def _notice(self, event: Notice) -> bool:
        session, time = self._heard(event, resumes=False)
        if event.name == "queue_operation" and event.kind == "enqueue" and event.text:
            session.queued.append(event.text)
            del session.queued[:-_QUEUE_MEMORY]
        self.state.changes.notices.append(Said(time, event))
        phases.noticed(self.state, session, self._thread(session, event.meta.agent_id), event, time)
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
