"""Claude Code's own transcripts: `projects/<slug>/<sid>.jsonl` and those of its subagents.

One record per content block, written when the whole message has ended (formats.md C, capture.md
2-3). A record is told from others by its uuid, which copies in other files keep.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

import msgspec

from agentmon.core.events import AgentSaid, Meta, Unknown
from agentmon.sources import transcript_memory as memory
from agentmon.sources import transcript_records as records
from agentmon.sources.decoding import (
    UUID,
    Bad,
    Context,
    Decoded,
    Format,
    Record,
    RecordDecoder,
    encode,
    line_key,
    malformed,
    mapping,
)
from agentmon.sources.envelopes import epoch_of
from agentmon.sources.payloads import Base
from agentmon.sources.small_files import read_small
from agentmon.sources.transcript_copies import asked_behind, asked_by, is_prompt_like
from agentmon.sources.transcript_events import CHAINED, KNOWN, read
from agentmon.sources.transcript_memory import Row
from agentmon.sources.transcript_records import text_field

FLOW = "transcript"
AGENT_FLOW = "agent-meta"

SIDECHAIN = "sidechain"
"""Agent id of all subagents of a session whose records name none (version 1)."""

SIDE = "side"
"""Agent id of what is nobody's turn: warm-up runs, the run that compacts."""

_UUID_TAIL = re.compile(r"(?<![0-9a-fA-F-])" + UUID.pattern)
_AGENT_FILE = re.compile(r"agent-(.{1,120}?)\.(?:jsonl|meta\.json)\Z")


def owner_of(path: str) -> tuple[str | None, str | None]:
    """(session, subagent) that a transcript's path names: the session in the file's name, or in
    that of the folder with its subagents."""
    parts = PurePath(path).parts
    found = _AGENT_FILE.match(parts[-1]) if parts else None
    names = (_UUID_TAIL.search(part.removesuffix(".jsonl")) for part in reversed(parts))
    sid = next((name.group() for name in names if name), None)
    return sid, found.group(1) if found else None


