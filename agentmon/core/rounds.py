"""Which round a prompt, a message or a stop belongs to (design.md 7 "Rounds", formats.md A.3.4-7).

A prompt is written with the round that was running when its flow began; the true one is told by
the next `message_start`. So assignments are worked out again, over the last prompts of a session,
whenever a prompt or a start comes in, in order of payload time and not of arrival.
"""

from bisect import insort

from agentmon.core import joining
from agentmon.core.kinds import KIND_BIT, TELLING
from agentmon.core.model import (
    RECENT_PROMPTS,
    RECENT_STARTS,
    RECENT_STOPS,
    Message,
    PromptState,
    Round,
    Session,
    Start,
)
from agentmon.core.state import State


def when(prompt: PromptState) -> tuple[float, int]:
    """The order of prompts."""
    return prompt.time, prompt.ordinal


def add_prompt(state: State, session: Session, prompt: PromptState) -> None:
    """Takes in a prompt, perhaps between others that came before it."""
    insort(session.prompts, prompt, key=when)
    find_answer(state, session, prompt)
    settle(state, session)
    if session.kinds & TELLING:
        retime(state, session, prompt.time)
    while len(session.prompts) > RECENT_PROMPTS:
        while session.loose_stops and session.loose_stops[0] < session.prompts[1].time:
            _freeze_stop(state, session)
        _freeze(state, session, session.prompts.pop(0))


def find_answer(state: State, session: Session, prompt: PromptState) -> None:
    """The message start that tells the round of a prompt, if it came already."""
    later = following = float("inf")
    for other in reversed(session.prompts):
        if other.pid == prompt.pid:
            if other is prompt:
                later = following
            else:
                _drop_answer_after(state, other, following)
            following = other.time
    found = [
        start
        for start in session.starts
        if start.pid == prompt.pid and prompt.time <= start.time < later
    ]
    if found:
        first = min(found, key=lambda start: start.time)
        prompt.answer_time, prompt.answer_round = first.time, first.round
    mark_prompt(state, prompt)


def add_start(state: State, message: Message) -> None:
    """Takes in a message start: it may tell the round of the prompt before it.

    One without a round tells nothing, and one of a subagent may belong to an older round.
    """
    session, time = message.session, message.start_time
    if not message.own_round or message.agent_id is not None or time is None:
        return
    starts, start = session.starts, Start(time, message.own_round, message.pid)
    if starts and starts[-1].time > time:
        insort(starts, start, key=lambda known: known.time)
    else:
        starts.append(start)
    if len(starts) > RECENT_STARTS:
        del starts[0]
    asked: PromptState | None = None
    for prompt in reversed(session.prompts):
        if prompt.pid == message.pid and prompt.time <= time:
            asked = prompt
            break
    if asked is None or (asked.answer_time is not None and asked.answer_time <= time):
        return
    asked.answer_time, asked.answer_round = time, start.round
    mark_prompt(state, asked)
    if asked.round_id != start.round:
        settle(state, session)


def _drop_answer_after(state: State, prompt: PromptState, limit: float) -> None:
    if prompt.answer_time is not None and prompt.answer_time >= limit:
        prompt.answer_time = prompt.answer_round = None
        mark_prompt(state, prompt)


def _freeze(state: State, session: Session, prompt: PromptState) -> None:
    found = get_round(state, session, prompt.round_id)
    found.frozen += 1
    if session.kinds & ~KIND_BIT["wire"]:
        session.older[prompt.ordinal] = (state.batch, prompt)


def _freeze_stop(state: State, session: Session) -> None:
    """The oldest loose stop stays with the round that it ends now, as if it had named it."""
    time = session.loose_stops.pop(0)
    round_id = running_at(session, time)
    if round_id is not None:
        found = get_round(state, session, round_id)
        found.named_end = time if found.named_end is None else max(found.named_end, time)
        mark_round(state, found)


def settle(state: State, session: Session) -> None:
    """Works out the rounds of the recent prompts, then the rows of those rounds."""
    before = {prompt.round_id for prompt in session.prompts if prompt.round_id}
    _assign(state, session)
    if _settle_ends(state, session):
        _assign(state, session)  # whether a round still ran at a prompt depends on its end
    prompts: dict[str, list[PromptState]] = {round_id: [] for round_id in before}
    for prompt in session.prompts:
        prompts.setdefault(prompt.round_id, []).append(prompt)
    for round_id, mine in prompts.items():
        _settle_round(state, session, get_round(state, session, round_id), mine)
    for message in session.unplaced:
        if message.own_round is not None or not _may_change(session, message.start_time):
            continue
        placed = running_at(session, message.start_time)
        if placed != message.round_id:
            message.round_id = placed
            mark_message(state, message)


