"""`agentmon run -- CMD…`: a client with a tap, and nothing else to set up."""

import os
import shutil
import signal
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from agentmon import config
from agentmon.commands.options import (
    Failure,
    complain,
    data_dir_option,
    json_option,
    settings,
)

if TYPE_CHECKING:
    from agentmon.capture.clients import Client
    from agentmon.config import Settings

NOT_FOUND, NOT_RUNNABLE = 127, 126
"""What a shell ends with where a command is not there, or cannot be run."""


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="CMD…", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--client",
    type=click.Choice(["claude", "codex"]),
    help="Which client CMD starts, where its name does not say.",
)
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME={url}",
    help="A variable by which CMD is told where its model is; may be given again.",
)
@click.option("--upstream", metavar="URL", help="Where the model is, if not where it usually is.")
@click.option("--tap", metavar="URL", help="Use this running `agentmon tap`.")
@click.option(
    "--log",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where it is recorded (default: sse_lines.jsonl in capture.folder).",
)
@click.option("--quiet", is_flag=True, help="Do not say where the log is.")
@data_dir_option
@json_option
def run(
    words: tuple[str, ...],
    client: "Client | None",
    variables: tuple[str, ...],
    upstream: str | None,
    tap: str | None,
    path: Path | None,
    quiet: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Run an agent and record what it and its model say, live, for the screen.

    CMD runs as if it were started by itself: terminal, keys, signals and exit code are its own. Its
    requests pass byte for byte through a tap on this machine: a running `agentmon tap`, or one that
    ends with it. A gateway that is set already stays. Needs the extra agentmon[tap].

    \b
    agentmon run -- claude
    agentmon run -- codex exec "fix the test"
    agentmon run --env OPENAI_API_BASE={url}/v1 -- aider
    """
    del as_json
    from agentmon.capture import clients, running

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir)).settings
    log = (path or config.capture_dir(loaded, os.environ) / "sse_lines.jsonl").absolute()
    program = _program(words[0])
    try:
        way = clients.way(
            words,
            os.environ,
            Path.cwd(),
            client=client,
            variables=variables,
            upstream=upstream,
        )
    except clients.Unclear as problem:
        raise click.UsageError(str(problem)) from problem
    to = _upstream(way.upstream)
    url = running.find(to, log) if tap is None else tap.rstrip("/")
    if url is None:
        url = _start(to, log, loaded)
    argv, told = way.lead(url)
    if not quiet:
        complain(_says(words[0], to, url, None if tap is not None else log))
    _become(program, argv, {**os.environ, **clients.beside_proxies(os.environ), **told})


def beside_the_screen(given: "Settings") -> tuple[str, ...]:
    """Starts a tap for each client of this machine, which ends with this process; the lines that
    start these clients through them. Raises Failure."""
    import shlex

    from agentmon.capture import clients
    from agentmon.commands.hooks import present_clients

    log = (config.capture_dir(given, os.environ) / "sse_lines.jsonl").absolute()
    lines: list[str] = []
    for client in present_clients():
        try:
            way = clients.way([client], os.environ, Path.cwd())
        except clients.Unclear as problem:
            complain(str(problem))
            continue
        url = _start(_upstream(way.upstream), log, given, is_client=False)
        argv, told = way.lead(url)
        said = [f"{name}={shlex.quote(value)}" for name, value in told.items()]
        if argv != [client] or clients.beside_proxies(os.environ):
            said, argv = [], ["agentmon", "run", "--tap", url, "--", client]
        lines.append(" ".join([*said, *map(shlex.quote, argv)]))
    return tuple(lines)


def _says(word: str, upstream: str, url: str, log: Path | None) -> str:
    where = "" if log is None else f", recorded in {log}"
    return f"{os.path.basename(word)} speaks to {upstream} through {url}{where}"


def _program(word: str) -> str:
    """The file that a command's first word names. Ends this process as a shell would."""
    found = shutil.which(word)
    if found is not None:
        return found
    is_there = os.sep in word and os.path.exists(word)
    complain(f"{word}: {'cannot be run' if is_there else 'command not found'}")
    raise SystemExit(NOT_RUNNABLE if is_there else NOT_FOUND)


def _upstream(given: str) -> str:
    """An upstream's address as taps tell it. Raises BadParameter."""
    from agentmon.capture.upstream import parse

    try:
        found = parse(given)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--upstream") from problem
    if found.is_plain:
        complain(f"what goes to {found.url} is not encrypted, credentials included")
    return found.url


def _start(upstream: str, log: Path, given: "Settings", *, is_client: bool = True) -> str:
    from agentmon.capture import beside
    from agentmon.commands.tap import INSTALL, capture_log

    try:
        import_module("aiohttp")  # before the tap is on its own: what is missing is said here
    except ImportError as problem:
        raise Failure(f"agentmon run needs the extra agentmon[tap]: {INSTALL}") from problem

    try:
        return beside.start(upstream, capture_log(log, given.capture), is_client=is_client)
    except (beside.CannotTap, OSError) as problem:
        raise Failure(f"no tap could be started: {problem}") from problem


def _become(program: str, argv: Sequence[str], environ: dict[str, str]) -> NoReturn:
    """This process goes on as the command. Python's own ways with signals are not handed down."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(program, [*argv], environ)
    except OSError as problem:
        complain(f"{argv[0]}: {problem.strerror or problem}")
        raise SystemExit(NOT_RUNNABLE) from problem
