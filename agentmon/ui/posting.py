"""Messages that a person writes on the screen, marks of what a person read."""

import re
import sqlite3
import time
from pathlib import Path

from agentmon.collab import archive, form, sending
from agentmon.collab.archive import Mail
from agentmon.config import Settings
from agentmon.core.text import clean, one_line
from agentmon.store import db
from agentmon.ui import writing
from agentmon.ui.screens.form import Field, FieldError, Values

_SEPARATORS = re.compile(r"[,;]\s*")


def compose_fields(names: list[str]) -> list[Field]:
    """An empty message; `names` are those that are known."""
    known = ", ".join(names[:8])
    hint = f"names, with commas; * for all{f'; known: {known}' if known else ''}"
    return [
        Field("to", "To", hint=hint, names=names),
        Field("subject", "Subject"),
        Field("body", "Message", rows=6),
    ]


def reply_fields(mail: Mail, me: str) -> list[Field]:
    """An answer to whoever sent a message; to whom it went where that was oneself. Where that had
    no subject it has none either: lists show how it begins."""
    subject = one_line(mail.subject, 200)
    if subject and not subject.lower().startswith("re:"):
        subject = f"Re: {subject}"
    return [
        Field("to", "To", _shown(_back(mail, me)), hint="names, with commas; * for all"),
        *([Field("subject", "Subject", subject)] if subject else []),
        Field("body", "Message", rows=6),
    ]


def _back(mail: Mail, me: str) -> list[str]:
    return mail.receivers if mail.sender == me else [mail.sender]


def _shown(names: list[str]) -> str:
    """Names as they can stand in a line, whatever they are made of."""
    return clean(", ".join(names), newline=False)


def names_in(text: str) -> list[str]:
    """The names in a line of them."""
    return [name.strip() for name in _SEPARATORS.split(text) if name.strip()]


async def send(
    data_dir: Path, settings: Settings, me: str, values: Values, reply_to: Mail | None = None
) -> str:
    """Sends what a form holds to everybody it names, by the server if there is one; a sentence
    that says so. Raises FieldError."""
    to = names_in(values["to"])
    if reply_to is not None and values["to"] == _shown(_back(reply_to, me)):
        to = _back(reply_to, me)
    if not to:
        raise FieldError("to", "name an agent, several with commas, or * for all")
    subject = values.get("subject", "").strip()
    has_subject = reply_to is None and subject
    if not has_subject and not values["body"].strip():
        raise FieldError("body", "there is nothing in it")
    said: dict[str, object] = {"content": {"subject": subject, "body": values["body"]}}
    if reply_to is not None:
        said |= {"reply_to": reply_to.message_id, "thread_id": reply_to.thread_id}
    try:
        trouble = await _post(data_dir, settings, me, to, said)
    except form.MessageError as error:
        name = error.field.rpartition(".")[2].partition("[")[0]
        raise FieldError(name, error.reason) from error
    sent = f"Sent to {', '.join(to)}"
    return f"{sent}; it waits until the server takes it: {trouble}" if trouble else sent


async def _post(
    data_dir: Path, settings: Settings, me: str, to: list[str], said: dict[str, object]
) -> str | None:
    """Sends a message; why it waits in the store, if it does."""
    limit = settings.messages.max_size
    if not settings.redis.url:

        def post(conn: sqlite3.Connection) -> None:
            sending.send(conn, me, to, said, limit_bytes=limit)

        await writing.write(data_dir, post)
        return None
    from agentmon.collab.messaging import MessagingSystem

    async with MessagingSystem(
        me,
        data_dir=data_dir,
        url=settings.redis.url,
        limit_bytes=limit,
        max_inbox=settings.redis.max_inbox,
    ) as system:
        await system.send_message(to, said)
        return system.trouble


async def mark(data_dir: Path, me: str, mails: list[Mail], *, acked: bool = False) -> int:
    """Notes that the person has read messages, or taken note of them; how many were for them."""
    mine = [m.message_id for m in mails if any(d.receiver == me for d in m.deliveries)]
    if not mine:
        return 0
    now = time.time()

    def note(conn: sqlite3.Connection) -> int:
        with db.transaction(conn):
            return archive.mark(conn, me, mine, read=now, acked=now if acked else None)

    return await writing.write(data_dir, note)
