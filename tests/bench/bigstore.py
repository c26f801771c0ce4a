"""A store of any size, written row by row without an ingestion: for what reading costs.

Its rows are what the writer would leave of agents that each got prompts, thought, wrote and called
tools, told whole (the texts lie in the database). Sessions differ in length: the first has a tenth
of all rounds. A few are at work now, with calls that are pending.
"""

import random
import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from agentmon.store import db
from tests.bench.vocabulary import phrase

Row = tuple[Any, ...]

TOOLS = ("Bash", "Read", "Edit", "Grep", "Write", "Task", "WebFetch", "Glob")
MODELS = ("claude-opus-4-8", "claude-sonnet-5", "gpt-5.4-codex")
STOPS = ("tool_use", "tool_use", "end_turn")
MESSAGES = (
    ("thinking", "text", "tool_use", "tool_use"),
    ("thinking", "text", "tool_use"),
    ("text", "tool_use", "tool_use"),
)
"""The blocks of the messages of a round: ten, five of them calls."""
BLOCKS_PER_ROUND = sum(map(len, MESSAGES))
DAYS = 90.0
ROUND_SECONDS = 60.0
LIVE = 12
"""Sessions whose last round is open, with a pending call."""
BATCH = 5_000

_COLUMNS = {
    "sessions": "sid, agent, pid, cwd, version, model, meta_time, first_time, last_time, ended_at,"
    " prompt_count, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, kinds",
    "agents": "sid, agent_id, phase, phase_since, last_byte, last_start, flow_id",
    "rounds": "sid, round_id, prompts, user_prompt, start_time, end_time, is_closed",
    "prompts": "sid, ordinal, pid, time, text, round_id",
    "messages": "flow_id, seq, sid, request_id, own_round, round_id, pid, role, model,"
    " stop_reason, start_time, end_time, last_time, is_started, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_tokens, kinds",
    "content_blocks": "flow_id, block_index, sid, block_type, tool_use_id, tool_name, total_bytes,"
    " is_started, start_time, stop_time, complete_time, last_time, result_time, result_is_error,"
    " input_preview, uses_told",
    "told_blocks": "flow_id, block_index, time, bytes, sha256, is_exact, kind, text",
    "tool_results": "tool_use_id, sid, is_error, content_size, sha256, content, result_time",
}


def fill(folder: Path, *, blocks: int, sessions: int, now: float, seed: int = 7) -> None:
    """Writes a store of about so many blocks below a folder that has none."""
    conn = db.create(folder)
    try:
        conn.execute("PRAGMA synchronous = OFF")
        maker = _Maker(random.Random(seed), now)
        rows: dict[str, list[Row]] = {table: [] for table in _COLUMNS}
        for table, row in maker.rows(max(sessions, blocks // BLOCKS_PER_ROUND), sessions):
            rows[table].append(row)
            if len(rows["content_blocks"]) >= BATCH:
                _write(conn, rows)
        _write(conn, rows)
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        conn.close()


def _write(conn: sqlite3.Connection, rows: dict[str, list[Row]]) -> None:
    with db.transaction(conn):
        for table, found in rows.items():
            marks = ", ".join("?" * (_COLUMNS[table].count(",") + 1))
            conn.executemany(f"INSERT INTO {table} ({_COLUMNS[table]}) VALUES ({marks})", found)
            found.clear()


def sid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def round_of(session: int, ordinal: int) -> str:
    """The id of a round, counted from 1."""
    return f"r-{session:06x}-{ordinal:06x}"


class _Maker:
    """The rows of all sessions, one after the other."""

    def __init__(self, rng: random.Random, now: float) -> None:
        self._rng = rng
        self._now = now
        self._seq = 0

    def rows(self, rounds: int, sessions: int) -> Iterator[tuple[str, Row]]:
        longest = max(1, rounds // 10)
        others = max(1, (rounds - longest) // max(1, sessions - 1))
        for number in range(sessions):
            yield from self._session(number, longest if number == 0 else others, sessions)

    def _session(self, number: int, rounds: int, sessions: int) -> Iterator[tuple[str, Row]]:
        sid = sid_of(number)
        is_live = number < LIVE
        end = self._now - 1 if is_live else self._now - DAYS * 86_400 * number / sessions
        first = end - rounds * ROUND_SECONDS
        model = MODELS[number % len(MODELS)]
        agent = "codex" if model.startswith("gpt") else "claude"
        flow = ""
        for ordinal in range(1, rounds + 1):
            start = first + (ordinal - 1) * ROUND_SECONDS
            is_open = is_live and ordinal == rounds
            round_id = round_of(number, ordinal)
            text = phrase(self._rng, 12)
            done = None if is_open else start + ROUND_SECONDS - 1
            yield "rounds", (sid, round_id, 1, text, start, done, int(not is_open))
            yield "prompts", (sid, ordinal, 1000 + number, start, text, round_id)
            for place, kinds in enumerate(MESSAGES):
                self._seq += 1
                flow = f"msg_{self._seq:012d}"
                at = start + 1 + 19 * place
                yield self._message(sid, flow, round_id, model, at, place)
                is_last = is_open and place == len(MESSAGES) - 1
                yield from self._blocks(sid, flow, at, kinds, is_pending=is_last)
        phase = "tool" if is_live else "ended"
        ended = None if is_live else end
        tokens = (rounds * 3_000, rounds * 900, rounds * 50_000, rounds * 400)
        cwd, pid = f"/home/u/project-{number:04d}", 1000 + number
        yield (
            "sessions",
            (sid, agent, pid, cwd, "2.1.330", model, first, first, end, ended, rounds, *tokens, 3),
        )
        yield "agents", (sid, "", phase, end - 1, end, end - 20, flow)

    def _message(
        self, sid: str, flow: str, round_id: str, model: str, at: float, place: int
    ) -> tuple[str, Row]:
        tokens = (1_000, 100 + self._rng.randrange(400), 17_000, 130)
        stop = STOPS[place]
        names = (sid, "req_" + flow[4:], round_id, round_id, 1, "assistant", model, stop)
        return "messages", (flow, self._seq, *names, at, at + 18, at + 18, 1, *tokens, 3)

    def _blocks(
        self, sid: str, flow: str, at: float, kinds: Iterable[str], *, is_pending: bool
    ) -> Iterator[tuple[str, Row]]:
        rng = self._rng
        for index, kind in enumerate(kinds):
            call = name = result = is_error = preview = None
            text = phrase(rng, 16)
            complete = at + 2 + 3 * index
            if kind == "tool_use":
                call = f"toolu_{flow[4:]}_{index}"
                name = rng.choices(TOOLS, (40, 20, 12, 10, 6, 4, 4, 4))[0]
                text = f'{{"command":"{text}"}}'
                preview = text
                if not is_pending:
                    result = complete + min(40.0, rng.lognormvariate(0.0, 1.2))
                    is_error = int(rng.random() < 0.04)
                    content = phrase(rng, 20)
                    digest = sha256(content.encode()).hexdigest()
                    size = len(content)
                    yield "tool_results", (call, sid, is_error, size, digest, content, result)
            size = len(text)
            times = (at + index, complete, complete, complete)
            head = (flow, index, sid, kind, call, name, size, 1)
            yield "content_blocks", (*head, *times, result, is_error, preview, 1)
            digest = sha256(text.encode()).hexdigest()
            yield "told_blocks", (flow, index, complete, size, digest, 1, "transcript", text)
