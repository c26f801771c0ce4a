"""Questions in SQL, read-only."""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import click

from agentmon import config
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    ascii_option,
    data_dir_option,
    json_option,
    reading,
)

Format = Literal["table", "json", "csv"]


@click.command()
@click.argument("query", metavar="[SELECT…]", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
)
@click.option("--limit", type=click.IntRange(1), help="Only so many rows.")
@click.option(
    "--timeout", default="10s", show_default=True, metavar="TIME", help="Give up after so long."
)
@ascii_option
@data_dir_option
@json_option
def sql(
    query: str | None,
    format_: Format,
    limit: int | None,
    timeout: str,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """A SELECT over the store; "-" reads it from standard input. Nothing can be changed by it.

    The views v_sessions, v_agents, v_rounds, v_prompts, v_messages, v_blocks, v_tool_calls,
    v_tool_results, v_verdicts, v_notices, v_facts, incomplete_rounds and pending_tool_calls are a
    stable interface (README). Without a query they are listed with their columns. The functions
    block_text(flow_id, block_index) and result_text(tool_use_id) read whole texts.

    \b
    agentmon sql "SELECT tool_name, COUNT(*), AVG(duration) FROM v_tool_calls GROUP BY 1"
    agentmon sql --format csv "SELECT * FROM v_rounds WHERE sid = '5b1d…'" > rounds.csv
    """
    from agentmon.core.text import one_line
    from agentmon.store.read_only import QueryError, ReadOnly, views

    seconds = options.seconds(timeout, "--timeout")
    kind: Format = "json" if as_json else format_
    with reading(data_dir, ui__ascii=ascii_) as store:
        if query is None:
            _write(["view", "columns"], views(store.conn), kind, store.settings)
            return
        text = sys.stdin.read() if query == "-" else query
        try:
            reader = ReadOnly(store.data_dir, timeout=seconds)
            try:
                names, rows = reader.query(text)
                _write(names, islice(rows, limit), kind, store.settings)
            finally:
                reader.close()
        except QueryError as problem:
            raise Failure(one_line(str(problem), 400)) from problem


def _write(
    names: Sequence[str], rows: Iterable[Sequence[Any]], kind: Format, settings: config.Settings
) -> None:
    from agentmon.commands import printing
    from agentmon.core.text import clean
    from agentmon.report import sql_rows

    if kind == "json":
        options.print_rows(sql_rows.records(names, rows))
    elif kind == "csv":
        pieces = sql_rows.as_csv(names, rows)
        if sys.stdout.isatty():
            pieces = (clean(piece) for piece in pieces)
        printing.print_pieces(pieces)
    else:
        is_terminal = sys.stdout.isatty()
        printing.print_table(
            sql_rows.columns(names, 120 if is_terminal else 1000),
            map(sql_rows.cells, rows),
            printing.painter(settings),
            nothing="no rows",
            wide=not is_terminal,
        )
