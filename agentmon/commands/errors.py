"""`agentmon errors`: which tools fail, how often, and how long calls take."""

from pathlib import Path

import click

from agentmon.commands import options
from agentmon.commands.options import (
    data_dir_option,
    json_option,
    reading,
    since_option,
)


@click.command()
@since_option
@click.option("--session", "name", metavar="SESSION", help="Only this session, by id or name.")
@click.option(
    "--agent",
    metavar="NAME",
    help='Only this product (claude, codex); with --session a subagent\'s id, or "main".',
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0, 10_000))
@data_dir_option
@json_option
def errors(
    since: str | None,
    name: str | None,
    agent: str | None,
    limit: int,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """The newest failures, API errors by kind, and tools by errors with their durations.

    A call counts since it was complete; its duration runs from then to its result. The rate is
    errors by results. The first three durations are of calls that did not fail.

    \b
    agentmon errors --since 24h
    agentmon errors --session api-server --json
    """
    from agentmon.commands import printing
    from agentmon.report import failures
    from agentmon.report.naming import the_session
    from agentmon.store.read_tools import Scope

    now = options.now()
    start = None if since is None else options.parse_since(since, now)
    with reading(data_dir) as store:
        sid = None if name is None else the_session(store.conn, name)
        found = failures.Failures(store.conn, Scope(start, sid, agent), limit=limit)
        if as_json:
            printing.print_pieces(failures.json_pieces(found))
            return
        paint = printing.painter(store.settings)
        width = printing.width()
        printing.print_pieces(failures.text_pieces(found, now, width=width, paint=paint))
