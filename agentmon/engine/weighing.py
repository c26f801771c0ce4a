"""How large the store is, kept up to date without a file being looked at on the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agentmon.store import sizes
from agentmon.store.sizes import Sizes, Texts

FIRST_SECONDS = 5.0
"""Before the first walk through the texts: a start has better things to do."""

EVERY_SECONDS = 60.0
SHARE = 0.01
"""Most of the time that walking may take; the more files, the less often."""

REST_SECONDS = 0.002


class Scale:
    """Looks at database and WAL when asked, walks through the texts from time to time."""

    def __init__(self, data_dir: Callable[[], Path], *, first: float = FIRST_SECONDS) -> None:
        self.sizes: Sizes | None = None
        """As looked at last."""
        self._weighed_at: float | None = None
        self._data_dir = data_dir
        self._first = first
        self._texts: Texts | None = None
        self._over = threading.Event()

    def look(self) -> None:
        """Two looks at the file system; cheap."""
        self.sizes = sizes.glance(self._data_dir(), self._texts)

    @property
    def weighed_ago(self) -> float | None:
        """Seconds since the texts were walked through; None: not yet."""
        return None if self._weighed_at is None else time.monotonic() - self._weighed_at

    async def run(self) -> None:
        """Until it is cancelled; a walk in its thread ends then, too."""
        try:
            await asyncio.sleep(self._first)
            while True:
                began = time.monotonic()
                found = await asyncio.to_thread(
                    sizes.weigh_texts, self._data_dir(), rest=self._rest
                )
                if found is not None:
                    self._texts, self._weighed_at = found, time.monotonic()
                    self.look()
                took = time.monotonic() - began
                await asyncio.sleep(max(EVERY_SECONDS, took / SHARE))
        finally:
            self._over.set()

    def _rest(self) -> bool:
        return not self._over.wait(REST_SECONDS)
