"""What another process asks of the agentmon that writes the store: a file, and its answer beside.

`requests/<id>.json` is what is wanted. The writer takes it (`.taken`) and answers (`.answer`); who
asked removes all three. A request whose asker is gone is not carried out: nobody wants it any more.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from agentmon.sources import procs
from agentmon.store import db
from agentmon.store.deltas import make_folders

FOLDER = "requests"
TAKEN_WITHIN = 15.0
"""Seconds in which a live agentmon takes a request; one that does not has no ear for them."""

_POLL = 0.1


class Request(Struct):
    """What is wanted: a cleanup (`days`, `max_size`, `action`), or that a session is restored."""

    kind: Literal["cleanup", "restore"]
    pid: int
    days: float | None = None
    max_size: int | None = None
    action: str = "archive"
    name: str = ""


class Answer(Struct):
    """The report as plain values, or why there is none."""

    value: Any = None
    problem: str | None = None
    pid: int = field(default_factory=os.getpid)
    """Who did it."""


class Unanswered(Exception):
    """The writer is gone, and has not answered: whoever asked may do it."""


class Asked(Struct):
    """A request that was found."""

    path: Path
    request: Request

    def take(self) -> None:
        """Raises OSError: whoever asked has gone, or the folder takes nothing."""
        _write(self.path.with_suffix(".taken"), b"")

    def answer(self, answer: Answer) -> None:
        """Nothing is said to somebody who has gone. Raises OSError."""
        if self.path.exists():
            _write(self.path.with_suffix(".answer"), msgspec.json.encode(answer))


def waiting(data_dir: Path) -> Iterator[Asked]:
    """Requests that nobody has taken; what is no request, or of a dead process, is removed."""
    try:
        names = sorted(os.listdir(data_dir / FOLDER))
    except OSError:
        return
    for name in names:
        if name.startswith("."):
            continue  # being written
        path = data_dir / FOLDER / name
        if path.suffix != ".json":
            if not path.with_suffix(".json").exists():
                path.unlink(missing_ok=True)
            continue
        # looked at first: who asked removes it last, so what can be read then was never taken
        is_taken = path.with_suffix(".taken").exists()
        try:
            request = msgspec.json.decode(path.read_bytes(), type=Request)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            path.unlink(missing_ok=True)
            continue
        if not procs.is_running(request.pid):
            path.unlink(missing_ok=True)
        elif not is_taken:
            yield Asked(path, request)


def ask(data_dir: Path, request: Request, tell: Callable[[str], None]) -> Answer:
    """Asks the process that writes the store, and waits for its answer.

    Raises StoreError when it does not listen, and Unanswered when it has gone meanwhile.
    """
    folder = data_dir / FOLDER
    make_folders(str(folder))
    path = folder / f"{os.getpid()}-{time.time_ns()}.json"
    _write(path, msgspec.json.encode(request))
    try:
        return _wait(data_dir, path, tell)
    finally:
        for suffix in (".json", ".taken", ".answer"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _wait(data_dir: Path, path: Path, tell: Callable[[str], None]) -> Answer:
    asked, told = time.monotonic(), False
    while True:
        # looked for first: a writer that ends has answered by then, or never will
        writer = db.writer_of(data_dir)
        answer = _answered(path)
        is_taken = answer is not None or path.with_suffix(".taken").exists()
        doer = writer if answer is None else answer.pid
        if is_taken and doer is not None and not told:
            tell(f"the agentmon that is running (pid {doer}) does it")
            told = True
        if answer is not None:
            return answer
        if writer is None:
            raise Unanswered
        if not is_taken and time.monotonic() - asked > TAKEN_WITHIN:
            raise db.StoreError(
                f"the agentmon that writes the store (pid {writer}) does not take requests now: "
                "try again later, or stop it first"
            )
        time.sleep(_POLL)


def _answered(path: Path) -> Answer | None:
    try:
        return msgspec.json.decode(path.with_suffix(".answer").read_bytes(), type=Answer)
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    os.replace(part, path)
