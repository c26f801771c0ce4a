"""The screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from agentmon.commands.options import (
    clear_errors,
    clear_moments,
    data_dir_option,
    format_option,
    json_option,
    known_format,
    settings,
    utf8_output,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
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
