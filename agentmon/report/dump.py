"""`dump`: everything known in the canonical form, one JSON object a line (design.md 6).

Kind by kind, each ordered by start and then by id, so that two stores that hold the same say the
same bytes. It is the contract that tests and other programs compare against.
"""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from agentmon.store import read
from agentmon.store.content import Contents
from agentmon.store.deltas import block_path

Record = dict[str, object]

_SESSION = ("sid", "agent", "pid", "cwd", "version", "start_time", "end_time", "end_reason")
_MESSAGE = (
    "flow_id",
    "request_id",
    "sid",
    "round_id",
    "agent_id",
    "role",
    "model",
    "stop_reason",
    "start_time",
    "end_time",
    "is_complete",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)


class Dump:
    """Reads a store and yields records. `text`: with the text itself."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        data_dir: Path,
        *,
        sid: str | None = None,
        text: bool = False,
    ) -> None:
        self._conn = conn
        self._contents = Contents(conn, data_dir)
        self._where, self._args = ("WHERE {}.sid = ?", (sid,)) if sid else ("", ())
        self._text = text

    def records(self) -> Iterator[Record]:
        """All of it, from one snapshot of the database."""
        self._conn.execute("BEGIN")
        try:
            yield from self._sessions()
            yield from self._rounds()
            yield from self._messages()
            yield from self._blocks()
            yield from self._results()
            yield {"kind": "counts", **read.counts(self._conn)}
        finally:
            self._conn.execute("ROLLBACK")

    def _rows(self, sql: str, alias: str) -> Iterator[tuple[object, ...]]:
        where = self._where.format(alias)
        return read.iterate(self._conn, sql.format(where=where), self._args)

    def _sessions(self) -> Iterator[Record]:
        sql = """
        SELECT sid, agent, pid, cwd, version, first_time,
               CASE WHEN resumed_at > ended_at THEN NULL ELSE ended_at END,
               CASE WHEN resumed_at > ended_at THEN NULL ELSE end_reason END
        FROM sessions {where} ORDER BY first_time, sid"""
        for row in self._rows(sql, "sessions"):
            yield {"kind": "session", **dict(zip(_SESSION, row, strict=True))}

    def _rounds(self) -> Iterator[Record]:
        sql = """
        SELECT round_id, sid, number, user_prompt, start_time,
               COALESCE(end_time, CASE WHEN abort_ends THEN aborted_at END),
               is_complete, is_aborted
        FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY sid ORDER BY start_time, round_id) AS number
              FROM rounds WHERE prompts > 0) r {where} ORDER BY start_time, round_id"""
        for round_id, sid, number, prompt, start, end, complete, aborted in self._rows(sql, "r"):
            yield {
                "kind": "round",
                "round_id": round_id,
                "sid": sid,
                "round_number": number,
                "user_prompt": prompt,
                "start_time": start,
                "end_time": end,
                "duration_ms": milliseconds(start, end),
                "is_complete": bool(complete),
                "is_aborted": bool(aborted),
            }

    def _messages(self) -> Iterator[Record]:
        sql = """
        SELECT m.flow_id, m.request_id, m.sid, CASE WHEN r.prompts > 0 THEN m.round_id END,
               m.agent_id, m.role, m.model, m.stop_reason, m.start_time, m.end_time,
               m.is_complete, m.input_tokens, m.output_tokens, m.cache_read_tokens,
               m.cache_write_tokens
        FROM messages m LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id
        {where} ORDER BY m.start_time, m.flow_id"""
        for row in self._rows(sql, "m"):
            record = dict(zip(_MESSAGE, row, strict=True))
            record["is_complete"] = bool(record["is_complete"])
            yield {"kind": "message", **record}

    def _blocks(self) -> Iterator[Record]:
        sql = """
        SELECT b.sid, b.flow_id, b.block_index, b.block_type, b.tool_use_id, b.tool_name,
               b.delta_count, b.total_bytes, b.stored_bytes, b.is_cut, b.is_complete,
               b.start_time, b.complete_time, t.text, t.sha256
        FROM content_blocks b LEFT JOIN messages m USING (flow_id)
        LEFT JOIN told_blocks t
          ON b.uses_told AND t.flow_id = b.flow_id AND t.block_index = b.block_index
        {where} ORDER BY m.start_time, b.flow_id, b.block_index"""
        for row in self._rows(sql, "b"):
            sid, flow_id, index, kind, call, name, deltas, total, stored, cut, done, *rest = row
            start, end, told, told_digest = rest
            path = block_path(str(sid), str(flow_id), _int(index))
            record: Record = {
                "kind": "block",
                "flow_id": flow_id,
                "index": index,
                "block_type": kind,
                "tool_use_id": call,
                "tool_name": name,
                "delta_count": deltas,
                "total_bytes": total,
                "sha256": told_digest or (None if cut else self._digest(path, _int(stored))),
                "is_complete": bool(done),
                "start_time": start,
                "complete_time": end,
            }
            if self._text:
                streamed = self._read(path, _int(stored)).decode("utf-8", "replace")
                record["text"] = streamed if told_digest is None else told
            yield record

    def _results(self) -> Iterator[Record]:
        sql = """
        SELECT t.tool_use_id, b.flow_id, b.block_index, t.is_error, t.content_size, t.sha256,
               t.result_time, b.complete_time, t.content, t.file
        FROM tool_results t LEFT JOIN content_blocks b ON b.tool_use_id = t.tool_use_id
        LEFT JOIN messages m ON m.flow_id = b.flow_id
        {where} ORDER BY t.result_time, t.tool_use_id, m.start_time, b.flow_id, b.block_index"""
        last: object = None
        for call, flow_id, index, error, size, digest, time, called, content, file in self._rows(
            sql, "t"
        ):
            if call == last:
                continue  # two blocks claim the id: the first is the call
            last = call
            duration = milliseconds(called, time)
            record: Record = {
                "kind": "tool_result",
                "tool_use_id": call,
                "flow_id": flow_id,
                "index": index,
                "is_error": None if error is None else bool(error),
                "content_size": size,
                "sha256": digest,
                "result_time": time,
                "execution_duration_ms": None if duration is None else max(0, duration),
            }
            if self._text:
                whole = self._read(str(file), _int(size)) if file else None
                record["text"] = content if whole is None else whole.decode("utf-8", "replace")
            yield record

    def _digest(self, path: str, size: int) -> str:
        digest = sha256()
        for piece in self._contents.file(path, size):
            digest.update(piece)
        return digest.hexdigest()

    def _read(self, path: str, size: int) -> bytes:
        return b"".join(self._contents.file(path, size))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def milliseconds(start: object, end: object) -> int | None:
    """Whole milliseconds between two times, None where one is unknown."""
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return round(end * 1000) - round(start * 1000)
