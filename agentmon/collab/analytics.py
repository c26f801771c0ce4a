"""What work adds up to: sums by day, the last week, balance between agents, utilisation.

Days are UTC. Everything is computed from the work log and what the sessions themselves did;
`rebuild` writes the sums into the table `daily_metrics`, beside what messages count there
(`messages_sent`, `messages_received`).

*Balance*: of each of events, commits, lines (added and deleted), tool calls, busy time and tokens
an agent's share is what it did of what all did; its share of the work is the mean over those of
which there are any. With n agents each one's fair share is 100/n, and its *fair floor* is as far
below that, in proportion, as the weaker of two is at the threshold: 100/n · (100 - threshold)/50,
never more than the fair share. At 70 that is 30 % of two, 20 % of three, 15 % of four. Of little
work shares say little: nobody is warned of before all together did `LEAST` things.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from agentmon.collab import presence, work_sums
from agentmon.collab.presence import Presence, State
from agentmon.collab.worklog import WorkEvent, decoded
from agentmon.core.moments import Span, seconds
from agentmon.store import db

CORE = ("tool_calls", "tokens", "busy_seconds", "blocked_seconds")
"""Daily metrics that come from the sessions."""
METRICS = (*work_sums.METRICS, *CORE)
"""Daily metrics that `rebuild` writes."""
DIMENSIONS = ("events", "commits", "lines", "tool_calls", "busy_seconds", "tokens")
DAY = 86_400.0
LEAST = 10
"""Work events and tool calls of all agents; of fewer, one more or less is over 10 % of the work."""


class Share(Struct):
    """What an agent did within a window."""

    agent: str
    events: int = 0
    commits: int = 0
    lines: int = 0
    """Added and deleted."""
    tool_calls: int = 0
    busy_seconds: float = 0.0
    tokens: int = 0
    share: float = 0.0
    """Of the work, 0 to 100."""
    shares: dict[str, float | None] = field(default_factory=dict[str, float | None])
    """Of each dimension, 0 to 100; None: nobody did any."""


class Balance(Struct):
    """Who did how much, the most first; `warning` None: it is fair, or there is nobody to compare.

    `floor`, `threshold` and `least` are None where nothing was checked."""

    since: float
    until: float
    shares: list[Share]
    warning: str | None = None
    threshold: float | None = None
    floor: float | None = None
    least: int | None = None
    """Things that all together must have done before anybody is warned of."""

    @property
    def done(self) -> int:
        """Work events and tool calls of all."""
        return sum(one.events + one.tool_calls for one in self.shares)

    @property
    def is_little(self) -> bool:
        """Whether too little was done for a warning."""
        return self.least is not None and self.done < self.least


class Utilisation(Struct):
    """An agent's time within a window: seconds, and the spans that they are made of, in order."""

    agent: str
    busy: float
    blocked: float
    idle: float
    spans: list[tuple[float, float, State]]


class AgentWeek(Struct):
    """An agent's sums of seven days, and of the seven before."""

    agent: str
    now: dict[str, float]
    before: dict[str, float]


class Week(Struct):
    """Seven days (UTC) up to today."""

    since: float
    until: float
    agents: list[AgentWeek]
    totals: dict[str, float]
    totals_before: dict[str, float]
    busiest_day: str | None
    """The day with the most events; None: there are none."""


# Balance


def balance(
    conn: sqlite3.Connection, since: float, until: float, *, subagents: bool = False
) -> Balance:
    """Who did how much from `since` on, before `until`. What subagents did is the work of their
    session, unless they are to be agents of their own."""
    found: dict[str, Share] = {}
    owners: dict[str, str | None] = {}
    for one in presence.presences(conn, since, until, subagents=subagents):
        share = found.setdefault(one.agent, Share(one.agent))
        share.tool_calls = len(one.calls)
        share.tokens = sum(tokens for _, tokens in one.tokens)
        share.busy_seconds = seconds(one.busy)
    for event in _events(conn, since, until):
        name, sid = event.agent, event.session_id
        if not subagents and event.thread_agent and sid is not None:
            if sid not in owners:
                owners[sid] = presence.owner(conn, sid)
            name = owners[sid] or name
        share = found.setdefault(name, Share(name))
        sums = work_sums.of(event)
        share.events += 1
        share.commits += int(sums.get("commits", 0))
        share.lines += int(sums.get("lines_added", 0) + sums.get("lines_deleted", 0))
    there = [one for one in found.values() if any(getattr(one, name) for name in DIMENSIONS)]
    _divide(there)
    return Balance(since, until, sorted(there, key=lambda one: (-one.share, one.agent)))


