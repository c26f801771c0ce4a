"""Which sessions go: those that are over and too old, then the oldest until the rest fits.

A session is over when its end was seen and nothing came after it, or when it was silent for a day
and no process of it is left. Whatever was active in the last hour, or has its process, stays.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from agentmon.store.verdicts import PID

RECENT = 3_600.0
"""Seconds: what was active since then is never touched."""

SILENT = 86_400.0
"""Seconds of silence after which a session whose end nobody saw is over, if its process is gone."""

DAY = 86_400.0

IsAlive: TypeAlias = Callable[[int, float], bool]
"""(pid, time): whether the process that had this pid at that time still runs."""


class Policy(Struct, frozen=True):
    """`days` since the last activity and `max_size` in bytes; None: no such limit."""

    days: float | None
    max_size: int | None
    action: str

    @property
    def is_on(self) -> bool:
        return self.days is not None or self.max_size is not None


class Held(Struct, frozen=True):
    """A session in the store. `active`: when anything was last heard of it, or it was restored."""

    sid: str
    agent: str
    cwd: str | None
    first_time: float | None
    last_time: float | None
    active: float | None
    has_ended: bool
    pids: tuple[int, ...]
    bytes: int = 0


class Going(Struct, frozen=True):
    """A session that goes, and the limit it is beyond."""

    held: Held
    why: Literal["age", "size"]


class Plan(Struct, frozen=True):
    """What is to go, oldest first; `size` is what the store takes, `left` what it would then."""

    going: list[Going]
    sessions: int
    kept: int
    """Sessions beyond a limit that stay, because they are not over."""
    size: int
    left: int


_HELD = """
SELECT s.sid, s.agent, s.cwd, s.first_time, s.last_time,
       s.ended_at IS NOT NULL AND COALESCE(s.resumed_at <= s.ended_at, 1), s.pid,
       (SELECT f.value FROM facts f WHERE f.sid = s.sid AND f.agent_id = '' AND f.name = ?),
       s.last_time, s.resumed_at, s.ended_at, s.first_time,
       (SELECT MAX(MAX(COALESCE(a.last_byte, 0), COALESCE(a.last_told, 0),
                       COALESCE(a.last_start, 0), COALESCE(a.status_time, 0)))
        FROM agents a WHERE a.sid = s.sid),
       (SELECT MAX(r.changed_at) FROM removals r WHERE r.session_id = s.sid AND r.state = 'back')
FROM sessions s
"""


def held(conn: sqlite3.Connection, shares: dict[str, int]) -> list[Held]:
    """Every session of the store, with its bytes."""
    found: list[Held] = []
    for row in conn.execute(_HELD, (PID,)):
        sid, agent, cwd, first, last, ended, pid, told_pid, *times = row
        known = [time for time in times if time]
        pids = {int(one) for one in (pid, told_pid) if one is not None and str(one).isdecimal()}
        active = max(known) if known else None
        size = shares.get(sid, 0)
        found.append(
            Held(sid, agent, cwd, first, last, active, bool(ended), tuple(sorted(pids)), size)
        )
    return found


def is_over(one: Held, now: float, is_alive: IsAlive) -> bool:
    """Whether a session may be taken out. One of which no time is known never is."""
    if one.active is None:
        return False
    silence = now - one.active
    if silence < (RECENT if one.has_ended else SILENT):
        return False
    return not any(is_alive(pid, one.active) for pid in one.pids)


def make(
    policy: Policy, sessions: Sequence[Held], size: int, now: float, is_alive: IsAlive
) -> Plan:
    """Decides over a store that takes `size` bytes."""
    going: list[Going] = []
    kept, left = 0, size
    for one in sorted(sessions, key=lambda one: (one.active or 0.0, one.sid)):
        why = _reason(policy, one, left, now)
        if why is None:
            continue
        if is_over(one, now, is_alive):
            going.append(Going(one, why))
            left -= one.bytes
        else:
            kept += 1
    return Plan(going, len(sessions), kept, size, left)


def _reason(policy: Policy, one: Held, left: int, now: float) -> Literal["age", "size"] | None:
    if policy.days is not None and now - (one.active or now) > policy.days * DAY:
        return "age"
    if policy.max_size is not None and left > policy.max_size:
        return "size"
    return None
