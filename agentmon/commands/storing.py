"""The worker and the store: what is read into it, what it holds, and whether all is well."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from agentmon import config
from agentmon.commands.options import (
    clear_errors,
    complain,
    data_dir_option,
    format_option,
    json_option,
    known_format,
    load,
    print_json,
    settings,
    utf8_output,
)
from agentmon.core.text import json_text

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--follow", is_flag=True, help="Go on as the logs grow, until Ctrl+C.")
@click.option("--reprocess", is_flag=True, help="Digest kept events that are known by now.")
@click.option("--progress", is_flag=True, hidden=True)
@click.option("--found", is_flag=True, hidden=True)
@click.option("--redis", metavar="URL", help="Besides, what other machines ship there.")
@format_option
@data_dir_option
@json_option
def ingest(
    paths: tuple[str, ...],
    follow: bool,
    reprocess: bool,
    progress: bool,
    found: bool,
    redis: str | None,
    format_: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """The worker alone: read PATHs into the store and print a summary.

    \b
    agentmon ingest ~/centralized-logs
    agentmon ingest --follow sse_lines.jsonl
    zstdcat old.jsonl.zst | agentmon ingest -
    """
    from agentmon import worker

    if not paths and not reprocess and redis is None:
        raise click.UsageError("give at least one PATH, --redis, or --reprocess")
    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    with clear_errors():
        if follow:
            forced = known_format(format_)
            sys.exit(worker.follow(where, paths, loaded.settings, forced, redis=redis))
        if redis is not None:
            from agentmon.engine.mirroring import Mirror

            mirror = Mirror.at(redis, where)
            mirror.take_all()
            paths = (*paths, mirror.folder)
        summary, failed = worker.ingest(
            where,
            paths,
            reprocess=reprocess,
            progress=progress,
            forced=known_format(format_),
            is_found=found,
        )
    if as_json:
        print_json(summary)
    elif not progress and (summary["bytes_read"] or not failed):
        click.echo(worker.summary_text(summary))
    for problem in failed:
        complain(problem)
    if failed:
        sys.exit(1)


@click.command()
@click.option("--session", "sid", metavar="SID", help="Only this session.")
@click.option("--text", is_flag=True, help="With the text of blocks and results.")
@data_dir_option
@json_option
def dump(sid: str | None, text: bool, data_dir: Path | None, as_json: bool) -> None:
    """Everything known, one JSON object a line, in a stable order.

    \b
    agentmon dump | jq 'select(.kind == "tool_result" and .is_error)'
    """
    from agentmon.report.dump import Dump
    from agentmon.store import db

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    utf8_output()
    with clear_errors():
        conn = db.open_reading(where)
        try:
            write = sys.stdout.write
            for record in Dump(conn, where, sid=sid, text=text).records():
                write(json_text(record) + "\n")
        finally:
            conn.close()


@click.command()
@data_dir_option
@json_option
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """What was found, what is wrong, and how to mend it. Exit code 1 if anything fails.

    \b
    agentmon doctor --json
    """
    from agentmon import worker

    try:
        settings: config.Loaded | config.ConfigError = load(
            {} if data_dir is None else {"store.data_dir": str(data_dir)}
        )
    except config.ConfigError as problem:
        settings = problem
    text, value, failed = worker.examine(settings, data_dir)
    if as_json:
        print_json(value)
    else:
        click.echo(text)
    if failed:
        sys.exit(1)
