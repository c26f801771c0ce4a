"""Messages for tests: a store, and drafts that are put into it."""

import itertools
import sqlite3
from contextlib import closing
from functools import cache
from typing import Any

from agentmon.assets import asset
from agentmon.collab import archive
from agentmon.collab.mail import Draft, Mail
from agentmon.store import db
from agentmon.store.migrations import statements

NOW = 1_790_000_000.0

HOSTILE = (
    "[bold]markup[/] [@click=app.quit]x[/]",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "'); DROP TABLE agent_messages; --",
    '" OR 1=1 --',
    'NEAR("a b", 3) AND (x OR y) NOT z* ^start {col} : v + w',
    'from: to: subject: from:"',
    "*",
    "\u202egnp.exe\u2066",
    "🤖👩‍👩‍👧 ﷽ é é ß ＡＢＣ",
    "a\0b",
    "%s %n {0} ${HOME} $(id) `id`",
    "../../etc/passwd",
)

_numbers = itertools.count()


def draft(
    sender: str = "api", to: str | list[str] = "web", body: str = "hello", **more: Any
) -> Draft:
    more.setdefault("message_id", f"m{next(_numbers)}")
    more.setdefault("sent_at", NOW)
    return Draft(sender=sender, receivers=[to] if isinstance(to, str) else to, body=body, **more)


def put(conn: sqlite3.Connection, *drafts: Draft) -> list[Mail]:
    """Archives them, each in a transaction; those that are known already are left out."""
    found: list[Mail] = []
    for one in drafts:
        with db.transaction(conn):
            mail = archive.add(conn, one, NOW)
        if mail is not None:
            found.append(mail)
    return found


def memory() -> sqlite3.Connection:
    """The tables of a store, in memory."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    conn.deserialize(_made())
    return conn


@cache
def _made() -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        for statement in statements(asset("schema.sql").read_text("utf-8")):
            conn.execute(statement)
        return conn.serialize()
