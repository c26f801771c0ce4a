"""What the commands share: options, settings, output, and errors as one sentence."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from agentmon import config
from agentmon.core.text import clean, json_text

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """One clear sentence on stderr, exit code 1."""

    def show(self, file: Any = None) -> None:
        complain(self.format_message())


def complain(text: str) -> None:
    """One sentence on stderr. What it names, a path or an id, may have been named by an agent."""
    click.echo(f"agentmon: {clean(text, newline=False)}", err=True)


def now() -> float:
    """Epoch seconds. Commands ask here, so that what they say of a moment can be asked again."""
    return time.time()


class _Folder(click.Path):
    """A folder, as a `Path`: a command that is not given one does not import `pathlib` for it."""

    def coerce_path_result(self, value: str | os.PathLike[str]) -> Any:
        from pathlib import Path

        return Path(value)


def data_dir_option(fn: F) -> F:
    return _data_dir(_Folder(file_okay=False))(fn)


def data_path_option(fn: F) -> F:
    """The same, as a text, for what must be quick."""
    return _data_dir(click.Path(file_okay=False))(fn)


def _data_dir(kind: click.Path) -> Callable[[F], F]:
    about = "Where the store is (default: $XDG_DATA_HOME/agentmon)."
    return click.option("--data-dir", type=kind, help=about)


def json_option(fn: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(fn)


def format_option(fn: F) -> F:
    return click.option(
        "--format",
        "format_",
        metavar="NAME",
        help="What the inputs are (sse-lines, bundle, transcript, rollout, stream-json, codex-exec,"
        " sse, hooks); told by their content otherwise.",
    )(fn)


def since_option(fn: F) -> F:
    return click.option(
        "--since", metavar="TIME", help="From when on: 1h, 2d, or a time such as 2026-03-01T09:30."
    )(fn)


def ascii_option(fn: F) -> F:
    return click.option(
        "--ascii", "ascii_", is_flag=True, default=None, help="No glyphs beyond ASCII."
    )(fn)


def parse_since(text: str, now: float) -> float:
    """Epoch seconds of "90s", "1h", "2d" (so long before now) or an ISO date or time, which is
    local time where it names no zone. Raises click.BadParameter."""
    try:
        return now - config.duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as problem:
        raise click.BadParameter(
            f"{text!r} is no time: give 90s, 1h, 2d, or 2026-03-01T09:30", param_hint="--since"
        ) from problem


def seconds(text: str, option: str) -> float:
    """A time span such as "90s". Raises click.BadParameter."""
    try:
        return config.duration(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from problem


def settings(**overrides: object) -> config.Loaded:
    """Settings with the flags that were given. Raises Failure for a bad value."""
    try:
        loaded = load({key.replace("__", "."): value for key, value in overrides.items()})
    except config.ConfigError as problem:
        raise Failure(str(problem)) from problem
    for warning in loaded.warnings:
        complain(warning)
    return loaded


def load(given: Mapping[str, object]) -> config.Loaded:
    """Settings with what agents share in the store that they name. Raises ConfigError."""
    loaded = config.load(given, os.environ)
    where = data_path(loaded)
    if not os.path.exists(os.path.join(where, "agentmon.db")):  # nothing to import for that
        return loaded
    from agentmon.collab.shared import shared

    said = shared(where)
    return config.load(given, os.environ, said) if said else loaded


def data_path(loaded: config.Loaded) -> str:
    """The folder of the store, as a text."""
    return config.data_path(str(loaded.given.get("store.data_dir", "")), os.environ)


def utf8_output() -> None:
    """What programs read does not depend on the locale."""
    reconfigure(encoding="utf-8", errors="replace")


def reconfigure(**options: str) -> None:
    change: Callable[..., None] | None = getattr(sys.stdout, "reconfigure", None)
    if change is not None:
        change(**options)


def print_json(value: object) -> None:
    utf8_output()
    click.echo(json_text(value, indent=2))


def print_rows(rows: Iterable[object]) -> None:
    """A JSON array, one row a line, each as soon as it is there."""
    from agentmon.report.bodies import json_rows

    utf8_output()
    for number, piece in enumerate(json_rows(rows)):
        sys.stdout.write(piece)
        if number == 0:
            sys.stdout.flush()


class Store(NamedTuple):
    """A store that is open for reading, the folder it is in, and the settings."""

    conn: sqlite3.Connection
    data_dir: Path
    settings: config.Settings


def _refuse_older(conn: sqlite3.Connection, where: Path) -> None:
    from agentmon.store import db

    version = db.version_of(conn)
    if version is not None and version < db.SCHEMA_VERSION:
        raise Failure(
            f"the store in {where} was written by an older agentmon (schema {version}):"
            " `agentmon ingest --reprocess` brings it up to date"
        )


@contextmanager
def reading(data_dir: Path | None, **overrides: object) -> Generator[Store, None, None]:
    """The store of a command that reads; what goes wrong is one sentence. Raises Failure."""
    overrides["store__data_dir"] = None if data_dir is None else str(data_dir)
    with store_of(settings(**overrides)) as store:
        yield store


@contextmanager
def store_of(loaded: config.Loaded) -> Generator[Store, None, None]:
    """The same, with settings that were read already."""
    from agentmon.report.naming import Unclear
    from agentmon.store import db

    where = config.data_dir(loaded.settings, os.environ)
    with clear_errors():
        conn = db.open_reading(where)
        try:
            _refuse_older(conn, where)
            yield Store(conn, where, loaded.settings)
        except Unclear as problem:
            raise Failure(str(problem)) from problem
        except sqlite3.Error as problem:
            raise Failure(db.cannot(where, "read", problem)) from problem
        finally:
            conn.close()


def known_format(name: str | None) -> str | None:
    if name is not None:
        from agentmon.sources import formats

        try:
            formats.by_name(name)
        except formats.UnknownFormat as problem:
            raise click.BadParameter(str(problem), param_hint="--format") from problem
    return name


def redactor(no_redact: bool) -> Callable[[str], str]:
    """What is applied to everything that leaves."""
    from agentmon.core.redact import Redactor, keep

    return keep if no_redact else Redactor([os.path.expanduser("~")])


@contextmanager
def ends_on_sigterm(code: int = 0) -> Generator[None, None, None]:
    """Ends on SIGTERM, cleaning up: with exit code 0 what goes on until it is told to stop."""
    import signal

    def end(number: int, frame: object) -> None:
        del number, frame
        sys.exit(code)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def clear_errors() -> Generator[None, None, None]:
    """Errors that a person can act on become one sentence and exit code 1."""
    from agentmon.store.db import StoreError

    try:
        yield
    except StoreError as problem:
        raise Failure(str(problem)) from problem
    except BrokenPipeError:
        raise
    except OSError as problem:
        name = f"{problem.filename}: " if problem.filename else ""
        raise Failure(f"{name}{problem.strerror or problem}") from problem


@contextmanager
def clear_moments() -> Generator[None, None, None]:
    """A moment that can't be understood is a usage error; one that isn't there is not."""
    from agentmon.engine.moments import NoMoment
    from agentmon.report.naming import Unclear

    try:
        yield
    except NoMoment as problem:
        raise click.BadParameter(str(problem), param_hint="--at") from problem
    except Unclear as problem:
        raise Failure(str(problem)) from problem
