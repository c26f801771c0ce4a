"""Sending the logs of this machine to where all machines are watched."""

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING

import click

from agentmon.commands.options import (
    Failure,
    clear_errors,
    complain,
    json_option,
    print_json,
    settings,
)

if TYPE_CHECKING:
    from agentmon.engine.shipping import Shipper


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--redis",
    "url",
    metavar="URL",
    help="redis://, rediss:// or unix://; else the setting redis.url.",
)
@click.option("--host", metavar="NAME", help="What this machine is called there.")
@click.option("--once", is_flag=True, help="Send what is there, and exit.")
@click.option(
    "--max-mb",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Wait while so much in Redis has not been read.",
)
@json_option
def ship(
    paths: tuple[str, ...],
    url: str | None,
    host: str | None,
    once: bool,
    max_mb: int,
    as_json: bool,
) -> None:
    """Send the logs of this machine to Redis: PATHs, or whatever is found here.

    `agentmon --redis URL` shows them beside those of the other machines. How far each log is sent
    is kept in Redis with what was sent: nothing is sent twice, or left out, after a crash.

    \b
    agentmon ship --redis redis://logs.example:6379/0
    agentmon ship --redis unix:///run/redis.sock --once ~/centralized-logs
    """
    from redis.exceptions import RedisError

    from agentmon.collab.redis_client import why
    from agentmon.engine.places import inputs
    from agentmon.engine.shipping import Shipper

    name = (host or socket.gethostname()).strip()
    if not name:
        raise click.BadParameter("a machine needs a name", param_hint="--host")
    loaded = settings().settings
    url = url or loaded.redis.url
    if not url:
        raise click.UsageError("give --redis URL, or set redis.url")
    with clear_errors():
        missing = next((path for path in paths if not os.path.exists(path)), None)
        if missing is not None and once:
            raise FileNotFoundError(2, "no such file or folder", missing)
        try:
            shipper = Shipper(
                url,
                name,
                lambda: inputs(loaded, paths).expanded,
                poll=loaded.follow.poll,
                max_bytes=max_mb << 20,
            )
        except ValueError as problem:
            raise click.BadParameter(str(problem), param_hint="--redis") from None
        try:
            code = asyncio.run(_run(shipper, once=once))
        except (RedisError, TimeoutError) as problem:
            raise Failure(f"cannot ship to Redis: {why(problem, url)}") from None
    sent = shipper.shipped
    if as_json:
        print_json({"host": name, "pieces": sent.pieces, "bytes": sent.bytes})
    elif once:
        click.echo(f"{sent.bytes:,} bytes of {name} sent in {sent.pieces:,} pieces")
    if code:
        raise SystemExit(code)


async def _run(shipper: "Shipper", *, once: bool) -> int:
    """The exit code: 0 when it was told to end, 130 after Ctrl+C."""
    work = asyncio.ensure_future(shipper.run(once=once))
    loop = asyncio.get_running_loop()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        work.cancel()

    loop.add_signal_handler(signal.SIGINT, end, 130)
    loop.add_signal_handler(signal.SIGTERM, end, 0)
    told: str | None = None
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=1.0)
            problem = shipper.shipped.problem
            if problem is not None and problem != told:
                complain(problem)
            told = problem
        if not work.cancelled():
            work.result()
    finally:
        await shipper.close()
    return codes[0] if codes else 0
