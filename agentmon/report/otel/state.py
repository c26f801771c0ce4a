"""What was exported to an endpoint: spans by round, and the totals of its metrics.

A small database of its own beside the store, `exports/otlp-<hash>.db`: the store has one writer,
which may be another process. Spans and totals go in with one transaction once the endpoint has
taken the spans; so whatever is interrupted is sent again with the same ids, and counts once.
"""

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from agentmon.core.redact import Redactor
from agentmon.store import db
from agentmon.store.deltas import make_folders

FOLDER = "exports"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rounds (
  sid TEXT NOT NULL, round_id TEXT NOT NULL,
  mark TEXT NOT NULL,                 -- what it held when it was exported
  spans BLOB NOT NULL,                -- the ids of its exported spans, 8 bytes each
  PRIMARY KEY (sid, round_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series (
  name TEXT NOT NULL, attributes TEXT NOT NULL,
  count INTEGER NOT NULL, total REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
  buckets TEXT NOT NULL,
  PRIMARY KEY (name, attributes)
) WITHOUT ROWID;
"""


class Series(Struct):
    """A histogram since the first export: one bucket more than it has bounds."""

    name: str
    attributes: dict[str, str]
    count: int
    total: float
    low: float
    high: float
    buckets: list[int]


class Done(Struct, frozen=True):
    """A round as it was exported."""

    sid: str
    round_id: str
    mark: str
    spans: frozenset[int]


class State:
    """Opens what is known of an endpoint, for this process alone. Raises StoreError."""

    def __init__(self, data_dir: Path, endpoint: str, *, again: bool = False) -> None:
        name = blake2b(endpoint.encode("utf-8", "replace"), digest_size=8).hexdigest()
        self.path = data_dir / FOLDER / f"otlp-{name}.db"
        try:
            make_folders(str(self.path.parent))
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._conn = sqlite3.connect(self.path, timeout=0.2, isolation_level=None)
        except (OSError, sqlite3.Error) as problem:
            raise db.StoreError(db.cannot(data_dir, "write exports beside", problem)) from problem
        try:
            self._conn.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._conn.execute("PRAGMA synchronous = NORMAL")
            with db.transaction(self._conn):
                for statement in _SCHEMA.split(";\n"):
                    self._conn.execute(statement)
                if again:
                    self._forget()
                self._about("endpoint", Redactor()(endpoint))
                self.instance = self._about("instance", str(uuid.uuid4()))
                self.since = float(self._about("since", repr(time.time())))
        except sqlite3.Error as problem:
            self._conn.close()
            if "locked" in str(problem):
                raise db.StoreError(
                    f"another agentmon exports from {data_dir} to this endpoint: stop it first"
                ) from problem
            raise db.StoreError(db.cannot(data_dir, "use exports beside", problem)) from problem

    def _forget(self) -> None:
        for table in ("rounds", "series", "about"):
            self._conn.execute(f"DELETE FROM {table}")

    def _about(self, name: str, value: str) -> str:
        """What is kept under a name; this value where nothing is."""
        self._conn.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (name, value))
        (kept,) = self._conn.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return str(kept)

    def close(self) -> None:
        self._conn.close()

    def marks(self, sid: str) -> dict[str, str]:
        """What each round of a session held when it was exported last, by round id."""
        sql = "SELECT round_id, mark FROM rounds WHERE sid = ?"
        return dict(self._conn.execute(sql, (sid,)).fetchall())

    def spans(self, sid: str, round_id: str) -> frozenset[int]:
        """The spans of a round that the endpoint has."""
        sql = "SELECT spans FROM rounds WHERE sid = ? AND round_id = ?"
        for (blob,) in self._conn.execute(sql, (sid, round_id)):
            ids = range(0, len(blob), 8)
            return frozenset(int.from_bytes(blob[at : at + 8], "big") for at in ids)
        return frozenset()

    @property
    def is_due(self) -> bool:
        """Whether the endpoint lacks the newest totals."""
        found = self._conn.execute("SELECT 1 FROM about WHERE name = 'due'").fetchone()
        return found is not None

    def done(self, rounds: Iterable[Done], grown: Sequence[Series]) -> None:
        """The endpoint has these spans; the totals are these now."""
        with db.transaction(self._conn):
            for item in rounds:
                blob = b"".join(span.to_bytes(8, "big") for span in sorted(item.spans))
                self._conn.execute(
                    "INSERT OR REPLACE INTO rounds VALUES (?, ?, ?, ?)",
                    (item.sid, item.round_id, item.mark, blob),
                )
            for one in grown:
                self._conn.execute(
                    "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (one.name, key_of(one.attributes), one.count, one.total, one.low, one.high,
                     json.dumps(one.buckets)),
                )  # fmt: skip
            if grown:
                self._conn.execute("INSERT OR REPLACE INTO about VALUES ('due', '1')")

    def told(self) -> None:
        """The endpoint has the totals."""
        self._conn.execute("DELETE FROM about WHERE name = 'due'")

    def series(self) -> Iterator[Series]:
        """The totals, in a stable order."""
        sql = "SELECT * FROM series ORDER BY name, attributes"
        for name, attributes, count, total, low, high, buckets in self._conn.execute(sql):
            given = json.loads(attributes)
            yield Series(name, given, count, total, low, high, json.loads(buckets))


def key_of(attributes: dict[str, str]) -> str:
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False)
