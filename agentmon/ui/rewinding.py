"""The way from a live screen into its past, and what is left of it when the screen goes."""

import asyncio

from agentmon.core.text import clean
from agentmon.engine.past import NoPast, Past, past_of
from agentmon.store import read
from agentmon.ui.views import Views


class Rewinding(Views):
    """The command that leads there; what can be done there is the tape deck's."""

    _rewinding: asyncio.Task[None] | None = None
    _past: Past | None = None
    """What it led to last."""

    def rewind(self) -> None:
        """What the store holds is retold first; until that is done the screen stays live."""
        if self._rewinding is None or self._rewinding.done():
            # no worker of Textual's, which is cancelled more than once and not waited for
            self._rewinding = asyncio.create_task(self._rewind(), name="agentmon-rewinding")

    async def _rewind(self) -> None:
        from agentmon.ui.screens.past import PastScreen

        screen = self.screen
        telling = asyncio.create_task(self._tell_of_rewinding())
        try:
            lines = (await screen.feed.query(read.counts))["lines"]
            past = await past_of(screen.feed, screen.settings.ui.back)
            await past.start()
        except Exception as problem:
            role = "warning" if isinstance(problem, NoPast) else "error"
            screen.say(f"No way back: {clean(str(problem), newline=False)}", role)
            return
        finally:
            telling.cancel()
        self._past = past
        screen.unsay()
        screen.app.push_screen(PastScreen(past, screen, lines))

    async def forsake_past(self) -> None:
        """The screen goes: nobody wants the past any more. Its own screen, too, ends it, but not
        where it came so late that it was never shown."""
        if self._rewinding is not None:
            self._rewinding.cancel()
            await asyncio.wait([self._rewinding])
        if self._past is not None:
            await self._past.stop()

    async def _tell_of_rewinding(self) -> None:
        while True:
            self.screen.say("Going back in time …", "accent")
            await asyncio.sleep(1.0)
