"""Commands that keep the store within limits: taking ended sessions out, and bringing them back."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from agentmon import config
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    clear_errors,
    data_dir_option,
    json_option,
    print_json,
    settings,
    utf8_output,
)

if TYPE_CHECKING:  # what `agentmon --version` need not load
    from agentmon.engine.requests import Request
    from agentmon.store.retention.plan import Policy
    from agentmon.store.retention.reports import Report, Restored

T = TypeVar("T")


@click.command()
@click.option("--days", metavar="N", help="Those silent for more than N days go.")
@click.option(
    "--max-size",
    metavar="SIZE",
    help="The oldest go until database and texts take less, such as 2GB.",
)
@click.option("--archive", "action", flag_value="archive", help="Into an archive (the default).")
@click.option("--delete", "action", flag_value="delete", help="For good.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option(
    "--compact", is_flag=True, help="Write the database anew, so that free pages can be given back."
)
@data_dir_option
@json_option
def cleanup(
    days: str | None,
    max_size: str | None,
    action: str | None,
    dry_run: bool,
    compact: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Take ended sessions out of the store, oldest first, into archives or for good.

    Without limits, those of the settings hold (retention.*). A session that runs, has a living
    process, or was active in the last hour always stays. Where agentmon is running it does the
    work; `agentmon restore` brings archived sessions back.

    \b
    agentmon cleanup --days 30 --dry-run
    agentmon cleanup --max-size 2GB
    agentmon cleanup --days 90 --delete
    """
    from agentmon.engine import cleaning
    from agentmon.engine.places import policy
    from agentmon.report import retention
    from agentmon.store import db
    from agentmon.store.retention.plan import Policy

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    wanted = policy(loaded.settings)
    if days is not None or max_size is not None:
        limit = None if max_size is None else _parsed(config.size, max_size, "--max-size")
        since = None if days is None else _parsed(config.days, days, "--days")
        wanted = Policy(since, limit, wanted.action)
    if action is not None:
        wanted = Policy(wanted.days, wanted.max_size, action)
    if not wanted.is_on and not compact:
        raise click.UsageError("give --days or --max-size (or set retention.days in the config)")
    now = options.now()
    with clear_errors():
        db.open_reading(where).close()  # there has to be a store
        if dry_run:
            report = cleaning.dry_run(where, wanted, now)
        else:
            report = _clean(where, wanted, now, compacts=compact)
    if as_json:
        print_json(retention.cleanup_json(report))
    else:
        utf8_output()
        click.echo(retention.cleanup_text(report, now, _width()))
    for problem in report.problems:
        click.echo(f"agentmon: {problem}", err=True)
    if report.problems:
        sys.exit(1)


@click.command()
@click.argument("name", required=False, metavar="SID|FILE")
@click.option("--list", "lists", is_flag=True, help="Show the archived sessions.")
@data_dir_option
@json_option
def restore(name: str | None, lists: bool, data_dir: Path | None, as_json: bool) -> None:
    """Bring an archived session back, as it was, byte for byte.

    SID is its id or the start of one, FILE an archive of any store. The archive of this store goes
    when all of it is back. A session that is in the store is never restored over.

    \b
    agentmon restore --list
    agentmon restore 5b1d2c3e
    agentmon restore backup/5b1d2c3e-0000-4000-8000-000000000001.tar.zst --data-dir /tmp/look
    """
    from agentmon.report import retention
    from agentmon.store.retention import finding

    if lists == (name is not None):
        raise click.UsageError("give a session or a file, or --list")
    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    with clear_errors():
        if name is None:
            _list(where, as_json)
            return
        try:
            done = _restore(where, name)
        except finding.CannotRestore as problem:
            raise Failure(str(problem)) from problem
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(done))
    else:
        utf8_output()
        click.echo(retention.restored_text(done))


def _list(where: Path, as_json: bool) -> None:
    import msgspec

    from agentmon.engine import cleaning
    from agentmon.report import retention

    rows = cleaning.archived(where)
    if as_json:
        print_json(msgspec.to_builtins(rows))
    else:
        utf8_output()
        click.echo(retention.archived_text(rows, options.now(), _width()))


def _clean(where: Path, policy: "Policy", now: float, *, compacts: bool) -> "Report":
    """By this process, or by the one that writes the store. Raises StoreError."""
    import msgspec

    from agentmon.engine import cleaning, requests
    from agentmon.store import db
    from agentmon.store.retention.reports import Report

    while True:
        if compacts or db.writer_of(where) is None:
            return cleaning.clean(where, policy, now, compacts=compacts)
        wanted = requests.Request(
            "cleanup", os.getpid(), policy.days, policy.max_size, policy.action
        )
        try:
            return msgspec.convert(_answer(where, wanted), Report)
        except requests.Unanswered:
            continue


def _restore(where: Path, name: str) -> "Restored":
    """The same. Raises StoreError and CannotRestore."""
    import msgspec

    from agentmon.engine import cleaning, requests
    from agentmon.store import db
    from agentmon.store.retention.reports import Restored

    if os.path.exists(name):
        name = os.path.abspath(name)
    while True:
        if db.writer_of(where) is None:
            return cleaning.restore(where, name, options.now())
        try:
            wanted = requests.Request("restore", os.getpid(), name=name)
            return msgspec.convert(_answer(where, wanted), Restored)
        except requests.Unanswered:
            continue


def _answer(where: Path, wanted: "Request") -> object:
    """Raises Failure with what the other process says went wrong."""
    from agentmon.engine import requests

    answer = requests.ask(where, wanted, lambda text: click.echo(f"agentmon: {text}", err=True))
    if answer.problem is not None:
        raise Failure(answer.problem)
    return answer.value


def _parsed(parse: Callable[[object], T], text: str, option: str) -> T:
    try:
        return parse(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from problem


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns
