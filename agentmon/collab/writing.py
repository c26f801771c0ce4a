"""How what agents say is written: in the caller's transaction, else in one of its own."""

import contextlib
import math
import sqlite3
import time
from collections.abc import Generator

from agentmon.collab.fields import FieldError
from agentmon.store import db


@contextlib.contextmanager
def within(conn: sqlite3.Connection) -> Generator[None, None, None]:
    """The caller's transaction, else one of our own."""
    with contextlib.nullcontext() if conn.in_transaction else db.transaction(conn):
        yield


def moment(now: float | None) -> float:
    """Epoch seconds: as given, else the clock's. Raises FieldError."""
    found = time.time() if now is None else now
    if not math.isfinite(found):
        raise FieldError("now", "it is no time")
    return found
