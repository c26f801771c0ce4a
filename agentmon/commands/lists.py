"""What is open, and where: sessions, pending calls, stalled agents, prompts without a stop."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click

from agentmon.commands import options
from agentmon.commands.options import (
    ascii_option,
    data_dir_option,
    json_option,
    parse_since,
    reading,
    since_option,
)

F = TypeVar("F", bound=Callable[..., Any])

_DAY = "24h"


def limit_option(fn: F) -> F:
    return click.option("--limit", type=click.IntRange(1), help="Only so many rows.")(fn)


@click.command()
@since_option
@limit_option
@ascii_option
@data_dir_option
@json_option
def sessions(
    since: str | None,
    limit: int | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """All sessions, newest activity first, and whether somebody is still there.

    The process is alive, dead or orphaned (gone with a round open), as the process table and stored
    verdicts have it; ended sessions ended in order; unknown ones name no process.

    \b
    agentmon sessions --since 2d
    agentmon sessions --json | jq -r '.[] | select(.liveness == "orphaned") | .sid'
    """
    from agentmon.commands import printing
    from agentmon.engine.places import limits
    from agentmon.report import listing, status

    now = options.now()
    begin = parse_since(since, now) if since else 0.0
    with reading(data_dir, ui__ascii=ascii_) as store:
        conn, judged = store.conn, limits(store.settings)
        as_of = status.time_of(conn, store.data_dir, now)
        found = islice(listing.sessions(conn, now, since=begin), limit)
        if as_json:
            options.print_rows(listing.session_json(conn, row, as_of, judged) for row in found)
            return
        paint = printing.painter(store.settings)
        rows = (listing.session_cells(row, as_of, judged, ascii=paint.ascii) for row in found)
        printing.print_table(listing.SESSIONS, rows, paint, nothing="no sessions")


@click.command()
@click.argument("session", metavar="[SID]", required=False)
@click.option("--tool", "tool_name", metavar="NAME", help="Only calls of this tool.")
@limit_option
@ascii_option
@data_dir_option
@json_option
def pending(
    session: str | None,
    tool_name: str | None,
    limit: int | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Tool calls whose result has not come, oldest first; of all sessions or of one.

    A call is pending from the end of its arguments until its result, or until something shows that
    it returned unseen. Without a running agentmon, times are as of when the store was written.

    \b
    agentmon pending --tool Bash
    agentmon pending api-server --json
    """
    from agentmon.commands import printing
    from agentmon.engine.places import limits
    from agentmon.report import listing, naming, status

    now = options.now()
    with reading(data_dir, ui__ascii=ascii_) as store:
        conn, judged = store.conn, limits(store.settings)
        sid = naming.the_session(conn, session) if session else None
        as_of = status.time_of(conn, store.data_dir, now)
        found = islice(listing.pending(conn, sid=sid, tool=tool_name), limit)
        if as_json:
            options.print_rows(listing.pending_json(row, as_of, judged) for row in found)
            return
        rows = (listing.pending_cells(row, as_of, judged) for row in found)
        paint = printing.painter(store.settings)
        printing.print_table(listing.PENDING, rows, paint, nothing="no calls are pending")
        printing.say_age(now - as_of)


@click.command()
@click.option("--threshold", metavar="TIME", help="Silence from so long on, such as 10s.")
@since_option
@ascii_option
@data_dir_option
@json_option
def stalled(
    threshold: str | None,
    since: str | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Agents that owe a byte and are silent for too long.

    Judged as on the board: against the setting health.stalled_after and what is usual for the
    agent. With --threshold that alone counts. Looks at agents active since 24h (--since).

    \b
    agentmon stalled
    agentmon stalled --threshold 10s --json
    """
    from agentmon.commands import printing
    from agentmon.engine.places import limits
    from agentmon.report import listing, status

    now = options.now()
    from_on = options.seconds(threshold, "--threshold") if threshold else None
    with reading(data_dir, ui__ascii=ascii_) as store:
        conn, judged = store.conn, limits(store.settings)
        as_of = status.time_of(conn, store.data_dir, now)
        begin = parse_since(since or _DAY, as_of)
        found = listing.stalled(conn, as_of, judged, since=begin, threshold=from_on)
        if as_json:
            options.print_rows(listing.stalled_json(row, as_of) for row in found)
            return
        rows = (listing.stalled_cells(row, as_of) for row in found)
        paint = printing.painter(store.settings)
        printing.print_table(listing.STALLED, rows, paint, nothing="no agent is stalled")
        printing.say_age(now - as_of)


@click.command()
@click.argument("session", metavar="[SID]", required=False)
@since_option
@limit_option
@ascii_option
@data_dir_option
@json_option
def unbalanced(
    session: str | None,
    since: str | None,
    limit: int | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prompts without a stop, newest first, and why they have none.

    running; aborted (given up); orphaned (its process is gone); next prompt, session end or resume
    (what came after it shows that it is over); end not told (a log that has no ends of turns).

    \b
    agentmon unbalanced --since 1d
    agentmon unbalanced --json | jq -r '.[] | select(.why == "orphaned") | .sid'
    """
    from agentmon.commands import printing
    from agentmon.report import listing, naming, status

    now = options.now()
    with reading(data_dir, ui__ascii=ascii_) as store:
        conn = store.conn
        sid = naming.the_session(conn, session) if session else None
        as_of = status.time_of(conn, store.data_dir, now)
        begin = parse_since(since, now) if since else 0.0
        found = islice(listing.unbalanced(conn, now, sid=sid, since=begin), limit)
        if as_json:
            options.print_rows(listing.unbalanced_json(row, as_of) for row in found)
            return
        rows = (listing.unbalanced_cells(row, as_of) for row in found)
        paint = printing.painter(store.settings)
        printing.print_table(listing.UNBALANCED, rows, paint, nothing="every prompt has its stop")
