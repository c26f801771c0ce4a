"""Runs the real command line in a process of its own, as somebody at a shell would.

What is `anew` in its name starts Python for it. All else forks it from a process that has the
program imported already (`tests.forks`), which `STARTED_ANEW=1 python -m pytest …` does not.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.forks import Forked

ROOT = Path(__file__).resolve().parents[1]

PATIENCE = 150.0
"""Seconds after which a command that hangs is killed; nothing is measured by it."""


class Answer(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "agentmon", *map(str, args)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment (the scratch home included), with the project importable from anywhere."""
    given = {key: value for key, value in os.environ.items() if not key.startswith("AGENTMON_")}
    return {**given, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **(more or {})}


FORKS = sys.platform.startswith("linux") and not os.environ.get("STARTED_ANEW")


def started(
    *args: object,
    module: str = "agentmon",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
) -> "Process":
    """`agentmon args…` (or another module's `main`), running; whoever calls it sees to its end."""
    given, words = environment(env), [*map(str, args)]
    if not FORKS:
        argv = [sys.executable, "-m", module, *words]
        return subprocess.Popen(argv, cwd=cwd, env=given, stdin=stdin, stdout=stdout, stderr=stderr)
    main = "agentmon.__main__" if module == "agentmon" else module
    return Forked(words, module=main, cwd=cwd, env=given, stdin=stdin, stdout=stdout, stderr=stderr)


Process = Forked | subprocess.Popen[bytes]


def run(
    *args: object,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Answer:
    """Runs `agentmon args…` to its end, without a terminal."""
    process = started(*args, cwd=cwd, env=env, stdin=subprocess.PIPE)
    try:
        out, err = process.communicate(stdin, timeout=PATIENCE)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Answer(process.wait(), out.decode(), err.decode())


def run_anew(
    *args: object,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Answer:
    """The same in a Python of its own: for what Python itself does at its start and end."""
    return ran(command(*args), cwd=cwd, stdin=stdin, env=environment(env))


def ran(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str],
) -> Answer:
    done = subprocess.run(
        argv, cwd=cwd, input=stdin, env=env, capture_output=True, timeout=PATIENCE, check=False
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def inside(*args: object, env: Mapping[str, str] | None = None) -> Answer:
    """The same in this process: quicker, where nothing of the process itself is asked."""
    from click.testing import CliRunner

    from agentmon.cli import main

    here = {"AGENTMON_GOLDEN": None, **(env or {})}
    done = CliRunner().invoke(main, [*map(str, args)], env=here, prog_name="agentmon")
    return Answer(done.exit_code, done.stdout, done.stderr)


class Running:
    """A command that goes on until it is told to stop; killed at the end whatever happens."""

    def __init__(
        self, *args: object, argv: Sequence[str] | None = None, module: str = "agentmon"
    ) -> None:
        self.process: Process
        if argv is None:
            self.process = started(*args, module=module)
        else:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment()
            )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def line(self) -> bytes:
        """The next line of its standard output; b"" when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, number: signal.Signals | None = None) -> Answer:
        """Sends a signal, if any, and waits for the end."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return Answer(self.process.wait(), out.decode(), err.decode())


def assert_one_sentence(answer: Answer, *said: str, code: int = 1) -> None:
    """One clear line on stderr that says so, nothing of a traceback, and the exit code."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    lines = answer.err.splitlines()
    if code == 2:  # click says how it is used as well
        lines = [line for line in lines if line.startswith("Error:")]
    assert len(lines) == 1, answer.err
    assert code == 2 or lines[0].startswith("agentmon: "), answer.err
    for part in said:
        assert part in lines[0], answer.err
