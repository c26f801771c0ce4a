"""Back in time on the live screen: what the store holds, retold and played, while reading goes on.

A child process retells it (`agentmon bundle`), so that the screen has its core to itself; nothing
but the store is needed.
"""

import asyncio
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from agentmon.core.health import Limits
from agentmon.engine.children import child
from agentmon.engine.feed import Feed
from agentmon.engine.moments import Moment
from agentmon.engine.playback import Playback

BACK = 10.0
"""Seconds before the newest line at which the past begins to play."""

FINE = 20_000
"""Deltas that are told one by one, the newest; what is older comes a block at a time, since days of
deltas would take minutes to read."""

RETOLD = "past.jsonl"

_NEWEST = "SELECT MAX(last_time) FROM sessions"


class NoPast(Exception):
    """There is nothing to go back to; the message says why."""


class Past(Playback):
    """A replay of what a store held when it was asked for. Its retelling goes with it."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._retold = folder
        self._is_left = False
        super().__init__([str(folder / RETOLD)], limits, title="past")

    async def start(self) -> None:
        """Begins to play a little before the newest line; who shows it finds it there. Cancelled
        meanwhile, it goes no further, but isn't broken off: its thread would go on opening a
        store."""
        going = asyncio.create_task(self._begin())
        try:
            await asyncio.shield(going)
        except BaseException:
            self._stopped = True
            await asyncio.wait([going])
            await self.stop()
            raise

    async def _begin(self) -> None:
        await super().start()
        begin = max(self.clock.start, self.clock.end - BACK)
        await self.go_to(Moment(time=begin), play=True)

    async def stop(self) -> None:
        """May be asked for again."""
        if self._is_left:
            return
        self._is_left = True
        try:
            await super().stop()
        finally:
            shutil.rmtree(self._retold, ignore_errors=True)


async def past_of(feed: Feed, seconds: float) -> Past:
    """A replay of the sessions of a feed's store that were heard of in the last `seconds` of what
    it holds, each of them whole. It has to be started, and stopped. Raises NoPast, OSError."""
    (newest,) = await feed.query(lambda conn: conn.execute(_NEWEST).fetchone())
    if newest is None:
        raise NoPast("nothing was heard yet")
    folder = Path(tempfile.mkdtemp(prefix="agentmon-past-"))
    try:
        await _retell(feed.data_dir, min(feed.now(), newest) - seconds, folder / RETOLD)
        return Past(folder, feed.limits)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def _retell(data_dir: Path, since: float, target: Path) -> None:
    moment = datetime.fromtimestamp(max(0.0, since), UTC).isoformat()
    retelling = child(
        *(sys.executable, "-m", "agentmon", "bundle", "--no-redact", "--json"),
        *("--since", moment, "--deltas", str(FINE)),
        *("--data-dir", str(data_dir), "-o", str(target)),
    )
    async with retelling as process:
        async for _ in process.lines():
            pass
        if await process.code():
            words = process.words().splitlines()
            reason = words[-1].removeprefix("agentmon: ") if words else "the store was not retold"
            raise NoPast(reason)
