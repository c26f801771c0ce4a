"""One tool call, by its id.

A call's duration runs from its completion (its arguments are whole) to its result and is never
below zero; an error is a result that says `is_error`.
"""

import sqlite3

from msgspec import Struct

_CALL = """
SELECT b.tool_use_id, b.tool_name, b.sid, m.agent_id, r.round_id, b.flow_id, b.block_index,
       b.block_type, b.input_preview, b.total_bytes, b.is_cut, b.start_time, b.complete_time,
       b.result_time, b.result_is_error, b.no_result_at, m.model, m.start_time, r.user_prompt,
       r.start_time
FROM content_blocks b LEFT JOIN messages m USING (flow_id)
LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id AND r.prompts > 0
WHERE b.tool_use_id = ? ORDER BY m.start_time, b.flow_id, b.block_index LIMIT 1
"""


class CallRow(Struct, frozen=True):
    """A tool_use block with its message, its round, and what is known of its return."""

    tool_use_id: str
    tool_name: str | None
    sid: str
    agent_id: str | None
    round_id: str | None
    flow_id: str
    index: int
    block_type: str | None
    input_preview: str | None
    input_bytes: int
    is_cut: bool
    """Its input came in a line past the cap: its size is known, its text was not kept."""
    start_time: float | None
    called_at: float | None
    result_time: float | None
    is_error: bool | None
    no_result_at: float | None
    model: str | None
    message_start: float | None
    user_prompt: str | None
    round_start: float | None

    @property
    def duration(self) -> float | None:
        """Seconds from the call to its result."""
        if self.called_at is None or self.result_time is None:
            return None
        return max(0.0, self.result_time - self.called_at)

    @property
    def state(self) -> str:
        """returned, unseen (it returned, nobody told how), calling (its arguments still stream),
        server (run by the API itself) or pending; as in the view v_tool_calls."""
        if self.result_time is not None:
            return "returned"
        if self.no_result_at is not None:
            return "unseen"
        if self.called_at is None:
            return "calling"
        return "pending" if self.block_type == "tool_use" else "server"


def call(conn: sqlite3.Connection, tool_use_id: str) -> CallRow | None:
    """The call of an id; where two blocks claim it, the first is the call."""
    found = conn.execute(_CALL, (tool_use_id,)).fetchone()
    if found is None:
        return None
    values = list(found)
    values[10] = bool(values[10])
    if values[14] is not None:
        values[14] = bool(values[14])
    return CallRow(*values)


_STARTING = """
SELECT DISTINCT tool_use_id FROM content_blocks
WHERE tool_use_id IS NOT NULL AND tool_use_id >= ? AND tool_use_id < ? LIMIT ?
"""


def call_ids(conn: sqlite3.Connection, start: str, *, limit: int = 5) -> list[str]:
    """Ids of calls that begin so."""
    found = conn.execute(_STARTING, (start, start + "\U0010ffff", limit))
    return [tool_use_id for (tool_use_id,) in found]
