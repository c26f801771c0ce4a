"""The command line: arguments to a screen or a subcommand.

Data goes to stdout, messages to stderr. Exit codes: 0 ok, 1 runtime error, 2 usage, 130 Ctrl+C.
Whatever a command does not need is imported inside it: `dump` never loads the screen.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, cast

import click

from agentmon import __version__
from agentmon.commands.options import reconfigure

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
    "storing": "ingest dump doctor",
    "sums": "dashboard stats",
    "tap": "tap",
    "timeseries": "timeseries",
    "watching": "watch",
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
        return sorted(_ROOM_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        room = _ROOM_OF.get(cmd_name)
        if room is None:
            return None
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
                return at if arg in _ROOM_OF else None
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
