"""What the screen reads beyond the rows of `store.read`: sums of a round, places of trouble."""

import sqlite3

from msgspec import Struct

from agentmon.store import read


class RoundSum(Struct, frozen=True):
    """What the messages of a round add up to."""

    messages: int
    input_tokens: int | None
    output_tokens: int | None
    errors: int
    last_time: float | None


class Site(Struct, frozen=True):
    """A place worth jumping to. `index` None: the message itself; `flow_id` None: its round."""

    kind: str
    sid: str
    agent_id: str
    time: float
    round_id: str | None = None
    flow_id: str | None = None
    index: int | None = None
    note: str = ""
    is_live: bool = False
    """Whether the thread is at this place now, so that following it leads there."""


_ROUND_SUM = """
SELECT COUNT(*), SUM(COALESCE(input_tokens, 0) + COALESCE(cache_write_tokens, 0)),
       SUM(output_tokens), SUM(error IS NOT NULL), MAX(last_time)
FROM messages WHERE sid = ? AND round_id = ?
"""

_ROUND_TOOL_ERRORS = """
SELECT COUNT(*) FROM messages m JOIN content_blocks b USING (flow_id)
WHERE m.sid = ? AND m.round_id = ? AND b.result_is_error = 1
"""


def round_sum(conn: sqlite3.Connection, sid: str, round_id: str) -> RoundSum:
    """Messages, tokens and errors (broken messages, failed tool calls) of one round."""
    (row,) = read.iterate(conn, _ROUND_SUM, (sid, round_id))
    ((tools,),) = read.iterate(conn, _ROUND_TOOL_ERRORS, (sid, round_id))
    count, tokens_in, tokens_out, errors, last_time = row
    return RoundSum(count, tokens_in, tokens_out, (errors or 0) + tools, last_time)


_MESSAGE_ERRORS = """
SELECT m.sid, COALESCE(m.agent_id, ''), COALESCE(m.last_time, m.start_time, 0), m.round_id,
       m.flow_id, m.error
FROM messages m WHERE m.error IS NOT NULL ORDER BY 3 DESC LIMIT ?
"""

_TOOL_ERRORS = """
SELECT m.sid, COALESCE(m.agent_id, ''), b.result_time, m.round_id, b.flow_id, b.block_index,
       b.tool_name
FROM content_blocks b JOIN messages m USING (flow_id)
WHERE b.result_is_error = 1 ORDER BY 3 DESC LIMIT ?
"""


def error_sites(conn: sqlite3.Connection, *, limit: int = 200) -> list[Site]:
    """Broken messages and failed tool calls of all agents, newest first."""
    sites = [
        Site("error", sid, agent, time, round_id, flow, None, text or "")
        for sid, agent, time, round_id, flow, text in read.iterate(conn, _MESSAGE_ERRORS, (limit,))
    ]
    sites += [
        Site("error", sid, agent, time or 0.0, round_id, flow, index, f"{tool} failed")
        for sid, agent, time, round_id, flow, index, tool in read.iterate(
            conn, _TOOL_ERRORS, (limit,)
        )
    ]
    return sorted(sites, key=lambda site: -site.time)[:limit]
