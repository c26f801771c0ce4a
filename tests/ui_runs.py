"""A feed over the store of a run that was ingested, for tests of the screen."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agentmon.engine.ingest import Ingestion
from agentmon.store import db
from agentmon.store.deltas import block_path, read_bytes
from tests.runs import Log
from tests.ui_store import StoreFeed, UiStore

T = TypeVar("T")


class RunStore(UiStore):
    """What ingestion makes of a log; open for reading."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder / "store"
        with Ingestion(self.folder) as run:
            run.read_all([str(log.write(folder))])
        self.conn = db.open_reading(self.folder)
        self.texts = {}


class RunFeed(StoreFeed):
    """The same at a moment."""

    def __init__(self, folder: Path, log: Log, time: float) -> None:
        super().__init__(RunStore(folder, log))
        self.time = time

    def read_text(self, sid: str, flow_id: str, index: int, start: int, end: int) -> bytes:
        return read_bytes(self.data_dir, block_path(sid, flow_id, index), start, end)


class RecordedFeed(RunFeed):
    """The same as a recording, of which everything is known from the beginning."""

    async def ask_all(self, fn: Callable[[sqlite3.Connection, Path], T]) -> T:
        return fn(self.store.conn, self.data_dir)
