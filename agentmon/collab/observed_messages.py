"""Messages that agents exchange by their own means, archived as they are seen.

Claude Code: the prompt of an Agent or Task call is a message to the subagent, and what comes back
its answer (with the call, or later as a task notification); SendMessage. Codex: `spawn_agent`,
`send_message`, `followup_task`, `send_input`, and what stands in a rollout as come from another
agent, which also tells of calls that a script made. Ids are made of the call's (or the record's),
so that each is archived once however often it is seen.

Clients hand messages over by themselves: one is read when its receiver's next message to the API
begins, in that round. One to nobody who is there stays unread.
"""

import re
import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from typing import cast

from agentmon.collab import archive, team_inboxes
from agentmon.collab.archive import Draft
from agentmon.collab.calls_seen import Call, Heard, Rule
from agentmon.collab.form import LIMIT_BYTES, compact
from agentmon.collab.observed_agents import (
    names_beside,
    of_call,
    shown_name,
    thread_called,
)
from agentmon.collab.settling import settle
from agentmon.core.names import subagent_name
from agentmon.store.read_threads import ThreadName, next_message, round_at, threads

_SPAWNS = {"claude": ("Agent", "Task"), "codex": ("spawn_agent",)}
_SENDS = {"claude": ("SendMessage",), "codex": ("send_message", "followup_task", "send_input")}
_NAMES = frozenset(name for some in (_SPAWNS, _SENDS) for names in some.values() for name in names)
_HEARD = frozenset({"agent_message", "queue_operation", "told_queue_operation"})

_ALMOST = 60.0
"""Seconds between a call and its record in the receiver's rollout, at most."""


def wants(tool: str) -> bool:
    return tool in _NAMES


def hears(name: str) -> bool:
    return name in _HEARD


def take(conn: sqlite3.Connection, call: Call) -> None:
    """Archives what a call sends, and what came back as an answer."""
    if call.name in _SPAWNS.get(call.product, ()):
        _spawn(conn, call)
    elif call.name in _SENDS.get(call.product, ()) and call.is_over:
        _send(conn, call)


# -- calls


def _spawn(conn: sqlite3.Connection, call: Call) -> None:
    given = call.input
    body = text(given.get("prompt") or given.get("message"))
    if not body:
        return
    started = of_call(threads(conn, call.sid), call.tool_use_id)
    subject = _line(given.get("description") or given.get("task_name"))
    if started is not None:
        receiver = shown_name(started.name)
    else:
        kind = _line(given.get("subagent_type") or given.get("agent_type"))
        receiver = shown_name(subagent_name("subagent", kind, subject, None))
    draft = _draft(call, [receiver], body, subject)._replace(type="task")
    _add(conn, draft)
    answer = None if call.is_error else report(call.result or "")
    if call.product == "claude" and answer and call.result_time is not None:
        reply = _draft(call, [call.agent], answer, subject)._replace(
            message_id=f"{draft.message_id}-answer",
            reply_to=draft.message_id,
            sender=receiver,
            type="answer",
            sent_at=call.result_time,
            thread_agent=started.agent_id if started is not None else None,
        )
        archive.add(conn, reply)
    if call.is_over and (answer or call.result is None):
        _must_have_read(conn, draft, started, call.result_time or call.called_at)


def _must_have_read(
    conn: sqlite3.Connection, task: Draft, reader: ThreadName | None, moment: float
) -> None:
    """Who answered has read the task, also where nothing else is told of it, as in wire logs."""
    sid, receiver = task.session_id or "", task.receivers[0]
    if reader is None or next_message(conn, sid, reader.agent_id, 0.0) is None:
        archive.register(conn, receiver, moment, sid)
        _mark_read(conn, receiver, task.message_id, moment, sid, task.round_id)


