"""`agentmon config`: each setting and where it came from, and those that agents share."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentmon import config as resolved
from agentmon.collab.typed import TYPES
from agentmon.commands import options
from agentmon.commands.options import Failure, data_dir_option, json_option, reading
from agentmon.commands.writing import by_option, clear_fields, speaker, writing

if TYPE_CHECKING:
    from agentmon.collab.settings import Change, Setting

F = TypeVar("F", bound=Callable[..., Any])


def _common(fn: F) -> F:
    """Options that stand before the subcommand, or behind it."""
    return data_dir_option(json_option(fn))


def _place(data_dir: Path | None, as_json: bool) -> tuple[Path | None, bool]:
    """The same, where they stood before it."""
    parent = click.get_current_context().parent
    before = parent.params if parent is not None else {}
    return data_dir or before.get("data_dir"), as_json or bool(before.get("as_json"))


@click.group(invoke_without_command=True)
@_common
@click.pass_context
def config(ctx: click.Context, data_dir: Path | None, as_json: bool) -> None:
    """Each setting, its value, and where it came from.

    Order: flag, environment (AGENTMON_HEALTH__STALLED_AFTER), config file, what agents share in the
    store (`config set`), default. Shared settings can have any name; those of agentmon count in it.

    \b
    agentmon config --json
    agentmon config set review.approvals 2 --by ada
    agentmon config history review.approvals
    """
    if ctx.invoked_subcommand is not None:
        return
    from agentmon.collab import settings
    from agentmon.core.text import clean
    from agentmon.store import db

    loaded = options.settings(store__data_dir=None if data_dir is None else str(data_dir))
    found = resolved.rows(loaded)
    shared: list[Setting] = []
    if db.database(resolved.data_dir(loaded.settings, os.environ)).is_file():
        with options.store_of(loaded) as store:
            shared = settings.all_settings(store.conn)
    file = resolved.config_file(os.environ)
    if as_json:
        rows = [_setting_record(row) for row in shared]
        options.print_json({"file": str(file), "settings": found, "shared": rows})
        return
    click.echo(f"# {clean(str(file), newline=False)}")
    for row in found:
        text = f"{row['key']} = {row['value']!r}    # {row['origin']}: {row['help']}"
        click.echo(clean(text, newline=False))
    for row in shared:
        if row.name not in resolved.FIELDS:
            text = f"{row.name} = {row.value!r}    # store, set by {row.changed_by}: {row.type}"
            click.echo(clean(text, newline=False))


@config.command(name="set", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("value")
@click.option(
    "--type",
    "kind",
    type=click.Choice(TYPES),
    help="Without it: true and false, numbers, JSON objects and arrays, else a string.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@by_option
@_common
def set_(
    name: str,
    value: str,
    kind: str | None,
    reason: str,
    by: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Sets a shared setting in the store.

    What a flag, the environment or the config file says of a setting of agentmon goes before it.

    \b
    agentmon config set health.stalled_after 45s --reason "slow proxy"
    agentmon config set team.roles '{"ada": "review"}'
    """
    from agentmon.collab import settings, typed

    data_dir, as_json = _place(data_dir, as_json)
    with writing(data_dir) as store:
        kind, parsed = typed.parse(value, kind)
        found = settings.set_value(
            store.conn,
            name,
            parsed,
            speaker(by, store.settings),
            type=kind,
            reason=reason,
            now=options.now(),
        )
    _warn_of(name)
    _print(found, as_json)


def _warn_of(name: str) -> None:
    sections = {key.partition(".")[0] for key in resolved.FIELDS if "." in key}
    if name not in resolved.FIELDS and name.partition(".")[0] in sections:
        hint = resolved.nearest(name, resolved.FIELDS)
        options.complain(f"agentmon itself has no setting {name!r}{hint}")


