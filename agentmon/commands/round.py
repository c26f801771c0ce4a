"""Commands over one round in time: how fast it was written, what ran at once."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    import sqlite3

    from agentmon.core.spans import Round

F = TypeVar("F", bound=Callable[..., Any])


def _options(fn: F) -> F:
    ascii_only = click.option(
        "--ascii", "ascii_", is_flag=True, default=None, help="No glyphs beyond ASCII."
    )
    argument = click.argument("name", metavar="ROUND")
    return argument(ascii_only(data_dir_option(json_option(fn))))


@click.command()
@_options
def rate(name: str, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """How fast ROUND was written: tokens, bytes and deltas per second, first tokens, pauses.

    ROUND is a round id or the start of one, SESSION#3, or SESSION for its last round. Rates are
    over the writing time, from the start of a block or message to its last delta; tokens of blocks
    are estimated by their share of the bytes. What was told when it was over has no rate.

    \b
    agentmon rate api-server
    agentmon rate api-server#3 --json | jq .tokens_per_second
    """
    from agentmon.core.rates import round_rate
    from agentmon.report import round_rate as report
    from agentmon.store.read_round import deltas_of

    def read(conn: "sqlite3.Connection") -> Callable[[], object]:
        found = _round(conn, name)
        deltas = {key: one.deltas for key, one in deltas_of(conn, found).items()}
        rates = round_rate(found, deltas)
        now = options.now()
        if as_json:
            return lambda: print_json(report.as_json(found, rates, deltas, now))
        return lambda: click.echo(report.as_text(found, rates, deltas, now, **_look(plain)))

    plain, where = _where(ascii_, data_dir)
    _answer(where, read)


@click.command()
@_options
def parallel(name: str, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """Which tools of ROUND ran at once, for how long, and what its length rests on.

    ROUND is a round id or the start of one, SESSION#3, or SESSION for its last round. The chart
    has a row for each block, a call's run behind its arguments, subagents below the call that
    started them. The critical path is the chain of model, tool and wait that fills the round.

    \b
    agentmon parallel api-server
    agentmon parallel api-server#3 --json | jq .parallel.factor
    """
    from agentmon.report import round_spans as report

    def read(conn: "sqlite3.Connection") -> Callable[[], object]:
        found, now = _round(conn, name), options.now()
        if as_json:
            return lambda: print_json(report.as_json(found, now))
        return lambda: click.echo(report.as_text(found, now, **_look(plain)))

    plain, where = _where(ascii_, data_dir)
    _answer(where, read)


def _where(ascii_: bool | None, data_dir: Path | None) -> tuple[bool, Path]:
    """Whether to keep to ASCII, and where the store is."""
    loaded = settings(ui__ascii=ascii_, store__data_dir=None if data_dir is None else str(data_dir))
    return loaded.settings.ui.ascii, config.data_dir(loaded.settings, os.environ)


def _round(conn: "sqlite3.Connection", name: str) -> "Round":
    from agentmon.report.naming import Unclear, the_round
    from agentmon.store.read_round import round_in_time

    try:
        sid, round_id = the_round(conn, name)
    except Unclear as problem:
        raise Failure(str(problem)) from problem
    found = round_in_time(conn, sid, round_id)
    if found is None:
        raise Failure(f"nobody told when round {round_id} began, nor anything in it")
    return found


def _answer(where: Path, read: "Callable[[sqlite3.Connection], Callable[[], object]]") -> None:
    """Reads in one go, then prints."""
    from agentmon.store import db

    utf8_output()
    with clear_errors():
        conn = db.open_reading(where)
        try:
            show = read(conn)
        finally:
            conn.close()
    show()


def _look(ascii_only: bool) -> dict[str, Any]:
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((100, 24)).columns
    return {"width": width, "ascii": ascii_only, "color": color}