class TranscriptDecoder(RecordDecoder):
    """Decodes one transcript file, of a session or of a subagent."""

    def __init__(self, context: Context) -> None:
        self._memory = memory.restore(context.state)
        self._path = context.path
        self._path_sid, self._path_agent = owner_of(context.path)
        self._metas: dict[tuple[str | None, str | None, str | None], Meta] = {}

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        try:
            return self._record(row, raw, offset)
        except Bad as bad:
            return [malformed(str(bad), raw, offset)]
        except RecursionError:
            return [malformed("nested too deeply", raw, offset)]

    def save(self) -> bytes:
        return memory.store(self._memory)

    def _record(self, record: Record, raw: bytes, offset: int) -> list[Decoded]:
        kind = text_field(record, "type")
        sid, uuid = self._owner(record, kind, offset)
        key = uuid or (text_field(record, "id") if kind == "api-request" else None)
        count, digest = line_key(encode(key) if key else b"%d:" % offset + raw)
        if not sid:
            base = ("", self._meta(None, None, None), FLOW, count, None, None, digest)
            return [Unknown(*base, kind, raw, len(raw), offset)]
        row = self._row(record, sid, uuid, count, digest)
        if kind in CHAINED:
            row.chained()
        if kind is None or not read(row, kind):
            subtype = text_field(record, "subtype")
            name = f"{kind}.{subtype}" if kind and subtype else kind
            row.events.append(Unknown(*row.base, name, raw, len(raw), offset))
        return [*row.finish(kind or "record")]

    def _owner(self, record: Record, kind: str | None, offset: int) -> tuple[str, str | None]:
        """(sid, uuid) of the session that a record is of, which may be another file's: copies in
        forked files say where they come from (formats.md C.2). ("", …): no session is named."""
        uuid = text_field(record, "uuid")
        sid: object = record.get("sessionId")
        if isinstance(sid, str) and UUID.match(sid):
            self._memory.sid = sid
        forked = mapping(record.get("forkedFrom"))
        copied = self._copied_from(record, kind, offset) if kind in CHAINED else None
        if forked.get("sessionId"):
            sid, uuid = forked["sessionId"], text_field(forked, "messageUuid") or uuid
        elif copied:
            sid = copied
        if sid is None:
            known = self._path_sid or self._memory.sid
            if not known and kind in CHAINED:
                raise Bad("no sessionId")
            return known, uuid
        if not isinstance(sid, str) or UUID.match(sid) is None:
            raise Bad("sid is not a UUID")
        return sid, uuid

    def _copied_from(self, record: Record, kind: str | None, offset: int) -> str | None:
        """The session that a record without a word of it was copied from. No copy comes after the
        first answer that is of the file's own session."""
        known = self._memory
        if kind == "assistant":
            asked = asked_by(record)
            known.has_own = known.has_own or (asked is None and not record.get("forkedFrom"))
            known.copied_from = asked or ""
        elif known.has_own:
            return None
        elif kind == "user" and is_prompt_like(record):
            known.copied_from = asked_behind(self._path, offset) or ""
        return known.copied_from

    def _row(self, record: Record, sid: str, uuid: str | None, count: int, digest: int) -> Row:
        agent_id = text_field(record, "agentId") or self._path_agent
        if agent_id is None and record.get("isSidechain") is True:
            agent_id = SIDECHAIN
        known = self._memory.of(sid, agent_id)
        known.version = text_field(record, "version") or known.version
        known.cwd = text_field(record, "cwd") or known.cwd
        stamp = record.get("timestamp")
        time = epoch_of(stamp) if isinstance(stamp, str) else None
        if time is None:
            time = known.time
        elif known.time is None or time > known.time:
            known.time = time
        known.is_warmup = known.is_warmup or records.is_warmup(record)
        is_compaction = agent_id is not None and agent_id.startswith("acompact-")
        if known.is_warmup or is_compaction:
            agent_id, round_id = SIDE if agent_id is not None else None, ""
        else:
            round_id = known.round if agent_id is None else None
        meta = self._meta(known.version, known.cwd, agent_id)
        base: Base = (sid, meta, FLOW, count, round_id, time, digest)
        is_turn = agent_id not in (SIDE, SIDECHAIN) and not known.is_warmup
        return Row(record, self._memory, known, base, uuid, uuid or f"{count:012x}", is_turn)

    def _meta(self, version: str | None, cwd: str | None, agent_id: str | None) -> Meta:
        key = version, cwd, agent_id
        meta = self._metas.get(key)
        if meta is None:
            meta = Meta(version=version, cwd=cwd, agent_id=agent_id, kind="transcript")
            self._metas[key] = meta
        return meta


def read_agent_meta(path: str, agent_id: str, sid: str) -> AgentSaid | None:
    """What `agent-<id>.meta.json` beside a subagent's transcript says of it (formats.md C.1).

    `path` is of either file. The file is rewritten when the subagent ends: then it says more.
    """
    name = path.removesuffix(".jsonl")
    name = name if name.endswith(".meta.json") else name + ".meta.json"
    content = read_small(name)
    if content is None:
        return None
    raw, time = content
    try:
        value: object = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    found = mapping(value)
    if not found or UUID.match(sid) is None:
        return None
    count, digest = line_key(encode(f"{agent_id}:") + raw)
    meta = Meta(agent_id=text_field(found, "parentAgentId"), kind="transcript")
    return AgentSaid(
        *(sid, meta, AGENT_FLOW, count, None, time, digest),
        agent_id,
        text_field(found, "toolUseId"),
        text_field(found, "agentType"),
        text_field(found, "description"),
        "completed" if found.get("finished") is True else None,
    )


_MARKS = ("sessionId", "parentUuid", "leafUuid", "snapshot", "timestamp")
_FOREIGN = ("session_id", "payload", "line", "hook_event_name")
"""Fields of other formats with the same record types; the transcript's own `session_id` stands
beside a `sessionId`."""


def knows(rows: Sequence[Record]) -> bool:
    """Whether these are records of a transcript: a known type, and the fields of one."""
    return any(
        row["type"] in KNOWN
        and any(mark in row for mark in _MARKS)
        and ("sessionId" in row or not any(name in row for name in _FOREIGN))
        for row in rows
        if isinstance(row.get("type"), str)
    )


FORMAT = Format("transcript", "transcript", "Claude Code transcripts", knows, TranscriptDecoder)