def _assign(state: State, session: Session) -> None:
    previous: PromptState | None = None
    for prompt in session.prompts:
        target = _round_of(state, session, prompt, previous)
        if target != prompt.round_id:
            before, prompt.round_id = prompt.round_id, target
            mark_prompt(state, prompt)
            if before:
                follow(state, session, prompt, before)
        previous = prompt


def follow(state: State, session: Session, prompt: PromptState, before: str) -> None:
    """The messages of a prompt go with it into another round: those that a transcript has of it,
    and those that named no round where it was the only prompt of its own."""
    if not session.kinds & TELLING:
        return
    retime(state, session, prompt.time)
    told = prompt.told_round
    is_alone = before.startswith("syn:") or before == told
    state.changes.moves.append((prompt.round_id, session.sid, told))
    if is_alone:
        state.changes.renames.append((prompt.round_id, session.sid, before))
    for message in state.messages.values():
        named = message.own_round
        if message.session is session and (
            (named is not None and named == told)
            or (is_alone and named is None and message.round_id == before)
        ):
            message.round_id = prompt.round_id
            mark_message(state, message)


def _settle_ends(state: State, session: Session) -> bool:
    """The end of a round is its last stop, named or running then; True if one changed."""
    loose: dict[str, float] = {}
    for time in session.loose_stops:
        round_id = running_at(session, time)
        if round_id is not None:
            loose[round_id] = time
    told = _told_ends(session)
    recent = {prompt.round_id for prompt in session.prompts}
    changed = False
    for found in session.rounds.values():
        stop = _later(told.get(found.round_id), found.told_end if found.frozen else None)
        end = _later(found.named_end, loose.get(found.round_id))
        found.told_end = stop
        if end is None:
            end = stop
        # whether all that can be said of its end is in memory
        is_recent = found.round_id in recent or not found.prompts
        if end != found.end_time and (end is not None or is_recent):
            found.end_time = end
            changed = True
            mark_round(state, found)
    return changed


def _later(one: float | None, other: float | None) -> float | None:
    """The later of two moments, where there are any."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _told_ends(session: Session) -> dict[str, float]:
    """The last stop that a transcript has of a round, by round."""
    ends: dict[str, float] = {}
    for prompt in session.prompts:
        if prompt.told_end is not None:
            ends[prompt.round_id] = max(ends.get(prompt.round_id, prompt.told_end), prompt.told_end)
    return ends


def _round_of(
    state: State, session: Session, prompt: PromptState, previous: PromptState | None
) -> str:
    if prompt.answer_round:
        return prompt.answer_round
    own = prompt.own_round
    if not own:
        return _synthetic(prompt)
    known = get_round(state, session, own)
    earlier = known.frozen > 0 or any(
        other.round_id == own and when(other) < when(prompt) for other in session.prompts
    )
    if not earlier:
        return own
    current = previous is None or previous.round_id == own
    over = known.end_time is not None and known.end_time <= prompt.time
    closed = (
        session.closed_at is not None
        and known.start_time is not None
        and known.start_time <= session.closed_at <= prompt.time
    )
    return own if current and not over and not closed else _synthetic(prompt)


def _synthetic(prompt: PromptState) -> str:
    return f"syn:{prompt.sid}:{prompt.message_uuid or prompt.ordinal}"


def _settle_round(state: State, session: Session, found: Round, mine: list[PromptState]) -> None:
    values = (found.prompts, found.user_prompt, found.start_time, found.is_closed)
    found.prompts = found.frozen + len(mine)
    if found.frozen == 0:
        found.start_time = mine[0].time if mine else None
        found.user_prompt = mine[0].text if mine else None
    found.is_synthetic = found.round_id.startswith("syn:")
    found.is_closed = _is_closed(session, found, mine)
    if values != (found.prompts, found.user_prompt, found.start_time, found.is_closed):
        mark_round(state, found)


def _is_closed(session: Session, found: Round, mine: list[PromptState]) -> bool:
    """Over by what came after it: another prompt's round, or the end of its process."""
    if found.start_time is None:
        return False
    if session.closed_at is not None and session.closed_at >= found.start_time:
        return True
    if not mine:
        return found.is_closed
    for other in reversed(session.prompts):
        if other is mine[0]:
            break
        if other.round_id != found.round_id and not _is_beside(other):
            return True
    return False


