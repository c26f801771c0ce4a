"""The command line: arguments to a screen or a subcommand.

Data goes to stdout, messages to stderr. Exit codes: 0 ok, 1 runtime error, 2 usage, 130 Ctrl+C.
Whatever a command does not need is imported inside it: `dump` never loads the screen.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import click

from agentmon import __version__, config

F = TypeVar("F", bound=Callable[..., Any])

Until = Literal["idle", "permission", "tool-done", "ended"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Failure(click.ClickException):
    """One clear sentence on stderr, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"agentmon: {self.format_message()}", err=True)


class Commands(click.Group):
    """`agentmon [PATH…]` is the screen; a first word that is a command is that command.

    Options may stand before the command, since `--data-dir` and `--json` belong to all of them.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in ("-h", "--help", "--version"):
            return super().parse_args(ctx, args)
        at = self._command_at(args)
        ordered = ["watch", *args] if at is None else [args[at], *args[:at], *args[at + 1 :]]
        return super().parse_args(ctx, ordered)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # who reads us has seen enough: leave quietly, also when Python flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)

    def _command_at(self, args: Sequence[str]) -> int | None:
        skip = False
        for at, arg in enumerate(args):
            if skip:
                skip = False
            elif arg == "--data-dir":
                skip = True
            elif not arg.startswith("-"):
                return at if arg in self.commands else None
            elif arg == "--":
                return None
        return None

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("agentmon", "[PATH…] [OPTIONS]  |  COMMAND [ARGS]…")


@click.group(cls=Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, message="agentmon %(version)s")
def main() -> None:
    """Watch AI coding agents from the wire, in a terminal.

    agentmon PATH follows logs (files, folders, FIFOs, "-"); alone it follows what it finds.
    See `agentmon watch --help` for the options of the screen.

    \b
    agentmon --demo                     a lively board, no agent needed
    agentmon ~/centralized-logs         every sse_lines.jsonl below a folder
    agentmon --replay run/sse_lines.jsonl
    agentmon --once --json              the board, once, for a script

    Exit codes: 0 ok, 1 runtime error, 2 usage, 130 Ctrl+C.
    """


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


def _settings(**overrides: object) -> config.Loaded:
    """Settings with the flags that were given. Raises Failure for a bad value."""
    given = {key.replace("__", "."): value for key, value in overrides.items() if value is not None}
    try:
        loaded = config.load(given, os.environ)
    except config.ConfigError as problem:
        raise Failure(str(problem)) from problem
    for warning in loaded.warnings:
        click.echo(f"agentmon: {warning}", err=True)
    return loaded


def _utf8_output() -> None:
    """What programs read does not depend on the locale."""
    _reconfigure(encoding="utf-8", errors="replace")


def _reconfigure(**options: str) -> None:
    change: Callable[..., None] | None = getattr(sys.stdout, "reconfigure", None)
    if change is not None:
        change(**options)


def _print_json(value: object) -> None:
    _utf8_output()
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


# -- the screen


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--replay", "replay", type=click.Path(), help="Play a finished log.")
@click.option("--demo", is_flag=True, help="Play a bundled recording; touches no store.")
@click.option("--once", is_flag=True, help="Print the board once, as text, and exit.")
@click.option(
    "--speed",
    default="1",
    metavar="X",
    help="Speed of --replay and --demo: 0.25 to 64, or max.",
)
@click.option("--ascii", "ascii_", is_flag=True, default=None, help="No glyphs beyond ASCII.")
@click.option("--theme", metavar="NAME", help="A Textual theme, such as nord or textual-light.")
@click.option("--mouse", is_flag=True, default=None, help="Capture the mouse.")
@format_option
@click.option("--since", metavar="TIME", help="Which logs are read first, such as 24h.")
@click.option("--stalled-after", metavar="TIME", help="Silence that is a stall, such as 30s.")
@click.option("--overdue-after", metavar="TIME", help="When a tool is overdue, such as 10m.")
@data_dir_option
@json_option
def watch(
    paths: tuple[str, ...],
    replay: str | None,
    demo: bool,
    once: bool,
    speed: str,
    ascii_: bool | None,
    theme: str | None,
    mouse: bool | None,
    format_: str | None,
    since: str | None,
    stalled_after: str | None,
    overdue_after: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """The screen: follow PATHs, or whatever logs are found on this machine.

    Without a terminal (or with --once) the board is printed once. Keys: ? shows them all.

    \b
    agentmon ~/centralized-logs/claude/sse_lines.jsonl
    agentmon --demo
    tail -f log | agentmon -
    """
    from agentmon import showing

    loaded = _settings(
        ui__ascii=ascii_,
        ui__theme=theme,
        ui__mouse=mouse,
        discover__since=since,
        health__stalled_after=stalled_after,
        health__overdue_after=overdue_after,
        store__data_dir=None if data_dir is None else str(data_dir),
    )
    if (replay is not None) + demo + bool(paths) > 1:
        raise click.UsageError("give one of PATHs, --replay and --demo")
    request = showing.Request(
        settings=loaded.settings,
        paths=paths,
        replay=replay,
        demo=demo,
        speed=_speed(speed),
        width=shutil.get_terminal_size((100, 24)).columns,
        color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        as_json=as_json,
        format=_known_format(format_),
    )
    with _clear_errors():
        if as_json:
            _utf8_output()
        if once or as_json or not (sys.stdout.isatty() and _has_keyboard(paths)):
            click.echo(showing.print_once(request))
        else:
            sys.exit(showing.show(request))


def _known_format(name: str | None) -> str | None:
    if name is not None:
        from agentmon.sources import formats

        try:
            formats.by_name(name)
        except formats.UnknownFormat as problem:
            raise click.BadParameter(str(problem), param_hint="--format") from problem
    return name


def _has_keyboard(paths: Iterable[str]) -> bool:
    return sys.stdin.isatty() or ("-" in paths and os.path.exists("/dev/tty"))


def _speed(text: str) -> float:
    if text == "max":
        return float("inf")
    try:
        value = float(text.removesuffix("x"))
    except ValueError as problem:
        raise click.BadParameter(f"{text!r} is not a speed", param_hint="--speed") from problem
    if not 0.25 <= value <= 64:
        raise click.BadParameter("give 0.25 to 64, or max", param_hint="--speed")
    return value


@contextmanager
def _clear_errors() -> Generator[None, None, None]:
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


# -- the worker and the store


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--follow", is_flag=True, help="Go on as the logs grow, until Ctrl+C.")
@click.option("--reprocess", is_flag=True, help="Digest kept events that are known by now.")
@click.option("--progress", is_flag=True, hidden=True)
@click.option("--found", is_flag=True, hidden=True)
@format_option
@data_dir_option
@json_option
def ingest(
    paths: tuple[str, ...],
    follow: bool,
    reprocess: bool,
    progress: bool,
    found: bool,
    format_: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """The worker alone: read PATHs into the store and print a summary.

    \b
    agentmon ingest ~/centralized-logs
    agentmon ingest --follow sse_lines.jsonl
    zstdcat old.jsonl.zst | agentmon ingest -
    """
    from agentmon import worker

    if not paths and not reprocess:
        raise click.UsageError("give at least one PATH, or --reprocess")
    loaded = _settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    with _clear_errors():
        if follow:
            sys.exit(worker.follow(where, paths, loaded.settings, _known_format(format_)))
        summary, failed = worker.ingest(
            where,
            paths,
            reprocess=reprocess,
            progress=progress,
            forced=_known_format(format_),
            is_found=found,
        )
    if as_json:
        _print_json(summary)
    elif not progress and (summary["bytes_read"] or not failed):
        click.echo(worker.summary_text(summary))
    for problem in failed:
        click.echo(f"agentmon: {problem}", err=True)
    if failed:
        sys.exit(1)


@main.command()
@click.option("--session", "sid", metavar="SID", help="Only this session.")
@click.option("--text", is_flag=True, help="With the text of blocks and results.")
@data_dir_option
@json_option
def dump(sid: str | None, text: bool, data_dir: Path | None, as_json: bool) -> None:
    """Everything known, one JSON object a line, in a stable order.

    \b
    agentmon dump | jq 'select(.kind == "tool_result" and .is_error)'
    """
    from agentmon.report.dump import Dump
    from agentmon.store import db

    loaded = _settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    _utf8_output()
    with _clear_errors():
        conn = db.open_reading(where)
        try:
            write = sys.stdout.write
            for record in Dump(conn, where, sid=sid, text=text).records():
                write(json.dumps(record, ensure_ascii=False) + "\n")
        finally:
            conn.close()


@main.command()
@data_dir_option
@json_option
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """What was found, what is wrong, and how to mend it. Exit code 1 if anything fails.

    \b
    agentmon doctor --json
    """
    from agentmon import worker

    try:
        settings: config.Loaded | config.ConfigError = config.load(
            {} if data_dir is None else {"store.data_dir": str(data_dir)}, os.environ
        )
    except config.ConfigError as problem:
        settings = problem
    text, value, failed = worker.examine(settings, data_dir)
    if as_json:
        _print_json(value)
    else:
        click.echo(text)
    if failed:
        sys.exit(1)


@main.command()
@click.option("--tmux", is_flag=True, help="One short line for tmux's status-right.")
@click.option("--ascii", "ascii_", is_flag=True, default=None, help="No glyphs beyond ASCII.")
@data_dir_option
@json_option
def status(tmux: bool, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """How many agents work, need you, or are stuck, in one line.

    Reads the store that a running agentmon writes; without one, the figures carry their age.

    \b
    agentmon status
    tmux set -g status-right '#(agentmon status --tmux)'
    """
    from agentmon.engine.places import limits
    from agentmon.report import status as statuses

    loaded = _settings(
        ui__ascii=ascii_, store__data_dir=None if data_dir is None else str(data_dir)
    )
    where = config.data_dir(loaded.settings, os.environ)
    with _clear_errors():
        found = statuses.glance(where, time.time(), limits(loaded.settings))
    if as_json:
        _print_json(statuses.as_json(found))
        return
    _utf8_output()
    line = statuses.tmux_line if tmux else statuses.plain_line
    click.echo(line(found, ascii=loaded.settings.ui.ascii))


@main.command()
@click.option(
    "--session",
    "name",
    required=True,
    metavar="SESSION",
    help="A session id, the start of one, or the name on the board.",
)
@click.option(
    "--until",
    type=click.Choice(["idle", "permission", "tool-done", "ended"]),
    default="idle",
    show_default=True,
    help="What to wait for.",
)
@click.option("--timeout", metavar="TIME", help="Give up after so long, such as 90s: exit code 1.")
@data_dir_option
@json_option
def wait(
    name: str, until: Until, timeout: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Wait until an agent is idle, asks for permission, has its tools back, or ends.

    Exit codes: 0 it holds, 1 it does not hold in time or cannot any more, 2 usage, 130 Ctrl+C.
    Needs a running agentmon (or `agentmon ingest --follow`) that keeps the store up to date.

    \b
    agentmon wait --session api-server --until permission && notify-send "api-server asks"
    agentmon wait --session 5b1d2c3e --until idle --timeout 10m
    """
    from agentmon.report import status as statuses

    loaded = _settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    seconds = None if timeout is None else _time(timeout, "--timeout")
    with _clear_errors():
        try:
            outcome = statuses.wait(
                where,
                name,
                until,
                timeout=seconds,
                tell=lambda text: click.echo(f"agentmon: {text}", err=True),
            )
        except statuses.Ambiguous as problem:
            raise Failure(str(problem)) from problem
    if as_json:
        _print_json({"outcome": outcome.word, "reason": outcome.reason})
    elif outcome.exit_code:
        click.echo(f"agentmon: {outcome.reason}", err=True)
    sys.exit(outcome.exit_code)


def _time(text: str, option: str) -> float:
    try:
        return config.duration(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from problem


@main.command(name="config")
@data_dir_option
@json_option
def config_(data_dir: Path | None, as_json: bool) -> None:
    """Each setting, its value, and where it came from.

    Order: flag, environment (AGENTMON_HEALTH__STALLED_AFTER), config file, default.

    \b
    agentmon config --json
    """
    loaded = _settings(store__data_dir=None if data_dir is None else str(data_dir))
    found = config.rows(loaded)
    if as_json:
        _print_json({"file": str(config.config_file(os.environ)), "settings": found})
        return
    click.echo(f"# {config.config_file(os.environ)}")
    for row in found:
        click.echo(f"{row['key']} = {row['value']!r}    # {row['origin']}: {row['help']}")


def run() -> NoReturn:
    """Runs the command line and ends the process with its exit code."""
    _reconfigure(errors="replace")  # a locale without our glyphs is no error
    code: object = 0
    try:
        code = main(standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)
