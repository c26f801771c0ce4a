"""A conversation, message by message: a thread between agents, or a session with its prompts."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from pathlib import Path
from typing import Any

from msgspec import Struct

from agentmon.store import read
from agentmon.store.content import Contents, decoded

Records = Iterator["Record"]


class Record(Struct):
    """A message. Of a session `sender` is "user" or the thread's agent_id ("" for the main agent),
    `blocks` are its content blocks with what came back of calls; of a thread between agents there
    are none. What does not apply is None."""

    message_id: str
    time: float | None
    role: str
    sender: str
    receivers: list[str]
    thread: str
    subject: str | None
    text: str
    reply_to: str | None = None
    round_id: str | None = None
    model: str | None = None
    output_tokens: int | None = None
    blocks: list[dict[str, Any]] = []

    @property
    def size(self) -> int:
        """About how many characters it has."""
        inner = sum(len(block["text"]) + len(block["result"] or "") for block in self.blocks)
        return len(self.text) + inner


def find(conn: sqlite3.Connection, name: str) -> Callable[[Path], Records] | None:
    """What reads a conversation, by thread_id or session id; None where there is none."""
    for exists, records in (
        ("SELECT 1 FROM agent_messages WHERE thread_id = ?", _thread),
        ("SELECT 1 FROM sessions WHERE sid = ?", _session),
    ):
        if conn.execute(f"{exists} LIMIT 1", (name,)).fetchone() is not None:
            return lambda data_dir: records(conn, data_dir, name)
    return None


_THREAD = """
SELECT message_id, sent_at, type, sender, receivers, thread_id, subject, body, reply_to, round_id
FROM agent_messages WHERE thread_id = ? ORDER BY seq
"""


def _thread(conn: sqlite3.Connection, _: Path, thread_id: str) -> Records:
    for row in conn.execute(_THREAD, (thread_id,)):
        values = list(row)
        values[4] = [str(name) for name in json.loads(row[4])]
        yield Record(*values)


_PROMPTS = """
SELECT message_uuid, time, text, round_id, ordinal FROM prompts WHERE sid = ?
ORDER BY time, ordinal
"""
_MESSAGES = """
SELECT flow_id, COALESCE(start_time, last_time, end_time), role, agent_id, round_id, model,
       output_tokens
FROM messages WHERE sid = ? ORDER BY COALESCE(start_time, last_time, end_time, 0), seq
"""


def _session(conn: sqlite3.Connection, data_dir: Path, sid: str) -> Records:
    contents = Contents(conn, data_dir)
    prompts = (_prompt(sid, row) for row in conn.execute(_PROMPTS, (sid,)))
    messages = (_message(conn, contents, row) for row in conn.execute(_MESSAGES, (sid,)))
    return merge(prompts, messages, key=lambda record: record.time or 0.0)


def _prompt(sid: str, row: tuple[Any, ...]) -> Record:
    key = row[0] or f"{sid}:prompt:{row[4]}"  # a stream does not name its prompts
    return Record(key, row[1], "user", "user", [""], "", None, row[2], round_id=row[3])


def _message(conn: sqlite3.Connection, contents: Contents, row: tuple[Any, ...]) -> Record:
    flow_id, time, role, agent_id, round_id, model, tokens = row
    blocks: list[dict[str, Any]] = []
    for block in read.blocks(conn, flow_id):
        call = block.tool_use_id
        result = None if call is None else read.result(conn, call)
        blocks.append(
            {
                "index": block.index,
                "type": block.block_type,
                "tool_use_id": call,
                "tool_name": block.tool_name,
                "text": _whole(contents.block(block)),
                "result": None if result is None else _whole(contents.result(result)),
                "is_error": None if result is None else result.is_error,
            }
        )
    text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
    agent = agent_id or ""
    return Record(
        flow_id, time, role or "assistant", agent, ["user"], agent, None, text,
        None, round_id, model, tokens, blocks,
    )  # fmt: skip


def _whole(pieces: Iterable[bytes]) -> str:
    return "".join(decoded(pieces))
