"""Rules that write down what they are given, and the calls of raw logs, read the plain way."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from agentmon.collab.calls_seen import Call, Rule
from agentmon.collab.deriving import catch_up
from agentmon.store import db
from tests.oracle_lines import Entry, read
from tests.oracle_messages import (
    _result_parts,  # pyright: ignore[reportPrivateUsage]
    _result_text,  # pyright: ignore[reportPrivateUsage]
    messages_of,
)

TABLE = """
CREATE TABLE IF NOT EXISTS taken (
  rule TEXT, tool_use_id TEXT, name TEXT, input TEXT, result TEXT, is_error INTEGER,
  times INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (rule, tool_use_id))"""

_TAKE = """
INSERT INTO taken (rule, tool_use_id, name, input, result, is_error) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET times = times + 1, input = excluded.input, result = excluded.result,
  is_error = excluded.is_error"""


class Taken(NamedTuple):
    name: str
    input: Any
    result: str | None
    is_error: bool | None


def anything(_: str) -> bool:
    return True


def recorder(name: str = "recorder", version: int = 1) -> Rule:
    """Takes every call."""

    def take(conn: sqlite3.Connection, call: Call) -> None:
        given = json.dumps(call.input, sort_keys=True)
        values = name, call.tool_use_id, call.name, given, call.result, call.is_error
        conn.execute(_TAKE, values)

    return Rule(name, version, anything, take)


def prepare(data_dir: Path) -> None:
    conn = db.create(data_dir)
    conn.execute(TABLE)
    conn.close()


def derive(data_dir: Path, *rules: Rule) -> None:
    prepare(data_dir)
    assert catch_up(data_dir, rules or [recorder()]) == 0


def taken(data_dir: Path, rule: str = "recorder") -> dict[str, Taken]:
    sql = "SELECT tool_use_id, name, input, result, is_error FROM taken WHERE rule = ?"
    return {
        row[0]: Taken(row[1], json.loads(row[2]), row[3], None if row[4] is None else bool(row[4]))
        for row in asked(data_dir, sql, rule)
    }


def times(data_dir: Path, rule: str = "recorder") -> dict[str, int]:
    return dict(asked(data_dir, "SELECT tool_use_id, times FROM taken WHERE rule = ?", rule))


def asked(data_dir: Path, sql: str, *args: object) -> list[tuple[Any, ...]]:
    conn = db.open_reading(data_dir)
    try:
        return conn.execute(sql, args).fetchall()
    finally:
        conn.close()


def calls_of(files: Sequence[bytes | Path]) -> dict[str, Taken]:
    """The calls of claude wire logs that have a result."""
    by_sid: dict[str, list[Entry]] = {}
    for entry in read(files).entries:
        by_sid.setdefault(entry.sid, []).append(entry)
    results: dict[str, tuple[str, bool]] = {}
    for entry in sorted((e for some in by_sid.values() for e in some), key=lambda e: e.key):
        for part in _result_parts(entry):
            text = _result_text(part.get("content"))
            results.setdefault(str(part["tool_use_id"]), (text, bool(part.get("is_error"))))
    found: dict[str, Taken] = {}
    for sid, entries in by_sid.items():
        for message in messages_of(sid, entries):
            for block in message.blocks():
                key = str(block.value.get("id"))
                if block.value.get("type") == "tool_use" and key in results:
                    text = block.text().decode()
                    name = str(block.value.get("name"))
                    found[key] = Taken(name, _object(text), *results[key])
    return found


def _object(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return {"text": text} if text else {}
