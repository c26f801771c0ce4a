"""The command line: arguments to a screen or a subcommand.

Data goes to stdout, messages to stderr. Exit codes: 0 ok, 1 runtime error, 2 usage, 130 Ctrl+C.
Whatever a command does not need is imported inside it: `dump` never loads the screen.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import click

from agentmon import __version__, config
from agentmon.commands.options import (
    clear_errors,
    clear_moments,
    complain,
    data_dir_option,
    format_option,
    json_option,
    known_format,
    load,
    print_json,
    reconfigure,
    settings,
    utf8_output,
)
from agentmon.core.text import json_text

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


ROOMS = {
    "bundle": "bundle",
    "checkpoints": "checkpoint",
    "compare": "compare",
    "configuring": "config",
    "decisions": "decide decisions",
    "errors": "errors",
    "export": "export",
    "hooks": "hook hooks",
    "incidents": "incidents",
    "lists": "pending sessions stalled unbalanced",
    "mcp_server": "mcp",
    "messages": "send inbox listen messages",
    "metrics": "serve-metrics",
    "otel": "otel",
    "queries": "rounds show tool",
    "retention": "cleanup restore",
    "round": "parallel rate",
    "run": "run",
    "scripts": "status wait",
    "searching": "search",
    "ship": "ship",
    "sql": "sql",
    "sums": "dashboard stats",
    "tap": "tap",
    "timeseries": "timeseries",
    "work": "balance work",
}
"""Modules of `agentmon.commands`, and the names of the commands in them."""

_ROOM_OF = {name: room for room, names in ROOMS.items() for name in names.split()}


class Commands(click.Group):
    """`agentmon [PATH…]` is the screen; a first word that is a command is that command.

    Options may stand before the command, since `--data-dir` and `--json` belong to all of them.
    A command's room is imported when it is named: the screen does not wait for all of them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *_ROOM_OF])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        room = _ROOM_OF.get(cmd_name)
        if room is None:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"agentmon.commands.{room}")
        return cast("click.Command", getattr(module, cmd_name.replace("-", "_")))

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
            elif arg == "--replay":
                return None  # what follows are paths, whatever they are called
            elif not arg.startswith("-"):
                return at if arg in self.commands or arg in _ROOM_OF else None
            elif arg == "--":
                return None
        return None

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("agentmon", "[PATH…] [OPTIONS]  |  COMMAND [ARGS]…")


@click.group(cls=Commands, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, message="agentmon %(version)s")
def main() -> None:
    """Watch AI coding agents in a terminal.

    agentmon PATH follows logs (files, folders, FIFOs, "-"); alone it follows what it finds.
    See `agentmon watch --help` for the options of the screen.

    \b
    agentmon --demo                     a lively board, no agent needed
    agentmon                            the agents of this machine
    agentmon ~/centralized-logs         every log below a folder
    agentmon --replay run/sse_lines.jsonl old.jsonl.zst
    agentmon --once --json              the board, once, for a script

    Exit codes: 0 ok, 1 runtime error, 2 usage, 130 Ctrl+C.
    """


