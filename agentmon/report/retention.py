"""What cleanup and restore say: for a terminal, as JSON, and in `doctor`."""

import msgspec

from agentmon.core.text import cut, fit, one_line
from agentmon.report.places import Check
from agentmon.report.words import UNKNOWN, age, size
from agentmon.store.retention.ledger import Removal, Run
from agentmon.store.retention.plan import Plan, Policy
from agentmon.store.retention.reports import Gone, Report, Restored
from agentmon.store.retention.sizes import Sizes

MUCH = 5 << 30
"""Bytes from which a store without any limit is worth a word."""

_FREE = 64 << 20
_DONE = {"archive": ("archive", "archived"), "delete": ("delete", "deleted")}


def cleanup_text(report: Report, now: float, width: int = 100) -> str:
    """What would go, or went, oldest first, and what that frees."""
    would, did = _DONE[report.policy.action]
    lines: list[str] = []
    if report.policy.is_on:
        what = f"would {would}" if report.is_dry else did
        which = f"{_count(len(report.gone), 'session')} of {report.in_store}"
        lines.append(f"{what} {which}: {_limits(report.policy)}")
    lines += [_line(one, now, width) for one in report.sessions]
    after = report.after
    if after is None:
        lines.append(
            f"the store takes {size(report.before.store)} and would take {size(report.expected)}"
        )
    else:
        lines.append(
            f"freed {size(report.freed)}: the store takes {size(after.store)}, "
            f"the archive {size(after.archive)}"
        )
    if report.kept:
        stay = "stays" if report.kept == 1 else "stay"
        lines.append(
            f"{_count(report.kept, 'session')} beyond the limits {stay}: not over, or active lately"
        )
    return "\n".join(lines)


def _line(one: Gone, now: float, width: int) -> str:
    why = "too old" if one.why == "age" else "too much"
    why = "stays: it spoke" if one.outcome == "kept" else why
    return _columns(one.sid[:8], one.agent, one.last_time, one.bytes, why, one.cwd, now, width)


def _columns(
    sid: str,
    agent: str | None,
    last: float | None,
    bytes_: int | None,
    why: str,
    cwd: str | None,
    now: float,
    width: int,
) -> str:
    """A session, with the age of its last sign of life."""
    since = UNKNOWN if last is None else age(now - last)
    said = f"  {fit(one_line(sid, 36), max(8, min(len(sid), 36)))}  "
    said += f"{fit(one_line(agent or UNKNOWN, 8), 8)}  {since:>4}  {size(bytes_):>8}  "
    said += f"{why}  " if why else ""
    return cut(said + one_line(cwd or UNKNOWN, width), width)


def _limits(policy: Policy) -> str:
    older = None if policy.days is None else f"older than {policy.days:g} days"
    beyond = None if policy.max_size is None else f"beyond {size(policy.max_size)}"
    return ", ".join(part for part in (older, beyond) if part)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def cleanup_json(report: Report) -> dict[str, object]:
    policy = report.policy
    return {
        "dry_run": report.is_dry,
        "action": policy.action,
        "days": policy.days,
        "max_size": policy.max_size,
        "sessions": msgspec.to_builtins(report.sessions),
        "sessions_in_store": report.in_store,
        "sessions_kept": report.kept,
        "before": sizes_json(report.before),
        "expected": report.expected,
        "after": None if report.after is None else sizes_json(report.after),
        "freed": report.freed,
        "problems": report.problems,
    }


def sizes_json(sizes: Sizes) -> dict[str, object]:
    return {"store": sizes.store, **msgspec.to_builtins(sizes)}


def restored_text(done: Restored) -> str:
    """What came back; an archive that is not ours is left where it is."""
    lines = [f"restored session {one_line(done.sid, 80)}: {done.rows:,} rows, {done.files:,} texts"]
    if done.left:
        lines.append(f"{done.left:,} rows were left out: other sessions hold their ids by now")
    if not done.is_removed:
        lines.append(f"{one_line(done.archive, 200)} stays where it is")
    return "\n".join(lines)


def archived_text(rows: list[Removal], now: float, width: int = 100) -> str:
    """Sessions that are archived, the latest first."""
    if not rows:
        return "no archived sessions"
    return "\n".join(
        _columns(r.session_id, r.agent, r.last_time, r.archive_bytes, "", r.cwd, now, width)
        for r in rows
    )


# -- doctor


def check_sizes(sizes: Sizes, *, is_incremental: bool) -> Check:
    """What each part of the store takes."""
    parts = [
        f"database {size(sizes.database)} ({size(sizes.free_pages)} of it free pages)",
        f"write-ahead log {size(sizes.wal)}",
        f"texts {size(sizes.texts)} in {_count(sizes.text_files, 'file')}",
        f"archive {size(sizes.archive)} in {_count(sizes.archives, 'file')}",
        "no search index" if sizes.search is None else f"search index {size(sizes.search)}",
    ]
    message = ", ".join(parts)
    values = {
        "database": sizes.database,
        "free_pages": sizes.free_pages,
        "wal": sizes.wal,
        "texts": sizes.texts,
        "text_files": sizes.text_files,
        "archive": sizes.archive,
        "search": sizes.search or 0,
    }
    if sizes.free_pages > _FREE and not is_incremental:
        remedy = (
            "agentmon cleanup --compact gives the free pages back, while agentmon is not running"
        )
        return Check("sizes", "warn", message, remedy, values)
    return Check("sizes", "ok", message, values=values)


def check_policy(
    policy: Policy, plan: Plan, run: Run | None, totals: tuple[int, int], now: float
) -> Check:
    """What is taken out daily, and what that would be now."""
    went = ""
    if any(totals):
        went = f"; so far {_count(totals[0], 'session')} archived, {totals[1]:,} deleted"
    if not policy.is_on:
        message = f"off, everything is kept: {_count(plan.sessions, 'session')}, {size(plan.size)}"
        if plan.size > MUCH:
            remedy = "set retention.max_size or retention.days, or run agentmon cleanup"
            return Check("retention", "warn", message + went, remedy)
        return Check("retention", "ok", message + went)
    freed = size(sum(going.held.bytes for going in plan.going))
    goes = "none would go now"
    if plan.going:
        goes = f"{_count(len(plan.going), 'session')} would go now ({freed})"
    last = "never run yet"
    if run is not None:
        when = age(now - run.started_at)
        last = (
            f"last run {when}{'' if when == 'now' else ' ago'}: "
            f"{_count(run.sessions, 'session')}, {size(run.bytes_freed)}"
        )
        if run.ended_at is None:
            last += " (interrupted)"
    message = f"{policy.action} daily {_limits(policy)}: {goes}; {last}{went}"
    return Check("retention", "ok", message)
