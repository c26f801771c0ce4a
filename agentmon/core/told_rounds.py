"""What transcripts and hooks tell of prompts and rounds that the wire may know too."""

from bisect import insort

from agentmon.core import joining, rounds
from agentmon.core.events import Event, Prompt
from agentmon.core.model import Message, PromptState, Session
from agentmon.core.rounds import (
    find_answer,
    follow,
    get_round,
    mark_prompt,
    mark_round,
    running_at,
    settle,
    when,
)
from agentmon.core.state import State


def join_prompt(
    state: State, session: Session, event: Prompt, time: float, *, is_queued: bool
) -> PromptState | None:
    """Takes in what another kind of source says of a prompt that is known; None if it is not."""
    found = joining.find_same(state, session, event, time, is_queued=is_queued)
    if found is None:
        return None
    before = found.time, found.own_round, found.pid
    joining.merge(found, event, time, is_queued=is_queued)
    mark_prompt(state, found)
    if not joining.is_settled(session, found):
        if before != (found.time, found.own_round, found.pid):
            session.prompts.remove(found)
            insort(session.prompts, found, key=when)
            found.answer_time = found.answer_round = None
            find_answer(state, session, found)
        settle(state, session)
    elif found.own_round and found.round_id.startswith("syn:"):
        _rehome(state, session, found, found.own_round)
    return found


def end_round(state: State, session: Session, round_id: str | None, time: float) -> None:
    """A stop: of the round that is named, in the words of the wire or of a transcript."""
    asked = joining.told_prompt(state, session, round_id) if round_id else None
    if asked is not None:
        _tell_end(state, session, asked, time)
    else:
        rounds.end_round(state, session, round_id, time)


def _tell_end(state: State, session: Session, prompt: PromptState, time: float) -> None:
    """A transcript says that the turn of a prompt is over; the wire's own stop goes before."""
    if prompt.told_end is not None and prompt.told_end >= time:
        return
    found = get_round(state, session, prompt.round_id)
    if found.end_time is not None and found.end_time == found.told_end:
        found.end_time = time
    prompt.told_end = time
    found.told_end = time if found.told_end is None else max(found.told_end, time)
    mark_prompt(state, prompt)
    mark_round(state, found)
    if found.end_time is None:
        found.end_time = found.told_end
    if not joining.is_settled(session, prompt):
        settle(state, session)


def abort_round(
    state: State, session: Session, event: Event, time: float, *, has_end: bool
) -> None:
    """Somebody gave a round up: the named one, else the one that ran then."""
    asked = joining.told_prompt(state, session, event.round) if event.round else None
    round_id = asked.round_id if asked is not None else event.round
    if round_id is None:
        round_id = running_at(session, time)
    if round_id:
        found = get_round(state, session, round_id)
        found.aborted_at = time if found.aborted_at is None else max(found.aborted_at, time)
        found.abort_ends = found.abort_ends or has_end
        mark_round(state, found)


def begin_told(state: State, message: Message, told_round: str | None) -> None:
    """The wire has the start of a message that a transcript told: they mean the same round.

    For a prompt that is too old to be settled this alone tells the wire's name of its round.
    """
    session, target = message.session, message.round_id
    if not told_round or not target or message.agent_id is not None:
        return
    asked = joining.told_prompt(state, session, told_round)
    if asked is not None and joining.is_settled(session, asked):
        _rehome(state, session, asked, target)


def _rehome(state: State, session: Session, prompt: PromptState, target: str) -> None:
    """An old prompt turns out to be of another round."""
    before = prompt.round_id
    if before == target:
        return
    source, found = get_round(state, session, before), get_round(state, session, target)
    joining.take_over(found, source, prompt)
    prompt.round_id = target
    mark_prompt(state, prompt)
    mark_round(state, source)
    mark_round(state, found)
    follow(state, session, prompt, before)
