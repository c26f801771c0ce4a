"""Runs of our own that somebody looks back on: what a tap writes, and the store of it."""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentmon.core.health import Limits
from agentmon.core.landmarks import Landmark
from agentmon.engine.ingest import Ingestion
from agentmon.report.landmarks import landmarks
from agentmon.store import db
from tests.wire import SID, TEXT, Talk, tool_result

Json = dict[str, Any]
Call = tuple[str, str, str]
"""Id, name, arguments."""


class Log:
    """Lines in the order of their time; times are seconds from the beginning (`START`)."""

    def __init__(self, sid: str = SID, pid: int = 81551, first: int = 0) -> None:
        """Messages are numbered from `first` on."""
        self.pen = Talk(sid=sid, pid=pid)
        self.lines: list[bytes] = []
        self._message = first

    def say(self, *lines: bytes) -> "Log":
        self.lines += lines
        return self

    def prompt(self, at: float, text: str = "do it", round_id: str = "r1") -> "Log":
        self.round_id = round_id
        return self.say(self.pen.prompt(_ms(at), text, f"u{at:g}", round_id=round_id))

    def begin(self, at: float, *, agent: str | None = None) -> int:
        """A message that begins to write; its number."""
        self._message += 1
        more: Json = {"round_id": self.round_id, "agent": agent}
        self.say(self.pen.start(self._message, _ms(at), **more))
        self.say(self.pen.begin(self._message, _ms(at), TEXT, **more))
        return self._message

    def text(self, n: int, *times: float, agent: str | None = None) -> "Log":
        for at in times:
            self.say(self.pen.text(n, _ms(at), "word ", agent=agent))
        return self

    def end(
        self, n: int, at: float, *calls: tuple[str, str, str], agent: str | None = None
    ) -> "Log":
        """The message ends, with calls (id, name, arguments) or with the turn."""
        ms, more = _ms(at), {"agent": agent}
        self.say(self.pen.stream("content_block_stop", n, ms, {"index": 0}, **more))
        for index, (key, name, arguments) in enumerate(calls, 1):
            block: Json = {"type": "tool_use", "id": key, "name": name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": arguments}
            self.say(self.pen.begin(n, ms, block, index, **more))
            payload = {"index": index, "delta": delta}
            self.say(self.pen.stream("content_block_delta", n, ms, payload, **more))
            self.say(self.pen.stream("content_block_stop", n, ms, {"index": index}, **more))
        reason = {"delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": {}}
        self.say(self.pen.stream("message_delta", n, ms, reason, **more))
        return self.say(self.pen.stream("message_stop", n, ms, {}, **more))

    def message(self, at: float, *calls: Call, agent: str | None = None) -> "Log":
        """A whole message of half a second."""
        n = self.begin(at, agent=agent)
        self.text(n, at + 0.2, agent=agent)
        return self.end(n, at + 0.5, *calls, agent=agent)

    def result(self, at: float, key: str, text: str = "done", **more: Any) -> "Log":
        return self.say(self.pen.line("tool_result", _ms(at), tool_result(key, text, **more)))

    def error(self, at: float, n: int) -> "Log":
        said = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
        return self.say(self.pen.stream("error", n, _ms(at), said))

    def hook(self, name: str, at: float, **payload: Any) -> "Log":
        return self.say(self.pen.line(name, _ms(at), payload, round_id=self.round_id))

    def stop(self, at: float) -> "Log":
        return self.say(self.pen.line("stop", _ms(at), {}, round_id=self.round_id))

    def write(self, folder: Path) -> Path:
        path = folder / "sse_lines.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in self.lines))
        return path


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


@contextmanager
def stored(paths: Sequence[Path], folder: Path) -> Generator[sqlite3.Connection, None, None]:
    """The store of these inputs, open for reading."""
    with Ingestion(folder) as run:
        run.read_all([str(path) for path in paths])
    conn = db.open_reading(folder)
    try:
        yield conn
    finally:
        conn.close()


def found_in(
    paths: Sequence[Path], folder: Path, limits: Limits | None = None, **more: Any
) -> list[Landmark]:
    """The landmarks of inputs that are read into a folder."""
    with stored(paths, folder) as conn:
        return landmarks(conn, folder, limits=limits, **more)
