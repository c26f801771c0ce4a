"""What agents did, who last touched a file and why, and how the work is shared."""

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    ascii_option,
    data_dir_option,
    json_option,
    parse_since,
    reading,
    since_option,
)
from agentmon.commands.writing import speaker, writing
from agentmon.core.text import clean

if TYPE_CHECKING:
    from agentmon.collab.worklog import Touch
    from agentmon.report.table import Painter


@click.command()
@click.option("--agent", metavar="NAME", help="Only this agent's; with --add whose it is.")
@click.option("--kind", metavar="KIND", help="Only these, such as git_commit or test_run.")
@since_option
@click.option("--file", "path", metavar="PATH", help="Who touched a file: in which round, why.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--add", metavar="KIND", help="Log something, such as file_modified or review.")
@click.option("--summary", default="", help="With --add: in words.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="With --add: a file of it.")
@click.option("--added", type=click.IntRange(0), help="With --add: lines added.")
@click.option("--deleted", type=click.IntRange(0), help="With --add: lines deleted.")
@click.option("--commit", metavar="HASH", help="With --add: the commit.")
@click.option("--success/--failure", default=None, help="With --add: how it went.")
@click.option("--metadata", metavar="JSON", help="With --add: an object with more.")
@ascii_option
@data_dir_option
@json_option
def work(
    agent: str | None,
    kind: str | None,
    since: str | None,
    path: str | None,
    limit: int,
    add: str | None,
    summary: str,
    paths: tuple[str, ...],
    added: int | None,
    deleted: int | None,
    commit: str | None,
    success: bool | None,
    metadata: str | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """What agents did, newest first: files, commits, tests, deployments, and what they logged.

    Most of it is derived from their calls as logs are read. A sign says how it went: "×" it failed,
    "?" nobody told. Lines are those added and deleted, "—" where they are not known.

    \b
    agentmon work --kind git_commit --since 2d
    agentmon work --file src/api.py
    agentmon work --add review --agent ada --path src/api.py --summary "two remarks"
    """
    of_add = (paths, added, deleted, commit, success, metadata, summary or None)
    if add is None and any(value not in (None, ()) for value in of_add):
        raise click.UsageError("--path, --added and the like go with --add KIND")
    if add is not None:
        if path is not None or kind is not None or since is not None:
            raise click.UsageError("--file, --kind and --since list, --add logs: give one of them")
        given = {
            "kind": add,
            "summary": summary,
            "lines_added": added,
            "lines_deleted": deleted,
            "commit_hash": commit,
            "is_success": success,
            "metadata": _object(metadata),
        }
        _add(agent, paths, given, data_dir, as_json)
        return
    from agentmon.collab import worklog
    from agentmon.commands import printing, work_lists

    begin = parse_since(since, options.now()) if since else None
    with reading(data_dir, ui__ascii=ascii_) as store:
        paint = printing.painter(store.settings)
        if path is not None:
            known = _file(store.conn, path)
            found = worklog.last_touched(
                store.conn, known, limit, agent=agent, kind=kind, since=begin
            )
            _show_touches(found, path, as_json, paint)
            return
        found = worklog.recent(store.conn, agent=agent, kind=kind, since=begin, limit=limit)
        if as_json:
            options.print_rows(map(work_lists.event_json, found))
            return
        rows = map(work_lists.event_cells, found)
        printing.print_table(work_lists.EVENTS, rows, paint, nothing="no work is logged")


def _file(conn: sqlite3.Connection, path: str) -> str:
    """The logged file that is meant. Raises Failure where it may be several."""
    from agentmon.collab import worklog

    known = worklog.paths_like(conn, os.path.abspath(path)) or worklog.paths_like(conn, path)
    if len(known) > 1:
        shown = ", ".join(known[:4])
        raise Failure(f"more than one file answers to {path!r}: {shown}")
    return known[0] if known else path


def _show_touches(found: Sequence["Touch"], path: str, as_json: bool, paint: "Painter") -> None:
    from agentmon.commands import printing, work_lists

    if as_json:
        options.print_rows(map(work_lists.touch_json, found))
        return
    rows = map(work_lists.touch_cells, found)
    nothing = f"nobody is known to have touched {clean(path, newline=False)}"
    printing.print_table(work_lists.TOUCHES, rows, paint, nothing=nothing)


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise click.BadParameter("give a JSON object", param_hint="--metadata") from problem
    if not isinstance(value, dict):
        raise click.BadParameter("give a JSON object", param_hint="--metadata")
    return cast("dict[str, Any]", value)


def _add(
    agent: str | None,
    paths: tuple[str, ...],
    given: dict[str, Any],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    from agentmon.collab import worklog
    from agentmon.store import db

    files = [worklog.WorkFile(os.path.abspath(path)) for path in paths if path]
    if len(files) == 1:
        files[0].lines_added, files[0].lines_deleted = given["lines_added"], given["lines_deleted"]
    with writing(data_dir) as store:
        who = speaker(agent or None, store.settings)
        event = worklog.WorkEvent(agent=who, time=options.now(), files=files, **given)
        try:
            with db.transaction(store.conn):
                worklog.add(store.conn, event)
        except worklog.WorkError as problem:
            raise Failure(str(problem)) from problem
    if as_json:
        from agentmon.commands.work_lists import event_json

        options.print_json(event_json(event))
    else:
        click.echo(event.event_id)


@click.command()
@click.option("--days", type=click.IntRange(1, 3660), help="Over so many days (default: 7).")
@since_option
@click.option(
    "--threshold",
    default=70.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="Percent of the work that one agent may have.",
)
@click.option("--subagents", is_flag=True, help="Subagents as agents of their own.")
@click.option("--rebuild", is_flag=True, help="Write the sums of these days anew, for `sql`.")
@click.option("--week", is_flag=True, help="Sums of the last seven days beside the seven before.")
@ascii_option
@data_dir_option
@json_option
def balance(
    days: int | None,
    since: str | None,
    threshold: float,
    subagents: bool,
    rebuild: bool,
    week: bool,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """How the work is shared between agents, and when they were busy, blocked, idle.

    An agent's share is the mean of its shares of events, commits, lines, tool calls, busy time and
    tokens. A warning says who has more than --threshold, or less than the fair floor: as far below
    an even share as the weaker of two is at the threshold (30% of two, 20% of three at 70); none
    before all together did 10 things (the setting balance.least). What subagents did is their
    session's.

    Sums by day (UTC) are in the table daily_metrics: of work and messages at once, of sessions
    (tool_calls, tokens, busy_seconds, blocked_seconds) after --rebuild.

    \b
    agentmon balance --days 1
    agentmon balance --json | jq -r .warning
    """
    from agentmon.collab import analytics
    from agentmon.commands import printing, work_lists

    if (days is not None) + (since is not None) + week > 1:
        raise click.UsageError("give one of --days, --since and --week")
    now = options.now()
    begin = parse_since(since, now) if since else now - (days or 7) * 86_400
    if rebuild:
        with writing(data_dir) as store:
            analytics.rebuild(store.conn, begin, now)
    with reading(data_dir, ui__ascii=ascii_) as store:
        paint, width = printing.painter(store.settings), printing.width()
        if week:
            summary = analytics.weekly_summary(store.conn, now)
            if as_json:
                options.print_json(work_lists.week_json(summary))
            else:
                printing.print_lines(work_lists.week_text(summary, width, paint), paint)
            return
        least = store.settings.balance.least
        found = analytics.check_balance(
            store.conn, begin, now, threshold, subagents=subagents, least=least
        )
        used = analytics.utilisation(store.conn, begin, now, subagents=subagents)
        if as_json:
            options.print_json(work_lists.balance_json(found, used))
            return
        printing.print_lines(work_lists.balance_text(found, used, width, paint), paint)
