"""Small logs for the outer tests, and what a store says about them."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agentmon.engine.ingest import Ingestion
from agentmon.report import board
from agentmon.store import db, read
from agentmon.store.db import StoreError
from tests.differential import Row, dumped
from tests.generate import joined
from tests.wire import START, TEXT, Talk, tool_result

Lines = list[bytes]


def sid_of(number: int) -> str:
    return f"5b1d2c3e-0000-4000-8000-{number:012x}"


def now_ms() -> int:
    """The present as the wire's tests count it: milliseconds after START."""
    return round(time.time() * 1000) - START


def call_block(tool_use_id: str, name: str = "Bash") -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_use_id, "name": name, "input": {}}


def asking(talk: Talk, at: int = 0, *, n: int = 1, name: str = "Bash") -> Lines:
    """A prompt, and an answer that ends with a tool call `toolu_<n>`, which is then pending."""
    return [
        talk.prompt(at, "do it", f"u{n}", round_id=f"round-{n}"),
        talk.start(n, at + 100, round_id=f"round-{n}"),
        talk.begin(n, at + 110, TEXT),
        talk.text(n, at + 120, "I look "),
        talk.text(n, at + 130, "at đây 🎉."),
        talk.end(n, at + 140),
        talk.begin(n, at + 150, call_block(f"toolu_{n}", name), index=1),
        talk.json(n, at + 160, '{"command":', index=1),
        talk.json(n, at + 170, '"ls"}', index=1),
        talk.end(n, at + 180, index=1),
        talk.reason(n, at + 190, "tool_use", output_tokens=9),
        talk.stop(n, at + 200),
    ]


def answering(talk: Talk, at: int = 1000, *, n: int = 1, content: object = "a\nb") -> Lines:
    """The result of that call, a closing message, and the stop of the round."""
    m = n + 1000
    return [
        talk.line("tool_result", at, tool_result(f"toolu_{n}", content), round_id=f"round-{n}"),
        talk.start(m, at + 100, round_id=f"round-{n}"),
        talk.begin(m, at + 110, TEXT),
        talk.text(m, at + 120, "Two files."),
        talk.end(m, at + 130),
        talk.reason(m, at + 140, "end_turn", output_tokens=3),
        talk.stop(m, at + 150),
        talk.line("stop", at + 200, {"agent_id": talk.sid}, round_id=f"round-{n}"),
    ]


def finished(number: int = 1, at: int = 0, *, content: object = "a\nb") -> Lines:
    """A session with one round, which is over; so is its process, and nobody looks for it."""
    talk = Talk(sid_of(number), pid=4_000_000 + number, cwd=f"/home/u/project-{number}")
    said = [*asking(talk, at, n=number), *answering(talk, at + 1000, n=number, content=content)]
    return [*said, talk.line("session_end", at + 1300, {"reason": "other"})]


def write(path: Path, lines: Iterable[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(joined(list(lines)))
    return path


def add(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("ab") as file:
        file.write(joined(list(lines)))


def texts_of(data_dir: Path) -> dict[str, bytes]:
    """Every file below `delta_store`, by its path there."""
    base = data_dir / "delta_store"
    files = [path for path in base.rglob("*") if path.is_file()]
    return {str(path.relative_to(base)): path.read_bytes() for path in files}


SIZE = len(finished())


def wait_for(condition: Callable[[], bool]) -> None:
    """Looks again and again, for minutes if need be: only what never comes fails."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def lines_stored(store: Path) -> int:
    """0 while there is no store yet."""
    try:
        return int(dumped(store)[-1]["lines"])
    except StoreError:
        return 0


Snapshot = tuple[list[Row], dict[str, bytes]]


def snapshot(data_dir: Path) -> Snapshot:
    """The dump and every delta file, byte for byte."""
    return dumped(data_dir), texts_of(data_dir)


def changes(found: Snapshot, expected: Snapshot) -> list[str]:
    """One short sentence for each difference."""
    said = [f"dump: {row}" for row in found[0] if row not in expected[0]]
    said += [f"dump, missing: {row}" for row in expected[0] if row not in found[0]]
    if not said and found[0] != expected[0]:
        said.append("dump: in another order")
    for path in sorted({*found[1], *expected[1]}):
        one, other = found[1].get(path), expected[1].get(path)
        if one != other:
            sizes = [None if text is None else len(text) for text in (one, other)]
            said.append(f"file {path}: {sizes[0]} bytes, expected {sizes[1]}")
    return said


class Scene:
    """A log that is written line by line, and what the store says after each.

    `restarts`: every reading is a new run over the same store, so nothing lives in memory.
    """

    def __init__(self, folder: Path, *, restarts: bool = False) -> None:
        self.data_dir = folder / "data"
        self.log = write(folder / "sse_lines.jsonl", [])
        self._restarts = restarts
        self._run: Ingestion | None = None

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None

    def say(self, *lines: bytes) -> None:
        add(self.log, lines)
        if self._restarts:
            self._close()
        if self._run is None:
            self._run = Ingestion(self.data_dir)
            self._run.engine.open_paths([str(self.log)], follow=True)
        engine = self._run.engine
        engine.inputs.woke([str(self.log)])
        while engine.pump(1000) or not engine.is_whole:
            continue
        self._run.commit()

    def board(self) -> board.Board:
        conn = db.open_reading(self.data_dir)
        try:
            return board.load(conn)
        finally:
            conn.close()

    def agent(self, sid: str, agent_id: str = "") -> read.AgentRow:
        conn = db.open_reading(self.data_dir)
        try:
            return next(row for row in read.agents(conn, sid) if row.agent_id == agent_id)
        finally:
            conn.close()

    def pending(self) -> list[str]:
        """Ids of the pending calls, oldest first."""
        return [call.tool_use_id for call in self.board().pending]
