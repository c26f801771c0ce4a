"""Permissions that an agent asked for, by its hooks: open while it waits, decided when its call has
returned. Other sources tell only of those that were refused (`observed_decisions`)."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from agentmon.collab import decisions
from agentmon.collab.calls_seen import Call, Heard, Rule
from agentmon.collab.decisions import DecisionError
from agentmon.collab.observed_agents import shown_name
from agentmon.collab.observed_decisions import (
    ASKING,
    PERMISSION,
    PERSON,
    id_of,
    permission,
    refusal_in,
    state_of,
)
from agentmon.core.text import one_line
from agentmon.store.read_threads import threads
from agentmon.store.texts import preview

_AROUND = 2.0
"""Seconds by which the times of a stream and of a hook differ."""

_MOST = 200
"""Open permissions that are looked at after each page."""

_CALLS = """
SELECT b.tool_use_id, b.input_preview, m.round_id
FROM content_blocks b JOIN messages m USING (flow_id)
WHERE b.sid = ?1 AND b.block_type = 'tool_use' AND b.tool_name = ?2
  AND COALESCE(m.agent_id, '') = ?3 AND b.tool_use_id IS NOT NULL
  AND b.complete_time BETWEEN ?4 - 86400 AND ?4 + ?5
  AND (b.result_time IS NULL OR b.result_time >= ?4 - ?5)
  AND (b.no_result_at IS NULL OR b.no_result_at >= ?4 - ?5)
ORDER BY b.complete_time DESC LIMIT 20"""

_OPEN = """
SELECT d.decision_id, s.agent, b.result_time, b.result_is_error, b.no_result_at,
       r.content
FROM decisions d JOIN content_blocks b ON b.tool_use_id = d.tool_use_id
JOIN sessions s ON s.sid = b.sid LEFT JOIN tool_results r ON r.tool_use_id = d.tool_use_id
WHERE d.origin = 'observed' AND d.status = 'open' AND d.category = 'permission'
  AND (b.result_time IS NOT NULL OR b.no_result_at IS NOT NULL)
LIMIT ?"""


class _Asked(Struct):
    """The call that a permission is for."""

    tool_use_id: str
    round_id: str | None


def hears(name: str) -> bool:
    return name == "permission_request"


def hear(conn: sqlite3.Connection, heard: Heard) -> None:
    """Keeps an open decision for a call that waits; once, whatever is heard again."""
    name, given = heard.data.get("tool_name"), heard.data.get("tool_input")
    if not isinstance(name, str) or not name or name in ASKING:
        return
    tool_input = cast("dict[str, Any]", given) if isinstance(given, Mapping) else {}
    asked = _call(conn, heard, name, tool_input)
    if asked is None or _is_known(conn, asked.tool_use_id):
        return
    found = permission(name, tool_input)
    state = state_of(_agent(conn, heard), heard.sid, found)
    state["status"] = "open"
    try:
        decisions.decide(
            conn,
            **state,
            by=PERSON,
            origin="observed",
            decision_id=id_of(asked.tool_use_id, found),
            session_id=heard.sid,
            round_id=asked.round_id,
            tool_use_id=asked.tool_use_id,
            now=heard.time,
        )
    except DecisionError:
        return  # what cannot be said as a decision is none


def settle(conn: sqlite3.Connection) -> None:
    """Decides what was open: who was allowed has run, or says that it was refused."""
    for key, product, result_time, is_error, unseen, content in conn.execute(
        _OPEN, (_MOST,)
    ).fetchall():
        changes: dict[str, Any] = {"status": "withdrawn"}  # nobody told how it went on
        if result_time is not None:
            refusal = refusal_in(product, content or "", None if is_error is None else is_error > 0)
            said = "allowed" if refusal is None else "refused"
            changes = {"status": "decided", "decision": said, "rationale": refusal or ""}
            changes["method"] = None if refusal is None else "override"
            found = decisions.get(conn, key)
            if found is not None:
                changes["positions"] = {**found.positions, PERSON: said}
        try:
            decisions.revise_decision(
                conn, key, changes, PERSON, "the call returned", now=result_time or unseen
            )
        except DecisionError:
            continue


def _call(
    conn: sqlite3.Connection, heard: Heard, name: str, given: Mapping[str, object]
) -> _Asked | None:
    """The call that waited then: the only one of its tool, or the one with these arguments."""
    args = (heard.sid, name, heard.agent_id or "", heard.time, _AROUND)
    rows = conn.execute(_CALLS, args).fetchall()
    if len(rows) > 1:
        rows = [row for row in rows if _begins(row[1] or "", given)]
    return _Asked(rows[0][0], rows[0][2]) if rows else None


def _begins(shown: str, given: Mapping[str, object]) -> bool:
    """Whether a call's shortened arguments are these, however they were written."""
    try:
        told: object = json.loads(shown)
    except ValueError:
        text = json.dumps(given, ensure_ascii=False)
        compact = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
        return shown in (preview(text), preview(compact))
    return told == given


def _is_known(conn: sqlite3.Connection, tool_use_id: str) -> bool:
    sql = "SELECT 1 FROM decisions WHERE tool_use_id = ? AND category = ?"
    return conn.execute(sql, (tool_use_id, PERMISSION)).fetchone() is not None


def _agent(conn: sqlite3.Connection, heard: Heard) -> str:
    wanted = heard.agent_id or ""
    found = next((one for one in threads(conn, heard.sid) if one.agent_id == wanted), None)
    return shown_name(found.name) if found is not None else one_line(heard.sid, 64)


def _wants(_: str) -> bool:
    return False


def _take(_: sqlite3.Connection, __: Call) -> None:
    """Calls are asked for where one is open."""


RULE = Rule("permissions", 1, _wants, _take, hears=hears, hear=hear, settle=settle)
