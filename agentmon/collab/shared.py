"""What the store says of agentmon's own settings. Read by every command, so it is quick."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from agentmon import config
from agentmon.store import db


def shared(data_dir: str | os.PathLike[str]) -> dict[str, tuple[object, str]]:
    """What the store has for settings of agentmon itself: value and who set it, by dotted key.
    Nothing where there is no store that can be read."""
    try:
        conn = db.open_reading(data_dir)
    except db.StoreError:
        return {}
    try:
        rows = conn.execute(_OWN, list(config.FIELDS)).fetchall()
    except sqlite3.Error:
        return {}
    finally:
        conn.close()
    if not rows:  # nearly always
        return {}
    from agentmon.collab.typed import decode

    found: dict[str, tuple[object, str]] = {}
    for name, kind, text, who in rows:
        with contextlib.suppress(*_UNREADABLE):
            found[name] = decode(kind, text), who
    return found


_OWN = (
    "SELECT name, type, value, changed_by FROM config"
    f" WHERE name IN ({', '.join('?' * len(config.FIELDS))})"
)
_UNREADABLE = (ValueError, KeyError, TypeError, RecursionError)
"""What a value raises that something else than `settings.set_value` put there."""
