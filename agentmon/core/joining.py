"""Two sources of one session are one session: which prompt is which, and which round is whose.

A transcript names rounds its own way, and the wire another. What joins them are the prompts: the
same text at about the same time, told by two kinds of sources, is one prompt (formats.md H). Its
messages in the transcript go where the prompt is, also when that becomes known later.
"""

from agentmon.core.events import Prompt
from agentmon.core.kinds import KIND_BIT, STREAMING
from agentmon.core.model import PromptState, Round, Session
from agentmon.core.state import State

SAME_PROMPT = 30.0
"""Seconds between two tellings of one prompt; measured: a tenth to half a second (capture.md 3)."""

SAME_QUEUED = 3600.0
"""The same for a queued one: a transcript may tell it when typed, the wire when it goes out."""


def find_same(
    state: State, session: Session, event: Prompt, time: float, *, is_queued: bool
) -> PromptState | None:
    """The prompt that an event of another kind of source told before."""
    bit = KIND_BIT[event.meta.kind]
    if not session.kinds & ~bit:
        return None
    if event.message_uuid is not None:
        same = _of_uuid(state, session, event.message_uuid)
        if same is not None:
            return _keep(state, session, same)
    text = event.text.strip()
    found: list[PromptState] = []
    for prompt in _in_memory(session):
        reach = SAME_QUEUED if is_queued or prompt.is_queued else SAME_PROMPT
        is_near = not prompt.kinds & bit and abs(prompt.time - time) <= reach
        if is_near and prompt.text.strip() == text:
            found.append(prompt)
    if found:
        nearest = min(found, key=lambda prompt: abs(prompt.time - time))
        return _keep(state, session, nearest)
    if session.prompt_count <= len(session.prompts):
        return None
    stored = state.loader.like_prompt(
        session.sid, text, time - SAME_PROMPT, time + SAME_PROMPT, bit
    )
    return _keep(state, session, stored)


def _of_uuid(state: State, session: Session, uuid: str) -> PromptState | None:
    for prompt in _in_memory(session):
        if prompt.message_uuid == uuid:
            return prompt
    if session.prompt_count <= len(session.prompts):
        return None
    return state.loader.prompt_of(session.sid, uuid)


def told_prompt(state: State, session: Session, told_round: str) -> PromptState | None:
    """The prompt whose round a transcript names so; None where that is nobody's."""
    if not session.kinds & ~1:
        return None
    for prompt in _in_memory(session):
        if prompt.told_round == told_round:
            return _keep(state, session, prompt)
    if session.prompt_count <= len(session.prompts):
        return None
    return _keep(state, session, state.loader.told_prompt(session.sid, told_round))


def merge(prompt: PromptState, event: Prompt, time: float, *, is_queued: bool) -> None:
    """Takes in what another source says of a prompt; the wire goes before the others."""
    bit = KIND_BIT[event.meta.kind]
    is_first_stream = bit & STREAMING and not prompt.kinds & STREAMING
    if is_first_stream:
        prompt.time, prompt.text = time, event.text
        prompt.pid = event.meta.pid if event.meta.pid is not None else prompt.pid
        prompt.own_round = event.round if event.round is not None else prompt.own_round
    elif prompt.own_round is None:
        prompt.own_round = event.round
    if prompt.told_round is None:
        prompt.told_round = told_name(event)
    prompt.message_uuid = prompt.message_uuid or event.message_uuid
    prompt.is_queued = prompt.is_queued or is_queued
    prompt.kinds |= bit


def told_name(event: Prompt) -> str | None:
    """How other events of a transcript name the round of this prompt."""
    if KIND_BIT[event.meta.kind] & STREAMING:
        return None
    if event.round:
        return event.round
    return f"syn:{event.sid}:{event.message_uuid}" if event.message_uuid else None


def _in_memory(session: Session) -> list[PromptState]:
    return [*session.prompts, *(prompt for _, prompt in session.older.values())]


def _keep(state: State, session: Session, prompt: PromptState | None) -> PromptState | None:
    """An old prompt that comes back stays until its changes are committed: one object each."""
    if prompt is not None and is_settled(session, prompt):
        session.older[prompt.ordinal] = (state.batch, prompt)
    return prompt


def is_settled(session: Session, prompt: PromptState) -> bool:
    """Whether a prompt is too old for its round to be worked out again."""
    return all(prompt is not other for other in session.prompts)


def take_over(target: Round, source: Round, prompt: PromptState) -> None:
    """An old prompt goes from one round's row to another's."""
    if target.prompts == 0 or target.start_time is None or prompt.time < target.start_time:
        target.start_time, target.user_prompt = prompt.time, prompt.text
    target.prompts += 1
    target.frozen += 1
    source.prompts = max(0, source.prompts - 1)
    source.frozen = max(0, source.frozen - 1)
    ends = [end for end in (target.told_end, prompt.told_end) if end is not None]
    target.told_end = max(ends, default=None)
    if target.end_time is None:
        target.end_time = target.told_end
    if source.aborted_at is not None and target.aborted_at is None:
        target.aborted_at, target.abort_ends = source.aborted_at, source.abort_ends
    target.is_closed = target.is_closed or source.is_closed
