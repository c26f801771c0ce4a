"""Commands for scripts and status lines: they read the store that a running agentmon writes."""

import os
import sys
from pathlib import Path
from typing import Literal

import click

from agentmon import config
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    clear_errors,
    complain,
    data_dir_option,
    json_option,
    print_json,
    settings,
    utf8_output,
)

Until = Literal["idle", "permission", "tool-done", "ended"]


@click.command()
@click.option("--tmux", is_flag=True, help="One short line for tmux's status-right.")
@click.option("--ascii", "ascii_", is_flag=True, default=None, help="No glyphs beyond ASCII.")
@data_dir_option
@json_option
def status(tmux: bool, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """How many agents work, need you, or are stuck, in one line.

    Reads the store that a running agentmon writes; without one, the figures carry their age.

    \b
    agentmon status
    tmux set -g status-right '#(agentmon status --tmux)'
    """
    from agentmon.engine.places import limits
    from agentmon.report import status as statuses

    loaded = settings(ui__ascii=ascii_, store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    with clear_errors():
        found = statuses.glance(where, options.now(), limits(loaded.settings))
    if as_json:
        print_json(statuses.as_json(found))
        return
    utf8_output()
    line = statuses.tmux_line if tmux else statuses.plain_line
    click.echo(line(found, ascii=loaded.settings.ui.ascii))


@click.command()
@click.option(
    "--session",
    "name",
    required=True,
    metavar="SESSION",
    help="A session id, the start of one, or the name on the board.",
)
@click.option(
    "--until",
    type=click.Choice(["idle", "permission", "tool-done", "ended"]),
    default="idle",
    show_default=True,
    help="What to wait for.",
)
@click.option("--timeout", metavar="TIME", help="Give up after so long, such as 90s: exit code 1.")
@data_dir_option
@json_option
def wait(
    name: str, until: Until, timeout: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Wait until an agent is idle, asks for permission, has its tools back, or ends.

    Exit codes: 0 it holds, 1 it does not hold in time or cannot any more, 2 usage, 130 Ctrl+C.
    Needs a running agentmon (or `agentmon ingest --follow`) that keeps the store up to date.

    \b
    agentmon wait --session api-server --until permission && notify-send "api-server asks"
    agentmon wait --session 5b1d2c3e --until idle --timeout 10m
    """
    from agentmon.report import naming
    from agentmon.report import status as statuses

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    seconds = None if timeout is None else options.seconds(timeout, "--timeout")
    with clear_errors():
        try:
            outcome = statuses.wait(
                where,
                name,
                until,
                timeout=seconds,
                tell=complain,
            )
        except naming.Ambiguous as problem:
            raise Failure(str(problem)) from problem
    if as_json:
        print_json({"outcome": outcome.word, "reason": outcome.reason})
    elif outcome.exit_code:
        complain(outcome.reason)
    sys.exit(outcome.exit_code)
