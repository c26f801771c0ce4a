"""`agentmon export`: a round or a session as one file."""

import contextlib
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from agentmon import config
from agentmon.commands.options import (
    Failure,
    clear_errors,
    data_dir_option,
    json_option,
    settings,
    utf8_output,
)

if TYPE_CHECKING:
    from agentmon.report.pages.shape import Content

Format = Literal["html", "md", "json"]


@click.command()
@click.argument("name", metavar="ROUND|SESSION")
@click.option("--format", "format_", type=click.Choice(["html", "md", "json"]), default=None)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Where to; else stdout.")
@click.option(
    "--content",
    default="all",
    show_default=True,
    metavar="WHAT",
    help="all, none, or some of prompts, text, thinking, inputs, results: with commas.",
)
@click.option("--no-redact", is_flag=True, help="Leave secrets and home folders in.")
@data_dir_option
@json_option
def export(
    name: str,
    format_: Format | None,
    output: str | None,
    content: str,
    no_redact: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """A round or a session as one file: HTML, Markdown or JSON.

    ROUND is an id, the start of one, or SESSION#12; SESSION is an id, the start of one, or the
    name on the board. Without --format the name of the output says it; else it is HTML. Secrets
    of well-known shapes and home folders are taken out.

    \b
    agentmon export api-server -o run.html
    agentmon export 5b1d2c3e#12 --format md --content text,inputs
    agentmon export 019aa701 --format json | jq .rounds[].tokens
    """
    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    wanted = _content(content)
    form = "json" if as_json else format_ or _format_of(output)
    with clear_errors():
        from agentmon.store import db

        conn = db.open_reading(where)
        try:
            conn.execute("BEGIN")  # one snapshot: a page that agrees with itself
            _write(_pieces(conn, where, name, form, wanted, no_redact), output)
        finally:
            conn.close()


def _content(text: str) -> "list[Content]":
    from agentmon.report.pages.shape import CONTENT

    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return list(CONTENT)
    if words == ["none"]:
        return []
    unknown = [word for word in words if word not in CONTENT]
    if unknown or not words:
        known = ", ".join(("all", "none", *CONTENT))
        said = unknown[0] if unknown else text
        raise click.BadParameter(f"{said!r} is none of {known}", param_hint="--content")
    return [part for part in CONTENT if part in words]


def _format_of(output: str | None) -> Format:
    suffix = Path(output or "").suffix.lower()
    return "md" if suffix in (".md", ".markdown") else "json" if suffix == ".json" else "html"


def _pieces(
    conn: sqlite3.Connection,
    where: Path,
    name: str,
    form: Format,
    content: "list[Content]",
    no_redact: bool,
) -> Iterator[str]:
    from agentmon.core.redact import Redactor
    from agentmon.report.pages import html, json, markdown
    from agentmon.report.pages.shape import Shape
    from agentmon.report.roundreading import SessionReader
    from agentmon.report.texts import TextReader

    sid, round_id = _named(conn, name)
    reader = SessionReader(conn, sid)
    redact = None if no_redact else Redactor([os.path.expanduser("~")])
    shape = Shape(TextReader(conn, where), content, redact)
    kind = "session" if round_id is None else "round"
    rows = [row for row in reader.rounds() if round_id in (None, row.round_id)]
    writer = {"html": html, "md": markdown, "json": json}[form]
    rounds = (shape.round(reader.tree(row)) for row in rows)
    return writer.pieces(shape.head(kind, reader.session, reader.name), rounds)


def _named(conn: sqlite3.Connection, name: str) -> tuple[str, str | None]:
    """(sid, round_id); no round: the whole session is meant."""
    from agentmon.report import naming

    try:
        sid = None if "#" in name else naming.find_session(conn, name)
        return (sid, None) if sid is not None else naming.the_round(conn, name)
    except naming.Unclear as problem:
        raise Failure(str(problem)) from problem


def _write(pieces: Iterable[str], output: str | None) -> None:
    """To a file of its owner, whole or not at all; or to stdout."""
    if output in (None, "-"):
        utf8_output()
        for piece in pieces:
            sys.stdout.write(piece)
        return
    target = Path(str(output))
    fd, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(pieces)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    click.echo(f"agentmon: wrote {target}", err=True)
