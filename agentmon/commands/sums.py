"""Numbers: of one session, and of everything over some time."""

from pathlib import Path

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


@click.command()
@click.argument("session", metavar="SID")
@ascii_option
@data_dir_option
@json_option
def stats(session: str, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """A session in numbers: rounds, messages, blocks, tools, tokens, busy time, subagents.

    SID is a session id, the start of one, or the name on the board. Busy time is the time in which
    at least one agent of the session thought, wrote, called or ran a tool.

    \b
    agentmon stats api-server
    agentmon stats 5b1d2c3e --json | jq .tools
    """
    from agentmon.commands import printing
    from agentmon.report import naming
    from agentmon.report import stats as sums

    with reading(data_dir, ui__ascii=ascii_) as store:
        found = sums.stats(store.conn, naming.the_session(store.conn, session))
        if as_json:
            options.print_json(found)
            return
        paint = printing.painter(store.settings)
        printing.print_lines(sums.as_text(found, printing.width(), paint), paint)


@click.command()
@since_option
@ascii_option
@data_dir_option
@json_option
def dashboard(since: str | None, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """Everything at a glance: states, tokens, rounds, tools, errors, the busiest and the slowest.

    Over the last 24h, or --since. Text comes section by section.

    \b
    agentmon dashboard --since 2d
    agentmon dashboard --json | jq .tools
    """
    from agentmon.commands import printing
    from agentmon.engine.places import limits
    from agentmon.report import dashboard as overview
    from agentmon.report import status

    now = options.now()
    with reading(data_dir, ui__ascii=ascii_) as store:
        conn, judged = store.conn, limits(store.settings)
        as_of = status.time_of(conn, store.data_dir, now)
        begin = parse_since(since or "24h", now)
        if as_json:
            options.print_json(overview.as_json(conn, as_of, judged, since=begin))
            return
        paint, width = printing.painter(store.settings), printing.width()
        found = overview.written(conn, as_of, judged, since=begin, width=width, paint=paint)
        printing.print_lines(found, paint)
        printing.say_age(now - as_of)