@config.command()
@click.argument("name")
@_common
def get(name: str, data_dir: Path | None, as_json: bool) -> None:
    """One setting: its value, exactly; with --json its type and origin as well.

    \b
    agentmon config get health.stalled_after
    agentmon config get team.roles | jq .ada
    """
    from agentmon.collab import settings

    data_dir, as_json = _place(data_dir, as_json)
    if name in resolved.FIELDS:
        loaded = options.settings(store__data_dir=None if data_dir is None else str(data_dir))
        row = next(row for row in resolved.rows(loaded) if row["key"] == name)
        if as_json:
            options.print_json(row)
        else:
            _print_value(row["value"])
        return
    with reading(data_dir) as store, clear_fields():
        found = settings.get(store.conn, name)
    if found is None:
        raise Failure(f"nothing is set as {name!r}")
    if as_json:
        options.print_json(_setting_record(found))
    else:
        _print_value(found.value)


@config.command()
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@by_option
@_common
def unset(name: str, reason: str, by: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Takes a shared setting out of the store; its history stays.

    \b
    agentmon config unset review.approvals --by ada
    """
    from agentmon.collab import settings

    data_dir, as_json = _place(data_dir, as_json)
    with writing(data_dir) as store:
        settings.unset(
            store.conn, name, speaker(by, store.settings), reason=reason, now=options.now()
        )
        (change,) = settings.history(store.conn, name, limit=1)
    if as_json:
        options.print_json(_change_record(change))


@config.command()
@click.argument("name", required=False)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@_common
def history(name: str | None, limit: int, data_dir: Path | None, as_json: bool) -> None:
    """Who changed which shared setting when, newest first.

    \b
    agentmon config history review.approvals
    agentmon config history --json | jq '.[0]'
    """
    from agentmon.collab import settings
    from agentmon.commands import printing
    from agentmon.report.table import Cell, Column
    from agentmon.report.words import UNKNOWN, moment

    data_dir, as_json = _place(data_dir, as_json)
    with reading(data_dir) as store, clear_fields():
        rows = settings.history(store.conn, name, limit=limit)
        if as_json:
            options.print_rows(_change_record(row) for row in rows)
            return
        columns = (
            Column("#", 1, 6, right=True),
            Column("when", 19, 19),
            Column("by", 4, 16),
            Column("name", 8, 30),
            Column("value", 5, 40),
            Column("why", 3, 100, keep=1),
        )
        cells = (
            [
                Cell(text)
                for text in (
                    str(row.change_id),
                    moment(row.changed_at),
                    row.changed_by,
                    row.name,
                    UNKNOWN if row.type is None else repr(row.value),
                    row.reason,
                )
            ]
            for row in rows
        )
        paint = printing.painter(store.settings)
        printing.print_table(columns, cells, paint, nothing="nothing was ever set")


@config.command()
@click.argument("change_id", type=click.IntRange(1, 1 << 62))
@click.option("--reason", metavar="TEXT", help="Why.")
@by_option
@_common
def revert(
    change_id: int, reason: str | None, by: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Makes a shared setting what it was after a change; `config history` has their numbers.

    \b
    agentmon config revert 12 --reason "it was right before"
    """
    from agentmon.collab import settings

    data_dir, as_json = _place(data_dir, as_json)
    with writing(data_dir) as store:
        found = settings.revert(
            store.conn, change_id, speaker(by, store.settings), reason=reason, now=options.now()
        )
        name = settings.change(store.conn, change_id).name
    if found is not None:
        _print(found, as_json)
    elif as_json:
        options.print_json({"name": name, "type": None, "value": None})
    else:
        options.complain(f"{name!r} is not set, as after change {change_id}")


def _print(found: "Setting", as_json: bool) -> None:
    from agentmon.core.text import clean

    if as_json:
        options.print_json(_setting_record(found))
    else:
        text = f"{found.name} = {found.value!r}    # {found.type}, set by {found.changed_by}"
        click.echo(clean(text, newline=False))


def _print_value(value: object) -> None:
    """A string as it is, anything else as JSON; controls are shown where a terminal would obey."""
    from agentmon.commands import printing
    from agentmon.core.text import json_text

    text = value if isinstance(value, str) else json_text(_plain(value))
    printing.print_bytes([text.encode("utf-8", "replace"), b"\n"])


def _plain(value: object) -> object:
    """JSON has no word for what is not finite."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _setting_record(row: "Setting") -> dict[str, object]:
    from msgspec.structs import asdict

    return {**asdict(row), "value": _plain(row.value), "origin": "store"}


def _change_record(row: "Change") -> dict[str, object]:
    from msgspec.structs import asdict

    return {**asdict(row), "value": _plain(row.value)}
