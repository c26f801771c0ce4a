"""Messages on one machine, without a server: the store itself is what carries them."""

import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from agentmon.collab import archive
from agentmon.collab.listening import listening_turn
from agentmon.collab.mail import Mail
from agentmon.sources.watch import Watch
from agentmon.store import db
from agentmon.store.async_store import AsyncStore, open_async

LONGEST_WAIT = 5.0
"""Seconds until a listener looks without having been woken; nothing should ever need it."""

PAGE = 100


class LocalTransport:
    """A listener sleeps until the database changes, then takes what is new for its agent.

    One listener of an agent takes at a time; a second one stands by until it ends, so that nothing
    is handed on twice.
    """

    name = "local"

    def __init__(self, data_dir: Path, on_warning: Callable[[str], None] | None = None) -> None:
        """`on_warning` hears that a listener has to stand by."""
        self._data_dir = data_dir.resolve()
        self._on_warning = on_warning
        self._watches: set[Watch] = set()
        self._closed = False
        self.is_standby = False
        """Another listener of the agent takes its messages now."""

    def keep(self, conn: sqlite3.Connection, mail: Mail) -> None:
        """What is archived is in the inbox."""

    async def deliver(self, mail: Mail) -> None:
        """It is there already: the commit of the archive woke its listeners."""

    async def listen(self, agent: str) -> AsyncGenerator[Mail, None]:
        """See `Transport.listen`. Raises StoreError."""
        turn = listening_turn(self._data_dir, agent, lambda: self._closed, self._stand_by)
        async with turn, Watch() as watch:
            self._watches.add(watch)
            path = str(db.database(self._data_dir))
            watch.update(files=(path, path + "-wal"))
            store = await open_async(lambda: db.open_reading(self._data_dir))
            try:
                async with contextlib.aclosing(self._coming(store, watch, agent)) as coming:
                    async for mail in coming:
                        yield mail
            finally:
                self._watches.discard(watch)
                await store.close()

    async def fetch(self, agent: str) -> None:
        """Nothing lies elsewhere."""

    async def close(self) -> None:
        self._closed = True
        for watch in tuple(self._watches):
            await watch.stop()

    async def _coming(
        self, store: AsyncStore, watch: Watch, agent: str
    ) -> AsyncGenerator[Mail, None]:
        after = 0
        while not self._closed:
            some = await store.run(_next(agent, after))
            for mail in some:
                after = mail.seq
                yield mail
            if not some:
                await watch.wait(LONGEST_WAIT)

    def _stand_by(self, is_standby: bool) -> None:
        if is_standby and not self.is_standby and self._on_warning is not None:
            self._on_warning("another process listens for this agent: this one waits until it ends")
        self.is_standby = is_standby


def _next(agent: str, after: int) -> Callable[[sqlite3.Connection], list[Mail]]:
    return lambda conn: archive.undelivered(conn, agent, after, PAGE)
