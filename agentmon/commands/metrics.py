"""`agentmon serve-metrics`: the store for Prometheus."""

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from agentmon import config
from agentmon.addresses import listen_address
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    clear_errors,
    data_dir_option,
    ends_on_sigterm,
    json_option,
    print_json,
    settings,
    utf8_output,
)

if TYPE_CHECKING:
    from agentmon.report import prometheus


@click.command(name="serve-metrics")
@click.option(
    "--listen",
    default="127.0.0.1:9464",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to; port 0 takes a free one and says which.",
)
@click.option("--once", is_flag=True, help="Print the metrics and exit.")
@click.option("--no-redact", is_flag=True, help="Leave secrets in names.")
@data_dir_option
@json_option
def serve_metrics(
    listen: str, once: bool, no_redact: bool, data_dir: Path | None, as_json: bool
) -> None:
    """Metrics of sessions, agents and tools in Prometheus' text format, over HTTP on loopback.

    Reads the store that a running agentmon writes. Ends on Ctrl+C or SIGTERM. How many sessions
    have series of their own is a setting: metrics.max_sessions, metrics.since.

    \b
    agentmon serve-metrics --listen 127.0.0.1:9464
    agentmon serve-metrics --once
    """
    from agentmon.engine.places import limits
    from agentmon.report import prometheus

    try:
        host, port = listen_address(listen)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--listen") from problem
    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    chosen = loaded.settings.metrics
    metrics = prometheus.Metrics(
        config.data_dir(loaded.settings, os.environ),
        limits(loaded.settings),
        since=chosen.since,
        max_sessions=chosen.max_sessions,
        redact=options.redactor(no_redact),
    )
    with clear_errors():
        if once and as_json:
            families = msgspec.to_builtins(metrics.families(options.now()))
            print_json({"families": families})
        elif once:
            utf8_output()
            sys.stdout.write(metrics.text(options.now()))
        else:
            _serve(metrics, host, port, as_json)


def _serve(metrics: "prometheus.Metrics", host: str, port: int, as_json: bool) -> None:
    from agentmon.report import serving
    from agentmon.report.prometheus import CONTENT_TYPE
    from agentmon.store.db import StoreError

    turn = threading.Lock()

    def text() -> str:
        try:
            with turn:  # one reader of the store at a time, however many ask
                return metrics.text(options.now())
        except StoreError as problem:
            raise serving.Unreadable(str(problem)) from problem

    try:
        server = serving.Server(host, port, CONTENT_TYPE, text)
    except OSError as problem:
        said = problem.strerror or str(problem)
        raise Failure(f"cannot listen on {host}:{port}: {said}") from problem
    if not server.is_private:
        click.echo(
            f"agentmon: {host} is reached from other machines: whoever reaches it reads what your"
            " agents are called and do",
            err=True,
        )
    if as_json:
        print_json({"url": server.url})
    else:
        click.echo(server.url)
    sys.stdout.flush()
    with server, ends_on_sigterm():
        server.serve_forever(0.2)
