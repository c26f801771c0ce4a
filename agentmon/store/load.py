"""Brings back, for the fold, what left its memory: the store's answer to `core.state.Loader`.

Everything it returns is committed. It reads through the writer's own connection (or one that sees
the same commits), and never while an entity is still waiting to be written.
"""

import sqlite3
from collections.abc import Callable, Iterable

import msgspec

from agentmon.core.kinds import KIND_BIT
from agentmon.core.model import (
    RECENT_PROMPTS,
    RECENT_STARTS,
    RECENT_STOPS,
    Block,
    Call,
    Counts,
    DeltaEntry,
    Message,
    PromptState,
    Round,
    Session,
    Start,
    Stream,
    Thread,
)
from agentmon.core.state import StreamKey
from agentmon.core.turns import LOOSE_STOP
from agentmon.store.codec import decode_lines, decode_tail
from agentmon.store.load_told import PROMPT, ToldLoader, prompt_of_row
from agentmon.store.unheard import Unheard

_INF = float("-inf")

_written_flows = msgspec.json.Decoder(dict[str, int]).decode


class StoreLoader(ToldLoader):
    """Answers from the tables. Cheap: every lookup goes by a key."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        super().__init__(conn)
        (filled,) = conn.execute("SELECT EXISTS (SELECT 1 FROM sessions)").fetchone()
        self._unheard = Unheard(is_empty=not filled)
        self._is_unheard = self._unheard.surely

    # -- sessions

    def session(self, sid: str) -> Session | None:
        if self._is_unheard("session", sid):
            return None
        row = self._one(
            """SELECT agent, pid, cwd, version, meta_time, first_time, last_time, ended_at,
                      end_reason, resumed_at, closed_at, prompt_count, input_tokens, output_tokens,
                      cache_read_tokens, cache_write_tokens, context_tokens, model, kinds, host
               FROM sessions WHERE sid = ?""",
            sid,
        )
        if row is None:
            return None
        session = Session(
            sid,
            row[0],
            pid=row[1],
            cwd=row[2],
            version=row[3],
            meta_time=_or_past(row[4]),
            first_time=row[5],
            last_time=_or_past(row[6]),
            ended_at=row[7],
            end_reason=row[8],
            resumed_at=_or_past(row[9]),
            closed_at=row[10],
            prompt_count=row[11],
            tokens=list(row[12:16]),
            context_tokens=row[16],
            model=row[17],
            kinds=row[18],
            host=row[19],
        )
        self._threads(session)
        self._prompts(session)
        self._starts(session)
        self._calls(session)
        self._queued(session)
        self._loose_stops(session)
        return session

    def _threads(self, session: Session) -> None:
        sql = """SELECT agent_id, phase, phase_since, phase_detail, last_byte, last_start, flow_id,
                        parent_tool_use_id, kind, description, status,
                        COALESCE(last_told, 0.0), phase_kind, due_at, COALESCE(status_time, 0.0)
                 FROM agents WHERE sid = ?"""
        for row in self._all(sql, session.sid):
            agent_id, phase, since, detail, byte, start, flow_id, *rest = row
            session.threads[agent_id] = Thread(
                session.sid,
                agent_id,
                phase,
                since,
                detail,
                byte or 0.0,
                start or 0.0,
                flow_id,
                *rest,
                wire_time=byte or 0.0,
            )

    def _prompts(self, session: Session) -> None:
        sql = f"{PROMPT} WHERE sid = ? ORDER BY time DESC, ordinal DESC LIMIT ?"
        for row in reversed(self._all(sql, session.sid, RECENT_PROMPTS)):
            session.prompts.append(prompt_of_row(row))
        for prompt in session.prompts:
            if prompt.round_id not in session.rounds:
                found = self._round(session.sid, prompt.round_id, session.prompts)
                if found is not None:
                    session.rounds[prompt.round_id] = found

    def round(self, sid: str, round_id: str) -> Round | None:
        if self._is_unheard("round", sid, round_id):
            return None
        return self._round(sid, round_id, ())

    def _round(self, sid: str, round_id: str, recent: Iterable[PromptState]) -> Round | None:
        row = self._one(
            """SELECT prompts, user_prompt, start_time, end_time, named_end, is_closed,
                      is_synthetic, told_end, aborted_at, abort_ends
               FROM rounds WHERE sid = ? AND round_id = ?""",
            sid,
            round_id,
        )
        if row is None:
            return None
        prompts, text, start, end, named, closed, synthetic, told, aborted, ends = row
        live = sum(prompt.round_id == round_id for prompt in recent)
        return Round(
            sid,
            round_id,
            prompts,
            text,
            start,
            end,
            named,
            bool(closed),
            bool(synthetic),
            told,
            aborted,
            bool(ends),
            frozen=max(0, prompts - live),
        )

    def _starts(self, session: Session) -> None:
        sql = """SELECT start_time, own_round, pid FROM messages
                 WHERE sid = ? AND is_started AND agent_id IS NULL
                   AND own_round <> ''
                 ORDER BY start_time DESC LIMIT ?"""
        rows = self._all(sql, session.sid, RECENT_STARTS)
        session.starts = [Start(time, own, pid) for time, own, pid in reversed(rows)]

    def _calls(self, session: Session) -> None:
        sql = """SELECT b.tool_use_id, b.tool_name, COALESCE(m.agent_id, ''), m.round_id, b.flow_id,
                        b.block_index, b.complete_time, COALESCE(m.start_time, b.complete_time)
                 FROM content_blocks b JOIN messages m USING (flow_id)
                 WHERE b.sid = ? AND b.block_type = 'tool_use' AND b.complete_time IS NOT NULL
                   AND b.result_time IS NULL AND b.no_result_at IS NULL
                 ORDER BY b.complete_time, b.tool_use_id"""
        for row in self._all(sql, session.sid):
            if row[0] is not None:
                session.calls[row[0]] = Call(*row)

    def _loose_stops(self, session: Session) -> None:
        """Those that can still change their round: not before the oldest prompt that can."""
        sql = """SELECT time FROM notices WHERE sid = ? AND name = ? AND time >= ?
                 ORDER BY time DESC LIMIT ?"""
        is_full = session.prompt_count > RECENT_PROMPTS and session.prompts
        since = session.prompts[0].time if is_full else _INF
        stops = self._all(sql, session.sid, LOOSE_STOP, since, RECENT_STOPS)
        session.loose_stops = [time for (time,) in reversed(stops)]

    def _queued(self, session: Session) -> None:
        sql = """SELECT json_extract(data, '$.content') FROM notices
                 WHERE sid = ? AND name = 'queue_operation'
                   AND json_extract(data, '$.operation') = 'enqueue'
                 ORDER BY time DESC, notice_id DESC LIMIT 16"""
        texts = [text for (text,) in self._all(sql, session.sid) if isinstance(text, str) and text]
        session.queued = texts[::-1]
        for prompt in session.prompts:
            if prompt.is_queued and prompt.text in session.queued:
                session.queued.remove(prompt.text)

    # -- messages and blocks

    def flow_of_request(self, request_id: str) -> str | None:
        if self._is_unheard("request", request_id):
            return None
        row = self._one(
            "SELECT flow_id FROM messages WHERE request_id = ? ORDER BY seq DESC LIMIT 1",
            request_id,
        )
        return row[0] if row is not None else None

    def message(self, flow_id: str, session_of: Callable[[str], Session]) -> Message | None:
        if self._is_unheard("message", flow_id):
            return None
        row = self._one(
            """SELECT seq, sid, request_id, own_round, round_id, agent_id, pid, role, model,
                      stop_reason, start_time, end_time, last_time, is_started, is_broken, error,
                      input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, written,
                      kinds, told_stop, is_done
               FROM messages WHERE flow_id = ?""",
            flow_id,
        )
        if row is None:
            return None
        seq, sid, *rest = row
        session = session_of(sid)
        key = rest[3] or ""
        thread = session.threads.get(key)
        if thread is None:
            thread = session.threads[key] = Thread(sid, key)
        message = Message(
            flow_id,
            seq,
            session,
            thread,
            *rest[:10],
            last_time=_or_past(rest[10]),
            is_started=bool(rest[11]),
            is_broken=bool(rest[12]),
            error=rest[13],
            tokens=list(rest[14:18]),
            written=_written(rest[18]),
            kinds=rest[19],
            told_stop=rest[20],
            is_done=bool(rest[21]),
            is_stored=True,
        )
        if message.stop_reason == message.told_stop and message.end_time is None:
            message.stop_reason = None  # the row has it from a transcript, as far as is known
        self._blocks(message)
        if message.kinds & ~KIND_BIT["wire"]:
            self.add_told(message)
        if message.own_round is None:
            session.unplaced.append(message)
        return message

    def _blocks(self, message: Message) -> None:
        sql = """SELECT block_index, block_type, tool_use_id, tool_name, delta_count, total_bytes,
                        stored_bytes, is_cut, revision, COALESCE(start_text, ''), has_start,
                        is_started, start_time, stop_time, complete_time, last_time, result_time,
                        result_is_error, no_result_at, input_preview, uses_told, heard
                 FROM content_blocks WHERE flow_id = ?"""
        for row in self._all(sql, message.flow_id):
            message.blocks[row[0]] = Block(
                message,
                row[0],
                *row[1:7],
                cut_bytes=0 if row[20] else row[5] - row[6],
                is_cut=bool(row[7]),
                revision=row[8],
                start_text=row[9],
                start_stored=bool(row[10]),
                is_started=bool(row[11]),
                start_time=row[12],
                stop_time=row[13],
                complete_time=row[14],
                last_time=row[15],
                result_time=row[16],
                result_is_error=None if row[17] is None else bool(row[17]),
                no_result_at=row[18],
                input_preview=row[19],
                heard=_written(row[21]),
                # where its deltas stood is in the delta log; it is read when one more comes
                is_simple=row[4] == 0,
            )

    def call(self, tool_use_id: str) -> tuple[str, int] | None:
        return self._one(
            "SELECT flow_id, block_index FROM content_blocks WHERE tool_use_id = ? LIMIT 1",
            tool_use_id,
        )

    def deltas(self, flow_id: str, index: int) -> list[DeltaEntry]:
        """The committed deltas of a block, in arrival order."""
        rows = self._all(
            "SELECT data FROM delta_log WHERE flow_id = ? AND block_index = ? ORDER BY chunk",
            flow_id,
            index,
        )
        return [entry for (blob,) in rows for entry in decode_tail(blob, flow_id)]

    # -- keys of duplicates

    def prompt_of(self, sid: str, message_uuid: str) -> PromptState | None:
        if self._is_unheard("prompt", sid, message_uuid):
            return None
        return super().prompt_of(sid, message_uuid)

    def stream(self, key: StreamKey) -> Stream | None:
        if self._is_unheard("stream", key[0], key[1], str(key[2])):
            return None
        rows = self._all(
            "SELECT data FROM stream_log WHERE sid = ? AND flow_id = ? AND pid = ? ORDER BY chunk",
            *key,
        )
        if not rows:
            return None
        stream = Stream(*key)
        for (blob,) in rows:
            decode_lines(blob, stream)
        stream.resume()
        return stream

    def result(
        self, tool_use_id: str, *, is_coming: bool = False
    ) -> tuple[float, bool | None, int] | None:
        if self._is_unheard("result", tool_use_id, is_coming=is_coming):
            return None
        row = self._one(
            "SELECT result_time, is_error, rank FROM tool_results WHERE tool_use_id = ?",
            tool_use_id,
        )
        return None if row is None else (row[0], None if row[1] is None else bool(row[1]), row[2])

    def has_raw(self, digest: bytes) -> bool:
        return self._one("SELECT 1 FROM raw_events WHERE digest = ?", digest) is not None

    def has_bad(self, digest: bytes) -> bool:
        return self._one("SELECT 1 FROM bad_lines WHERE digest = ?", digest) is not None

    # -- what a state starts with

    def counts(self) -> Counts:
        stored = dict(self._all("SELECT name, value FROM counts"))
        return Counts(**{name: int(stored.get(name, 0)) for name in Counts.__struct_fields__})

    def next_seq(self) -> int:
        row = self._one("SELECT value FROM counts WHERE name = 'next_seq'")
        return int(row[0]) if row is not None else 0


def _or_past(value: float | None) -> float:
    return _INF if value is None else value


def _written(text: str | None) -> dict[str, int] | None:
    return None if text is None else _written_flows(text)