def _send(conn: sqlite3.Connection, call: Call) -> None:
    given = call.input
    said: object = next((given[key] for key in ("message", "content") if given.get(key)), None)
    kind = given.get("type") if "recipient" in given else None
    if isinstance(said, Mapping):
        said = cast("Mapping[str, object]", said)
        kind = said.get("type", kind)
    to = _line(next((given[k] for k in ("to", "recipient", "target", "id") if given.get(k)), None))
    if given.get("type") == "broadcast":
        to, kind = "*", "message"
    body = text(said)
    if not to or not (body or given.get("summary")):
        return
    readers = None
    if to == "*":
        readers = names_beside(conn, call.sid, call.agent_id or "")
    else:
        found = thread_called(threads(conn, call.sid), call.agent_id or "", to)
        to = shown_name(found.name) if found is not None else to
    draft = _draft(call, [to], body, _line(given.get("summary")))
    _add(conn, draft._replace(type=_line(kind, 64) or "message", readers=readers))


def _draft(call: Call, receivers: list[str], body: str, subject: str) -> Draft:
    return Draft(
        message_id=f"call-{call.tool_use_id}",
        sender=call.agent,
        receivers=receivers,
        body=body,
        sent_at=call.called_at,
        subject=subject,
        origin=call.product,
        session_id=call.sid,
        thread_agent=call.agent_id,
        round_id=call.round_id,
        tool_use_id=call.tool_use_id,
    )


def _add(conn: sqlite3.Connection, draft: Draft) -> None:
    """Archives what a call sent, or says of what its receiver's rollout told that it was this."""
    seq = None
    if draft.origin == "codex":
        seq = _same_words(conn, draft.session_id or "", draft.sender, draft.body, draft.sent_at)
    if seq is None:
        if draft.type == "task" or not team_inboxes.sent_by(conn, draft):
            archive.add(conn, draft)
        return
    conn.execute(
        "UPDATE agent_messages SET tool_use_id = ?, round_id = ?, thread_agent = ?"
        " WHERE seq = ? AND tool_use_id IS NULL",
        (draft.tool_use_id, draft.round_id, draft.thread_agent, seq),
    )


def _same_words(
    conn: sqlite3.Connection, sid: str, sender: str, body: str, moment: float
) -> int | None:
    """The message that a sender wrote about then, in these words."""
    sql = """
    SELECT seq FROM agent_messages
    WHERE sender = ? AND origin = 'codex' AND session_id = ? AND body = ?
      AND sent_at BETWEEN ? AND ? ORDER BY seq DESC LIMIT 1"""
    times = moment - _ALMOST, moment + _ALMOST
    found = conn.execute(sql, (sender, sid, body, *times)).fetchone()
    return found[0] if found else None


_HAND_BACK = re.compile(r"\[Subagent hand-back\].*?The report follows:\n", re.DOTALL)
_FOOT = re.compile(r"\n?^agentId: \S+ \((?:use SendMessage|for resuming)\b.*\Z", re.DOTALL | re.M)


def report(result: str) -> str | None:
    """What a subagent answered, without what the client puts around it; None: it runs on."""
    if result.startswith("Async agent launched"):
        return None
    found = _HAND_BACK.match(result)
    if found is not None:
        lines = _FOOT.sub("", result[found.end() :]).splitlines()
        return "\n".join(line.removeprefix("  ") for line in lines).strip()
    return _FOOT.sub("", result).strip()


# -- what else was said


def hear(conn: sqlite3.Connection, heard: Heard) -> None:
    """Archives an answer that came later, and what a rollout says came from another agent."""
    if heard.name == "agent_message":
        _between(conn, heard)
    elif heard.data.get("operation") == "enqueue":
        _notified(conn, heard)


_TAG = re.compile(r"<(task-id|tool-use-id|summary|result)>")


def _tags(told: str) -> dict[str, str]:
    """What stands in the tags of a notification, of each the first. Linear, whatever is open."""
    found: dict[str, str] = {}
    never_closed: set[str] = set()
    tag = _TAG.search(told)
    while tag is not None:
        name, at = tag[1], tag.end()
        end = -1 if name in never_closed else told.find(f"</{name}>", at)
        if end < 0:
            never_closed.add(name)
        else:
            found.setdefault(name, told[at:end])
            at = end
        tag = _TAG.search(told, at)
    return found


