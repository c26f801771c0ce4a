"""`agentmon otel`: finished rounds to an OTLP endpoint."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from agentmon import config
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    clear_errors,
    data_dir_option,
    ends_on_sigterm,
    json_option,
    print_json,
    settings,
    since_option,
)

if TYPE_CHECKING:
    from agentmon.report.otel.exporting import Summary, Wanted
    from agentmon.report.otel.names import Version
    from agentmon.report.otel.sending import Sender

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"


@click.command()
@click.argument("session", required=False)
@click.option(
    "--endpoint",
    envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
    default=DEFAULT_ENDPOINT,
    show_default=True,
    metavar="URL",
    help="Where an OTLP receiver listens (HTTP, protobuf).",
)
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Sent along.")
@since_option
@click.option("--follow", is_flag=True, help="Go on as rounds finish, until Ctrl+C.")
@click.option(
    "--content", is_flag=True, help="Also prompts, texts, arguments and results; else none of them."
)
@click.option("--no-redact", is_flag=True, help="Leave secrets and home folders in.")
@click.option(
    "--semconv",
    type=click.Choice(["0.1", "1.41", "1.36"]),
    default="0.1",
    show_default=True,
    help="Which version of the GenAI conventions names things.",
)
@click.option("--again", is_flag=True, help="Forget what was exported there, and send everything.")
@click.option(
    "--timeout", default="10s", show_default=True, metavar="TIME", help="For one request."
)
@data_dir_option
@json_option
def otel(
    session: str | None,
    endpoint: str,
    headers: tuple[str, ...],
    since: str | None,
    follow: bool,
    content: bool,
    no_redact: bool,
    semconv: "Version",
    again: bool,
    timeout: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Export finished rounds as OpenTelemetry traces and metrics, over OTLP.

    A round is a trace: invoke_agent, chat, execute_tool, with waits, and subagents below the call
    that started them. What an endpoint has is remembered, so nothing is sent twice. Needs the
    extra agentmon[otel]. Proxies, certificates and OTEL_EXPORTER_OTLP_HEADERS work as usual.

    \b
    agentmon otel --endpoint http://127.0.0.1:4318
    agentmon otel --follow --since 24h
    agentmon otel api-server --content --semconv 1.41
    """
    from agentmon.report.otel import sending
    from agentmon.report.otel.exporting import Wanted
    from agentmon.report.otel.names import NAMES

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    wanted = Wanted(
        version=semconv,
        sid=None if session is None else _session(where, session),
        since=0.0 if since is None else options.parse_since(since, options.now()),
        with_content=content,
        redact=options.redactor(no_redact),
    )
    base = _base(endpoint)
    connect = partial(
        sending.Sender,
        base,
        NAMES[semconv],
        headers=dict(map(_header, headers)),
        timeout=options.seconds(timeout, "--timeout"),
    )
    with clear_errors():
        try:
            export = _follow if follow else _once
            export(where, base, again, wanted, connect, as_json)
        except sending.Unavailable as problem:
            raise Failure(str(problem)) from problem


def _session(where: Path, name: str) -> str:
    from agentmon.report import naming
    from agentmon.store import db

    with clear_errors():
        conn = db.open_reading(where)
        try:
            return naming.the_session(conn, name)
        except naming.Unclear as problem:
            raise Failure(str(problem)) from problem
        finally:
            conn.close()


def _base(text: str) -> str:
    """The URL without the path of a signal, which many write too."""
    if not text.startswith(("http://", "https://")):
        raise click.BadParameter(
            f"{text!r} is not an http:// or https:// URL", param_hint="--endpoint"
        )
    return text.rstrip("/").removesuffix("/v1/traces").removesuffix("/v1/metrics")


def _header(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise click.BadParameter("give NAME=VALUE", param_hint="--header")
    return name.strip(), value.strip()


def _once(
    where: Path,
    endpoint: str,
    again: bool,
    wanted: "Wanted",
    connect: Callable[[], "Sender"],
    as_json: bool,
) -> None:
    from agentmon.report.otel.exporting import Exporter
    from agentmon.report.otel.state import State
    from agentmon.store import db

    with (
        closing(db.open_reading(where)) as conn,
        closing(State(where, endpoint, again=again)) as state,
        closing(connect()) as sender,
    ):
        summary = Exporter(where, state, sender, wanted, options.now).run(conn)
    shown = _shown(endpoint)
    if as_json:
        print_json({"endpoint": shown, **msgspec.to_builtins(summary)})
    elif not summary.failure:
        click.echo(_sentence(summary))
    if summary.failure:
        raise Failure(f"{shown} {summary.failure}")


def _shown(endpoint: str) -> str:
    """An endpoint without a password in it."""
    return options.redactor(False)(endpoint)


def _follow(
    where: Path,
    endpoint: str,
    again: bool,
    wanted: "Wanted",
    connect: Callable[[], "Sender"],
    as_json: bool,
) -> None:
    from agentmon.report.otel.exporting import Exporter, Summary, follow
    from agentmon.report.otel.state import State
    from agentmon.report.status import Watched
    from agentmon.store import db

    db.make_folder(where)
    begun = time.monotonic()
    failing = ""

    def run() -> Summary:
        try:
            return Summary() if watched.conn is None else exporter.run(watched.conn)
        except db.StoreError as problem:
            return Summary(failure=f"cannot be told: {problem}")

    def tell(summary: Summary) -> None:
        nonlocal failing
        if summary.failure and summary.failure != failing:
            click.echo(f"agentmon: {_shown(endpoint)} {summary.failure}; trying on", err=True)
        failing = summary.failure
        if summary.spans:
            line = json.dumps(msgspec.to_builtins(summary)) if as_json else _sentence(summary)
            click.echo(line)
            sys.stdout.flush()

    with (
        closing(Watched(where)) as watched,
        closing(State(where, endpoint, again=again)) as state,
        closing(connect()) as sender,
        ends_on_sigterm(),
    ):
        exporter = Exporter(where, state, sender, wanted, options.now)
        follow(run, lambda: watched.has_changed(time.monotonic() - begun), tell)


def _sentence(summary: "Summary") -> str:
    count = summary.waiting + summary.settling
    waiting = f", {count} not over yet" if count else ""
    known = f", {summary.known} known there" if summary.known else ""
    return f"rounds {summary.rounds}, spans {summary.spans}{known}{waiting}"
