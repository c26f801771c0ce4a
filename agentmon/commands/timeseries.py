"""A session over time, for a spreadsheet, a notebook or a database of metrics."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    data_dir_option,
    json_option,
    parse_since,
    reading,
    since_option,
)

if TYPE_CHECKING:
    from agentmon.report.series import Row

Format = Literal["csv", "json", "parquet", "prometheus"]


@click.command()
@click.argument("session", metavar="SID", required=False)
@click.option(
    "--interval", default="60", show_default=True, metavar="TIME", help="Length of a bucket."
)
@click.option(
    "--metric",
    "names",
    multiple=True,
    metavar="NAMES",
    help="Which numbers, comma-separated (tokens,deltas,bytes,messages,tools,errors).",
)
@click.option("--list", "is_list", is_flag=True, help="Say what each metric counts.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "parquet", "prometheus"]),
    default="csv",
    show_default=True,
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of stdout."
)
@since_option
@data_dir_option
@json_option
def timeseries(
    session: str | None,
    interval: str,
    names: tuple[str, ...],
    is_list: bool,
    format_: Format,
    output: Path | None,
    since: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """A session in buckets of time, one row each.

    Counts are 0 in an empty bucket, means are empty. --format prometheus is OpenMetrics text with
    timestamps, as `promtool tsdb create-blocks-from openmetrics` reads it; parquet needs the extra
    agentmon[parquet].

    \b
    agentmon timeseries api-server --interval 5m --metric tokens,tools,errors
    agentmon timeseries 5b1d2c3e --format parquet --output run.parquet
    """
    from agentmon.report import naming, series
    from agentmon.store.parquet import NoParquet

    if is_list:
        for metric in series.METRICS.values():
            click.echo(f"{metric.name:<20} {metric.help}")
        return
    if session is None:
        raise click.UsageError("give a SID, or --list")
    metrics = _metrics(names)
    length = options.seconds(interval, "--interval")
    kind: Format = "json" if as_json else format_
    begin = parse_since(since, options.now()) if since else 0.0
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise Failure("parquet is nothing for a terminal: give --output FILE, or a pipe")
    with reading(data_dir) as store:
        sid = naming.the_session(store.conn, session)
        found = series.points(store.conn, store.data_dir, sid, metrics)
        try:
            rows = series.buckets(found, length, metrics, since=begin)
            _write(rows, metrics, kind, sid, output)
        except (series.TooMany, NoParquet) as problem:
            raise Failure(str(problem)) from problem


def _metrics(names: tuple[str, ...]) -> list[str]:
    from agentmon.report.series import DEFAULT, METRICS

    found = [name.strip() for given in names for name in given.split(",") if name.strip()]
    for name in found:
        if name not in METRICS:
            raise click.BadParameter(
                f"there is no metric {name!r}; there are {', '.join(METRICS)}",
                param_hint="--metric",
            )
    return list(dict.fromkeys(found)) or list(DEFAULT)


def _write(
    rows: "Iterable[Row]", metrics: list[str], kind: Format, sid: str, output: Path | None
) -> None:
    from agentmon.commands import printing
    from agentmon.report import bodies, series
    from agentmon.store.parquet import need_parquet

    if kind == "parquet":
        need_parquet()
        if output is None:
            series.write_parquet(rows, metrics, sys.stdout.buffer)
            return
        with output.open("wb") as file:
            series.write_parquet(rows, metrics, file)
        return
    if kind == "csv":
        pieces = series.as_csv(rows, metrics)
    elif kind == "json":
        pieces = bodies.json_rows(rows)
    else:
        pieces = series.as_prometheus(rows, metrics, sid)
    if output is None:
        printing.print_pieces(pieces)
        return
    with output.open("w", encoding="utf-8") as file:
        file.writelines(pieces)