# -- the screen


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--replay", is_flag=True, help="Play PATHs from their beginning, as it happened.")
@click.option("--demo", is_flag=True, help="Play a bundled recording; touches no store.")
@click.option("--once", is_flag=True, help="Print the board once, as text, and exit.")
@click.option(
    "--at",
    metavar="TIME",
    help="Where --replay begins, or stands with --once: 14:03:20, +90s (from its beginning), -2m"
    " (before its end), 50%, an event #1234, or a round.",
)
@click.option("--events", is_flag=True, help="Print each event of --replay on a line, and exit.")
@click.option(
    "--speed",
    default="1",
    metavar="X",
    help="Speed of --replay and --demo: 0.25 to 64, or max.",
)
@click.option("--ascii", "ascii_", is_flag=True, default=None, help="No glyphs beyond ASCII.")
@click.option("--theme", metavar="NAME", help="A Textual theme, such as nord or textual-light.")
@click.option("--mouse", is_flag=True, default=None, help="Capture the mouse.")
@click.option("--redis", metavar="URL", help="Besides, what other machines ship there.")
@click.option(
    "--with-tap", is_flag=True, help="Start taps that end with the screen; shows what to paste."
)
@format_option
@click.option("--since", metavar="TIME", help="Which logs are read first, such as 24h.")
@click.option("--stalled-after", metavar="TIME", help="Silence that is a stall, such as 30s.")
@click.option("--overdue-after", metavar="TIME", help="When a tool is overdue, such as 10m.")
@data_dir_option
@json_option
def watch(
    paths: tuple[str, ...],
    replay: bool,
    demo: bool,
    once: bool,
    at: str | None,
    events: bool,
    speed: str,
    ascii_: bool | None,
    theme: str | None,
    mouse: bool | None,
    redis: str | None,
    with_tap: bool,
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
    agentmon --replay run.jsonl --at 14:03:20 --once --json
    agentmon --replay run.jsonl --events --json | jq .event
    tail -f log | agentmon -
    """
    import shutil

    from agentmon import showing

    loaded = settings(
        ui__ascii=ascii_,
        ui__theme=theme,
        ui__mouse=mouse,
        discover__since=since,
        health__stalled_after=stalled_after,
        health__overdue_after=overdue_after,
        store__data_dir=None if data_dir is None else str(data_dir),
    )
    if demo and (replay or paths):
        raise click.UsageError("give one of PATHs, --replay and --demo")
    if replay and not paths:
        raise click.UsageError("--replay needs a file, a folder, or -")
    if (at is not None or events) and not replay and not demo:
        raise click.UsageError("--at and --events are for --replay and --demo")
    is_shown = not (once or as_json or events) and sys.stdout.isatty() and _has_keyboard(paths)
    if with_tap and (demo or replay or not is_shown):
        raise click.UsageError("--with-tap needs a screen that follows agents")
    request = showing.Request(
        settings=loaded.settings,
        paths=() if replay else paths,
        replay=paths if replay else (),
        demo=demo,
        speed=_speed(speed),
        width=shutil.get_terminal_size((100, 24)).columns,
        color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        as_json=as_json,
        redis=redis,
        format=known_format(format_),
        at=at,
    )
    with clear_errors(), clear_moments():
        if as_json:
            utf8_output()
        if replay and data_dir is not None:
            showing.replay_in(data_dir)
        if events:
            for line in showing.print_events(request):
                click.echo(line)
            return
        if not is_shown:
            click.echo(showing.print_once(request))
            return
        if with_tap:
            from agentmon.commands.run import beside_the_screen

            request.taps = beside_the_screen(loaded.settings)
        sys.exit(showing.show(request))


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


# -- the worker and the store


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option("--follow", is_flag=True, help="Go on as the logs grow, until Ctrl+C.")
@click.option("--reprocess", is_flag=True, help="Digest kept events that are known by now.")
@click.option("--progress", is_flag=True, hidden=True)
@click.option("--found", is_flag=True, hidden=True)
@click.option("--redis", metavar="URL", help="Besides, what other machines ship there.")
@format_option
@data_dir_option
@json_option
def ingest(
    paths: tuple[str, ...],
    follow: bool,
    reprocess: bool,
    progress: bool,
    found: bool,
    redis: str | None,
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

    if not paths and not reprocess and redis is None:
        raise click.UsageError("give at least one PATH, --redis, or --reprocess")
    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    with clear_errors():
        if follow:
            forced = known_format(format_)
            sys.exit(worker.follow(where, paths, loaded.settings, forced, redis=redis))
        if redis is not None:
            from agentmon.engine.mirroring import Mirror

            mirror = Mirror.at(redis, where)
            mirror.take_all()
            paths = (*paths, mirror.folder)
        summary, failed = worker.ingest(
            where,
            paths,
            reprocess=reprocess,
            progress=progress,
            forced=known_format(format_),
            is_found=found,
        )
    if as_json:
        print_json(summary)
    elif not progress and (summary["bytes_read"] or not failed):
        click.echo(worker.summary_text(summary))
    for problem in failed:
        complain(problem)
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

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    utf8_output()
    with clear_errors():
        conn = db.open_reading(where)
        try:
            write = sys.stdout.write
            for record in Dump(conn, where, sid=sid, text=text).records():
                write(json_text(record) + "\n")
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
        settings: config.Loaded | config.ConfigError = load(
            {} if data_dir is None else {"store.data_dir": str(data_dir)}
        )
    except config.ConfigError as problem:
        settings = problem
    text, value, failed = worker.examine(settings, data_dir)
    if as_json:
        print_json(value)
    else:
        click.echo(text)
    if failed:
        sys.exit(1)


def run() -> NoReturn:
    """Runs the command line and ends the process with its exit code."""
    reconfigure(errors="replace")  # a locale without our glyphs is no error
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
    except SystemExit as leaving:
        code = leaving.code
    try:
        sys.stdout.flush()
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, errno.EIO):
            raise
        # nobody is there any more to read it: Python, which flushes as it ends, must not try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)
