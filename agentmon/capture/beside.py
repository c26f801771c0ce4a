"""A tap beside one process: it listens before that begins, and is gone when that is.

The process becomes the client itself, so that terminal, signals, job control and exit code are
those of the client; the tap is nobody's child, in a session of its own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agentmon import config, logfile
from agentmon.capture import running
from agentmon.capture.aside import Moment
from agentmon.capture.log import CaptureLog
from agentmon.capture.losses import losses, sentence
from agentmon.capture.peer import Peer
from agentmon.capture.recorder import Exchange, Headers, Recorder

if TYPE_CHECKING:
    from agentmon.capture.proxy import Tap

POLL = 0.25
"""Seconds between two looks at the client, where the system does not tell when it ends."""

GRACE = 5.0
"""Seconds that streams of what the client started, and left behind, have to finish."""


TELLING = 2.0
"""Seconds between two looks at what could not be recorded."""


class CannotTap(Exception):
    """No tap could be started; the message says why."""


def start(upstream: str, log: CaptureLog, *, is_client: bool = True) -> str:
    """Starts a tap that ends with this process, whatever it becomes; the tap's address.

    `is_client`: it becomes the client; otherwise others will be. Raises CannotTap.
    """
    beside = os.getpid()
    client = Peer(beside, os.getcwd(), "") if is_client else None
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _between(upstream, log, beside, client, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as said:
        word, _, rest = said.read().decode("utf-8", "replace").partition(" ")
    if word != "url":
        raise CannotTap(rest or "it ended at once")
    return rest


def _between(
    upstream: str, log: CaptureLog, beside: int, client: Peer | None, writing: int
) -> None:
    """In a child of this process, which ends so that the tap has no parent. Does not return."""
    try:
        os.setsid()
        if os.fork() == 0:
            _let_go(writing)
            logfile.keep(config.state_dir(os.environ))
            asyncio.run(_serve(upstream, _OneClient(log, client), beside, writing))
    finally:
        os._exit(0)


def _let_go(writing: int) -> None:
    """Lets go of everything that was the client's: its terminal, its pipes, its folder."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    most = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, writing)
    os.closerange(writing + 1, min(most, 1 << 16) if most > 0 else 1 << 16)
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)


class _OneClient(Recorder):
    """Whose connection was gone before it was looked for was this client, or of its making."""

    def __init__(self, log: CaptureLog, client: Peer | None) -> None:
        self.moment = Moment()
        super().__init__(log, self.moment)
        self._client = client

    def begin(
        self, method: str, path: str, headers: Headers, body: bytes, peer: Peer | None
    ) -> Exchange:
        return super().begin(method, path, headers, body, peer or self._client)

    def close(self, alive: Callable[[int], bool] | None = None) -> None:
        """One that has ended and that nobody asked for yet is no process any more."""
        super().close(alive or (lambda pid: Peer(pid, "", "").is_alive()))


async def _serve(upstream: str, recorder: _OneClient, beside: int, writing: int) -> None:
    from agentmon.capture.proxy import Tap

    try:
        tap = Tap(upstream, recorder, grace=GRACE, clock=recorder.moment)
        said = f"url {await tap.start()}"
    except (OSError, ValueError) as problem:
        os.write(writing, f"problem {problem}".encode())
        return
    announced = _announce(tap, recorder, "")
    os.write(writing, said.encode())
    os.close(writing)
    telling = asyncio.ensure_future(_tell_losses(tap, recorder))
    try:
        await _ended(beside)
    finally:
        telling.cancel()
        if announced is not None:
            announced.unlink(missing_ok=True)
        await tap.stop()


def _announce(tap: "Tap", recorder: Recorder, problem: str) -> Path | None:
    log = Path(recorder.log.path)
    try:
        return running.announce(tap.url, tap.upstream.url, log, is_shared=False, problem=problem)
    except OSError:
        return None


async def _tell_losses(tap: "Tap", recorder: Recorder) -> None:
    """The terminal is the client's: agentmon's own log and `doctor` are told."""
    told = 0
    while True:
        await asyncio.sleep(TELLING)
        lost, reason = losses(tap, recorder)
        if lost > told:
            logfile.log.warning("tap: %s", sentence(lost, reason))
            _announce(tap, recorder, sentence(lost, reason))
        told = lost


async def _ended(pid: int) -> None:
    """Waits until a process is gone, or this one is told to end."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    if sys.platform == "linux":
        try:
            file = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError:  # an old kernel
            pass
        else:
            loop.add_reader(file, over.set)
            await over.wait()
            loop.remove_reader(file)
            os.close(file)
            return
    while not over.is_set() and _is_there(pid):
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), POLL)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
