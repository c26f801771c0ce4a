"""What goes on beside following: keeping a store in order, and whatever was asked for besides.

None of it is hurried: the first board does not wait for what can wait.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from agentmon.config import Search
from agentmon.logfile import log
from agentmon.store.retention.plan import Policy

FIRST_SECONDS = 1.0
"""Before any of it begins."""

Write = Callable[[Callable[[sqlite3.Connection], None]], Awaitable[None]]

if TYPE_CHECKING:
    from agentmon.engine.deriving import Derived
    from agentmon.engine.indexing import Indexed
    from agentmon.engine.retaining import Retained

    class Tended(Retained, Indexed, Derived, Protocol):
        """A feed over a store."""


class Beside(Protocol):
    """Work that goes on as long as a feed does, such as bringing lines of other machines."""

    problem: str | None

    async def run(self) -> None:
        """Until cancelled."""
        ...

    async def close(self) -> None:
        """Gives back what it holds."""
        ...


class Chores:
    """`write` takes what has to be changed in the store, where this process is its writer."""

    def __init__(
        self,
        feed: "Tended",
        write: Write,
        *,
        retention: Policy | None,
        searching: Search,
        beside: Sequence[Beside],
    ) -> None:
        self._feed = feed
        self._write = write
        self._retention = retention
        self._searching = searching
        self._beside = beside

    def begin(self) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """A name and the work for each task; it runs until it is cancelled."""
        yield "retention", self._keep_within()
        yield "index", self._keep_indexing()
        yield "derive", self._keep_deriving()
        yield "teams", self._keep_hearing_teams()
        for one in self._beside:
            yield "beside", one.run()

    @property
    def problem(self) -> str | None:
        """What keeps some of it from going on, one sentence."""
        found = (one.problem for one in self._beside)
        return next((problem for problem in found if problem is not None), None)

    async def close(self) -> None:
        """After the tasks have ended."""
        for one in self._beside:
            try:
                await one.close()
            except Exception:
                log.exception("what ran beside the engine did not close")

    # what is imported here needs not be there at the start

    async def _keep_within(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        from agentmon.engine.retaining import Keeper

        await Keeper(self._feed, self._retention).run()

    async def _keep_indexing(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        from agentmon.engine.indexing import Indexing

        await Indexing(self._feed, self._searching, self._write).run()

    async def _keep_deriving(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        from agentmon.collab.rules import RULES
        from agentmon.engine.deriving import Deriving

        await Deriving(self._feed, RULES).run()

    async def _keep_hearing_teams(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        from agentmon.engine.teams import Teams

        await Teams().run(self._feed)
