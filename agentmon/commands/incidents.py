"""`agentmon incidents`: a run looked back on."""

import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from agentmon import config
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    ascii_option,
    clear_errors,
    complain,
    data_dir_option,
    ends_on_sigterm,
    format_option,
    json_option,
    known_format,
    print_json,
    reading,
    settings,
)


@click.command()
@click.argument("paths", nargs=-1, metavar="[FILE]…", type=click.Path(allow_dash=True))
@click.option("--session", "name", metavar="SID", help="Only this session, by id or name.")
@click.option("--markdown", is_flag=True, help="Print a Markdown document.")
@click.option("--all", "everything", is_flag=True, help="With prompts and messages of agents.")
@click.option("--slow-after", metavar="TIME", help="From when on a call is told (default: 30s).")
@click.option("--stalled-after", metavar="TIME", help="Silence that is a stall, such as 30s.")
@click.option("--overdue-after", metavar="TIME", help="When a tool is overdue, such as 10m.")
@format_option
@ascii_option
@data_dir_option
@json_option
def incidents(
    paths: tuple[str, ...],
    name: str | None,
    markdown: bool,
    everything: bool,
    slow_after: str | None,
    stalled_after: str | None,
    overdue_after: str | None,
    format_: str | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """What happened in a run, in order, and what it rests on; where its time went.

    Stalls, errors, waits for a person, slow, overdue and failed tools, turns given up or without a
    stop, compactions, loops; then the slowest rounds. FILEs (logs, folders, "-") are read into a
    store of their own that is gone afterwards; without FILEs the session is looked up in yours.

    \b
    agentmon incidents run/sse_lines.jsonl
    agentmon incidents --session api-server --markdown > incident.md
    zstdcat old.jsonl.zst | agentmon incidents - --json | jq .counts
    """
    from agentmon.commands import printing
    from agentmon.engine.places import limits
    from agentmon.report import incident_pages
    from agentmon.report import incidents as report
    from agentmon.report.landmarks import SLOW, Terms
    from agentmon.report.naming import the_session

    if not paths and name is None:
        raise click.UsageError("give FILEs, or --session SID")
    if markdown and as_json:
        raise click.UsageError("give one of --json and --markdown")
    if paths and data_dir is not None:
        raise click.UsageError("FILEs are read into a store of their own: give no --data-dir")
    forced = known_format(format_)
    slow = SLOW if slow_after is None else options.seconds(slow_after, "--slow-after")
    given: dict[str, object] = {
        "health__stalled_after": stalled_after,
        "health__overdue_after": overdue_after,
        "ui__ascii": ascii_,
    }
    with _store(paths, forced, given, data_dir) as (conn, where, settings_):
        sid = None if name is None else the_session(conn, name)
        now = None if paths else options.now()
        found = report.load(conn, where, Terms(limits(settings_), slow, now), sid=sid)
        if as_json:
            print_json(report.as_json(found, everything=everything))
        elif markdown:
            printing.print_pieces(incident_pages.markdown_pieces(found, everything=everything))
        else:
            width, paint = printing.width(), printing.painter(settings_)
            pieces = incident_pages.text_pieces(
                found, width=width, paint=paint, everything=everything
            )
            printing.print_pieces(pieces)
        sys.stdout.flush()  # a store of many texts takes a while to go away


_Open = tuple[sqlite3.Connection, Path, config.Settings]


@contextmanager
def _store(
    paths: tuple[str, ...],
    forced: str | None,
    given: dict[str, object],
    data_dir: Path | None,
) -> Generator[_Open, None, None]:
    """The user's store, or one of these inputs that goes away again. Raises Failure."""
    if not paths:
        with reading(data_dir, **given) as store:
            yield store.conn, store.data_dir, store.settings
        return
    from agentmon.report.naming import Unclear
    from agentmon.store import db

    loaded = settings(**given)
    cut_off = ends_on_sigterm(128 + signal.SIGTERM)
    with clear_errors(), cut_off, tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        where = Path(folder)
        _read(where, paths, forced)
        conn = db.open_reading(where)
        try:
            yield conn, where, loaded.settings
        except Unclear as problem:
            raise Failure(str(problem).partition(":")[0]) from problem
        finally:
            conn.close()


def _read(where: Path, paths: tuple[str, ...], forced: str | None) -> None:
    """Reads inputs, and what their agents told each other. Raises Failure, StoreError, OSError."""
    from agentmon.collab.deriving import catch_up
    from agentmon.collab.observed_messages import RULE
    from agentmon.engine.ingest import Ingestion, Progress

    def tell(progress: Progress) -> None:
        whole = progress.bytes_read + progress.bytes_left
        share = progress.bytes_read / whole if whole else 1.0
        sys.stderr.write(f"\rreading {share * 100:3.0f}%")
        sys.stderr.flush()

    for path in paths:
        if path != "-" and not os.path.exists(path):
            raise FileNotFoundError(2, "no such file or folder", path)
    is_watched = sys.stderr.isatty()
    with Ingestion(where, forced=forced) as run:
        run.read_all(paths, on_progress=tell if is_watched else None)
        problems, count = run.summary().problems, run.engine.input_count
    if is_watched:
        sys.stderr.write("\r\x1b[K")
    for problem in problems:
        complain(problem)
    if not count:
        raise Failure(problems[-1] if problems else f"no logs below {', '.join(paths)}")
    catch_up(where, (RULE,))
