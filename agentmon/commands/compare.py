"""`agentmon compare`: sessions side by side, and where they part."""

from pathlib import Path

import click

from agentmon.commands.options import (
    data_dir_option,
    json_option,
    print_json,
    reading,
)


@click.command()
@click.argument("names", nargs=-1, metavar="SID SID…")
@data_dir_option
@json_option
def compare(names: tuple[str, ...], data_dir: Path | None, as_json: bool) -> None:
    """Two sessions or more, side by side with the first: figures, rounds, the first divergence.

    Rounds with the same prompt stand side by side, the ones between them by their number. Two
    sessions part at the first round, prompt, message, tool call, input or stop reason that differs.

    \b
    agentmon compare api-server 5b1d2c3e
    agentmon compare 5b1d2c3e 90ab12cd --json | jq .divergences
    """
    from agentmon.commands import printing
    from agentmon.report import compare as comparison
    from agentmon.report.naming import the_session

    if len(names) < 2:
        raise click.UsageError("give two sessions or more")
    with reading(data_dir) as store:
        sids = [the_session(store.conn, name) for name in names]
        found = comparison.load(store.conn, store.data_dir, sids)
    if as_json:
        print_json(comparison.as_json(found))
        return
    paint = printing.painter(store.settings)
    click.echo(comparison.text(found, width=printing.width(), paint=paint))
