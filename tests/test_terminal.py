"""The screen in a real terminal: it is painted there, and the terminal is given back."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.vt import Terminal
from tests.cli_run import PATIENCE, command, environment
from tests.deep import only_deep
from tests.feeds import finished, write

ENTERS, LEAVES = b"\x1b[?1049h", b"\x1b[?1049l"
"""The alternate screen."""


class Painted:
    """agentmon in a pseudo terminal, with what it wrote there so far."""

    def __init__(self, stderr: Path, *args: object) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = b""
        self.terminal = Terminal(80, 24)
        with stderr.open("wb") as errors:
            self.process = subprocess.Popen(
                command(*args),
                stdin=slave,
                stdout=slave,
                stderr=errors,
                env=environment({"TERM": "xterm-256color"}),
                start_new_session=True,
            )
        os.close(slave)

    def until(self, text: bytes) -> None:
        """Reads until it was written; a terminal that nobody writes to any more reads as EIO."""
        while text not in self.seen:
            self._read()

    def shows(self, *texts: str) -> None:
        """Reads until they stand on the screen together."""
        while not all(text in self.terminal.text() for text in texts):
            self._read()

    def _read(self) -> None:
        read = b""
        with contextlib.suppress(OSError):
            read = os.read(self.master, 1 << 16)
        assert read, (self.terminal.text(), self.seen[-500:])
        self.seen += read
        self.terminal.feed(read)

    def type(self, keys: bytes, *then: str) -> None:
        """Presses keys, and reads until the screen shows what they do."""
        os.write(self.master, keys)
        self.shows(*then)

    def ended(self) -> int:
        with contextlib.suppress(OSError):
            while read := os.read(self.master, 1 << 16):
                self.seen += read
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        """Nobody is at the other end any more, and no signal says so: we control no terminal."""
        os.close(self.master)
        self.master = -1


@contextmanager
def painted(stderr: Path, *args: object) -> Generator[Painted]:
    found = Painted(stderr, *args)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()
        if found.master >= 0:
            os.close(found.master)


@pytest.mark.parametrize(
    ("key", "number", "code"),
    [(b"", signal.SIGTERM, 143), *only_deep((b"q", None, 0), (b"\x03", None, 130))],
    ids=["SIGTERM", "q", "Ctrl+C"],
)
def test_the_terminal_is_given_back(
    key: bytes, number: signal.Signals | None, code: int, tmp_path: Path
) -> None:
    """Also where standard error goes to a file: what is painted does not."""
    with painted(tmp_path / "errors", "--demo") as screen:
        screen.until(ENTERS)
        screen.until(b"Sessions")
        screen.type(key) if key else screen.process.send_signal(number or signal.SIGTERM)
        screen.until(LEAVES)
        assert screen.ended() == code
    assert (tmp_path / "errors").read_bytes() == b""


@pytest.mark.parametrize("is_stopped", [True, *only_deep(False)], ids=["stopped", "running"])
def test_a_terminal_that_goes_without_a_word(tmp_path: Path, is_stopped: bool) -> None:
    """Nothing stays behind that asks a terminal which is gone, a core at a time; also where so
    much was to be written meanwhile that the writer stands still."""
    with painted(tmp_path / "errors", "--demo") as screen:
        screen.until(b"Sessions")
        if is_stopped:
            screen.process.send_signal(signal.SIGSTOP)
        screen.hang_up()
        screen.process.send_signal(signal.SIGCONT)
        assert screen.process.wait(PATIENCE) == 128 + signal.SIGHUP


def test_a_replay_is_played_and_wound(tmp_path: Path) -> None:
    """Played, held, gone to a line, stepped on and back, gone to a time, and left."""
    lines = [line for n in range(3) for line in finished(n, 100_000 * n)]
    log = write(tmp_path / "log.jsonl", lines)
    with painted(tmp_path / "errors", "--replay", log, "--speed", "0.25") as screen:
        screen.shows("▶ playing")
        screen.type(b" ", "⏸ paused")
        screen.type(b":", "Go to")
        screen.type(b"#30\r", "⏸ paused", "#30/")
        screen.type(b"\x1b[C", "⏸ paused", "#31/")
        screen.type(b"\x1b[D", "⏸ paused", "#30/")
        screen.type(b"\x1b[D", "⏸ paused", "#29/")
        screen.type(b":", "Go to")
        screen.type(b"90%\r", "⏸ paused", "  90 %")
        screen.type(b"q")
        screen.until(LEAVES)
        assert screen.ended() == 0
    assert (tmp_path / "errors").read_bytes() == b""


@pytest.mark.deep
def test_back_in_time_and_to_now_again(tmp_path: Path) -> None:
    """From a live screen into its past, held and stepped back there, and back to what is live."""
    log = write(tmp_path / "log.jsonl", [line for n in range(3) for line in finished(n, 9_000 * n)])
    with painted(tmp_path / "errors", log, "--data-dir", tmp_path / "data") as screen:
        screen.shows("Rounds", "project-2")
        screen.type(b"<", "live +0")
        screen.type(b" ", "⏸ paused")
        screen.type(b":", "Go to")
        screen.type(b"#12\r", "⏸ paused", "#12/")
        screen.type(b"\x1b[D", "⏸ paused", "#11/")
        screen.type(b"<", "live +0")
        screen.type(b"G", "s stall")
        screen.type(b"q")
        screen.until(LEAVES)
        assert screen.ended() == 0
    assert (tmp_path / "errors").read_bytes() == b""
