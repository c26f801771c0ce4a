"""What the commands share: options, settings, output, and errors as one sentence."""

import json
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from agentmon import config
from agentmon.core.text import clean, clean_json

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


def data_dir_option(fn: F) -> F:
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the store is (default: $XDG_DATA_HOME/agentmon).",
    )(fn)


def json_option(fn: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(fn)


def format_option(fn: F) -> F:
    return click.option(
        "--format",
        "format_",
        metavar="NAME",
        help="What the inputs are (sse-lines, transcript, rollout, stream-json, codex-exec, sse,"
        " hooks); told by their content otherwise.",
    )(fn)


def settings(**overrides: object) -> config.Loaded:
    """Settings with the flags that were given. Raises Failure for a bad value."""
    given = {key.replace("__", "."): value for key, value in overrides.items() if value is not None}
    try:
        loaded = config.load(given, os.environ)
    except config.ConfigError as problem:
        raise Failure(str(problem)) from problem
    for warning in loaded.warnings:
        complain(warning)
    return loaded


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


def json_text(value: object, indent: int | None = None) -> str:
    """JSON as it goes to standard output."""
    return clean_json(json.dumps(value, ensure_ascii=False, indent=indent))


def known_format(name: str | None) -> str | None:
    if name is not None:
        from agentmon.sources import formats

        try:
            formats.by_name(name)
        except formats.UnknownFormat as problem:
            raise click.BadParameter(str(problem), param_hint="--format") from problem
    return name


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