def _divide(shares: Sequence[Share]) -> None:
    totals = {name: sum(getattr(one, name) for one in shares) for name in DIMENSIONS}
    for one in shares:
        one.shares = {
            name: 100 * getattr(one, name) / total if total else None
            for name, total in totals.items()
        }
        known = [share for share in one.shares.values() if share is not None]
        one.share = sum(known) / len(known) if known else 0.0


def fair_floor(agents: int, threshold: float) -> float:
    """The share below which one of so many agents does less than is fair."""
    return 0.0 if agents < 2 else 100 / agents * min(1.0, max(0.0, (100 - threshold) / 50))


def check_balance(
    conn: sqlite3.Connection,
    since: float,
    until: float,
    threshold: float = 70.0,
    *,
    subagents: bool = False,
    least: int = LEAST,
) -> Balance:
    """The balance, with a warning where one of several agents has more than the threshold (in
    percent) of the work, or less than its fair floor. One agent, or none, is never warned of.

    Nor is anybody before all together did `least` things, work events and tool calls: who began
    first has all of the work then, and seconds later it is even. They are counted rather than timed
    since what is logged from outside has no duration."""
    found = balance(conn, since, until, subagents=subagents)
    found.threshold, found.floor = threshold, fair_floor(len(found.shares), threshold)
    found.least = least
    if len(found.shares) < 2 or found.is_little:
        return found
    words = [
        f"{one.agent} does {one.share:.0f}% of the work, more than {threshold:g}%"
        for one in found.shares
        if one.share > threshold + _NOISE
    ]
    below = [one for one in found.shares if one.share < found.floor - _NOISE]
    if below:
        names = ", ".join(f"{one.agent} ({one.share:.0f}%)" for one in below[:5])
        more = f" and {len(below) - 5} more" if len(below) > 5 else ""
        does = "does" if len(below) == 1 else "do"
        words.append(f"{names}{more} {does} less than the fair floor of {found.floor:.0f}%")
    found.warning = "; ".join(words) or None
    return found


_NOISE = 1e-9


def utilisation(
    conn: sqlite3.Connection, since: float, until: float, *, subagents: bool = True
) -> list[Utilisation]:
    """When each agent was busy, blocked and idle (see `presence`)."""
    found = presence.presences(conn, since, until, subagents=subagents)
    return [_used(one) for one in found]


def _used(one: Presence) -> Utilisation:
    states: tuple[tuple[State, list[Span]], ...] = (
        ("busy", one.busy),
        ("blocked", one.blocked),
        ("idle", one.idle),
    )
    spans: list[tuple[float, float, State]] = [
        (start, end, state) for state, of in states for start, end in of
    ]
    busy, blocked, idle = (seconds(of) for _, of in states)
    return Utilisation(one.agent, busy, blocked, idle, sorted(spans))


# By day

Sums = Mapping[tuple[str, str, str], float]
"""(day, agent, metric) → value; zeros are left out."""


def daily(conn: sqlite3.Connection, since: float, until: float) -> Sums:
    """The sums of whole days, from the one of `since` up to `until`."""
    start = day_start(since)
    return {**_daily_work(conn, start, until), **_daily_core(conn, start, until)}


def _daily_work(conn: sqlite3.Connection, since: float, until: float) -> Sums:
    """Those that come from the work log."""
    found: dict[tuple[str, str, str], float] = {}
    for event in _events(conn, since, until):
        for metric, value in work_sums.of(event).items():
            key = (work_sums.day_of(event.time), event.agent, metric)
            found[key] = found.get(key, 0.0) + value
    return found


def _daily_core(conn: sqlite3.Connection, since: float, until: float) -> Sums:
    """Those that come from the sessions."""
    found: dict[tuple[str, str, str], float] = {}

    def add(day: str, agent: str, metric: str, value: float) -> None:
        if value:
            key = (day, agent, metric)
            found[key] = found.get(key, 0.0) + value

    for one in presence.presences(conn, since, until):
        for at in one.calls:
            add(work_sums.day_of(at), one.agent, "tool_calls", 1)
        for at, tokens in one.tokens:
            add(work_sums.day_of(at), one.agent, "tokens", tokens)
        for metric, spans in (("busy_seconds", one.busy), ("blocked_seconds", one.blocked)):
            for day, length in _by_day(spans):
                add(day, one.agent, metric, length)
    return {key: round(value, 6) for key, value in found.items()}


def _by_day(spans: Iterable[Span]) -> Iterator[tuple[str, float]]:
    for begun, end in spans:
        start = begun
        while start < end:
            stop = min(end, day_start(start) + DAY)
            yield work_sums.day_of(start), stop - start
            start = stop


def day_start(time: float) -> float:
    """The begin of the day of a moment, UTC."""
    return time - time % DAY


