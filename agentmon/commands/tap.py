"""`agentmon tap`: passes a client's requests on to its model, and records what is said."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentmon import config, logfile
from agentmon.addresses import is_loopback, listen_address
from agentmon.capture import upstream
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    clear_errors,
    complain,
    data_dir_option,
    json_option,
    print_json,
    settings,
    utf8_output,
)

if TYPE_CHECKING:
    from agentmon.capture.aside import Moment
    from agentmon.capture.log import CaptureLog
    from agentmon.capture.proxy import Tap
    from agentmon.capture.recorder import Recorder
    from agentmon.config import Capture

INSTALL = "python3 -m pip install 'agentmon[tap]'"

INTERRUPTED = 130
"""What a command ends with on Ctrl+C."""

TELLING = 5.0
"""Seconds between two lines about what could not be recorded."""


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to; port 0 takes a free one and says which.",
)
@click.option(
    "--kind",
    type=click.Choice([*upstream.KINDS]),
    default="anthropic",
    show_default=True,
    help="Whose client it is for: that says where requests go.",
)
@click.option("--upstream", "to", metavar="URL", help="Where requests go instead.")
@click.option(
    "--log",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where it is recorded (default: sse_lines.jsonl in capture.folder).",
)
@click.option("--record-requests", is_flag=True, help="Record requests too, redacted.")
@click.option(
    "--port-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the address there once it listens; deleted at the end.",
)
@click.option(
    "--grace",
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long running streams may go on after SIGTERM or Ctrl+C; a second one ends at once.",
)
@click.option("--quiet", is_flag=True, help="Say nothing of what could not be recorded.")
@data_dir_option
@json_option
def tap(
    listen: str,
    kind: str,
    to: str | None,
    path: Path | None,
    record_requests: bool,
    port_file: Path | None,
    grace: str,
    quiet: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Record what a client and its model say, live, by standing between them.

    Prints the address to give to the client, and the log, which agentmon follows. Everything goes
    on byte for byte and as it comes; recording never holds it up. Credentials pass through and are
    not recorded. Needs the extra agentmon[tap].

    \b
    agentmon tap
    ANTHROPIC_BASE_URL=http://127.0.0.1:PORT claude

    \b
    agentmon tap --kind openai --listen 127.0.0.1:8787
    OPENAI_BASE_URL=http://127.0.0.1:8787/v1 CLIENT
    """
    try:
        host, port = listen_address(listen, "127.0.0.1:8787")
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--listen") from problem
    seconds = 0.0 if grace == "0" else options.seconds(grace, "--grace")
    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir)).settings
    logfile.keep(config.state_dir(os.environ))
    where = path or config.capture_dir(loaded, os.environ) / "sse_lines.jsonl"
    with clear_errors():
        recorder, clock = _recorder(where, loaded.capture, record_requests)
        made = _tap(to or upstream.KINDS[kind], recorder, clock, host, port, seconds)
        if not is_loopback(host):
            complain(
                f"{host} is reached from other machines: whoever reaches it can ask the model"
                " through this tap, and what they say is recorded here"
            )
        if made.upstream.is_plain:
            complain(f"what goes to {made.upstream.url} is not encrypted, credentials included")
        sys.exit(asyncio.run(_run(made, recorder, port_file, quiet, as_json)))


def _recorder(path: Path, sizes: "Capture", record_requests: bool) -> tuple["Recorder", "Moment"]:
    from agentmon.capture.aside import Moment
    from agentmon.capture.recorder import Recorder
    from agentmon.capture.requests import NAME, RequestLog

    clock = Moment()
    beside = path.with_name(NAME)
    requests = RequestLog(capture_log(beside, sizes)) if record_requests else None
    return Recorder(capture_log(path, sizes), clock, requests), clock


def capture_log(path: Path, sizes: "Capture") -> "CaptureLog":
    """A log that is put aside and deleted as the settings say."""
    from agentmon.capture.log import CaptureLog

    return CaptureLog(
        path, max_bytes=sizes.max_bytes, max_age=sizes.max_age, keep_bytes=sizes.keep_bytes
    )


def _tap(
    to: str, recorder: "Recorder", clock: "Moment", host: str, port: int, grace: float
) -> "Tap":
    try:
        from agentmon.capture.proxy import Tap
    except ImportError as problem:
        if problem.name not in ("aiohttp", "yarl", "multidict"):
            raise
        raise Failure(f"agentmon tap needs the extra agentmon[tap]: {INSTALL}") from problem
    try:
        return Tap(to, recorder, host=host, port=port, grace=grace, clock=clock)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--upstream") from problem


async def _run(
    made: "Tap", recorder: "Recorder", port_file: Path | None, quiet: bool, as_json: bool
) -> int:
    """Until SIGTERM or Ctrl+C; the exit code. Raises Failure, OSError."""
    loop = asyncio.get_running_loop()
    ends: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if ends.done():
            made.hurry()
        else:
            ends.set_result(code)

    loop.set_exception_handler(_keep_quiet)
    loop.add_signal_handler(signal.SIGTERM, end, 0)
    loop.add_signal_handler(signal.SIGINT, end, INTERRUPTED)
    try:
        url = await made.start()
    except ValueError as problem:
        raise Failure(str(problem)) from problem
    except OSError as problem:
        raise Failure(f"cannot listen: {problem.strerror or problem}") from problem
    announced: Path | None = None
    telling = asyncio.ensure_future(_tell_losses(made, recorder)) if not quiet else None
    try:
        announced = _announce(url, made, recorder)
        _say(url, made, recorder.log.path, as_json)
        if port_file is not None:
            _write(port_file, url)
        await ends
        running = made.status().running
        if running and not quiet:
            streams = "stream" if running == 1 else "streams"
            complain(f"waiting for {running} running {streams}; once more to end at once")
    finally:
        if announced is not None:
            _remove(announced)
        await made.stop()
        if telling is not None:
            telling.cancel()
            _tell(made, recorder, 0)
        if port_file is not None:
            _remove(port_file)
    return ends.result()


def _announce(url: str, made: "Tap", recorder: "Recorder") -> Path | None:
    """Lets `agentmon run` find it; without that it is a tap all the same."""
    from agentmon.capture import running

    try:
        return running.announce(url, made.upstream.url, Path(recorder.log.path))
    except OSError as problem:
        logfile.log.warning("tap: cannot be announced: %s", problem.strerror)
        return None


def _say(url: str, made: "Tap", log: str, as_json: bool) -> None:
    if as_json:
        print_json({"url": url, "upstream": made.upstream.url, "log": log})
    else:
        utf8_output()
        click.echo(f"{url}\n{log}")
    sys.stdout.flush()


def _write(path: Path, url: str) -> None:
    """The address, whole or not at all: who waits for the file may read it at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(url + "\n", encoding="utf-8")
    beside.replace(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _keep_quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio would print of a connection that broke may hold what a client said."""
    del loop
    logfile.log.warning("tap: %s", type(context.get("exception")).__name__)


async def _tell_losses(made: "Tap", recorder: "Recorder") -> None:
    told = 0
    while True:
        await asyncio.sleep(TELLING)
        told = _tell(made, recorder, told)


def _tell(made: "Tap", recorder: "Recorder", told: int) -> int:
    """Says what was lost since so much had been told of; how much it is now."""
    from agentmon.capture.losses import losses, sentence

    lost, reason = losses(made, recorder)
    if lost > told:
        complain(sentence(lost, reason))
    return lost
