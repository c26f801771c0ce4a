"""A real store filled by hand, and a feed over it, for tests of the screen."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TypeVar

from agentmon.assets import asset
from agentmon.core.health import Limits
from agentmon.core.landmarks import Landmark
from agentmon.engine.feed import Mark, Status, Transport
from agentmon.store.sizes import Sizes, Texts

T = TypeVar("T")

SIZES = Sizes(database=310 << 20, wal=6 << 20, texts=Texts(bytes=884 << 20, files=40_912))

NOW = 1_763_645_000.0
"""The frozen clock: 2025-11-20T13:23:20Z."""


@cache
def _empty() -> bytes:
    """A database with the tables and nothing in them."""
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.executescript(asset("schema.sql").read_text())
        return conn.serialize()


class UiStore:
    """Rows as the writer would leave them; block text in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "agentmon.db"
        path.write_bytes(_empty())
        self.conn = sqlite3.connect(path, check_same_thread=False)
        # Nothing here outlives the test, so nothing has to reach the disk.
        self.conn.execute("PRAGMA synchronous = OFF")
        self.conn.execute("PRAGMA journal_mode = MEMORY")
        self.texts: dict[tuple[str, int], bytes] = {}
        self._seq = 0

    def insert(self, table: str, **values: object) -> None:
        """Inserts or replaces one row."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})"
        self.conn.execute(sql, tuple(values.values()))
        self.conn.commit()

    def session(self, sid: str, cwd: str, **more: object) -> None:
        values: dict[str, object] = {
            "agent": "claude",
            "pid": 4242,
            "version": "2.1.330",
            "model": "claude-opus-4-1-20250805",
            "first_time": NOW - 600,
            "last_time": NOW - 1,
            "input_tokens": 12_000,
            "output_tokens": 6_200,
            "context_tokens": 68_000,
        }
        self.insert("sessions", sid=sid, cwd=cwd, **{**values, **more})

    def thread(self, sid: str, phase: str, last_byte: float, **more: object) -> None:
        values: dict[str, object] = {
            "agent_id": "",
            "phase_since": last_byte,
            "last_start": last_byte,
        }
        self.insert("agents", sid=sid, phase=phase, last_byte=last_byte, **{**values, **more})

    def round(self, sid: str, round_id: str, prompt: str, start: float, **more: object) -> None:
        values: dict[str, object] = {"prompts": 1, "user_prompt": prompt, "start_time": start}
        self.insert("rounds", sid=sid, round_id=round_id, **{**values, **more})

    def message(
        self, sid: str, round_id: str | None, flow_id: str, start: float, **more: object
    ) -> None:
        self._seq += 1
        values: dict[str, object] = {
            "seq": self._seq,
            "role": "assistant",
            "model": "claude-opus-4-1-20250805",
            "is_started": 1,
            "last_time": start + 1,
        }
        self.insert(
            "messages",
            sid=sid,
            round_id=round_id,
            flow_id=flow_id,
            start_time=start,
            **{**values, **more},
        )

    def block(
        self, sid: str, flow_id: str, index: int, kind: str, text: str | bytes, **more: object
    ) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.texts[flow_id, index] = data
        values: dict[str, object] = {
            "delta_count": len(data) // 8,
            "total_bytes": len(data),
            "stored_bytes": len(data),
            "is_started": 1,
            "start_time": NOW - 60,
            "last_time": NOW - 1,
        }
        self.insert(
            "content_blocks",
            sid=sid,
            flow_id=flow_id,
            block_index=index,
            block_type=kind,
            **{**values, **more},
        )

    def grow(self, flow_id: str, index: int, more: str | bytes, at: float = NOW) -> None:
        """Appends to the text of a block."""
        self.texts[flow_id, index] += more.encode() if isinstance(more, str) else more
        size = len(self.texts[flow_id, index])
        self.conn.execute(
            "UPDATE content_blocks SET total_bytes = ?, stored_bytes = ?, last_time = ?"
            " WHERE flow_id = ? AND block_index = ?",
            (size, size, at, flow_id, index),
        )
        self.conn.commit()

    def result(self, sid: str, tool_use_id: str, content: str, at: float, **more: object) -> None:
        self.insert(
            "tool_results",
            tool_use_id=tool_use_id,
            sid=sid,
            content=content,
            content_size=len(content.encode()),
            result_time=at,
            **more,
        )


class FakeTransport:
    """A tape deck that only remembers."""

    def __init__(self) -> None:
        self.playing = True
        self.speed = 1.0
        self.position = 0.25
        self.ended = False
        self.restarts = 0
        self.start, self.end = NOW - 600.0, NOW
        self.number, self.total = 250, 1000
        self.indexed: float | None = None
        self.idle: float | None = None
        self.collapses_idle = False
        self.loop: tuple[float, float] | None = None
        self.landmarks: list[Landmark] = []
        self.marks: list[Mark] = []
        self.asked: list[tuple[object, ...]] = []
        """What it was asked for, in order."""
        self.answer: str | None = None
        """What it says to what a person typed."""

    def toggle(self) -> None:
        self.playing = not self.playing

    def faster(self) -> None:
        self.speed = self.speed * 2 if self.speed < 64 else float("inf")

    def slower(self) -> None:
        self.speed /= 2

    async def restart(self) -> None:
        self.restarts += 1

    async def seek(self, moment: float) -> None:
        self.asked.append(("seek", moment))

    async def seek_number(self, number: int) -> None:
        self.asked.append(("seek_number", number))

    async def step(self, events: int) -> None:
        self.asked.append(("step", events))

    async def step_block(self, direction: int) -> None:
        self.asked.append(("step_block", direction))

    async def go(self, text: str) -> str | None:
        self.asked.append(("go", text))
        return self.answer

    async def jump(self, kind: str, direction: int) -> str | None:
        self.asked.append(("jump", kind, direction))
        return self.answer

    async def find(self, text: str, direction: int) -> str | None:
        self.asked.append(("find", text, direction))
        return self.answer

    def mark(self, note: str) -> None:
        self.marks.append(Mark(NOW, self.number, note))


class StoreFeed:
    """The store as the screen sees it, with a clock that stands still."""

    def __init__(self, store: UiStore) -> None:
        self.store = store
        self.revision = 1
        self.data_dir = store.folder
        self.limits = Limits()
        self.transport: Transport | None = None
        self.time = NOW
        self.told = Status(lag_ms=12.0, rss_mb=41.0, files=1, store=SIZES, weighed_ago=20.0)
        self.queries = 0
        self.reads: list[tuple[int, int]] = []
        self.failure: Exception | None = None
        self.start_failure: Exception | None = None
        self.is_started = False
        self.is_stopped = False

    def now(self) -> float:
        return self.time

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        self.queries += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return fn(self.store.conn)

    def read_text(self, sid: str, flow_id: str, index: int, start: int, end: int) -> bytes:
        self.reads.append((start, end))
        return self.store.texts[flow_id, index][start:end]

    def status(self) -> Status:
        return self.told

    async def start(self) -> None:
        if self.start_failure is not None:
            raise self.start_failure
        self.is_started = True

    async def stop(self) -> None:
        self.is_stopped = True


def fill(store: UiStore) -> None:
    """A board with a bit of everything: six sessions, a subagent, pending tools, an error."""
    _api(store)
    _web(store)
    _infra(store)
    _others(store)


def _api(store: UiStore) -> None:
    """Stalled in the middle of a text; an older round with a failed tool."""
    sid = "a0000000-0000-4000-8000-000000000001"
    store.session(sid, "/home/dev/src/api-server", first_time=NOW - 900, last_time=NOW - 41)
    store.thread(sid, "writing", NOW - 41, flow_id="msg_api_3")
    prompt = "why is the tail slow when the log rotates?"
    store.round(sid, "r-api-1", prompt, NOW - 800, end_time=NOW - 742, is_closed=1)
    done = {"stop_reason": "tool_use", "end_time": NOW - 780, "output_tokens": 410}
    store.message(sid, "r-api-1", "msg_api_1", NOW - 798, **done)
    store.block(
        sid,
        "msg_api_1",
        0,
        "tool_use",
        json.dumps({"command": "pytest -x tests/test_tail.py", "timeout": 60}),
        tool_use_id="toolu_api_1",
        tool_name="Bash",
        complete_time=NOW - 780,
        result_time=NOW - 775,
        result_is_error=1,
        input_preview='{"command":"pytest -x tests/test_tail.py","timeout":60}',
    )
    failure = "FAILED tests/test_tail.py::test_rotation - assert 0 == 3\n1 failed in 4.71s"
    store.result(sid, "toolu_api_1", failure, NOW - 775, is_error=1)
    store.round(sid, "r-api-2", "fix the failing test in test_tail", NOW - 134)
    ended = {"stop_reason": "end_turn", "end_time": NOW - 100, "output_tokens": 1_200}
    store.message(sid, "r-api-2", "msg_api_2", NOW - 130, **ended)
    thought = "The watcher wakes after the rename, so the descriptor points at the old inode.\n" * 4
    store.block(
        sid, "msg_api_2", 0, "thinking", thought, complete_time=NOW - 126, start_time=NOW - 129
    )
    store.message(sid, "r-api-2", "msg_api_3", NOW - 60)
    store.block(
        sid,
        "msg_api_3",
        0,
        "text",
        "The tail loop re-opens the file on each wake, so the offset is lost when the writer "
        "rotates. I will keep the descriptor and compare inodes",
        last_time=NOW - 41,
    )


def _web(store: UiStore) -> None:
    """Waits for a person."""
    sid = "b0000000-0000-4000-8000-000000000002"
    store.session(sid, "/home/dev/src/web", first_time=NOW - 700, last_time=NOW - 8, pid=4300)
    store.thread(
        sid, "permission", NOW - 8, flow_id="msg_web_1", phase_detail="Edit", phase_since=NOW - 8
    )
    store.round(sid, "r-web-1", "make the sidebar collapsible", NOW - 90)
    done = {"stop_reason": "tool_use", "end_time": NOW - 8, "output_tokens": 96}
    store.message(sid, "r-web-1", "msg_web_1", NOW - 20, **done)
    store.block(
        sid,
        "msg_web_1",
        0,
        "tool_use",
        json.dumps({"file_path": "src/app.ts", "old_string": "a", "new_string": "b"}),
        tool_use_id="toolu_web_1",
        tool_name="Edit",
        complete_time=NOW - 8,
        input_preview='{"file_path":"src/app.ts"}',
    )


def _infra(store: UiStore) -> None:
    """Writes, while its subagent runs a long command."""
    sid = "c0000000-0000-4000-8000-000000000003"
    store.session(sid, "/home/dev/src/infra", first_time=NOW - 500, pid=4400)
    store.thread(sid, "writing", NOW - 0.2, flow_id="msg_infra_1")
    store.thread(sid, "tool", NOW - 3, agent_id="explorer", flow_id="msg_infra_2")
    store.round(sid, "r-infra-1", "find every place where the bucket name is built", NOW - 160)
    store.message(sid, "r-infra-1", "msg_infra_1", NOW - 30)
    store.block(sid, "msg_infra_1", 0, "text", "Looking through the modules now.\n", last_time=NOW)
    done = {"stop_reason": "tool_use", "end_time": NOW - 134, "output_tokens": 77}
    store.message(sid, "r-infra-1", "msg_infra_2", NOW - 140, agent_id="explorer", **done)
    store.block(
        sid,
        "msg_infra_2",
        0,
        "tool_use",
        json.dumps({"command": "grep -rn bucket ."}),
        tool_use_id="toolu_infra_1",
        tool_name="Bash",
        complete_time=NOW - 134,
        input_preview='{"command":"grep -rn bucket ."}',
    )


def _others(store: UiStore) -> None:
    """Idle, and gone."""
    docs = "d0000000-0000-4000-8000-000000000004"
    store.session(docs, "/home/dev/src/docs", first_time=NOW - 400, last_time=NOW - 240, pid=4500)
    store.thread(docs, "idle", NOW - 240)
    store.round(docs, "r-docs-1", "proofread the guide", NOW - 300, end_time=NOW - 240)
    batch = "e0000000-0000-4000-8000-000000000005"
    store.session(batch, "/home/dev/jobs/batch-7", first_time=NOW - 950, last_time=NOW - 660)
    store.thread(batch, "writing", NOW - 660)
    store.round(batch, "r-batch-1", "label the next thousand", NOW - 700, orphaned_at=NOW - 640)
    evidence = {"pid": 4242, "process": "no such process", "gone_since": NOW - 640}
    store.insert(
        "verdicts",
        sid=batch,
        agent_id="",
        verdict="orphaned",
        since=NOW - 640,
        evidence=json.dumps(evidence),
    )