def rebuild(conn: sqlite3.Connection, since: float, until: float) -> None:
    """Writes the sums of whole days into `daily_metrics` anew, but for what messages count, in a
    transaction of its own. Sums of days from which cleanup took sessions out become no smaller:
    what these did is told by nothing else any more."""
    core = _daily_core(conn, day_start(since), until)  # long, and nobody else counts it: before
    with db.transaction(conn):
        _write(conn, since, until, core)


def _write(conn: sqlite3.Connection, since: float, until: float, core: Sums) -> None:
    # events of a clock that goes ahead are of this day as well, and were counted with it
    found = {**_daily_work(conn, day_start(since), day_start(until) + DAY), **core}
    days = work_sums.day_of(since), work_sums.day_of(until)
    for day, agent, metric, value in conn.execute(_OF_GONE, (*days, *CORE)).fetchall():
        found[day, agent, metric] = max(value, found.get((day, agent, metric), 0.0))
    marks = ", ".join("?" * len(METRICS))
    conn.execute(
        f"DELETE FROM daily_metrics WHERE day BETWEEN ? AND ? AND metric IN ({marks})",
        (*days, *METRICS),
    )
    work_sums.put(conn, ((*key, value) for key, value in found.items()))


_OF_GONE = f"""
SELECT day, agent, metric, value FROM daily_metrics
WHERE day BETWEEN ? AND ? AND metric IN ({", ".join("?" * len(CORE))}) AND EXISTS (
  SELECT 1 FROM removals r WHERE r.state IN ('leaving', 'gone')
    AND day BETWEEN date(r.first_time, 'unixepoch') AND date(r.last_time, 'unixepoch'))
"""


def per_day(conn: sqlite3.Connection, metric: str, days: int, now: float) -> dict[str, list[float]]:
    """Each agent's values of the last days, today's last; agents without any are left out. What
    work and messages count is read from `daily_metrics`, where it is up to date at any time."""
    since = day_start(now) - (days - 1) * DAY
    names = _days(since, days)
    rows: Iterable[tuple[str, str, float]] = ()
    if metric in CORE:
        sums = _daily_core(conn, since, now).items()
        rows = [(day, agent, value) for (day, agent, name), value in sums if name == metric]
    elif names:
        rows = conn.execute(_OF_METRIC, (names[0], names[-1], metric)).fetchall()
    found: dict[str, list[float]] = {}
    for day, agent, value in rows:
        if day in names:
            found.setdefault(agent, [0.0] * days)[names.index(day)] += value
    return dict(sorted(found.items()))


_OF_METRIC = """
SELECT day, agent, value FROM daily_metrics WHERE day >= ? AND day <= ? AND metric = ?
"""


def _days(since: float, days: int) -> list[str]:
    first = datetime.fromtimestamp(since, UTC)
    return [f"{first + timedelta(days=number):%Y-%m-%d}" for number in range(days)]


def weekly_summary(conn: sqlite3.Connection, now: float) -> Week:
    """The last seven days (UTC, today is one of them), beside the seven before."""
    since = day_start(now) - 6 * DAY
    this, last = daily(conn, since, now), daily(conn, since - 7 * DAY, since)
    agents = sorted({agent for _, agent, _ in (*this, *last)})
    by_day: dict[str, float] = {}
    for (day, _, metric), value in this.items():
        if metric == "work_events":
            by_day[day] = by_day.get(day, 0.0) + value
    return Week(
        since,
        now,
        [AgentWeek(name, _sums(this, name), _sums(last, name)) for name in agents],
        _sums(this),
        _sums(last),
        max(by_day, key=lambda day: (by_day[day], day)) if by_day else None,
    )


def _sums(of: Sums, agent: str | None = None) -> dict[str, float]:
    found: dict[str, float] = dict.fromkeys(METRICS, 0.0)
    for (_, name, metric), value in of.items():
        if agent in (None, name):
            found[metric] += value
    return {metric: round(value, 6) for metric, value in found.items()}


_EVENTS = """
SELECT time, kind, agent, lines_added, lines_deleted, is_success, metadata, session_id,
       thread_agent
FROM work_events
WHERE time >= ? AND time < ?
"""


def _events(conn: sqlite3.Connection, since: float, until: float) -> Iterator[WorkEvent]:
    for row in conn.execute(_EVENTS, (since, until)):
        time, kind, agent, added, deleted, success, metadata, sid, thread = row
        yield WorkEvent(
            time=time,
            kind=kind,
            agent=agent,
            lines_added=added,
            lines_deleted=deleted,
            is_success=None if success is None else bool(success),
            metadata=decoded(metadata) if kind == "test_run" else {},
            session_id=sid,
            thread_agent=thread,
        )
