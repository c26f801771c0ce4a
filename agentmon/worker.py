"""The headless commands: ingesting, following, and examining."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agentmon import config, logfile
from agentmon.core.text import clean, one_line
from agentmon.engine import cleaning
from agentmon.engine.ingest import Ingestion, Progress, Summary
from agentmon.engine.places import found_logs, limits, policy
from agentmon.report import doctor, render, retention
from agentmon.report.words import counted, span
from agentmon.sources.identity import standard_path
from agentmon.sources.paths import Root, expand
from agentmon.store import db, search_db, search_index
from agentmon.store.retention import ledger, pages


def ingest(
    data_dir: Path,
    paths: Sequence[str],
    *,
    reprocess: bool,
    progress: bool,
    forced: str | None = None,
    is_found: bool = False,
) -> tuple[dict[str, object], list[str]]:
    """Reads paths to their end; the summary, and what could not be read. Raises StoreError.

    `is_found`: nobody named these files; what is no log among them is passed over.
    """
    with Ingestion(data_dir, forced=forced) as run:
        if reprocess:
            run.reprocess()
        on_progress = _print_progress if progress else None
        if is_found:
            roots = [Root(standard_path(path)) for path in paths]
            run.read_inputs(expand(roots, follow=False), on_progress)
        elif paths:
            run.read_all(paths, on_progress=on_progress)
        summary = run.summary()
    if not progress:
        _derive(data_dir)
    nothing = paths and not run.engine.input_count and not summary.problems
    problems = [f"no logs below {', '.join(paths)}"] if nothing else summary.problems
    problems += sorted(run.engine.notes.values())
    return msgspec.to_builtins(summary), problems


def _derive(data_dir: Path) -> None:
    """What the calls that were read amount to; who waits for us does this himself. Raises
    StoreError."""
    from agentmon.collab.deriving import catch_up
    from agentmon.collab.rules import RULES

    try:
        catch_up(data_dir, RULES)
    except (OSError, sqlite3.Error) as problem:
        raise db.StoreError(db.cannot(data_dir, "derive from", problem)) from problem


def _print_progress(progress: Progress) -> None:
    """For the process that waits for us: bytes read, bytes left."""
    sys.stdout.write(f"[{progress.bytes_read}, {progress.bytes_left}]\n")
    sys.stdout.flush()


def summary_text(summary: dict[str, object]) -> str:
    """A few lines for a person."""
    found = msgspec.convert(summary, Summary)
    counts, tables = found.counts, found.tables
    rate = found.bytes_read / found.seconds if found.seconds > 0 else 0.0
    lines = [
        f"read {render.size(found.bytes_read)} in {found.seconds:.1f} s "
        f"({render.size(int(rate))}/s), peak memory {found.peak_memory_mb:.0f} MB",
        f"sessions {tables['sessions']}, rounds {tables['rounds']}, "
        f"messages {tables['messages']}, blocks {tables['content_blocks']}, "
        f"tool results {tables['tool_results']}",
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counts.items()),
    ]
    return "\n".join(lines)


if TYPE_CHECKING:  # asyncio and aiosqlite cost a tenth of a second
    from agentmon.engine.live import Live


def follow(
    data_dir: Path,
    paths: Sequence[str],
    settings: config.Settings,
    forced: str | None = None,
    *,
    redis: str | None = None,
) -> int:
    """Ingests as the logs grow, until SIGINT (130) or SIGTERM (0); the exit code.

    Raises StoreError.
    """
    from agentmon.engine.live import Live

    logfile.keep(config.state_dir(os.environ))
    beside = ()
    if redis is not None:
        from agentmon.engine.mirroring import Mirror

        mirror = Mirror.at(redis, data_dir)
        beside, paths = (mirror,), (*paths, mirror.folder)
    feed = Live(
        data_dir,
        paths,
        limits(settings),
        poll=settings.follow.poll,
        forced=forced,
        retention=policy(settings),
        searching=settings.search,
        beside=beside,
    )
    return asyncio.run(_follow(feed))


async def _follow(feed: "Live") -> int:
    if db.writer_of(feed.data_dir) is not None:
        db.WriterLock(feed.data_dir).acquire()  # raises, naming who has it
    ended = asyncio.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, end, 130)
    loop.add_signal_handler(signal.SIGTERM, end, 0)
    await feed.start()
    try:
        shown: str | None = None
        while not ended.is_set():
            problem = feed.status().problem
            if problem is not None and problem != shown:
                sys.stderr.write(f"agentmon: {clean(problem, newline=False)}\n")
            shown = problem
            try:
                await asyncio.wait_for(ended.wait(), 0.5)
            except TimeoutError:
                continue
    finally:
        await feed.stop()
    return codes[0]


def examine(
    settings: config.Loaded | config.ConfigError, data_dir: Path | None
) -> tuple[str, object, bool]:
    """(text, plain values, whether anything failed) of `doctor`."""
    known = settings.settings if isinstance(settings, config.Loaded) else config.Settings()
    where = data_dir or config.data_dir(known, os.environ)
    encoding = sys.stdout.encoding or "ascii"
    checks = doctor.examine(
        terminal=doctor.terminal(os.environ, encoding, sys.stdout.fileno()),
        settings=settings,
        discovery=found_logs(known),
        data_dir=where,
        store=_check_store,
    )
    at = next((n for n, check in enumerate(checks, 1) if check.name == "store"), len(checks))
    if all(check.status != "fail" for check in checks if check.name == "store"):
        checks[at:at] = _check_retention(where, known)
    checks += _check_capture(where, config.capture_dir(known, os.environ))
    if db.database(where).exists():
        checks.append(_check_search(where, known.search))
        checks += _check_mail(where)
    checks += _check_redis(where, known.redis)
    text = doctor.checks_text(checks)
    return text, msgspec.to_builtins(checks), doctor.has_failed(checks)


def _check_capture(data_dir: Path, folder: Path) -> list[doctor.Check]:
    """Through what agents are seen, and what their clients tell."""
    from agentmon.report import capturing

    beside = [*capturing.check_taps(folder), *capturing.check_hooks(os.environ, Path.cwd())]
    try:
        conn = db.open_reading(data_dir)
    except db.StoreError:
        return [capturing.check_capture(None, time.time()), *beside]
    try:
        return [capturing.check_capture(conn, time.time()), *beside]
    except sqlite3.Error:
        return beside  # told by another check
    finally:
        conn.close()


def _check_redis(data_dir: Path, known: config.Redis) -> list[doctor.Check]:
    """The server by which agents talk, and what waits for one; nothing where neither is there."""
    found: list[doctor.Check] = []
    if known.url:
        from agentmon.collab import redis_health

        health = redis_health.examine(known.url)
        if health.problem:
            message = f"{health.address} does not answer: {health.problem}"
            remedy = "start it, or correct redis.url; until then messages wait in the store"
            found.append(doctor.Check("redis", "fail", message, remedy))
        else:
            message = (
                f"{health.address} answers in {health.seconds * 1000:.1f} ms, version"
                f" {health.version}, {counted(health.agents, 'agent')} took part"
            )
            parts = [message, *(flaw for flaw, _ in health.flaws)]
            parts += [f"{health.refused} entries were no messages"] * bool(health.refused)
            remedy = "; ".join(remedy for _, remedy in health.flaws)
            found.append(
                doctor.Check("redis", "warn" if remedy else "ok", "; ".join(parts), remedy)
            )
    return [*found, *_check_outbox(data_dir)]


def _check_outbox(data_dir: Path) -> list[doctor.Check]:
    from agentmon.collab import outbox

    try:
        conn = db.open_reading(data_dir)
    except db.StoreError:
        return []  # told by another check
    try:
        waiting = outbox.backlogs(conn)
    except sqlite3.Error:
        return []
    finally:
        conn.close()
    return [
        doctor.Check(
            "outbox",
            "warn",
            f"{counted(one.count, 'message')} for {one.transport}, waiting for"
            f" {span(max(time.time() - one.since, 0.0))}",
            "they go when an agent here sends or listens by it",
        )
        for one in waiting
    ]


def _check_store(data_dir: Path) -> doctor.Check:
    """Schema, integrity and writer of the store."""
    if not db.database(data_dir).exists():
        return doctor.Check("store", "ok", "nothing stored yet")
    try:
        conn = db.open_reading(data_dir)
    except db.StoreError as problem:
        return doctor.Check("store", "fail", str(problem), "give another --data-dir, or upgrade")
    try:
        (verdict,) = conn.execute("PRAGMA quick_check(1)").fetchone()
        version = db.version_of(conn)
    except sqlite3.Error as problem:
        return doctor.Check(
            "store", "fail", f"cannot read it: {problem}", "restore or move it away"
        )
    finally:
        conn.close()
    if verdict != "ok":
        return doctor.Check("store", "fail", f"damaged: {verdict}", "move it away and ingest again")
    writer = db.writer_of(data_dir)
    who = f", written by pid {writer}" if writer else ""
    return doctor.Check("store", "ok", f"schema {version}, sound{who}")


def _check_retention(data_dir: Path, settings: config.Settings) -> list[doctor.Check]:
    """What the store takes, and what the policy would take out of it."""
    if not db.database(data_dir).exists():
        return []
    conn = db.open_reading(data_dir)
    try:
        if db.version_of(conn) != db.SCHEMA_VERSION:
            return []  # told again once it was opened for writing
        now, wanted = time.time(), policy(settings)
        found = cleaning.survey(conn, data_dir, wanted, now)
        run, totals = ledger.last_run(conn), ledger.totals(conn)
        is_incremental = pages.is_incremental(conn)
    except sqlite3.Error as problem:
        return [doctor.Check("sizes", "warn", f"cannot be read: {problem}")]
    finally:
        conn.close()
    return [
        retention.check_sizes(found.sizes, is_incremental=is_incremental),
        retention.check_policy(wanted, found.plan, run, totals, now),
    ]


def _check_search(data_dir: Path, limits: config.Search) -> doctor.Check:
    """How large the index of search is, how far it is, and since when."""
    name = "search"
    index = search_db.open_reading(data_dir)
    if index is None:
        return doctor.Check(name, "ok", "no index yet: it is made while agentmon runs")
    try:
        main = db.open_reading(data_dir)
        try:
            left = search_index.Indexer(data_dir, main, index, limits).left()
        finally:
            main.close()
        (count,) = index.execute("SELECT COUNT(*) FROM docs WHERE kind > 0").fetchone()
        size, floor = search_db.size(index), int(search_db.read_state(index).get("floor", 0))
    except (sqlite3.Error, db.StoreError) as problem:
        remedy = "agentmon search --rebuild"
        return doctor.Check(name, "warn", f"the index cannot be read: {problem}", remedy)
    finally:
        index.close()
    words = [f"{count:,} texts", f"{render.size(size)} of {render.size(limits.max_size)}"]
    if left:
        words.append(f"about {left:,} to index")
    if floor:
        day = datetime.fromtimestamp(floor / search_db.TICKS).astimezone().strftime("%Y-%m-%d")
        words.append(f"older than {day} left it (search.max_size)")
    return doctor.Check(name, "ok", ", ".join(words))


def _check_mail(data_dir: Path) -> list[doctor.Check]:
    """Messages between agents that nobody reads, and how far they are derived."""
    from agentmon.collab import alarms, archive
    from agentmon.collab.deriving import Deriver
    from agentmon.collab.rules import RULES

    try:
        conn = db.open_reading(data_dir)
        try:
            if db.version_of(conn) != db.SCHEMA_VERSION:
                return []  # told again once it was opened for writing
            counts = archive.counts(conn)
            found, wrong = alarms.alarms(conn, time.time(), 1), alarms.count(conn, time.time())
            left = Deriver(data_dir, conn, RULES).left()
        finally:
            conn.close()
    except (sqlite3.Error, db.StoreError) as problem:
        return [doctor.Check("messages", "warn", f"cannot be read: {problem}")]
    words = [f"{counts.total:,} archived", f"{counts.unread:,} unread"]
    if left:
        words.append(f"about {left:,} rows to derive from")
    if not found:
        return [doctor.Check("messages", "ok", ", ".join(words))]
    first = found[0]
    to = f"{one_line(first.sender, 40)} to {one_line(first.receiver, 40)}"
    plural = "s" if wrong > 1 else ""
    words.append(f"{wrong:,} alarm{plural}: the last from {to}, {first.kind}: {first.evidence}")
    return [doctor.Check("messages", "warn", ", ".join(words), "agentmon messages --unread")]
