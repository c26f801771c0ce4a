"""The inboxes of Claude Code's teams: `teams/<team>/inboxes/<member>.json`, a list of what was
written to a member, oldest first.

    {"from": "docs", "text": "…", "summary": "…", "timestamp": "2026-02-07T15:35:15.573Z",
     "read": true}

`text` is what was said, or the JSON of a message of the client's own (`task_assignment`,
`shutdown_request`, …; each turn's `idle_notification` is not kept: the board says so). No document
of its maker tells this form; it is the one that users have published since version 2.1.33. Lists
are read whole, so each entry's id is made of what it says. Where the call that sent one was seen as
well, they are one message.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from typing import Any, cast

import msgspec
from msgspec import Struct

from agentmon.collab import archive
from agentmon.collab.archive import Draft
from agentmon.collab.form import LIMIT_BYTES, compact
from agentmon.collab.observed_agents import shown_name, thread_called
from agentmon.store.read_threads import round_at, threads

_ALMOST = 60.0
"""Seconds between a call and what it put into an inbox, at most."""

_IDLE = "idle_notification"
_WORDS = ("content", "description", "reason", "plan", "feedback", "message")
"""Where a message of the client's own has its text."""


class Entry(Struct, frozen=True):
    """One message in an inbox. `sender` is a member's name; `sent_at` epoch seconds."""

    entry_id: str
    sender: str
    body: str
    subject: str
    type: str
    sent_at: float
    is_read: bool


class Team(Struct, frozen=True):
    """A team: its folder's name, and the session of who leads it, where that is told."""

    name: str
    lead_sid: str | None = None


def team(name: str, config: bytes) -> Team:
    """A team by its name, and its `config.json` (b"": there is none)."""
    sid = _object(config).get("leadSessionId")
    return Team(name, sid if isinstance(sid, str) and sid else None)


def entries(team_name: str, member: str, inbox: bytes) -> list[Entry]:
    """What an inbox holds; nothing for what is no list. Never raises: what is no message in it is
    passed over."""
    rows = _decoded(inbox)
    given = cast("list[object]", rows) if isinstance(rows, list) else []
    return list(_entries(team_name, member, given))


def _entries(team_name: str, member: str, rows: Sequence[object]) -> Iterator[Entry]:
    twins: dict[str, int] = {}
    for row in map(_mapping, rows):
        sender, text, moment = row.get("from"), row.get("text"), _moment(row.get("timestamp"))
        if not isinstance(sender, str) or not isinstance(text, str) or moment is None:
            continue
        kind, body = _said(text)
        sender = shown_name(sender[:1000])
        if kind == _IDLE or not sender or not body:
            continue
        summary = row.get("summary")
        mark = sha256(compact([team_name, member, sender, text, moment]).encode("utf-8", "replace"))
        twin = twins[mark.hexdigest()] = twins.get(mark.hexdigest(), 0) + 1
        yield Entry(
            f"team-{mark.hexdigest()[:32]}" + (f"-{twin}" if twin > 1 else ""),
            sender,
            body,
            shown_name(summary[:1000]) if isinstance(summary, str) else "",
            kind,
            moment,
            row.get("read") is True,
        )


def _said(text: str) -> tuple[str, str]:
    """(type, text) of what stands in an entry."""
    if text.startswith("{"):
        found = _object(text)
        kind = found.get("type")
        if isinstance(kind, str) and kind:
            said = [found.get(name) for name in ("subject", *_WORDS)]
            words = "\n".join(word for word in said if isinstance(word, str) and word)
            return shown_name(kind[:256], 64) or "message", _bounded(words or text)
    return "message", _bounded(text)


def _bounded(text: str) -> str:
    return text[:LIMIT_BYTES].encode("utf-8", "replace").decode()


