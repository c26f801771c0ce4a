"""`agentmon bundle`: sessions as one file to pass on, to replay, and to look at in a browser."""

import contextlib
import os
import pwd
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from agentmon.commands import options
from agentmon.commands.options import Failure, data_dir_option, json_option, print_json

if TYPE_CHECKING:
    from agentmon.core.redact import Redactor
    from agentmon.report.bundle import Summary
    from agentmon.store.read_retelling import SessionTale


@click.command()
@click.option(
    "--session",
    "names",
    multiple=True,
    metavar="SESSION",
    help="A session id, the start of one, or the name on the board; may be given again.",
)
@options.since_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    help="Where to: .zst and .gz are compressed; - is stdout.",
)
@click.option(
    "--html", type=click.Path(dir_okay=False), help="A static page with the timeline, as well."
)
@click.option("--deltas", type=click.IntRange(min=0), hidden=True, help="The newest; else blocks.")
@click.option("--no-redact", is_flag=True, help="Leave secrets, home folders and names in.")
@data_dir_option
@json_option
def bundle(
    names: tuple[str, ...],
    since: str | None,
    output: str | None,
    html: str | None,
    deltas: int | None,
    no_redact: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Sessions as one file that holds all of them: every delta at its time.

    Secrets of well-known shapes, words that look like keys, home folders and names of users and of
    this machine are taken out. That lowers a risk and removes none: look before you pass it on.

    \b
    agentmon bundle --session api-server -o run.agentmon.zst
    agentmon bundle --since 2h -o today.agentmon.gz --html today.html
    agentmon --replay run.agentmon.zst
    """
    from agentmon.report import bundle as bundles

    if output is None and html is None:
        raise click.UsageError("give -o FILE, --html FILE, or both")
    if not names and since is None:
        raise click.UsageError("give --session or --since")
    with options.reading(data_dir) as store:
        store.conn.execute(
            "BEGIN"
        )  # one snapshot: what is read late agrees with what was read early
        moment = None if since is None else options.parse_since(since, options.now())
        sessions = _sessions(store.conn, names, moment)
        redactor = None if no_redact else _redactor(store.conn, sessions)
        summary = None
        if output is not None:
            with _writing(output) as put:
                fine = 0.0 if deltas is None else _fine(store.conn, sessions, deltas)
                summary = bundles.write(
                    *(store.conn, store.data_dir, sessions, redactor, put), deltas_since=fine
                )
        if html is not None:
            _page(store, sessions, redactor, html)
    if output == "-":
        return
    found = {"sessions": [one.sid for one in sessions], "output": output, "html": html}
    if as_json:
        counts = {name: getattr(summary, name, None) for name in ("lines", "bytes", "redacted")}
        print_json({**found, **counts})
    else:
        click.echo(_said(sessions, summary, output, html))


def _fine(conn: sqlite3.Connection, sessions: "Sequence[SessionTale]", deltas: int) -> float:
    from agentmon.store import read_retelling

    return read_retelling.time_of_newest(conn, [one.sid for one in sessions], deltas)


def _sessions(
    conn: sqlite3.Connection, names: Sequence[str], since: float | None
) -> "list[SessionTale]":
    from agentmon.report import naming
    from agentmon.store import read_retelling

    if not names:
        found = read_retelling.sessions(conn, since=since)
        if not found:
            raise Failure("no session was heard of since then")
        return found
    sids = dict.fromkeys(naming.the_session(conn, name) for name in names)
    each = [one for sid in sids for one in read_retelling.sessions(conn, sid=sid)]
    kept = [one for one in each if since is None or (one.last_time or 0.0) >= since]
    if not kept:
        raise Failure("none of these sessions was heard of since then")
    return kept


def _redactor(conn: sqlite3.Connection, sessions: "Sequence[SessionTale]") -> "Redactor":
    """With the names that this machine and the sessions' folders tell."""
    from agentmon.core.redact import Redactor
    from agentmon.report.bundle import people
    from agentmon.store import read_retelling

    home = os.path.expanduser("~")
    users = {os.environ.get("USER", ""), os.environ.get("LOGNAME", ""), os.path.basename(home)}
    with contextlib.suppress(KeyError):
        users.add(pwd.getpwuid(os.getuid()).pw_name)
    hosts = {socket.gethostname(), *read_retelling.hosts(conn)}
    hosts |= {host.partition(".")[0] for host in hosts}
    return Redactor([home], sorted({*users, *people(sessions)} - {""}), sorted(hosts - {""}))


@contextmanager
def _writing(output: str) -> Generator[Callable[[bytes], object], None, None]:
    """To a file of its owner, whole or not at all; or to stdout."""
    from agentmon.compression import NoLibrary, writer

    if output == "-":
        stdout: IO[bytes] = sys.stdout.buffer
        yield stdout.write
        stdout.flush()
        return
    with _whole_file(output) as file:
        try:
            packed = writer(file, output)
        except NoLibrary as problem:
            raise Failure(str(problem)) from problem
        yield packed.write
        if packed is not file:
            packed.close()


@contextmanager
def _whole_file(output: str) -> Generator[IO[bytes], None, None]:
    target = Path(output)
    fd, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _page(
    store: options.Store,
    sessions: "Sequence[SessionTale]",
    redactor: "Redactor | None",
    output: str,
) -> None:
    from agentmon.report.pages import timeline
    from agentmon.report.pages.shape import Shape
    from agentmon.report.roundreading import SessionReader
    from agentmon.report.texts import TextReader

    texts = TextReader(store.conn, store.data_dir)
    shape, outline = Shape(texts, redact=redactor), Shape(texts, ("prompts",), redactor)
    readers = (SessionReader(store.conn, one.sid) for one in sessions)
    with _whole_file(output) as file:
        for piece in timeline.pieces(readers, shape, outline):
            file.write(piece.encode("utf-8", "replace"))


def _said(
    sessions: "Sequence[SessionTale]",
    summary: "Summary | None",
    output: str | None,
    html: str | None,
) -> str:
    from agentmon.report.words import size

    count = f"{len(sessions)} session{'' if len(sessions) == 1 else 's'}"
    said: list[str] = []
    if summary is not None and output is not None:
        written = os.path.getsize(output)
        said.append(f"{output}: {count}, {summary.lines:,} lines, {size(written)}")
        if summary.redacted is None:
            said.append("nothing was taken out")
        else:
            found = (f"{number} {kind}" for kind, number in summary.redacted.items())
            said.append(f"taken out: {', '.join(found) or 'nothing was found'}")
        said.append(f"agentmon --replay {output}")
    if html is not None:
        said.append(f"{html}: {count}, {size(os.path.getsize(html))}")
    return "\n".join(said)
