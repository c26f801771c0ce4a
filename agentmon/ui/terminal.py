"""The terminal we are painted on, when it goes away without a word.

A terminal that closes sends SIGHUP, but only to a session that it controls. Elsewhere reading from
it just ends: Textual's input thread then asks again and again and takes a whole core, and its
writer stands still, with it the loop. So the kernel is asked to tell.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable

GONE = 128 + signal.SIGHUP
"""The exit code, as shells write it."""

PATIENCE = 5.0
"""Seconds for an orderly end, after which the process ends where it stands: nothing is lost by it,
a store outlives kill -9."""


def when_gone(fileno: int, tell: Callable[[], object]) -> None:
    """Calls `tell` from a thread once nobody is at the other end."""
    threading.Thread(
        target=_wait, args=(fileno, tell), name="agentmon-terminal", daemon=True
    ).start()


def _wait(fileno: int, tell: Callable[[], object]) -> None:
    try:
        hearing = select.poll()
        hearing.register(fileno, 0)  # hang-ups and errors are told without being asked for
        heard = hearing.poll()
    except (AttributeError, OSError):
        return  # a system that cannot tell
    if any(event & select.POLLNVAL for _, event in heard):
        return
    with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
        tell()
    time.sleep(PATIENCE)
    os._exit(GONE)
