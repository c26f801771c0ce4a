"""What `agentmon messages` is asked for, in pages, and how a list of them looks."""

import sqlite3
import sys
from collections.abc import Iterator
from typing import NamedTuple

from agentmon.collab import archive
from agentmon.collab.mail import Mail
from agentmon.collab.mail import as_json as mail_json
from agentmon.commands.options import complain, print_json, utf8_output
from agentmon.core.text import clean, json_text
from agentmon.report.words import moment

PAGE = 500
"""Messages that are read at once for an export."""


class Asked(NamedTuple):
    """Which messages: one of thread, query, between; else the newest, of an agent, unread ones."""

    thread: str | None = None
    query: str | None = None
    between: tuple[str, str] | None = None
    agent: str | None = None
    unread: bool = False
    limit: int = 100
    before: int | None = None


def found(conn: sqlite3.Connection, asked: Asked) -> list[Mail]:
    """One page. Threads and conversations are in the order they were told, lists newest first."""
    if asked.thread is not None:
        return archive.thread(conn, asked.thread, asked.limit)
    if asked.between is not None:
        return archive.conversation_history(conn, *asked.between, asked.limit)
    if asked.query is not None:
        return archive.search(conn, asked.query, asked.limit, before=asked.before)
    return archive.recent(
        conn, limit=asked.limit, before=asked.before, unread=asked.unread, agent=asked.agent
    )


def exported(conn: sqlite3.Connection, asked: Asked) -> Iterator[Mail]:
    """All that is asked for, page by page, in the order of `found`."""
    if asked.thread is not None or asked.between is not None:
        yield from found(conn, asked._replace(limit=1 << 40))
        return
    before = asked.before
    while page := found(conn, asked._replace(limit=PAGE, before=before)):
        yield from page
        before = page[-1].seq


def state_of(mail: Mail) -> tuple[str, str]:
    """The least that all readers did, as a word and its colour; "—" where nobody is to read it."""
    if not mail.deliveries:
        return "—", "text-muted"
    if all(one.acked_at is not None for one in mail.deliveries):
        return "acked", "success"
    if all(one.read_at is not None for one in mail.deliveries):
        return "read", "success"
    if all(one.delivered_at is not None for one in mail.deliveries):
        return "delivered", "accent"
    return "unread", "warning"


# -- printing


def line(mail: Mail) -> str:
    return json_text(mail_json(mail)) + "\n"


def text(mail: Mail) -> str:
    """A message for a person to read, with everything in it shown and nothing obeyed."""
    marks = [mail.type] if mail.type != "message" else []
    marks += [mail.priority] if mail.priority != "normal" else []
    marks += ["please acknowledge"] if mail.ack_required else []
    head = f"{moment(mail.sent_at)}  {mail.sender} → {', '.join(mail.receivers)}"
    head += f"  [{', '.join(marks)}]" if marks else ""
    lines = [clean(f"{head}  {mail.message_id}", newline=False)]
    if mail.subject:
        lines.append("    " + clean(mail.subject, newline=False))
    lines += [f"    {line}" for line in clean(mail.body).split("\n")]
    return "\n".join(lines) + "\n"


def print_mails(mails: list[Mail], as_json: bool, nothing: str) -> None:
    if as_json:
        print_json([mail_json(mail) for mail in mails])
        return
    utf8_output()
    for mail in mails:
        sys.stdout.write(text(mail))
    if not mails:
        complain(nothing)
