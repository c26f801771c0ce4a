"""Settings that agents share, in the store: typed values, who changed what when, and the way back.

A name can be anything agents agree on. One that is a setting of agentmon (`health.stalled_after`)
counts there too: below flags, the environment and the file, above the default.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from agentmon import config
from agentmon.collab import fields, typed
from agentmon.collab.fields import FieldError, NotThere
from agentmon.collab.writing import moment, within

SettingError = FieldError
"""A setting that cannot be taken as it is; it names the field."""


class Setting(Struct, frozen=True):
    """A value as it stands, with its type (int, float, bool, string, json)."""

    name: str
    type: str
    value: Any
    changed_at: float
    changed_by: str


class Change(Struct, frozen=True):
    """What a setting was from `changed_at` on; without a type: it was taken away."""

    change_id: int
    name: str
    type: str | None
    value: Any
    changed_at: float
    changed_by: str
    reason: str


def set_value(
    conn: sqlite3.Connection,
    name: str,
    value: object,
    by: str,
    *,
    type: str | None = None,
    reason: str = "",
    now: float | None = None,
) -> Setting:
    """Sets a value, of the type that it has in Python where none is given. The same value again is
    no change. Raises SettingError."""
    kind = typed.type_of(value) if type is None else type
    key, who = fields.name("name", name), fields.name("by", by)
    why = fields.text("reason", reason, empty=True)
    text = typed.encode(kind, value)
    _check_own(key, typed.decode(kind, text))
    time = moment(now)
    with within(conn):
        row = _row(conn, key)
        if row is not None and (row[1], row[2]) == (kind, text):
            return _setting(row)
        conn.execute("INSERT OR REPLACE INTO config VALUES (?, ?, ?, ?, ?)",
                     (key, kind, text, time, who))  # fmt: skip
        _note(conn, key, kind, text, time, who, why)
    return Setting(key, kind, typed.decode(kind, text), time, who)


def unset(
    conn: sqlite3.Connection, name: str, by: str, *, reason: str = "", now: float | None = None
) -> None:
    """Takes a setting away; its history stays. Raises SettingError."""
    who, why = fields.name("by", by), fields.text("reason", reason, empty=True)
    time = moment(now)
    with within(conn):
        if _row(conn, name) is None:
            raise NotThere("name", f"nothing is set as {name!r}")
        conn.execute("DELETE FROM config WHERE name = ?", (name,))
        _note(conn, name, None, None, time, who, why)


def revert(
    conn: sqlite3.Connection,
    change_id: int,
    by: str,
    *,
    reason: str | None = None,
    now: float | None = None,
) -> Setting | None:
    """Makes a setting what it was after a change; None: it was taken away then. That is a change of
    its own. Raises SettingError."""
    with within(conn):
        past = change(conn, change_id)
        why = f"back to change {change_id}" if reason is None else reason
        if past.type is None:
            if _row(conn, past.name) is not None:
                unset(conn, past.name, by, reason=why, now=now)
            return None
        return set_value(conn, past.name, past.value, by, type=past.type, reason=why, now=now)


def _check_own(name: str, value: object) -> None:
    """A setting of agentmon gets only what it can use."""
    known = config.FIELDS.get(name)
    if known is not None and known.not_shared:
        raise FieldError("name", known.not_shared)
    if known is not None:
        try:
            known.parse(value)
        except ValueError as problem:
            raise FieldError("value", str(problem)) from problem
        if _has_secret(value):
            reason = "a secret has no place among what is shared: give it in the environment"
            raise FieldError("value", reason)


def _has_secret(value: object) -> bool:
    """Whether it is an address with a user or a password in it."""
    if not isinstance(value, str) or "://" not in value:
        return False
    from urllib.parse import unquote  # not needed where settings are read

    user, _, _ = value.partition("://")[2].partition("/")[0].rpartition("@")
    options = unquote(value)  # their names can be written so as well
    return bool(user) or "username=" in options or "password=" in options


def _note(
    conn: sqlite3.Connection,
    name: str,
    kind: str | None,
    text: str | None,
    time: float,
    who: str,
    why: str,
) -> None:
    conn.execute(
        "INSERT INTO config_history (name, type, value, changed_at, changed_by, reason)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (name, kind, text, time, who, why),
    )


# -- reading


def _row(conn: sqlite3.Connection, name: str) -> tuple[Any, ...] | None:
    if not fields.is_storable(name):
        return None
    return conn.execute("SELECT * FROM config WHERE name = ?", (name,)).fetchone()


def _setting(row: Sequence[Any]) -> Setting:
    return Setting(row[0], row[1], typed.decode(row[1], row[2]), row[3], row[4])


def get(conn: sqlite3.Connection, name: str) -> Setting | None:
    row = _row(conn, name)
    return None if row is None else _setting(row)


def value(conn: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """The value of a setting, or the default where nothing is set."""
    found = get(conn, name)
    return default if found is None else found.value


def all_settings(conn: sqlite3.Connection) -> list[Setting]:
    """Everything that is set, by name."""
    return [_setting(row) for row in conn.execute("SELECT * FROM config ORDER BY name")]


def history(
    conn: sqlite3.Connection,
    name: str | None = None,
    *,
    limit: int = 100,
    before: int | None = None,
) -> list[Change]:
    """Changes, newest first, of one setting or of all; `before` is the change_id that ended the
    page before."""
    until = 1 << 62 if before is None else before
    which, args = ("name = ? AND", [name]) if name is not None else ("", [])
    rows = conn.execute(
        f"SELECT * FROM config_history WHERE {which} change_id < ? ORDER BY change_id DESC LIMIT ?",
        (*args, until, limit),
    )
    return [_change(row) for row in rows]


def change(conn: sqlite3.Connection, change_id: int) -> Change:
    """One change. Raises NotThere."""
    row = conn.execute("SELECT * FROM config_history WHERE change_id = ?", (change_id,)).fetchone()
    if row is None:
        raise NotThere("change_id", f"there is no change {change_id}")
    return _change(row)


def _change(row: Sequence[Any]) -> Change:
    number, name, kind, text, *rest = row
    return Change(number, name, kind, None if kind is None else typed.decode(kind, text), *rest)
