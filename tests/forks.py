"""Commands forked from a process that has imported the program.

Such a command is a process of its own, with its own descriptors, environment, signals and exit
code; only the half second is saved in which Python starts and imports.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn, cast

from agentmon.store import db
from tests import ready_store

ROOT = Path(__file__).resolve().parents[1]


class Forked:
    """A forked command; what `subprocess.Popen` offers of it, as far as tests ask.

    `module` is what Python would run as its main program. A `fresh` one has nothing of the program
    imported, and does so itself in its own order.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        module: str = "agentmon.__main__",
        fresh: bool = False,
        stdin: int | None = None,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
    ) -> None:
        given, self.stdin = _end(stdin, 0)
        out, self.stdout = _end(stdout, 1)
        err, self.stderr = _end(stderr, 2)
        self._report, theirs = socket.socketpair()
        try:
            socket.send_fds(_server(), [b"+"], [given, out, err, theirs.fileno()])
        finally:
            theirs.close()
            for fd in (given, out, err):
                os.close(fd)
        self._said = self._report.makefile("rb")
        self.args = args
        where = os.fspath(cwd or os.getcwd())
        request = {"module": module, "fresh": fresh, "args": args, "cwd": where, "env": dict(env)}
        self._report.sendall(json.dumps(request).encode() + b"\n")
        self.pid = int(self._said.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and self._has_ended(0.0):
            self._learn()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that killed it. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not self._has_ended(timeout):
                raise subprocess.TimeoutExpired("agentmon", timeout or 0.0)
            self._learn()
        assert self.returncode is not None
        return self.returncode

    def _has_ended(self, within: float | None) -> bool:
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        return bool(poll.poll(None if within is None else within * 1000))

    def _learn(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(int(self._said.readline()))
        self._said.close()
        self._report.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and nobody said so yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: bytes = b"", timeout: float | None = None) -> tuple[bytes, bytes]:
        """Gives it that to read, and returns what it says until its end.

        Raises subprocess.TimeoutExpired.
        """
        said: dict[int, bytes] = {}

        def read(number: int, stream: IO[bytes]) -> None:
            with stream:
                said[number] = stream.read()

        def write(stream: IO[bytes]) -> None:
            with contextlib.suppress(BrokenPipeError), stream:
                stream.write(given)

        threads = [
            threading.Thread(target=read, args=(number, stream), daemon=True)
            for number, stream in ((1, self.stdout), (2, self.stderr))
            if stream is not None and not stream.closed
        ]
        if self.stdin is not None and not self.stdin.closed:
            threads.append(threading.Thread(target=write, args=(self.stdin,), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout)
            if thread.is_alive():
                raise subprocess.TimeoutExpired("agentmon", timeout or 0.0)
        self.wait(timeout)
        return said.get(1, b""), said.get(2, b"")


def _end(how: int | None, number: int) -> tuple[int, IO[bytes] | None]:
    """The descriptor for the command, and for a pipe the other end of it."""
    if how == subprocess.PIPE:
        read, write = os.pipe()
        if number == 0:
            return read, open(write, "wb")
        return write, open(read, "rb")
    if how == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_RDWR), None
    return os.dup(number if how is None else how), None


@functools.cache
def _server() -> socket.socket:
    """Where commands are asked for; started at the first, it ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# -- the server


def _import_all() -> None:
    """Everything of the program but the screen, and what its commands need of others."""
    import agentmon

    for module in pkgutil.walk_packages(agentmon.__path__, "agentmon."):
        if module.name.startswith(("agentmon.ui", "agentmon.__main__")):
            continue
        with contextlib.suppress(ImportError):  # what an extra brings
            importlib.import_module(module.name)


def _serve(asked: socket.socket) -> None:
    """Forks what is asked for, and reports how each ended, until nobody can ask any more."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, _note)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([asked, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _reap(running)
        if asked in ready:
            word, given, _, _ = socket.recv_fds(asked, 1, 4)
            if not word:
                break
            report = socket.socket(fileno=given.pop())
            with report.makefile("rb") as said:
                request = json.loads(said.readline())
            held = {signal.SIGINT, signal.SIGCHLD}
            signal.pthread_sigmask(signal.SIG_BLOCK, held)
            pid = os.fork()
            if pid == 0:
                _become(given)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
                _run(**request)
            running[pid] = report
            report.sendall(b"%d\n" % pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
            for fd in given:
                os.close(fd)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _note(number: int, frame: object) -> None:
    """What has a handler wakes the server."""


def _reap(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as report, contextlib.suppress(BrokenPipeError):
            report.sendall(b"%d\n" % status)


def _become(given: Sequence[int]) -> None:
    """Of the server nothing stays but what is imported."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, fd in enumerate(given):
        os.dup2(fd, number)
    os.closerange(3, 1 << 16)


def _run(
    module: str, fresh: bool, args: Sequence[str], cwd: str, env: Mapping[str, str]
) -> NoReturn:
    """As `python -m module args…` does it, for one with a `main`."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [str(ROOT.joinpath(*module.split("."))) + ".py", *args]
    sys.path[0] = cwd
    _speak(env)
    if fresh:
        for name in [name for name in sys.modules if name.partition(".")[0] == "agentmon"]:
            del sys.modules[name]
    elif env.get(ready_store.VARIABLE):
        db._connect = ready_store.connect  # pyright: ignore[reportPrivateUsage]
    _leave(_code_of(importlib.import_module(module).main))


def _speak(env: Mapping[str, str]) -> None:
    """Standard streams as the interpreter makes them over the descriptors and the environment."""
    encoding, _, given = env.get("PYTHONIOENCODING", "utf-8").partition(":")
    errors = given or "strict"
    is_unbuffered = bool(env.get("PYTHONUNBUFFERED"))

    def writer(fd: int, errors: str) -> io.TextIOWrapper:
        raw = io.FileIO(fd, "wb", closefd=False)
        stream = cast("IO[bytes]", raw) if is_unbuffered else io.BufferedWriter(raw)
        eager = fd == 2 or raw.isatty()
        return io.TextIOWrapper(stream, encoding, errors, None, eager, is_unbuffered)

    source = io.BufferedReader(io.FileIO(0, closefd=False))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(source, encoding, errors)
    sys.stdout = sys.__stdout__ = writer(1, errors)
    sys.stderr = sys.__stderr__ = writer(2, "backslashreplace")


def _code_of(main: Callable[[], None]) -> int:
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
        if isinstance(problem, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """Ends as the interpreter does, but what is imported is not taken apart: that takes longer
    than most commands."""
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as problem:
            sys.stderr.write(f"Exception ignored in: {stream}\n{problem!r}\n")
            code = code or 120
    os._exit(code)


if __name__ == "__main__":
    _import_all()
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
