"""How it is usually written at first: each event parsed three times, its delta appended with an
open and a close, one UPDATE and one commit. It loses nothing, keeps less, and is the contrast.
"""

import json
import sqlite3
from itertools import islice
from pathlib import Path
from typing import Any

import aiosqlite
from msgspec import Struct

SCHEMA = (
    "CREATE TABLE sessions (sid TEXT PRIMARY KEY, pid INTEGER, cwd TEXT, last_time TEXT)",
    "CREATE TABLE messages (flow_id TEXT PRIMARY KEY, sid TEXT, last_time TEXT, stop_reason TEXT)",
    "CREATE TABLE blocks (flow_id TEXT, idx INTEGER, delta_count INTEGER DEFAULT 0,"
    " bytes INTEGER DEFAULT 0, PRIMARY KEY (flow_id, idx))",
    "CREATE TABLE results (tool_use_id TEXT PRIMARY KEY, content TEXT)",
)

Statement = tuple[str, tuple[object, ...]]


class Naive(Struct):
    """What to do for one event: text to append, statements to run before one commit."""

    path: Path | None
    text: str
    statements: list[Statement]


def digest(raw: str, folder: Path) -> Naive:
    row = json.loads(raw)
    inner = json.loads(row["line"].removeprefix("data: "))
    metadata = json.loads(row["metadata"])
    payload: dict[str, Any] = inner["payload"]
    sid, flow, time = row["sid"], row["flow_id"], inner["timestamp"]
    found = Naive(None, "", [])
    if payload["type"] == "content_block_delta":
        delta = payload["delta"]
        found.text = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
        found.path = folder / sid / flow / f"index_{payload['index']}.txt"
        sql = (
            "UPDATE blocks SET delta_count = delta_count + 1, bytes = bytes + ?"
            " WHERE flow_id = ? AND idx = ?"
        )
        found.statements.append((sql, (len(found.text.encode()), flow, payload["index"])))
        return found
    found.statements = list(_statements(payload, sid, flow, time))
    sql = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)"
    found.statements.append((sql, (sid, metadata["pid"], metadata["cwd"], time)))
    return found


def _statements(payload: dict[str, Any], sid: str, flow: str, time: str) -> list[Statement]:
    kind = payload["type"]
    if kind == "message_start":
        return [("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, NULL)", (flow, sid, time))]
    if kind == "message_delta":
        reason = payload["delta"]["stop_reason"]
        sql = "UPDATE messages SET stop_reason = ?, last_time = ? WHERE flow_id = ?"
        return [(sql, (reason, time, flow))]
    if kind == "content_block_start":
        sql = "INSERT OR IGNORE INTO blocks (flow_id, idx) VALUES (?, ?)"
        return [(sql, (flow, payload["index"]))]
    if kind == "tool_result":
        part = payload["message"]["content"][0]
        sql = "INSERT OR REPLACE INTO results VALUES (?, ?)"
        return [(sql, (part["tool_use_id"], part["content"]))]
    return []


def _append(found: Naive) -> None:
    if found.path is None:
        return
    found.path.parent.mkdir(parents=True, exist_ok=True)
    with found.path.open("a", encoding="utf-8") as handle:
        handle.write(found.text)


def ingest(path: Path, folder: Path, events: int, *, wal: bool = True) -> int:
    """The first so many events with sqlite3; `wal` False: with its defaults."""
    conn = sqlite3.connect(folder / "naive.db")
    if wal:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")
    for sql in SCHEMA:
        conn.execute(sql)
    count = 0
    with path.open(encoding="utf-8") as handle:
        for raw in islice(handle, events):
            found = digest(raw, folder)
            _append(found)
            for sql, values in found.statements:
                conn.execute(sql, values)
            conn.commit()
            count += 1
    conn.close()
    return count


async def ingest_async(path: Path, folder: Path, events: int) -> int:
    """The same with aiosqlite: a hop to its thread for every statement and commit."""
    count = 0
    async with aiosqlite.connect(folder / "naive.db") as conn:
        await conn.execute("PRAGMA journal_mode = WAL")
        await conn.execute("PRAGMA synchronous = NORMAL")
        for sql in SCHEMA:
            await conn.execute(sql)
        with path.open(encoding="utf-8") as handle:
            for raw in islice(handle, events):
                found = digest(raw, folder)
                _append(found)
                for sql, values in found.statements:
                    await conn.execute(sql, values)
                await conn.commit()
                count += 1
    return count
