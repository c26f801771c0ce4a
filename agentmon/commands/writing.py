"""What the commands that write what agents say share: the open store, who speaks, clear errors."""

import getpass
import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from agentmon import config
from agentmon.commands.options import Failure, Store, clear_errors, settings

F = TypeVar("F", bound=Callable[..., Any])


def by_option(fn: F) -> F:
    return click.option("--by", metavar="NAME", help="Who says so (default: your login name).")(fn)


def speaker(by: str | None) -> str:
    """Who speaks: as given, else the login name, else "user"."""
    if by is not None:
        return by
    try:
        return getpass.getuser() or "user"
    except (KeyError, OSError):
        return "user"


@contextmanager
def writing(data_dir: Path | None) -> Generator[Store, None, None]:
    """The store, made where there is none yet. Other processes may write it at the same time. What
    goes wrong is one sentence: a field that cannot be taken is an error of usage."""
    from agentmon.store import db

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    with clear_errors():
        conn = db.create(where)
        try:
            with clear_fields():
                yield Store(conn, where, loaded.settings)
        except sqlite3.Error as problem:
            raise Failure(db.cannot(where, "write to", problem)) from problem
        finally:
            conn.close()


@contextmanager
def clear_fields() -> Generator[None, None, None]:
    """A name that nothing answers to is a runtime error, a value that cannot be taken one of
    usage."""
    from agentmon.collab.fields import FieldError, NotThere

    try:
        yield
    except NotThere as problem:
        raise Failure(problem.reason) from problem
    except FieldError as problem:
        raise click.UsageError(str(problem)) from problem
