"""One message on its way, in one transaction: archived, and kept for what carries it."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from uuid import uuid4

from agentmon.collab import archiving, form
from agentmon.collab.mail import Mail, draft_of
from agentmon.collab.mail_rows import listed
from agentmon.store import db

Keep = Callable[[sqlite3.Connection, Mail], None]


def send(
    conn: sqlite3.Connection,
    agent: str,
    to: str | Iterable[str] | None,
    message: str | Mapping[str, object],
    *,
    limit_bytes: int = form.LIMIT_BYTES,
    origin: str = "local",
    keep: Keep | None = None,
) -> Mail:
    """Archives what an agent says and returns it as archived; one that is known by its
    `message_id` already is not sent again. Raises MessageError and sqlite3.Error."""
    whole = form.compose(
        agent, to, message, message_id=uuid4().hex, now=time.time(), limit_bytes=limit_bytes
    )
    with db.transaction(conn):
        mail = archiving.add(conn, draft_of(whole, origin))
        if mail is None:
            return _known(conn, whole)
        if not mail.receivers:
            raise form.MessageError("to", "nobody else is in the thread: name a receiver")
        if keep is not None:
            keep(conn, mail)
    return mail


def _known(conn: sqlite3.Connection, message: form.Message) -> Mail:
    sql = "SELECT seq FROM agent_messages WHERE message_id = ?"
    (mail,) = listed(conn, sql, (message.message_id,))
    if (mail.sender, mail.subject, mail.body) != (message.sender, message.subject, message.body):
        raise form.MessageError("message_id", "is the id of another message")
    return mail
