"""A large store without a log: 100,000 rounds, 1,000,000 blocks over ninety days, written as rows.

What it holds is plain but shaped like real runs: many short sessions and one long one, most rounds
ended, some aborted or left open, calls of a few tools, some failed, a few pending.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentmon.store import db

END = 1_763_645_000.0
SPAN = 90 * 86_400.0
LONG_ROUNDS = 1_000
SHORT_ROUNDS = 20
MESSAGES = 4
"""A round."""

TOOLS = ("Bash", "Read", "Edit", "Grep", "Glob", "Write", "Task", "WebFetch", "TodoWrite")
BLOCKS = (("thinking", "text", "tool_use"), ("text", "tool_use"), ("thinking", "tool_use"))
LAST = ("thinking", "text", "text")

Rows = Iterator[tuple[Any, ...]]


def sid_of(number: int) -> str:
    return f"b16b00b5-0000-4000-8000-{number:012x}"


def make(folder: Path, rounds: int = 100_000) -> None:
    """Makes the store; ten blocks a round."""
    conn = db.create(folder)
    conn.execute("PRAGMA synchronous = OFF")
    conn.execute("PRAGMA cache_size = -262144")
    plan = list(_plan(rounds))
    with db.transaction(conn):
        for table, names, rows in (
            ("sessions", _SESSION, _sessions(plan)),
            ("agents", _AGENT, _agents(plan)),
            ("rounds", _ROUND, _rounds(plan)),
            ("prompts", _PROMPT, _prompts(plan)),
            ("messages", _MESSAGE, _messages(plan)),
            ("content_blocks", _BLOCK, _blocks(plan)),
            ("tool_results", _RESULT, _results(plan)),
        ):
            _insert(conn, table, names, rows)
    conn.close()


_Session = tuple[int, int, float, float]
"""Number, rounds, start, seconds between two rounds."""

_SESSION = "sid agent pid cwd first_time last_time model input_tokens output_tokens"
_AGENT = "sid agent_id phase phase_since last_byte"
_ROUND = "sid round_id prompts user_prompt start_time end_time is_closed"
_PROMPT = "sid ordinal time text round_id"
_MESSAGE = (
    "flow_id seq sid round_id role model stop_reason start_time end_time last_time is_started"
    " input_tokens output_tokens cache_read_tokens cache_write_tokens own_round"
)
_BLOCK = (
    "flow_id block_index sid block_type tool_use_id tool_name delta_count total_bytes start_time"
    " complete_time last_time result_time result_is_error input_preview is_started"
)
_RESULT = "tool_use_id sid is_error content_size sha256 content result_time"


def _insert(conn: sqlite3.Connection, table: str, names: str, rows: Rows) -> None:
    columns = names.split()
    marks = ", ".join("?" * len(columns))
    conn.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def _plan(rounds: int) -> Iterator[_Session]:
    """The sessions, oldest first; the last is the long one."""
    short = (rounds - LONG_ROUNDS) // SHORT_ROUNDS
    for number in range(short):
        start = END - SPAN + SPAN * number / short
        yield number, SHORT_ROUNDS, start, 150.0
    yield short, LONG_ROUNDS, END - LONG_ROUNDS * 60.0, 60.0


def _each(plan: list[_Session]) -> Iterator[tuple[int, int, float]]:
    """(session, round, its start)."""
    for number, rounds, start, step in plan:
        for at in range(rounds):
            yield number, at, start + at * step


def _is_open(number: int, at: int) -> bool:
    return number % 10 == 3 and at == SHORT_ROUNDS - 1


def _sessions(plan: list[_Session]) -> Rows:
    for number, rounds, start, step in plan:
        last = start + rounds * step
        cwd = f"/home/dev/src/project-{number % 40}"
        yield sid_of(number), "claude", 4_000_000 + number, cwd, start, last, "m", 900, 700


def _agents(plan: list[_Session]) -> Rows:
    for number, rounds, start, step in plan:
        last = start + rounds * step
        yield sid_of(number), "", "tool" if number % 10 == 3 else "idle", last, last


def _rounds(plan: list[_Session]) -> Rows:
    for number, at, start in _each(plan):
        is_aborted = (number + at) % 50 == 7
        end = None if is_aborted or _is_open(number, at) else start + 20 + (at * 7 + number) % 80
        yield sid_of(number), f"r-{number}-{at}", 1, f"do part {at}", start, end, is_aborted


def _prompts(plan: list[_Session]) -> Rows:
    for number, at, start in _each(plan):
        yield sid_of(number), at, start, f"do part {at}", f"r-{number}-{at}"


def _messages(plan: list[_Session]) -> Rows:
    seq = 0
    for number, at, start in _each(plan):
        for which in range(MESSAGES):
            seq += 1
            begun = start + 1 + which * 5
            round_id = f"r-{number}-{at}"
            yield (
                *(f"msg_{number}_{at}_{which}", seq, sid_of(number), round_id, "assistant", "m"),
                *("end_turn" if which == MESSAGES - 1 else "tool_use", begun, begun + 4),
                *(begun + 4, 1, 40 + which, 120, 60_000, 900, round_id),
            )


def _kinds(which: int) -> tuple[str, ...]:
    return LAST if which == MESSAGES - 1 else BLOCKS[which % len(BLOCKS)]


def _calls(plan: list[_Session]) -> Iterator[tuple[int, int, float, int, int, str]]:
    for number, at, start in _each(plan):
        for which in range(MESSAGES):
            for index, kind in enumerate(_kinds(which)):
                yield number, at, start + 1 + which * 5 + index, which, index, kind


def _is_pending(number: int, at: int, which: int) -> bool:
    return _is_open(number, at) and which == MESSAGES - 2


def _took(number: int, at: int, which: int) -> float:
    return ((number * 31 + at * 17 + which * 7) % 400) / 100


def _blocks(plan: list[_Session]) -> Rows:
    for number, at, begun, which, index, kind in _calls(plan):
        is_call = kind == "tool_use"
        done = begun + 0.9
        returned = is_call and not _is_pending(number, at, which)
        yield (
            *(f"msg_{number}_{at}_{which}", index, sid_of(number), kind),
            f"toolu_{number}_{at}_{which}" if is_call else None,
            TOOLS[(number + at + which) % len(TOOLS)] if is_call else None,
            *(12, 340, begun, done, done),
            done + _took(number, at, which) if returned else None,
            int((number + at * 3 + which) % 20 == 0) if returned else None,
            *("ls -la" if is_call else None, 1),
        )


def _results(plan: list[_Session]) -> Rows:
    for number, at, begun, which, _, kind in _calls(plan):
        if kind == "tool_use" and not _is_pending(number, at, which):
            failed = int((number + at * 3 + which) % 20 == 0)
            time = begun + 0.9 + _took(number, at, which)
            yield f"toolu_{number}_{at}_{which}", sid_of(number), failed, 5, "0", "a\nb\nc", time
