"""A run of cleanup, or of restore, by the process that holds the store's lock and nothing else.

What a live agentmon does in slices (`engine.retaining`) is done here in one go.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from agentmon.sources import procs
from agentmon.store import db
from agentmon.store.deltas import DeltaFiles
from agentmon.store.open import OpenStore
from agentmon.store.retention import departing, finding, ledger, pages
from agentmon.store.retention import plan as plans
from agentmon.store.retention.archive import Checked
from agentmon.store.retention.leaving import Spoke, finish
from agentmon.store.retention.pack import BadArchive
from agentmon.store.retention.plan import Going, Plan, Policy
from agentmon.store.retention.reports import Gone, Report, Restored
from agentmon.store.retention.sizes import Sizes, Weight, measure, shares, weights


def is_alive(pid: int, at: float) -> bool:
    """Whether the process that had this pid at that time still runs."""
    if not procs.is_running(pid):
        return False
    born = procs.born_at(pid)
    return born is None or born <= at + procs.BIRTH_TOLERANCE


class Survey(Struct):
    """What is in a store, and what is to go of it."""

    plan: Plan
    sizes: Sizes
    weights: dict[str, Weight]


def survey(
    conn: sqlite3.Connection,
    data_dir: Path,
    policy: Policy,
    now: float,
    alive: plans.IsAlive = is_alive,
    rest: Callable[[], None] = lambda: None,
) -> Survey:
    """Looks at every session; changes nothing."""
    found = weights(conn, rest)
    sizes = measure(conn, data_dir, found)
    held = plans.held(conn, shares(found, sizes))
    return Survey(plans.make(policy, held, sizes.store, now, alive), sizes, found)


def report_of(policy: Policy, found: Survey) -> Report:
    """As a dry run says it."""
    plan = found.plan
    gone = [gone_of(going) for going in plan.going]
    return Report(
        True, policy, gone, plan.sessions, plan.kept, found.sizes, expected=max(0, plan.left)
    )


def gone_of(going: Going) -> Gone:
    held = going.held
    return Gone(held.sid, held.agent, held.cwd, held.last_time, going.why, held.bytes, "planned")


def note(gone: Gone, departure: departing.Departure) -> None:
    """A session has gone."""
    gone.outcome = "deleted" if departure.file is None else "archived"
    gone.file, gone.archive_bytes = departure.file, departure.archive_bytes


def close_report(report: Report, conn: sqlite3.Connection, data_dir: Path, found: Survey) -> Report:
    """After the run: what the store takes now."""
    report.is_dry = False
    gone = {one.sid for one in report.gone}
    left = {sid: one for sid, one in found.weights.items() if sid not in gone}
    report.after = measure(conn, data_dir, left)
    return report


def dry_run(data_dir: Path, policy: Policy, now: float) -> Report:
    """What a run would do now; for everybody who can read the store. Raises StoreError."""
    conn = db.open_reading(data_dir)
    try:
        return report_of(policy, survey(conn, data_dir, policy, now))
    except sqlite3.Error as problem:  # an older schema: the next start brings it up to date
        raise db.StoreError(db.cannot(data_dir, "read", problem)) from problem
    finally:
        conn.close()


def archived(data_dir: Path) -> list[ledger.Removal]:
    """What can be restored, the latest first. Raises StoreError."""
    conn = db.open_reading(data_dir)
    try:
        return ledger.archived(conn)
    except sqlite3.Error as problem:
        raise db.StoreError(db.cannot(data_dir, "read", problem)) from problem
    finally:
        conn.close()


def clean(
    data_dir: Path,
    policy: Policy,
    now: float,
    *,
    compacts: bool = False,
    tell: Callable[[Gone], None] = lambda _: None,
) -> Report:
    """Carries a policy out. Raises StoreError, also where another process writes the store."""
    store = OpenStore(data_dir)
    files = DeltaFiles(data_dir)
    try:
        found = survey(store.conn, data_dir, policy, now)
        report = report_of(policy, found)
        run_id = ledger.begin_run(store.conn, "command", policy.action, now)
        for gone in report.sessions:
            try:
                _depart(store.conn, data_dir, files, gone, policy, now)
            except (OSError, sqlite3.Error) as problem:
                report.problems.append(db.cannot(data_dir, "clean", problem))
                break
            tell(gone)
        give_back(store.conn, data_dir, compacts=compacts)
        close_report(report, store.conn, data_dir, found)
        end_run(store.conn, run_id, report, now)
        return report
    except sqlite3.Error as problem:
        raise db.StoreError(db.cannot(data_dir, "clean", problem)) from problem
    finally:
        files.close()
        store.close()


def end_run(conn: sqlite3.Connection, run_id: int, report: Report, now: float) -> None:
    ledger.end_run(conn, run_id, now, len(report.gone), report.freed or 0)


def _depart(
    conn: sqlite3.Connection,
    data_dir: Path,
    files: DeltaFiles,
    gone: Gone,
    policy: Policy,
    now: float,
) -> None:
    archives = policy.action == "archive"
    departure = departing.begin(
        conn, data_dir, gone.sid, archives=archives, size=gone.bytes, now=now
    )
    work = None
    try:
        departing.write(departure, conn)
        work = departing.leaving(departure)
        finish(work, conn, files)
    except Spoke:
        departing.give_up(conn, departure)
        gone.outcome = "kept"
        return
    except (OSError, sqlite3.Error):
        if work is None:
            departing.give_up(conn, departure)
        raise
    note(gone, departure)


def give_back(conn: sqlite3.Connection, data_dir: Path, *, compacts: bool) -> None:
    """Free pages and the write-ahead log, to the file system."""
    if compacts:
        pages.compact(conn, data_dir)
    while pages.give_back_some(conn):
        continue
    pages.truncate_wal(conn)


def restore(data_dir: Path, name: str, now: float) -> Restored:
    """Brings a session back. Raises StoreError and CannotRestore."""
    store = OpenStore(data_dir)
    files = DeltaFiles(data_dir)
    try:
        found = finding.find(store.conn, data_dir, name)
        checked = finding.check(store.conn, data_dir, found)
        with closing(finding.begin(store.conn, data_dir, found, checked, now)) as work:
            finish(work, store.conn, files)
        return restored(found, checked, work.left)
    except BadArchive as problem:
        raise finding.CannotRestore(f"cannot restore {name}: {problem}") from problem
    except (OSError, sqlite3.Error) as problem:
        raise db.StoreError(db.cannot(data_dir, "restore into", problem)) from problem
    finally:
        files.close()
        store.close()


def restored(found: finding.Found, checked: Checked, left: int) -> Restored:
    head = checked.head
    files = sum(member.path is not None for member in checked.members.values())
    return Restored(
        head.sid,
        head.agent,
        head.cwd,
        head.last_time,
        checked.rows,
        files,
        left,
        str(found.path),
        found.file is not None and not found.path.exists(),
    )
