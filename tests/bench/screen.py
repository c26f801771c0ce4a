"""A command in a pseudo terminal: what it shows, when, and what it used."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from tests.bench.bench import ROOT, Bench
from tests.bench.vt import Terminal

COLUMNS, LINES = 160, 50
_READ = 1 << 16


class Screen:
    """A running command. Use it as a context manager; the process is ended with it."""

    def __init__(self, bench: Bench, command: Sequence[str]) -> None:
        self.terminal = Terminal(COLUMNS, LINES)
        self.bytes_out = 0
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environ = {**bench.environ(), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            list(command),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
            cwd=ROOT,
            start_new_session=True,
            close_fds=True,
        )
        os.close(slave)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Leaves as a person would; a program that does not go is killed."""
        if self._master < 0:
            return
        for leave in (lambda: self.send("q"), self.process.terminate, self.process.kill):
            leave()
            deadline = time.monotonic() + 5
            while self.process.poll() is None and time.monotonic() < deadline:
                self.pump(0.05)
            if self.process.poll() is not None:
                break
        os.close(self._master)
        self._master = -1

    def send(self, keys: str) -> float:
        """Types; the moment it was typed (monotonic seconds)."""
        moment = time.monotonic()
        try:
            os.write(self._master, keys.encode())
        except OSError:
            return moment  # gone already
        return moment

    def pump(self, seconds: float) -> bool:
        """Takes what is written within so many seconds; returns at the first piece of it."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._master, _READ)
        except OSError:
            return False  # its end was closed
        self.bytes_out += len(data)
        self.terminal.feed(data)
        return bool(data)

    def wait_for(self, seen: Callable[[], bool], seconds: float = 30.0) -> float:
        """The moment the screen first satisfies `seen`. Raises TimeoutError, with the screen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if seen():
                return time.monotonic()
            if not self.pump(0.05) and self.process.poll() is not None:
                break
        shown = "\n".join(line.rstrip() for line in self.terminal.text().splitlines())
        raise TimeoutError(f"never seen within {seconds:g} s of:\n{shown}")

    def wait_for_word(self, word: str, seconds: float = 30.0) -> float:
        return self.wait_for(lambda: self.terminal.find(word) is not None, seconds)

    def settle(self, quiet: float, seconds: float = 30.0) -> None:
        """Until nothing was written for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.pump(quiet):
            continue

    def run_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.pump(left)

    @property
    def cpu(self) -> float:
        """CPU seconds of the process and the children it has waited for."""
        return sum(psutil.Process(self.process.pid).cpu_times()[:4])

    @property
    def bytes_read(self) -> int:
        """Bytes it has read from anywhere; 0 where the system does not tell."""
        try:
            lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        except OSError:
            return 0
        return int(lines[0].split()[1])
