"""`agentmon checkpoint`: conversations in Parquet files, and how to find them again."""

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentmon.commands import options
from agentmon.commands.options import Failure, Store, data_dir_option, json_option, reading
from agentmon.commands.writing import clear_fields, writing

if TYPE_CHECKING:
    from agentmon.collab.checkpoints import Checkpoint
    from agentmon.report.table import Cell

F = TypeVar("F", bound=Callable[..., object])

KINDS = ("main", "sub", "micro")


def _about(fn: F) -> F:
    """What can be said of a checkpoint; `collab.checkpoints` has the same names for it."""
    given = (
        click.option("--kind", type=click.Choice(KINDS), default="main", show_default=True),
        click.option(
            "--parent", "parent_id", metavar="ID", help="The checkpoint that it came from."
        ),
        click.option("--summary", default="", metavar="TEXT", help="What it is about."),
        click.option("--entity", "entities", multiple=True, metavar="NAME", help="Whom or what."),
        click.option("--thread", "threads", multiple=True, metavar="NAME", help="A thread in it."),
        click.option("--quality", type=click.FloatRange(0, 1), help="From 0 to 1."),
    )
    for option in reversed(given):
        fn = option(fn)
    return fn


@contextmanager
def _writing(data_dir: Path | None) -> Generator[Store, None, None]:
    from agentmon.store.parquet import NoParquet

    try:
        with writing(data_dir) as store:
            yield store
    except NoParquet as problem:
        raise Failure(str(problem)) from problem


@click.group()
def checkpoint() -> None:
    """Conversations put aside in Parquet files, and a registry that finds them.

    Files go below the data folder unless --output says otherwise. Writing and reading them needs
    the extra agentmon[parquet].

    \b
    agentmon checkpoint create api-server --summary "before the rewrite"
    agentmon checkpoint find msg_01
    agentmon checkpoint verify
    """


@checkpoint.command()
@click.argument("conversation")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--after", metavar="MESSAGE", help="Only what came after this message.")
@_about
@data_dir_option
@json_option
def create(
    conversation: str,
    output: Path | None,
    after: str | None,
    data_dir: Path | None,
    as_json: bool,
    **about: Any,
) -> None:
    """Exports a conversation to a Parquet file and registers it.

    CONVERSATION is the id of a thread between agents, or a session: its id, the start of one, or
    its name on the board. Of a session the file has prompts and messages with their content blocks
    and results.

    \b
    agentmon checkpoint create api-server
    agentmon checkpoint create 5b1d --kind micro --parent 3f2a --after msg_01
    """
    from agentmon.collab import checkpoints

    about["threads"] = about["threads"] or None
    with _writing(data_dir) as store:
        key = _conversation(store.conn, conversation)
        found = checkpoints.create(
            store.conn, store.data_dir, key, path=output, after=after, now=options.now(), **about
        )
    _print_one(found, as_json)


@checkpoint.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--conversation", required=True, metavar="ID", help="What it is a part of.")
@_about
@data_dir_option
@json_option
def register(
    file: Path, conversation: str, data_dir: Path | None, as_json: bool, **about: Any
) -> None:
    """Registers a Parquet file that is there already; its column message_id says what is in it.

    \b
    agentmon checkpoint register old.parquet --conversation design --quality 0.8
    """
    from agentmon.collab import checkpoints

    with _writing(data_dir) as store:
        found = checkpoints.register(
            store.conn, file, conversation=conversation, now=options.now(), **about
        )
    _print_one(found, as_json)


@checkpoint.command(name="list")
@click.option("--conversation", metavar="ID", help="Only those of this thread or session.")
@click.option("--kind", type=click.Choice(KINDS))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@data_dir_option
@json_option
def list_(
    conversation: str | None, kind: str | None, limit: int, data_dir: Path | None, as_json: bool
) -> None:
    """The checkpoints, newest first.

    \b
    agentmon checkpoint list --kind main --json
    """
    from agentmon.collab import checkpoints

    with reading(data_dir) as store, clear_fields():
        key = None if conversation is None else _conversation(store.conn, conversation)
        found = checkpoints.recent(store.conn, conversation=key, kind=kind, limit=limit)
        _print_all(found, as_json, "no checkpoints")


