"""What happens to the threads of a session beside their messages, in the order of time."""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct, field

from agentmon.report.roundreading import EVERY
from agentmon.store import read
from agentmon.store.read_landmarks import Asked, ends_of_rounds, prompts_in_time

NEAR = 2.0
"""Seconds between what two sources tell of the same moment."""


class Sign(Struct, frozen=True):
    """A prompt, the start of a subagent, a retry, a turn given up, a stop, a session's end."""

    kind: Literal["prompt", "begun", "retry", "abort", "stop", "over"]
    time: float
    agent_id: str = ""
    round_id: str | None = None
    text: str = ""
    is_queued: bool = False
    delay: float | None = None
    """Seconds until a retry is due."""
    said: dict[str, object] = field(default_factory=dict[str, object])


class _Retry(Struct):
    error_type: str | None = None
    message: str | None = None
    delay: float | None = None
    attempt: int | None = None
    max_attempts: int | None = None


class _Abort(Struct):
    reason: str | None = None


def signs_of(
    conn: sqlite3.Connection,
    session: read.SessionRow,
    begun: Iterable[tuple[str, str, float | None]],
) -> list[Sign]:
    """Those of a session; `begun` as in `store.read_landmarks`."""
    sid = session.sid
    prompts = prompts_in_time(conn, sid)
    found = [Sign("prompt", one.time, "", one.round_id, one.text, one.is_queued) for one in prompts]
    found += [Sign("begun", at, agent) for agent, _, at in begun if at is not None]
    found += [Sign("stop", at, "", round_id) for at, round_id in ends_of_rounds(conn, sid)]
    found += _retries(conn, sid, prompts)
    found += _aborts(conn, sid, prompts)
    if session.end_time is not None:
        found.append(Sign("over", session.end_time))
    return sorted(found, key=lambda sign: sign.time)


def round_at(prompts: list[Asked], time: float) -> str | None:
    """The round that ran at a moment: that of the last prompt before it."""
    place = bisect_right(prompts, time, key=lambda one: one.time)
    return prompts[place - 1].round_id if place else None


def _retries(conn: sqlite3.Connection, sid: str, prompts: list[Asked]) -> Iterator[Sign]:
    told: dict[tuple[str, int], float] = {}
    for row in read.notices(conn, sid, name="retry", limit=EVERY)[::-1]:
        try:
            said = msgspec.json.decode(row.data, type=_Retry)
        except msgspec.DecodeError:
            said = _Retry()
        if said.attempt is not None:
            key = row.agent_id or "", said.attempt
            if row.time - told.get(key, float("-inf")) <= NEAR:
                continue  # a second source tells the same
            told[key] = row.time
        known = msgspec.structs.asdict(said)
        text = said.message or said.error_type or "an error"
        if said.attempt is not None:
            most = f" of {said.max_attempts}" if said.max_attempts is not None else ""
            text += f", try {said.attempt}{most}"
        agent, where = row.agent_id or "", round_at(prompts, row.time)
        yield Sign("retry", row.time, agent, where, text, delay=said.delay, said=known)


def _aborts(conn: sqlite3.Connection, sid: str, prompts: list[Asked]) -> Iterator[Sign]:
    for row in read.notices(conn, sid, name="turn_aborted", limit=EVERY):
        try:
            said = msgspec.json.decode(row.data, type=_Abort)
        except msgspec.DecodeError:
            said = _Abort()
        text = (said.reason or "given up").replace("_", " ")
        where = round_at(prompts, row.time)
        yield Sign("abort", row.time, row.agent_id or "", where, text, said={"reason": said.reason})