def _is_beside(prompt: PromptState) -> bool:
    """Queued while a round ran, in a file without rounds: it does not cut that round."""
    return prompt.is_queued and prompt.round_id.startswith("syn:")


def _may_change(session: Session, time: float | None) -> bool:
    """Whether the prompts in memory tell what ran at a time; older ones are settled."""
    has_older = session.prompt_count > len(session.prompts)
    return not has_older or (time is not None and time >= session.prompts[0].time)


def running_at(session: Session, time: float | None) -> str | None:
    """The round of the latest prompt at that time."""
    found: str | None = None
    for prompt in session.prompts:
        if time is not None and prompt.time <= time:
            found = prompt.round_id
    return found


def place(state: State, message: Message) -> None:
    """Gives a message its round: as written, none, or the running one."""
    session, start = message.session, message.start_time
    if message.own_round is None:
        if _may_change(session, start):
            message.round_id = running_at(session, start)
        if message.kinds & TELLING and not message.is_started:
            retime(state, session, start)
        if message not in session.unplaced:
            session.unplaced.append(message)
            del session.unplaced[: max(0, len(session.unplaced) - RECENT_STARTS)]
        return
    message.round_id = message.own_round or None
    if message.own_round:
        asked = joining.told_prompt(state, session, message.own_round)
        if asked is not None:
            message.round_id = asked.round_id
        get_round(state, session, message.round_id or message.own_round)


def end_round(state: State, session: Session, round_id: str | None, time: float) -> None:
    """A stop of a round, or (None) of the one that ran at its time."""
    if round_id is None:
        insort(session.loose_stops, time)
        settle(state, session)
        while len(session.loose_stops) > RECENT_STOPS:
            _freeze_stop(state, session)
        return
    found = get_round(state, session, round_id)
    if found.named_end is not None and time <= found.named_end:
        return
    found.named_end = time
    mark_round(state, found)
    if found.end_time is None or time > found.end_time or found.end_time == found.told_end:
        found.end_time = time
        # only an unanswered prompt asks whether a round was still running
        if any(p.own_round == round_id and not p.answer_round for p in session.prompts):
            settle(state, session)


def close_all(state: State, session: Session, time: float) -> None:
    """A session end or a resume: what ran before it is over."""
    if session.closed_at is None or time > session.closed_at:
        session.closed_at = time
        settle(state, session)
        for found in list(session.rounds.values()):
            if not found.is_closed and found.start_time is not None and found.start_time <= time:
                found.is_closed = True
                mark_round(state, found)


def get_round(state: State, session: Session, round_id: str) -> Round:
    found = session.rounds.get(round_id)
    if found is None:
        found = state.loader.round(session.sid, round_id) or Round(session.sid, round_id)
        session.rounds[round_id] = found
        if len(session.rounds) > 4 * RECENT_PROMPTS:
            _forget_rounds(session)
    return found


def _forget_rounds(session: Session) -> None:
    """Drops old rounds from memory that no recent prompt names and that are written."""
    named = {prompt.round_id for prompt in session.prompts}
    for key, found in list(session.rounds.items())[: -2 * RECENT_PROMPTS]:
        if key not in named and not found.is_dirty:
            del session.rounds[key]


def catch_up(state: State, message: Message) -> None:
    """A message from the store has not moved yet with a prompt that moved in this batch."""
    sid, named = message.session.sid, message.own_round
    for target, moved, told in state.changes.moves:
        if moved == sid and named is not None and named == told:
            message.round_id = target
    for target, moved, before in state.changes.renames:
        if moved == sid and named is None and message.round_id == before:
            message.round_id = target


def retime(state: State, session: Session, time: float | None) -> None:
    """From a time on, messages that only a transcript has and that name no round (a subagent's) are
    in the round that ran when they began; which that is, the store knows for all prompts."""
    if time is not None:
        known = state.changes.retimed.get(session.sid, time)
        state.changes.retimed[session.sid] = min(known, time)


def mark_prompt(state: State, prompt: PromptState) -> None:
    if not prompt.is_dirty:
        prompt.is_dirty = True
        state.changes.prompts.append(prompt)


def mark_round(state: State, found: Round) -> None:
    if not found.is_dirty:
        found.is_dirty = True
        state.changes.rounds.append(found)


def mark_message(state: State, message: Message) -> None:
    message.touched = state.batch
    if not message.is_dirty:
        message.is_dirty = True
        state.changes.messages.append(message)