@checkpoint.command()
@click.argument("checkpoint_id", metavar="ID")
@data_dir_option
@json_option
def show(checkpoint_id: str, data_dir: Path | None, as_json: bool) -> None:
    """One checkpoint, with what it came from and what came from it.

    \b
    agentmon checkpoint show 3f2a
    """
    from agentmon.collab import checkpoints
    from agentmon.report.words import UNKNOWN, moment, size

    with reading(data_dir) as store, clear_fields():
        found = checkpoints.the(store.conn, checkpoint_id)
        line = checkpoints.lineage(store.conn, found.checkpoint_id)
    parents = [row.checkpoint_id for row in line.parents]
    children = [row.checkpoint_id for row in line.children]
    if as_json:
        options.print_json({**_record(found), "parents": parents, "children": children})
        return
    for name, text in (
        ("checkpoint", f"{found.checkpoint_id}, {found.kind}"),
        ("conversation", found.conversation),
        ("file", found.path),
        ("made", moment(found.created_at)),
        ("size", f"{size(found.size)}, {found.row_count:,} rows, SHA-256 {found.sha256}"),
        ("messages", f"{found.message_count:,}, {found.first_message} to {found.last_message}"),
        ("summary", found.summary or UNKNOWN),
        ("entities", ", ".join(found.entities) or UNKNOWN),
        ("threads", ", ".join(found.threads) or UNKNOWN),
        ("quality", UNKNOWN if found.quality is None else f"{found.quality:g}"),
        ("came from", " ← ".join(parents) or UNKNOWN),
        ("led to", ", ".join(children) or UNKNOWN),
    ):
        _say(f"{name:<13} {text}")


@checkpoint.command()
@click.argument("message_id")
@data_dir_option
@json_option
def find(message_id: str, data_dir: Path | None, as_json: bool) -> None:
    """Which checkpoints have a message, newest first. Exit code 1 where none has.

    \b
    agentmon checkpoint find msg_01 --json | jq -r '.[0].path'
    """
    from agentmon.collab import checkpoints

    with reading(data_dir) as store, clear_fields():
        found = checkpoints.find_checkpoints(store.conn, message_id)
    if not found:
        raise Failure(f"no checkpoint has the message {message_id!r}")
    _print_all(found, as_json, "")


@checkpoint.command()
@click.argument("checkpoint_ids", metavar="[ID]...", nargs=-1)
@data_dir_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context, checkpoint_ids: tuple[str, ...], data_dir: Path | None, as_json: bool
) -> None:
    """Whether files are there, readable, and as they were registered; of all checkpoints, or some.

    Exit code 1 where anything is wrong.

    \b
    agentmon checkpoint verify 3f2a
    """
    from msgspec.structs import asdict

    from agentmon.collab import checkpoints

    with reading(data_dir) as store, clear_fields():
        conn = store.conn
        keys = checkpoint_ids or [row.checkpoint_id for row in checkpoints.recent(conn, limit=-1)]
        found = [checkpoints.verify(conn, key) for key in keys]
    if as_json:
        options.print_json([asdict(row) for row in found])
    for row in found if not as_json else ():
        for problem in row.problems or ["ok"]:
            _say(f"{row.checkpoint_id}  {problem}")
        for what in row.unchecked:
            options.complain(f"{row.checkpoint_id} not looked at: {what}")
    if not found:
        options.complain("no checkpoints")
    if any(row.problems for row in found):
        ctx.exit(1)


def _conversation(conn: sqlite3.Connection, name: str) -> str:
    """A thread between agents, or a session by what people call it."""
    from agentmon.collab import conversations
    from agentmon.report import naming

    try:
        if conversations.find(conn, name) is not None:
            return name
        return naming.find_session(conn, name) or name
    except naming.Unclear as problem:
        raise Failure(str(problem)) from problem


def _record(row: "Checkpoint") -> dict[str, object]:
    from msgspec.structs import asdict

    return asdict(row)


def _say(text: str) -> None:
    from agentmon.core.text import clean

    options.utf8_output()
    click.echo(clean(text))


def _print_one(row: "Checkpoint", as_json: bool) -> None:
    from agentmon.report.words import counted, size

    if as_json:
        options.print_json(_record(row))
    else:
        what = f"{counted(row.message_count, 'message')}, {size(row.size)}"
        _say(f"{row.checkpoint_id} {what}: {row.path}")


def _print_all(rows: "Sequence[Checkpoint]", as_json: bool, nothing: str) -> None:
    from agentmon.commands import printing
    from agentmon.report.table import Column, Painter

    if as_json:
        options.print_rows(_record(row) for row in rows)
        return
    columns = (
        Column("id", 12, 12),
        Column("kind", 4, 5),
        Column("conversation", 12, 36),
        Column("made", 4, 4, keep=3, right=True),
        Column("messages", 8, 8, keep=2, right=True),
        Column("size", 7, 8, keep=1, right=True),
        Column("summary", 7, 60, keep=4),
        Column("file", 8, 200, keep=5),
    )
    printing.print_table(columns, map(_cells, rows), Painter(), nothing=nothing)


def _cells(row: "Checkpoint") -> "Sequence[Cell]":
    from agentmon.report.table import Cell
    from agentmon.report.words import age, size

    texts = (
        row.checkpoint_id,
        row.kind,
        row.conversation,
        age(options.now() - row.created_at),
        f"{row.message_count:,}",
        size(row.size),
        row.summary,
        row.path,
    )
    return [Cell(text) for text in texts]