def _moment(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return moment if isfinite(moment) and moment > 0 else None


def _object(text: str | bytes) -> Mapping[str, Any]:
    """The object in a JSON text; an empty one for anything else."""
    return _mapping(_decoded(text))


def _decoded(text: str | bytes) -> object:
    """What a JSON text says, also with halves of characters, which clients cut; None: nothing."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


# -- the archive


def take(
    conn: sqlite3.Connection, of: Team, member: str, found: Sequence[Entry], read_at: float
) -> int:
    """Archives what is new in a member's inbox, and marks what it has read by `read_at` (epoch
    seconds, when the file was written); the number of messages that changed. In the caller's
    transaction."""
    changed, taken = 0, set[str]()
    names = {member: _name(conn, of, member)}
    for entry in found:
        if entry.sender not in names:
            names[entry.sender] = _name(conn, of, entry.sender)
        reader = names[member]
        message_id, receiver = _same(conn, entry, {reader, member}, taken) or (None, reader)
        if message_id is None:
            message_id = entry.entry_id
            draft = _draft(conn, of, entry, names[entry.sender], reader)
            changed += archive.add(conn, draft) is not None
        taken.add(message_id)
        if entry.is_read:
            moment = max(read_at, entry.sent_at)
            at = round_at(conn, of.lead_sid or "", moment) if _is_lead(member) else None
            archive.register(conn, receiver, entry.sent_at)
            changed += archive.mark(
                conn,
                receiver,
                [message_id],
                read=moment,
                session_id=of.lead_sid if at is not None else None,
                round_id=at,
            )
    return changed


def _is_lead(member: str) -> bool:
    return member == "team-lead"


def _name(conn: sqlite3.Connection, of: Team, member: str) -> str:
    """A member by the name that the board shows, where it is a thread of the lead's session."""
    found = thread_called(threads(conn, of.lead_sid), "", member) if of.lead_sid else None
    return (shown_name(found.name) if found is not None else "") or shown_name(member)


def _draft(conn: sqlite3.Connection, of: Team, entry: Entry, sender: str, reader: str) -> Draft:
    sid = of.lead_sid if _is_lead(entry.sender) else None
    return Draft(
        message_id=entry.entry_id,
        sender=sender,
        receivers=[reader],
        body=entry.body,
        sent_at=entry.sent_at,
        subject=entry.subject,
        type=entry.type,
        origin="claude",
        session_id=of.lead_sid,
        round_id=round_at(conn, sid, entry.sent_at) if sid is not None else None,
    )


_SAME = """
SELECT message_id, receivers FROM agent_messages
WHERE origin = 'claude' AND sent_at BETWEEN ?1 - ?2 AND ?1 + ?2
  AND (message_id = ?4 OR (tool_use_id IS NOT NULL AND body = ?3))
ORDER BY message_id <> ?4, ABS(sent_at - ?1)"""


def _same(
    conn: sqlite3.Connection, entry: Entry, names: set[str], taken: set[str]
) -> tuple[str, str] | None:
    """(id, receiver) of the message that an entry is, where its call was seen, or it itself."""
    rows = conn.execute(_SAME, (entry.sent_at, _ALMOST, entry.body, entry.entry_id))
    for message_id, receivers in rows.fetchall():
        to: list[str] = msgspec.json.decode(receivers)
        receiver = next((name for name in to if name in names), None)
        if message_id not in taken and (receiver is not None or "*" in to):
            return message_id, receiver or max(names)
    return None


def sent_by(conn: sqlite3.Connection, draft: Draft) -> bool:
    """Whether a call's message lies in the archive as an inbox had it; then it is known from now on
    which call that was. In the caller's transaction."""
    found = conn.execute(
        """
        SELECT seq, receivers FROM agent_messages
        WHERE origin = 'claude' AND tool_use_id IS NULL AND message_id LIKE 'team-%'
          AND body = ?1 AND sent_at BETWEEN ?2 - ?3 AND ?2 + ?3 ORDER BY ABS(sent_at - ?2)""",
        (draft.body, draft.sent_at, _ALMOST),
    ).fetchall()
    wanted = {*draft.receivers, *(draft.readers or ())}
    seqs = [seq for seq, to in found if wanted & set(msgspec.json.decode(to))]
    if not seqs:
        return False
    several = seqs if "*" in draft.receivers else seqs[:1]
    for seq in several:  # a broadcast lies in each inbox
        conn.execute(
            "UPDATE agent_messages SET tool_use_id = ?, session_id = ?, round_id = ?,"
            " thread_agent = ? WHERE seq = ?",
            (draft.tool_use_id, draft.session_id, draft.round_id, draft.thread_agent, seq),
        )
    return True