def _notified(conn: sqlite3.Connection, heard: Heard) -> None:
    """A `<task-notification>`: a subagent in the background is through."""
    told = heard.data.get("content")
    if not isinstance(told, str) or not told.startswith("<task-notification>"):
        return
    tags = _tags(told)
    body, call = text(tags.get("result")), tags.get("tool-use-id", "")
    task = archive.get(conn, f"call-{call}")
    if not body or task is None or task.type != "task":
        return  # a command that ran in the background, say
    started = of_call(threads(conn, heard.sid), call)
    archive.add(
        conn,
        Draft(
            message_id=f"{task.message_id}-answer-{_mark(body)}",
            sender=shown_name(started.name) if started is not None else task.receivers[0],
            receivers=[task.sender],
            body=body,
            sent_at=heard.time,
            subject=task.subject,
            type="answer",
            reply_to=task.message_id,
            origin=task.origin,
            session_id=heard.sid,
            thread_agent=started.agent_id if started is not None else None,
            round_id=round_at(conn, heard.sid, heard.time),
            tool_use_id=call,
        ),
    )


_HEAD = re.compile(r"Message Type: (\w+)\n(?:[\w ]+: [^\n]*\n)*?Payload:\n?")
_TYPES = {"FINAL_ANSWER": "answer", "NEW_TASK": "task"}


def _between(conn: sqlite3.Connection, heard: Heard) -> None:
    """A record of what another agent wrote to this one, in its rollout: it has read it."""
    author, recipient = _line(heard.data.get("author")), _line(heard.data.get("recipient"))
    whole = _content(heard.data.get("content"))
    head = _HEAD.match(whole)
    body = whole[head.end() :] if head is not None else whole
    if not author or not body:
        return
    sid, beside = heard.sid, threads(conn, heard.sid)
    sender = thread_called(beside, "", author)
    reader = next((one for one in beside if one.agent_id == (heard.agent_id or "")), None)
    name = shown_name(sender.name) if sender is not None else author
    receiver = shown_name(reader.name) if reader is not None else recipient
    kind = _TYPES.get(head[1] if head is not None else "", "message")
    seq = _same_words(conn, sid, name, body, heard.time) if kind != "answer" else None
    if seq is not None:
        sql = "SELECT message_id FROM agent_messages WHERE seq = ?"
        (message_id,) = conn.execute(sql, (seq,)).fetchone()
    else:
        given = _line(heard.data.get("id"))
        unnamed = compact([sid, author, recipient, body, heard.time])
        message_id = f"codex-{given or _mark(unnamed)}"
        task = f"call-{sender.parent_tool_use_id}" if sender is not None else ""
        is_answer = kind == "answer" and archive.get(conn, task) is not None
        archive.add(
            conn,
            Draft(
                message_id=message_id,
                sender=name,
                receivers=[receiver],
                body=body,
                sent_at=heard.time,
                type=kind,
                reply_to=task if is_answer else None,
                origin=heard.product or "codex",
                session_id=sid,
                thread_agent=sender.agent_id or None if sender is not None else None,
                round_id=round_at(conn, sid, heard.time),
            ),
        )
    at = round_at(conn, sid, heard.time)
    _mark_read(conn, receiver, message_id, heard.time, sid, at)


def _mark_read(
    conn: sqlite3.Connection,
    reader: str,
    message_id: str,
    moment: float,
    sid: str,
    round_id: str | None,
) -> None:
    archive.mark(conn, reader, [message_id], read=moment, session_id=sid, round_id=round_id)


def _content(value: object) -> str:
    """The texts of a record's content, one after the other."""
    if isinstance(value, str):
        return text(value)
    parts: list[str] = []
    for part in cast("list[object]", value) if isinstance(value, list) else []:
        if isinstance(part, Mapping):
            row = cast("Mapping[str, object]", part)
            said = row.get("text") or row.get("encrypted_content")
            parts.append(said if isinstance(said, str) else "")
    return text("".join(parts))


# -- words


def text(value: object) -> str:
    """A text that the archive takes; anything else as JSON."""
    if value is None:
        return ""
    words = value if isinstance(value, str) else compact(value)
    return words[:LIMIT_BYTES].encode("utf-8", "replace").decode()


def _line(value: object, width: int = 200) -> str:
    """A name, an id or a subject: one line, cleaned."""
    return shown_name(text(value)[: 4 * width], width) if isinstance(value, str) else ""


def _mark(body: str) -> str:
    return sha256(body.encode("utf-8", "replace")).hexdigest()[:16]


RULE = Rule("messages", 1, wants, take, True, hears, hear, settle=settle)
