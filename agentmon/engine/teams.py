"""Reads what the members of Claude Code's teams write to each other, beside following."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from agentmon.collab import team_inboxes
from agentmon.engine.core import Engine
from agentmon.logfile import log
from agentmon.sources.small_files import read_small
from agentmon.store import db

T = TypeVar("T")

EVERY = 2.0
"""Seconds between two looks."""

MOST_BYTES = 16 << 20
"""Of an inbox; larger ones are not read."""

Stamp = tuple[int, int, int]


class Heard(Protocol):
    """A runner that writes a store."""

    revision: int

    @property
    def engine(self) -> Engine | None: ...
    @property
    def is_writing(self) -> bool: ...
    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T: ...


class Teams:
    """The inboxes below the homes of the client. Its registries (`<home>/sessions`) tell these."""

    def __init__(self) -> None:
        self._seen: dict[str, Stamp] = {}

    async def run(self, feed: Heard) -> None:
        """Until it is cancelled. What can't be written now is read again later."""
        while True:
            engine = feed.engine
            if engine is not None and feed.is_writing:
                inboxes = [*self.changed(engine.inputs.expanded.registries)]
                try:
                    if inboxes and await feed.write(lambda conn, some=inboxes: archive(conn, some)):
                        feed.revision += 1
                    self._seen.update((str(inbox), stamp) for inbox, stamp in inboxes)
                except (sqlite3.Error, OSError, db.StoreError) as problem:
                    log.warning("inboxes of teams were not archived: %s", problem)
            await asyncio.sleep(EVERY)

    def changed(self, registries: Sequence[str]) -> Iterator[tuple[Path, Stamp]]:
        """The inboxes that are not as they were when they were archived."""
        for home in sorted({os.path.dirname(path) for path in registries}):
            for inbox in sorted(Path(home, "teams").glob("*/inboxes/*.json")):
                try:
                    stat = inbox.stat()
                except OSError:
                    continue
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if self._seen.get(str(inbox)) != stamp and stat.st_size <= MOST_BYTES:
                    yield inbox, stamp


def archive(conn: sqlite3.Connection, inboxes: Sequence[tuple[Path, Stamp]]) -> int:
    """Archives what is new in inboxes; the number of messages that changed."""
    with db.transaction(conn):
        return sum(_take(conn, inbox) for inbox, _ in inboxes)


def _take(conn: sqlite3.Connection, inbox: Path) -> int:
    found = read_small(str(inbox), MOST_BYTES)
    if found is None:
        return 0
    folder = inbox.parents[1]
    config = read_small(str(folder / "config.json"), MOST_BYTES)
    team = team_inboxes.team(folder.name, config[0] if config is not None else b"")
    entries = team_inboxes.entries(team.name, inbox.stem, found[0])
    return team_inboxes.take(conn, team, inbox.stem, entries, found[1])
